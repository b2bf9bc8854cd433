package main

import (
	"github.com/schollz/progressbar/v3"
)

// progress shows how far a rebuild is, where somebody looks at it.
type progress struct {
	bar   *progressbar.ProgressBar // nil where nobody does
	total int64
}

func newProgress(t terminal) *progress {
	if !t.interactive() {
		return &progress{}
	}
	return &progress{bar: progressbar.NewOptions64(1,
		progressbar.OptionSetWriter(t.stderr),
		progressbar.OptionSetDescription("Rebuilding"),
		progressbar.OptionShowCount(),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
	)}
}

// set takes how many builds are done, of how many.
func (p *progress) set(done, total int64) {
	p.total = total
	if p.bar == nil || total == 0 {
		return
	}
	p.bar.ChangeMax64(total)
	_ = p.bar.Set64(done) // a terminal that is gone is no reason to stop
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
