package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

func TestParse(t *testing.T) {
	t.Parallel()
	all := []string{"webhooks", "append", "fold", "hot", "notice", "follow", "watched", "catchup", "watchers", "rebuild", "export", "memory", "start", "stats"}
	for name, tc := range map[string]struct {
		args []string
		want options
	}{
		"everything":      {nil, options{rows: all, rounds: 5}},
		"quick":           {[]string{"--quick"}, options{rows: all, rounds: 3, quick: true}},
		"some rows":       {[]string{"--rows", "fold,webhooks", "--rounds", "7"}, options{rows: []string{"fold", "webhooks"}, rounds: 7}},
		"files to write":  {[]string{"--profile", "p", "--json", "j.json"}, options{rows: all, rounds: 5, profile: "p", json: "j.json"}},
		"strict in quick": {[]string{"--quick", "--strict"}, options{rows: all, rounds: 3, quick: true, strict: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(tc.args, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(options{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, args := range [][]string{{"--rows", "fold,flod"}, {"--rounds", "-1"}, {"fold"}, {"--nonsense"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%s is taken", strings.Join(args, " "))
		}
	}
}

func TestAlternateTakesTurnsAndDropsTheFirst(t *testing.T) {
	t.Parallel()
	e := &env{options: options{rounds: 2}}
	var order []string
	next := 0.0
	one := func(name string) side {
		return side{name, func(context.Context, int) (float64, error) {
			order = append(order, name)
			next++
			return next, nil
		}}
	}
	samples, err := e.alternate(t.Context(), "test", one("A"), one("B"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A", "B", "A", "B", "A", "B"}, order); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]measure.Samples{{3, 5}, {4, 6}}, samples); diff != "" {
		t.Error(diff)
	}
}

func TestAlternateEndsAtAnError(t *testing.T) {
	t.Parallel()
	e := &env{options: options{rounds: 2}}
	down := errors.New("down")
	calls := 0
	_, err := e.alternate(t.Context(), "test", side{"A", func(context.Context, int) (float64, error) {
		calls++
		return 0, down
	}})
	if !errors.Is(err, down) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}
