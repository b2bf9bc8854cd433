package buildtracker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/build-tracker/build-tracker/config"
)

// watchInterval is how often the configuration file is looked at.
const watchInterval = time.Second

// reloader has the part of the configuration that may change while the server
// runs. Who reads it asks for it each time, and gets all of one file.
type reloader struct {
	started *config.Config
	read    func() (*config.Config, error) // nil: nothing is read again
	level   *slog.LevelVar                 // nil: the level stays
	metrics *metrics
	log     *slog.Logger

	live atomic.Pointer[config.Live]

	mu    sync.Mutex
	tried [32]byte // the digest of the file that was read last, good or bad
}

func newReloader(started *config.Config, opts Options, m *metrics, log *slog.Logger) *reloader {
	r := &reloader{
		started: started, read: opts.Reload, level: opts.LogLevel,
		metrics: m, log: log, tried: started.File.Digest,
	}
	r.live.Store(&started.Live)
	r.metrics.configReloaded()
	return r
}

// Reload reads the configuration again. What is wrong with it leaves everything
// as it is, and is logged and returned; then there is nothing left to fail, and
// all that may change does so at once. The rest is logged: it waits for a
// restart.
func (s *Server) Reload() error { return s.reload.reload() }

func (r *reloader) reload() error {
	path := r.started.File.Path
	if path == "" || r.read == nil {
		r.log.Info("there is no configuration file to read again: name one with BUILDTRACKER_CONFIG")
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Before it is read: what is written in between is tried as well.
	r.tried = digest(path)
	next, err := r.read()
	if err != nil {
		r.metrics.configOK.Set(0)
		r.log.Error("the configuration file is refused, what was in force stays in force", "file", path, "problems", config.Problems(err))
		return err
	}
	if keys := r.started.NeedsRestart(next); len(keys) > 0 {
		r.log.Warn("settings have changed that need a restart", "file", path, "settings", keys)
	}
	if r.level != nil {
		r.level.Set(next.Log.Level)
	}
	r.live.Store(&next.Live)
	r.metrics.configReloaded()
	r.log.Info("the configuration file is in force", "file", path, "teams", len(next.Live.Teams))
	return nil
}

// watch reloads when the file holds something else, until ctx ends. It reads the
// file rather than ask when it was changed: so it also sees a link that leads
// elsewhere, and what a coarse clock hides. A change counts when it looks the
// same twice: who writes the file may be half way.
func (r *reloader) watch(ctx context.Context) {
	path := r.started.File.Path
	if path == "" || r.read == nil {
		return
	}
	for before := digest(path); sleep(ctx, watchInterval); {
		now := digest(path)
		if now == before && r.isNew(now) {
			_ = r.reload() // said in the log, and by the metric
		}
		before = now
	}
}

func (r *reloader) isNew(digest [32]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return digest != r.tried
}

// digest is of what a file holds, all zeros while it cannot be read.
func digest(path string) [32]byte {
	d, err := config.ReadDigest(path)
	if err != nil {
		return [32]byte{}
	}
	return d
}
