package notify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/notify"
)

const (
	saysFailed = ":red_circle: Build 42 failed"
	saysFixed  = ":large_green_circle: Build 42 fixed"
)

func TestSenderPostsOnceAndEditsWhenFixed(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		s, _ := w.start(w.messenger())
		b := w.fails("b", 42)
		s.Wake()
		settled(time.Second)
		posted := w.wantText(saysFailed)
		want := testenv.SlackMetadata{EventType: "build_tracker_notice", EventPayload: map[string]any{"build_id": "b", "kind": "failed"}}
		if diff := cmp.Diff(want, posted.Metadata); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		if n := w.queue.notice("b"); n.TS != posted.TS || n.Channel != "C0BUILDS01" || n.SentRev != 1 {
			t.Errorf("receipt %+v of message %s", n, posted.TS)
		}
		w.isFixed(b)
		s.Wake()
		settled(time.Second)
		if edited := w.wantText(saysFixed); edited.TS != posted.TS || edited.Edits != 1 {
			t.Errorf("%d edits of %s, want 1 of %s", edited.Edits, edited.TS, posted.TS)
		}
		if diff := cmp.Diff(map[notify.Result]int{notify.Posted: 1, notify.Updated: 1}, w.results); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

func TestSenderFindsDueNoticesWithoutAWake(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.start(w.messenger())
		settled(time.Second)
		w.fails("b", 42)
		settled(2 * time.Second)
		w.wantText(saysFailed)
	})
}

func TestSenderIsSilentWhenFixedBeforeItWasSent(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.isFixed(w.fails("b", 42))
		w.start(w.messenger())
		settled(5 * time.Second)
		if calls := w.slack.Calls(); len(calls) != 0 {
			t.Errorf("calls %+v, want none", calls)
		}
		if diff := cmp.Diff([]notify.Receipt{{SentRev: 2, Unsent: true}}, w.queue.receipts); diff != "" {
			t.Errorf("receipts (-want +got):\n%s", diff)
		}
	})
}

func TestSenderCallsNobodyWhenTheMessageSaysSoAlready(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(3 * time.Second)
		before := len(w.slack.Calls())
		w.moved(b)
		settled(3 * time.Second)
		if after := len(w.slack.Calls()); after != before {
			t.Errorf("%d more calls, want none", after-before)
		}
		if n := w.queue.notice("b"); n.SentRev != 2 || n.TS == "" {
			t.Errorf("receipt %+v, want revision 2 and the message kept", n)
		}
	})
}

func TestSenderFollowsABuildThatMovesWhileItSends(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.slack.SetLatency(time.Second)
		s, _ := w.start(w.messenger())
		settled(1500 * time.Millisecond) // the mention has been asked for, the post is under way
		w.isFixed(b)
		s.Wake()
		settled(5 * time.Second)
		if m := w.wantText(saysFixed); m.Edits != 1 {
			t.Errorf("%d edits, want 1", m.Edits)
		}
	})
}

func TestSenderDegradesUntilSlackTakesTheMessage(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.slack.RejectBlocks(true)
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(3 * time.Second)
		m := w.one()
		if string(m.Blocks) != "[]" || !strings.HasPrefix(m.Text, saysFailed+"\n") {
			t.Errorf("message %q with blocks %s, want plain text", m.Text, m.Blocks)
		}
		if diff := cmp.Diff([]notify.Level{notify.Full, notify.Short}, w.degraded); diff != "" {
			t.Errorf("refused (-want +got):\n%s", diff)
		}
		w.slack.RejectBlocks(false)
		w.isFixed(b)
		settled(3 * time.Second)
		if m := w.wantText(saysFixed); string(m.Blocks) == "[]" {
			t.Error("the edit has no blocks, though Slack takes them again")
		}
	})
}

func TestSenderPostponesWhatIsRefusedInEveryForm(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.slack.Refuse("chat.postMessage", "msg_too_long")
		w.fails("b", 42)
		w.start(w.messenger())
		settled(900 * time.Millisecond)
		if n := w.slack.CountCalls("chat.postMessage", ""); n != 3 {
			t.Errorf("%d posts, want one a form", n)
		}
		waits := w.queue.waits()
		if len(waits) != 1 || !waits[0].Failed || waits[0].Uncertain || waits[0].Reason != "chat.postMessage: msg_too_long" {
			t.Errorf("postponed %+v", waits)
		}
	})
}

func TestSenderPostsAnewWhatAPersonRemoved(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(3 * time.Second)
		first := w.one()
		w.slack.Remove(first.Channel, first.TS)
		w.isFixed(b)
		settled(3 * time.Second)
		if m := w.wantText(saysFixed); m.TS == first.TS || w.queue.notice("b").TS != m.TS {
			t.Errorf("message %s, receipt %s, first %s", m.TS, w.queue.notice("b").TS, first.TS)
		}
	})
}

func TestSenderReplacesWhatCannotBeEditedAnyMore(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(3 * time.Second)
		w.slack.Refuse("chat.update", "edit_window_closed")
		w.isFixed(b)
		settled(3 * time.Second)
		w.wantText(saysFixed) // and the old one is gone
	})
}

