package buildtracker

import "github.com/build-tracker/build-tracker/db"

// ErrLocked says that a running server has the data directory: ask that one.
var ErrLocked = db.ErrLocked
