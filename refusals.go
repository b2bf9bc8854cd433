package buildtracker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	refusalsFile = "refusals.json"
	// maxRefusals bounds the intervals: beyond, the latest two are one.
	maxRefusals = 100
	// refusalsQuiet is how long nothing was refused before an interval ends. Under
	// load a delivery is refused and the next one taken; that is one interval.
	refusalsQuiet = time.Second
)

// interval is a time in which deliveries were refused. To is zero while it lasts.
type interval struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
}

// refusals keeps when deliveries were answered 503. Buildkite does not send them
// again, and the database may be down: so this is a file, which outlives the
// process. Where it cannot be written, memory has to do.
type refusals struct {
	path      string // empty for none
	log       *slog.Logger
	recovered chan struct{} // has one when an interval may have ended

	lasts atomic.Bool // an interval does: deliveries that are taken look here first

	mu        sync.Mutex
	intervals []interval // the last one may last
	latest    time.Time  // refusal
	took      time.Time  // a delivery, the latest time while an interval lasts
}

// openRefusals reads what an earlier process kept in a folder. An interval that
// lasted when it ended lasts until a delivery is taken.
func openRefusals(dir string, log *slog.Logger) *refusals {
	f := &refusals{log: log, recovered: make(chan struct{}, 1)}
	if dir == "" {
		return f
	}
	f.path = filepath.Join(dir, refusalsFile)
	data, err := os.ReadFile(f.path)
	if err == nil {
		err = json.Unmarshal(data, &f.intervals)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("what is known of refused deliveries cannot be read; run 'build-tracker backfill' if there were any", "file", f.path, "error", err)
		f.intervals = nil
	}
	if n := len(f.intervals); n > 0 {
		f.lasts.Store(f.intervals[n-1].To.IsZero())
		f.hint()
	}
	return f
}

// refused records that a delivery was answered 503 now.
func (f *refusals) refused(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = now
	if f.lasts.Load() {
		return
	}
	if n := len(f.intervals); n >= maxRefusals {
		f.intervals[n-1].To = time.Time{}
	} else {
		f.intervals = append(f.intervals, interval{From: now})
	}
	f.lasts.Store(true)
	f.write()
}

// taken records that a delivery became durable now. It costs nothing while none
// is refused.
func (f *refusals) taken(now time.Time) {
	if !f.lasts.Load() {
		return
	}
	f.mu.Lock()
	f.took = now
	f.mu.Unlock()
	f.settle(now)
	f.hint()
}

// settle ends the interval if a delivery was taken since the latest refusal, and
// that is a while ago.
func (f *refusals) settle(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lasts.Load() || !f.took.After(f.latest) || now.Sub(f.latest) < refusalsQuiet {
		return
	}
	f.intervals[len(f.intervals)-1].To = now
	f.lasts.Store(false)
	f.write()
}

func (f *refusals) hint() {
	select {
	case f.recovered <- struct{}{}:
	default:
	}
}

// ended returns the intervals that are over.
func (f *refusals) ended() []interval {
	all := f.all()
	if n := len(all); n > 0 && all[n-1].To.IsZero() {
		all = all[:n-1]
	}
	return all
}

// all returns a copy of the intervals.
func (f *refusals) all() []interval {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]interval(nil), f.intervals...)
}

// done forgets intervals that ended returned.
func (f *refusals) done(some []interval) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for n < len(some) && n < len(f.intervals) && f.intervals[n] == some[n] {
		n++
	}
	f.intervals = append([]interval(nil), f.intervals[n:]...)
	f.write()
}

// write replaces the file; f.mu is held.
func (f *refusals) write() {
	if f.path == "" {
		return
	}
	if err := f.replace(); err != nil {
		f.log.Warn("that deliveries are refused is known to this process only, and lost with it: make DATA_DIR a folder that can be written", "error", err)
	}
}

func (f *refusals) replace() (err error) {
	if len(f.intervals) == 0 {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget refusals: %w", err)
		}
		return nil
	}
	data, err := json.Marshal(f.intervals)
	if err != nil {
		return fmt.Errorf("keep refusals: %w", err)
	}
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep refusals: %w", err)
	}
	if err := writeSynced(f.path+".new", data); err != nil {
		return fmt.Errorf("keep refusals: %w", err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		return fmt.Errorf("keep refusals: %w", err)
	}
	return syncDir(dir)
}

// writeSynced writes a file that is on disk when it returns.
func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.Write(data); err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir has the names in a folder be on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keep refusals: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("keep refusals: %w", err)
	}
	return nil
}
