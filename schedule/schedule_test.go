package schedule_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/schedule"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// made returns a schedule that was made at a time.
func made(t *testing.T, s schedule.Schedule, when string) *schedule.Schedule {
	t.Helper()
	s.ID, s.Name, s.Workflow = "1", "one", "wf.yaml"
	if err := s.Complete(at(t, when)); err != nil {
		t.Fatal(err)
	}
	return &s
}

// texts returns times as they are written in UTC.
func texts(times []time.Time) string {
	var list []string
	for _, t := range times {
		list = append(list, t.UTC().Format("01-02T15:04"))
	}
	return strings.Join(list, " ")
}

// TestZones checks ticks around the change of the clock: the ticks of an hour that
// there is not are an hour later, and one that there is twice has one tick of a fixed hour.
func TestZones(t *testing.T) {
	for _, test := range []struct{ cron, zone, after, want string }{
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "03-29T01:30 03-30T00:30"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "10-25T00:30 10-26T01:30"},
		{"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "10-25T00:00 10-25T01:00 10-25T02:00"},
		{"15 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "04-04T14:15 04-05T14:45"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "04-04T14:45 04-05T15:15"},
		{"0 0 1 * 1", "UTC", "2026-06-01T00:00:00Z", "06-08T00:00 06-15T00:00"}, // either day, as cron has it
		{"@daily", "America/New_York", "2026-01-01T00:00:00Z", "01-01T05:00 01-02T05:00"},
		{"0 9 29 2 *", "UTC", "2026-01-01T00:00:00Z", "02-29T09:00"}, // in 2028
	} {
		s := made(t, schedule.Schedule{Cron: test.cron, Zone: test.zone}, test.after)
		if got := texts(s.Next(at(t, test.after), strings.Count(test.want, " ")+1)); got != test.want {
			t.Errorf("%s in %s after %s: %s, want %s", test.cron, test.zone, test.after, got, test.want)
		}
	}
}

func TestComplete(t *testing.T) {
	for _, test := range []struct {
		s    schedule.Schedule
		want string
	}{
		{schedule.Schedule{Cron: "61 * * * *"}, "61"},
		{schedule.Schedule{Cron: "* * * *"}, "minute, hour"},
		{schedule.Schedule{Cron: "0 0 30 2 *"}, "no such day"},
		{schedule.Schedule{Cron: "@every 5m"}, "*/15"},
		{schedule.Schedule{Cron: "TZ=UTC 0 0 * * *"}, "by itself"},
		{schedule.Schedule{Cron: "@daily", Zone: "Mars/Base"}, "Europe/Berlin"},
		{schedule.Schedule{Cron: "@daily", Zone: "../etc/passwd"}, "no time zone"},
		{schedule.Schedule{Cron: "@daily", Overlap: "drop"}, "skip, queue or allow"},
		{schedule.Schedule{Cron: "@daily", CatchUp: "one"}, "none, latest or all"},
		{schedule.Schedule{Cron: "@daily", Overlap: schedule.OverlapQueue, CatchUp: schedule.CatchUpNone}, "needs catch_up"},
		{schedule.Schedule{Cron: "@daily", Window: time.Second}, "31 days"},
	} {
		test.s.Name, test.s.Workflow = "one", "wf.yaml"
		if err := test.s.Complete(time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.s, err, test.want)
		}
	}
}

