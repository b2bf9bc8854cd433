package build

// How final Buildkite's states are, from 1. Of two versions with one
// finished_at the higher stands. From finalBuild on a build has finished.
// https://buildkite.com/docs/apis/rest-api/builds lists the states.
var buildRanks = map[string]int{
	"creating": 1, "scheduled": 2, "waiting": 3, "running": 4, "failing": 5, "canceling": 6,
	"blocked": finalBuild,
	"not_run": 8, "skipped": 9, "passed": 10, "failed": 11, "canceled": 12,
}

const (
	finalBuild     = 7
	unknownRank    = 4
	finalJob       = 20
	unknownJobRank = 10
)

// buildRank ranks a build's state. A finished build that waits at a block step
// (state passed, blocked true) is less final than one that really passed.
func buildRank(state string, blocked bool) int {
	if state == "" {
		return 0
	}
	rank, known := buildRanks[state]
	if !known {
		return unknownRank
	}
	if blocked && rank > finalBuild {
		return finalBuild
	}
	return rank
}

var jobRanks = map[string]int{
	"pending": 1, "waiting": 2, "waiting_failed": 3, "blocked": 4, "blocked_failed": 5,
	"unblocked": 6, "unblocked_failed": 7, "limiting": 8, "limited": 9, "scheduled": 11,
	"assigned": 12, "accepted": 13, "running": 14, "canceling": 15, "timing_out": 16,
	"broken": 20, "skipped": 21, "finished": 22, "passed": 23, "canceled": 24, "expired": 25, "timed_out": 26, "failed": 27,
}

func jobRank(state string) int {
	if state == "" {
		return 0
	}
	if rank, known := jobRanks[state]; known {
		return rank
	}
	return unknownJobRank
}
