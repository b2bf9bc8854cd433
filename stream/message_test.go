package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestChannelsAreSplitIntoPayloadsThatPostgresTakes(t *testing.T) {
	t.Parallel()
	var channels []string
	for n := range 1000 {
		channels = append(channels, BuildChannel(fmt.Sprintf("%036d", n)))
	}
	payloads, tooLong := appendChannels(nil, "replica", messageHint, slices.Values(channels))
	if tooLong != 0 {
		t.Errorf("%d are too long", tooLong)
	}
	var got []string
	for _, p := range payloads {
		if len(p) >= 8000 {
			t.Errorf("a payload of %d bytes", len(p))
		}
		m, err := parseMessage(p)
		if err != nil || m.From != "replica" || m.Kind != messageHint {
			t.Fatalf("%+v, %v", m, err)
		}
		got = append(got, m.Channels...)
	}
	if diff := cmp.Diff(channels, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(payloads) > 6 {
		t.Errorf("%d payloads for 45 kB", len(payloads))
	}
}

func TestNameThatFitsNoPayloadIsLeftOut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxPayload)
	payloads, tooLong := appendChannels(nil, "replica", messageHint, slices.Values([]string{"a", long, "b"}))
	if tooLong != 1 {
		t.Errorf("%d are too long, want 1", tooLong)
	}
	if diff := cmp.Diff([]string{`{"from":"replica","kind":"hint","channels":["a","b"]}`}, payloads); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if payloads, _ := appendChannels(nil, "replica", messageHint, slices.Values([]string{long})); payloads != nil {
		t.Errorf("a payload about nothing: %q", payloads)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(`{"from":"a","kind":"hello"}`)
	f.Add(`{"from":"a","kind":"hint","channels":["events","build:1"]}`)
	f.Add(`{"from":"a","kind":"bye","channels":["x"]}`)
	f.Add(`{"from":1}`)
	f.Add("")
	f.Fuzz(func(t *testing.T, payload string) {
		m, err := parseMessage(payload)
		if err != nil {
			return
		}
		// What is understood is understood the same when it is said again.
		var again []string
		if m.Kind.namesChannels() {
			again, _ = appendChannels(nil, m.From, m.Kind, slices.Values(m.Channels))
		} else {
			again = appendMessage(nil, m.From, m.Kind)
		}
		var channels []string
		for _, p := range again {
			if !utf8.ValidString(p) || strings.ContainsRune(p, 0) {
				t.Errorf("PostgreSQL refuses %q", p)
			}
			n, err := parseMessage(p)
			if err != nil || n.From != m.From || n.Kind != m.Kind {
				t.Errorf("%q is read as %+v, %v", p, n, err)
			}
			channels = append(channels, n.Channels...)
		}
		if len(payload) <= maxPayload/6 && !slices.Equal(channels, m.Channels) {
			t.Errorf("channels %q, want %q", channels, m.Channels)
		}
	})
}
