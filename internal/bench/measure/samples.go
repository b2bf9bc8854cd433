// Package measure is the arithmetic of a benchmark: medians with their spread,
// ratios of pairs, percentiles, and the table that they end in.
package measure

import (
	"math"
	"slices"
	"time"
)

// Samples are the results of one side, a round each, in order.
type Samples []float64

// Median is the middle one, or the mean of the two in the middle; NaN of none.
func (s Samples) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// Min is the smallest; NaN of none.
func (s Samples) Min() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Min(s)
}

// Max is the largest; NaN of none.
func (s Samples) Max() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Max(s)
}

// Over returns the ratio of each round to the same round of another side.
// What slows the machine down for a while slows both of a pair.
func (s Samples) Over(baseline Samples) Samples {
	ratios := make(Samples, min(len(s), len(baseline)))
	for i := range ratios {
		ratios[i] = s[i] / baseline[i]
	}
	return ratios
}

// Percentile returns the smallest duration that at least p percent do not
// exceed, p above 0 and up to 100; 0 of none. It orders its argument.
func Percentile(p float64, of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	rank := int(math.Ceil(p / 100 * float64(len(of))))
	return of[min(max(rank, 1), len(of))-1]
}
