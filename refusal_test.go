package buildtracker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
)

func TestDeliveryHasALimit(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t), func(c *config.Config) { c.WebhookTokens = config.Secrets{"token"} })
	sized := func(number, size int) []byte {
		b := tell("web", number)
		b.fields["padding"] = ""
		empty := len(b.event("build.running", nil).Body)
		b.fields["padding"] = strings.Repeat("x", size-empty)
		return b.event("build.running", nil).Body
	}
	tests := map[string]struct {
		size    int
		chunked bool
		token   string
		status  int
	}{
		"the most":                 {5 << 20, false, "token", 200},
		"the most, in chunks":      {5 << 20, true, "token", 200},
		"one more":                 {5<<20 + 1, false, "token", 413},
		"one more, in chunks":      {5<<20 + 1, true, "token", 413},
		"much more":                {12 << 20, false, "token", 413},
		"much more, in chunks":     {12 << 20, true, "token", 413},
		"much more, not authentic": {12 << 20, false, "wrong", 401},
	}
	for name, test := range tests {
		number := test.size
		if test.chunked {
			number *= 2
		}
		t.Run(name, func(t *testing.T) {
			got := r.do(request{
				header: map[string]string{"X-Buildkite-Event": "build.running", "X-Buildkite-Token": test.token},
				body:   sized(number, test.size), chunked: test.chunked,
			})
			if test.status != http.StatusOK {
				isProblem(t, got, test.status)
			} else if got.status != http.StatusOK {
				t.Errorf("answers %d: %s", got.status, got.body)
			}
		})
	}
	if n := r.deliveries("too_large"); n != 4 {
		t.Errorf("%d deliveries are counted as too large, want 4", n)
	}
}

// A client that sends all of a body before it reads must find the answer, not a
// connection that was reset.
func TestRefusedClientThatSendsFirstGetsItsAnswer(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t), func(c *config.Config) { c.WebhookTokens = config.Secrets{"token"} })
	for token, status := range map[string]int{"token": 413, "wrong": 401} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			conn, err := net.Dial("tcp", r.server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			const size = 12 << 20
			fmt.Fprintf(conn, "POST /buildkite HTTP/1.1\r\nHost: localhost\r\nX-Buildkite-Event: ping\r\nX-Buildkite-Token: %s\r\nContent-Length: %d\r\n\r\n", token, size)
			if _, err := conn.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != status {
				t.Errorf("answers %d, want %d", res.StatusCode, status)
			}
		})
	}
}

// unwilling is a database that takes nothing.
type unwilling struct{ err error }

func (u unwilling) Append(ctx context.Context, _ db.Delivery) (db.Appended, error) {
	if u.err == nil { // hangs
		<-ctx.Done()
		return db.Appended{}, ctx.Err()
	}
	return db.Appended{}, u.err
}

func TestDeliveryThatCannotBeDurableIsToBeSentAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err    error
		status int
		result string
	}{
		"a full queue":          {db.ErrFull, 503, "unavailable"},
		"a lost database":       {errors.New("connection refused"), 503, "unavailable"},
		"a closed store":        {db.ErrClosed, 503, "unavailable"},
		"a database that hangs": {nil, 503, "unavailable"},
		"a refusal":             {fmt.Errorf("append: %w", db.ErrRefused), 400, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verifier, err := buildkite.NewVerifier(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			m := newMetrics()
			refused := quietRefusals("")
			h := &webhook{
				events: unwilling{test.err}, verifier: verifier, open: true, memory: semaphore.NewWeighted(maxInFlight),
				live:     func() *config.Live { return new(config.Live) },
				recorded: func(string) { t.Error("the tracker is told of an event") }, refusals: refused, metrics: m, log: slog.New(slog.DiscardHandler),
			}
			d := tell("web", 1).event("build.running", nil)
			synctest.Test(t, func(t *testing.T) {
				q := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/buildkite", bytes.NewReader(d.Body))
				q.RemoteAddr = "127.0.0.1:1234"
				q.Header.Set("X-Buildkite-Event", d.Event)
				w := httptest.NewRecorder()
				began := time.Now()
				h.ServeHTTP(w, q)
				if took := time.Since(began); took > 4500*time.Millisecond {
					t.Errorf("the answer took %v, Buildkite waits 5 s", took)
				}
				isProblem(t, answer{w.Code, w.Header(), w.Body.String()}, test.status)
				if lost := len(refused.all()) == 1; lost != (test.status == http.StatusServiceUnavailable) {
					t.Errorf("it is kept as lost: %v", lost)
				}
				if again := w.Header().Get("Retry-After"); (again != "") != (test.status == http.StatusServiceUnavailable) {
					t.Errorf("Retry-After is %q", again)
				}
			})
			if n := counted(t, m, test.result); n != 1 {
				t.Errorf("%v deliveries are counted as %s", n, test.result)
			}
		})
	}
}

// counted is how many deliveries a server counted with this result.
func counted(t testing.TB, m *metrics, result string) (n float64) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, c := range f.GetMetric() {
			if f.GetName() == "buildtracker_deliveries_total" && c.GetLabel()[0].GetValue() == result {
				n = c.GetCounter().GetValue()
			}
		}
	}
	return n
}

func TestBodyThatStopsComingIsRefused(t *testing.T) {
	t.Parallel()
	q := httptest.NewRequest(http.MethodPost, "/buildkite", io.MultiReader(strings.NewReader(`{"event"`), stuck{}))
	p := new(buffer).read(httptest.NewRecorder(), q, 100)
	if p == nil || p.Status != http.StatusRequestTimeout {
		t.Errorf("the answer is %+v, want 408", p)
	}
}

// stuck is a body of which no more came in time.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
