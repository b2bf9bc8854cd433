package stream

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var errNoEcho = errors.New("what this replica sends does not come back to it: listen on a direct connection, not through a pooler, to the database that holds the store")

// listen hears the other replicas until ctx ends.
func (l *link) listen(ctx context.Context) {
	warned := false
	for failures := 0; ; {
		joinedFor, err := l.listenOnce(ctx, func() {
			if warned {
				l.bus.logger.Info("notifications of the other replicas arrive again")
			}
			warned = false
		})
		if ctx.Err() != nil {
			return
		}
		if warned {
			l.bus.logger.Debug("notifications of the other replicas still do not arrive", "error", err)
		} else {
			l.bus.logger.Warn("notifications of the other replicas do not arrive, so readers find what is new a little later; connecting again", "error", err)
		}
		warned = true
		if failures++; joinedFor > maxRetryDelay {
			failures = 0
		}
		waitFor(ctx, retryDelay(failures))
	}
}

// listenOnce hears the other replicas over one connection, until it is lost. It
// returns for how long it could be relied on.
func (l *link) listenOnce(ctx context.Context, onJoin func()) (joinedFor time.Duration, err error) {
	conn, err := l.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := l.awaitEcho(ctx, conn); err != nil {
		return 0, err
	}
	l.setJoined(true)
	defer l.setJoined(false)
	onJoin()
	joined := time.Now()
	err = l.receiveAll(ctx, conn)
	return time.Since(joined), err
}

func (l *link) connect(ctx context.Context) (Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := l.transport.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// awaitEcho says hello and waits until that comes back: then this replica hears
// what is sent, and is heard.
func (l *link) awaitEcho(ctx context.Context, conn Connection) error {
	l.bus.mu.Lock()
	l.outbox.hello = true
	l.announceAll()
	l.wakeSender()
	l.bus.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	for {
		payload, err := conn.Receive(ctx)
		switch {
		case ctx.Err() != nil:
			return errNoEcho
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case l.receive(payload):
			return nil
		}
	}
}

// receiveAll takes in what arrives. It returns when the connection is lost, or
// is silent and does not answer.
func (l *link) receiveAll(ctx context.Context, conn Connection) error {
	for {
		silence, cancel := context.WithTimeout(ctx, pingAfter)
		payload, err := conn.Receive(silence)
		silent := silence.Err() != nil
		cancel()
		switch {
		case err == nil:
			l.receive(payload)
			continue
		case !silent || ctx.Err() != nil:
			return fmt.Errorf("receive: %w", err)
		}
		answer, cancel := context.WithTimeout(ctx, pingTimeout)
		err = conn.Ping(answer)
		cancel()
		if err != nil {
			return fmt.Errorf("ping: %w", err)
		}
	}
}

// setJoined tells every subscription when others' notifications begin to be
// missed, and when they arrive again: then each has to look once for what came
// in between.
func (l *link) setJoined(joined bool) {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	l.joined = joined
	l.bus.deliverAll(Notification{Healthy: joined})
	l.bus.metrics.joined(joined)
}

// receive takes in a payload, and says whether it is this replica's own hello.
func (l *link) receive(payload string) bool {
	m, err := parseMessage(payload)
	if err != nil {
		l.bus.metrics.ignored()
		return false
	}
	if m.From == l.id {
		return m.Kind == messageHello
	}
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	switch m.Kind {
	case messageHello:
		l.announceAll()
	case messageBye:
		l.markers.forget(m.From)
	case messageWant:
		for _, channel := range m.Channels {
			// There may have been an append between the new listener's look
			// into the store and its marker's arrival here.
			if l.markers.add(m.From, channel) {
				l.queueHint(channel)
			}
		}
	case messageDrop:
		for _, channel := range m.Channels {
			l.markers.drop(m.From, channel)
		}
	case messageHint:
		for _, channel := range m.Channels {
			l.bus.deliver(channel)
		}
	case messageAll:
		l.bus.deliverAll(Notification{})
	}
	return false
}
