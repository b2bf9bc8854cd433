package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

const (
	noticeRate      = 200 // deliveries a second
	noticeEvery     = 10
	noticePipelines = 40
	noticeTimeout   = 30 * time.Second
)

// notices posts 200 deliveries a second; 20 of them end a failed build of a
// default branch. It measures from the answer to those until Slack is called.
func (e *env) notices(ctx context.Context) (_ []measure.Line, err error) {
	// Slack's limits are not what is measured: this one takes messages as fast
	// as they come.
	slack := testenv.NewSlackHandler(testenv.SlackOptions{Burst: -1})
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	api := &http.Server{Handler: slack.Handler(), ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = api.Serve(l) }) // ends by Close
	defer func() {
		err = errors.Join(err, api.Close())
		serving.Wait()
	}()
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := e.stores.WipeRedis(ctx); err != nil {
		return nil, err
	}
	ours, err := e.serve(ctx, "notice", "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis(),
		"SLACK_TOKEN="+slack.Token(), "SLACK_CHANNEL=C0BUILDS01", "SLACK_API_URL=http://"+l.Addr().String()+"/api/")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Stop(), e.stores.Drop(context.WithoutCancel(ctx), database)) }()

	made, err := newNoticeTraffic()
	if err != nil {
		return nil, err
	}
	n := &noticed{addr: ours.Addr, slack: slack, traffic: made}
	samples, err := e.alternate(ctx, "notice", side{"ours", func(ctx context.Context, round int) (float64, error) {
		took, late, err := n.measure(ctx, full(e, 10, 2))
		if round > 0 {
			n.late = max(n.late, late)
		}
		return milliseconds(measure.Percentile(99, took)), err
	}})
	if err != nil {
		return nil, err
	}
	return []measure.Line{{
		Name: "build.finished answered to Slack called, 200 deliveries/s, p99", Unit: measure.Milliseconds,
		Ours: samples[0], Target: measure.Below(250),
		Notes: []string{fmt.Sprintf("20 messages a second; a delivery began at most %s after its time", n.late.Round(time.Millisecond/10))},
	}}, nil
}

// noticeTraffic makes the deliveries: failed builds of default branches, each
// followed by one that passes, so that rows of failures stay short, and between
// them the jobs of other branches.
type noticeTraffic struct {
	maker  *load.Maker
	number int64
	main   *load.Build // of a default branch
	other  *load.Build
	next   int // of other's deliveries
}

func newNoticeTraffic() (*noticeTraffic, error) {
	maker, err := load.NewMaker(5)
	return &noticeTraffic{maker: maker}, err
}

// delivery makes the n-th, and says whether it finishes a build that is
// announced: each tenth does.
func (t *noticeTraffic) delivery(n int) (d load.Delivery, announced bool) {
	ended := load.Shape{Jobs: 1, Finishes: true}
	switch n % noticeEvery {
	case 0:
		t.main = t.build(n, "main", true, ended)
		return t.main.Delivery(0, nil), false
	case 5:
		t.main = t.build(n, "main", false, ended)
		return t.main.Delivery(0, nil), false
	case 1, 6:
		return t.main.Delivery(1, nil), t.main.Failed
	}
	if t.other == nil || t.next == t.other.Deliveries() {
		t.other, t.next = t.build(n, "feature", false, load.Shape{Jobs: 6}), 0
	}
	t.next++
	return t.other.Delivery(t.next-1, nil), false
}

func (t *noticeTraffic) build(n int, branch string, failed bool, shape load.Shape) *load.Build {
	t.number++
	return t.maker.Build(load.BuildOptions{
		Pipeline: fmt.Sprintf("pipeline-%02d", n/noticeEvery%noticePipelines), Branch: branch, Number: t.number,
		Failed: failed, Shape: shape, Finished: time.Now(),
	})
}

// noticed measures round after round against one server.
type noticed struct {
	addr    string
	slack   *testenv.Slack
	traffic *noticeTraffic
	late    time.Duration
}

// measure posts for some seconds and returns how long after its answer each
// announced build reached Slack; 0 when it did before.
func (n *noticed) measure(ctx context.Context, seconds int) ([]time.Duration, time.Duration, error) {
	var mu sync.Mutex
	announced := make(map[int]string) // build ids by delivery
	answered := make(map[string]time.Time)
	paced, err := load.Pace(ctx, load.PaceOptions{
		Addr: n.addr, Token: webhookToken, PerSecond: noticeRate, Connections: 32, Count: noticeRate * seconds,
		Next: func(i int) load.Delivery {
			d, yes := n.traffic.delivery(i)
			if yes {
				mu.Lock()
				announced[i] = d.BuildID
				mu.Unlock()
			}
			return d
		},
		Answered: func(i int, at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			if id := announced[i]; id != "" {
				answered[id] = at
			}
		},
	})
	if err != nil {
		return nil, 0, err
	}
	called, err := n.await(ctx, answered)
	if err != nil {
		return nil, 0, err
	}
	var took []time.Duration
	for id, at := range answered {
		took = append(took, max(0, called[id].Sub(at)))
	}
	return took, paced.Late, nil
}

// await returns when Slack was called first for each build.
func (n *noticed) await(ctx context.Context, builds map[string]time.Time) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		called := make(map[string]time.Time)
		for _, m := range n.slack.Messages() {
			if id := fmt.Sprint(m.Metadata.EventPayload["build_id"]); !builds[id].IsZero() {
				called[id] = m.Versions[0].Time
			}
		}
		if len(called) == len(builds) {
			return called, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("Slack was told of %d of %d builds: %w", len(called), len(builds), context.Cause(ctx))
		}
	}
}
