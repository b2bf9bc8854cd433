package build

// Class is what a build means for the row of failures of its branch.
type Class int

const (
	// ClassNone is passed over: unfinished, canceled, blocked, unknown.
	ClassNone Class = iota
	// ClassFailed lengthens the row.
	ClassFailed
	// ClassPassed ends it: passed or fixed.
	ClassPassed
)
