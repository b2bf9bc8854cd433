package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/build-tracker/build-tracker/config"
)

// How long a stream is waited for.
const (
	// maxSilence is how long a connection may bring nothing: a server sends
	// something every 15 s.
	maxSilence = 45 * time.Second
	// firstPatience is for a server that was not reached yet, lostPatience for
	// one that was: how long after its stream last worked another try may begin.
	firstPatience = 5 * time.Second
	lostPatience  = 3 * time.Minute
	// The pause before a try begins with the one that the server asks for, or
	// firstReconnect, and doubles up to maxReconnect.
	firstReconnect = 500 * time.Millisecond
	leastReconnect = 100 * time.Millisecond
	maxReconnect   = 15 * time.Second
)

// errSilent is why a connection ends that brought nothing for too long.
var errSilent = errors.New("nothing came for too long")

// errShutdown is why a connection ends whose server stops.
var errShutdown = errors.New("the server is stopping")

// eventSource reads a stream of events over as many connections as it takes.
type eventSource struct {
	http   *http.Client
	server config.Client
	// path is the stream's, and query what it is asked for each time. start is
	// added as long as no event has come: where to begin.
	path         string
	query, start url.Values
	// emit takes what comes, in order, until it returns an error.
	emit func(arrival) error

	lastID  string // of the last event that had one
	retry   time.Duration
	reached bool // there was a stream
	// worked is when the stream last did: when it brought an event, or anything
	// after its first seconds, in which a server that stops greets, too.
	worked time.Time
}

// arrival is an event, or news of the connection.
type arrival struct {
	event serverEvent // without a type for none
	news  string      // for people
}

func newEventSource(server config.Client, path string) *eventSource {
	return &eventSource{
		server: server, path: path,
		// Compressed, events could wait in a proxy's buffer.
		http: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableCompression: true}},
	}
}

// follow hands events on until the stream ends, which is no error; until the
// context or emit does; or until there is no hope.
func (s *eventSource) follow(ctx context.Context) error {
	defer s.http.CloseIdleConnections()
	lost, pause, told := time.Now(), time.Duration(0), false
	for {
		began := time.Now()
		err := s.read(ctx)
		var later *laterError
		if !errors.As(err, &later) {
			return err
		}
		if !s.worked.Before(began) {
			lost, pause, told = s.worked, 0, false
		}
		patience := firstPatience
		if s.reached {
			patience = lostPatience
		}
		pause = min(max(2*pause, cmp.Or(s.retry, firstReconnect), leastReconnect), maxReconnect)
		// Watchers that a server lost together do not come back as one.
		wait := max(pause, min(later.after, maxReconnect)) + rand.N(pause/2)
		if time.Since(lost)+wait > patience {
			return fmt.Errorf("%w (gave up after %s)", err, seconds(patience))
		}
		if !told {
			told = true
			if err := s.emit(arrival{news: fmt.Sprintf("%v; trying again for up to %s", err, seconds(patience))}); err != nil {
				return err
			}
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// seconds is a time for people to wait.
func seconds(d time.Duration) string { return counted(int(d/time.Second), "second") }

// read hands on what one connection brings. It returns nil where the stream
// ends, and a laterError where another connection may bring more.
func (s *eventSource) read(ctx context.Context) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	silence := time.AfterFunc(answerTimeout, func() { stop(errSilent) })
	defer silence.Stop()
	body, err := s.connect(reading)
	if err != nil {
		return s.broken(ctx, reading, err)
	}
	defer body.Close()
	silence.Reset(maxSilence)
	s.reached = true
	greeted := time.Now().Add(answerTimeout)
	events := newEventStream(readerFunc(func(p []byte) (int, error) {
		n, err := body.Read(p)
		if n > 0 {
			silence.Reset(maxSilence)
			if now := time.Now(); now.After(greeted) {
				s.worked = now
			}
		}
		return n, err
	}))
	events.resume(s.lastID, s.retry)
	for {
		e, err := events.next()
		s.retry = events.retry
		// All our ids are numbers; others would not be for us to send back.
		if _, err := strconv.ParseUint(events.id, 10, 63); err == nil {
			s.lastID = events.id
		}
		if err != nil {
			return s.broken(ctx, reading, err)
		}
		if e.Type == "shutdown" {
			return s.broken(ctx, reading, errShutdown)
		}
		s.worked = time.Now()
		if err := s.emit(arrival{event: e}); err != nil || e.Type == "end" {
			return err
		}
	}
}

// readerFunc is a function that reads.
type readerFunc func([]byte) (int, error)

// Read reads.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// connect asks for the events after those that came, and returns the answer's
// body once it is a stream.
func (s *eventSource) connect(ctx context.Context) (io.ReadCloser, error) {
	query := url.Values{}
	for name, values := range s.query {
		query[name] = values
	}
	if s.lastID == "" {
		for name, values := range s.start {
			query[name] = values
		}
	}
	address := s.server.URL + s.path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.server.URL, err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	if s.lastID != "" {
		req.Header.Set("Last-Event-ID", s.lastID)
	}
	if token := s.server.Token.Value(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		if cause := new(url.Error); errors.As(err, &cause) {
			err = cause.Err // the rest repeats the address
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, s.refused(resp)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		resp.Body.Close()
		return nil, &refusedError{err: fmt.Errorf("%s answers, but not with a stream of events: --url says where a build-tracker is", s.server.URL)}
	}
	return resp.Body, nil
}

// broken says why a connection brings nothing more. All but what a server says
// of the request, and an event that would be too long again, passes.
func (s *eventSource) broken(ctx, reading context.Context, err error) error {
	var later *laterError
	var refused *refusedError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &later), errors.As(err, &refused):
		return err
	case errors.Is(err, errEventTooLong):
		return fmt.Errorf("%w: --from begins after it", err)
	case errors.Is(context.Cause(reading), errSilent):
		err = errSilent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the connection was cut")
	}
	if !s.reached {
		return &laterError{err: fmt.Errorf("%s does not answer: %w; --url says where the server is", s.server.URL, err)}
	}
	return &laterError{err: fmt.Errorf("lost %s: %w", s.server.URL, err)}
}

// refusedError is a server's answer that another try would get again.
type refusedError struct {
	status int // 0 for 200
	err    error
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// refused says why there is no stream, and what to do.
func (s *eventSource) refused(resp *http.Response) error {
	var problem struct{ Title, Detail string }
	// An answer that is no problem document leaves the status to tell.
	_ = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&problem)
	reason := cmp.Or(problem.Detail, problem.Title, http.StatusText(resp.StatusCode), "no reason given")
	unauthorized := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden
	switch {
	case unauthorized && s.server.Token == "":
		reason += " (it needs a token: set BUILDTRACKER_TOKEN to one of its BUILDTRACKER_API_TOKENS)"
	case unauthorized:
		reason += " (the token in BUILDTRACKER_TOKEN is none of its BUILDTRACKER_API_TOKENS)"
	case resp.StatusCode == http.StatusNotFound && problem.Detail == "":
		reason += " (--url says where a build-tracker is)"
	}
	err := fmt.Errorf("%s refuses with %d: %s", s.server.URL, resp.StatusCode, reason)
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
		return &laterError{after: retryAfter(resp.Header), err: err}
	}
	return &refusedError{status: resp.StatusCode, err: err}
}
