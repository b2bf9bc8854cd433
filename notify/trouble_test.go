package notify_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/notify"
)

func TestA429IsNoFailedAttemptAndHoldsTheOthers(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.slack.LimitNext(1, 3*time.Second)
		w.slack.SetLatency(100 * time.Millisecond) // time passes only when all answers have come
		for i := range 20 {
			w.fails(fmt.Sprint("b", i), int64(100+i))
		}
		begun := time.Now()
		w.start(w.messenger())
		settled(2900 * time.Millisecond)
		underWay := w.slack.CountCalls("chat.postMessage", "")
		if underWay > 8 { // for each of 4 workers, one before the answer came and one as it came
			t.Errorf("%d posts while Slack wants a wait", underWay)
		}
		settled(5 * time.Second)
		if n := len(w.slack.Messages()); n != 20 {
			t.Errorf("%d messages, want 20", n)
		}
		for _, m := range w.slack.Messages()[underWay-1:] {
			if waited := m.Versions[0].Time.Sub(begun); waited < 3*time.Second || waited > 6*time.Second {
				t.Errorf("a message came after %v, want 3 s to 6 s", waited)
			}
		}
		if n := w.slack.CountCalls("chat.postMessage", "ratelimited"); n != 1 {
			t.Errorf("%d calls were limited, want 1", n)
		}
		for _, p := range w.queue.waits() {
			if p.Failed || p.Uncertain {
				t.Errorf("postponed %+v, want no failed attempt", p)
			}
		}
	})
}

func TestMessagesGoOutAsFastAsSlackTakesThem(t *testing.T) {
	inWorld(t, testenv.SlackOptions{Burst: 5}, func(t *testing.T, w *world) {
		for i := range 30 {
			w.fails(fmt.Sprint("b", i), int64(100+i))
		}
		w.start(w.messenger())
		settled(35 * time.Second) // 5 at once, then one a second
		if n := len(w.slack.Messages()); n != 30 {
			t.Errorf("%d messages after 35 s, want 30", n)
		}
		if limited, posts := w.slack.CountCalls("chat.postMessage", "ratelimited"), 30; limited > 3*posts {
			t.Errorf("%d calls were limited for %d posts", limited, posts)
		}
	})
}

func TestAnEditIsNotHeldByALimitOnPosts(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(3 * time.Second)
		w.slack.LimitNext(1, time.Minute)
		w.fails("other", 43)
		settled(3 * time.Second)
		w.isFixed(b)
		settled(3 * time.Second)
		w.wantText(saysFixed)
		settled(time.Minute)
		if n := len(w.slack.Messages()); n != 2 {
			t.Errorf("%d messages after the wait, want 2", n)
		}
	})
}

func TestErrorsAreTriedAgainAfter1To60Seconds(t *testing.T) {
	for _, c := range []struct {
		name      string
		how       testenv.SlackDown
		uncertain bool
	}{
		{"no connection", testenv.SlackRefusing, false},
		{"cut connections", testenv.SlackCutting, true},
		{"unavailable", testenv.SlackUnavailable, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
				w.slack.SetDown(c.how)
				w.fails("b", 42)
				w.start(w.messenger())
				settled(200 * time.Second)
				waits := w.queue.waits()
				for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60} {
					p := waits[i]
					if p.Wait < want*time.Second || p.Wait > want*time.Second*11/10 || !p.Failed || p.Uncertain != c.uncertain {
						t.Errorf("postponement %d: %+v, want %d s, uncertain %v", i, p, want, c.uncertain)
					}
				}
				w.slack.SetDown(testenv.SlackUp)
				settled(70 * time.Second)
				w.wantText(saysFailed)
			})
		})
	}
}

func TestALostAnswerDoublesNothing(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.slack.LoseAnswers(1)
		w.fails("b", 42)
		w.start(w.messenger())
		settled(5 * time.Second)
		m := w.wantText(saysFailed)
		if posts := w.slack.CountCalls("chat.postMessage", ""); posts != 1 || w.queue.notice("b").TS != m.TS {
			t.Errorf("%d posts, receipt %+v", posts, w.queue.notice("b"))
		}
	})
}

