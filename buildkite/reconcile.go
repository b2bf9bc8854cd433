package buildkite

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/build-tracker/build-tracker/build"
)

// SourceReconcile is the source, at the top of a payload, of what no webhook told
// and was asked for.
const SourceReconcile = "reconcile"

// Shown is a build as the REST API shows it.
type Shown struct {
	// Facts are of the build and of its jobs, as those of a delivery are.
	Facts build.Facts

	build []byte            // its members but jobs and pipeline
	rest  []byte            // the members of a payload that follow it
	jobs  map[string][]byte // by id
}

// ReadShown reads one build of an organization's. Its error is a *ParseError: it
// is no build.
func ReadShown(organization string, raw []byte) (*Shown, error) {
	s := scanner{b: raw}
	s.space()
	if s.peek() != '{' {
		return nil, &ParseError{Problem: "A build of the REST API is no JSON object.", Offset: s.i}
	}
	shown := &Shown{jobs: make(map[string][]byte)}
	var pipeline, jobs span
	for m := s.enter(); s.member(&m); {
		name, key := string(s.name(&m)), m.key
		value := s.skip()
		switch name {
		case "pipeline":
			pipeline = value
		case "jobs":
			jobs = value
		default:
			shown.build = append(append(shown.build, separator(shown.build)...), raw[key:value.end]...)
		}
	}
	if s.fault != "" {
		return nil, s.parseError()
	}
	slug, err := json.Marshal(organization)
	if err != nil {
		return nil, fmt.Errorf("the organization's name: %w", err)
	}
	shown.rest = fmt.Appendf(nil, `,"organization":{"slug":%s}`, slug)
	if pipeline != (span{}) {
		shown.rest = fmt.Appendf(shown.rest, `,"pipeline":%s`, raw[pipeline.start:pipeline.end])
	}
	shown.readJobs(raw, jobs)

	// As one payload, which says it all.
	whole := fmt.Appendf(nil, `{"event":"build.finished","build":%s%s}`, raw, shown.rest)
	if shown.Facts, err = Facts(whole); err != nil {
		return nil, err
	}
	return shown, nil
}

func separator(before []byte) string {
	if len(before) == 0 {
		return ""
	}
	return ","
}

func (w *Shown) readJobs(raw []byte, jobs span) {
	v := values(raw)
	if v.kind(jobs) != '[' {
		return
	}
	s := scanner{b: raw[:jobs.end], i: jobs.start}
	for m := s.enter(); s.element(&m); {
		at := s.skip()
		if id := v.id(v.lookup(at, "id")); id != "" {
			w.jobs[id] = raw[at.start:at.end]
		}
	}
}

// Deliveries returns what webhooks would have told of what is missing: jobs in the
// order in which they finished, then the build. They say where they come from. Of
// one build, as long as it stays as it is, they have the same keys.
func (w *Shown) Deliveries(missing build.Missing, opts Options) ([]*Delivery, error) {
	finished := make(map[string]int64, len(w.Facts.Jobs))
	for i := range w.Facts.Jobs {
		finished[w.Facts.Jobs[i].ID] = w.Facts.Jobs[i].FinishedAt.UnixNano()
	}
	ids := slices.Clone(missing.Jobs)
	slices.SortFunc(ids, func(x, y string) int { return cmp.Or(cmp.Compare(finished[x], finished[y]), cmp.Compare(x, y)) })
	var out []*Delivery
	add := func(event string, job []byte) error {
		payload := fmt.Appendf(nil, `{"event":%q,"source":%q,"build":{%s}%s`, event, SourceReconcile, w.build, w.rest)
		if job != nil {
			payload = fmt.Appendf(payload, `,"job":%s`, job)
		}
		d, err := Parse(append(payload, '}'), Options{EnvKeep: opts.EnvKeep})
		if err != nil {
			return fmt.Errorf("make %s of build %s: %w", event, w.Facts.Build.ID, err)
		}
		out = append(out, d)
		return nil
	}
	for _, id := range ids {
		if err := add("job.finished", w.jobs[id]); err != nil {
			return nil, err
		}
	}
	if missing.Build {
		if err := add("build.finished", nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}
