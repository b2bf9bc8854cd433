package bus_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/build-tracker/build-tracker/bus"
)

// Deploy is the payload of a topic of one's own.
type Deploy struct {
	Service string
	Build   bus.Build
}

var Deployed = bus.NewTopic[Deploy]("deployed")

func Example() {
	ctx := context.Background()
	b := bus.New(bus.Options{})

	// One topic leads to another: a build that passed is deployed.
	bus.Subscribe(b, bus.PipelineFinished, "deployer",
		func(ctx context.Context, m bus.Message[bus.PipelineResult]) error {
			if m.Payload.Status != "passed" {
				return nil
			}
			return bus.Publish(ctx, b, Deployed, Deploy{Service: "web", Build: m.Payload.Build})
		})
	announcer := bus.Subscribe(b, Deployed, "announcer",
		func(_ context.Context, m bus.Message[Deploy]) error {
			fmt.Printf("%s: %s runs build %d\n", m.Topic, m.Payload.Service, m.Payload.Build.Number)
			return nil
		})

	finished := bus.PipelineResult{Build: bus.Build{Number: 42}, Status: "passed"}
	if err := bus.Publish(ctx, b, bus.PipelineFinished, finished); err != nil {
		fmt.Println(err)
	}
	announcer.Unsubscribe()
	if err := b.Close(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: deployed: web runs build 42
}

func ExampleOnlyPayload() {
	b := bus.New(bus.Options{})
	bus.Subscribe(b, bus.StepFinished, "printer",
		bus.OnlyPayload(func(_ context.Context, u bus.StepUpdate) error {
			fmt.Println(u.Result.Step.Name, u.Result.Status)
			return nil
		}))

	_ = bus.Publish(context.Background(), b, bus.StepFinished, bus.StepUpdate{
		Build:  bus.Build{Number: 42},
		Result: bus.StepResult{Step: bus.Step{Name: "lint"}, Status: "fixed"},
	})
	// Output: lint fixed
}

func ExamplePublish_errors() {
	b := bus.New(bus.Options{})
	bus.Subscribe(b, Deployed, "pager", bus.OnlyPayload(func(context.Context, Deploy) error {
		return errors.New("the pager does not answer")
	}))
	bus.Subscribe(b, Deployed, "counter", bus.OnlyPayload(func(context.Context, Deploy) error {
		panic("no such counter")
	}))

	err := bus.Publish(context.Background(), b, Deployed, Deploy{Service: "web"})
	fmt.Println(err)
	// Output:
	// subscriber pager has not handled deployed: the pager does not answer
	// subscriber counter has not handled deployed: panic: no such counter
}
