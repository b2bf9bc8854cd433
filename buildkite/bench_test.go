package buildkite

import (
	"encoding/json"
	"os"
	"testing"
)

func readPayload(tb testing.TB, name string) []byte {
	tb.Helper()
	body, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func BenchmarkParse(b *testing.B) {
	body := readPayload(b, "job.finished")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(body, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFacts(b *testing.B) {
	d, err := Parse(readPayload(b, "job.finished"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(d.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Facts(d.Data); err != nil {
			b.Fatal(err)
		}
	}
}

// What the two above are measured against.
func BenchmarkEncodingJSON(b *testing.B) {
	body := readPayload(b, "job.finished")
	b.Run("Valid", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			json.Valid(body)
		}
	})
	b.Run("Unmarshal", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			var v any
			if err := json.Unmarshal(body, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
