package admissionvalkey_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/processtest"
	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/admission/admissiontest"
	"github.com/claude-force/claude-force/llm/admission/admissionvalkey"
)

func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"call": makeCalls}))
}

func TestSuite(t *testing.T) {
	server := valkeytest.Start(t)
	var tests atomic.Int64
	t.Run("on one server", func(t *testing.T) {
		admissiontest.Suite(t, func(t *testing.T) func() admission.Shared {
			credential := fmt.Sprint("credential ", tests.Add(1))
			return func() admission.Shared { return open(t, server.URL(), credential) }
		})
	})
}

// open returns the limits as another process sees them.
func open(t *testing.T, url, credential string) *admissionvalkey.Limits {
	t.Helper()
	client, err := store.New(url, store.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	limits := admissionvalkey.New(client, credential)
	t.Cleanup(limits.Close)
	return limits
}
