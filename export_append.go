package buildtracker

import (
	"context"
	"maps"
	"time"

	"github.com/build-tracker/build-tracker/analytics"
)

// appendTable appends the rows of one table, however long it takes. It fails only
// where the database does, and when ctx ends.
func (s *exportSession) appendTable(ctx context.Context, w *tableWriter, rows *exportRows) error {
	var quiet sometimes
	done := 0 // rows before are in the table, or refused
	for failures := 1; ; failures++ {
		requests, stream := s.requests(w.table, rows.encoded, done)
		taken, failure := w.send(ctx, stream, requests)
		if taken > 0 {
			done, failures = requests[taken-1].end, 1
		}
		if failure == nil {
			return nil
		}
		rows.late = true
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.metrics.failures.WithLabelValues(string(failure.remedy)).Inc()
		quiet.do(func() {
			s.log.Warn("rows wait for BigQuery", "table", w.table.Name, "why", string(failure.remedy), "error", failure)
		})
		changed, err := s.mend(ctx, w, failure, done)
		if err != nil {
			quiet.do(func() { s.log.Warn("rows wait for BigQuery", "table", w.table.Name, "error", err) })
		}
		if changed {
			// Nothing is sent that is not known: another exporter may have to go on.
			if err := s.save(ctx); err != nil {
				return err
			}
		}
		if failure.remedy != rejectRows {
			sleep(ctx, jitter(s.pace.wait(failure, failures)))
		}
	}
}

// wait is how long an append waits after so many failures in a row.
func (p exportPace) wait(f *appendFailure, failures int) time.Duration {
	if f.remedy == tryLater {
		return backoff(failures, p.quota, p.most)
	}
	return backoff(failures, p.retry, p.most)
}

// mend does what may help after a failure, and says whether the state changed for
// it. Rows before done are in the table.
func (s *exportSession) mend(ctx context.Context, w *tableWriter, failure *appendFailure, done int) (changed bool, err error) {
	switch failure.remedy {
	case rejectRows:
		s.log.Warn("BigQuery refuses rows: they go to the table rejected", "table", w.table.Name, "rows", len(failure.rejected), "error", failure)
		s.metrics.rejected.WithLabelValues(w.table.Name).Add(float64(len(failure.rejected)))
		s.change(func(p *exportPlan) {
			known := p.Rejected[w.table.Name]
			if known == nil {
				known = make(map[int]string)
				p.Rejected[w.table.Name] = known
			}
			maps.Copy(known, failure.rejected)
		})
		return true, nil
	case oneByOne:
		s.change(func(p *exportPlan) { p.Single[w.table.Name] = true })
		return true, nil
	case endStream:
		if s.to.duplicates {
			return false, nil
		}
		err := s.moveOn(ctx, w)
		return err == nil, err
	case newStream:
		if err := s.to.prepare(ctx); err != nil || s.to.duplicates {
			return false, err
		}
		err := s.replace(ctx, w, done)
		return err == nil, err
	case newSchema:
		return false, s.to.prepare(ctx)
	}
	return false, nil
}

// change changes the plan.
func (s *exportSession) change(do func(*exportPlan)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Plan.Rejected == nil {
		s.state.Plan.Rejected = make(map[string]map[int]string)
	}
	if s.state.Plan.Single == nil {
		s.state.Plan.Single = make(map[string]bool)
	}
	do(s.state.Plan)
}

// replace has the rows from done on go to a new stream, for theirs is gone.
func (s *exportSession) replace(ctx context.Context, w *tableWriter, done int) error {
	s.log.Warn("a stream of BigQuery is gone: another takes its place, and rows whose confirmation was lost may be there twice",
		"table", w.table.Name, "after", s.at)
	stream, err := w.createStream(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := int64(0)
	for place := range done {
		if _, refused := s.state.Plan.Rejected[w.table.Name][place]; !refused {
			taken++
		}
	}
	s.state.Tables[w.table.Name] = tablePosition{Stream: stream, Offset: -max(taken, -s.state.Tables[w.table.Name].Offset)}
	return nil
}

// requests returns the requests for those rows that are not in the table yet, and
// the stream they go to. Where a request begins and ends does not depend on which
// rows are: the same rows make the same requests.
func (s *exportSession) requests(t *analytics.Table, rows [][]byte, done int) ([]appendRequest, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, refused := s.state.Tables[t.Name], s.state.Plan.Rejected[t.Name]
	most := requestRows
	if s.state.Plan.Single[t.Name] {
		most = 1
	}
	var out []appendRequest
	offset := at.Offset
	for first := 0; first < len(rows); {
		r := appendRequest{first: first, end: first, offset: -1}
		for size := 0; r.end < len(rows) && r.end-first < most; r.end++ {
			if size += len(rows[r.end]); r.end > first && size > requestBytes {
				break
			}
			if _, is := refused[r.end]; is {
				continue
			}
			if r.end >= done && offset >= 0 {
				if r.offset < 0 && at.Stream != "" {
					r.offset = offset
				}
				r.rows, r.places = append(r.rows, rows[r.end]), append(r.places, r.end)
			}
			if at.Stream != "" {
				offset++
			}
		}
		if len(r.rows) > 0 {
			out = append(out, r)
		}
		first = r.end
	}
	return out, at.Stream
}
