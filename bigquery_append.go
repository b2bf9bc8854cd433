package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/build-tracker/build-tracker/analytics"
)

const (
	// appendRowsTimeout bounds how long BigQuery may take for a request.
	appendRowsTimeout = time.Minute
	// appendsAtOnce is how many requests to a table are under way.
	appendsAtOnce = 8
	// requestBytes is how much a request holds, in bytes; one row may be larger.
	requestBytes = 960 << 10
	requestRows  = 10_000
)

// appendFailure says what to do about an append that failed.
type appendFailure struct {
	remedy remedy
	// rejected are the rows that BigQuery refuses, with its reasons.
	rejected map[int]string
	err      error
}

func (f *appendFailure) Error() string { return f.err.Error() }
func (f *appendFailure) Unwrap() error { return f.err }

// remedy is what may help after an append failed. Its text is that of a metric's
// label.
type remedy string

const (
	// tryAgain: the connection or the service failed for the moment.
	tryAgain remedy = "unavailable"
	// tryLater: a quota is spent, or access is refused until somebody grants it.
	tryLater remedy = "quota"
	// newStream: the stream is not there any more.
	newStream remedy = "stream gone"
	// endStream: the stream takes no rows, or has not those that it should have.
	endStream remedy = "stream ended"
	// newSchema: the table lacks a column.
	newSchema remedy = "schema"
	// rejectRows: some rows are refused.
	rejectRows remedy = "rows rejected"
	// oneByOne: the request is refused, for one of its rows maybe.
	oneByOne remedy = "request refused"
)

func remedies() []remedy {
	return []remedy{tryAgain, tryLater, newStream, endStream, newSchema, rejectRows, oneByOne}
}

// remedyFor sorts an error of the Storage Write API:
// cloud.google.com/bigquery/docs/write-api-best-practices#handle_errors
func remedyFor(err error) remedy {
	if e, ok := apierror.FromError(err); ok {
		detail := new(storagepb.StorageError)
		if e.Details().ExtractProtoMessage(detail) == nil {
			switch detail.GetCode() {
			case storagepb.StorageError_STREAM_NOT_FOUND, storagepb.StorageError_TABLE_NOT_FOUND:
				return newStream
			case storagepb.StorageError_STREAM_FINALIZED, storagepb.StorageError_STREAM_ALREADY_COMMITTED,
				storagepb.StorageError_INVALID_STREAM_STATE, storagepb.StorageError_OFFSET_OUT_OF_RANGE:
				return endStream
			case storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS:
				return newSchema
			}
		}
	}
	switch status.Code(err) {
	case codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated:
		return tryLater
	case codes.NotFound:
		return newStream
	case codes.OutOfRange:
		return endStream
	case codes.InvalidArgument:
		return oneByOne
	}
	return tryAgain
}

// appendRequest are rows that are appended together.
type appendRequest struct {
	first, end int // of the rows of the table in a batch
	places     []int
	rows       [][]byte
	offset     int64 // below 0 for none
}

// tableWriter appends the rows of one table. One goroutine uses it.
type tableWriter struct {
	to      *bigQuery
	table   *analytics.Table
	encoder *rowEncoder
	// open is the connection, to the stream of that name; nil until there is one.
	open *managedwriter.ManagedStream
	name string
}

func (b *bigQuery) tableName(t *analytics.Table) string {
	return managedwriter.TableParentFromParts(b.project, b.dataset.DatasetID, t.Name)
}

// createStream makes a stream of the table that counts its rows.
func (w *tableWriter) createStream(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, appendRowsTimeout)
	defer cancel()
	stream, err := w.to.write.CreateWriteStream(ctx, &storagepb.CreateWriteStreamRequest{
		Parent: w.to.tableName(w.table), WriteStream: &storagepb.WriteStream{Type: storagepb.WriteStream_COMMITTED},
	})
	if err != nil {
		return "", fmt.Errorf("make a stream for table %s: %w", w.table.Name, err)
	}
	return stream.GetName(), nil
}

