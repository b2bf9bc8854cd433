package build

import (
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Encode returns the stored form of a build: JSON, as the tags of Build say.
// It is written by hand, because the tracker encodes every build that a batch
// touched, and reflection would be most of that batch's own work.
func Encode(b *Build) []byte {
	o := object{dst: make([]byte, 0, 1024+len(b.Message.V)+512*len(b.Jobs))}
	o.begin()
	o.must("id", b.ID)
	o.must("org", b.Organization)
	o.must("pipeline", b.Pipeline)
	o.int("number", b.Number)
	o.text("web_url", b.WebURL)
	o.time("created_at", b.CreatedAt)
	o.time("started_at", b.StartedAt)
	o.version("latest", b.Latest)
	o.text("state", b.State)
	o.flag("blocked", b.Blocked)
	o.version("first_failed", b.FirstFailed)
	o.stamped("pipeline_name", &b.PipelineName)
	o.stamped("default_branch", &b.DefaultBranch)
	o.stamped("repository", &b.Repository)
	o.stamped("branch", &b.Branch)
	o.stamped("commit", &b.Commit)
	o.stamped("message", &b.Message)
	o.stamped("author_name", &b.AuthorName)
	o.stamped("author_email", &b.AuthorEmail)
	o.stamped("pull_request", &b.PullRequest)
	o.stamped("base_branch", &b.BaseBranch)
	if b.Parent != (Origin{}) {
		o.key("parent")
		o.origin(&b.Parent)
	}
	if len(b.Jobs) > 0 {
		o.key("jobs")
		o.begin()
		for _, id := range slices.Sorted(maps.Keys(b.Jobs)) {
			o.key(id)
			o.job(b.Jobs[id])
		}
		o.end()
	}
	if len(b.Children) > 0 {
		o.key("children")
		o.begin()
		for _, id := range slices.Sorted(maps.Keys(b.Children)) {
			o.key(id)
			o.child(b.Children[id])
		}
		o.end()
	}
	if b.Streak != (Streak{}) {
		o.key("streak")
		o.streak(b.Streak)
	}
	o.int("rev", b.Rev)
	o.int("last_seq", b.LastSeq)
	o.end()
	return o.dst[:len(o.dst)-1]
}

// object appends JSON. Members that are zero are left out, but those of must
// and int.
type object struct{ dst []byte }

func (o *object) begin() { o.dst = append(o.dst, '{') }

// end closes an object in place of the comma after its last member; a comma
// follows every value.
func (o *object) end() {
	if last := len(o.dst) - 1; o.dst[last] == ',' {
		o.dst = o.dst[:last]
	}
	o.dst = append(o.dst, '}', ',')
}

func (o *object) key(name string) { o.dst = append(appendString(o.dst, name), ':') }

func (o *object) must(name, s string) {
	o.key(name)
	o.dst = append(appendString(o.dst, s), ',')
}

func (o *object) text(name, s string) {
	if s != "" {
		o.must(name, s)
	}
}

func (o *object) int(name string, n int64) {
	o.key(name)
	o.dst = append(strconv.AppendInt(o.dst, n, 10), ',')
}

func (o *object) count(name string, n int64) {
	if n != 0 {
		o.int(name, n)
	}
}

func (o *object) maybe(name string, n *int) {
	if n != nil {
		o.int(name, int64(*n))
	}
}

func (o *object) flag(name string, is bool) {
	if is {
		o.key(name)
		o.dst = append(o.dst, "true,"...)
	}
}

func (o *object) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	o.key(name)
	o.dst = append(o.dst, '"')
	o.dst = append(t.AppendFormat(o.dst, time.RFC3339Nano), '"', ',')
}

func (o *object) version(name string, v Version) {
	if v == (Version{}) {
		return
	}
	o.key(name)
	o.dst = append(v.append(o.dst), ',')
}

func (o *object) stamped(name string, s *Stamped) {
	if *s == (Stamped{}) {
		return
	}
	o.key(name)
	o.begin()
	o.must("v", s.V)
	o.version("at", s.At)
	o.end()
}

func (o *object) origin(p *Origin) {
	o.begin()
	o.must("build_id", p.BuildID)
	o.count("number", p.Number)
	o.text("pipeline", p.Pipeline)
	o.end()
}

func (o *object) job(j *Job) {
	o.begin()
	o.must("id", j.ID)
	o.version("latest", j.Latest)
	o.text("state", j.State)
	o.maybe("exit", j.ExitStatus)
	o.flag("soft", j.SoftFailed)
	o.text("type", j.Type)
	o.text("name", j.Name)
	o.text("step_id", j.StepID)
	o.text("step_key", j.StepKey)
	o.maybe("parallel", j.ParallelGroupIndex)
	o.text("matrix", j.Matrix)
	o.text("retried_in", j.RetriedIn)
	o.text("retry_source", j.RetrySource)
	o.text("web_url", j.WebURL)
	o.time("created_at", j.CreatedAt)
	o.time("runnable_at", j.RunnableAt)
	o.time("started_at", j.StartedAt)
	o.text("queue", j.Queue)
	o.flag("async", j.Async)
	o.text("triggered", j.TriggeredBuildID)
	o.end()
}

func (o *object) child(c Child) {
	o.begin()
	o.must("org", c.Organization)
	o.must("pipeline", c.Pipeline)
	o.int("number", c.Number)
	o.must("status", string(c.Status))
	if len(c.Failed) > 0 {
		o.key("failed")
		o.dst = append(o.dst, '[')
		for i := range c.Failed {
			f := &c.Failed[i]
			o.begin()
			o.must("name", f.Name)
			o.text("web_url", f.WebURL)
			o.flag("uncounted", f.Uncounted)
			o.end()
		}
		o.dst[len(o.dst)-1] = ']'
		o.dst = append(o.dst, ',')
	}
	o.end()
}

func (o *object) streak(s Streak) {
	o.begin()
	o.count("failures", int64(s.Failures))
	o.count("first", s.FirstFailed)
	o.count("last_passed", s.LastPassed)
	o.end()
}

// appendString appends s as a JSON string; what is no UTF-8 is U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		switch {
		case c >= utf8.RuneSelf:
			dst = append(dst, "\uFFFD"...)
		case c < ' ':
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, '\\', c)
		}
		i++
		done = i
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}
