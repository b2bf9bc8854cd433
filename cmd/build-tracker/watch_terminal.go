package main

import (
	"os"
	"time"

	"golang.org/x/term"
)

// showsResults says whether a person looks at stdout.
func (t terminal) showsResults() bool {
	f, ok := t.stdout.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// screen returns a screen on stdout with a function that tells its width and
// height, or nil where that is no terminal, or one that cannot move its cursor.
func (t terminal) screen() (*screen, func() (width, height int, err error)) {
	f, ok := t.stdout.(*os.File)
	if !ok || !t.showsResults() || os.Getenv("TERM") == "dumb" {
		return nil, nil
	}
	// https://no-color.org
	return &screen{out: f, color: os.Getenv("NO_COLOR") == ""}, func() (int, int, error) { return term.GetSize(int(f.Fd())) }
}

// screenView draws a build on a terminal.
type screenView struct {
	t       terminal
	address string
	build   seenBuild
	begun   bool // there is something to draw
	screen  *screen
	size    func() (width, height int, err error)
}

func (v *screenView) event(e *envelope, _ []byte) error {
	v.build.take(e)
	v.begun = true
	return nil
}

func (v *screenView) refresh() error {
	if !v.begun {
		return nil
	}
	width, height, err := v.size()
	if err != nil || width < 1 || height < 1 {
		width, height = 80, 24 // it has a size, and does not tell
	}
	return v.screen.show(v.build.draw(v.address, canvas{width: width, height: height, now: time.Now()}), width)
}

// news goes above the drawing, which the next refresh brings back.
func (v *screenView) news(text string) error {
	if err := v.screen.hide(); err != nil {
		return err
	}
	return v.t.news(text)
}

func (v *screenView) end(status string) error {
	if status != "" {
		v.build.Status = status
	}
	if err := v.refresh(); err != nil {
		return err
	}
	return v.screen.end()
}
