package stream

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"sync"
	"time"
)

// Timing of the link between replicas.
const (
	// gatherFor is how long hints gather after a send. The first after a quiet
	// time goes at once.
	gatherFor = 5 * time.Millisecond
	// sendTimeout bounds a send, goodbyeTimeout the last one.
	sendTimeout    = 5 * time.Second
	goodbyeTimeout = 2 * time.Second
	// connectTimeout bounds a connection's start, joinTimeout the time until the
	// own hello is heard on it.
	connectTimeout = 5 * time.Second
	joinTimeout    = 5 * time.Second
	// A connection on which nothing came for pingAfter is asked, and has
	// pingTimeout to answer.
	pingAfter   = 5 * time.Second
	pingTimeout = 3 * time.Second
	// maxRetryDelay bounds the time between two tries. A connection that held
	// for longer is tried again at once when it is lost.
	maxRetryDelay = 5 * time.Second
)

// maxStatement is how many payloads go in one send.
const maxStatement = 128

// Transport carries payloads between the replicas that share a store.
type Transport interface {
	// Send hands the payloads, in order, to every replica that is connected, the
	// sender included.
	Send(ctx context.Context, payloads []string) error
	// Connect returns a connection on which everything arrives that is sent
	// after Connect returned.
	Connect(ctx context.Context) (Connection, error)
}

// Connection is where payloads arrive. One goroutine uses it.
type Connection interface {
	// Receive waits for the next payload. A ctx that ends does no harm to the
	// connection.
	Receive(ctx context.Context) (string, error)
	// Ping returns nil when the other side answers.
	Ping(ctx context.Context) error
	Close()
}

// link joins a bus to those of the other replicas.
type link struct {
	bus       *NotificationsBus
	transport Transport
	id        string        // of this replica, new with every start
	wake      chan struct{} // holds a token when the outbox was added to
	stop      context.CancelFunc
	running   sync.WaitGroup
	slots     maphash.Seed

	// Under bus.mu. While not joined this replica may miss what others say.
	// What it knew of their markers stays valid so long: hints about those go
	// on. Others are not sent; whoever has begun to wait for one meanwhile finds
	// out by reading the head, as after any lost hint.
	joined  bool
	outbox  outbox
	markers markers
	slot    int // whose turn it is to be refreshed
}

func startLink(b *NotificationsBus, t Transport) *link {
	ctx, stop := context.WithCancel(context.Background())
	l := &link{
		bus:       b,
		transport: t,
		id:        rand.Text(),
		wake:      make(chan struct{}, 1),
		stop:      stop,
		slots:     maphash.MakeSeed(),
		markers:   newMarkers(),
	}
	l.running.Go(func() { l.send(ctx) })
	l.running.Go(func() { l.listen(ctx) })
	return l
}

// close says goodbye and waits for the goroutines, at most goodbyeTimeout and
// what the transport takes to notice the end of a context.
func (l *link) close() {
	l.stop()
	l.running.Wait()
}

// hint sends a hint to the replicas that listen to the channel. Under bus.mu.
func (l *link) hint(channel string) {
	if l.markers.wanted(channel) {
		l.queueHint(channel)
	}
}

func (l *link) queueHint(channel string) {
	l.bus.metrics.lost(l.outbox.hint(channel))
	l.wakeSender()
}

// announce tells the other replicas whether the channel has listeners here.
// Under bus.mu.
func (l *link) announce(channel string, listening bool) {
	l.outbox.announce(channel, listening)
	l.wakeSender()
}

// announceAll tells them all channels that have listeners here. Under bus.mu.
func (l *link) announceAll() {
	for channel := range l.bus.listeners {
		l.announce(channel, true)
	}
}

func (l *link) wakeSender() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
