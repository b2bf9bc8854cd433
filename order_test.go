package buildtracker

import (
	"fmt"
	"math/rand"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// Any order of deliveries, with any of them repeated, and however folding and
// sending fall between them, ends in the same builds, streaks and messages.
func TestOrderOfDeliveriesMakesNoDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		// One seed for all throws: drawn one by one they would be mostly small.
		r := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed")))
		world := traffic.New(r.Intn, traffic.Options{Builds: rapid.IntRange(1, 8).Draw(rt, "builds"), Triggers: true})
		deliveries := append([]traffic.Delivery{}, world.Deliveries...)
		for range r.Intn(len(deliveries)) {
			deliveries = append(deliveries, deliveries[r.Intn(len(deliveries))])
		}
		r.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })

		straight := playThrough(t, world.Deliveries, len(world.Deliveries), nil)
		defer straight.close()
		shuffled := playThrough(t, deliveries, 1+r.Intn(10), r)
		defer shuffled.close()

		ids := idsOf(world)
		want, got := straight.builds(ids), shuffled.builds(ids)
		for id := range want { // where the last event of a build stands is its order
			w, g := want[id], got[id]
			w.LastSeq, g.LastSeq = 0, 0
			want[id], got[id] = w, g
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("another order ended in other builds (-straight +shuffled):\n%s", diff)
		}
		checkBuilds(rt, world, got)
		checkMessages(rt, world, got, straight)
		checkMessages(rt, world, got, shuffled)
		compareMessages(rt, world, straight.said.last(t), shuffled.said.last(t))
	})
}

// playThrough records deliveries and folds after every few of them; with r it
// sends, too, at times.
func playThrough(t *testing.T, deliveries []traffic.Delivery, every int, r *rand.Rand) *rig {
	s := embeddedStores(t)
	s.dir = memoryDir(t)
	rig := newRig(t, s)
	for i, d := range deliveries {
		rig.append(d)
		if (i+1)%every == 0 {
			rig.fold()
			if r != nil && r.Intn(3) == 0 {
				rig.speak()
			}
		}
	}
	rig.fold()
	rig.speak()
	return rig
}

// memoryDir returns a folder that costs no disk access, where there is one: these
// stores see no crash.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "build-tracker-") //nolint:usetesting // its folders are on disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// failer is what is common to *testing.T and *rapid.T.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkBuilds compares builds with what is true of their world.
func checkBuilds(t failer, world *traffic.World, got map[string]build.View) {
	t.Helper()
	for _, truth := range world.Builds {
		v, ok := got[truth.ID]
		if !ok {
			t.Errorf("build %s is not there", truth.ID)
			continue
		}
		have := traffic.Truth{
			ID: v.ID, Organization: v.Organization, Pipeline: v.Pipeline, Branch: v.Branch, Number: v.Number,
			Status: string(v.Status), Failures: v.ConsecutiveFailures, FirstFailed: orZero(v.FirstFailedNumber), LastPassed: orZero(v.LastPassedNumber),
			Message: truth.Message, Newest: truth.Newest,
		}
		if diff := cmp.Diff(truth, have); diff != "" {
			t.Errorf("build %s/%d (-truth +got):\n%s\nits steps: %+v", truth.Pipeline, truth.Number, diff, v.Steps)
		}
	}
}

func orZero(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// checkMessages compares what was said with what is true.
func checkMessages(t failer, world *traffic.World, builds map[string]build.View, r *rig) {
	t.Helper()
	said := r.said.last(r.t)
	for _, truth := range world.Builds {
		text, spoke := said[truth.ID]
		switch {
		case truth.Message == traffic.Once && !spoke:
			t.Errorf("build %s/%d failed and nothing was said", truth.Pipeline, truth.Number)
		case truth.Message == traffic.Never && spoke:
			t.Errorf("build %s/%d was announced: %s", truth.Pipeline, truth.Number, text)
		case spoke && truth.Newest && truth.Status == "failed":
			if want := header(truth); !strings.HasPrefix(text, want+"\n") {
				t.Errorf("build %s/%d says %q, want %q", truth.Pipeline, truth.Number, text, want)
			}
		case spoke && truth.Status == "fixed":
			if want := fmt.Sprintf(":large_green_circle: Build %d fixed\n", truth.Number); !strings.HasPrefix(text, want) {
				t.Errorf("build %s/%d says %q, want %q", truth.Pipeline, truth.Number, text, want)
			}
		}
	}
	for about, n := range r.said.posts {
		if n > 1 {
			t.Errorf("build %s was announced %d times", about.BuildID, n)
		}
	}
}

// header is the first line of a failure's message.
func header(truth traffic.Truth) string {
	text := fmt.Sprintf(":red_circle: Build %d failed", truth.Number)
	switch n := truth.Failures; {
	case n == 2:
		text += " (2nd failure)"
	case n == 3:
		text += " (:exclamation: 3rd failure)"
	case n > 3:
		text += fmt.Sprintf(" (:bangbang: %dth failure)", n) // no world has 21
	}
	return text
}

// compareMessages compares the last texts of two orders of one world. A
// message that is not the newest of its row keeps the streak it was last sent
// with, and whether a build was announced may depend on the order where the
// truth says so; all else must be equal.
func compareMessages(t failer, world *traffic.World, a, b map[string]string) {
	t.Helper()
	for _, truth := range world.Builds {
		x, inA := a[truth.ID]
		y, inB := b[truth.ID]
		if !inA || !inB {
			continue // checkMessages judges that
		}
		if truth.Status == "failed" && !truth.Newest {
			x, y = withoutStreak(x), withoutStreak(y)
		}
		if diff := cmp.Diff(x, y); diff != "" {
			t.Errorf("build %s/%d ends with another message in another order:\n%s", truth.Pipeline, truth.Number, diff)
		}
	}
}

// withoutStreak cuts the streak out of a message's header, text and block.
func withoutStreak(text string) string {
	for _, cut := range []string{" (2nd failure)", " (:exclamation: 3rd failure)"} {
		text = strings.ReplaceAll(text, cut, "")
	}
	for n := range 30 {
		text = strings.ReplaceAll(text, fmt.Sprintf(" (:bangbang: %dth failure)", n), "")
	}
	return text
}
