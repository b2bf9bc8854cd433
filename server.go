package buildtracker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/bus"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/notify"
	"github.com/build-tracker/build-tracker/stream"
)

// Options are what a program that runs a server brings along.
type Options struct {
	Logger  *slog.Logger // nil logs nothing
	Version string
	// TraceExporter takes the traces; nil makes none. The server shuts it down.
	TraceExporter sdktrace.SpanExporter
	// Reload reads the configuration again, when its file changes and for
	// Server.Reload; nil has it stay as it is.
	Reload func() (*config.Config, error)
	// LogLevel is the logger's, and follows a reload; nil stays.
	LogLevel *slog.LevelVar
}

func (o Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

const (
	// redisNamespace begins every key in Redis.
	redisNamespace = "build-tracker"
	maxRedisBuilds = 10_000
	// maxEmbeddedBuilds is the same for the Redis in this process, whose memory
	// is ours, and whose builds are as near in their rows.
	maxEmbeddedBuilds = 2_000
	// drainTimeout bounds how long a stopping server finishes what it began.
	drainTimeout = 15 * time.Second
)

// Server is one replica: it takes deliveries, folds when it has the lease,
// sends notices and answers the API.
type Server struct {
	log     *slog.Logger
	cfg     *config.Config
	db      db.Store
	redis   redis.UniversalClient
	bus     *stream.NotificationsBus
	follow  *stream.Follower
	topics  *bus.Bus
	tracker *Tracker
	sender  *notify.Sender
	slack   *notify.Slack // nil without a token
	metrics *metrics
	traces  *tracing
	health  *health
	reload  *reloader
	live    *live
	export  *exporter // nil without BigQuery
	trigger *trigger  // nil without a metrics pipeline
	webhooks

	listener, admin net.Listener
	public, private http.Handler
	// closers release what New took, the last first.
	closers []func() error
}

// New connects to the stores and opens the listeners, so that a failure to
// start is one error. The server takes no request before Run.
func New(ctx context.Context, cfg *config.Config, opts Options) (_ *Server, err error) {
	s := &Server{log: opts.logger(), cfg: cfg, metrics: newMetrics()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()

	s.traces = newTracing(ctx, tracingOptions{Exporter: opts.TraceExporter, Version: opts.Version, Metrics: s.metrics, Logger: s.log})
	s.log = s.traces.logger(s.log)
	s.closers = append(s.closers, s.traces.close)
	s.reload = newReloader(cfg, opts, s.metrics, s.log)
	if s.db, err = openStore(ctx, cfg, s.log); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.db.Close)
	s.metrics.describe(opts.Version, s.db)
	s.log.Info("starting", "version", opts.Version, "database", whichStore(cfg.DatabaseURL, "embedded in "+cfg.DataDir), "redis", whichStore(cfg.RedisURL, "embedded"))
	if s.redis, err = s.openRedis(); err != nil {
		return nil, err
	}
	if s.bus, err = s.openBus(ctx); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.bus.Close)
	s.follow = stream.NewFollower(stream.FollowerOptions{
		Builds: s.db, Stream: followedStream{s.db}, Bus: s.bus, QueueSize: cfg.BusQueueSize,
		Logger: s.log, Metrics: s.metrics.follower(),
	})
	s.closers = append(s.closers, s.follow.Close)
	s.sender = notify.NewSender(notify.SenderOptions{
		Queue: noticeQueue{s.db, s.appended}, Builds: committedBuilds{s.db}, Messenger: s.messenger(),
		ExternalURL: cfg.ExternalURL, Logger: s.log, Metrics: s.metrics.sender(trail{events: s.db, metrics: s.metrics, traces: s.traces}),
	})
	s.tracker = newTracker(s.db, s.redis, trackerOptions{
		Logger: s.log, Metrics: s.metrics, Traces: s.traces, BuildTTL: cfg.BuildTTL,
		Policy:    notify.Policy{Off: !cfg.Notices, MaxAge: cfg.NoticeMaxAge},
		MaxBuilds: s.maxBuilds(), Committed: s.sender.Wake, Appended: s.appended, Hear: s.hearDeliveries,
		Announcer: s.openTopics(), MetricsPipeline: cfg.MetricsPipeline,
	})
	if err := s.openExport(ctx); err != nil {
		return nil, err
	}
	if err := s.openWebhooks(opts.Version); err != nil {
		return nil, err
	}
	if err := s.openTrigger(opts.Version); err != nil {
		return nil, err
	}
	s.health = newHealth(s)
	if err := s.routes(); err != nil {
		return nil, err
	}

	if s.listener, err = listen(ctx, cfg.ListenAddr); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, closeListener(s.listener))
	if cfg.AdminAddr != "" {
		if s.admin, err = listen(ctx, cfg.AdminAddr); err != nil {
			return nil, err
		}
		s.closers = append(s.closers, closeListener(s.admin))
	}
	return s, nil
}

