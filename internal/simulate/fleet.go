package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// fleet are the agents of an organization that are there.
type fleet struct {
	organization *organization
	agents       []*agent
	made         int
}

// agent runs jobs.
type agent struct {
	organization *organization
	id, name     string
	number       int
	connected    time.Time
}

// agentVersion is how an agent stands at a moment.
type agentVersion struct {
	event, state           string
	lost, stopping, leaves time.Time // zero for not
}

// newFleet makes a fleet whose first agents, for night and day, connect at the
// start of the history.
func (s *Simulation) newFleet(o *organization, size int) *fleet {
	f := &fleet{organization: o}
	for range size {
		s.connect(f, s.opts.Start.Add(between(s.world, 0, 3*time.Second)))
	}
	return f
}

// connect adds an agent to a fleet.
func (s *Simulation) connect(f *fleet, t time.Time) *agent {
	f.made++
	a := &agent{organization: f.organization, id: s.uuid(t), name: fmt.Sprintf("%s-linux-%d", f.organization.slug, f.made), number: f.made, connected: t}
	f.agents = append(f.agents, a)
	s.tell(t, a, agentVersion{event: "agent.connected", state: "connected"})
	return a
}

// workingDays has more agents come for each working day: they stop or
// disconnect in the evening.
func (s *Simulation) workingDays() {
	morning := s.opts.Start.Truncate(day24).Add(7*time.Hour + 30*time.Minute)
	for morning.Before(s.opts.Start) {
		morning = morning.Add(day24)
	}
	s.at(morning, s.shift)
}

func (s *Simulation) shift(morning time.Time) {
	if next := morning.Add(day24); s.opts.Pace > 0 || next.Before(s.end) {
		s.at(next, s.shift)
	}
	if !isWorkday(morning) {
		return
	}
	for _, f := range s.fleets {
		for range len(f.agents) / 2 {
			a := s.connect(f, morning.Add(between(s.world, 0, 10*time.Minute)))
			evening := morning.Add(between(s.world, 11*time.Hour, 13*time.Hour))
			if s.opts.Pace > 0 || evening.Before(s.end.Add(-lastRun)) {
				s.at(evening, func(t time.Time) { s.release(f, a, t) })
			}
		}
	}
}

// release lets an agent go, if it is not lost already. Some are told to stop,
// the others just leave.
func (s *Simulation) release(f *fleet, a *agent, t time.Time) {
	if !f.remove(a) {
		return
	}
	if chance(s.world, 0.5) {
		v := agentVersion{event: "agent.stopping", state: "stopping", stopping: t}
		s.tell(t, a, v)
		t = t.Add(between(s.world, time.Second, time.Minute))
		v.event, v.state, v.leaves = "agent.stopped", "stopped", t
		s.tell(t, a, v)
	}
	t = t.Add(time.Second)
	s.tell(t, a, agentVersion{event: "agent.disconnected", state: "disconnected", leaves: t})
}

// loseAgent has an agent vanish at t; another takes its place.
func (s *Simulation) loseAgent(a *agent, t time.Time) {
	f := a.organization.fleet
	if !f.remove(a) {
		return
	}
	s.tell(t, a, agentVersion{event: "agent.lost", state: "lost", lost: t})
	s.connect(f, t)
}

// remove says whether the agent was still there.
func (f *fleet) remove(a *agent) bool {
	i := slices.Index(f.agents, a)
	if i < 0 {
		return false
	}
	f.agents = slices.Delete(f.agents, i, i+1)
	return true
}

// pick returns an agent for a job.
func (f *fleet) pick(dice *rand.Rand) *agent { return pick(dice, f.agents) }

// tell sends an event of an agent.
func (s *Simulation) tell(t time.Time, a *agent, v agentVersion) {
	s.deliver(t, time.Time{}, func() Delivery { return s.renderAgent(a, v) })
}
