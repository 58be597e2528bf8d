// Package schedule starts runs of workflows at times that cron expressions give.
//
// A time at which a schedule starts a run is a tick. The id of a tick's run follows from
// the schedule and the tick, so that however many processes start it, and wherever one
// of them dies, there is one run. Ticks are decided in order: [Schedule.Decide] says
// which start a run, and what is decided is never decided again.
package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	cron "github.com/netresearch/go-cron"
)

// Schedule starts runs of a workflow in a project.
type Schedule struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"` // unique in a project
	Dir      string            `json:"dir"`  // of the project, absolute
	Workflow string            `json:"workflow"`
	Params   map[string]string `json:"params,omitempty"`
	Model    string            `json:"model,omitempty"`
	Budget   *float64          `json:"budget_usd,omitempty"` // of each run

	Cron    string        `json:"cron"`
	Zone    string        `json:"time_zone"` // as in the IANA database
	Overlap Overlap       `json:"overlap"`
	CatchUp CatchUp       `json:"catch_up"`
	Window  time.Duration `json:"-"` // how long after its time a tick may start a run

	Paused  bool      `json:"paused"`
	Created time.Time `json:"created_at"`

	Decided time.Time `json:"-"`                      // ticks until then are decided
	LastRun string    `json:"last_run,omitempty"`     // of the latest tick that was to start one
	Tick    time.Time `json:"last_tick,omitzero"`     // of LastRun
	Pending bool      `json:"pending,omitempty"`      // LastRun is not started yet
	Problem string    `json:"last_problem,omitempty"` // why LastRun was never started
}

// Overlap says what happens to a tick while the run of an earlier one has not ended.
type Overlap string

// Values of [Overlap].
const (
	OverlapSkip  Overlap = "skip"  // it starts no run
	OverlapQueue Overlap = "queue" // it waits, as long as the window
	OverlapAllow Overlap = "allow" // it starts a run beside the other
)

// CatchUp says which ticks start runs of those that passed while no server ran, the
// schedule waited, or the clock jumped.
type CatchUp string

// Values of [CatchUp].
const (
	CatchUpNone   CatchUp = "none"   // none
	CatchUpLatest CatchUp = "latest" // the latest, if it is in the window
	CatchUpAll    CatchUp = "all"    // all in the window, one after the other
)

const (
	// DefaultWindow is how late a tick may start a run if nothing else is said.
	DefaultWindow = 24 * time.Hour

	// grace is how late a tick may be that is not missed.
	grace = time.Minute

	// maxWindow bounds the ticks that are looked at.
	maxWindow = 31 * 24 * time.Hour

	// maxAll bounds the runs that are caught up with at once: those of the latest ticks.
	maxAll = 100
)

