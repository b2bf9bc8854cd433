package buildtracker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/build-tracker/build-tracker/stream"
)

// goneError says what retention has dropped.
type goneError struct {
	first  int64 // that there is: a position, or of a build a seq
	detail string
}

func (e *goneError) Error() string { return e.detail }

// laterError is a failure that another try may not have.
type laterError struct{ err error }

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// each reads events that a path answers as an array, and hands them on until one
// is not wanted. Each try begins with what begin returns.
func (r *remoteEvents) each(ctx context.Context, path string, begin func() func(*stream.Event) bool) error {
	return r.get(ctx, path, func(body *io.LimitedReader) error {
		want := begin()
		events := json.NewDecoder(body)
		if _, err := events.Token(); err != nil { // [
			return err
		}
		for events.More() {
			body.N = maxRemoteEvent
			e, err := decodeEnvelope(events)
			if err != nil {
				return err
			}
			if !want(e) {
				return nil
			}
		}
		_, err := events.Token() // ], or what came instead
		return err
	})
}

// get asks for a path, again where the server cannot answer now, and has read take
// the answer.
func (r *remoteEvents) get(ctx context.Context, path string, read func(*io.LimitedReader) error) error {
	for failures := 1; ; failures++ {
		err := r.ask(ctx, path, read)
		var later *laterError
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.As(err, &later) || failures == remoteTries {
			return err
		}
		sleep(ctx, jitter(backoff(failures, r.retry, remoteTimeout)))
	}
}

func (r *remoteEvents) ask(ctx context.Context, path string, read func(*io.LimitedReader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.server.URL+path, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", r.server.URL, err)
	}
	req.Header.Set("Accept", "application/json")
	if token := r.server.Token.Value(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		err = r.server.Unreachable(err)
		if r.reached.Load() {
			err = &laterError{err}
		}
		return err
	}
	defer resp.Body.Close()
	r.reached.Store(true)
	if resp.StatusCode != http.StatusOK {
		return r.refused(resp)
	}
	if through, err := strconv.ParseInt(resp.Header.Get(droppedThrough), 10, 64); err == nil {
		r.lost(through)
	}
	body := &io.LimitedReader{R: resp.Body, N: maxRemoteEvent}
	err = read(body)
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax), errors.As(err, &mistyped), body.N <= 0:
		return fmt.Errorf("%s answers something else than events: %w (--url says where a build-tracker is)", r.server.URL, err)
	}
	return &laterError{fmt.Errorf("%s ended its answer early: %w", r.server.URL, err)}
}

// lost notes that events up to a position may be missing.
func (r *remoteEvents) lost(through int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = max(r.dropped, through)
}

// refused says why there are no events, and what to do.
func (r *remoteEvents) refused(resp *http.Response) error {
	var p problem
	// An answer that is no problem document leaves the status to tell.
	_ = json.NewDecoder(io.LimitReader(resp.Body, maxProblem)).Decode(&p)
	reason := cmp.Or(p.Detail, p.Title, resp.Status)
	switch resp.StatusCode {
	case http.StatusGone:
		r.lost(p.Dropped)
		if p.First > 0 {
			return &goneError{first: p.First, detail: reason}
		}
	case http.StatusUnauthorized, http.StatusForbidden:
		reason += " (--token names one of its BUILDTRACKER_API_TOKENS)"
	case http.StatusNotFound:
		reason += " (--url says where a build-tracker is)"
	}
	err := fmt.Errorf("%s refuses: %s", r.server.URL, reason)
	if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
		return &laterError{err}
	}
	return err
}

// decodeEnvelope reads an event. Its build is its address for now, where it has one.
func decodeEnvelope(from *json.Decoder) (*stream.Event, error) {
	var v struct {
		ID           uuid.UUID       `json:"id"`
		Position     int64           `json:"position"`
		Organization string          `json:"organization"`
		Pipeline     *string         `json:"pipeline"`
		Number       int64           `json:"number"`
		Seq          int64           `json:"seq"`
		Type         string          `json:"type"`
		Version      int             `json:"version"`
		Time         time.Time       `json:"time"`
		Data         json.RawMessage `json:"data"`
	}
	if err := from.Decode(&v); err != nil {
		return nil, err
	}
	e := &stream.Event{
		ID: stream.ID(v.ID), Position: v.Position, Organization: v.Organization, Number: v.Number, Seq: v.Seq,
		Type: v.Type, Version: v.Version, Time: v.Time, Data: v.Data,
	}
	if string(v.Data) == "null" {
		e.Data = nil
	}
	if v.Pipeline != nil {
		e.Pipeline = *v.Pipeline
		e.BuildID = buildAddress{v.Organization, *v.Pipeline, v.Number}.path()
	}
	return e, nil
}
