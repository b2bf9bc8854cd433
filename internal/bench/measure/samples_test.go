package measure_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

func TestMedianAndSpread(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		samples measure.Samples
		want    [3]float64 // median, min, max
	}{
		"one":                          {measure.Samples{7}, [3]float64{7, 7, 7}},
		"the middle of an odd number":  {measure.Samples{9, 1, 5}, [3]float64{5, 1, 9}},
		"the mean of the middle two":   {measure.Samples{8, 1, 4, 2}, [3]float64{3, 1, 8}},
		"an outlier moves no median":   {measure.Samples{1, 2, 3, 4, 1000}, [3]float64{3, 1, 1000}},
		"none is not a number, not 0":  {nil, [3]float64{math.NaN(), math.NaN(), math.NaN()}},
		"values that are there twice":  {measure.Samples{2, 2, 1, 1}, [3]float64{1.5, 1, 2}},
		"below zero sorts below above": {measure.Samples{3, -3, 0}, [3]float64{0, -3, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := append(measure.Samples(nil), tc.samples...)
			got := [3]float64{tc.samples.Median(), tc.samples.Min(), tc.samples.Max()}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, tc.samples); diff != "" {
				t.Errorf("the samples changed their order: %s", diff)
			}
		})
	}
}

func TestRatiosPairTheRounds(t *testing.T) {
	t.Parallel()
	// The machine slows down by half and by half again: no round tells another
	// ratio.
	ours, baseline := measure.Samples{100, 50, 25}, measure.Samples{200, 100, 50}
	if diff := cmp.Diff(measure.Samples{0.5, 0.5, 0.5}, ours.Over(baseline)); diff != "" {
		t.Error(diff)
	}
	if got := ours.Over(nil); len(got) != 0 {
		t.Errorf("ratios without a baseline: %v", got)
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100) // 1 to 100, the greatest first
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for name, tc := range map[string]struct {
		p    float64
		of   []time.Duration
		want time.Duration
	}{
		"the 99th of a hundred":            {99, hundred, 99},
		"the 50th of a hundred":            {50, hundred, 50},
		"the last":                         {100, hundred, 100},
		"the lowest is the first":          {0.1, hundred, 1},
		"between two it is the greater":    {99, []time.Duration{1, 2, 3}, 3},
		"the median of four is the second": {50, []time.Duration{4, 3, 2, 1}, 2},
		"of none":                          {99, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := measure.Percentile(tc.p, append([]time.Duration(nil), tc.of...)); got != tc.want {
				t.Errorf("percentile %v is %d, want %d", tc.p, got, tc.want)
			}
		})
	}
}
