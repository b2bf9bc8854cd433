package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/child"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
	"github.com/build-tracker/build-tracker/internal/bench/stores"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

// row is what --rows selects: one or more lines of the table.
type row struct {
	name    string
	measure func(*env, context.Context) ([]measure.Line, error)
}

func rows() []row {
	return []row{
		{"webhooks", (*env).webhooks},
		{"append", (*env).appends},
		{"fold", (*env).fold},
		{"hot", (*env).hot},
		{"notice", (*env).notices},
		{"follow", (*env).follow},
		{"watched", (*env).watched},
		{"catchup", (*env).catchUp},
		{"watchers", (*env).idle},
		{"rebuild", (*env).rebuild},
		{"export", (*env).export},
		{"memory", (*env).memory},
		{"start", (*env).start},
		{"stats", (*env).stats},
	}
}

// env is what the rows of a run share.
type env struct {
	options
	dir     string // for files, on a disk
	program string // build-tracker
	self    string // this program, for baselines and profiles
	stores  *stores.Stores
	// profiles is how many were begun.
	profiles int
	// kept are the stores that the row memory filled, by name, for the row start.
	kept map[string]filled
}

// bench measures and writes the report. It says whether all targets were reached.
func bench(ctx context.Context, o options) (reached bool, err error) {
	e, err := newEnv(ctx, o)
	defer func() { err = errors.Join(err, e.close()) }()
	if err != nil {
		return false, err
	}
	machine, err := e.machine(ctx)
	if err != nil {
		return false, err
	}
	for _, f := range machine {
		fmt.Printf("%-10s %s\n", f.Name, f.Value)
	}
	fmt.Println()
	lines, failed := e.measure(ctx)
	if len(lines) == 0 {
		return false, failed
	}
	missed := slices.ContainsFunc(lines, func(l measure.Line) bool { return !l.Reached() })
	return !missed, errors.Join(
		measure.WriteTable(os.Stdout, lines),
		e.writeJSON(measure.Report{Machine: machine, Lines: lines}),
		failed,
	)
}

// measure measures the rows that were asked for. One that fails does not keep the
// others from being measured.
func (e *env) measure(ctx context.Context) ([]measure.Line, error) {
	var lines []measure.Line
	var errs []error
	for _, r := range rows() {
		if !slices.Contains(e.rows, r.name) || ctx.Err() != nil {
			continue
		}
		began := time.Now()
		measured, err := r.measure(e, ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
			e.say("%s failed: %v", r.name, err)
			continue
		}
		for i := range measured {
			measured[i].Row = r.name
		}
		lines = append(lines, measured...)
		e.say("%s took %s", r.name, time.Since(began).Round(time.Second))
	}
	if len(errs) == 0 {
		return lines, context.Cause(ctx)
	}
	return lines, errors.Join(errs...)
}

// newEnv returns what is to be closed even if making it failed.
func newEnv(ctx context.Context, o options) (*env, error) {
	e := &env{options: o, kept: make(map[string]filled)}
	var err error
	if e.self, err = os.Executable(); err != nil {
		return e, err
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return e, err
		}
		if e.profile, err = filepath.Abs(o.profile); err != nil {
			return e, err
		}
	}
	if e.dir, err = os.MkdirTemp(os.Getenv(testenv.FolderVariable), "build-tracker-bench-"); err != nil {
		return e, err
	}
	e.program = filepath.Join(e.dir, "build-tracker")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", e.program,
		"github.com/build-tracker/build-tracker/cmd/build-tracker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return e, fmt.Errorf("build build-tracker: %w\n%s", err, out)
	}
	e.stores, err = stores.Open(ctx, stores.Options{DatabaseURL: os.Getenv("DATABASE_URL"), Dir: e.dir})
	return e, err
}

func (e *env) close() error {
	var errs []error
	if e.stores != nil {
		errs = append(errs, e.stores.Close())
	}
	if e.dir != "" {
		errs = append(errs, os.RemoveAll(e.dir))
	}
	return errors.Join(errs...)
}

func (e *env) writeJSON(r measure.Report) error {
	if e.json == "" {
		return nil
	}
	f, err := os.Create(e.json)
	if err != nil {
		return err
	}
	return errors.Join(measure.WriteJSON(f, r), f.Close())
}

// say tells whoever waits what is going on; the table alone is on standard output.
func (e *env) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// full returns the first value, or with --quick the second.
func full[T any](e *env, full, quick T) T {
	if e.quick {
		return quick
	}
	return full
}

// side is one of what is measured in turns.
type side struct {
	name    string
	measure func(ctx context.Context, round int) (float64, error)
}

// alternate measures the sides in turns, A B A B, and returns the samples of each.
// Round 0 is to warm up, and dropped.
func (e *env) alternate(ctx context.Context, what string, sides ...side) ([]measure.Samples, error) {
	return e.repeat(ctx, what, 0, e.rounds, sides...)
}

// repeat is alternate from one round to another.
func (e *env) repeat(ctx context.Context, what string, first, last int, sides ...side) ([]measure.Samples, error) {
	samples := make([]measure.Samples, len(sides))
	for round := first; round <= last; round++ {
		line := ""
		for i, s := range sides {
			value, err := s.measure(ctx, round)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", s.name, round, err)
			}
			if round > 0 {
				samples[i] = append(samples[i], value)
			}
			line += fmt.Sprintf("  %s %.4g", s.name, value)
		}
		e.say("%s, round %d of %d:%s", what, round, last, line)
	}
	return samples, nil
}

// newDir makes a folder for one server's files.
func (e *env) newDir() (string, error) { return os.MkdirTemp(e.dir, "data-") }

// webhookToken is what deliveries to build-tracker carry.
const webhookToken = "bench-webhook-token"

// serve starts build-tracker: the real program, or with --profile this one in its
// place. What it measures belongs to the named row.
func (e *env) serve(ctx context.Context, row string, env ...string) (*child.Process, error) {
	dir, err := e.newDir()
	if err != nil {
		return nil, err
	}
	o := child.Options{Path: e.program, Args: []string{"serve"}, Dir: dir, Env: append([]string{
		"LISTEN_ADDR=127.0.0.1:0", "LOG_FORMAT=json", "BUILDKITE_WEBHOOK_TOKEN=" + webhookToken, "DATA_DIR=" + dir,
	}, env...)}
	if e.profile != "" {
		o.Path, o.Args = e.self, []string{roleProgram}
		o.Env = append(o.Env, profileVariable+"="+e.profilePrefix(row))
	}
	return child.Start(ctx, o)
}

// serveBaseline starts this program in a role.
func (e *env) serveBaseline(ctx context.Context, role string, env ...string) (*child.Process, error) {
	return child.Start(ctx, child.Options{Path: e.self, Args: []string{role}, Dir: e.dir, Env: env})
}
