package config

import (
	"math"
	"strings"
)

// Watch says what is followed, and how it is shown.
type Watch struct {
	Client
	// Organization and Pipeline are slugs: what is followed, or the build's.
	Organization, Pipeline string
	// Number is the build's; 0 follows the whole pipeline.
	Number int64
	// From is the seq of the first event of the build to be shown.
	From int64
	// JSON prints events as they came.
	JSON bool
}

// WatchFlags are the flags of a command that follows a build or a pipeline.
type WatchFlags struct {
	Pipeline string `name:"pipeline" env:"BUILDTRACKER_WATCH_PIPELINE" placeholder:"ORG/PIPELINE" help:"Follow all builds of this pipeline instead, from now on."`
	From     string `name:"from" env:"BUILDTRACKER_WATCH_FROM" placeholder:"SEQ" help:"Begin with this event of the build. Without it: with the first, 0."`
	JSON     Bool   `name:"json" env:"BUILDTRACKER_WATCH_JSON" help:"Print the events themselves, one a line."`
	ClientFlags
}

// Config returns what to follow, or an error with all that is wrong with it.
// The build is ORG/PIPELINE/NUMBER, or empty where the flags name a pipeline.
func (f WatchFlags) Config(build string) (*Watch, error) {
	var p problems
	w := &Watch{Client: *p.client(f.ClientFlags), JSON: p.boolean("BUILDTRACKER_WATCH_JSON", f.JSON)}
	build, pipeline, from := strings.TrimSpace(build), strings.TrimSpace(f.Pipeline), strings.TrimSpace(f.From)
	switch {
	case build == "" && pipeline == "":
		p.add("nothing to watch: name a build as ORG/PIPELINE/NUMBER, or a pipeline with --pipeline=ORG/PIPELINE")
	case build != "" && pipeline != "":
		p.add("BUILDTRACKER_WATCH_PIPELINE is %q, and %q is to be watched: leave out one of them", pipeline, build)
	case build != "":
		p.build(w, build)
	default:
		w.Organization, w.Pipeline = p.pipelineName("BUILDTRACKER_WATCH_PIPELINE", pipeline)
	}
	if from != "" {
		w.From = int64(p.whole("BUILDTRACKER_WATCH_FROM", from, 0, math.MaxInt64))
		if pipeline != "" {
			p.add("BUILDTRACKER_WATCH_FROM counts a build's events: leave it out with --pipeline, which begins now")
		}
	}
	return w, p.err()
}

// build takes ORG/PIPELINE/NUMBER apart.
func (p *problems) build(w *Watch, text string) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		p.add("the build is %q: write ORG/PIPELINE/NUMBER, such as acme/web/42", text)
		return
	}
	w.Organization, w.Pipeline = parts[0], parts[1]
	w.Number = int64(p.whole("the build's number", parts[2], 1, math.MaxInt64))
}