func openStore(ctx context.Context, cfg *config.Config, log *slog.Logger) (db.Store, error) {
	if cfg.DatabaseURL == "" {
		return db.OpenSQLite(ctx, db.SQLiteOptions{Dir: cfg.DataDir})
	}
	return openPostgres(ctx, cfg, log)
}

// whichStore says for the log whether a store is one that was configured.
func whichStore(url config.Secret, embedded string) string {
	if url == "" {
		return embedded
	}
	return "configured"
}

// openRecorded is openStore for who works on what was recorded: a folder without a
// store is a mistake then, and none is made.
func openRecorded(ctx context.Context, cfg *config.Config, log *slog.Logger) (db.Store, error) {
	if cfg.DatabaseURL == "" {
		return openEmbedded(ctx, cfg)
	}
	return openPostgres(ctx, cfg, log)
}

func openEmbedded(ctx context.Context, cfg *config.Config) (*db.SQLite, error) {
	store, err := db.OpenSQLite(ctx, db.SQLiteOptions{Dir: cfg.DataDir, Existing: true})
	if errors.Is(err, db.ErrNoStore) {
		return nil, fmt.Errorf("%w: DATA_DIR names its folder, DATABASE_URL a PostgreSQL, and --url a running server", err)
	}
	return store, err
}

func openPostgres(ctx context.Context, cfg *config.Config, log *slog.Logger) (db.Store, error) {
	return db.OpenPostgres(ctx, db.PostgresOptions{URL: cfg.DatabaseURL.Value(), Logger: log, Teams: cfg.Live.TeamNames()})
}

// openRedis connects to Redis, or starts one inside this process. A Redis that
// does not answer is no reason not to start: deliveries are taken without it.
func (s *Server) openRedis() (redis.UniversalClient, error) {
	url := s.cfg.RedisURL.Value()
	if url == "" {
		embedded, err := startEmbeddedRedis()
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, embedded.close)
		url = embedded.url
	}
	client, err := dialRedis(url)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, client.Close)
	return client, nil
}

// openExport makes the export to BigQuery, if there is one.
func (s *Server) openExport(ctx context.Context) error {
	if !s.cfg.BigQuery.On() {
		return nil
	}
	to, err := openBigQuery(ctx, s.cfg.BigQuery, s.log)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, to.close)
	s.export = &exporter{store: s.db, to: to, duty: newDuty("export", s.redis, s.log), pace: newExportPace(), metrics: &s.metrics.export, log: s.log}
	return nil
}

// maxBuilds is how many builds Redis keeps.
func (s *Server) maxBuilds() int {
	if s.cfg.RedisURL == "" {
		return maxEmbeddedBuilds
	}
	return maxRedisBuilds
}

// messenger is Slack when there is a token, else the log.
func (s *Server) messenger() notify.Messenger {
	if s.cfg.SlackToken == "" {
		return &notify.LogMessenger{Logger: s.log}
	}
	s.slack = notify.NewSlack(notify.SlackOptions{
		Token: s.cfg.SlackToken.Value(), Channel: s.cfg.SlackChannel, APIURL: s.cfg.SlackAPIURL,
		Debug: s.cfg.SlackDebug, Logger: s.log, Around: s.traces.around(),
	})
	return s.slack
}

// trackerOptions are the tracker's collaborators.
type trackerOptions struct {
	Logger    *slog.Logger
	Metrics   *metrics
	Traces    *tracing
	BuildTTL  time.Duration
	MaxBuilds int // in Redis; 0 is 10,000
	Policy    notify.Policy
	Committed func()
	Appended  func(buildID string)
	Announcer *announcer
	// Hear has Wake called at every delivery until stop is; nil is nothing to hear.
	Hear func() (stop func())
	// MetricsPipeline is triggered after each build; the zero is none.
	MetricsPipeline config.MetricsPipeline
}