func TestDecide(t *testing.T) {
	const begun = "2026-05-01T00:00:30Z"
	for _, test := range []struct {
		name    string
		s       schedule.Schedule
		now     string
		running bool
		want    string // ticks that start
		decided string
		skipped int
	}{
		{"nothing is due", schedule.Schedule{Cron: "0 * * * *"}, "2026-05-01T00:59:59Z", false, "", "05-01T00:00", 0},
		{"in time", schedule.Schedule{Cron: "0 * * * *"}, "2026-05-01T01:00:00Z", false, "05-01T01:00", "05-01T01:00", 0},
		{"latest", schedule.Schedule{Cron: "0 * * * *"}, "2026-05-01T05:30:00Z", false, "05-01T05:00", "05-01T05:00", 0},
		{"none", schedule.Schedule{Cron: "0 * * * *", CatchUp: "none"}, "2026-05-01T05:30:00Z", false, "", "05-01T00:00", 0},
		{"none, in time", schedule.Schedule{Cron: "0 * * * *", CatchUp: "none"}, "2026-05-01T05:01:00Z", false, "05-01T05:00", "05-01T05:00", 0},
		{"all", schedule.Schedule{Cron: "0 * * * *", CatchUp: "all", Overlap: "allow"}, "2026-05-01T03:30:00Z", true, "05-01T01:00 05-01T02:00 05-01T03:00", "05-01T03:00", 0},
		{"all in the window", schedule.Schedule{Cron: "0 * * * *", CatchUp: "all", Overlap: "allow", Window: 2 * time.Hour}, "2026-05-01T05:30:00Z", true, "05-01T04:00 05-01T05:00", "05-01T05:00", 0},
		{"out of the window", schedule.Schedule{Cron: "0 2 * * *", Window: time.Hour}, "2026-05-01T04:00:00Z", false, "", "05-01T00:00", 0},
		{"skip", schedule.Schedule{Cron: "0 * * * *"}, "2026-05-01T01:00:00Z", true, "", "05-01T01:00", 1},
		{"queue waits", schedule.Schedule{Cron: "0 * * * *", Overlap: "queue"}, "2026-05-01T03:00:00Z", true, "", "05-01T00:00", 0},
		{"queue, the latest", schedule.Schedule{Cron: "0 * * * *", Overlap: "queue"}, "2026-05-01T03:10:00Z", false, "05-01T03:00", "05-01T03:00", 0},
		{"queue, all in turn", schedule.Schedule{Cron: "0 * * * *", Overlap: "queue", CatchUp: "all"}, "2026-05-01T03:10:00Z", false, "05-01T01:00", "05-01T01:00", 0},
		{"paused", schedule.Schedule{Cron: "0 * * * *", Paused: true}, "2026-05-01T03:10:00Z", false, "", "05-01T03:00", 0},
		{"the clock went back", schedule.Schedule{Cron: "0 * * * *"}, "2026-04-30T03:10:00Z", false, "", "05-01T00:00", 0},
		{"a year later", schedule.Schedule{Cron: "* * * * *", CatchUp: "all", Overlap: "queue"}, "2027-05-01T00:00:00Z", false, "04-30T22:21", "04-30T22:21", 0},
	} {
		d, err := made(t, test.s, begun).Decide(at(t, test.now), test.running)
		if err != nil || texts(d.Start) != test.want || texts([]time.Time{d.Decided}) != test.decided || d.Skipped != test.skipped {
			t.Errorf("%s: start %s, decided %s, skipped %d, %v; want %s, %s, %d", test.name, texts(d.Start), texts([]time.Time{d.Decided}), d.Skipped, err, test.want, test.decided, test.skipped)
		}
	}
}

// TestEachTickOnce has a clock that jumps to and fro: no tick starts twice, ticks start
// in order, and while all are caught up with, none in the window is left out.
func TestEachTickOnce(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(1, seed))
		s := made(t, schedule.Schedule{Cron: "*/10 * * * *", CatchUp: schedule.CatchUpAll, Overlap: schedule.OverlapAllow, Zone: "Europe/Berlin"}, "2026-03-28T12:00:00Z")
		now, latest := s.Created, s.Created
		var started []time.Time
		for range 100 {
			now = now.Add(time.Duration(random.IntN(10_000)-3000) * time.Second)
			if now.After(latest) {
				latest = now
			}
			d, err := s.Decide(now, random.IntN(2) == 0)
			if err != nil {
				t.Fatal(err)
			}
			started = append(started, d.Start...)
			s.Decided = d.Decided
		}
		want := s.Next(s.Created, int(latest.Sub(s.Created)/(10*time.Minute)))
		if !slices.EqualFunc(started, want, time.Time.Equal) {
			t.Fatalf("seed %d: %d ticks started, want %d", seed, len(started), len(want))
		}
	}
}
