package stream

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// pageOfBuilds is how many builds are asked for in one query.
const pageOfBuilds = 1000

// takeHints has feeds read what they are hinted at, until the subscription ends.
func (f *Follower) takeHints() {
	for n := range f.hints.C() {
		if !n.Healthy || n.Channel == "" {
			select {
			case f.lost <- struct{}{}:
			default: // a round is due anyhow
			}
		}
		build, ok := strings.CutPrefix(n.Channel, BuildChannel(""))
		switch {
		case n.Channel == EventsChannel:
			build = "" // the whole stream
		case !ok:
			continue
		}
		f.mu.Lock()
		fd := f.feeds[build]
		f.mu.Unlock()
		if fd != nil {
			f.readers.request(fd)
		}
	}
}

// checkHead makes up for hints that did not come: each second it reads the
// stream's head, and if that moved, finds the feeds that are behind. It does so
// at once when hints were lost.
func (f *Follower) checkHead(ctx context.Context) {
	tick := time.NewTicker(headEvery)
	defer tick.Stop()
	head, failing := int64(0), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.lost:
		case <-tick.C:
		}
		now, err := f.compare(ctx, head)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !failing {
				f.log.Warn("cannot see what was appended; trying again each second", "error", err)
			}
			failing = true
			continue // with the head as it was: the feeds were not all looked at
		}
		if failing {
			f.log.Info("can see again what was appended")
		}
		head, failing = now, false
	}
}

// compare returns the stream's head. If it is not the one known, feeds that are
// behind are read.
func (f *Follower) compare(ctx context.Context, known int64) (head int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	f.mu.Lock()
	watched := len(f.feeds) > 0
	f.mu.Unlock()
	if !watched {
		return known, nil
	}
	if head, err = f.o.Stream.Head(ctx); err != nil {
		return 0, fmt.Errorf("read the stream's head: %w", err)
	}
	if head == known {
		return head, nil
	}
	// The feeds are listed after the head was read: one that is opened later
	// begins to read later.
	f.mu.Lock()
	builds := make([]string, 0, len(f.feeds))
	for build, fd := range f.feeds {
		if build == "" {
			fd.expect(head + 1)
		} else {
			builds = append(builds, build)
		}
	}
	f.mu.Unlock()
	for len(builds) > 0 {
		page := builds[:min(len(builds), pageOfBuilds)]
		builds = builds[len(page):]
		nexts, err := f.o.Builds.NextSeqs(ctx, page)
		if err != nil {
			return 0, fmt.Errorf("read the next seqs of %d builds: %w", len(page), err)
		}
		f.mu.Lock()
		for build, next := range nexts {
			if fd := f.feeds[build]; fd != nil {
				fd.expect(next)
			}
		}
		f.mu.Unlock()
	}
	return head, nil
}
