package buildtracker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// No test leaves a goroutine behind, and so no server does.

// running is a whole server, on a free port.
type running struct {
	t      testing.TB
	server *Server
	url    string
	log    *logged
	client *http.Client
	once   sync.Once
	cancel context.CancelFunc
	ended  chan error
}

// startServer starts a server on stores; it is stopped, at the latest, when the
// test ends. Without change it is as it comes: nothing is configured.
func startServer(t testing.TB, s stores, change ...func(*config.Config)) *running {
	t.Helper()
	return startServerWith(t, s, Options{}, change...)
}

// startServerWith is startServer with options; the logger is the test's.
func startServerWith(t testing.TB, s stores, opts Options, change ...func(*config.Config)) *running {
	t.Helper()
	cfg := &config.Config{
		ListenAddr: "127.0.0.1:0", DataDir: s.dir,
		DatabaseURL: config.Secret(s.database), RedisURL: config.Secret(s.redis),
		BuildTTL: time.Hour, Notices: true, NoticeMaxAge: 24 * time.Hour,
	}
	for _, c := range change {
		c(cfg)
	}
	r := &running{t: t, log: new(logged), ended: make(chan error, 1)}
	opts.Logger = slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.server, err = New(t.Context(), cfg, opts); err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + r.server.Addr()
	r.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r.cancel = cancel
	go func() { r.ended <- r.server.Run(ctx) }()
	t.Cleanup(r.stop)
	return r
}

// stop ends the server, and returns when it has.
func (r *running) stop() {
	r.t.Helper()
	r.once.Do(func() {
		r.client.CloseIdleConnections()
		r.cancel()
		if err := <-r.ended; err != nil {
			r.t.Errorf("the server did not end well: %v", err)
		}
	})
}

// logged keeps what a server logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// answer is what a server answered.
type answer struct {
	status int
	header http.Header
	body   string
}

// request is one to a server. Values of the header that are empty are left out.
type request struct {
	method, path string // POST /buildkite when empty
	header       map[string]string
	body         []byte
	chunked      bool // without Content-Length
	host         string
}

// do sends a request.
func (r *running) do(q request) answer {
	r.t.Helper()
	return r.at(r.url, q)
}

// at sends a request to another base URL.
func (r *running) at(base string, q request) answer {
	r.t.Helper()
	if q.method == "" {
		q.method = http.MethodPost
	}
	if q.path == "" {
		q.path = "/buildkite"
	}
	var body io.Reader = bytes.NewReader(q.body)
	if q.chunked {
		body = io.MultiReader(body) // hides its length
	}
	req, err := http.NewRequestWithContext(r.t.Context(), q.method, base+q.path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, value := range q.header {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	req.Host = q.host
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(got)}
}

// get reads a route.
func (r *running) get(path string) answer {
	r.t.Helper()
	return r.do(request{method: http.MethodGet, path: path})
}

// read decodes the JSON of a route that answers 200.
func (r *running) read(path string, into any) {
	r.t.Helper()
	got := r.get(path)
	if got.status != http.StatusOK {
		r.t.Fatalf("GET %s answers %d: %s", path, got.status, got.body)
	}
	if err := json.Unmarshal([]byte(got.body), into); err != nil {
		r.t.Fatalf("GET %s: %v in %.200s", path, err, got.body)
	}
}

// post sends a delivery without credentials, and returns the status in words of
// the answer.
func (r *running) post(d traffic.Delivery) string {
	r.t.Helper()
	got := r.do(request{header: map[string]string{"X-Buildkite-Event": d.Event}, body: d.Body})
	var result struct{ Status string }
	if err := json.Unmarshal([]byte(got.body), &result); err != nil || got.status != http.StatusOK {
		r.t.Fatalf("%s answers %d: %s", d.Event, got.status, got.body)
	}
	return result.Status
}

// record posts deliveries that are new.
func (r *running) record(deliveries ...traffic.Delivery) {
	r.t.Helper()
	for _, d := range deliveries {
		if got := r.post(d); got != "recorded" {
			r.t.Fatalf("%s is %s, want recorded: %s", d.Event, got, d.Body)
		}
	}
}

// recordAll posts deliveries that are new, many at a time.
func (r *running) recordAll(deliveries []traffic.Delivery) {
	r.t.Helper()
	waiting := make(chan traffic.Delivery)
	var posting sync.WaitGroup
	for range 64 {
		posting.Go(func() {
			for d := range waiting {
				if got := r.insist(d); got.status != http.StatusOK {
					r.t.Errorf("%s is answered %d: %s", d.Event, got.status, got.body)
				}
			}
		})
	}
	for _, d := range deliveries {
		waiting <- d
	}
	close(waiting)
	posting.Wait()
}

// insist posts a delivery again for as long as it is told to.
func (r *running) insist(d traffic.Delivery) (got answer) {
	await(r.t, "a delivery to be taken", func() (bool, error) {
		got = r.do(request{header: map[string]string{"X-Buildkite-Event": d.Event}, body: d.Body})
		return got.status != http.StatusServiceUnavailable, nil
	})
	return got
}

// settle waits until all that was recorded is folded, and said.
func (r *running) settle() {
	r.t.Helper()
	await(r.t, "the tracker to catch up", func() (bool, error) {
		head, err := r.server.db.Head(r.t.Context())
		if err != nil {
			return false, err
		}
		if cursor, err := r.server.db.Cursor(r.t.Context(), trackerCursor); err != nil || cursor.Position != head {
			return false, err
		}
		due, err := r.server.db.CountDue(r.t.Context())
		return due == 0 || !r.server.cfg.Notices, err
	})
}

// isProblem checks that an answer is an error as RFC 9457 has them.
func isProblem(t testing.TB, got answer, status int) {
	t.Helper()
	if got.status != status {
		t.Errorf("answers %d, want %d: %s", got.status, status, got.body)
		return
	}
	if kind := got.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("the error has Content-Type %q", kind)
	}
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		t.Fatalf("the error is no JSON: %v: %s", err, got.body)
	}
	if p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Status != status || p.Detail == "" {
		t.Errorf("the error is %s", got.body)
	}
}

func TestStoppedServerIsGone(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		r.record(tell("web", 1).event("build.running", nil))
		r.stop()
		if conn, err := net.Dial("tcp", r.server.Addr()); err == nil {
			conn.Close()
			t.Error("the address is still listened on")
		}
		again := startServer(t, s) // the data directory is free, and kept what there was
		again.settle()
		again.read("/api/builds/acme/web/1", new(any))
	})
}

func TestSecondServerIsKeptOffTheDataDirectory(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	startServer(t, s)
	_, err := New(t.Context(), &config.Config{ListenAddr: "127.0.0.1:0", DataDir: s.dir}, Options{})
	if !errors.Is(err, db.ErrLocked) {
		t.Errorf("the second server says %v", err)
	}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	server := newHTTPServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}), slog.New(slog.DiscardHandler))
	if server.ReadHeaderTimeout != 5*time.Second || server.ReadTimeout != 10*time.Second {
		t.Errorf("headers have %v and bodies %v, want 5 s and 10 s", server.ReadHeaderTimeout, server.ReadTimeout)
	}
	// The same with less patience.
	server.ReadHeaderTimeout, server.ReadTimeout = 50*time.Millisecond, 100*time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Close(); serving.Wait() })
	for name, text := range map[string]string{
		"headers": "POST /buildkite HTTP/1.1\r\nHost: x\r\nX-Slow",
		"body":    "POST /buildkite HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, text)
			if _, err := io.ReadAll(conn); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
				t.Error("the connection is not cut")
			}
		})
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
