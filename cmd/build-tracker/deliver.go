package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
)

// A delivery that the server cannot take now is posted again, within bounds.
const (
	maxTries = 6
	// maxPatience is how long after the first try another may begin.
	maxPatience = 30 * time.Second
	// firstPause is the pause after the first try; it doubles with each.
	firstPause = 250 * time.Millisecond
	// answerTimeout bounds one try: Buildkite would wait half as long.
	answerTimeout = 10 * time.Second
	// maxPosters is how many goroutines find a connection kept open.
	maxPosters = 16
)

// deliverer posts deliveries to a server as Buildkite does. Many goroutines may
// use it at the same time.
type deliverer struct {
	to   *config.Deliver
	http *http.Client
}

func newDeliverer(c *config.Deliver) *deliverer {
	return &deliverer{to: c, http: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: maxPosters, IdleConnTimeout: time.Minute},
		Timeout:   answerTimeout,
		// Followed, a POST would become a GET.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post posts a delivery, again where the server cannot take it now, and returns
// what became of it in the server's words: recorded, duplicate or ignored. When
// ctx ends, a try under way is finished and no other begins.
func (d *deliverer) post(ctx context.Context, body []byte) (string, error) {
	event, err := eventOf(body)
	if err != nil {
		return "", err
	}
	began, pause := time.Now(), firstPause
	for tries := 1; ; tries++ {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		word, err := d.try(context.WithoutCancel(ctx), event, body)
		var later *laterError
		if !errors.As(err, &later) {
			return word, err
		}
		// Between half the pause and all of it: posters do not come back as one.
		wait := max(later.after, pause/2+rand.N(pause/2))
		if tries == maxTries {
			return "", fmt.Errorf("%w (gave up after %d tries)", err, tries)
		}
		if time.Since(began)+wait > maxPatience {
			return "", fmt.Errorf("%w (gave up: the next try would be in %s)", err, wait.Round(time.Second))
		}
		if err := sleep(ctx, wait); err != nil {
			return "", err
		}
		pause *= 2
	}
}

// laterError is why a delivery could not be taken now.
type laterError struct {
	after time.Duration // what the server asked to wait; 0 when it did not say
	err   error
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// try posts a delivery once.
func (d *deliverer) try(ctx context.Context, event string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.to.URL+"/buildkite", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	// A second sending is a duplicate, so net/http may try again where a server
	// closed an idle connection. The header is for it alone: nothing is sent.
	req.Header["X-Idempotency-Key"] = nil
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Buildkite-Event", event)
	if token := d.to.WebhookToken.Value(); token != "" {
		req.Header.Set("X-Buildkite-Signature", buildkite.Sign(token, time.Now(), body))
	}
	if token := d.to.Token.Value(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return "", d.unanswered(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", d.unanswered(err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", d.refused(resp, answer)
	}
	var taken struct{ Status string }
	// What is no JSON has no status.
	_ = json.Unmarshal(answer, &taken)
	if !slices.Contains(outcomes(), taken.Status) {
		return "", fmt.Errorf("%s answers, but not as a build-tracker does: --url says where one is", d.to.URL)
	}
	return taken.Status, nil
}

// outcomes are the words for what became of a delivery that was taken.
func outcomes() []string { return []string{"recorded", "duplicate", "ignored"} }

// unanswered says why there was no answer. What a server that starts, stops or
// is overloaded does to a connection passes; and a delivery that was recorded
// after all counts once.
func (d *deliverer) unanswered(err error) error {
	if cause := new(url.Error); errors.As(err, &cause) {
		err = cause.Err // the rest repeats the address
	}
	var late interface{ Timeout() bool }
	passes := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &late) && late.Timeout()
	err = fmt.Errorf("%s does not answer: %w; --url says where the server is", d.to.URL, err)
	if passes {
		return &laterError{err: err}
	}
	return err
}

// refused says why the server did not take a delivery, and what to do.
func (d *deliverer) refused(resp *http.Response, answer []byte) error {
	var problem struct{ Title, Detail string }
	// An answer that is no problem document leaves the status to tell.
	_ = json.Unmarshal(answer, &problem)
	reason := cmp.Or(problem.Detail, problem.Title, resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized && d.to.WebhookToken == "":
		reason += " (--buildkite-webhook-token is not set here)"
	case code == http.StatusUnauthorized:
		reason += " (--buildkite-webhook-token is none of the server's)"
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed:
		reason += " (--url names the address that takes webhooks, not the ADMIN_ADDR)"
	case code >= 300 && code < 400:
		reason += fmt.Sprintf(" (it redirects to %q: --url names the server itself)", resp.Header.Get("Location"))
	}
	err := fmt.Errorf("%s refuses it with %d: %s", d.to.URL, resp.StatusCode, reason)
	if resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests {
		return &laterError{after: retryAfter(resp.Header), err: err}
	}
	return err
}

// retryAfter is how long a server asked to wait: 0 when it did not say.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// eventOf returns the event that a payload says it is.
func eventOf(body []byte) (string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return "", fmt.Errorf("the payload is no JSON object: %w", err)
	}
	var event string
	if err := json.Unmarshal(fields["event"], &event); err != nil || event == "" {
		return "", errors.New(`the payload names no "event": this is not what Buildkite sends`)
	}
	return event, nil
}

// sleep returns after d, or with ctx's error when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
