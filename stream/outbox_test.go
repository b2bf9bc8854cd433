package stream

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnsentGivesWayToWhatCameSince(t *testing.T) {
	t.Parallel()
	var unsent, box outbox
	unsent.hello = true
	unsent.hint("a")
	unsent.announce("x", true)
	unsent.announce("y", true)
	box.hint("b")
	box.announce("x", false)
	if lost := box.putBack(unsent); lost != 0 {
		t.Errorf("%d hints are lost", lost)
	}
	want := outbox{
		hello:         true,
		hints:         map[string]struct{}{"a": {}, "b": {}},
		announcements: map[string]bool{"x": false, "y": true},
	}
	if diff := cmp.Diff(want, box, cmp.AllowUnexported(outbox{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHintsAboutEverythingStandForTheOthers(t *testing.T) {
	t.Parallel()
	var box outbox
	box.hint("a")
	if lost := box.putBack(outbox{all: true}); lost != 1 {
		t.Errorf("%d hints are lost, want 1", lost)
	}
	if lost := box.hint("b"); lost != 1 {
		t.Errorf("%d hints are lost, want 1", lost)
	}
	payloads, _ := box.payloads("r")
	if diff := cmp.Diff([]string{`{"from":"r","kind":"all"}`}, payloads); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnnouncementsAreBounded(t *testing.T) {
	t.Parallel()
	var box outbox
	for n := range maxAnnouncements + 1 {
		box.announce(fmt.Sprint(n), true)
	}
	box.announce("0", false)
	if n := len(box.announcements); n != maxAnnouncements {
		t.Errorf("%d wait, want %d", n, maxAnnouncements)
	}
	if box.announcements["0"] {
		t.Error("one that waits is not changed any more")
	}
}
