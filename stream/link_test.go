package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/stream"
)

func TestReplicaHearsAnotherAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		settle()
		queued(c)
		began := time.Now()
		a.Notify("x")
		synctest.Wait()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestHintsGatherWhileOneIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		p := w.port()
		p.hold = make(chan struct{}, 1)
		p.hold <- struct{}{} // for the hello
		a, b := start(t, p), start(t, w.port())
		s, err := b.Subscribe(1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, channel := range []string{"x", "y", "z"} {
			if err := s.Listen(channel); err != nil {
				t.Fatal(err)
			}
		}
		settle()
		p.hold <- struct{}{} // for the hints that answer the new markers
		settle()
		queued(s.C())
		p.sent()

		a.Notify("x")
		synctest.Wait()
		for range 100 {
			for _, channel := range []string{"x", "y", "z"} {
				a.Notify(channel)
			}
		}
		if n := len(p.sent()); n != 1 {
			t.Errorf("%d statements while the first is under way, want 1", n)
		}
		p.hold <- struct{}{}
		p.hold <- struct{}{}
		settle()
		if n := len(p.sent()); n != 1 {
			t.Errorf("%d statements for all that followed, want 1", n)
		}
		got := map[string]int{}
		for _, n := range queued(s.C()) {
			got[n.Channel]++
		}
		if diff := cmp.Diff(map[string]int{"x": 2, "y": 1, "z": 1}, got); diff != "" {
			t.Errorf("hints (-want +got):\n%s", diff)
		}
	})
}

func TestHintsThatFollowSoonGatherForMilliseconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		listen(t, b.NotificationsBus, "x")
		listen(t, b.NotificationsBus, "y")
		settle()
		a.sent()
		began := time.Now()
		for n := range 4 {
			a.Notify("x")
			a.Notify("y")
			synctest.Wait()
			if got := len(a.sent()); (got == 1) != (n == 0) {
				t.Errorf("%d statements after %v", got, time.Since(began))
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := a.sent(); len(got) != 1 || strings.Count(got[0], `"x"`) != 1 || strings.Count(got[0], `"y"`) != 1 {
			t.Errorf("want one statement after 5 ms, with each channel once:\n%q", got)
		}
	})
}

func TestHintsGoOnlyWhereSomebodyListens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		own := listen(t, a.NotificationsBus, "own")
		c := listen(t, b.NotificationsBus, "x")
		settle()
		a.sent()
		a.Notify("own")
		a.Notify("nobody's")
		settle()
		if sent := a.sent(); sent != nil {
			t.Errorf("sent %q", sent)
		}
		if got := len(queued(own)); got == 0 {
			t.Error("its own listener got nothing")
		}
		if err := b.Unlisten("x", c); err != nil {
			t.Fatal(err)
		}
		settle()
		a.Notify("x")
		settle()
		if sent := a.sent(); sent != nil {
			t.Errorf("sent %q although the listener has gone", sent)
		}
	})
}

func TestNewMarkerIsAnsweredByAHint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		// b has looked into the store here; its marker is not yet with a.
		a.Notify("x")
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		a.sent()
		// A marker that is refreshed is not new.
		time.Sleep(5 * time.Minute)
		settle()
		if sent := a.sent(); sent != nil {
			t.Errorf("sent %q", sent)
		}
	})
}

func TestReplicaLearnsWhatOthersListenTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		b := start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		settle()
		a := start(t, w.port())
		queued(c)
		a.Notify("x")
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestReplicaThatStopsIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, a.NotificationsBus, "y")
		listen(t, b.NotificationsBus, "x")
		settle()
		queued(c)
		b.Notify("y") // goes out before the goodbye
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff([]stream.Notification{hint("y")}, queued(c)); diff != "" {
			t.Errorf("the last hint (-want +got):\n%s", diff)
		}
		a.sent()
		a.Notify("x")
		settle()
		if sent := a.sent(); sent != nil {
			t.Errorf("sent %q", sent)
		}
	})
}

func TestReplicaThatDiesIsForgottenInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, alive, dead := start(t, w.port()), start(t, w.port()), start(t, w.port())
		c := listen(t, alive.NotificationsBus, "alive")
		listen(t, dead.NotificationsBus, "dead")
		settle()
		dead.fail(errCut, errCut)
		dead.cut()
		notified := func(channel string) bool {
			a.sent()
			a.Notify(channel)
			settle()
			return len(a.sent()) > 0
		}
		time.Sleep(60 * time.Second)
		if !notified("dead") {
			t.Error("forgotten after one minute")
		}
		time.Sleep(61 * time.Second)
		if notified("dead") {
			t.Error("not forgotten after two minutes")
		}
		queued(c)
		if !notified("alive") || len(queued(c)) == 0 {
			t.Error("who is alive was forgotten as well")
		}
	})
}

func TestManyMarkersGoInSeveralStatements(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const channels = 10_000
		b := start(t, newWire().port())
		s, err := b.Subscribe(10)
		if err != nil {
			t.Fatal(err)
		}
		b.sent()
		for n := range channels {
			if err := s.Listen(fmt.Sprintf("%0150d", n)); err != nil {
				t.Fatal(err)
			}
		}
		settle()
		statements := b.sent()
		if n := strings.Count(strings.Join(statements, ""), `"000`); n != channels {
			t.Errorf("%d markers were sent, want %d", n, channels)
		}
		for _, statement := range statements {
			if n := len(statement); n > 1<<20 {
				t.Errorf("a statement of %d bytes", n)
			}
		}
	})
}

func TestTooManyHintsBecomeOneAboutEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const channels = 10_001
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		s, err := b.Subscribe(2 * channels)
		if err != nil {
			t.Fatal(err)
		}
		for n := range channels {
			if err := s.Listen(fmt.Sprint(n)); err != nil {
				t.Fatal(err)
			}
		}
		settle()
		settle()
		queued(s.C())
		lost := a.lost.Load() // the markers were answered by as many hints

		a.fail(errCut, nil)
		for n := range channels {
			a.Notify(fmt.Sprint(n))
		}
		time.Sleep(time.Second)
		a.fail(nil, nil)
		time.Sleep(5 * time.Second)
		settle()
		if diff := cmp.Diff([]stream.Notification{{}}, queued(s.C())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if lost := a.lost.Load() - lost; lost != channels {
			t.Errorf("%d hints are counted as lost, want %d", lost, channels)
		}
	})
}

func TestForeignPayloadsAreIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		c := listen(t, b.NotificationsBus, "x")
		settle()
		queued(c)
		w.carry(nil, "", "x", "null", "[]", `{"from":"me"}`, `{"from":"me","kind":"rumour"}`, `{"from":"","kind":"all"}`, `{"from":"me","kind":"hint"}`)
		settle()
		if got := queued(c); got != nil {
			t.Errorf("got %v", got)
		}
		if n := b.ignored.Load(); n != 8 {
			t.Errorf("%d payloads are counted as ignored, want 8", n)
		}
		a.Notify("x")
		settle()
		if diff := cmp.Diff([]stream.Notification{hint("x")}, queued(c)); diff != "" {
			t.Errorf("afterwards (-want +got):\n%s", diff)
		}
	})
}

func TestNamesThatPostgresWouldRefuseArrive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := start(t, w.port()), start(t, w.port())
		const odd = "build:\x00\"\n\\ ü"
		c := listen(t, b.NotificationsBus, odd)
		settle()
		queued(c)
		a.Notify(odd)
		settle()
		if diff := cmp.Diff([]stream.Notification{hint(odd)}, queued(c)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, statement := range append(a.sent(), b.sent()...) {
			if strings.Contains(statement, "\x00") {
				t.Errorf("sent %q", statement)
			}
		}
	})
}
