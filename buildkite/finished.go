package buildkite

import "time"

// FinishedAt returns when the build or the job finished whose end a delivery tells
// of. It is zero for another delivery, and where the payload does not tell.
func (d *Delivery) FinishedAt() time.Time {
	var subject string
	switch d.Event {
	case "build.finished":
		subject = "build"
	case "job.finished":
		subject = "job"
	default:
		return time.Time{}
	}
	s := scanner{b: d.Data}
	if s.peek() != '{' {
		return time.Time{}
	}
	var at span
	for m := s.enter(); s.member(&m); {
		if string(s.name(&m)) != subject {
			s.skip()
			continue
		}
		at = span{}
		s.members(func(name []byte) *span {
			if string(name) == "finished_at" {
				return &at
			}
			return nil
		})
	}
	return values(d.Data).time(at)
}
