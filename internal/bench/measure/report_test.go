package measure_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

func lines() []measure.Line {
	return []measure.Line{
		{
			Row: "webhooks", Name: "durable", Unit: measure.PerSecond, Ours: measure.Samples{12000, 9000, 12345},
			Baseline: measure.Samples{10000, 10000, 10000}, Target: measure.AtLeast(1), Notes: []string{"all is well"},
		},
		{
			Row: "hot", Name: "p99 with “marks”", Unit: measure.Milliseconds, Ours: measure.Samples{50.25},
			Baseline: measure.Samples{402}, Target: measure.AtMost(0.1),
		},
		{Row: "start", Name: "empty", Unit: measure.Seconds, Ours: measure.Samples{0.0421}, Target: measure.Below(0.3)},
		{Row: "start", Name: "full", Unit: measure.Seconds, Ours: measure.Samples{1234567}},
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	const want = `row       what              ours: median [min..max]             baseline: median [min..max]  ratio                 target   reached
webhooks  durable           12,000 /s [9,000..12,345]           10,000 /s [10,000..10,000]   1.20 [0.900..1.23]    ≥ 1 ×    yes
hot       p99 with “marks”  50.2 ms [50.2..50.2]                402 ms [402..402]            0.125 [0.125..0.125]  ≤ 0.1 ×  no
start     empty             0.042 s [0.042..0.042]                                                                 < 0.3 s  yes
start     full              1,234,567 s [1,234,567..1,234,567]

webhooks: durable: all is well
`
	var out bytes.Buffer
	if err := measure.WriteTable(&out, lines()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestReached(t *testing.T) {
	t.Parallel()
	twice := func(target measure.Target, ours ...float64) measure.Line {
		return measure.Line{Ours: ours, Baseline: measure.Samples{10, 10, 10}, Target: target}
	}
	for name, tc := range map[string]struct {
		line measure.Line
		want bool
	}{
		"at least, by the median":        {twice(measure.AtLeast(2), 20, 1, 30), true},
		"at least, just missed":          {twice(measure.AtLeast(2), 19.9, 19.9, 90), false},
		"at most, met exactly":           {twice(measure.AtMost(0.5), 5, 5, 5), true},
		"at most, missed":                {twice(measure.AtMost(0.5), 5.1, 5.1, 1), false},
		"below is not reached by itself": {measure.Line{Ours: measure.Samples{3}, Target: measure.Below(3)}, false},
		"below":                          {measure.Line{Ours: measure.Samples{2.9}, Target: measure.Below(3)}, true},
		"no target":                      {measure.Line{Ours: measure.Samples{2.9}}, true},
		"nothing measured":               {measure.Line{Target: measure.Below(3)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.line.Reached(); got != tc.want {
				t.Errorf("reached: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestJSONHasEverySample(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report := measure.Report{Machine: []measure.Fact{{Name: "cpu", Value: "two"}}, Lines: lines()}
	if err := measure.WriteJSON(&out, report); err != nil {
		t.Fatal(err)
	}
	type line struct {
		Row, Name, Unit, Target string
		Ours, Baseline, Ratio   []float64
		Reached                 *bool
	}
	var got struct {
		Machine []measure.Fact
		Lines   []line
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	yes := true
	if diff := cmp.Diff(line{
		Row: "webhooks", Name: "durable", Unit: "/s", Target: "≥ 1 ×", Reached: &yes,
		Ours: []float64{12000, 9000, 12345}, Baseline: []float64{10000, 10000, 10000}, Ratio: []float64{1.2, 0.9, 1.2345},
	}, got.Lines[0]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(report.Machine, got.Machine); diff != "" {
		t.Error(diff)
	}
	if got.Lines[3].Reached != nil {
		t.Error("a line without a target says whether it was reached")
	}
}
