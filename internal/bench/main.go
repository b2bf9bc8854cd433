// Command bench measures build-tracker against baselines that run beside it, in
// turns, on the same machine:
//
//	make bench
//	go run ./internal/testenv/run -- go run ./internal/bench --rows webhooks,fold --rounds 3
//
// docs/benchmarks.md says what each row is.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:])) }

// Limits of a whole run. It ends long before.
const (
	timeout      = 2 * time.Hour
	quickTimeout = 10 * time.Minute
)

// run returns the exit code: 0, 1 when something went wrong, or under --strict a
// target was missed, 2 for a wrong command line.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if len(args) > 0 && roles[args[0]] != nil {
		return report(roles[args[0]](ctx))
	}
	o, err := parse(args, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	limit := timeout
	if o.quick {
		limit = quickTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// A second signal ends the program without cleaning up.
	context.AfterFunc(ctx, stop)
	reached, err := bench(ctx, o)
	if err == nil && o.strict && !reached {
		err = fmt.Errorf("a target was missed")
	}
	return report(err)
}

func report(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// options are what the command line says.
type options struct {
	rows    []string
	rounds  int
	quick   bool
	strict  bool
	profile string // a folder; empty is none
	json    string // a file; empty is none
}

func parse(args []string, w io.Writer) (options, error) {
	var o options
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(w)
	selected := flags.String("rows", strings.Join(names, ","), "what to measure, comma-separated")
	flags.IntVar(&o.rounds, "rounds", 0, "rounds that count, after one that does not; 0 is 5, or 3 with --quick")
	flags.BoolVar(&o.quick, "quick", false, "short rounds and less data, in about a minute: for ratios, not for figures")
	flags.BoolVar(&o.strict, "strict", false, "exit 1 when a target is missed")
	flags.StringVar(&o.profile, "profile", "", "write CPU and heap profiles of what is measured into this folder")
	flags.StringVar(&o.json, "json", "", "write everything that was measured to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag; `--help` lists them", flags.Arg(0))
	}
	for name := range strings.SplitSeq(*selected, ",") {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("there is no row %q: choose from %s", name, strings.Join(names, ", "))
		}
		o.rows = append(o.rows, name)
	}
	switch {
	case o.rounds < 0:
		return o, fmt.Errorf("--rounds is %d: it is at least 1", o.rounds)
	case o.rounds == 0 && o.quick:
		o.rounds = 3
	case o.rounds == 0:
		o.rounds = 5
	}
	return o, nil
}
