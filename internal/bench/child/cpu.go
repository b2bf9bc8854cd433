package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of processor time in Linux's /proc.
const tick = 10 * time.Millisecond

// CPU is the processor time that the process has taken so far, in user and in
// kernel mode, in steps of 10 ms. It is read from Linux's /proc; an error elsewhere.
func (p *Process) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the processor time of the server: %w", err)
	}
	return parseStat(stat)
}

// parseStat reads the 14th and the 15th field. The second is the program's name
// in parentheses, which may have anything in it.
func parseStat(stat []byte) (time.Duration, error) {
	const state, user, system = 3, 14, 15
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= system-state {
		return 0, fmt.Errorf("read the processor time of the server: %d fields in its stat", len(fields))
	}
	var sum time.Duration
	for _, field := range []int{user, system} {
		ticks, err := strconv.ParseInt(string(fields[field-state]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the processor time of the server: %w", err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}
