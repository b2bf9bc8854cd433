package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// folded returns how many events a server has folded since it started.
func folded(ctx context.Context, addr string) (int64, error) {
	const name = "buildtracker_folded_events_total "
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept-Encoding", "identity") // compressing is not what is measured
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	value := ""
	for lines.Scan() {
		if after, found := strings.CutPrefix(lines.Text(), name); found {
			value = after
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %s%q: %w", name, value, err)
	}
	return int64(n), nil
}

// foldTimeout is how long a server may take for what is left to fold.
const foldTimeout = 5 * time.Minute

// awaitFolded asks a server again and again until it has folded n events, and
// returns when it had.
func awaitFolded(ctx context.Context, addr string, n int64, every time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, foldTimeout)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		have, err := folded(ctx, addr)
		if err != nil {
			return time.Time{}, err
		}
		if have >= n {
			return time.Now(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%d of %d events are folded: %w", have, n, context.Cause(ctx))
		}
	}
}
