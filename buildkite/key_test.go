package buildkite

import (
	"bytes"
	"encoding/json"
	"testing"
)

func keyOf(t *testing.T, body string) [32]byte {
	t.Helper()
	d, err := Parse([]byte(body), Options{})
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return d.Key
}

// Events with a name of their own need nothing but the name.
func TestKeyOfTwoSendingsIsTheSame(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, first, second string }{
		{"another sender", `{"event":"x","sender":{"id":"1"},"a":1}`, `{"event":"x","sender":{"id":"2","name":"n"},"a":1}`},
		{"no sender", `{"event":"x","sender":{"id":"1"},"a":1}`, `{"event":"x","a":1}`},
		{"the sender first", `{"sender":1,"event":"x"}`, `{"event":"x"}`},
		{"the sender last", `{"event":"x","sender":1}`, `{"event":"x"}`},
		{"the sender twice", `{"sender":1,"sender":2,"event":"x","sender":3}`, `{"event":"x"}`},
		{"an escaped sender", `{"\u0073ender":1,"event":"x"}`, `{"event":"x"}`},
		{"white space", "{ \"event\" : \"x\" ,\n\t\"a\" : [ 1 , 2 ] }\n", `{"event":"x","a":[1,2]}`},
		{"white space around what is left out", "{ \"sender\" : { \"a\" : 1 } , \"event\" : \"x\" , \"sender\" : [ 1 ] }", `{"event":"x"}`},
		{"white space in what is masked", `{"event":"x","env":{"A":"1"}}`, "{\"event\":\"x\",\"env\" : { \"A\" : \"1\" } }"},
		{"counters of the pipeline", `{"event":"x","pipeline":{"running_builds_count":1,"slug":"s","a_count":2}}`, `{"event":"x","pipeline":{"running_builds_count":7,"slug":"s"}}`},
		{"counters of a build's pipeline", `{"event":"x","build":{"pipeline":{"a_count":1},` + known, `{"event":"x","build":{"pipeline":{"a_count":2},` + known},
		{"an agent's state", `{"event":"x","agent":{"id":"a","connection_state":"connected","job":null,"last_job_finished_at":null}}`, `{"event":"x","agent":{"id":"a","connection_state":"lost","job":{"id":"j","env":{"A":"x"}},"last_job_finished_at":"2024"}}`},
		{"a job's agent", `{"event":"x","job":{"agent":{"id":"a","job":{"agent":{"x":1}},"lost_at":1}}}`, `{"event":"x","job":{"agent":{"id":"a","paused":true}}}`},
		{"an agent in a list of jobs", `{"event":"x","jobs":[{"agent":{"connection_state":1}}]}`, `{"event":"x","jobs":[{"agent":{"connection_state":2}}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if keyOf(t, tt.first) != keyOf(t, tt.second) {
				t.Errorf("different keys:\n%s\n%s", tt.first, tt.second)
			}
		})
	}
}

// known is the rest of a payload, from within its build.
const known = `"id":"b","number":1},"pipeline":{"slug":"p"},"organization":{"slug":"o"}}`

func TestKeyOfTwoEventsDiffers(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, first, second string }{
		{"another event", `{"event":"x","a":1}`, `{"event":"y","a":1}`},
		{"another value", `{"event":"x","a":1}`, `{"event":"x","a":2}`},
		{"white space in a string", `{"event":"x","a":"b c"}`, `{"event":"x","a":"bc"}`},
		{"another secret", `{"event":"x","env":{"A":"1"}}`, `{"event":"x","env":{"A":"2"}}`},
		{"a sender further down", `{"event":"x","a":{"sender":1}}`, `{"event":"x","a":{"sender":2}}`},
		{"a counter of something else", `{"event":"x","a":{"b_count":1}}`, `{"event":"x","a":{"b_count":2}}`},
		{"a member of a member", `{"event":"x","a":[{"b":1}]}`, `{"event":"x","a":[{"b":1},{}]}`},
		{"when an agent was lost", `{"event":"x","agent":{"id":"a","lost_at":"1"}}`, `{"event":"x","agent":{"id":"a","lost_at":"2"}}`},
		{"a list that is split otherwise", `{"event":"x","a":[1,2]}`, `{"event":"x","a":[12]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if keyOf(t, tt.first) == keyOf(t, tt.second) {
				t.Errorf("the same key:\n%s\n%s", tt.first, tt.second)
			}
		})
	}
}

func TestKeyOfPayloadsDoesNotDependOnLayout(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]string{}
	for _, name := range payloads {
		body := readPayload(t, name)
		var compact, indented bytes.Buffer
		if err := json.Compact(&compact, body); err != nil {
			t.Fatal(err)
		}
		if err := json.Indent(&indented, body, " ", "\t"); err != nil {
			t.Fatal(err)
		}
		key := keyOf(t, compact.String())
		if keyOf(t, indented.String()) != key {
			t.Errorf("%s: the layout changes the key", name)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[key] = name
	}
}
