package simulate

import "time"

// deliver has the line bring what Buildkite sends at a time: then, or later, or
// twice. Next is when Buildkite sends something of the same build again, zero
// for never; render makes the payload, anew for each sending.
func (s *Simulation) deliver(at, next time.Time, render func() Delivery) {
	switch gap := next.Sub(at); {
	case chance(s.wire, s.opts.Late):
		at = at.Add(between(s.wire, time.Minute, 45*time.Minute))
	case chance(s.wire, s.opts.Reorder) && gap >= 0 && gap < time.Hour:
		at = next.Add(between(s.wire, time.Millisecond, 2*time.Second))
	}
	s.sendAt(at, render)
	if chance(s.wire, s.opts.Duplicates) {
		s.sendAt(at.Add(between(s.wire, time.Second, 2*time.Minute)), render)
	}
}

func (s *Simulation) sendAt(at time.Time, render func() Delivery) {
	if s.opts.Pace == 0 && at.After(s.end) {
		at = s.end // the history ends with all that was sent
	}
	s.tasks.push(at, func(t time.Time) (Delivery, bool) {
		d := render()
		d.At = t
		return d, true
	})
}
