package config

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Show writes the server's configuration as YAML that can be a configuration
// file itself, each setting with where it comes from. A secret shows as a mask,
// which is not taken as one. The error is that of Config.
func (f ServeFlags) Show(w io.Writer) error {
	p := settle(&f, f.FileFlags)
	f.check(p)
	if err := p.err(); err != nil {
		return err
	}
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	s := shower{table, p.layers}
	s.settings(&f)
	s.live()
	if err := table.Flush(); err != nil {
		return fmt.Errorf("show the configuration: %w", err)
	}
	_, err := out.WriteTo(w)
	return err
}

// shower writes lines of a value, a tab and a comment that says where it comes
// from.
type shower struct {
	out io.Writer
	*layers
}

func (s *shower) line(value string, from any) {
	fmt.Fprintf(s.out, "%s\t# %v\n", value, from)
}

// settings writes each setting. Of a secret and its file, or an address and its
// port, only the one that counts.
func (s *shower) settings(flags any) {
	fields := settings(flags)
	counts := make(map[string]bool) // by alternative: one of them was given
	for _, f := range fields {
		if _, ok := s.origins[f.flag]; ok {
			counts[f.alternative()] = true
		}
	}
	for _, f := range fields {
		o, given := s.origins[f.flag]
		if !given && (counts[f.alternative()] || f.alternative() != f.flag) {
			continue
		}
		s.line(f.key()+": "+plain(f.normal()), o)
	}
}

// normal is the value in the one form that all its forms have.
func (f field) normal() string {
	text := strings.TrimSpace(f.text())
	if text == "" && !f.is(Bool("")) {
		text = f.fallback
	}
	switch {
	case text == "" && f.is(Bool("")):
		return "false"
	case f.is(Bool("")):
		var p problems
		return fmt.Sprint(p.boolean(f.env, Bool(text)))
	case text == "":
		return ""
	case f.is(Secret("")):
		return mask
	case f.is(Duration("")):
		if d, err := parseDuration(text); err == nil {
			return formatDuration(d)
		}
	}
	return text
}

// live writes what only the file sets.
func (s *shower) live() {
	doc := s.file
	s.line("env_keep: "+plainList(doc.live.EnvKeep), s.placed(keyEnvKeep))
	fmt.Fprintln(s.out, "retention:")
	for _, r := range []struct {
		key  string
		kept any
	}{
		{"events", formatDuration(doc.live.Retention.Events)},
		{"builds", formatDuration(doc.live.Retention.Builds)},
		{"deliveries", formatDuration(doc.live.Retention.Deliveries)},
	} {
		s.line(fmt.Sprintf("  %s: %s", r.key, r.kept), s.placed("retention."+r.key))
	}
	if len(doc.live.Teams) == 0 {
		s.line("teams: []", s.placed(keyTeams))
		return
	}
	s.line("teams:", s.placed(keyTeams))
	for i, t := range doc.live.Teams {
		fmt.Fprintf(s.out, "  - name: %s\n    pipelines: %s\n", plain(t.Name), plainList(t.Pipelines))
		if t.Retention.Events != 0 {
			fmt.Fprintln(s.out, "    retention:")
			s.line("      events: "+formatDuration(t.Retention.Events), s.placed(teamEvents(i)))
		}
	}
}

// placed says where in the file something stands.
func (s *shower) placed(key string) origin {
	if at, ok := s.file.places[key]; ok {
		return origin{fromFile, s.file.Path, at}
	}
	return origin{}
}

// plain writes a text as YAML, in quotes unless it is an ordinary word.
func plain(text string) string {
	ordinary := func(r rune) bool {
		return r == '_' || r == '.' || r == '/' || r == '-' || r == ':' ||
			r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	odd := func(r rune) bool { return !ordinary(r) }
	if text != "" && !strings.ContainsFunc(text, odd) && !strings.ContainsAny(text[:1], "-:.") && !strings.HasSuffix(text, ":") && !strings.EqualFold(text, "null") {
		return text
	}
	return strconv.Quote(text) // Go's escapes are YAML's
}

func plainList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = plain(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
