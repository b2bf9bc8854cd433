package bigquery_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	fake "github.com/build-tracker/build-tracker/internal/testenv/bigquery"
)

// lost are what a client sees of a connection that was cut.
func lost(code codes.Code) bool { return code == codes.Unavailable || code == codes.Unknown }

// retry appends until the writer has noticed that its connection is gone.
func retry(t *testing.T, ms *managedwriter.ManagedStream, at int64, rows ...[]byte) (*storagepb.AppendRowsResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		answer, err := add(t, ms, at, rows...)
		if code, _ := codeOf(err); !lost(code) || ctx.Err() != nil {
			return answer, err
		}
	}
}

func TestALostAnswerIsSeenAsAnOffsetThatExists(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e, committed())
	w.DropAfter(1)
	row := e.row(map[string]any{"id": "a"})
	_, err := add(t, ms, 0, row)
	if code, _ := codeOf(err); !lost(code) {
		t.Fatalf("error %v, want a lost connection", err)
	}
	_, err = retry(t, ms, 0, row)
	wantCode(t, err, codes.AlreadyExists, storagepb.StorageError_OFFSET_ALREADY_EXISTS)
	if n := len(w.Rows("ci", "jobs")); n != 1 || w.Counts().DroppedAfter != 1 {
		t.Errorf("%d rows, counts %+v", n, w.Counts())
	}
}

func TestAnAppendIsLostBeforeItIsStored(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e, committed())
	w.DropBefore(1)
	row := e.row(map[string]any{"id": "a"})
	_, err := add(t, ms, 0, row)
	if code, _ := codeOf(err); !lost(code) || len(w.Rows("ci", "jobs")) != 0 {
		t.Fatalf("error %v, rows %v", err, w.Rows("ci", "jobs"))
	}
	if _, err := retry(t, ms, 0, row); err != nil {
		t.Fatal(err)
	}
	if w.Counts().DroppedBefore != 1 {
		t.Errorf("counts %+v", w.Counts())
	}
}

func TestDownAndBackOnTheSamePorts(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e, committed())
	row := func(id string) []byte { return e.row(map[string]any{"id": id}) }
	if _, err := add(t, ms, 0, row("a")); err != nil {
		t.Fatal(err)
	}
	w.SetDown(true)
	_, err := add(t, ms, 1, row("b"))
	if code, _ := codeOf(err); !lost(code) {
		t.Fatalf("down, append: %v", err)
	}
	if answer, err := http.Get(w.URL()); err == nil {
		answer.Body.Close()
		t.Error("down, REST answers")
	}
	w.SetDown(false)
	if _, err := retry(t, ms, 1, row("b")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rest.Dataset("ci").Metadata(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, ids(w.Rows("ci", "jobs"))); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if w.Counts().Refused == 0 {
		t.Errorf("counts %+v", w.Counts())
	}
}

func TestAppendsAreAnsweredWithAGivenCode(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e, committed())
	row := e.row(map[string]any{"id": "a"})
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.Aborted} {
		w.FailAppends(code, 1)
		_, err := add(t, ms, 0, row)
		wantCode(t, err, code, 0)
	}
	w.FailAppends(codes.Internal, fake.Always)
	for range 3 {
		_, err := add(t, ms, 0, row)
		wantCode(t, err, codes.Internal, 0)
	}
	w.FailAppends(codes.OK, 0)
	if _, err := add(t, ms, 0, row); err != nil {
		t.Fatal(err)
	}
	if n := w.Counts(); n.FailedAppends != 7 || n.Rows != 1 {
		t.Errorf("counts %+v", n)
	}
}

func TestCallsEndWithAGivenCode(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e, committed())
	w.FailCalls(codes.PermissionDenied, 2)
	_, err := add(t, ms, 0, e.row(map[string]any{"id": "a"}))
	wantCode(t, err, codes.PermissionDenied, 0)
	_, err = ms.Finalize(t.Context())
	wantCode(t, err, codes.PermissionDenied, 0)
	if n, err := ms.Finalize(t.Context()); err != nil || n != 0 {
		t.Error(n, err)
	}
	if n := w.Counts().FailedCalls; n != 2 {
		t.Errorf("%d calls failed", n)
	}
}

func TestAStreamIsForgotten(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e, committed())
	row := e.row(map[string]any{"id": "a"})
	if _, err := add(t, ms, 0, row); err != nil {
		t.Fatal(err)
	}
	if !w.Forget(ms.StreamName()) || w.Forget(ms.StreamName()) {
		t.Error("want a stream that can be forgotten once")
	}
	_, err := add(t, ms, 1, row)
	wantCode(t, err, codes.NotFound, storagepb.StorageError_STREAM_NOT_FOUND)
	if len(w.Streams("ci", "jobs")) != 0 || len(w.Rows("ci", "jobs")) != 1 {
		t.Errorf("streams %v, rows %v", w.Streams("ci", "jobs"), w.Rows("ci", "jobs"))
	}
}

func TestRowsAreRejectedByAHook(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.table(t, simple)
	e := encode(t, simple)
	ms := w.stream(t, e)
	w.SetReject(func(table string, row fake.Row) string {
		if table == "jobs" && row["id"] == "bad" {
			return "not this one"
		}
		return ""
	})
	good, bad := e.row(map[string]any{"id": "good"}), e.row(map[string]any{"id": "bad"})
	answer, err := add(t, ms, -1, good, bad, good)
	wantCode(t, err, codes.InvalidArgument, 0)
	if wrong := answer.GetRowErrors(); len(wrong) != 1 || wrong[0].GetIndex() != 1 || wrong[0].GetMessage() != "not this one" {
		t.Errorf("row errors %v", wrong)
	}
	if _, err := add(t, ms, -1, good, good); err != nil {
		t.Fatal(err)
	}
	if n := w.Counts(); n.RejectedRows != 1 || n.Rows != 2 {
		t.Errorf("counts %+v", n)
	}
}

func TestAnswersAreLate(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.SetLatency(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.rest.Dataset("ci").Metadata(ctx); err == nil {
		t.Error("REST answers at once")
	}
	w.SetLatency(time.Millisecond)
	if _, err := w.rest.Dataset("ci").Metadata(t.Context()); err != nil {
		t.Error(err)
	}
}
