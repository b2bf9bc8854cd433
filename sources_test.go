package buildtracker

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
)

func TestClientIsWhoTheTrustedProxiesSay(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"nobody is trusted but proxies":   {"192.0.2.1:1", []string{"198.51.100.7"}, "192.0.2.1"},
		"a proxy names the client":        {"10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		"what a client says is not heard": {"10.0.0.1:1", []string{"192.0.2.9, 198.51.100.7"}, "198.51.100.7"},
		"through several proxies":         {"10.0.0.1:1", []string{"192.0.2.9, 198.51.100.7 , 10.1.1.1"}, "198.51.100.7"},
		"in several headers":              {"10.0.0.1:1", []string{"192.0.2.9", "198.51.100.7", "10.1.1.1"}, "198.51.100.7"},
		"a proxy itself":                  {"10.0.0.1:1", nil, "10.0.0.1"},
		"nothing but proxies":             {"10.0.0.1:1", []string{"10.0.0.2, 10.0.0.3"}, "10.0.0.2"},
		"with ports and IPv6":             {"[fd00::1]:1", []string{"[2001:db8::7]:443, 10.1.1.1:80"}, "2001:db8::7"},
		"IPv4 in IPv6":                    {"[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		"what is no address":              {"10.0.0.1:1", []string{"198.51.100.7, unknown"}, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			if got := clientAddr(r, proxies).String(); got != c.want {
				t.Errorf("the client is %s, want %s", got, c.want)
			}
		})
	}
}

func TestDeliveriesFromElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	api := buildkiteAPI(t, buildkiteapi.Options{}, nil)
	r := startServer(t, embeddedStores(t), func(c *config.Config) {
		c.WebhookTokens = config.Secrets{"hush"}
		c.BuildkiteAPI = config.BuildkiteAPI{Token: config.Secret(api.Token()), URL: api.URL()}
		c.Reconcile.Interval = 1 << 40
		c.WebhookSources.Auto = true
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	await(t, "Buildkite's addresses", func() (bool, error) { return r.server.sources.told.Load() != nil, nil })
	for from, want := range map[string]int{
		"198.51.100.7": http.StatusOK, "192.0.2.200": http.StatusOK,
		"198.51.100.8": http.StatusForbidden, "198.51.100.7, 198.51.100.8": http.StatusForbidden, "": http.StatusForbidden,
	} {
		d := tell("web", 1).event("build.running", nil)
		got := r.do(request{body: d.Body, header: map[string]string{
			"X-Buildkite-Event": d.Event, "X-Buildkite-Token": "hush", "X-Forwarded-For": from,
		}})
		if want == http.StatusForbidden {
			isProblem(t, got, want)
		} else if got.status != want {
			t.Errorf("from %q: %d, want %d: %s", from, got.status, want, got.body)
		}
	}
}

func TestAutomaticSourcesOutliveBuildkitesSilence(t *testing.T) {
	t.Parallel()
	log := new(logged)
	var list []netip.Prefix
	s := newSources(&config.Config{WebhookSources: config.Sources{Auto: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32")}}},
		func(context.Context) ([]netip.Prefix, error) {
			if list == nil {
				return nil, errors.New("out of order")
			}
			return list, nil
		}, slog.New(slog.NewJSONHandler(log, nil)))
	taken := func() (from []string) {
		for _, addr := range []string{"192.0.2.1", "203.0.113.1", "198.51.100.1"} {
			if s.check(&http.Request{RemoteAddr: addr + ":1"}) == nil {
				from = append(from, addr)
			}
		}
		return from
	}
	expect := func(when string, want ...string) {
		t.Helper()
		if got := taken(); !slices.Equal(got, want) {
			t.Errorf("%s deliveries are taken from %v, want %v", when, got, want)
		}
	}
	if s.refresh(t.Context()) == nil || !strings.Contains(log.String(), `"level":"ERROR"`) {
		t.Errorf("that nothing is enforced is not said loudly: %s", log)
	}
	expect("before anything is told", "192.0.2.1", "203.0.113.1", "198.51.100.1")
	list = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	if err := s.refresh(t.Context()); err != nil {
		t.Error(err)
	}
	expect("once told", "192.0.2.1", "203.0.113.1")
	list = nil
	if s.refresh(t.Context()) == nil {
		t.Error("no error")
	}
	expect("after silence", "192.0.2.1", "203.0.113.1")
}
