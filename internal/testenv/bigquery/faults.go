package bigquery

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Always is a number of times that does not end.
const Always = -1

type faults struct {
	dropBefore int
	dropAfter  int
	appends    failure // told in the answer to an append
	calls      failure // told as the end of a call
	rest       failure
	latency    time.Duration
	reject     func(table string, row Row) string
}

// failure is a code to answer with, so many times.
type failure struct {
	code  int // gRPC's or HTTP's
	times int // below 0: until told otherwise
}

// take reports whether this time is one to fail.
func (f *failure) take() bool {
	if f.times == 0 {
		return false
	}
	if f.times > 0 {
		f.times--
	}
	return true
}

// Counts are how much happened since the start.
type Counts struct {
	Appends int64 // requests that were stored
	Rows    int64 // rows that were stored
	Bytes   int64 // their size, encoded

	Refused       int64 // connections turned away while down
	DroppedBefore int64 // connections cut before an append was stored
	DroppedAfter  int64 // connections cut after an append was stored
	FailedAppends int64 // appends answered by FailAppends
	FailedCalls   int64 // calls ended by FailCalls
	FailedREST    int64 // requests answered by FailREST
	Forgotten     int64 // streams
	RejectedRows  int64 // rows refused by SetReject
	Misplaced     int64 // appends refused for their offset, or because their stream had ended
}

// Counts returns how much happened since the start.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.Refused = s.rest.refusals() + s.storage.refusals()
	return c
}

// SetDown resets every connection, the open and the coming ones, or takes them
// again, on the same ports.
func (s *Server) SetDown(down bool) {
	s.rest.setDown(down)
	s.storage.setDown(down)
}

// DropBefore cuts the connections of the next n appends, which are not stored.
// What else is under way on these connections is lost too.
func (s *Server) DropBefore(n int) { s.setFault(func(f *faults) { f.dropBefore = n }) }

// DropAfter cuts the connections of the next n appends after they were stored.
// What else is under way on these connections is lost too.
func (s *Server) DropAfter(n int) { s.setFault(func(f *faults) { f.dropAfter = n }) }

// FailAppends answers the next n appends with an error, or Always; they are not
// stored, and the connection goes on.
func (s *Server) FailAppends(code codes.Code, n int) {
	s.setFault(func(f *faults) { f.appends = failure{int(code), n} })
}

// FailCalls ends the next n calls of the Storage Write API with an error, or
// Always. An append ends the call that it is part of; it is not stored.
func (s *Server) FailCalls(code codes.Code, n int) {
	s.setFault(func(f *faults) { f.calls = failure{int(code), n} })
}

// FailREST answers the next n requests of the REST API with an HTTP status, or
// Always; they have no effect.
func (s *Server) FailREST(code, n int) {
	s.setFault(func(f *faults) { f.rest = failure{code, n} })
}

// SetLatency delays every call and every append by d before it takes effect.
func (s *Server) SetLatency(d time.Duration) { s.setFault(func(f *faults) { f.latency = d }) }

// SetReject makes those rows errors for which reject, called with the table's
// id, returns a message. It must not change the row; nil ends that.
func (s *Server) SetReject(reject func(table string, row Row) string) {
	s.setFault(func(f *faults) { f.reject = reject })
}

// Forget loses a stream by its name, as if it had never been created. It
// reports whether there was one. Its rows stay.
func (s *Server) Forget(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.streams[name]
	if known {
		delete(s.streams, name)
		s.counts.Forgotten++
	}
	return known
}

func (s *Server) setFault(set func(*faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set(&s.faults)
}

// beforeCall waits and returns the error that a call is to end with.
func (s *Server) beforeCall(ctx context.Context) error {
	if err := s.wait(ctx); err != nil {
		return status.FromContextError(err).Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.calls.take() {
		s.counts.FailedCalls++
		return status.Error(codes.Code(s.faults.calls.code), "the call fails, as a test wants it")
	}
	return nil
}

func (s *Server) wait(ctx context.Context) error {
	s.mu.Lock()
	latency := s.faults.latency
	s.mu.Unlock()
	if latency <= 0 {
		return nil
	}
	late := time.NewTimer(latency)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return nil
	}
}

// dropClient cuts the connection of a call.
func (s *Server) dropClient(ctx context.Context) error {
	if p, ok := peer.FromContext(ctx); ok {
		s.storage.drop(p.Addr.String())
	}
	return status.Error(codes.Unavailable, "the connection is cut, as a test wants it")
}

// beforeAppend returns the error that the call of an append is to end with.
func (s *Server) beforeAppend(ctx context.Context) error {
	s.mu.Lock()
	drop := s.faults.dropBefore > 0
	if drop {
		s.faults.dropBefore--
		s.counts.DroppedBefore++
	}
	s.mu.Unlock()
	if drop {
		return s.dropClient(ctx)
	}
	return nil
}

// failAppend returns the error that an append is to be answered with.
func (s *Server) failAppend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.faults.appends.take() {
		return nil
	}
	s.counts.FailedAppends++
	return status.Error(codes.Code(s.faults.appends.code), "the append fails, as a test wants it")
}

func (s *Server) dropAfter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.dropAfter == 0 {
		return false
	}
	s.faults.dropAfter--
	s.counts.DroppedAfter++
	return true
}

func (s *Server) rejects() func(table string, row Row) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.reject
}

// rejected counts a row that was refused with a message, which may be empty.
func (s *Server) rejected(message string) error {
	if message == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.RejectedRows++
	return errors.New(message)
}
