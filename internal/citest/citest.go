// Package citest decides what a test does without something that it needs: on a
// developer's machine it is skipped, and in CI, which has everything, it fails.
package citest

import (
	"os"
	"testing"
)

// Missing skips the test with the reason, or fails it if CI is "true".
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
