package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/notify"
)

func TestCheckNamesMissingScopesOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		scopes []string
		want   string
	}{
		{"all there", testenv.SlackScopes(), ""},
		{"a private channel's history", []string{"chat:write", "users:read.email", "groups:history", "metadata.message:read"}, ""},
		{"only writing", []string{"chat:write"}, "missing=\"users:read.email, channels:history, metadata.message:read\""},
		{"no writing", []string{"users:read.email", "channels:history", "metadata.message:read"}, "missing=chat:write"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := testenv.NewSlack(t, testenv.SlackOptions{Scopes: c.scopes})
			logs := &syncBuffer{}
			s := notify.NewSlack(notify.SlackOptions{
				Token: server.Token(), Channel: "builds", APIURL: server.URL(), Logger: slog.New(slog.NewTextHandler(logs, nil)),
			})
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(logs.String(), "level=WARN"); (c.want != "") != (n == 1) || !strings.Contains(logs.String(), c.want) {
				t.Errorf("want one warning with %q:\n%s", c.want, logs.String())
			}
		})
	}
}

func TestTheTokenIsInNoLogAndNoError(t *testing.T) {
	t.Parallel()
	const token = "s3cret/+token"
	server := testenv.NewSlack(t, testenv.SlackOptions{Token: token})
	logs := &syncBuffer{}
	s := notify.NewSlack(notify.SlackOptions{
		Token: token, Channel: "builds", APIURL: server.URL(), Debug: true, Logger: slog.New(slog.NewTextHandler(logs, nil)),
	})
	m := notify.Render(finished("failed", noon), notify.RenderOptions{})
	ctx := t.Context()
	var errs []error
	call := func() {
		errs = append(errs, s.Check(ctx))
		_, err := s.Post(ctx, m, failedOf("b"))
		errs = append(errs, err)
		_, err = s.Find(ctx, notify.Search{Subject: failedOf("b")})
		errs = append(errs, err)
		s.Mention(ctx, "ann@example.com")
	}
	call()
	for _, how := range []testenv.SlackDown{testenv.SlackCutting, testenv.SlackUnavailable} {
		server.SetDown(how)
		call()
	}
	text := logs.String() + fmt.Sprint(errs)
	if !strings.Contains(text, "chat.postMessage: ") || !strings.Contains(logs.String(), "[token]") {
		t.Errorf("no debug output, or no errors:\n%s", text)
	}
	for _, secret := range []string{token, "s3cret"} {
		if strings.Contains(text, secret) {
			t.Errorf("the token shows:\n%s", text)
		}
	}
}

func TestTheTokenFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/api/x", http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	s := notify.NewSlack(notify.SlackOptions{Token: "t", Channel: "builds", APIURL: server.URL + "/api/", Logger: slog.New(slog.DiscardHandler)})
	_, err := s.Post(t.Context(), notify.Message{Text: "x"}, failedOf("b"))
	if e, ok := errors.AsType[*notify.Error](err); !ok || e.Outcome != notify.Misconfigured || !strings.Contains(e.Advice, "SLACK_API_URL") {
		t.Errorf("error %v", err)
	}
}

