package buildtracker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/config"
)

// reconnectMost is how long a connection to BigQuery is away at most before it is
// tried again.
const reconnectMost = 10 * time.Second

// prepareTimeout is enough for a first start, with a dozen tables and views to make.
const prepareTimeout = 30 * time.Second

// tablesAtOnce is how many tables are looked at or made at a time.
const tablesAtOnce = 4

// bigQuery is a dataset of BigQuery: its tables, made and evolved as
// analytics.Tables says, and the streams that rows go through.
type bigQuery struct {
	rest    *bigquery.Client
	write   *managedwriter.Client
	project string
	dataset *bigquery.Dataset
	// duplicates: rows may come twice, so that there are views without them.
	duplicates bool
	// repeats: events may be exported again, so that there are such views too.
	repeats bool
	// patience bounds how long the tables are looked at and made: the client tries
	// again for as long as it may, and says nothing.
	patience time.Duration
	log      *slog.Logger
}

// openBigQuery makes the clients. They connect when they are used.
func openBigQuery(ctx context.Context, cfg config.BigQuery, log *slog.Logger) (*bigQuery, error) {
	var rest, write []option.ClientOption
	if cfg.Endpoint != "" {
		rest = append(rest, option.WithoutAuthentication(), option.WithEndpoint(cfg.Endpoint+"/bigquery/v2/"))
		write = append(write, option.WithoutAuthentication(), option.WithEndpoint(cfg.StorageEndpoint),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	}
	write = append(write, option.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           grpcbackoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMost},
		MinConnectTimeout: 10 * time.Second,
	})))
	b := &bigQuery{project: cfg.Project, duplicates: cfg.DefaultStream, patience: prepareTimeout, log: log}
	var err error
	// The clients outlive the start.
	ctx = context.WithoutCancel(ctx)
	if b.rest, err = bigquery.NewClient(ctx, cfg.Project, rest...); err != nil {
		return nil, fmt.Errorf("BigQuery cannot be used, set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file: %w", err)
	}
	if b.write, err = managedwriter.NewClient(ctx, cfg.Project, write...); err != nil {
		return nil, errors.Join(fmt.Errorf("BigQuery cannot be used, set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file: %w", err), b.rest.Close())
	}
	b.dataset = b.rest.Dataset(cfg.Dataset)
	return b, nil
}

func (b *bigQuery) close() error { return errors.Join(b.write.Close(), b.rest.Close()) }

// prepare makes the dataset, the tables and the views that are not there, and adds
// the columns that tables lack. It changes and removes nothing else.
func (b *bigQuery) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	if _, err := b.dataset.Metadata(ctx); isStatus(err, http.StatusNotFound) {
		if err := b.dataset.Create(ctx, &bigquery.DatasetMetadata{Description: "Builds, as build-tracker saw them."}); err != nil && !isStatus(err, http.StatusConflict) {
			return fmt.Errorf("make dataset %s: %w", b.dataset.DatasetID, err)
		}
	} else if err != nil {
		return fmt.Errorf("look at dataset %s: %w", b.dataset.DatasetID, err)
	}
	each, making := errgroup.WithContext(ctx)
	each.SetLimit(tablesAtOnce)
	for _, t := range analytics.Tables() {
		each.Go(func() error {
			if err := b.prepareTable(making, t); err != nil {
				return fmt.Errorf("table %s.%s: %w", b.dataset.DatasetID, t.Name, err)
			}
			return nil
		})
	}
	if err := each.Wait(); err != nil {
		return err
	}
	return b.prepareViews(ctx)
}

// prepareViews makes the views, once their tables are there.
func (b *bigQuery) prepareViews(ctx context.Context) error {
	for name, query := range b.views() {
		err := b.dataset.Table(name).Create(ctx, &bigquery.TableMetadata{ViewQuery: query, Description: "Made by build-tracker."})
		if err != nil && !isStatus(err, http.StatusConflict) {
			return fmt.Errorf("view %s.%s: %w", b.dataset.DatasetID, name, err)
		}
	}
	return nil
}

func (b *bigQuery) prepareTable(ctx context.Context, t *analytics.Table) error {
	table := b.dataset.Table(t.Name)
	want := bigQuerySchema(t.Columns)
	// Another replica, of another version maybe, may do so at the same time.
	for range 5 {
		meta, err := table.Metadata(ctx)
		if isStatus(err, http.StatusNotFound) {
			err = table.Create(ctx, &bigquery.TableMetadata{
				Description: t.Description, Schema: want,
				TimePartitioning:       &bigquery.TimePartitioning{Type: bigquery.DayPartitioningType, Field: analytics.PartitionColumn},
				RequirePartitionFilter: true,
				Clustering:             &bigquery.Clustering{Fields: analytics.Clustering()},
			})
			if isStatus(err, http.StatusConflict) {
				continue
			}
			return err
		}
		if err != nil {
			return err
		}
		schema, more := withColumns(meta.Schema, want)
		if !more {
			return nil
		}
		if _, err = table.Update(ctx, bigquery.TableMetadataToUpdate{Schema: schema}, meta.ETag); !isStatus(err, http.StatusPreconditionFailed) {
			return err
		}
	}
	return errors.New("its schema changed each time it was to be changed; look who else does so")
}

// withColumns adds the columns that a schema lacks to its end, and says whether
// there were any. A column of a table that is there may hold nothing.
func withColumns(have, want bigquery.Schema) (bigquery.Schema, bool) {
	known := make(map[string]*bigquery.FieldSchema, len(have))
	for _, f := range have {
		known[strings.ToLower(f.Name)] = f
	}
	out, more := have[:len(have):len(have)], false
	for _, f := range want {
		old := known[strings.ToLower(f.Name)]
		if old == nil {
			added := *f
			added.Required = false
			out, more = append(out, &added), true
			continue
		}
		if nested, deeper := withColumns(old.Schema, f.Schema); deeper {
			old.Schema, more = nested, true
		}
	}
	return out, more
}

// views are queries by the name of their view. The tables ask for a filter of the
// partitions; that of a view comes too late where rows of several days are
// compared.
func (b *bigQuery) views() map[string]string {
	latest := func(table, key string) string {
		return fmt.Sprintf("SELECT * FROM `%s.%s.%s` WHERE %s >= TIMESTAMP_SECONDS(0)\nQUALIFY ROW_NUMBER() OVER (PARTITION BY %s ORDER BY position DESC) = 1",
			b.project, b.dataset.DatasetID, table, analytics.PartitionColumn, key)
	}
	views := map[string]string{"builds_latest": latest("builds", "id")}
	if b.duplicates || b.repeats {
		for _, t := range analytics.Tables() {
			views[t.Name+"_once"] = latest(t.Name, "`"+strings.Join(t.Key, "`, `")+"`")
		}
	}
	return views
}

// isStatus says whether a call of the REST API ended with a status.
func isStatus(err error, status int) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && cmp.Or(e.Code, http.StatusOK) == status
}
