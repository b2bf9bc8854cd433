package buildkite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzScan holds the redactor to encoding/json and to a second, plain reading
// of the rules.
func FuzzScan(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	for _, name := range payloads {
		f.Add(readPayload(f, name))
	}
	f.Add([]byte(`{"env":["A=b","C",{"d":1}],"\u0065nv":{"A":null,"RELEASE_PUBLIC":{"env":1}},"m":"https:\/\/u:p\u0040h?token=\ud800"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := redacted(string(body), Options{})
		if err != nil && strings.Contains(err.Problem, "deeply") {
			return
		}
		if valid := json.Valid(body); valid != (err == nil) {
			t.Fatalf("valid is %v, the error %v", valid, err)
		}
		if err != nil {
			return
		}
		if !json.Valid([]byte(got)) || !utf8.ValidString(got) {
			t.Fatalf("not valid: %q", got)
		}
		if want := plainly(decode(t, body), false); !cmp.Equal(want, decode(t, []byte(got))) {
			t.Fatalf("%q\n got %q\n%s", body, got, cmp.Diff(want, decode(t, []byte(got))))
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(got)); err != nil || compact.String() != got {
			t.Fatalf("not compact: %q", got)
		}
	})
}

// pair is a member of an object; a list of them keeps order and duplicates.
type pair struct {
	Name  string
	Value any
}

func decode(t *testing.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	next := func() json.Token {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return token
	}
	var value func() any
	value = func() any {
		switch token := next(); token {
		case json.Delim('{'):
			object := []pair{}
			for d.More() {
				object = append(object, pair{next().(string), value()})
			}
			next()
			return object
		case json.Delim('['):
			list := []any{}
			for d.More() {
				list = append(list, value())
			}
			next()
			return list
		default:
			return token
		}
	}
	return value()
}

// plainly masks a decoded value.
func plainly(v any, env bool) any {
	switch v := v.(type) {
	case nil:
		return nil
	case []pair:
		out := []pair{}
		for _, m := range v {
			to := pair{maskText(m.Name), any(mask)}
			kept := slices.Contains(DefaultEnvKeep(), m.Name)
			switch {
			case m.Value == nil:
				to.Value = nil
			case env && !kept, !env && (m.Name == "configuration" || m.Name == "webhook_url"):
			default:
				to.Value = plainly(m.Value, !env && m.Name == "env")
			}
			out = append(out, to)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			if env {
				out = append(out, plainVariable(e))
			} else {
				out = append(out, plainly(e, false))
			}
		}
		return out
	case string:
		if env {
			return mask
		}
		return maskText(v)
	default:
		if env {
			return mask
		}
		return v
	}
}

func plainVariable(v any) any {
	if v == nil {
		return nil
	}
	text, _ := v.(string)
	name, _, ok := strings.Cut(text, "=")
	switch {
	case !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" || !isVariableName([]byte(name)):
		return mask
	case slices.Contains(DefaultEnvKeep(), name):
		return maskText(text)
	}
	return name + "=" + mask
}

// FuzzParse: a stored payload is what Parse makes of it again, and Facts reads
// it with the same address.
func FuzzParse(f *testing.F) {
	for _, name := range payloads {
		f.Add(readPayload(f, name))
	}
	f.Add([]byte(`{"event":"job.finished","build":{"id":"b","number":7,"web_url":"https://a:b/organizations/x/@h/y"},"job":{"id":"j"},"pipeline":{"slug":"p","url":"https://u@h/organizations/o"}}`))
	f.Fuzz(func(t *testing.T, body []byte) { checkStored(t, body) })
}

// fataler is a test, a fuzz test's or rapid's.
type fataler interface {
	Fatalf(format string, args ...any)
}

func checkStored(t fataler, body []byte) {
	// What lies behind the body must not be looked at.
	room := append(slices.Clone(body), `"}]},`...)
	body = room[:len(body)]
	d, err := Parse(body, Options{})
	if err != nil {
		if parse := new(ParseError); !errors.As(err, &parse) || parse.Problem == "" {
			t.Fatalf("error is %#v", err)
		}
		return
	}
	again, err := Parse(d.Data, Options{})
	if err != nil {
		t.Fatalf("a second time: %v\n%q\n%q", err, body, d.Data)
	}
	again.Key = d.Key
	if diff := cmp.Diff(d, again); diff != "" {
		t.Fatalf("a second time (-want +got):\n%s", diff)
	}
	if d.Kind != BuildEvent && d.Kind != JobEvent {
		return
	}
	facts, err := Facts(d.Data)
	if err != nil {
		t.Fatalf("Facts: %v\n%q", err, d.Data)
	}
	b := facts.Build
	if facts.Event != d.Event || b.ID != d.BuildID || b.Number != d.Number || b.Organization != d.Organization || b.Pipeline != d.Pipeline {
		t.Fatalf("Parse says %+v, Facts %+v", d, facts)
	}
}

// FuzzFacts: whatever was stored, Facts neither panics nor hands on what a
// database cannot hold.
func FuzzFacts(f *testing.F) {
	for _, name := range payloads {
		f.Add(readPayload(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		facts, err := Facts(data)
		if err != nil {
			return
		}
		if all := fmt.Sprintf("%+v", facts); strings.Contains(all, "\x00") || !utf8.ValidString(all) {
			t.Fatalf("%q", all)
		}
		if b := facts.Build; b.ID == "" || b.Number <= 0 || b.Organization == "" || b.Pipeline == "" {
			t.Fatalf("no address: %+v", b)
		}
	})
}

// FuzzSecret plants a secret wherever one may be.
func FuzzSecret(f *testing.F) {
	f.Add("hunter2", "a text")
	f.Add("p@ss/w#rd", "\\u00e9")
	f.Fuzz(func(t *testing.T, secret, text string) {
		const core = "S3CR3T"
		secret = core + strings.Map(func(r rune) rune {
			if r <= ' ' || r == '&' || r == '#' || r == '"' || r == '<' || r == '>' || r == 0x7f {
				return -1
			}
			return r
		}, secret)
		user := strings.Map(func(r rune) rune {
			if strings.ContainsRune("/?@;", r) {
				return -1
			}
			return r
		}, secret)
		quoted := func(s string) string {
			q, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(q)
		}
		text = strings.ReplaceAll(text, core, "")
		for _, body := range []string{
			`{"event":"ping","x":{"env":{` + quoted(text) + `:` + quoted(secret) + `}}}`,
			`{"event":"ping","env":[` + quoted("A="+secret) + `,` + quoted(strings.ReplaceAll(secret, "=", "")) + `]}`,
			`{"event":"ping","pipeline":{"configuration":` + quoted(text+secret) + `,"provider":{"webhook_url":` + quoted(secret) + `}}}`,
			`{"event":"ping","x":` + quoted(text+" https://u:"+user+"@h/ "+text) + `}`,
			`{"event":"ping","x":` + quoted(text+" https://h/?x&access_token="+secret+"&y "+text) + `}`,
			`{"event":"ping",` + quoted(text+" https://"+user+"@h/ "+text) + `:1}`,
		} {
			d, err := Parse([]byte(body), Options{})
			if err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if bytes.Contains(d.Data, []byte(core)) {
				t.Fatalf("%s\nstill has it: %s", body, d.Data)
			}
		}
	})
}