func TestErrorsSayWhatBecameOfTheMessage(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	no := func(code string) http.HandlerFunc { return answer(200, `{"ok":false,"error":"`+code+`"}`) }
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    notify.Error
	}{
		{"429 with a wait", answer(429, "", "Retry-After", "7"), notify.Error{Outcome: notify.RateLimited, Wait: 7 * time.Second}},
		{"429 without", answer(429, ""), notify.Error{Outcome: notify.RateLimited, Wait: 10 * time.Second}},
		{"429 with nonsense", answer(429, "", "Retry-After", "soon"), notify.Error{Outcome: notify.RateLimited, Wait: 10 * time.Second}},
		{"429 for ever", answer(429, "", "Retry-After", "99999999999"), notify.Error{Outcome: notify.RateLimited, Wait: time.Hour}},
		{"ratelimited in the body", no("ratelimited"), notify.Error{Outcome: notify.RateLimited, Code: "ratelimited", Wait: 10 * time.Second}},
		{"blocks refused", no("invalid_blocks"), notify.Error{Outcome: notify.Rejected, Code: "invalid_blocks"}},
		{
			"blocks refused with details of another form",
			answer(200, `{"ok":false,"error":"invalid_blocks","errors":[{"x":1},7],"response_metadata":{"messages":[{"y":2}]}}`),
			notify.Error{Outcome: notify.Rejected, Code: "invalid_blocks"},
		},
		{"message too long", no("msg_blocks_too_long"), notify.Error{Outcome: notify.Rejected, Code: "msg_blocks_too_long"}},
		{"413", answer(413, ""), notify.Error{Outcome: notify.Rejected}},
		{"message gone", no("message_not_found"), notify.Error{Outcome: notify.Gone, Code: "message_not_found"}},
		{"an error that may have worked", no("fatal_error"), notify.Error{Outcome: notify.Uncertain, Code: "fatal_error"}},
		{"an error nobody knows", no("something_new"), notify.Error{Outcome: notify.NotSent, Code: "something_new"}},
		{"500", answer(500, ""), notify.Error{Outcome: notify.Uncertain}},
		{"no JSON", answer(200, "<html>"), notify.Error{Outcome: notify.Uncertain}},
		{"half an answer", answer(200, `{"ok":true,`), notify.Error{Outcome: notify.Uncertain}},
		{"an answer that is cut", answer(200, `{"ok":true`, "Content-Length", "99"), notify.Error{Outcome: notify.Uncertain}},
		{"no place in the answer", answer(200, `{"ok":true}`), notify.Error{Outcome: notify.Uncertain}},
		{"no and no reason", answer(200, `{"ok":false}`), notify.Error{Outcome: notify.Uncertain}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			s := notify.NewSlack(notify.SlackOptions{Token: "t", Channel: "builds", APIURL: server.URL + "/api/", Logger: slog.New(slog.DiscardHandler)})
			_, err := s.Post(t.Context(), notify.Message{Text: "x"}, failedOf("b"))
			e, ok := errors.AsType[*notify.Error](err)
			if !ok {
				t.Fatalf("error %T %v", err, err)
			}
			got := notify.Error{Outcome: e.Outcome, Code: e.Code, Wait: e.Wait}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestNothingIsSentWithoutAConnection(t *testing.T) {
	t.Parallel()
	server := testenv.NewSlack(t, testenv.SlackOptions{})
	for _, c := range []struct{ name, url string }{
		{"no such host", "http://nowhere.invalid"},
		{"no TLS", strings.Replace(server.URL(), "http:", "https:", 1)},
	} {
		s := notify.NewSlack(notify.SlackOptions{Token: "t", Channel: "builds", APIURL: c.url, Logger: slog.New(slog.DiscardHandler)})
		_, err := s.Post(t.Context(), notify.Message{Text: "x"}, failedOf("b"))
		if e, ok := errors.AsType[*notify.Error](err); !ok || e.Outcome != notify.NotSent {
			t.Errorf("%s: error %v, want not sent", c.name, err)
		}
	}
}

func TestASlowSlackIsCutOffAfterFourSeconds(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		w.slack.SetLatency(time.Minute)
		begun := time.Now()
		_, err := w.messenger().Post(context.Background(), notify.Message{Text: "x"}, failedOf("b"))
		if e, ok := errors.AsType[*notify.Error](err); !ok || e.Outcome != notify.Uncertain {
			t.Errorf("error %v, want uncertain", err)
		}
		if took := time.Since(begun); took != 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestFindBeforeTheFirstPostLooksTheChannelUp(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		ctx := context.Background()
		ref, err := w.messenger().Post(ctx, notify.Message{Text: "x"}, failedOf("b"))
		if err != nil {
			t.Fatal(err)
		}
		fresh := w.messenger()
		for range 2 {
			found, err := fresh.Find(ctx, notify.Search{Subject: failedOf("b")})
			if err != nil || found.Ref != ref {
				t.Errorf("found %+v, %v, want %+v", found, err, ref)
			}
		}
		if found, err := fresh.Find(ctx, notify.Search{Subject: failedOf("c")}); err != nil || found != (notify.Found{}) {
			t.Errorf("found %+v, %v for another build", found, err)
		}
		if n := w.slack.CountCalls("conversations.list", ""); n != 1 {
			t.Errorf("the channel was looked up %d times, want once", n)
		}
	})
}

func TestFindSaysThatItMayNotLook(t *testing.T) {
	for name, scopes := range map[string][]string{
		"no list of channels": {"chat:write", "channels:history", "metadata.message:read"},
		"no history":          {"chat:write", "channels:read"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, testenv.SlackOptions{Scopes: scopes}, func(t *testing.T, w *world) {
				m := w.messenger()
				for range 3 {
					_, err := m.Find(context.Background(), notify.Search{Subject: failedOf("b")})
					if e, ok := errors.AsType[*notify.Error](err); !ok || e.Outcome != notify.Unsearchable {
						t.Errorf("error %v, want unsearchable", err)
					}
				}
				if n := len(w.slack.Calls()); n > 2 {
					t.Errorf("%d calls, want no more after the first answer", n)
				}
			})
		})
	}
}

