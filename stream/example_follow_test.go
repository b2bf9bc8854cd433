package stream_test

import (
	"context"
	"fmt"

	"github.com/build-tracker/build-tracker/stream"
)

// A build is followed to its end, and again from where a reader had stopped.
func ExampleFollower_Build() {
	store := newFakeStore()
	bus := stream.NewNotificationsBus(stream.BusOptions{})
	defer bus.Close()
	follower := stream.NewFollower(stream.FollowerOptions{Builds: store, Stream: store, Bus: bus})
	defer follower.Close()

	go func() {
		for _, e := range []struct{ typ, data string }{
			{"build.started", `{}`},
			{"job.finished", `{}`},
			{"build.finished", `{}`},
			{stream.TypeStatus, `{"status":"passed"}`},
		} {
			store.add("0190", e.typ, e.data)
			bus.Notify(stream.BuildChannel("0190"))
		}
	}()

	for _, from := range []int64{0, 3} {
		source, err := follower.Build("0190", from)
		if err != nil {
			fmt.Println(err)
			return
		}
		for event, err := range source.All(context.Background()) {
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(event.Seq, event.Type)
		}
		fmt.Println("ended", source.Status())
		source.Close()
	}
	// Output:
	// 0 build.started
	// 1 job.finished
	// 2 build.finished
	// 3 status
	// ended passed
	// 3 status
	// ended passed
}
