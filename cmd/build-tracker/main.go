// Command build-tracker takes Buildkite's webhooks, keeps what they say, and
// tells people about failed builds.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitFailed = 1 // the command could not do its work
	exitUsage  = 2 // the command line or the configuration is wrong
)

type cli struct {
	Serve    serveCommand    `cmd:"" help:"Run the server: webhooks in; state, events and notices out."`
	Rebuild  rebuildCommand  `cmd:"" help:"Recompute the state of every build from the event stream."`
	Backfill backfillCommand `cmd:"" help:"Fetch builds that webhooks missed from Buildkite."`
	Migrate  migrateCommand  `cmd:"" help:"Apply database migrations and exit."`
	Send     sendCommand     `cmd:"" help:"Post recorded webhook payloads to a server, signed and in order."`
	Simulate simulateCommand `cmd:"" help:"Make realistic Buildkite traffic, and post it or write it to a file."`
	Watch    watchCommand    `cmd:"" help:"Follow a build live until it ends, or all builds of a pipeline."`
	Stats    statsCommand    `cmd:"" help:"Show what builds add up to: failures, times, flaky and slow steps."`
	Export   exportCommand   `cmd:"" help:"Export a range of the event stream to files or to BigQuery."`
	Config   configCommands  `cmd:"" help:"Look at the configuration."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

const description = `Tracks Buildkite's builds: what failed, since when, and who should know.

Every flag has an environment variable; the flag wins over it, and both win over the configuration file. SANITY_CHECK=true has any command exit at once: the program runs.`

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code.
func run(args []string) int {
	if sane, err := strconv.ParseBool(os.Getenv("SANITY_CHECK")); err == nil && sane {
		return 0
	}
	parser, err := kong.New(&cli{},
		kong.Name("build-tracker"),
		kong.Description(description),
		kong.Vars{"version": versionLine()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return report(os.Stderr, "", err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return report(os.Stderr, selected(err), usageError{err})
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends the work in order, the second one the program.
	context.AfterFunc(ctx, stop)
	command.BindTo(ctx, (*context.Context)(nil))
	return report(os.Stderr, command.Selected().Path(), command.Run(terminal{stdout: os.Stdout, stderr: os.Stderr}))
}

// usageError is an error in what the program was told.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// exitError ends the program with a code of its own. Without an error it says
// nothing more.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// report writes an error for people to read, a line a problem, and returns the
// exit code.
func report(w io.Writer, command string, err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "build-tracker: %s\n", strings.TrimRight(line, "\n"))
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	var usage usageError
	if !errors.As(err, &usage) {
		return exitFailed
	}
	fmt.Fprintf(w, "`%s --help` lists the flags and their variables.\n", strings.TrimSpace("build-tracker "+command))
	return exitUsage
}

// selected returns the command that a wrong command line names, or "".
func selected(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		return parse.Context.Selected().Path()
	}
	return ""
}
