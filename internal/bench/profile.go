package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// profile is a CPU profile under way; at its end the heap is written too.
type profile struct {
	prefix string
	cpu    *os.File
}

// startProfile begins one, into PREFIX.cpu.pprof and PREFIX.heap.pprof.
func startProfile(prefix string) (*profile, error) {
	cpu, err := os.Create(prefix + ".cpu.pprof")
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), cpu.Close())
	}
	return &profile{prefix, cpu}, nil
}

func (p *profile) stop() error {
	pprof.StopCPUProfile()
	if err := p.cpu.Close(); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	heap, err := os.Create(p.prefix + ".heap.pprof")
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	runtime.GC() // for a heap that is up to date
	if err := errors.Join(pprof.WriteHeapProfile(heap), heap.Close()); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

// profiled does something under a profile, where --profile asks for one.
func (e *env) profiled(row string, do func() (float64, error)) (float64, error) {
	if e.profile == "" {
		return do()
	}
	p, err := startProfile(e.profilePrefix(row))
	if err != nil {
		return 0, err
	}
	value, err := do()
	return value, errors.Join(err, p.stop())
}

// profilePrefix names the next profile of a row.
func (e *env) profilePrefix(row string) string {
	e.profiles++
	return filepath.Join(e.profile, fmt.Sprintf("%s-%d", row, e.profiles))
}
