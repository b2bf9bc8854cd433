package stream

// BusMetrics are told what happens on a bus. A nil one is not called. They are
// called one at a time or from several goroutines, some while the bus is locked:
// they must not call it.
type BusMetrics struct {
	// Sent: a statement with hints or markers went to the other replicas, or
	// failed.
	Sent func(err error)
	// Lost: so many hints found a full queue, did not fit what waits to be sent,
	// or have too long a name.
	Lost func(hints int)
	// Ignored: a payload came that is no message of this program.
	Ignored func()
	// Joined: this replica hears the others from now on, or does not.
	Joined func(joined bool)
	// Listening: so many channels have listeners in this process.
	Listening func(channels int)
}

func (m *BusMetrics) sent(err error) {
	if m.Sent != nil {
		m.Sent(err)
	}
}

func (m *BusMetrics) lost(hints int) {
	if m.Lost != nil && hints > 0 {
		m.Lost(hints)
	}
}

func (m *BusMetrics) ignored() {
	if m.Ignored != nil {
		m.Ignored()
	}
}

func (m *BusMetrics) joined(joined bool) {
	if m.Joined != nil {
		m.Joined(joined)
	}
}

func (m *BusMetrics) listening(channels int) {
	if m.Listening != nil {
		m.Listening(channels)
	}
}