var validName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`) })

var parser = sync.OnceValue(func() cron.Parser {
	return cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom)
})

// CheckWindow returns an error unless a window that is given may be one. Zero may not: in a
// [Schedule] it stands for one that is not given.
func CheckWindow(d time.Duration) error {
	if d < grace || d > maxWindow {
		return fmt.Errorf("the window is %s; it may be a minute to 31 days", d)
	}
	return nil
}

// Complete fills in what is not set, and returns what is wrong with the rest, as errors
// that are joined. now is the time at which the schedule is made.
func (s *Schedule) Complete(now time.Time) error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !validName().MatchString(s.Name) {
		wrong("the name %q is not 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit", s.Name)
	}
	if s.Workflow == "" {
		wrong("the workflow is missing")
	}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	if _, err := s.times(); err != nil {
		problems = append(problems, err)
	}
	if s.Overlap == "" {
		s.Overlap = OverlapSkip
	}
	switch s.Overlap {
	case OverlapSkip, OverlapQueue, OverlapAllow:
	default:
		wrong("overlap %q is not skip, queue or allow", s.Overlap)
	}
	if s.CatchUp == "" {
		s.CatchUp = CatchUpLatest
	}
	switch s.CatchUp {
	case CatchUpNone, CatchUpLatest, CatchUpAll:
	default:
		wrong("catch_up %q is not none, latest or all", s.CatchUp)
	}
	if s.Overlap == OverlapQueue && s.CatchUp == CatchUpNone {
		wrong("overlap queue needs catch_up latest or all: a tick that waits is late")
	}
	if s.Window == 0 {
		s.Window = DefaultWindow
	}
	if err := CheckWindow(s.Window); err != nil {
		problems = append(problems, err)
	}
	if s.Budget != nil && *s.Budget < 0 {
		wrong("the budget is below 0")
	}
	s.Created = now.UTC().Truncate(time.Second)
	s.Decided = s.Created
	return errors.Join(problems...)
}

// times returns the ticks, and an error that says what is wrong with the expression or
// the time zone.
func (s *Schedule) times() (cron.Schedule, error) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "Local" {
		return nil, fmt.Errorf("there is no time zone %q; zones are named as in Europe/Berlin", s.Zone)
	}
	if strings.Contains(s.Cron, "=") {
		return nil, fmt.Errorf("cron %q: give the time zone by itself", s.Cron)
	}
	if strings.HasPrefix(s.Cron, "@every") {
		return nil, fmt.Errorf("cron %q: @every begins when a server starts, so that no tick has a time of its own; write it as */15 * * * *", s.Cron)
	}
	times, err := parser().Parse(s.Cron)
	if err != nil {
		return nil, fmt.Errorf("cron %q is not minute, hour, day of the month, month and day of the week, as in 30 2 * * 1-5: %w", s.Cron, err)
	}
	times = inZone{times, zone}
	if times.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("cron %q: there is no such day", s.Cron)
	}
	return times, nil
}

// inZone has a schedule's ticks in a time zone.
type inZone struct {
	cron.Schedule
	zone *time.Location
}

// anyHour is the bit of [cron.SpecSchedule] that says that the hour is not fixed.
const anyHour = 1 << 63

// Next returns the first tick after a time. Of an hour that a clock shows twice, only
// the first has the ticks of an expression that fixes the hour.
func (z inZone) Next(t time.Time) time.Time {
	next := z.Schedule.Next(t.In(z.zone))
	spec, ok := z.Schedule.(*cron.SpecSchedule)
	for ok && spec.Hour&anyHour == 0 && !next.IsZero() && shownBefore(next) {
		next = z.Schedule.Next(next)
	}
	if next.IsZero() {
		return next
	}
	return next.UTC()
}

// shownBefore reports whether a clock that was set back showed the same time before.
// Clocks are set by an hour, or half of one.
func shownBefore(t time.Time) bool {
	for _, by := range []time.Duration{time.Hour, 30 * time.Minute} {
		if t.Add(-by).Format(time.DateTime) == t.Format(time.DateTime) {
			return true
		}
	}
	return false
}

// Next returns the next n ticks after a time; fewer if there are not so many.
func (s *Schedule) Next(after time.Time, n int) []time.Time {
	times, err := s.times()
	if err != nil {
		return nil
	}
	var next []time.Time
	for t := times.Next(after); len(next) < n && !t.IsZero(); t = times.Next(t) {
		next = append(next, t)
	}
	return next
}

// Decision is what becomes of the ticks until now.
type Decision struct {
	Start   []time.Time // ticks that start a run
	Decided time.Time   // ticks until then are decided when those of Start have their runs
	Skipped int         // ticks that start no run since another has not ended
}

// Decide returns what becomes of the ticks that are not decided until now. running says
// that a run of an earlier tick has not ended. A clock that is set back decides nothing
// until it is where it was.
func (s *Schedule) Decide(now time.Time, running bool) (Decision, error) {
	d := Decision{Decided: s.Decided}
	times, err := s.times()
	if err != nil || !now.After(s.Decided) {
		return d, err
	}
	window := s.Window
	if s.CatchUp == CatchUpNone {
		window = grace
	}
	from := s.Decided
	if oldest := now.Add(-window - time.Second); oldest.After(from) {
		from = oldest
	}
	var due []time.Time
	for t := times.Next(from); !t.IsZero() && !t.After(now); t = times.Next(t) {
		due = append(due, t)
		if s.CatchUp != CatchUpAll {
			due = due[len(due)-1:]
		} else if len(due) > maxAll {
			due = due[1:]
		}
	}
	if len(due) == 0 {
		return d, nil
	}
	last := due[len(due)-1]
	switch {
	case s.Paused:
		d.Decided = last
	case s.Overlap == OverlapAllow:
		d.Start, d.Decided = due, last
	case s.Overlap == OverlapQueue && running:
	case s.Overlap == OverlapQueue:
		d.Start, d.Decided = due[:1], due[0]
	case running:
		d.Decided, d.Skipped = last, len(due)
	default: // the runs of all that are late would overlap
		d.Start, d.Decided, d.Skipped = due[len(due)-1:], last, len(due)-1
	}
	return d, nil
}

// Key returns what identifies the run of a tick: the same for the same tick of the same
// schedule.
func (s *Schedule) Key(tick time.Time) string {
	return "schedule " + s.ID + " " + tick.UTC().Format(time.RFC3339)
}

// Tag is the tag of a run that names the schedule that started it.
const Tag = "schedule"

// View is a schedule as it is shown.
type View struct {
	Schedule
	Window string      `json:"window"`
	Next   []time.Time `json:"next"` // ticks; none while the schedule is paused
}

// shownTicks is how many ticks are shown of a schedule.
const shownTicks = 3

// View returns a schedule as it is shown at a time.
func (s *Schedule) View(now time.Time) View {
	v := View{Schedule: *s, Window: s.Window.String(), Next: []time.Time{}}
	if !s.Paused {
		v.Next = append(v.Next, s.Next(now, shownTicks)...)
	}
	return v
}
