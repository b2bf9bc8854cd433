package servers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// FreePort returns a port of 127.0.0.1 that nobody listens on. It lies below
// the range that systems give to connections and to port 0, so that nobody
// takes it by accident while a server is down between stop and start.
func FreePort() (int, error) {
	const low, high, tries = 15000, 32000, 200
	for range tries {
		port := low + rand.IntN(high-low)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("find a free port: none on 127.0.0.1")
}
