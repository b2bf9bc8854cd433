package simulate

import (
	"crypto/sha256"
	"encoding/json"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/buildkite"
)

// someMonday is when the histories of these tests begin.
var someMonday = time.Date(2026, time.January, 5, 0, 0, 0, 0, time.UTC)

func week(t testing.TB, change ...func(*Options)) *Simulation {
	t.Helper()
	opts := Options{Seed: 1, Builds: 100, Start: someMonday, Days: 7, Late: 0.02, Duplicates: 0.02, Reorder: 0.02}
	for _, c := range change {
		c(&opts)
	}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sum is a digest of all that is delivered.
func sum(deliveries iter.Seq[Delivery]) [sha256.Size]byte {
	h := sha256.New()
	for d := range deliveries {
		h.Write([]byte(d.At.Format(time.RFC3339Nano)))
		h.Write(d.Body)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func TestSameOptionsGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	one, two := week(t), week(t)
	if sum(one.Deliveries()) != sum(two.Deliveries()) {
		t.Error("two simulations with the same options deliver other bytes")
	}
	if diff := cmp.Diff(one.Truth(), two.Truth()); diff != "" {
		t.Errorf("they have other truths:\n%s", diff)
	}
}

func TestOtherSeedsGiveOtherHistories(t *testing.T) {
	t.Parallel()
	one, two := week(t), week(t, func(o *Options) { o.Seed = 2 })
	if sum(one.Deliveries()) == sum(two.Deliveries()) {
		t.Error("two seeds deliver the same bytes")
	}
	if ids := shared(one, two); len(ids) > 0 {
		t.Errorf("two seeds have builds in common: %v", ids)
	}
}

func TestSameBuildsAtAnotherTimeAreOtherBuilds(t *testing.T) {
	t.Parallel()
	one, two := week(t), week(t, func(o *Options) { o.Start = o.Start.Add(time.Second) })
	sum(one.Deliveries())
	sum(two.Deliveries())
	if ids := shared(one, two); len(ids) > 0 {
		t.Errorf("another start has builds in common: %v", ids)
	}
}

// shared returns the ids of builds that are in both.
func shared(one, two *Simulation) []string {
	var ids []string
	for _, b := range one.Truth() {
		if slices.ContainsFunc(two.Truth(), func(c Truth) bool { return c.ID == b.ID }) {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

func TestDeliveriesAreInOrderAndWithinTheHistory(t *testing.T) {
	t.Parallel()
	s := week(t, func(o *Options) { o.Late = 0.2 })
	last := s.Start()
	for d := range s.Deliveries() {
		if d.At.Before(last) || d.At.After(s.End()) {
			t.Fatalf("a delivery at %v, after one at %v; the history ends at %v", d.At, last, s.End())
		}
		last = d.At
	}
	if s.Begun() != 100 || s.Builds() != len(s.Truth()) || s.Builds() <= 100 {
		t.Errorf("%d builds began, %d with those triggered; the truth knows %d", s.Begun(), s.Builds(), len(s.Truth()))
	}
}

func TestWhoStopsEarlyGetsTheRestLater(t *testing.T) {
	t.Parallel()
	s := week(t)
	inParts := func(yield func(Delivery) bool) {
		for left := true; left; {
			left = false
			n := 0
			for d := range s.Deliveries() {
				left = true
				if !yield(d) {
					return
				}
				if n++; n == 300 {
					break
				}
			}
		}
	}
	if sum(inParts) != sum(week(t).Deliveries()) {
		t.Error("read in parts it delivers other bytes than read at once")
	}
}

// Whatever the number of deliveries, those that wait are those of builds under
// way.
func TestNothingIsHeldButWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := week(t, func(o *Options) { o.Builds, o.Days = 500, 10 })
	deliveries, most := 0, 0
	for range s.Deliveries() {
		deliveries++
		most = max(most, len(s.tasks.heap))
	}
	if deliveries < 8_000 || most > 600 {
		t.Errorf("%d of %d deliveries were held at a time", most, deliveries)
	}
}

func TestLiveGoesOnWithoutAnEnd(t *testing.T) {
	t.Parallel()
	s := week(t, func(o *Options) { o.Builds, o.Days, o.Pace = 10, 1, 5*time.Second })
	var finished int
	for d := range s.Deliveries() {
		if d.Event == "build.finished" && d.At.After(s.End()) {
			finished++
		}
		if d.At.After(s.End().Add(10 * time.Minute)) {
			break
		}
	}
	if finished < 80 {
		t.Errorf("%d builds finished in ten minutes with one each 5 s", finished)
	}
	if truth := s.Truth(); truth != nil {
		t.Errorf("there is a truth of what has no end: %d builds", len(truth))
	}
}

func TestNoBuildsMeanNoBuilds(t *testing.T) {
	t.Parallel()
	s := week(t, func(o *Options) { o.Builds = 0 })
	for d := range s.Deliveries() {
		if d.Build != "" {
			t.Fatalf("%s of a build", d.Event)
		}
	}
	if len(s.Truth()) > 0 {
		t.Errorf("a truth of %d builds", len(s.Truth()))
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"fewer builds than none":   func(o *Options) { o.Builds = -1 },
		"no days":                  func(o *Options) { o.Days = 0 },
		"less than none come late": func(o *Options) { o.Late = -0.1 },
		"more than all come twice": func(o *Options) { o.Duplicates = 1.1 },
		"a clock that runs back":   func(o *Options) { o.Pace = -time.Second },
	} {
		opts := Options{Builds: 1, Days: 1, Start: someMonday}
		change(&opts)
		if _, err := New(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A tracker takes every payload for what it is.
func TestEveryPayloadIsAccepted(t *testing.T) {
	t.Parallel()
	jobs, bytes := 0, 0
	for d := range week(t).Deliveries() {
		p, err := buildkite.Parse(d.Body, buildkite.Options{})
		if err != nil {
			t.Fatalf("%s: %v\n%s", d.Event, err, d.Body)
		}
		if p.Event != d.Event || p.BuildID != d.Build || p.Kind == buildkite.Ignored || p.Organization == "" {
			t.Errorf("%s of build %q is taken for %s of build %q in organization %q", d.Event, d.Build, p.Event, p.BuildID, p.Organization)
		}
		if d.Build != "" {
			if _, err := buildkite.Facts(p.Data); err != nil {
				t.Errorf("%s: %v", d.Event, err)
			}
		}
		if p.Kind == buildkite.JobEvent {
			jobs++
			bytes += len(d.Body)
			if len(d.Body) < 4<<10 || len(d.Body) > 10<<10 {
				t.Errorf("%s has %d bytes", d.Event, len(d.Body))
			}
		}
	}
	if mean := bytes / jobs; mean < 4<<10 || mean > 8<<10 {
		t.Errorf("payloads of jobs have %d bytes on average, want 4 to 8 KB", mean)
	}
}

// Builds of a pipeline are numbered in the order in which they are created.
func TestNumbersFollowCreation(t *testing.T) {
	t.Parallel()
	type build struct {
		Number    int64     `json:"number"`
		CreatedAt time.Time `json:"created_at"`
	}
	latest := make(map[string]build)
	for d := range week(t, func(o *Options) { o.Late, o.Reorder, o.Duplicates = 0, 0, 0 }).Deliveries() {
		if d.Event != "build.scheduled" {
			continue
		}
		var p struct {
			Build    build                 `json:"build"`
			Pipeline struct{ Slug string } `json:"pipeline"`
		}
		if err := json.Unmarshal(d.Body, &p); err != nil {
			t.Fatal(err)
		}
		before := latest[p.Pipeline.Slug]
		if p.Build.Number != before.Number+1 || p.Build.CreatedAt.Before(before.CreatedAt) {
			t.Errorf("%s: %+v follows %+v", p.Pipeline.Slug, p.Build, before)
		}
		latest[p.Pipeline.Slug] = p.Build
	}
	if len(latest) != len(plans()) {
		t.Errorf("%d of %d pipelines have builds", len(latest), len(plans()))
	}
}
