// Command program is as much of a server as the checks of an image ask for.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "describe" {
		describe()
		os.Exit(3)
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// describe says what is around the program.
func describe() {
	_, err := os.Stat("/proc/self")
	fmt.Printf("user %d group %d alone %t\n", os.Getuid(), os.Getgid(), err != nil)
	fmt.Fprintln(os.Stderr, "DATA_DIR", os.Getenv("DATA_DIR"), "MORE", os.Getenv("MORE"))
}

func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := os.WriteFile(filepath.Join(os.Getenv("DATA_DIR"), "state"), nil, 0o600); err != nil {
		return err
	}
	if _, err := os.CreateTemp("", "state"); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", os.Getenv("LISTEN_ADDR"))
	if err != nil {
		return err
	}
	http.HandleFunc("/-/readyz", func(http.ResponseWriter, *http.Request) {})
	go http.Serve(listener, nil)
	slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("listening", "addr", listener.Addr().String())
	<-ctx.Done()
	return nil
}
