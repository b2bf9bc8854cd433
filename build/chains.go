package build

import (
	"cmp"
	"slices"
)

// signature tells apart the jobs of one step that are not retries of each other.
type signature struct {
	parallel int // -1 for none
	matrix   string
	name     string
}

func (j *Job) signature() signature {
	s := signature{parallel: -1, matrix: j.Matrix, name: j.Name}
	if j.ParallelGroupIndex != nil {
		s.parallel = *j.ParallelGroupIndex
	}
	return s
}

// chains groups the jobs of one step into attempt chains: along the links that
// Buildkite gives, and where a job has none, with those of its signature. Jobs
// come in order of creation; chains keep that order by their first job.
func chains(jobs []*Job) []Chain {
	sets := newSets(len(jobs))
	index := make(map[string]int, len(jobs))
	for i, j := range jobs {
		index[j.ID] = i
	}
	linked := make([]bool, len(jobs))
	for i, j := range jobs {
		for _, other := range []string{j.RetriedIn, j.RetrySource} {
			if k, ok := index[other]; ok && k != i {
				sets.union(i, k)
				linked[i], linked[k] = true, true
			}
		}
	}
	bySignature := make(map[signature]int)
	for i, j := range jobs { // the first of each signature, a linked one if there is one
		if k, seen := bySignature[j.signature()]; !seen || linked[i] && !linked[k] {
			bySignature[j.signature()] = i
		}
	}
	for i, j := range jobs {
		if !linked[i] {
			sets.union(i, bySignature[j.signature()])
		}
	}

	var out []Chain
	at := make(map[int]int)
	for i, j := range jobs {
		root := sets.find(i)
		k, seen := at[root]
		if !seen {
			k = len(out)
			at[root] = k
			out = append(out, nil)
		}
		out[k] = append(out[k], j)
	}
	for i, c := range out {
		out[i] = inOrder(c)
	}
	return out
}

// inOrder sorts the attempts of a chain: a retry after its source, and else by
// when they finished; what has not finished is latest.
func inOrder(c Chain) Chain {
	slices.SortFunc(c, func(x, y *Job) int {
		return cmp.Or(
			compareBool(x.Latest.FinishedAt == 0, y.Latest.FinishedAt == 0),
			cmp.Compare(x.Latest.FinishedAt, y.Latest.FinishedAt),
			x.CreatedAt.Compare(y.CreatedAt),
			cmp.Compare(x.ID, y.ID),
		)
	})
	placed := make(map[string]bool, len(c))
	byID := make(map[string]*Job, len(c))
	sourceOf := make(map[string]string, len(c))
	for _, j := range c {
		byID[j.ID] = j
		if j.RetriedIn != "" {
			sourceOf[j.RetriedIn] = j.ID
		}
	}
	for _, j := range c {
		if j.RetrySource != "" {
			sourceOf[j.ID] = j.RetrySource
		}
	}
	out := make(Chain, 0, len(c))
	for _, j := range c {
		// Place the sources of j first, the earliest of them at the bottom. The
		// length bounds a cycle, which only a forged payload has.
		var stack []*Job
		for k := j; k != nil && !placed[k.ID] && len(stack) < len(c); k = byID[sourceOf[k.ID]] {
			stack = append(stack, k)
		}
		for _, k := range slices.Backward(stack) {
			if !placed[k.ID] {
				placed[k.ID] = true
				out = append(out, k)
			}
		}
	}
	return out
}

// sets is a union-find over 0..n-1.
type sets []int

func newSets(n int) sets {
	s := make(sets, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func (s sets) find(i int) int {
	for s[i] != i {
		s[i] = s[s[i]]
		i = s[i]
	}
	return i
}

func (s sets) union(i, j int) {
	s[s.find(i)] = s.find(j)
}
