package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/time/rate"

	"github.com/build-tracker/build-tracker/config"
)

// sendCommand posts recorded deliveries.
type sendCommand struct {
	Files []string `arg:"" name:"file" help:"Recorded payloads, as JSON or JSON lines; - is the standard input."`
	config.SendFlags
}

// Help is what `send --help` says above its flags.
func (sendCommand) Help() string {
	return `Posts recorded webhook payloads to a server as Buildkite would, in order and one at a time: the JSON objects of each file, on a line each or over several. With a webhook token they are signed.

What the server cannot take now is posted again for up to half a minute. The first payload that it refuses ends the command, which names its file and line. A payload that the server has already is a duplicate and changes nothing: what was interrupted can be sent again as a whole.`
}

// Run posts what is in the files.
func (c *sendCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.Config()
	total, unreadable := recordedBytes(c.Files)
	if err := errors.Join(err, unreadable); err != nil {
		return usageError{err}
	}
	s := sending{
		to:    newDeliverer(&cfg.Deliver),
		pace:  rate.NewLimiter(rate.Limit(cfg.Rate), 1),
		bar:   newProgress(t, "Sending", progressbar.OptionShowBytes(true)),
		total: total,
		words: map[string]int{},
	}
	err = s.files(ctx, c.Files)
	s.bar.end()
	fmt.Fprintln(t.stderr, s.summary())
	if errors.Is(err, context.Canceled) {
		return errors.New("send: interrupted; send it again as a whole, what was sent counts once")
	}
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// recordedBytes returns how long the files are together, -1 when that cannot be
// known, and an error with a line for each that cannot be read.
func recordedBytes(files []string) (int64, error) {
	var total int64
	var problems []error
	stdin := 0
	for _, name := range files {
		if name == "-" {
			if stdin++; stdin == 2 {
				problems = append(problems, errors.New("- is given twice, and the standard input can be read once"))
			}
			total = -1
			continue
		}
		size, err := regularSize(name)
		var path *fs.PathError
		switch {
		case errors.As(err, &path):
			problems = append(problems, fmt.Errorf("%s: %w", path.Path, path.Err))
		case err != nil:
			problems = append(problems, err)
		case size < 0 || total < 0:
			total = -1
		default:
			total += size
		}
	}
	return total, errors.Join(problems...)
}

// regularSize returns how long a file is, -1 for one such as a pipe. It opens
// no pipe: that can be done once.
func regularSize(name string) (int64, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return 0, err
	case info.IsDir():
		return 0, fmt.Errorf("%s is a folder: name the files in it", name)
	case !info.Mode().IsRegular():
		return -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	f.Close()
	return info.Size(), nil
}

// sending is what a send has done so far.
type sending struct {
	to    *deliverer
	pace  *rate.Limiter
	bar   *progress
	done  int64          // bytes of the files before this one
	total int64          // bytes of all files, -1 when not known
	words map[string]int // deliveries by what became of them
}

// files posts what is in each file.
func (s *sending) files(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := s.file(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *sending) file(ctx context.Context, name string) error {
	in := os.Stdin
	if name == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	return s.payloads(ctx, newRecording(ctx, name, in))
}

// payloads posts what is in one file.
func (s *sending) payloads(ctx context.Context, r *recording) error {
	defer func() { s.done += r.read }()
	for {
		p, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.pace.Wait(ctx); err != nil {
			return err
		}
		word, err := s.to.post(ctx, p.body)
		if err != nil {
			return p.refused(err)
		}
		s.words[word]++
		s.bar.set(s.done+r.read, s.total)
	}
}

// summary says how many deliveries were sent, and what became of them.
func (s *sending) summary() string {
	sent := 0
	var parts []string
	for _, word := range outcomes() {
		if n := s.words[word]; n > 0 {
			sent += n
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	if sent == 0 {
		return "Sent: none"
	}
	return fmt.Sprintf("Sent: %d (%s)", sent, strings.Join(parts, ", "))
}
