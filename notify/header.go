package notify

import (
	"fmt"
	"strconv"

	"github.com/build-tracker/build-tracker/build"
)

// header says how the build stands, and from the second failure in a row on,
// which one it is. It holds nothing from a payload but the build's number.
func header(b *build.Build) string {
	switch status := b.Status(); status {
	case build.Failed:
		return fmt.Sprintf(":red_circle: Build %d failed%s", b.Number, streak(b.Streak.Failures))
	case build.Fixed:
		return fmt.Sprintf(":large_green_circle: Build %d fixed", b.Number)
	default:
		return fmt.Sprintf(":white_circle: Build %d %s", b.Number, status)
	}
}

func streak(failures int) string {
	switch {
	case failures < 2:
		return ""
	case failures == 2:
		return " (2nd failure)"
	case failures == 3:
		return " (:exclamation: 3rd failure)"
	}
	return fmt.Sprintf(" (:bangbang: %s failure)", ordinal(failures))
}

// ordinal returns the English ordinal of n: 4th, 11th, 21st, 112th.
func ordinal(n int) string {
	suffix := "th"
	if tens := n / 10 % 10; tens != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}
