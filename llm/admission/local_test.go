package admission_test

import (
	"testing"

	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/admission/admissiontest"
)

func TestMemoryIsShared(t *testing.T) {
	t.Parallel()
	admissiontest.Suite(t, func(*testing.T) func() admission.Shared {
		s := admission.NewLocal("", "")
		return func() admission.Shared { return s }
	})
}

func TestFileIsShared(t *testing.T) {
	t.Parallel()
	admissiontest.Suite(t, func(t *testing.T) func() admission.Shared {
		dir := t.TempDir()
		return func() admission.Shared { return admission.NewLocal(dir, "one") }
	})
}
