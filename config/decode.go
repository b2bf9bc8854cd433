package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// Limits of what a file may hold.
const (
	maxTeams    = 500
	maxPatterns = 2000 // of all teams
	maxEnvKeep  = 100
	maxTeamName = 100 // bytes
	maxSlug     = 200 // bytes; no longer one is recorded
	maxProblems = 50  // that are told at once
)

// Keys of what only the file sets.
const (
	keyEnvKeep   = "env_keep"
	keyTeams     = "teams"
	keyRetention = "retention"
)

// decoder reads one file, and collects what is wrong with it.
type decoder struct {
	path     string
	doc      *document
	problems []*placed
}

func (d *decoder) fail(at place, format string, args ...any) {
	d.problems = append(d.problems, &placed{d.path, at, fmt.Errorf(format, args...)})
}

// parseDocument reads a file's text. What the settings mean is not its concern.
// With an error, the document is what could be read.
func parseDocument(path string, text []byte) (*document, error) {
	d := &decoder{path: path, doc: &document{
		File:     File{Path: path, Digest: sha256.Sum256(text)},
		settings: make(map[string]setting), places: make(map[string]place), live: defaultLive(),
	}}
	if root := d.parseYAML(text); root != nil {
		d.root(root)
	}
	return d.doc, d.err()
}

// err returns the first problems, in the order of the file.
func (d *decoder) err() error {
	slices.SortStableFunc(d.problems, func(a, b *placed) int { return a.at.compare(b.at) })
	var found []error
	for i, p := range d.problems {
		if i == maxProblems {
			found = append(found, &placed{d.path, p.at, fmt.Errorf("%d more problems begin here: mend those above first", len(d.problems)-i)})
			break
		}
		found = append(found, p)
	}
	return errors.Join(found...)
}

func (d *decoder) root(n ast.Node) {
	keys := []string{keyEnvKeep, keyTeams, keyRetention}
	variables := make(map[string]string)
	for _, f := range settings(ServeFlags{}) {
		keys = append(keys, f.key())
		variables[f.env] = f.key()
	}
	for _, e := range d.mapping(n, mappingOptions{what: "the configuration", keys: keys, variables: variables}) {
		switch e.key {
		case keyEnvKeep:
			d.envKeep(e)
		case keyTeams:
			d.teams(e)
		case keyRetention:
			d.retention(e)
		default:
			if text, ok := d.text(e); ok && strings.TrimSpace(text) != "" {
				d.doc.settings[e.key] = setting{text, e.at}
			}
		}
	}
	d.order()
}

// entry is one key of a mapping with its value, or one element of a list.
type entry struct {
	key   string // what to call it in a sentence
	value ast.Node
	at    place // of the value, or of the key where that has none
	keyAt place // of the key; none in a list
}

// mappingOptions say what a mapping may hold.
type mappingOptions struct {
	what string // for sentences
	keys []string
	// variables maps other names that somebody may write to keys.
	variables map[string]string
}

// mapping returns the entries whose keys are known, each once.
func (d *decoder) mapping(n ast.Node, o mappingOptions) []entry {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.fail(startOf(n), "%s is %s: write a mapping of key: value, with %s", o.what, describe(n), list(o.keys))
		return nil
	}
	var entries []entry
	first := make(map[string]int) // the line of a key
	for _, v := range values {
		at := placeOf(v.Key.GetToken())
		key, ok := scalar(v.Key)
		line, again := first[key]
		switch {
		case !ok:
			d.fail(at, "a key is a single word")
		case !slices.Contains(o.keys, key):
			d.unknown(at, key, o)
		case again:
			d.fail(at, "%s stands here again, line %d has it first: remove one of them", key, line)
		default:
			first[key] = at.line
			e := entry{key, v.Value, at, at}
			if _, isNull := v.Value.(*ast.NullNode); !isNull && v.Value != nil {
				e.at = startOf(v.Value)
			}
			entries = append(entries, e)
		}
	}
	return entries
}

func (d *decoder) unknown(at place, key string, o mappingOptions) {
	likely := o.variables[key]
	if likely == "" {
		likely = nearest(strings.ToLower(strings.ReplaceAll(key, "-", "_")), o.keys)
	}
	switch {
	case likely != "":
		d.fail(at, "%s has no %s: did you mean %s?", o.what, quoted(key), likely)
	case len(o.keys) <= 5:
		d.fail(at, "%s has no %s: it holds %s", o.what, quoted(key), list(o.keys))
	default:
		d.fail(at, "%s has no %s: remove it, or see `build-tracker serve --help`, whose flags it takes with _ for -", o.what, quoted(key))
	}
}

// text returns a single value. A list or a mapping is a problem.
func (d *decoder) text(e entry) (string, bool) {
	text, ok := scalar(e.value)
	if !ok {
		d.fail(e.at, "%s is %s: write a single value", e.key, describe(e.value))
	}
	return text, ok
}

// list returns the elements of a list, called after its singular.
func (d *decoder) list(e entry, singular string, limit int) []entry {
	switch n := e.value.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.SequenceNode:
		if len(n.Values) > limit {
			d.fail(e.at, "%s has %d entries: the most are %d", e.key, len(n.Values), limit)
			return nil
		}
		entries := make([]entry, len(n.Values))
		for i, v := range n.Values {
			entries[i] = entry{key: singular, value: v, at: startOf(v)}
		}
		return entries
	}
	d.fail(e.at, "%s is %s: write a list, each entry on a line of its own after a -", e.key, describe(e.value))
	return nil
}

func (d *decoder) envKeep(e entry) {
	if text, ok := scalar(e.value); ok && text == "" {
		return
	}
	d.doc.places[keyEnvKeep] = e.keyAt
	keep := []string{}
	for _, v := range d.list(e, "a name of env_keep", maxEnvKeep) {
		name, ok := d.text(v)
		switch {
		case !ok:
		case name == "" || strings.ContainsFunc(name, isNoVariable):
			d.fail(v.at, "%s is no name of a variable: write letters, digits and _, without a value", quoted(name))
		case slices.Contains(keep, name):
			d.fail(v.at, "%s stands here again: remove it", name)
		default:
			keep = append(keep, name)
		}
	}
	d.doc.live.EnvKeep = keep
}

func isNoVariable(r rune) bool {
	return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
}

func isNoText(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }

// list writes words as in a sentence.
func list(words []string) string {
	if len(words) > 5 {
		words = append(slices.Clone(words[:3]), "so on")
	}
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
