// Package bigquery is a stand-in for BigQuery on loopback, for tests and
// benchmarks. Google's own clients talk to it: datasets and tables over REST,
// rows over the Storage Write API. It holds them to BigQuery's rules, and
// refuses what it does not know rather than to take it.
//
//	cloud.google.com/go/bigquery:
//		option.WithEndpoint(s.URL()+"/bigquery/v2/"), option.WithoutAuthentication()
//	cloud.google.com/go/bigquery/storage/managedwriter:
//		option.WithEndpoint(s.StorageAddr()), option.WithoutAuthentication(),
//		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))
//
// It knows the types BOOL, BYTES, DATE, FLOAT64, INT64, JSON, RECORD, STRING
// and TIMESTAMP, tables partitioned by DAY, views (kept, not run), and the
// default stream and COMMITTED streams. It runs no queries.
package bigquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc"
)

// Options says what BigQuery a stand-in is.
type Options struct {
	// Project is the only one there is; empty is "test".
	Project string
	// Discard checks and counts rows but does not keep them.
	Discard bool
}

// Server stands in for BigQuery. It is for many goroutines.
type Server struct {
	o Options

	rest, storage       *gate
	restServer          *http.Server
	storageServer       *grpc.Server
	serving             sync.WaitGroup
	restEnd, storageEnd error // why serving ended; read after serving

	mu          sync.Mutex
	datasets    map[string]*dataset
	streams     map[string]*stream // those created, by name
	nextStream  int64
	nextVersion int64 // of an ETag
	faults      faults
	counts      Counts
}

// maxRequest bounds what gRPC reads at once: enough to see how far a request is
// above the limit.
const maxRequest = 64 << 20

// New starts a stand-in on free ports. It ends with Close.
func New(o Options) (*Server, error) {
	o.Project = cmp.Or(o.Project, "test")
	rest, err := listen()
	if err != nil {
		return nil, err
	}
	storage, err := listen()
	if err != nil {
		rest.Close()
		return nil, err
	}
	s := &Server{
		o: o, rest: rest, storage: storage,
		datasets: make(map[string]*dataset), streams: make(map[string]*stream),
	}
	s.restServer = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	s.storageServer = grpc.NewServer(grpc.MaxRecvMsgSize(maxRequest), grpc.WaitForHandlers(true))
	storagepb.RegisterBigQueryWriteServer(s.storageServer, &writeService{s: s})
	s.serving.Go(func() { s.restEnd = s.restServer.Serve(rest) })
	s.serving.Go(func() { s.storageEnd = s.storageServer.Serve(storage) })
	return s, nil
}

func listen() (*gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for BigQuery's clients: %w", err)
	}
	return &gate{Listener: l, conns: make(map[string]*gateConn)}, nil
}

// Close cuts every connection, waits for what is under way, and returns why
// serving ended early, if it did. What was stored can still be read.
func (s *Server) Close() error {
	s.rest.dropAll() // ends calls that wait
	s.storageServer.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.restServer.Shutdown(ctx)
	s.serving.Wait()
	if !errors.Is(s.restEnd, http.ErrServerClosed) {
		err = errors.Join(err, s.restEnd)
	}
	return errors.Join(err, s.storageEnd)
}

// URL is the base URL of the REST API, without /bigquery/v2/.
func (s *Server) URL() string { return "http://" + s.rest.Addr().String() }

// StorageAddr is the host:port of the Storage Write API, in plain text.
func (s *Server) StorageAddr() string { return s.storage.Addr().String() }
