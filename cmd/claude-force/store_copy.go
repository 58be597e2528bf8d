package main

import (
	"context"
	"fmt"
	"time"

	units "github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

func (a *app) storeCopy() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy a store to another place, such as from files to PostgreSQL",
		Long: `Copy all that a store holds to an empty one: runs with their events and outputs, calls
with their sums, budgets, keys with their audit log and who has logged in, schedules,
webhooks with what is still to be sent, and the answers of the response cache. Each store is
a folder of files (claude-force store status shows it) or the address of a PostgreSQL
database, whose schema claude-force store migrate has made.

Stop servers and runs first: a store in use is refused. A copy that was stopped, however,
is continued when it is started again. At the end both stores are read, and compared by
the number and the SHA-256 of the rows of each table. The source keeps what it has.

Both stores are encrypted with the key that is configured (cache.encryption_key), or
neither is. Runs whose process crashed are interrupted in the copy, and can be resumed.
Rate limits and the requests of the last minute are not copied.`,
		Example: `  claude-force store copy ~/.local/share/claude-force postgres://agents@db.example/agents
  claude-force store copy postgres://agents@db.example/agents /srv/claude-force --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.copyStore(cmd.Context(), args[0], args[1], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// copyReport is what a copy has done.
type copyReport struct {
	From   string       `json:"from"`
	To     string       `json:"to"`
	Copied bool         `json:"copied"` // false if both were the same already
	Tables []copiedPart `json:"tables"`
	Rows   int64        `json:"rows"`
}

type copiedPart struct {
	Name string `json:"name"`
	tablecopy.Sum
}

func (a *app) copyStore(ctx context.Context, from, to string, asJSON bool) (err error) {
	settings, err := a.settings()
	if err != nil {
		return err
	}
	source, err := openSide(ctx, settings, from, true)
	if err != nil {
		return err
	}
	defer func() { err = closing(err, source) }()
	target, err := openSide(ctx, settings, to, false)
	if err != nil {
		return err
	}
	defer func() { err = closing(err, target) }()
	if source.place == target.place {
		return badInput("both stores are %s", source.name)
	}
	if of, err := source.copySource(ctx); err != nil {
		return err
	} else if of != "" {
		return badInput("%s is itself a copy of %s that is not complete: continue that one first", source.name, of)
	}
	for _, side := range []*storeSide{source, target} {
		if err := side.checkIdle(ctx); err != nil {
			return err
		}
	}
	pairs, err := tablecopy.NewPairs(source.tables, target.tables)
	if err != nil {
		return err
	}
	c := &storeCopier{app: a, source: source, target: target, pairs: pairs}
	report, err := c.run(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.stdout, report)
	}
	rows := [][]string{{"TABLE", "ROWS", "SHA-256"}}
	for _, t := range report.Tables {
		rows = append(rows, []string{t.Name, amount.Thousands(int(t.Rows)), t.SHA256[:16]})
	}
	if err := table(a.stdout, rows); err != nil {
		return err
	}
	done := "copied"
	if !report.Copied {
		done = "nothing to copy"
	}
	a.say("%s: %s and %s are identical, %s rows", done, report.From, report.To, amount.Thousands(int(report.Rows)))
	return nil
}

// storeCopier copies the tables of a store to those of another.
type storeCopier struct {
	app            *app
	source, target *storeSide
	pairs          []tablecopy.Pair

	said time.Time // when progress was printed last
}

// run copies what is missing, and compares both stores.
func (c *storeCopier) run(ctx context.Context) (*copyReport, error) {
	copying, err := c.target.copySource(ctx)
	if err != nil {
		return nil, err
	}
	if copying != "" && copying != c.source.place {
		return nil, badInput("a copy of %s to %s is not complete: continue that one, or copy to an empty store", copying, c.target.name)
	}
	fresh := false
	if copying == "" {
		if fresh, err = c.empty(ctx); err != nil {
			return nil, err
		}
		if !fresh {
			report, different, err := c.compare(ctx)
			if err == nil && different != "" {
				err = badInput("%s has other data than %s (%s): copy to an empty store: another folder, or a schema of its own, such as with ?search_path=NAME in the address", c.target.name, c.source.name, different)
			}
			return report, err
		}
		if err := c.target.setCopySource(ctx, c.source.place); err != nil {
			return nil, err
		}
	}
	for i := range c.pairs {
		if err := c.pairs[i].Copy(ctx, fresh, c.progress("copying")); err != nil {
			return nil, fmt.Errorf("%w (what is copied stays; run the command again to continue)", err)
		}
	}
	report, different, err := c.compare(ctx)
	if err != nil {
		return nil, err
	}
	if different != "" {
		return nil, fmt.Errorf("the stores differ (%s): one was used during the copy; stop what uses them and run the command again, or copy to an empty store if it still says so then", different)
	}
	report.Copied = true
	return report, c.target.setCopySource(ctx, "")
}

// empty reports whether the target has no rows.
func (c *storeCopier) empty(ctx context.Context) (bool, error) {
	for i := range c.pairs {
		if empty, err := c.pairs[i].Empty(ctx); !empty || err != nil {
			return false, err
		}
	}
	return true, nil
}

// compare returns what both stores hold, or the first difference.
func (c *storeCopier) compare(ctx context.Context) (report *copyReport, different string, err error) {
	report = &copyReport{From: c.source.name, To: c.target.name}
	for i := range c.pairs {
		from, to, err := c.pairs[i].Compare(ctx, c.progress("comparing"))
		name := c.pairs[i].From.Name()
		switch {
		case err != nil:
			return nil, "", err
		case from.Rows != to.Rows:
			return nil, fmt.Sprintf("%s: %d rows and %d", name, from.Rows, to.Rows), nil
		case from != to:
			return nil, fmt.Sprintf("%s: other contents of %d rows", name, from.Rows), nil
		}
		report.Tables = append(report.Tables, copiedPart{name, from})
		report.Rows += from.Rows
	}
	return report, "", nil
}

// progressEvery is how often progress is printed.
const progressEvery = 2 * time.Second

// progress returns what prints how far it is, now and then.
func (c *storeCopier) progress(doing string) func(tablecopy.Progress) {
	if c.said.IsZero() {
		c.said = time.Now()
	}
	return func(p tablecopy.Progress) {
		if c.app.quiet || time.Since(c.said) < progressEvery {
			return
		}
		c.said = time.Now()
		c.app.say("%s %s: %s rows, %s", doing, p.Table, amount.Thousands(int(p.Rows)), units.BytesSize(float64(p.Bytes)))
	}
}
