package build

// Missing is what a build lacks of what was shown of it.
type Missing struct {
	// Build: a later version of the build was shown.
	Build bool
	// Jobs are the ids of finished jobs of which a later version was shown, in the
	// order in which they were.
	Jobs []string
}

// None says that nothing is missing.
func (m Missing) None() bool { return !m.Build && len(m.Jobs) == 0 }

// MissingIn returns what b, nil for a build that is not known, lacks of what a
// list of builds showed. Jobs count that an event would have told of: those that
// ran something or triggered a build, and finished. One whose condition was false
// did not, and has no time at which it did.
func MissingIn(b *Build, shown *Facts) Missing {
	if b == nil {
		b = &Build{}
	}
	at := Version{FinishedAt: micros(shown.Build.FinishedAt), Rank: buildRank(shown.Build.State, shown.Build.Blocked)}
	missing := Missing{Build: at.Compare(b.Latest) > 0}
	for i := range shown.Jobs {
		j := JobOf(&shown.Jobs[i])
		if !j.Finished() || j.Latest.FinishedAt == 0 && !j.Failed() || !j.Command() && j.Type != "trigger" {
			continue
		}
		if known := b.Jobs[j.ID]; known == nil || j.Latest.Compare(known.Latest) > 0 {
			missing.Jobs = append(missing.Jobs, j.ID)
		}
	}
	return missing
}