func newTracker(store foldStore, client redis.UniversalClient, opts trackerOptions) *Tracker {
	most := cmp.Or(opts.MaxBuilds, maxRedisBuilds)
	state := build.NewStore(client, build.StoreOptions{Namespace: redisNamespace, TTL: opts.BuildTTL, MaxBuilds: most})
	reactors := []Reactor{noticeReactor(opts.Policy, time.Now)}
	if opts.MetricsPipeline.On() {
		reactors = append(reactors, triggerReactor(opts.MetricsPipeline))
	}
	return &Tracker{
		db: store, state: state, lease: state.NewLease(leaseTTL),
		reactors: reactors,
		log:      opts.Logger, metrics: opts.Metrics, traces: opts.Traces, ttl: opts.BuildTTL, maxFill: most,
		committed: opts.Committed, appended: opts.Appended, hear: opts.Hear, announcer: opts.Announcer, wake: make(chan struct{}, 1),
		rebuilds: make(chan *rebuildRequest),
	}
}

// Topics returns the bus on which this server publishes how builds go, while it is
// the one that folds; package bus lists the topics. Whoever embeds the server may
// subscribe, and publish topics of their own.
func (s *Server) Topics() *bus.Bus { return s.topics }

// Addr returns where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, then drains: it stops accepting, finishes the
// batch and the messages under way, hands the lease over, and closes the
// stores. It returns nil after a clean stop.
func (s *Server) Run(ctx context.Context) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	var work sync.WaitGroup
	if s.slack != nil {
		work.Go(func() { s.checkSlack(running) })
	}
	work.Go(func() { s.tracker.Run(running) })
	if s.cfg.Notices {
		work.Go(func() { s.sender.Run(running) })
	}
	work.Go(func() { s.health.watch(running) })
	work.Go(func() { s.live.beats.run(running) })
	work.Go(func() { s.reload.watch(running) })
	if s.export != nil {
		work.Go(func() { s.export.run(running) })
	}
	work.Go(func() { s.watchWebhooks(running) })
	if s.trigger != nil {
		work.Go(func() { s.trigger.run(running) })
	}
	counting := &statistician{store: s.db, duty: newDuty("stats", s.redis, s.log), log: s.log}
	work.Go(func() { counting.run(running) })
	old := &retention{store: s.db, live: s.reload.live.Load, metrics: s.metrics, log: s.log}
	work.Go(func() { old.run(running) })

	var servers []*http.Server
	var serving sync.WaitGroup
	serve := func(l net.Listener, h http.Handler) {
		server := newHTTPServer(h, s.log)
		servers = append(servers, server)
		serving.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				stop(fmt.Errorf("serve %s: %w", l.Addr(), err))
			}
		})
	}
	serve(s.listener, s.public)
	if s.admin != nil {
		serve(s.admin, s.private)
		s.log.Info("listening for operators", "addr", s.admin.Addr().String())
	}
	s.log.Info("listening", "addr", s.Addr())

	<-running.Done()
	s.health.drain()
	s.log.Info("stopping: what is under way is finished first")
	// Those who watch are told to come back, or they would hold the rest up.
	if err := s.follow.Close(); err != nil {
		s.log.Warn("streams could not be closed", "error", err)
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	var errs []error
	if cause := context.Cause(running); ctx.Err() == nil {
		errs = append(errs, cause)
	}
	for _, server := range servers {
		if err := server.Shutdown(drain); err != nil {
			errs = append(errs, fmt.Errorf("drain requests: %w", err), server.Close())
		}
	}
	serving.Wait()
	work.Wait()
	errs = append(errs, s.Close())
	return errors.Join(errs...)
}

// Close releases everything. It is safe to call again, and needed only where
// Run was not called.
func (s *Server) Close() error {
	var errs []error
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		closer := s.closers[last]
		s.closers = s.closers[:last]
		errs = append(errs, closer())
	}
	return errors.Join(errs...)
}

// checkSlack says at start what notices would fail of.
func (s *Server) checkSlack(ctx context.Context) {
	if err := s.slack.Check(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("Slack cannot be asked who we are; notices are tried all the same", "error", err)
	}
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s, choose another address with LISTEN_ADDR, PORT or ADMIN_ADDR: %w", addr, err)
	}
	return l, nil
}

// closeListener closes l unless the HTTP server did.
func closeListener(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}
