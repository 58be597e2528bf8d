package webhookdb_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/claude-force/claude-force/webhook"
	"github.com/claude-force/claude-force/webhook/webhookdb"
	"github.com/claude-force/claude-force/webhook/webhooktest"
)

var key = bytes.Repeat([]byte{7}, 32)

func TestSuite(t *testing.T) {
	for name, key := range map[string][]byte{"clear": nil, "encrypted": key} {
		t.Run(name, func(t *testing.T) {
			paths := map[webhook.Store]string{}
			open := func(t *testing.T, path string, make func(string, []byte) (*webhookdb.Store, error)) webhook.Store {
				t.Helper()
				s, err := make(path, key)
				if err != nil {
					t.Fatal(err)
				}
				paths[s] = path
				return s
			}
			webhooktest.Suite(t, webhooktest.Harness{
				Open: func(t *testing.T) webhook.Store {
					return open(t, filepath.Join(t.TempDir(), "data", "webhooks.db"), webhookdb.New)
				},
				Other: func(t *testing.T, s webhook.Store) webhook.Store { return open(t, paths[s], webhookdb.New) },
				Dead:  func(t *testing.T, s webhook.Store) webhook.Store { return open(t, paths[s], webhookdb.NewDead) },
			})
		})
	}
}

// TestEncrypted: names of workflows are in bodies, and not in the clear in the file. With
// another key what is to be sent has no body, and the rest can be seen.
func TestEncrypted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "webhooks.db")
	s, err := webhookdb.New(path, key)
	if err != nil {
		t.Fatal(err)
	}
	h := &webhook.Hook{ID: "1", Name: "ops", URL: "https://hooks.example.com", SecretEnv: "SECRET"}
	if err := h.Complete(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ev := webhook.Event{ID: "msg_1", Type: webhook.RunFinished, Subject: "run_1", Body: []byte(`"the-secret-workflow"`)}
	if done, err := s.Enqueue(t.Context(), h, webhook.Marks{Runs: 1}, []webhook.Event{ev}, now); err != nil || !done {
		t.Fatal(done, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, ev.Body) || !bytes.Contains(data, []byte("run_1")) {
		t.Errorf("%d bytes, %v; the body is in the clear: %t", len(data), err, bytes.Contains(data, ev.Body))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	other, err := webhookdb.New(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got, err := other.Claim(t.Context(), h, 1, now); err != nil || len(got) != 1 || got[0].Body != nil {
		t.Errorf("claimed without the key: %+v, %v", got, err)
	}
}
