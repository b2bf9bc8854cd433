package config

import (
	"strings"
	"time"
)

// The least is one partition of events; the most is as good as for ever.
const (
	minRetention = day
	maxRetention = 100 * 365 * day
)

func (d *decoder) retention(e entry) {
	r := &d.doc.live.Retention
	to := map[string]*time.Duration{"events": &r.Events, "builds": &r.Builds, "deliveries": &r.Deliveries}
	for _, v := range d.mapping(e.value, mappingOptions{what: keyRetention, keys: []string{"events", "builds", "deliveries"}}) {
		d.keep(v, keyRetention+"."+v.key, to[v.key])
	}
}

// keep reads how long something is kept; nothing leaves it as it is.
func (d *decoder) keep(e entry, name string, to *time.Duration) {
	text, ok := d.text(e)
	if !ok || strings.TrimSpace(text) == "" {
		return
	}
	duration, err := parseDuration(strings.TrimSpace(text))
	switch {
	case err != nil:
		d.fail(e.at, "%s is %s, which is no duration: write for example 90d", name, quoted(text))
	case duration < minRetention:
		d.fail(e.at, "%s is %s: write at least %s", name, quoted(text), formatDuration(minRetention))
	case duration > maxRetention:
		d.fail(e.at, "%s is %s: write at most %s, which is a hundred years", name, quoted(text), formatDuration(maxRetention))
	default:
		*to = duration
		d.doc.places[name] = e.at
	}
}

// order holds builds to outliving their events: what people look for is found
// through the build.
func (d *decoder) order() {
	live := &d.doc.live
	check := func(name string, events time.Duration) {
		if at, ok := d.doc.places[name]; ok && events > live.Retention.Builds {
			d.fail(at, "%s is %s, but builds are kept for %s: keep them at least as long, with retention.builds",
				name, formatDuration(events), formatDuration(live.Retention.Builds))
		}
	}
	check("retention.events", live.Retention.Events)
	for i, t := range live.Teams {
		check(teamEvents(i), t.Retention.Events)
	}
	if at, ok := d.doc.places["retention.builds"]; ok && d.doc.places["retention.events"] == (place{}) && live.Retention.Events > live.Retention.Builds {
		d.fail(at, "retention.builds is %s, but events are kept for %s: keep builds at least as long, or set retention.events",
			formatDuration(live.Retention.Builds), formatDuration(live.Retention.Events))
	}
}
