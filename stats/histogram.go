package stats

import (
	"math"
	"time"
)

// MaxError bounds the relative error of a Histogram's quantiles.
const MaxError = 0.05

// growth is by how much each bucket's limits are above those of the bucket before:
// its middle is then within MaxError of all in it. DDSketch has the arithmetic,
// https://arxiv.org/abs/1908.10693.
const growth = (1 + MaxError) / (1 - MaxError)

// buckets are enough for 3 years. What takes longer counts as that long.
const buckets = 256

// Histogram counts durations in buckets that grow with what they hold. The zero
// Histogram is empty.
type Histogram struct {
	counts []int64 // by bucket; the first holds what is shorter than a millisecond
	total  int64
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) { h.add(bucketOf(d), 1) }

func (h *Histogram) add(bucket int, n int64) {
	if bucket >= len(h.counts) {
		h.counts = append(h.counts, make([]int64, bucket+1-len(h.counts))...)
	}
	h.counts[bucket] += n
	h.total += n
}

// Count is how many durations were counted.
func (h *Histogram) Count() int64 { return h.total }

// Quantile returns a duration within MaxError of the one that q of those counted
// do not exceed, 0 < q <= 1 (nearest rank). Below a millisecond it is 0; so it is
// when nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	left := int64(math.Ceil(q * float64(h.total)))
	for bucket, n := range h.counts {
		if left -= n; left <= 0 && n > 0 {
			return middleOf(bucket)
		}
	}
	return 0
}

func bucketOf(d time.Duration) int {
	if d < time.Millisecond {
		return 0
	}
	ms := float64(d) / float64(time.Millisecond)
	return min(1+int(math.Log(ms)/math.Log(growth)), buckets-1)
}

// middleOf is as far above the bucket's lower limit as below the upper, relatively.
func middleOf(bucket int) time.Duration {
	if bucket == 0 {
		return 0
	}
	lower := math.Pow(growth, float64(bucket-1))
	return time.Duration(lower * (1 + MaxError) * float64(time.Millisecond))
}