func TestALostAnswerIsFoundAndCorrectedWhenFixedMeanwhile(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.slack.LoseAnswers(1)
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(500 * time.Millisecond)
		w.isFixed(b)
		settled(5 * time.Second)
		w.wantText(saysFixed)
	})
}

func TestALostAnswerToAnEditIsSentAgain(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		s, _ := w.start(w.messenger())
		settled(3 * time.Second)
		before := b.Clone()
		w.slack.LoseAnswers(1)
		w.isFixed(b) // shown, but nobody knows
		s.Wake()
		settled(500 * time.Millisecond)
		w.wantText(saysFixed)
		before.Rev = b.Rev
		w.moved(before) // what the receipt says was sent last
		settled(5 * time.Second)
		w.wantText(saysFailed)
	})
}

func TestWithoutScopesASecondMessageIsBetterThanNone(t *testing.T) {
	inWorld(t, testenv.SlackOptions{Scopes: []string{"chat:write"}}, func(t *testing.T, w *world) {
		w.slack.LoseAnswers(1)
		w.fails("b", 42)
		m := w.messenger()
		if err := m.Check(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.start(m)
		settled(5 * time.Second)
		if n := len(w.slack.Messages()); n != 2 {
			t.Errorf("%d messages, want the one whose answer was lost and a second", n)
		}
		if n := w.slack.CountCalls("conversations.history", ""); n != 0 {
			t.Errorf("%d searches without the scope", n)
		}
	})
}

// deadSender claims b's notice and posts, or not, and then is heard of no more.
func deadSender(t *testing.T, w *world, posts bool) {
	t.Helper()
	ctx := context.Background()
	if _, err := w.queue.Claim(ctx, 1, 7*time.Second); err != nil {
		t.Fatal(err)
	}
	if !posts {
		return
	}
	b, err := w.builds.Build(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.messenger().Post(ctx, notify.Render(b, notify.RenderOptions{}), failedOf("b")); err != nil {
		t.Fatal(err)
	}
}

func TestADeadSendersNoticeIsTakenOverWithinTenSeconds(t *testing.T) {
	for _, posted := range []bool{true, false} {
		t.Run(fmt.Sprintf("posted %v", posted), func(t *testing.T) {
			inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
				w.fails("b", 42)
				deadSender(t, w, posted)
				w.start(w.messenger())
				settled(10 * time.Second)
				m := w.wantText(saysFailed)
				if n := w.queue.notice("b"); n.TS != m.TS || n.SentRev != 1 {
					t.Errorf("notice %+v of message %s", n, m.TS)
				}
			})
		})
	}
}

func TestADeadSendersMessageIsFoundAmongMany(t *testing.T) {
	inWorld(t, testenv.SlackOptions{Burst: -1}, func(t *testing.T, w *world) {
		w.fails("b", 42)
		deadSender(t, w, true)
		other := w.messenger()
		for i := range 450 { // three pages
			text := notify.Message{Text: fmt.Sprint("talk ", i)}
			if _, err := other.Post(context.Background(), text, failedOf(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		w.start(w.messenger())
		settled(10 * time.Second)
		if n := len(w.slack.Messages()); n != 451 {
			t.Errorf("%d messages, want 451", n)
		}
		if n := w.slack.CountCalls("conversations.history", "ok"); n != 3 {
			t.Errorf("%d pages read, want 3", n)
		}
	})
}

// overtake lets another sender finish b's notice, after a delay, when the first
// one comes with its receipt. It posts a message of its own or adopts what is there.
func overtake(w *world, adopt bool, after time.Duration) {
	done := false
	w.queue.beforeReceipt = func(notify.Notice) {
		if done {
			return
		}
		done = true
		w.queue.change("b", func(r *row) { r.Token++ })
		ref := notify.Ref{Channel: w.slack.Messages()[0].Channel, TS: w.slack.Messages()[0].TS}
		finish := func() {
			hash := []byte("theirs")
			if adopt {
				n := w.queue.notice("b")
				b, _ := w.builds.Build(context.Background(), n.BuildID)
				hash = notify.Render(b, notify.RenderOptions{}).Hash()
			} else {
				ref, _ = w.messenger().Post(context.Background(), notify.Message{Text: "theirs"}, failedOf("b"))
			}
			w.queue.change("b", func(r *row) {
				r.SentRev, r.TS, r.Channel, r.BodyHash, r.claimedUntil = 1, ref.TS, ref.Channel, hash, time.Time{}
			})
		}
		if after == 0 {
			finish()
			return
		}
		time.AfterFunc(after, finish)
	}
}

func TestAnOvertakenSenderRemovesItsOwnMessage(t *testing.T) {
	for _, after := range []time.Duration{0, 3 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
				w.fails("b", 42)
				overtake(w, false, after)
				w.start(w.messenger())
				if after > 0 {
					settled(after - time.Millisecond)
					w.wantText(saysFailed) // the other may be about to adopt it
				}
				settled(3 * time.Second)
				if m := w.wantText("theirs"); w.queue.notice("b").TS != m.TS {
					t.Errorf("message %s, notice %+v", m.TS, w.queue.notice("b"))
				}
			})
		})
	}
}

