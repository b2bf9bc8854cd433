package stats

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Format is the version of what Append writes. What another one wrote is counted
// anew. It changes too when what is counted does.
const Format = 1

// maxStored bounds the steps that are stored of a tally: those that ran in the most
// builds.
const maxStored = 200

// errDamaged: these bytes are none that Append wrote.
var errDamaged = errors.New("the stored tally is damaged")

// Append appends the tally as it is stored to dst: the same bytes for the same
// builds, in whatever order they were counted. It is numbers, each a varint.
func (t *Tally) Append(dst []byte) []byte {
	for _, n := range t.builds {
		dst = appendCount(dst, n)
	}
	dst = appendCount(dst, t.longest)
	dst = appendCount(dst, t.incidents)
	dst = appendCount(dst, t.red.Milliseconds())
	dst = t.took.append(dst)
	dst = t.waited.append(dst)
	names := t.stored()
	dst = appendCount(dst, int64(len(names)))
	for _, name := range names {
		s := t.steps[name]
		dst = appendText(dst, name.pipeline)
		dst = appendText(dst, name.name)
		dst = appendCount(dst, s.runs)
		dst = appendCount(dst, s.failures)
		dst = appendCount(dst, s.flakes)
		dst = s.took.append(dst)
	}
	return dst
}

func (t *Tally) stored() []stepName {
	names := slices.SortedFunc(maps.Keys(t.steps), func(x, y stepName) int {
		return cmp.Or(cmp.Compare(t.steps[y].runs, t.steps[x].runs), strings.Compare(x.pipeline, y.pipeline), strings.Compare(x.name, y.name))
	})
	return names[:min(len(names), maxStored)]
}

// append writes the buckets that hold something, each after how many do not.
func (h *Histogram) append(dst []byte) []byte {
	held := 0
	for _, n := range h.counts {
		if n > 0 {
			held++
		}
	}
	dst = appendCount(dst, int64(held))
	next := 0
	for bucket, n := range h.counts {
		if n > 0 {
			dst = appendCount(dst, int64(bucket-next))
			dst = appendCount(dst, n)
			next = bucket + 1
		}
	}
	return dst
}

func appendCount(dst []byte, n int64) []byte { return binary.AppendUvarint(dst, uint64(n)) }

func appendText(dst []byte, s string) []byte { return append(appendCount(dst, int64(len(s))), s...) }

// AddStored adds what Append wrote to the tally, as if its builds had been counted
// here. After an error the tally is of no use.
func (t *Tally) AddStored(data []byte) error {
	r := &reader{data: data}
	for i := range t.builds {
		t.builds[i] += r.count()
	}
	t.longest = max(t.longest, r.count())
	t.incidents += r.count()
	t.red += time.Duration(r.count()) * time.Millisecond
	r.histogram(&t.took)
	r.histogram(&t.waited)
	for range r.count() {
		s := r.step(t)
		runs, failures, flakes := r.count(), r.count(), r.count()
		if r.damaged {
			break
		}
		s.runs += runs
		s.failures += failures
		s.flakes += flakes
		r.histogram(&s.took)
	}
	if r.damaged || r.at < len(r.data) {
		return errDamaged
	}
	return nil
}

// reader reads numbers from data on, zeros once it is damaged.
type reader struct {
	data    []byte
	at      int
	damaged bool
}

func (r *reader) count() int64 {
	if r.at < len(r.data) && r.data[r.at] < 0x80 { // most are small
		r.at++
		return int64(r.data[r.at-1])
	}
	v, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 || int64(v) < 0 {
		r.damage()
		return 0
	}
	r.at += n
	return int64(v)
}

func (r *reader) damage() { r.at, r.damaged = len(r.data), true }

func (r *reader) text() []byte {
	n := r.count()
	if n > int64(len(r.data)-r.at) {
		r.damage()
		return nil
	}
	r.at += int(n)
	return r.data[r.at-int(n) : r.at]
}

func (r *reader) histogram(into *Histogram) {
	bucket := -1
	for range r.count() {
		bucket += 1 + int(min(r.count(), buckets))
		n := r.count()
		if r.damaged || bucket >= buckets {
			r.damage()
			return
		}
		into.add(bucket, n)
	}
}

// step returns where the step that comes next is counted: nowhere, when the tally
// has too many.
func (r *reader) step(t *Tally) *step {
	pipeline, name := r.text(), r.text()
	if s, known := t.steps[stepName{string(pipeline), string(name)}]; known { // makes no strings
		return s
	}
	return cmp.Or(t.step(stepName{string(pipeline), string(name)}), new(step))
}

// cut returns at most n bytes of a text, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
