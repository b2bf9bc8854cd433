package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// asker answers in time or not at all: a server may stand still.
var asker = http.Client{Timeout: 5 * time.Second}

// status returns what the server answers at a path, as a status code; 0 when it
// does not answer.
func (p *process) status(path string) int {
	res, err := asker.Get(p.url + path)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// metric returns one of a server's metrics, by its name with labels; -1 when it
// is not known.
func metric(url, name string) float64 {
	res, err := asker.Get(url + "/metrics")
	if err != nil {
		return -1
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				return v
			}
		}
	}
	return -1
}

// folds says whether the server has the lease.
func (p *process) folds() bool { return metric(p.url, "buildtracker_lease_held") == 1 }

// ended says whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// receipts returns the ts of a build's messages, as the server knows them.
func (p *process) receipts(address string) ([]string, error) {
	res, err := asker.Get(p.url + "/api/builds/" + address)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("build %s: %s", address, res.Status)
	}
	var b struct{ Notices []struct{ TS string } }
	if err := json.NewDecoder(res.Body).Decode(&b); err != nil {
		return nil, err
	}
	var out []string
	for _, n := range b.Notices {
		out = append(out, n.TS)
	}
	return out, nil
}
