package buildtracker

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

// TestFileIsWatched has files replaced in the ways that editors and clusters do.
func TestFileIsWatched(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Symlink(to, from+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(from+".new", from); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(t *testing.T, dir, text string){
		"renamed over": func(t *testing.T, dir, text string) { replace(t, filepath.Join(dir, "tracker.yaml"), text) },
		"written in place, within the clock's grain": func(t *testing.T, dir, text string) {
			path := filepath.Join(dir, "tracker.yaml")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, text)
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		},
		"removed and made anew": func(t *testing.T, dir, text string) {
			path := filepath.Join(dir, "tracker.yaml")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, text)
		},
		"behind a folder's link": func(t *testing.T, dir, text string) {
			next := filepath.Join(dir, "..2")
			if err := os.Mkdir(next, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(next, "tracker.yaml"), text)
			link(t, filepath.Join(dir, "..data"), "..2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "..1"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "..1", "tracker.yaml"), "env_keep: [A]\n")
			link(t, filepath.Join(dir, "..data"), "..1")
			link(t, filepath.Join(dir, "tracker.yaml"), "..data/tracker.yaml")
			synctest.Test(t, func(t *testing.T) {
				r := newTestReloader(t, filepath.Join(dir, "tracker.yaml"))
				r.stays(t, "A")
				change(t, dir, "env_keep: [B]\n")
				r.follows(t, "B")
				r.stays(t, "B")
			})
		})
	}
}

func TestFileThatIsHalfWrittenWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tracker.yaml")
	replace(t, path, "env_keep: [A]\n")
	synctest.Test(t, func(t *testing.T) {
		r := newTestReloader(t, path)
		for n := range 10 { // it looks different each time
			replace(t, path, strings.Repeat("#", n))
			time.Sleep(watchInterval)
			synctest.Wait()
			if got := r.live.Load().EnvKeep; !cmp.Equal(got, []string{"A"}) {
				t.Fatalf("after %d looks env_keep is %v", n, got)
			}
		}
		replace(t, path, "env_keep: [B]\n")
		r.follows(t, "B")
	})
}

func TestFileThatIsWrongOrGoneIsTriedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tracker.yaml")
	replace(t, path, "env_keep: [A]\n")
	synctest.Test(t, func(t *testing.T) {
		r := newTestReloader(t, path)
		replace(t, path, "wings: 2\n")
		r.stays(t, "A")
		if n := r.reads.Load(); n != 1 {
			t.Errorf("a wrong file is read %d times", n)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		r.stays(t, "A")
		if n := r.reads.Load(); n != 2 {
			t.Errorf("a file that went is read %d times more", n-1)
		}
		replace(t, path, "env_keep: [B]\n")
		r.follows(t, "B")
	})
}

// testReloader watches a file in a bubble of its own time.
type testReloader struct {
	*reloader
	reads atomic.Int64
}

func newTestReloader(t *testing.T, path string) *testReloader {
	t.Helper()
	var flags config.ServeFlags
	flags.ConfigFile = path
	cfg, err := flags.Config()
	if err != nil {
		t.Fatal(err)
	}
	r := new(testReloader)
	r.reloader = newReloader(cfg, Options{Reload: func() (*config.Config, error) {
		r.reads.Add(1)
		return flags.Config()
	}}, newMetrics(), slog.New(slog.DiscardHandler))
	go r.watch(t.Context())
	synctest.Wait()
	return r
}

// follows waits as long as a change may take.
func (r *testReloader) follows(t *testing.T, keep string) {
	t.Helper()
	time.Sleep(2*watchInterval + watchInterval/2)
	synctest.Wait()
	if got := r.live.Load().EnvKeep; !cmp.Equal(got, []string{keep}) {
		t.Fatalf("env_keep is %v, want %s", got, keep)
	}
}

// stays looks for longer than a change may take.
func (r *testReloader) stays(t *testing.T, keep string) {
	t.Helper()
	reads := r.reads.Load()
	r.follows(t, keep)
	time.Sleep(10 * watchInterval)
	r.follows(t, keep)
	if now := r.reads.Load(); now > reads+1 {
		t.Errorf("it is read %d times", now-reads)
	}
}
