package webhookpg_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/webhook"
	"github.com/claude-force/claude-force/webhook/webhookpg"
	"github.com/claude-force/claude-force/webhook/webhooktest"
)

var key = bytes.Repeat([]byte{7}, 32)

func TestSuite(t *testing.T) {
	for name, key := range map[string][]byte{"clear": nil, "encrypted": key} {
		t.Run(name, func(t *testing.T) {
			urls := map[webhook.Store]string{}
			open := func(t *testing.T, url string, make func(*postgres.DB, []byte) (*webhookpg.Store, error)) webhook.Store {
				t.Helper()
				s, err := make(postgrestest.Open(t, url), key)
				if err != nil {
					t.Fatal(err)
				}
				urls[s] = url
				return s
			}
			webhooktest.Suite(t, webhooktest.Harness{
				Open: func(t *testing.T) webhook.Store { return open(t, postgrestest.URL(t), webhookpg.New) },
				Other: func(t *testing.T, s webhook.Store) webhook.Store {
					return open(t, urls[s]+"&application_name=other", webhookpg.New)
				},
				Dead: func(t *testing.T, s webhook.Store) webhook.Store { return open(t, urls[s], webhookpg.NewDead) },
			})
		})
	}
}

// TestEncrypted: names of workflows are in bodies, and not in the clear in the database.
// With another key what is to be sent has no body, and the rest can be seen. Texts of
// other services may have any bytes.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	db := postgrestest.Open(t, url)
	s, err := webhookpg.New(postgrestest.Open(t, url), key)
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
	ev := webhook.Event{ID: "msg_1", Type: webhook.RunFinished, Subject: "run \xff_1", Body: []byte(`"the-secret-workflow"`)}
	if done, err := s.Enqueue(t.Context(), h, webhook.Marks{Runs: 1}, []webhook.Event{ev}, now); err != nil || !done {
		t.Fatal(done, err)
	}
	var row string
	if err := db.QueryRow(t.Context(), `SELECT encode(body, 'escape') || subject FROM webhook_deliveries`).Scan(&row); err != nil || strings.Contains(row, "secret") || !strings.Contains(row, "_1") {
		t.Errorf("stored: %q, %v", row, err)
	}
	other, err := webhookpg.New(postgrestest.Open(t, url), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := other.Claim(t.Context(), h, 1, now)
	if err != nil || len(got) != 1 || got[0].Body != nil {
		t.Fatalf("claimed without the key: %+v, %v", got, err)
	}
	if err := s.Settle(t.Context(), &got[0], webhook.Outcome{State: webhook.Failed, Problem: "answered \x00\xfe", Disable: "said \x00\xfe"}); err != nil {
		t.Fatal(err)
	}
	if _, last, err := s.Summary(t.Context(), h); err != nil || last.Problem != "answered \ufffd\ufffd" {
		t.Errorf("%+v, %v", last, err)
	}
}
