package build

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// streakOf is the definition, word for word: over the builds by number up to
// this one, how many in a row failed.
func streakOf(history []Place, number int64) Streak {
	var s Streak
	for _, p := range history {
		if p.Number > number {
			break
		}
		switch p.Class {
		case ClassFailed:
			s.Failures++
			if s.FirstFailed == 0 {
				s.FirstFailed = p.Number
			}
		case ClassPassed:
			s = Streak{LastPassed: p.Number}
		}
	}
	return s
}

func TestRecountAgreesWithDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		classes := rapid.SliceOfN(rapid.SampledFrom([]Class{ClassNone, ClassFailed, ClassPassed}), 1, 20).Draw(t, "history")
		var history []Place
		for i, c := range classes {
			history = append(history, Place{ID: string(rune('a' + i)), Number: int64(i + 1), Class: c})
		}
		// Any tail may be recounted from the streak of the build below it.
		from := rapid.IntRange(0, len(history)-1).Draw(t, "from")
		tail := rapid.Permutation(slices.Clone(history[from:])).Draw(t, "tail")
		before := streakOf(history, int64(from))
		newestOf := make(map[int64]int64) // first failed number -> latest failed number
		for _, p := range history {
			if p.Class == ClassFailed {
				newestOf[streakOf(history, p.Number).FirstFailed] = p.Number
			}
		}
		for _, p := range Recount(before, tail) {
			want := streakOf(history, p.Number)
			if diff := cmp.Diff(want, p.Streak); diff != "" {
				t.Fatalf("build %d (-want +got):\n%s", p.Number, diff)
			}
			if newest := p.Class == ClassFailed && newestOf[want.FirstFailed] == p.Number; p.Newest != newest {
				t.Fatalf("build %d: newest of its row %v, want %v", p.Number, p.Newest, newest)
			}
		}
	})
}

func TestBeforeUndoesOneBuild(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		classes := rapid.SliceOfN(rapid.SampledFrom([]Class{ClassFailed, ClassPassed}), 1, 10).Draw(t, "history")
		var history []Place
		for i, c := range classes {
			history = append(history, Place{Number: int64(i + 1), Class: c})
		}
		last := history[len(history)-1]
		now := streakOf(history, last.Number)
		again := Recount(now.Before(last.Class), []Place{last})
		if diff := cmp.Diff(now, again[0].Streak); diff != "" {
			t.Fatalf("counting the last build again (-want +got):\n%s", diff)
		}
	})
}

func TestRecountTakesNewerOfTwoBuildsWithOneNumber(t *testing.T) {
	t.Parallel()
	got := Recount(Streak{}, []Place{
		{ID: "new", Number: 1, CreatedAt: at(2), Class: ClassPassed},
		{ID: "old", Number: 1, CreatedAt: at(1), Class: ClassFailed},
		{ID: "next", Number: 2, CreatedAt: at(3), Class: ClassFailed},
	})
	if diff := cmp.Diff(Streak{Failures: 1, FirstFailed: 2, LastPassed: 1}, got[2].Streak); diff != "" {
		t.Errorf("streak (-want +got):\n%s", diff)
	}
	if got[0].ID != "old" || got[0].Newest {
		t.Errorf("the replaced build is %+v, want it passed over", got[0])
	}
}
