package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/csvtext"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
)

func (a *app) analytics() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "analytics",
		Short: "Show what calls cost, what was saved, and which are slow or failing",
		Long: `Every call is kept as a row, with sums over hours and days. See docs/analytics.md
for what each figure means.

A period is the last --days, which start at a whole hour, or from --since to
--until: a day such as 2026-11-01 (--until includes it), a time
such as 2026-11-01T15:04, or how long ago, such as 36h or 30d. Days are those
of the setting time_zone (default: local time), in bounds, rows and budgets.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.analyticsSummary(), a.analyticsAgents(), a.analyticsWorkflows(), a.analyticsCosts(), a.analyticsSavings(), a.analyticsTools(),
		a.analyticsSlowest(), a.analyticsFailures(), a.analyticsExport(), a.analyticsQuery(), a.analyticsImport(), a.analyticsPrune(), a.analyticsCompare(), a.analyticsVerify(),
	)
	return cmd
}

// periodFlags say which calls are meant.
type periodFlags struct {
	days         int
	since, until string
	project      string
}

func (f *periodFlags) register(cmd *cobra.Command, days int) {
	flags := cmd.Flags()
	flags.IntVar(&f.days, "days", days, "the last days; 0 for all there is")
	flags.StringVar(&f.since, "since", "", "from this day or time on, instead of --days")
	flags.StringVar(&f.until, "until", "", "up to this day, included, or time")
	flags.StringVar(&f.project, "project", "", "only calls for this project: its name, or a folder in it such as .")
	cmd.PreRunE = func(_ *cobra.Command, _ []string) error {
		if flags.Changed("days") && f.since != "" {
			return badInput("--days and --since both set the start of the period; give one of them")
		}
		return nil
	}
}

func (f *periodFlags) filter(now time.Time) (filter analytics.Filter, err error) {
	if f.days < 0 {
		return filter, badInput("--days must not be below 0")
	}
	if filter.Until, err = parseTime("--until", f.until, now, true); err != nil {
		return filter, err
	}
	if filter.Since, err = parseTime("--since", f.since, now, false); err != nil {
		return filter, err
	}
	if f.since == "" && f.days > 0 {
		end := now
		if !filter.Until.IsZero() {
			end = filter.Until
		}
		filter.Since = end.Add(-time.Duration(f.days) * 24 * time.Hour).Truncate(time.Hour)
	}
	if !filter.Until.IsZero() && !filter.Since.IsZero() && !filter.Since.Before(filter.Until) {
		return filter, badInput("the period ends before it starts: it is from %s to %s", filter.Since.Format(time.DateTime), filter.Until.Format(time.DateTime))
	}
	filter.Zone = now.Location()
	return filter, nil
}

// parseTime reads a day, a time or how long ago; zero for an empty text. A day
// that ends a period is part of it.
func parseTime(flag, text string, now time.Time, end bool) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		if end {
			t = t.AddDate(0, 0, 1)
		}
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateTime, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if ago, err := config.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, badInput("%s %q is no day such as 2026-11-01, no time such as 2026-11-01T15:04, and not how long ago, such as 36h or 30d", flag, text)
}

func periodText(f analytics.Filter, project string) string {
	const layout = "2006-01-02 15:04"
	text := "all calls"
	switch {
	case !f.Since.IsZero() && !f.Until.IsZero():
		text = f.Since.In(f.In()).Format(layout) + " to " + f.Until.In(f.In()).Format(layout)
	case !f.Since.IsZero():
		text = "since " + f.Since.In(f.In()).Format(layout)
	case !f.Until.IsZero():
		text = "until " + f.Until.In(f.In()).Format(layout)
	}
	text += " · " + zoneName(f.In())
	if project != "" {
		text += " · project " + project
	}
	return text
}

// zoneName returns the name of a time zone, for people: that of the local one says
// which it is.
func zoneName(zone *time.Location) string {
	if zone != time.Local {
		return zone.String()
	}
	if name := os.Getenv("TZ"); name != "" && !strings.HasPrefix(name, ":") {
		return name
	}
	name, _ := time.Now().Zone()
	return name + " (local time)"
}

// now returns the time in the zone of figures and budgets.
func (a *app) now() (time.Time, error) {
	cfg, err := a.settings()
	if err != nil {
		return time.Time{}, err
	}
	return time.Now().In(cfg.TimeZone), nil
}

// sumsPeriod returns the period that sums answered, whose bounds are moved out
// where hours or rows were dropped, and what to say of it.
func sumsPeriod(f analytics.Filter, p analytics.Period, days bool) (shown analytics.Filter, notes []string) {
	if p.Rounded {
		notes = append(notes, "Calls of so long ago are kept in sums only: the period was moved out to whole hours or days of UTC, and is the one above.")
	}
	if days && p.UTCDaysBefore != nil {
		notes = append(notes, "Days before "+p.UTCDaysBefore.Format("2006-01-02 15:04")+" are those of UTC: their hours are not kept any more.")
	}
	if p.Since != nil {
		f.Since = *p.Since
	}
	if p.Until != nil {
		f.Until = *p.Until
	}
	return f, notes
}

// sinceRows returns the part of a period from which calls are kept one by one, and
// what to say if that is not all of it.
func sinceRows(ctx context.Context, store analytics.Store, f analytics.Filter) (analytics.Filter, []string, error) {
	since, err := store.RowsSince(ctx)
	if err != nil || since.IsZero() || !f.Since.IsZero() && !f.Since.Before(since) {
		return f, nil, err
	}
	f.Since = since
	return f, []string{rowsNote(since.In(f.In()))}, nil
}

// rowsNote says that calls before a time are kept only in sums.
func rowsNote(since time.Time) string {
	return "Calls are kept one by one since " + since.Format("2006-01-02 15:04") + "; those before are only in sums, and not shown here."
}

// withCalls runs do with the store that is configured, and a context that the
// first interrupt cancels: nothing that reads or writes figures has work to finish.
func (a *app) withCalls(ctx context.Context, do func(context.Context, analytics.Store) error) error {
	ctx, cancel := a.soft(ctx)
	defer cancel()
	err := a.openCalls(ctx, do)
	if err != nil && a.interrupted() {
		return errInterrupted
	}
	return err
}

func (a *app) openCalls(ctx context.Context, do func(context.Context, analytics.Store) error) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	store, err := pipeline.OpenCalls(ctx, cfg)
	if err != nil {
		return err
	}
	return storeError(closing(do(ctx, store), store))
}

// reportVerb is a verb whose figures can be shown as text, JSON and a page.
type reportVerb struct {
	use, short, long, example string
	rows                      func() bool // whether it is made of single calls; nil for no
	flags                     func(*cobra.Command)
	// make asks the store, and gives what to show, and the same as JSON.
	make func(ctx context.Context, store analytics.Store, f analytics.Filter) (*report, any, error)
	// more gives sections that only a page has room for; nil for none.
	more func(ctx context.Context, store analytics.Store, f analytics.Filter) ([]section, error)
}

// csvTable is figures whose CSV has other columns than their JSON has fields.
type csvTable interface{ writeCSV(w io.Writer) error }

func (a *app) reportVerb(v reportVerb) *cobra.Command {
	var period periodFlags
	var asJSON, asCSV bool
	var page string
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Long: v.long, Example: v.example,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now, err := a.now()
			if err != nil {
				return err
			}
			f, err := period.filter(now)
			if err != nil {
				return err
			}
			return a.withCalls(cmd.Context(), func(ctx context.Context, store analytics.Store) error {
				var err error
				if f.Project, err = a.project(ctx, store, period.project); err != nil {
					return err
				}
				r, data, err := v.make(ctx, store, f)
				if err != nil {
					return err
				}
				p, err := store.Period(ctx, f)
				if err != nil {
					return err
				}
				shown, notes := sumsPeriod(f, p, r.days)
				if v.rows != nil && v.rows() {
					shown, notes, err = sinceRows(ctx, store, f)
					if err != nil {
						return err
					}
				}
				r.period = periodText(shown, p.Project)
				r.notes = append(r.notes, notes...)
				if len(notes) > 0 && (asJSON || asCSV) {
					a.say("%s\n%s", r.period, strings.Join(notes, "\n"))
				}
				if page != "" {
					if v.more != nil {
						more, err := v.more(ctx, store, f)
						if err != nil {
							return err
						}
						r.sections = append(r.sections, more...)
					}
					if err := writePage(page, r); err != nil {
						return err
					}
					a.say("wrote %s", page)
				}
				if asJSON {
					return printJSON(a.stdout, data)
				}
				if t, ok := data.(csvTable); ok && asCSV {
					return t.writeCSV(a.stdout)
				}
				if asCSV {
					return csvtext.WriteTable(a.stdout, data)
				}
				if page == "" {
					r.text(a.stdout, a.width())
				}
				return nil
			})
		},
	}
	period.register(cmd, 7)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "print CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	cmd.Flags().StringVar(&page, "html", "", "write a page with charts to this file instead")
	if v.flags != nil {
		v.flags(cmd)
	}
	return cmd
}

func writePage(path string, r *report) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644) //nolint:gosec // made to be shown to others
	if err != nil {
		return inputError{fmt.Errorf("writing the report: %w", err)}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return r.html(f)
}

// named returns a name, or none if it is empty.
func named(name, none string) string {
	if name == "" {
		return none
	}
	return name
}

func percent(share float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", 100*share), ".0") + " %"
}

func money(n llm.Money) string { return dollars(new(n.USD())) }
