package stream_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/stream"
)

func newBus(t *testing.T, o stream.BusOptions) *stream.NotificationsBus {
	t.Helper()
	b := stream.NewNotificationsBus(o)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestNotifyReachesWhoListensToTheChannel(t *testing.T) {
	t.Parallel()
	b := newBus(t, stream.BusOptions{})
	first, second, other := listen(t, b, "a"), listen(t, b, "a"), listen(t, b, "b")
	b.Notify("a")
	want := []stream.Notification{hint("a")}
	if diff := cmp.Diff(want, queued(first)); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, queued(second)); diff != "" {
		t.Errorf("second (-want +got):\n%s", diff)
	}
	if got := queued(other); got != nil {
		t.Errorf("another channel's listener got %v", got)
	}
}

func TestSubscriptionHearsItsChannels(t *testing.T) {
	t.Parallel()
	var c tally
	b := newBus(t, stream.BusOptions{Metrics: c.metrics()})
	s, err := b.Subscribe(10)
	if err != nil {
		t.Fatal(err)
	}
	for _, channel := range []string{"a", "b", "a", "c"} {
		if err := s.Listen(channel); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.listening.Load(); n != 3 {
		t.Errorf("%d channels are listened to, want 3", n)
	}
	s.Unlisten("c")
	s.Unlisten("never")
	for _, channel := range []string{"a", "b", "c", "d"} {
		b.Notify(channel)
	}
	if diff := cmp.Diff([]stream.Notification{hint("a"), hint("b")}, queued(s.C())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Close()
	s.Close()
	if _, open := <-s.C(); open {
		t.Error("the queue is open after Close")
	}
	if err := s.Listen("a"); !errors.Is(err, stream.ErrBusClosed) {
		t.Errorf("listen after Close: %v", err)
	}
	if n := c.listening.Load(); n != 0 {
		t.Errorf("%d channels are listened to after Close, want 0", n)
	}
}

func TestFullQueueEndsUnhealthyAndHarmsNobody(t *testing.T) {
	t.Parallel()
	var c tally
	b := newBus(t, stream.BusOptions{Metrics: c.metrics()})
	slow, err := b.Listen("a", 2)
	if err != nil {
		t.Fatal(err)
	}
	quick := listen(t, b, "a")
	for range 10 {
		b.Notify("a")
	}
	if got := len(queued(quick)); got != 10 {
		t.Errorf("the other queue got %d notifications, want 10", got)
	}
	if lost := c.lost.Load(); lost != 7 {
		t.Errorf("%d hints are counted as lost, want 7", lost)
	}
	unhealthy := stream.Notification{Channel: "a"}
	if diff := cmp.Diff([]stream.Notification{hint("a"), hint("a"), unhealthy}, queued(slow)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.Notify("a")
	if diff := cmp.Diff([]stream.Notification{hint("a")}, queued(slow)); diff != "" {
		t.Errorf("after it was emptied (-want +got):\n%s", diff)
	}
}

func TestUnlistenClosesTheQueue(t *testing.T) {
	t.Parallel()
	b := newBus(t, stream.BusOptions{})
	c := listen(t, b, "a")
	if err := b.Unlisten("b", c); err == nil {
		t.Error("no error for another channel")
	}
	if err := b.Unlisten("a", make(chan stream.Notification)); err == nil {
		t.Error("no error for another queue")
	}
	if err := b.Unlisten("a", c); err != nil {
		t.Error(err)
	}
	b.Notify("a")
	if n, open := <-c; open {
		t.Errorf("got %v after Unlisten", n)
	}
	if err := b.Unlisten("a", c); err == nil {
		t.Error("no error the second time")
	}
}

func TestWhatCannotBeListenedTo(t *testing.T) {
	t.Parallel()
	b := newBus(t, stream.BusOptions{})
	for _, size := range []int{0, -1} {
		if _, err := b.Listen("a", size); err == nil {
			t.Errorf("no error for a queue of %d", size)
		}
	}
	if _, err := b.Listen("", 1); err == nil {
		t.Error("no error for a channel without a name")
	}
}

func TestClosedBusEndsItsSubscriptions(t *testing.T) {
	t.Parallel()
	b := newBus(t, stream.BusOptions{})
	c := listen(t, b, "a")
	s, err := b.Subscribe(1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, c := range map[string]<-chan stream.Notification{"listener": c, "subscription": s.C()} {
		if _, open := <-c; open {
			t.Errorf("the %s's queue is open", name)
		}
	}
	b.Notify("a")
	s.Close()
	if _, err := b.Listen("a", 1); !errors.Is(err, stream.ErrBusClosed) {
		t.Errorf("listen: %v", err)
	}
	if err := b.Unlisten("a", c); !errors.Is(err, stream.ErrBusClosed) {
		t.Errorf("unlisten: %v", err)
	}
}

func TestBusIsUsedByManyAtOnce(t *testing.T) {
	t.Parallel()
	b := newBus(t, stream.BusOptions{Transport: newWire().port()})
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			s, err := b.Subscribe(1)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for m := range 50 {
				channel := fmt.Sprint(m % 5)
				if err := s.Listen(channel); err != nil {
					t.Error(err)
				}
				b.Notify(channel)
				if n%2 == 0 {
					<-s.C()
				}
				s.Unlisten(channel)
			}
		})
	}
	group.Wait()
}
