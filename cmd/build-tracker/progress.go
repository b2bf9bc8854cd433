package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far a command is, where somebody looks at it.
type progress struct {
	bar *progressbar.ProgressBar // nil where nobody does
}

// newProgress begins to show what is done. Options say how it is counted.
func newProgress(t terminal, what string, options ...progressbar.Option) *progress {
	if !t.interactive() {
		return &progress{}
	}
	return &progress{bar: progressbar.NewOptions64(1, append([]progressbar.Option{
		progressbar.OptionSetWriter(t.stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionClearOnFinish(),
	}, options...)...)}
}

// set takes how much is done, and of how much: -1 when nobody knows, and 0 as
// long as it is not known. Many goroutines may call it at the same time.
func (p *progress) set(done, total int64) {
	if p.bar == nil || total == 0 {
		return
	}
	if total != p.bar.GetMax64() {
		p.bar.ChangeMax64(total)
	}
	_ = p.bar.Set64(done) // a terminal that is gone is no reason to stop
}

// end removes the bar. Nothing is set any more.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
