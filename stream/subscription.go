package stream

import "errors"

// Subscription is one queue of notifications about any number of channels.
type Subscription struct {
	bus *NotificationsBus
	// queue has one place more than was asked for; see push.
	queue chan Notification
	// Under bus.mu.
	channels map[string]struct{}
	closed   bool
}

// C is where notifications come. It is closed with the subscription or the bus.
func (s *Subscription) C() <-chan Notification { return s.queue }

// Listen adds a channel; adding it twice is adding it once. What was notified
// before is not seen: look in the store after Listen, then wait.
func (s *Subscription) Listen(channel string) error {
	b := s.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.closed {
		return ErrBusClosed
	}
	if channel == "" {
		return errors.New("listen: a channel has a name")
	}
	if b.listeners[channel] == nil {
		b.listeners[channel] = make(map[*Subscription]struct{})
		b.listening(channel, true)
	}
	b.listeners[channel][s] = struct{}{}
	s.channels[channel] = struct{}{}
	return nil
}

// Unlisten drops a channel. Notifications about it that are queued stay there.
func (s *Subscription) Unlisten(channel string) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.unlisten(channel)
}

func (s *Subscription) unlisten(channel string) {
	if _, ok := s.channels[channel]; !ok {
		return
	}
	delete(s.channels, channel)
	listeners := s.bus.listeners[channel]
	delete(listeners, s)
	if len(listeners) == 0 {
		delete(s.bus.listeners, channel)
		s.bus.listening(channel, false)
	}
}

// Close drops all channels and closes the queue. It may be called more than once.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.end()
}

// end is Close, under bus.mu.
func (s *Subscription) end() {
	if s.closed {
		return
	}
	s.closed = true
	for channel := range s.channels {
		s.unlisten(channel)
	}
	delete(s.bus.all, s.queue)
	close(s.queue)
}

// push queues a notification, or loses it. What takes the queue's last place is
// never Healthy: whatever is lost while the queue is full is lost before the
// reader comes to that one, and is made up for there. Under bus.mu, so there is
// one sender.
func (s *Subscription) push(n Notification) {
	if len(s.queue) == cap(s.queue)-1 {
		n.Healthy = false
	}
	select {
	case s.queue <- n:
	default:
		s.bus.metrics.lost(1)
	}
}