func TestDeleteOfWhatIsGoneIsNoError(t *testing.T) {
	inWorld(t, testenv.SlackOptions{}, func(t *testing.T, w *world) {
		m := w.messenger()
		ref, err := m.Post(context.Background(), notify.Message{Text: "x"}, failedOf("b"))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.Delete(context.Background(), ref); err != nil {
				t.Error(err)
			}
		}
		if n := len(w.slack.Messages()); n != 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

func TestMentionRemembersAndNeverWaitsLong(t *testing.T) {
	inWorld(t, testenv.SlackOptions{Users: map[string]string{"ann@example.com": "U0ANN00001"}}, func(t *testing.T, w *world) {
		m := w.messenger()
		ask := func(email, want string, lookups int) {
			t.Helper()
			if got := m.Mention(context.Background(), email); got != want {
				t.Errorf("%s is %q, want %q", email, got, want)
			}
			synctest.Wait() // for Slack to note a call that was given up
			if n := w.slack.CountCalls("users.lookupByEmail", ""); n != lookups {
				t.Errorf("%d lookups after %s, want %d", n, email, lookups)
			}
		}
		ask("Ann@Example.com", "U0ANN00001", 1)
		ask("ann@example.com", "U0ANN00001", 1)
		ask("bob@example.com", "", 2)
		ask("bob@example.com", "", 2)
		ask("no address", "", 2)
		time.Sleep(time.Hour)
		ask("ann@example.com", "U0ANN00001", 3)
		w.slack.SetLatency(time.Minute)
		begun := time.Now()
		ask("eve@example.com", "", 4)
		if took := time.Since(begun); took != 1500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		ask("eve@example.com", "", 4) // not asked again so soon
		w.slack.SetLatency(0)
		time.Sleep(time.Minute)
		ask("eve@example.com", "", 5)
	})
}

func TestSlackMakesNoLinksOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"chat.postMessage", "chat.update"} {
		var got map[string]string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = map[string]string{}
			for _, key := range []string{"parse", "link_names", "unfurl_links", "unfurl_media", "blocks", "text"} {
				got[key] = r.FormValue(key)
			}
			_, _ = fmt.Fprintf(w, `{"ok":%v,"channel":"C1","ts":"1.000001"}`, r.URL.Path == "/api/"+method)
		}))
		s := notify.NewSlack(notify.SlackOptions{Token: "t", Channel: "builds", APIURL: server.URL + "/api", Logger: slog.New(slog.DiscardHandler)})
		var err error
		if method == "chat.update" {
			_, err = s.Update(t.Context(), notify.Ref{Channel: "C1", TS: "1.000001"}, notify.Message{Text: "x"}, failedOf("b"))
		} else {
			_, err = s.Post(t.Context(), notify.Message{Text: "x"}, failedOf("b"))
		}
		server.Close()
		if err != nil {
			t.Errorf("%s: %v", method, err)
		}
		want := map[string]string{"parse": "none", "link_names": "", "unfurl_links": "false", "unfurl_media": "false", "blocks": "[]", "text": "x"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s sends (-want +got):\n%s", method, diff)
		}
	}
}
