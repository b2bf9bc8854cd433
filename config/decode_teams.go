package config

import (
	"fmt"
	"strings"
)

// defaultTeam owns what no other team does.
const defaultTeam = "default"

// owned is a pattern that a team before has.
type owned struct {
	pattern string
	team    int
	line    int
}

func teamEvents(i int) string { return fmt.Sprintf("teams[%d].retention.events", i) }

func (d *decoder) teams(e entry) {
	d.doc.places[keyTeams] = e.keyAt
	names := make(map[string]int) // the lines of the names
	var all patterns
	for i, v := range d.list(e, "a team", maxTeams) {
		t := d.team(v, i, &all)
		line, again := names[t.Name]
		switch {
		case t.Name == "": // said
		case again:
			d.fail(v.at, "the team %s stands here again, line %d has it first: put the pipelines into one", quoted(t.Name), line)
		default:
			names[t.Name] = v.at.line
		}
		d.doc.live.Teams = append(d.doc.live.Teams, t)
	}
}

func (d *decoder) team(e entry, i int, all *patterns) (t Team) {
	before := len(d.problems)
	hasName, hasPipelines := false, false
	for _, v := range d.mapping(e.value, mappingOptions{what: "a team", keys: []string{"name", "pipelines", keyRetention}}) {
		switch v.key {
		case "name":
			hasName = true
			t.Name = d.teamName(v)
		case "pipelines":
			entries := d.list(v, "a pipeline", maxPatterns)
			// Whatever it is, it was not forgotten.
			hasPipelines = len(entries) > 0 || len(d.problems) > before
			for _, p := range entries {
				if pattern, ok := d.pattern(p, i, all); ok {
					t.Pipelines = append(t.Pipelines, pattern)
				}
			}
		case keyRetention:
			for _, r := range d.mapping(v.value, mappingOptions{what: "a team's retention", keys: []string{"events"}}) {
				d.keep(r, teamEvents(i), &t.Retention.Events)
			}
		}
	}
	if len(d.problems) > before {
		return t
	}
	if !hasName {
		d.fail(e.at, "this team has no name: write name: followed by one")
	}
	if !hasPipelines {
		d.fail(e.at, "this team has no pipelines: write pipelines: followed by a list such as [acme/web, acme/mobile-*]")
	}
	return t
}

func (d *decoder) teamName(e entry) string {
	name, ok := d.text(e)
	if !ok {
		return ""
	}
	switch {
	case strings.TrimSpace(name) == "":
		d.fail(e.at, "the team's name is empty: give it one")
	case name != strings.TrimSpace(name) || strings.ContainsFunc(name, isNoText):
		d.fail(e.at, "the team's name is %s: leave out line breaks, control characters and space around it", quoted(name))
	case len(name) > maxTeamName:
		d.fail(e.at, "the team's name is longer than %d bytes: shorten it", maxTeamName)
	case name == defaultTeam:
		d.fail(e.at, "a team cannot be called %s: that one owns what no team here does", defaultTeam)
	default:
		return name
	}
	return ""
}

// patterns are those that were read so far, of all teams.
type patterns struct {
	exact map[string]owned
	stars []owned
	full  bool
}

func (d *decoder) pattern(e entry, team int, all *patterns) (string, bool) {
	text, ok := d.text(e)
	if !ok {
		return "", false
	}
	organization, pipeline, slash := strings.Cut(text, "/")
	switch {
	case !slash || organization == "" || pipeline == "" || strings.Contains(pipeline, "/"):
		d.fail(e.at, "%s is no pipeline: write ORGANIZATION/PIPELINE, such as acme/web or acme/*", quoted(text))
	case strings.ContainsFunc(text, isNoSlug):
		d.fail(e.at, "%s matches no pipeline: write the slugs as in its address, which have lower-case letters, digits, - and _ only; * stands for any text", quoted(text))
	case len(organization) > maxSlug || len(pipeline) > maxSlug:
		d.fail(e.at, "%s is longer than any pipeline's address: shorten it", quoted(text))
	case len(all.exact) == maxPatterns:
		if !all.full {
			d.fail(e.at, "the teams have more than %d pipelines: use patterns with *", maxPatterns)
		}
		all.full = true
	default:
		return text, d.isFree(e, owned{text, team, e.at.line}, all)
	}
	return "", false
}

// isFree refuses a pattern that never gets its turn: it stands here twice, or a
// team before takes all that it matches.
func (d *decoder) isFree(e entry, o owned, all *patterns) bool {
	if first, again := all.exact[o.pattern]; again {
		d.fail(e.at, "%s stands here again, line %d has it first: remove one of them", o.pattern, first.line)
		return false
	}
	for _, s := range all.stars {
		if s.team != o.team && covers(s.pattern, o.pattern) {
			d.fail(e.at, "%s never gets its turn: line %d has %s for a team before. Put the narrower pattern first", o.pattern, s.line, s.pattern)
			return false
		}
	}
	if all.exact == nil {
		all.exact = make(map[string]owned)
	}
	all.exact[o.pattern] = o
	if strings.Contains(o.pattern, "*") {
		all.stars = append(all.stars, o)
	}
	return true
}

func isNoSlug(r rune) bool {
	return r != '*' && r != '/' && r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
}
