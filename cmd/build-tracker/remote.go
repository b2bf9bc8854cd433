package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	buildtracker "github.com/build-tracker/build-tracker"
	"github.com/build-tracker/build-tracker/config"
)

// hereOrThere does work here, on the stores themselves. Where a server is named, or
// holds the data folder, it is done there.
func hereOrThere(server *config.Client, here, there func() error) error {
	if !server.Named {
		if err := here(); !errors.Is(err, buildtracker.ErrLocked) {
			return err
		}
	}
	return there()
}

// maxAnswer bounds what is read of an error, or of one line of progress, in
// bytes.
const maxAnswer = 64 << 10

// remoteWork has a running server do what needs the data folder that it holds.
type remoteWork struct {
	http   *http.Client
	server config.Client
	// path is what is asked for, with its query.
	path string
}

// workLine is a line of the answer. The counts of a backfill are in its last one.
type workLine struct {
	Done     int64  `json:"done"`
	Total    int64  `json:"total"`
	Finished bool   `json:"finished"`
	Error    string `json:"error"`
	buildtracker.Backfilled
}

// run asks for the work and hands its progress on until it ends. It returns the
// last line.
func (r *remoteWork) run(ctx context.Context, progress func(done, total int64)) (last workLine, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.server.URL+r.path, nil)
	if err != nil {
		return last, fmt.Errorf("ask %s: %w", r.server.URL, err)
	}
	if token := r.server.Token.Value(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return last, r.server.Unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return last, r.refused(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		last = workLine{}
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			return last, fmt.Errorf("%s answers something else than progress: %w", r.server.URL, err)
		}
		if last.Error != "" {
			return last, errors.New(last.Error)
		}
		progress(last.Done, last.Total)
		if last.Finished {
			return last, nil
		}
	}
	return last, fmt.Errorf("%s ended the answer before the work: %w", r.server.URL, cmp.Or(lines.Err(), io.ErrUnexpectedEOF))
}

// refused says why the server did not begin.
func (r *remoteWork) refused(resp *http.Response) error {
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	// An answer that is no problem document leaves the status to tell.
	_ = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&problem)
	reason := cmp.Or(problem.Detail, problem.Title, resp.Status)
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		reason += " (--token names one of its BUILDTRACKER_API_TOKENS)"
	case http.StatusNotFound:
		reason += " (where the server has an ADMIN_ADDR, --url names that)"
	}
	return fmt.Errorf("%s refuses: %s", r.server.URL, reason)
}