func TestAnOvertakenSenderLeavesAMessageThatWasAdopted(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.fails("b", 42)
		overtake(w, true, 3*time.Second)
		w.start(w.messenger())
		settled(10 * time.Second)
		w.wantText(saysFailed)
		if n := w.slack.Deleted(); n != 0 {
			t.Errorf("%d messages deleted", n)
		}
	})
}

func TestAnOvertakenEditIsCorrected(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(3 * time.Second)
		first := true
		w.queue.beforeReceipt = func(notify.Notice) {
			if !first {
				return
			}
			first = false // the other showed the fix before our late edit came
			w.isFixed(b)
			w.queue.change("b", func(r *row) {
				r.Token++
				r.SentRev, r.BodyHash, r.claimedUntil = r.WantedRev, []byte("fixed"), time.Time{}
			})
		}
		b.Streak.Failures = 2
		w.moved(b)
		settled(10 * time.Second)
		w.wantText(saysFixed)
	})
}

func TestMisconfigurationIsToldAndTriedAgain(t *testing.T) {
	for code, advice := range map[string]string{
		"not_in_channel":    "invite the app to SLACK_CHANNEL",
		"channel_not_found": "set SLACK_CHANNEL",
		"is_archived":       "SLACK_CHANNEL is archived",
		"invalid_auth":      "set SLACK_TOKEN",
	} {
		t.Run(code, func(t *testing.T) {
			inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
				w.slack.Refuse("chat.postMessage", code)
				w.fails("b", 42)
				w.fails("c", 43)
				w.start(w.messenger())
				settled(5 * time.Second)
				if n := strings.Count(w.logs.String(), advice); n < 1 {
					t.Errorf("the advice is not logged:\n%s", w.logs.String())
				}
				if n := strings.Count(w.logs.String(), "level=WARN"); n != 1 {
					t.Errorf("%d warnings, want one for both notices:\n%s", n, w.logs.String())
				}
				w.slack.Refuse("chat.postMessage", "")
				settled(10 * time.Second)
				if n := len(w.slack.Messages()); n != 2 {
					t.Errorf("%d messages, want 2", n)
				}
			})
		})
	}
}

func TestAnUnchangedNoticeKeepsItsHash(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		b := w.fails("b", 42)
		w.start(w.messenger())
		settled(3 * time.Second)
		hash := w.queue.notice("b").BodyHash
		w.moved(b)
		settled(3 * time.Second)
		if again := w.queue.notice("b").BodyHash; len(hash) != 32 || !bytes.Equal(again, hash) {
			t.Errorf("hash %x, then %x", hash, again)
		}
	})
}

func TestASearchThatNeverWorksHoldsNoMessage(t *testing.T) {
	for _, c := range []struct {
		code  string
		after time.Duration
	}{
		{"unknown_method", 5 * time.Second}, // a clear refusal
		{"internal_error", 40 * time.Second},
	} {
		t.Run(c.code, func(t *testing.T) {
			inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
				w.slack.Refuse("conversations.history", c.code)
				w.slack.LoseAnswers(1)
				w.fails("b", 42)
				w.start(w.messenger())
				settled(c.after)
				if n := len(w.slack.Messages()); n != 2 || w.queue.notice("b").TS == "" {
					t.Errorf("%d messages, notice %+v; want a second message", n, w.queue.notice("b"))
				}
			})
		})
	}
}
