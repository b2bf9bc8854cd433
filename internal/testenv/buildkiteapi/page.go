package buildkiteapi

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// How many items a page has, unless asked otherwise, and at most.
const (
	perPage    = 30
	maxPerPage = 100
)

// page is a part of a list. It is an offset: what is added at the front of the
// list between two requests shifts what the next page shows.
type page struct{ number, size int }

func pageOf(q url.Values) page {
	p := page{number: 1, size: perPage}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 0 {
		p.number = min(n, math.MaxInt32)
	}
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil && n > 0 {
		p.size = min(n, maxPerPage)
	}
	return p
}

// bounds returns where in a list of n items the page begins and ends.
func (p page) bounds(n int) (from, to int) {
	return min((p.number-1)*p.size, n), min(p.number*p.size, n)
}

// link returns the Link header of a page of n items: first and prev unless it is
// the first, next and last unless it is the last.
func (p page) link(base string, u *url.URL, n int) string {
	last := max((n+p.size-1)/p.size, 1)
	var links []string
	add := func(rel string, number int) {
		q := u.Query()
		q.Set("page", strconv.Itoa(number))
		links = append(links, fmt.Sprintf("<%s%s?%s>; rel=%q", base, u.Path, q.Encode(), rel))
	}
	if p.number > 1 {
		add("first", 1)
		add("prev", min(p.number-1, last))
	}
	if p.number < last {
		add("next", p.number+1)
		add("last", last)
	}
	return strings.Join(links, ", ")
}
