package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// draw returns the statistics as lines that fit a width.
func (s *seenStats) draw(width int) []line {
	lines := []line{s.title()}
	switch {
	case s.Until == nil:
		lines = append(lines, line(nil).add("The server is still counting its builds: ask again in a minute.", yellow))
	case s.Builds == 0:
		lines = append(lines, line(nil).add("No build finished in this time.", dim))
	default:
		lines = append(lines, nil, s.failed())
		lines = append(lines, s.bars(width)...)
		lines = append(append(lines, nil), s.figures()...)
		lines = append(lines, s.list("Flakiest steps", s.FlakiestSteps, width, (*seenStepStats).flaky)...)
		lines = append(lines, s.list("Slowest steps", s.SlowestSteps, width, (*seenStepStats).slow)...)
	}
	for i, l := range lines {
		lines[i] = l.cut(max(width, 1))
	}
	return lines
}

// title says what was counted.
func (s *seenStats) title() line {
	of := "all pipelines"
	if s.Pipeline != "" {
		of = printable(s.Organization + "/" + s.Pipeline)
	}
	l := line(nil).add(of, bold)
	if s.Branch != "" {
		l = l.add(gap+printable(s.Branch), "")
	}
	l = l.add(gap+"since "+s.Since.Format(time.DateOnly), "")
	if s.Until != nil {
		l = l.add(gap+"as of "+s.Until.Format("2006-01-02 15:04 UTC"), dim)
	}
	return l
}

// failed says how many builds failed, and what became of the others but for those
// that passed.
func (s *seenStats) failed() line {
	l := line(nil)
	switch {
	case s.Failures == 0 && s.Builds == 1:
		l = l.add("The one build did not fail", green)
	case s.Failures == 0:
		l = l.add(fmt.Sprintf("None of %d builds failed", s.Builds), green)
	default:
		l = l.add(fmt.Sprintf("%d of %s failed (%s)", s.Failures, counted(int(s.Builds), "build"), percent(s.Failures, s.Builds)), red)
	}
	for _, status := range []string{"fixed", "canceled", "blocked"} {
		if n := s.Statuses[status]; n > 0 {
			l = l.add(fmt.Sprintf(", %d %s", n, status), "")
		}
	}
	return l
}

// figures are the numbers, in words.
func (s *seenStats) figures() []line {
	green := "no branch was red and then green"
	if s.MeanTimeToGreen != nil {
		green = fmt.Sprintf("%s on average, %s", span(asDuration(*s.MeanTimeToGreen)), counted(int(s.Incidents), "incident"))
	}
	streak := "no build failed"
	if s.LongestStreak > 0 {
		streak = counted(int(s.LongestStreak), "failure") + " in a row"
	}
	var lines []line
	for _, f := range [][2]string{
		{"time to green", green},
		{"longest streak", streak},
		{"duration", s.Duration.words()},
		{"queue wait", s.QueueWait.words()},
	} {
		lines = append(lines, line(nil).add(f[0], dim).pad(16).add(f[1], ""))
	}
	return lines
}

func (p seenPercentiles) words() string {
	if p.P50 == nil || p.P95 == nil {
		return "not known"
	}
	return fmt.Sprintf("p50 %s, p95 %s", span(asDuration(*p.P50)), span(asDuration(*p.P95)))
}

// list returns steps under a title, a line each, with what say says of them.
func (s *seenStats) list(title string, steps []seenStepStats, width int, say func(*seenStepStats) string) []line {
	if len(steps) == 0 {
		return nil
	}
	lines := []line{nil, line(nil).add(title, bold)}
	names, words := make([]line, len(steps)), 0
	widest := 0
	of := organizationOf(steps)
	for i := range steps {
		names[i] = line(nil).add(steps[i].label(s.Pipeline == "", of), "")
		widest = max(widest, names[i].width())
		words = max(words, len(say(&steps[i])))
	}
	widest = min(widest, max(leastNames, width-len(gap)-words))
	for i, name := range names {
		lines = append(lines, name.cut(widest).pad(widest).add(gap+say(&steps[i]), ""))
	}
	return lines
}

// organizationOf returns the organization that all the steps are of, with the slash
// behind it; empty where there are several.
func organizationOf(steps []seenStepStats) string {
	organization, _, _ := strings.Cut(steps[0].Pipeline, "/")
	for i := range steps {
		if !strings.HasPrefix(steps[i].Pipeline, organization+"/") {
			return ""
		}
	}
	return organization + "/"
}

// label is the step's name, behind its pipeline's where there are several, which
// has its organization where that is not the one of all.
func (s *seenStepStats) label(several bool, organization string) string {
	name := cmp.Or(printable(s.Name), "a step without a name")
	if !several {
		return name
	}
	return printable(strings.TrimPrefix(s.Pipeline, organization)) + ": " + name
}

func (s *seenStepStats) flaky() string {
	return fmt.Sprintf("%3d of %s (%s)", s.Flakes, counted(int(s.Runs), "run"), percent(s.Flakes, s.Runs))
}

func (s *seenStepStats) slow() string {
	if s.Duration.P50 == nil || s.Duration.P95 == nil {
		return ""
	}
	return fmt.Sprintf("p50 %6s  p95 %6s", span(asDuration(*s.Duration.P50)), span(asDuration(*s.Duration.P95)))
}

func asDuration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// percent is a share for people: only none is 0 %, and only all is 100 %.
func percent(n, of int64) string {
	share := 100 * float64(n) / float64(max(of, 1))
	switch {
	case n == 0:
		return "0 %"
	case share < 0.1:
		return "below 0.1 %"
	case n == of:
		return "100 %"
	case share > 99.9:
		return "above 99.9 %"
	case share < 1, share > 99:
		return fmt.Sprintf("%.1f %%", share)
	}
	return fmt.Sprintf("%.0f %%", share)
}
