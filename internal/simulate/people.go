package simulate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// person writes commits and presses buttons.
type person struct {
	id, username, name, email string
	joined                    time.Time
}

// staff are the people of an organization.
func staff(organization string, i int) []person {
	names := [][]string{
		{"Ada Example", "Zoë Ångström", "李雷", "Bobby <b>Tables</b>", "Grace Sample", "José Niño", "dependabot[bot]"},
		{"Нина Петрова", "Sam O'Neil", "Ümit Yıldız", "Priya & Co"},
		{"Peter Demo", "Milton *Stapler*"},
	}[i]
	people := make([]person, len(names))
	for j, name := range names {
		user := fmt.Sprintf("%s-%d", organization, j+1)
		people[j] = person{username: user, name: name, email: user + "@example.com"}
	}
	return people
}

// topics are what people work on: first lines of commit messages.
var topics = []string{
	"Cache the product list", "Fix the login form on small screens", "Bump go from 1.25.3 to 1.26.0",
	"Do not send two invoices for one order", "Rewrite the search index", "Remove the old checkout",
	"Größe der Bilder begrenzen", "価格の表示を直す", "Make the retry back off", "Say what went wrong in the export",
	"Speed up the basket by 30 %", "Use one clock in all tests", "Add a dark theme 🌚", "Keep the session when the tab closes",
	"Drop support for TLS 1.1", "Move the cron jobs to their own queue", "Pin the base image", "Log less, and better",
	`Escape <script>alert("hi")</script> & friends`, "*Bold* move_ment of `tokens` ~now~ <!channel> <@U123>", "👩‍👩‍👧‍👦 families in addresses 🏴‍☠️",
	"Allow e\u0301 and \u202eright to left\u202c names",
}

// bodies are what follows the first line of some messages.
var bodies = []string{
	"The page asked for it at every request. Now it asks once a minute, and\nwhen somebody changes a product.",
	"It worked on wide ones only.\n\nReported by three customers.\n\nFixes #482",
	"See https://example.com/tickets/1234?a=1&b=2 for the whole story.\n\n- moves the code\n- deletes the old one\n- adds a test",
	"Co-authored-by: Zoë Ångström <zoe@example.com>\nCo-authored-by: 李雷 <lilei@example.com>",
	"Signed-off-by: Ada Example <ada@example.com>",
}

// message returns a commit's message on a topic; pull is the pull request it
// merges, 0 for none.
func message(dice *rand.Rand, topic string, pull int) string {
	text := topic
	if pull > 0 {
		text = fmt.Sprintf("%s (#%d)", topic, pull)
	}
	for _, body := range bodies {
		if chance(dice, 0.2) {
			text += "\n\n" + body
		}
	}
	return text
}

// branchName makes a branch's name from what is done there.
func branchName(dice *rand.Rand, topic string) string {
	words := strings.FieldsFunc(strings.ToLower(topic), func(r rune) bool { return strings.ContainsRune(" ,.&*`~\"()", r) })
	return fmt.Sprintf("%s/%s-%d", pick(dice, []string{"feature", "fix", "ada", "renovate"}), strings.Join(words[:min(len(words), 4)], "-"), dice.IntN(900)+100)
}
