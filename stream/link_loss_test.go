package stream_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/stream"
)

func TestLostConnectionIsToldAndMadeUpFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		s, err := b.Subscribe(10) // to no channel: it is told all the same
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		settle()
		queued(c)

		b.fail(nil, errors.New("no route to host"))
		b.cut()
		synctest.Wait()
		lost := []stream.Notification{{}}
		if diff := cmp.Diff(lost, queued(c)); diff != "" {
			t.Errorf("at the loss (-want +got):\n%s", diff)
		}
		if b.joined.Load() {
			t.Error("metrics say that it hears the others")
		}
		a.Notify("x") // b cannot hear it
		time.Sleep(time.Minute)
		b.fail(nil, nil)
		time.Sleep(5 * time.Second)
		settle()
		again := []stream.Notification{{Healthy: true}}
		if diff := cmp.Diff(again, queued(c)); diff != "" {
			t.Errorf("afterwards (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(append(lost, again...), queued(s.C())); diff != "" {
			t.Errorf("the subscription (-want +got):\n%s", diff)
		}
		a.Notify("x")
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("a hint afterwards (-want +got):\n%s", diff)
		}
		log := b.log.String()
		if strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=INFO") != 1 || !strings.Contains(log, "connection reset") {
			t.Errorf("want the loss and the recovery in the log, once each:\n%s", log)
		}
	})
}

// The markers that others dropped while it was away come again with its hello.
func TestReplicaThatWasAwayForLongIsKnownAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		settle()
		b.fail(errCut, errCut)
		b.cut()
		time.Sleep(10 * time.Minute)
		b.fail(nil, nil)
		time.Sleep(10 * time.Second)
		queued(c)
		a.Notify("x")
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// It goes on with what it knows, which does not grow old meanwhile.
func TestReplicaThatHearsNobodySendsWhereSomebodyListened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		settle()
		a.fail(nil, errCut)
		a.cut()
		time.Sleep(10 * time.Minute)
		settle()
		queued(c)
		a.sent()
		a.Notify("nobody's")
		settle()
		if sent := a.sent(); sent != nil {
			t.Errorf("sent %q", sent)
		}
		a.Notify("x")
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWhatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(*port){
		"connecting": func(p *port) { p.stuck = true },
		"sending":    func(p *port) { p.hold = make(chan struct{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newWire().port()
				hang(p)
				b := start(t, p)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if log := b.log.String(); !strings.Contains(log, "deadline exceeded") {
					t.Errorf("not given up after 5 s:\n%s", log)
				}
			})
		})
	}
}

func TestReconnectsAtOnceThenLessAndLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newWire().port())
		time.Sleep(time.Minute)
		b.fail(nil, errCut)
		b.cut()
		lost := time.Now()
		synctest.Wait()
		if tries := b.connected(); !tries[1].Equal(lost) {
			t.Errorf("the first try came %v after the loss", tries[1].Sub(lost))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		tries := b.connected()
		for n := 2; n < len(tries); n++ {
			if d := tries[n].Sub(tries[n-1]); d < 50*time.Millisecond || d > 5*time.Second {
				t.Errorf("%v between tries %d and %d", d, n-1, n)
			}
		}
		if n := len(tries); n < 12 || n > 35 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

// A proxy that takes connections and drops them is not asked in a tight loop.
func TestConnectionsThatDoNotHoldAreTriedLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newWire().port())
		for range 20 {
			b.cut()
			for n := len(b.connected()); len(b.connected()) == n; {
				settle()
			}
		}
		tries := b.connected()
		if took := tries[20].Sub(tries[0]); took < 30*time.Second {
			t.Errorf("20 tries in %v", took)
		}
	})
}

func TestSilentConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		time.Sleep(time.Minute) // with pings that are answered
		settle()
		queued(c)
		b.silence()
		time.Sleep(8 * time.Second)
		settle()
		if diff := cmp.Diff([]stream.Notification{{}, {Healthy: true}}, queued(c)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		a.Notify("x")
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("afterwards (-want +got):\n%s", diff)
		}
	})
}

// LISTEN through a transaction pooler succeeds, and nothing ever arrives.
func TestReplicaThatDoesNotHearItselfHasNotJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		p := w.port()
		p.noEcho = true
		b := start(t, p)
		for range 30 {
			w.carry(nil, "of another program")
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		if b.joined.Load() {
			t.Error("metrics say that it hears the others")
		}
		if log := b.log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "pooler") {
			t.Errorf("want the reason in the log, once:\n%s", log)
		}
	})
}

func TestFailedSendIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		settle()
		queued(c)
		a.fail(errors.New("database is away"), nil)
		a.Notify("x")
		own := listen(t, a.NotificationsBus, "y")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := queued(c); got != nil {
			t.Fatalf("got %v", got)
		}
		a.fail(nil, nil)
		time.Sleep(5 * time.Second)
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("the hint (-want +got):\n%s", diff)
		}
		queued(own)
		b.Notify("y")
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("y")}, queued(own)); diff != "" {
			t.Errorf("the marker (-want +got):\n%s", diff)
		}
		if log := a.log.String(); strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=INFO") != 1 {
			t.Errorf("want the failure and its end in the log, once each:\n%s", log)
		}
		if a.failed.Load() < 3 {
			t.Errorf("%d failed statements are counted", a.failed.Load())
		}
	})
}

func TestCloseDoesNotWaitForTheOtherSide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		p := w.port()
		p.hold = make(chan struct{}) // no send ever ends
		b := start(t, p)
		began := time.Now()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