// finalize lets no more rows into a stream and returns how many it has.
func (w *tableWriter) finalize(ctx context.Context, stream string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, appendRowsTimeout)
	defer cancel()
	m, err := w.connect(ctx, stream)
	if err != nil {
		return 0, err
	}
	n, err := m.Finalize(ctx)
	if err != nil {
		return 0, fmt.Errorf("end a stream of table %s: %w", w.table.Name, err)
	}
	return n, nil
}

// connect returns a connection to a stream; to the table's default stream for "".
func (w *tableWriter) connect(ctx context.Context, stream string) (*managedwriter.ManagedStream, error) {
	if w.open != nil && w.name == stream {
		return w.open, nil
	}
	w.close()
	to := []managedwriter.WriterOption{managedwriter.WithSchemaDescriptor(w.encoder.descriptor)}
	if stream != "" {
		to = append(to, managedwriter.WithStreamName(stream))
	} else {
		to = append(to, managedwriter.WithType(managedwriter.DefaultStream), managedwriter.WithDestinationTable(w.to.tableName(w.table)))
	}
	// The connection outlives this call; close ends it.
	m, err := w.to.write.NewManagedStream(context.WithoutCancel(ctx), to...)
	if err != nil && stream != "" {
		// Its error does not say whether the stream is gone.
		if _, look := w.to.write.GetWriteStream(ctx, &storagepb.GetWriteStreamRequest{Name: stream}); look != nil {
			err = look
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to table %s: %w", w.table.Name, err)
	}
	w.open, w.name = m, stream
	return m, nil
}

func (w *tableWriter) close() {
	if w.open != nil {
		_ = w.open.Close() // always an error: it says that it is closed
		w.open = nil
	}
}

// send appends requests to a stream, in order, and returns how many of them are
// in the table. What the stream has already counts.
func (w *tableWriter) send(ctx context.Context, stream string, requests []appendRequest) (int, *appendFailure) {
	ctx, cancel := context.WithTimeout(ctx, appendRowsTimeout)
	defer cancel()
	m, err := w.connect(ctx, stream)
	if err != nil {
		return 0, &appendFailure{remedy: remedyFor(err), err: err}
	}
	done, sent := 0, 0
	var waiting []*managedwriter.AppendResult
	for done < len(requests) {
		var failed error // to send; what was sent before counts first
		for failed == nil && sent < len(requests) && len(waiting) < appendsAtOnce {
			var options []managedwriter.AppendOption
			if requests[sent].offset >= 0 {
				options = append(options, managedwriter.WithOffset(requests[sent].offset))
			}
			var result *managedwriter.AppendResult
			if result, failed = m.AppendRows(ctx, requests[sent].rows, options...); failed == nil {
				waiting = append(waiting, result)
				sent++
			}
		}
		if len(waiting) == 0 {
			return done, w.failed(&requests[done], nil, failed)
		}
		answer, err := waiting[0].FullResponse(ctx)
		if err != nil && status.Code(err) != codes.AlreadyExists {
			// Those behind it fail too. None may be on its way when other rows get
			// their offsets.
			for _, behind := range waiting[1:] {
				_, _ = behind.FullResponse(ctx)
			}
			return done, w.failed(&requests[done], answer, err)
		}
		waiting = waiting[1:]
		done++
	}
	return done, nil
}

// failed gives the connection up: requests may be under way on it.
func (w *tableWriter) failed(r *appendRequest, answer *storagepb.AppendRowsResponse, err error) *appendFailure {
	w.close()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the connection's, no end of ours
	}
	f := &appendFailure{remedy: remedyFor(err), err: fmt.Errorf("append to table %s: %w", w.table.Name, err)}
	if wrong := answer.GetRowErrors(); len(wrong) > 0 {
		f.remedy, f.rejected = rejectRows, make(map[int]string, len(wrong))
		for _, e := range wrong {
			if i := int(e.GetIndex()); i >= 0 && i < len(r.places) {
				f.rejected[r.places[i]] = e.GetMessage()
			}
		}
	} else if f.remedy == oneByOne && len(r.rows) == 1 {
		f.remedy, f.rejected = rejectRows, map[int]string{r.places[0]: status.Convert(err).Message()}
	}
	return f
}
