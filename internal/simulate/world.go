package simulate

import (
	"fmt"
	"time"
)

// pipeline is one that builds run in, and how it does at the moment.
type pipeline struct {
	plan
	organization *organization
	id           string
	file         string // its configuration
	number       int64  // of its latest build
	pull         int    // number of its latest pull request
	// broken is the step that fails on the default branch until somebody mends
	// it; nil when all is well.
	broken   *step
	branches []*branch // under way, apart from the default one
	triggers map[string]*pipeline
}

// organization is one at Buildkite.
type organization struct {
	slug    string
	cluster string
	fleet   *fleet
	people  []person
}

// branch is one that a person works on.
type branch struct {
	name, topic string
	author      person
	pull        int // 0 for none
}

// found makes the organizations, their people, agents and pipelines.
func (s *Simulation) found() {
	byName := make(map[string]*organization)
	for i, slug := range []string{"acme", "globex", "initech"} {
		o := &organization{slug: slug, cluster: s.uuid(s.opts.Start)}
		o.people = staff(slug, i)
		for j := range o.people {
			o.people[j].joined = s.opts.Start.AddDate(-1, 0, j)
			o.people[j].id = s.uuid(o.people[j].joined)
		}
		o.fleet = s.newFleet(o, 4+4*(2-i))
		s.fleets = append(s.fleets, o.fleet)
		byName[slug] = o
	}
	bySlug := make(map[string]*pipeline)
	for _, p := range plans() {
		made := s.opts.Start.AddDate(0, -3-s.names.IntN(30), 0)
		line := &pipeline{
			plan: p, organization: byName[p.owner], id: s.uuid(made), file: p.configuration(), pull: 100 + s.world.IntN(2000),
			triggers: make(map[string]*pipeline),
		}
		s.pipelines = append(s.pipelines, line)
		bySlug[p.owner+"/"+p.slug] = line
	}
	for _, line := range s.pipelines {
		for i := range line.steps {
			if st := &line.steps[i]; st.kind == trigger {
				line.triggers[st.target] = bySlug[line.owner+"/"+st.target]
			}
		}
	}
}

// pickPipeline chooses where the next build runs.
func (s *Simulation) pickPipeline() *pipeline {
	total := 0
	for _, p := range s.pipelines {
		total += p.weight
	}
	n := s.world.IntN(total)
	for _, p := range s.pipelines {
		if n -= p.weight; n < 0 {
			return p
		}
	}
	panic("simulate: no pipeline has a weight")
}

// pickBranch chooses what the next build of p builds: the default branch, as
// nil, or work of somebody's, begun just now or before.
func (s *Simulation) pickBranch(p *pipeline) *branch {
	if chance(s.world, p.onDefault) {
		return nil
	}
	const most = 5
	if len(p.branches) < most && chance(s.world, 0.5) || len(p.branches) == 0 {
		b := &branch{author: pick(s.world, p.organization.people), topic: pick(s.world, topics)}
		b.name = branchName(s.world, b.topic)
		if chance(s.world, 0.7) {
			p.pull++
			b.pull = p.pull
		}
		p.branches = append(p.branches, b)
		return b
	}
	i := s.world.IntN(len(p.branches))
	b := p.branches[i]
	if chance(s.world, 0.3) { // merged, or given up
		p.branches = append(p.branches[:i:i], p.branches[i+1:]...)
	}
	return b
}

// mishap decides what step a build of p breaks; nil for none. A default branch
// that is broken stays so for some builds.
func (s *Simulation) mishap(p *pipeline, b *branch) *step {
	if b != nil {
		if chance(s.world, 0.12+p.trouble*2) {
			return s.anyStep(p)
		}
		return nil
	}
	switch {
	case p.broken == nil && chance(s.world, p.trouble):
		p.broken = s.anyStep(p)
	case p.broken != nil && chance(s.world, p.mending):
		p.broken = nil
	}
	return p.broken
}

// anyStep returns a step of p that can break a build.
func (s *Simulation) anyStep(p *pipeline) *step {
	var can []*step
	for i := range p.steps {
		if st := &p.steps[i]; st.kind == command && !st.soft {
			can = append(can, st)
		}
	}
	return pick(s.world, can)
}

// isBad: t lies on the day on which nothing passes.
func (s *Simulation) isBad(t time.Time) bool {
	return !s.badDay.IsZero() && !t.Before(s.badDay) && t.Before(s.badDay.Add(day24))
}

func (p *pipeline) repository() string {
	return fmt.Sprintf("git@github.com:%s/%s.git", p.owner, p.slug)
}

func (p *pipeline) url() string {
	return fmt.Sprintf("https://api.buildkite.com/v2/organizations/%s/pipelines/%s", p.owner, p.slug)
}

func (p *pipeline) webURL() string {
	return fmt.Sprintf("https://buildkite.com/%s/%s", p.owner, p.slug)
}