func TestSenderLeavesAMessageWhoseBuildIsGone(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.queue.want("gone", 3)
		w.start(w.messenger())
		settled(3 * time.Second)
		if n := w.queue.notice("gone"); n.SentRev != 3 || len(w.slack.Calls()) != 0 {
			t.Errorf("notice %+v, calls %+v", n, w.slack.Calls())
		}
	})
}

func TestAPanicHarmsNoOtherNotice(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.builds.load = func(_ context.Context, id string) error {
			if id == "bad" {
				panic("bad build")
			}
			return nil
		}
		w.fails("bad", 41)
		w.fails("b", 42)
		w.start(w.messenger())
		settled(500 * time.Millisecond)
		w.wantText(saysFailed)
		if n := w.queue.notice("bad"); n.Attempts != 1 || n.LastError != "panic: bad build" || w.panics != 1 {
			t.Errorf("notice %+v, %d panics counted", n, w.panics)
		}
	})
}

func TestASlowNoticeHoldsUpNoOther(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.builds.load = func(ctx context.Context, id string) error {
			if id == "slow" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		w.fails("slow", 1)
		for i := range 10 {
			w.fails(fmt.Sprint("b", i), int64(100+i))
		}
		w.start(w.messenger())
		settled(time.Second)
		if n := len(w.slack.Messages()); n != 10 {
			t.Errorf("%d messages while one is stuck, want 10", n)
		}
	})
}

func TestSenderFinishesWhatItBeganWhenItStops(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.fails("b", 42)
		w.slack.SetLatency(2 * time.Second)
		_, stop := w.start(w.messenger())
		settled(1700 * time.Millisecond) // the mention has timed out, the post is under way
		stop()
		m := w.wantText(saysFailed)
		if n := w.queue.notice("b"); n.TS != m.TS || w.queue.claimed() != 0 {
			t.Errorf("notice %+v of message %s, %d claims left", n, m.TS, w.queue.claimed())
		}
	})
}

func TestSenderWritesTheReceiptWhenTheQueueIsBack(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.fails("b", 42)
		failures := 0
		w.queue.beforeReceipt = func(notify.Notice) {
			w.queue.mu.Lock()
			defer w.queue.mu.Unlock()
			w.queue.down = nil
			if failures++; failures < 4 {
				w.queue.down = errors.New("no connection")
			}
		}
		w.start(w.messenger())
		settled(10 * time.Second)
		if m := w.wantText(saysFailed); w.queue.notice("b").TS != m.TS || m.Edits != 0 {
			t.Errorf("notice %+v, message %+v", w.queue.notice("b"), m)
		}
	})
}

func TestTwoSendersSendEachNoticeOnce(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		for i := range 50 {
			w.fails(fmt.Sprint("b", i), int64(100+i))
		}
		w.start(w.messenger())
		w.start(w.messenger())
		settled(5 * time.Second)
		if n := w.slack.CountCalls("chat.postMessage", ""); n != 50 || len(w.slack.Messages()) != 50 {
			t.Errorf("%d posts, %d messages, want 50", n, len(w.slack.Messages()))
		}
	})
}

func TestLogMessengerLogsEachChange(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.start(&notify.LogMessenger{Logger: w.logger()})
		settled(3 * time.Second)
		w.isFixed(b)
		settled(3 * time.Second)
		if n := w.queue.notice("b"); n.Channel != "log" || n.TS != "" || n.SentRev != 2 {
			t.Errorf("receipt %+v", n)
		}
		for _, text := range []string{saysFailed, saysFixed} {
			if n := strings.Count(w.logs.String(), text); n != 1 {
				t.Errorf("%q is logged %d times:\n%s", text, n, w.logs.String())
			}
		}
		if n := strings.Count(w.logs.String(), "build=acme/web/42"); n != 2 {
			t.Errorf("its address is logged %d times:\n%s", n, w.logs.String())
		}
	})
}

func TestSenderWaitsForAStateThatIsBehind(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.queue.want("b", b.Rev+1)
		w.start(w.messenger())
		settled(500 * time.Millisecond)
		if n := w.queue.notice("b"); n.Attempts != 1 || len(w.slack.Messages()) != 0 {
			t.Errorf("notice %+v, %d messages of an old state", n, len(w.slack.Messages()))
		}
		w.isFixed(b)
		settled(3 * time.Second)
		if n := w.queue.notice("b"); n.SentRev != 2 {
			t.Errorf("notice %+v", n)
		}
	})
}

func TestSenderBeginsNoCallOnAClaimThatIsAlmostOver(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		extends := 0
		w.queue.beforeExtend = func() {
			if extends++; extends == 1 {
				time.Sleep(5 * time.Second) // the claim may have begun before
			}
		}
		w.fails("b", 42)
		w.start(w.messenger())
		settled(8 * time.Second)
		w.wantText(saysFailed)
		if extends != 2 {
			t.Errorf("%d extensions, want a second after the slow one", extends)
		}
	})
}
