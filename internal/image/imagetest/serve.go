package imagetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Times of Serve.
const (
	serveTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// Serve runs the image as a container does when it is told nothing, but on a
// free port of this machine alone, until the server can take deliveries; then
// it asks it to stop. The error says what of this did not happen, with the log.
// Outside of a root of its own the server keeps its data beside the image's.
func (r *Root) Serve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	env := []string{"LISTEN_ADDR=127.0.0.1:0", "LOG_FORMAT=json"}
	if os.Geteuid() != 0 {
		env = append(env, "DATA_DIR="+r.dir+variables(r.config.Env)["DATA_DIR"])
	}
	if len(r.config.Entrypoint) == 0 {
		return errors.New("serve: the image has no entrypoint")
	}
	line := append(append([]string{}, r.config.Entrypoint...), r.config.Cmd...)
	cmd, err := r.command(ctx, line[0], line[1:], env)
	if err != nil {
		return err
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	var log strings.Builder
	served := ready(ctx, io.TeeReader(stderr, &log))
	cancel()
	_, rest := io.Copy(&log, stderr)
	stopped := cmd.Wait()
	if errors.Is(stopped, context.Canceled) { // it ended well, when told
		stopped = nil
	}
	if err := errors.Join(served, rest, stopped); err != nil {
		return fmt.Errorf("serve: %w; the log:\n%s", err, log.String())
	}
	return nil
}

// ready reads a server's log until it listens, and asks it whether it can take
// deliveries.
func ready(ctx context.Context, log io.Reader) error {
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "listening" {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+line.Addr+"/-/readyz", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("/-/readyz answers %s", res.Status)
		}
		return nil
	}
	return errors.New("it ended before it listened")
}
