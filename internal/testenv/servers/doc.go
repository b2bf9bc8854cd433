// Package servers runs real PostgreSQL and Redis servers for tests: found on
// the machine, started on a port of 127.0.0.1 with a folder of their own, and
// gone when the process that started them is gone.
package servers
