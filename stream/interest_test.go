package stream

import (
	"fmt"
	"testing"
)

func TestMarkersAreKeptByReplica(t *testing.T) {
	t.Parallel()
	m := newMarkers()
	if !m.add("a", "x") || !m.add("b", "x") {
		t.Error("a first marker is not new")
	}
	if m.add("a", "x") {
		t.Error("a second marker is new")
	}
	m.drop("a", "x")
	m.drop("a", "x")
	m.drop("nobody", "x")
	if !m.wanted("x") {
		t.Error("not wanted although b wants it")
	}
	m.forget("b")
	m.forget("nobody")
	if m.wanted("x") {
		t.Error("wanted by nobody")
	}
	if m.count != 0 || len(m.byReplica) != 0 {
		t.Errorf("%d markers of %d replicas are left", m.count, len(m.byReplica))
	}
}

func TestMarkersExpireUnlessRefreshed(t *testing.T) {
	t.Parallel()
	m := newMarkers()
	m.add("a", "x")
	m.add("a", "y")
	for range markerRounds {
		m.nextRound()
		m.add("a", "y")
	}
	if !m.wanted("x") {
		t.Errorf("expired after %d rounds", markerRounds)
	}
	m.nextRound()
	if m.wanted("x") {
		t.Errorf("not expired after %d rounds", markerRounds+1)
	}
	if !m.wanted("y") {
		t.Error("expired although it was refreshed")
	}
}

func TestTooManyMarkersMakeEverythingWanted(t *testing.T) {
	t.Parallel()
	m := newMarkers()
	for n := range maxMarkers {
		m.add("a", fmt.Sprint(n))
	}
	if m.wanted("x") {
		t.Error("wanted before there were too many")
	}
	m.add("b", "y")
	if !m.wanted("x") {
		t.Error("not wanted although a marker did not fit")
	}
	if m.count != maxMarkers {
		t.Errorf("%d markers are kept, want %d", m.count, maxMarkers)
	}
	for range markerRounds + 1 {
		m.nextRound()
	}
	if m.wanted("x") || m.count != 0 {
		t.Errorf("still wanted, with %d markers, after all have expired", m.count)
	}
}
