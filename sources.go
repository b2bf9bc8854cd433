package buildtracker

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/build-tracker/build-tracker/config"
)

// sourcesInterval is how often Buildkite is asked for its addresses, and
// sourcesRetry when it did not tell.
const (
	sourcesInterval = time.Hour
	sourcesRetry    = time.Minute
)

// sources says from where deliveries are taken.
//
// While Buildkite has never told its addresses, auto takes deliveries from
// anywhere: they have to be authentic all the same, and one that is refused is lost
// for good, because Buildkite does not send it again.
type sources struct {
	auto    bool
	own     []netip.Prefix
	proxies []netip.Prefix
	ask     func(context.Context) ([]netip.Prefix, error) // of auto
	log     *slog.Logger

	told atomic.Pointer[[]netip.Prefix] // what Buildkite said last; nil before
}

// newSources returns nil where deliveries are taken from anywhere.
func newSources(cfg *config.Config, ask func(context.Context) ([]netip.Prefix, error), log *slog.Logger) *sources {
	if !cfg.WebhookSources.On() {
		return nil
	}
	return &sources{auto: cfg.WebhookSources.Auto, own: cfg.WebhookSources.Prefixes, proxies: cfg.TrustedProxies, ask: ask, log: log}
}

// run keeps the list that Buildkite tells, until ctx ends.
func (s *sources) run(ctx context.Context) {
	for {
		wait := sourcesInterval
		if err := s.refresh(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			wait = sourcesRetry
		}
		if !sleep(ctx, jitter(wait)) {
			return
		}
	}
}

func (s *sources) refresh(ctx context.Context) error {
	list, err := s.ask(ctx)
	switch {
	case err == nil:
		s.told.Store(&list)
	case ctx.Err() != nil:
	case s.told.Load() != nil:
		s.log.WarnContext(ctx, "Buildkite does not tell the addresses of its webhooks; those that it told last stay in force", "error", err)
	default:
		s.log.ErrorContext(ctx, "BUILDKITE_WEBHOOK_IPS=auto is not in force: Buildkite does not tell its addresses, and deliveries are taken from anywhere until it does", "error", err)
	}
	return err
}

// check returns nil for a delivery that may be taken, else the answer to it.
func (s *sources) check(r *http.Request) *problem {
	if s == nil {
		return nil
	}
	allowed := s.own
	if s.auto {
		told := s.told.Load()
		if told == nil {
			return nil
		}
		allowed = slices.Concat(allowed, *told)
	}
	from := clientAddr(r, s.proxies)
	if from.IsValid() && within(from, allowed) {
		return nil
	}
	return fail(http.StatusForbidden, "Deliveries are not taken from this address. BUILDKITE_WEBHOOK_IPS says from where; behind a proxy, TRUSTED_PROXIES has to name it.")
}

// clientAddr returns who sent a request: who is connected, or where that is a
// trusted proxy, the last in X-Forwarded-For that is none. What stands before that
// one anybody may have written. The zero Addr is one that cannot be read.
func clientAddr(r *http.Request, proxies []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !within(from, proxies) {
			return from
		}
		if hop = strings.TrimSpace(hop); hop == "" {
			continue
		}
		if from, err = parseHop(hop); err != nil {
			return netip.Addr{}
		}
	}
	return from
}

// parseHop reads an address, with or without a port.
func parseHop(hop string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(hop); err == nil {
		return at.Addr().Unmap().WithZone(""), nil
	}
	addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return addr.Unmap().WithZone(""), err
}

func within(addr netip.Addr, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}
