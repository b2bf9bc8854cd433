package config_test

import (
	"os"
	"testing"

	"github.com/build-tracker/build-tracker/config"
)

// TestMain takes the program's variables out of the environment: what runs the
// tests sets some for the others.
func TestMain(m *testing.M) {
	for _, v := range config.Variables() {
		os.Unsetenv(v.Name)
	}
	os.Exit(m.Run())
}
