package schedule_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/schedule"
)

// TestSpec: stores that earlier programs have written stay readable.
func TestSpec(t *testing.T) {
	t.Parallel()
	budget := 0.5
	for stored, s := range map[string]schedule.Schedule{
		`{"workflow":"wf.yaml","params":{"a":"x"},"model":"haiku","budget_usd":0.5,"cron":"0 2 * * *","time_zone":"Europe/Berlin","overlap":"queue","catch_up":"all","window_seconds":7200,"created":1772366400}`: {
			Workflow: "wf.yaml", Params: map[string]string{"a": "x"}, Model: "haiku", Budget: &budget, Cron: "0 2 * * *", Zone: "Europe/Berlin",
			Overlap: schedule.OverlapQueue, CatchUp: schedule.CatchUpAll, Window: 2 * time.Hour, Created: at(t, "2026-03-01T12:00:00Z"),
		},
		`{"workflow":"wf.yaml","cron":"@daily","time_zone":"UTC","overlap":"skip","catch_up":"latest","window_seconds":86400,"created":0}`: {
			Workflow: "wf.yaml", Cron: "@daily", Zone: "UTC", Overlap: schedule.OverlapSkip, CatchUp: schedule.CatchUpLatest, Window: 24 * time.Hour,
		},
	} {
		if got, err := s.EncodeSpec(); err != nil || got != stored {
			t.Errorf("encoded as %s, %v\nwant %s", got, err, stored)
		}
		var got schedule.Schedule
		if err := got.DecodeSpec([]byte(stored)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("decoded (-want +got):\n%s", diff)
		}
	}
	if err := new(schedule.Schedule).DecodeSpec([]byte("{")); err == nil {
		t.Error("what is no JSON is read")
	}
}
