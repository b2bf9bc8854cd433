package notify_test

import (
	"context"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/notify"
)

func TestWhatIsGoneIsPostedThoughItsPlainFormIsTheSame(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.slack.RejectBlocks(true)
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(3 * time.Second)
		first := w.one()
		w.slack.Remove(first.Channel, first.TS)
		b.AuthorName.V = "Somebody Else" // only the full form says so
		w.moved(b)
		settled(3 * time.Second)
		if m := w.one(); w.queue.notice("b").TS != m.TS || m.Text != first.Text {
			t.Errorf("message %+v, notice %+v", m, w.queue.notice("b"))
		}
	})
}

func TestMessagesThatCannotBeEditedEndInOneThatCan(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.fails("b", 42)
		var refs []notify.Ref
		for range 2 {
			ref, err := w.messenger().Post(context.Background(), notify.Message{Text: "old"}, failedOf("b"))
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		w.slack.Refuse("chat.update", "cant_update_message")
		w.queue.change("b", func(r *row) {
			r.Channel, r.TS, r.Uncertain = refs[0].Channel, refs[0].TS, true
		})
		w.start(w.messenger())
		settled(3 * time.Second)
		n := w.queue.notice("b")
		if posts := w.slack.CountCalls("chat.postMessage", "ok"); posts != 3 || n.TS == refs[0].TS || n.TS == refs[1].TS || n.SentRev != 1 {
			t.Errorf("%d posts, notice %+v", posts, n)
		}
	})
}
