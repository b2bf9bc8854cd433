package stream

import "time"

// A replica refreshes its markers every refreshEvery, in refreshSlots parts, so
// that there is no burst. One that was not refreshed for markerRounds full
// rounds has expired.
const (
	refreshEvery = 30 * time.Second
	refreshSlots = 30
	markerRounds = 3
)

// maxMarkers bounds what is remembered of other replicas' interest.
const maxMarkers = 100_000

// markers say which channels other replicas listen to, so that a hint that
// nobody waits for is not sent.
type markers struct {
	round int
	// byReplica holds, by replica and channel, the round of the latest refresh.
	byReplica map[string]map[string]int
	count     int
	// fullAt is the round in which a marker did not fit; 0 for never.
	fullAt int
}

func newMarkers() markers {
	return markers{round: 1, byReplica: make(map[string]map[string]int)}
}

// wanted says whether a hint about the channel has to be sent. Where not every
// marker fitted, each channel counts as wanted.
func (m *markers) wanted(channel string) bool {
	if m.fullAt > 0 {
		return true
	}
	for _, channels := range m.byReplica {
		if _, ok := channels[channel]; ok {
			return true
		}
	}
	return false
}

// add sets or refreshes a marker, and says whether it is new.
func (m *markers) add(replica, channel string) bool {
	channels := m.byReplica[replica]
	if _, ok := channels[channel]; ok {
		channels[channel] = m.round
		return false
	}
	if m.count >= maxMarkers {
		m.fullAt = m.round
		return false
	}
	if channels == nil {
		channels = make(map[string]int)
		m.byReplica[replica] = channels
	}
	channels[channel] = m.round
	m.count++
	return true
}

func (m *markers) drop(replica, channel string) {
	channels := m.byReplica[replica]
	if _, ok := channels[channel]; !ok {
		return
	}
	delete(channels, channel)
	m.count--
	if len(channels) == 0 {
		delete(m.byReplica, replica)
	}
}

// forget drops all markers of a replica.
func (m *markers) forget(replica string) {
	m.count -= len(m.byReplica[replica])
	delete(m.byReplica, replica)
}

// nextRound begins a round of refreshes and drops the markers that have expired.
func (m *markers) nextRound() {
	m.round++
	oldest := m.round - markerRounds
	if m.fullAt < oldest {
		m.fullAt = 0
	}
	for replica, channels := range m.byReplica {
		for channel, round := range channels {
			if round < oldest {
				m.drop(replica, channel)
			}
		}
	}
}
