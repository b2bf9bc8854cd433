package notify

import (
	"fmt"
	"strings"

	"github.com/build-tracker/build-tracker/build"
)

// split parts what counts among the failed from what an async or soft-failed
// trigger started.
func split(steps []build.FailedStep) (counted, aside []build.FailedStep) {
	for _, s := range steps {
		if s.Uncounted {
			aside = append(aside, s)
		} else {
			counted = append(counted, s)
		}
	}
	return counted, aside
}

// jobList names the first jobs under a title and counts the rest; empty for no
// jobs. Five lines of a name and a link fit in one section.
func jobList(title string, steps []build.FailedStep) string {
	if len(steps) == 0 {
		return ""
	}
	lines := []string{title}
	for _, s := range steps[:min(len(steps), maxShown)] {
		line := "● " + jobName(s, maxJobName)
		if logs := link(webURL(s.WebURL), "logs"); logs != "" {
			line += " - " + logs
		}
		lines = append(lines, line)
	}
	if rest := len(steps) - maxShown; rest > 0 {
		lines = append(lines, fmt.Sprintf("…and %d more", rest))
	}
	return strings.Join(lines, "\n")
}

// shortNames names the first few jobs in one line.
func shortNames(steps []build.FailedStep) string {
	var names []string
	for _, s := range steps[:min(len(steps), maxShortShown)] {
		names = append(names, jobName(s, maxShortName))
	}
	text := strings.Join(names, ", ")
	if rest := len(steps) - maxShortShown; rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return text
}

func jobName(s build.FailedStep, limit int) string {
	if name := inline(s.Name, limit); name != "" {
		return name
	}
	return "(no name)"
}
