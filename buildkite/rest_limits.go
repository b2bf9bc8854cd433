package buildkite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// requestsAtOnce may be made within paceWindow, which is longer than a minute:
	// requests do not arrive as evenly as they are sent.
	// https://buildkite.com/docs/apis/rest-api/rate-limits
	requestsAtOnce = 50
	paceWindow     = 62 * time.Second
	// restTries bounds how often a request is made that is not answered, or answered
	// with 5xx, and limitTries how often one is that is over a limit.
	restTries  = 6
	limitTries = 5
	// longestWait bounds what an answer may have us wait.
	longestWait = 5 * time.Minute
	// maxPage bounds an answer, in bytes.
	maxPage = 64 << 20
)

// errTooLarge: the answer has more than maxPage bytes.
var errTooLarge = errors.New("the answer is too large")

// limited makes requests at a pace, waits when a limit is reached, and repeats what
// was not answered. What is refused it returns as a *RESTError: above it nothing
// is tried again. It is for requests without a body that change nothing.
type limited struct {
	next     http.RoundTripper
	answered func(outcome string)
	pace     pace
}

func (l *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	over, failed := 0, 0
	for {
		if err := l.pace.wait(r.Context()); err != nil {
			return nil, err
		}
		res, err := l.once(r)
		if err == nil {
			return res, nil
		}
		if r.Context().Err() != nil {
			return nil, context.Cause(r.Context())
		}
		refused := new(RESTError)
		known := errors.As(err, &refused)
		switch {
		case known && refused.Status == http.StatusTooManyRequests:
			over++ // its headers, or the pace's own wait, say until when
		case known && refused.Status < http.StatusInternalServerError:
			return nil, err
		default:
			failed++
			l.pace.pause(time.Second << (failed - 1))
		}
		if over == limitTries || failed == restTries {
			return nil, err
		}
	}
}

// once makes the request, and reads no more of the answer than a refusal's reason.
func (l *limited) once(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	res, err := l.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		l.answered("no_answer")
		return nil, fmt.Errorf("it does not answer: %w", err)
	}
	l.answered(strconv.Itoa(res.StatusCode))
	l.pace.told(res.StatusCode, res.Header)
	if res.StatusCode == http.StatusOK {
		res.Body = &page{body: res.Body, left: maxPage, done: cancel}
		return res, nil
	}
	defer cancel()
	defer res.Body.Close()
	// What is cut short tells less, which is no reason to fail otherwise.
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return nil, newRESTError(res.StatusCode, body)
}

// page is the body of an answer, which ends with errTooLarge beyond its bound.
type page struct {
	body io.ReadCloser
	left int64
	done func()
}

func (p *page) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, errTooLarge
	}
	n, err := p.body.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	return n, err
}

func (p *page) Close() error {
	// What is left over is not read: who closes early does not want it.
	p.left = 0
	defer p.done()
	return p.body.Close()
}

// pace says when the next request may be made.
type pace struct {
	mu     sync.Mutex
	sent   [requestsAtOnce]time.Time // the latest, from oldest on
	oldest int
	until  time.Time // before which nothing is asked
}

// wait returns when a request may be made, and counts it.
func (p *pace) wait(ctx context.Context) error {
	for {
		wait := p.take(time.Now())
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// take counts a request that is made now, or returns how long it has to wait.
func (p *pace) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.until.Sub(now); wait > 0 {
		return wait
	}
	if wait := p.sent[p.oldest].Add(paceWindow).Sub(now); wait > 0 {
		return wait
	}
	p.sent[p.oldest] = now
	p.oldest = (p.oldest + 1) % requestsAtOnce
	return 0
}

// pause has the next request wait for d.
func (p *pace) pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(min(d, longestWait)); until.After(p.until) {
		p.until = until
	}
}

// told obeys an answer's headers. RateLimit-* are the organization's limit,
// RateLimit-User-* the token's; a tenth of each is left to others.
func (p *pace) told(status int, h http.Header) {
	for _, limit := range []string{"RateLimit-", "RateLimit-User-"} {
		remaining, err := strconv.Atoi(h.Get(limit + "Remaining"))
		reset := seconds(h.Get(limit + "Reset"))
		most, _ := strconv.Atoi(h.Get(limit + "Limit")) // without it nothing is left over
		if err == nil && remaining <= min(most/10, requestsAtOnce/10) {
			p.pause(reset)
		}
	}
	if status == http.StatusTooManyRequests {
		p.pause(cmp.Or(seconds(h.Get("Retry-After")), seconds(h.Get("RateLimit-User-Reset")), seconds(h.Get("RateLimit-Reset")), 10*time.Second))
	}
}

// seconds returns 0 for what is no number above it.
func seconds(text string) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) {
		return 0
	}
	return time.Duration(min(n, longestWait.Seconds()) * float64(time.Second))
}
