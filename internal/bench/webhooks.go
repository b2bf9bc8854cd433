package main

import (
	"context"
	"errors"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/child"
	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

const webhookConnections = 32

// maxDrain is how long after the load the tracker may need for what is left, in
// seconds.
const maxDrain = 2

// webhooks posts 6 KB deliveries over 32 connections, to build-tracker and to a
// handler that only unmarshals.
func (e *env) webhooks(ctx context.Context) (_ []measure.Line, err error) {
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := e.stores.WipeRedis(ctx); err != nil {
		return nil, err
	}
	ours, err := e.serve(ctx, "webhooks", "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Stop(), e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	unmarshal, err := e.serveBaseline(ctx, roleUnmarshal)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unmarshal.Stop()) }()

	traffic, err := load.NewTraffic(load.TrafficOptions{Seed: 1, Shape: load.Shape{Jobs: 6}})
	if err != nil {
		return nil, err
	}
	flood := func(ctx context.Context, to *child.Process) (load.Flooded, error) {
		return load.Flood(ctx, load.FloodOptions{
			Addr: to.Addr, Token: webhookToken, Connections: webhookConnections, Traffic: traffic,
			For: full(e, 6*time.Second, time.Second),
		})
	}
	var posted int64
	var drains measure.Samples
	samples, err := e.alternate(ctx, "webhooks", side{"ours", func(ctx context.Context, round int) (float64, error) {
		if err := e.stores.Settle(ctx); err != nil {
			return 0, err
		}
		flooded, err := flood(ctx, ours)
		if err != nil {
			return 0, err
		}
		ended := time.Now()
		posted += flooded.Deliveries
		drained, err := awaitFolded(ctx, ours.Addr, posted, 5*time.Millisecond)
		if err != nil {
			return 0, err
		}
		if round > 0 {
			drains = append(drains, drained.Sub(ended).Seconds())
		}
		return flooded.PerSecond(), e.stores.Settle(ctx)
	}}, side{"baseline", func(ctx context.Context, _ int) (float64, error) {
		flooded, err := flood(ctx, unmarshal)
		return flooded.PerSecond(), err
	}})
	if err != nil {
		return nil, err
	}
	return []measure.Line{
		{
			Name: "durable webhooks, 32 connections, 6 KB, tracker running", Unit: measure.PerSecond,
			Ours: samples[0], Baseline: samples[1], Target: measure.AtLeast(1),
		},
		{Name: "from the last answer until the lag is drained", Unit: measure.Seconds, Ours: drains, Target: measure.Below(maxDrain)},
	}, nil
}
