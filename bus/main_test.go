package bus_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when goroutines are left over.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
