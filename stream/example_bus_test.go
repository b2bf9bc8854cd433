package stream_test

import (
	"fmt"

	"github.com/build-tracker/build-tracker/stream"
)

func ExampleNotificationsBus() {
	bus := stream.NewNotificationsBus(stream.BusOptions{})
	defer bus.Close()

	// Listen first, look into the store then, and wait: nothing falls between.
	hints, err := bus.Listen(stream.BuildChannel("0190-46b8"), 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	bus.Notify(stream.BuildChannel("0190-46b8")) // after an append
	fmt.Printf("%+v\n", <-hints)
	// Output: {Channel:build:0190-46b8 Payload: Healthy:true}
}
