package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	units "github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/pgmigrate"
	"github.com/claude-force/claude-force/pipeline"
)

func (a *app) store() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look after the store: a PostgreSQL database, or files",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.storeMigrate(), a.storeStatus(), a.storeCopy())
	return cmd
}

// connectStore returns the database of the store that is configured; nil if the store
// is files.
func (a *app) connectStore() (*postgres.DB, *config.Config, error) {
	cfg, err := a.settings()
	if err != nil || cfg.Store == "" {
		return nil, cfg, err
	}
	db, err := postgres.Connect(cfg.Store)
	if err != nil {
		return nil, nil, inputError{err}
	}
	return db, cfg, nil
}

func (a *app) storeMigrate() *cobra.Command {
	var asJSON, dry bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of the database up to date",
		Long: `Bring the schema of the PostgreSQL database that the setting store names up to date,
and make it first if there is none. Run it before a new version of claude-force is used;
those that run meanwhile keep working unless a step says otherwise in CHANGELOG.md. Of
several processes that migrate at once, one does it and the others wait.

Files need none of this: they are brought up to date as they are opened.`,
		Example: `  claude-force store migrate --dry-run
  claude-force store migrate`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, _, err := a.connectStore()
			if err != nil {
				return err
			}
			if db == nil {
				return badInput("the store is files, which need no migration; name a database with the setting store or in CLAUDE_FORCE_STORE")
			}
			defer db.Close()
			steps, err := pgmigrate.Pending(cmd.Context(), db)
			if err != nil {
				return inputError{err}
			}
			if !dry {
				if steps, err = pgmigrate.Up(cmd.Context(), db); err != nil {
					return storeError(err)
				}
			}
			if asJSON {
				return printJSON(a.stdout, map[string]any{"store": db.String(), "dry_run": dry, "migrations": append([]pgmigrate.Step{}, steps...)})
			}
			if len(steps) == 0 {
				a.say("the schema of %s is up to date", db)
				return nil
			}
			done := "applied"
			if dry {
				done = "to apply"
			}
			for _, s := range steps {
				fmt.Fprintf(a.stdout, "%s %s\n", done, s.Name)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would be done, and do nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// storeStatus is what the store is, as JSON.
type storeStatus struct {
	Store      string           `json:"store"` // of a database without its password; else the folder
	Schema     string           `json:"schema,omitempty"`
	Generation int              `json:"generation,omitempty"`
	Applied    []int64          `json:"applied,omitempty"`
	Missing    []int64          `json:"missing,omitempty"`
	Unknown    []int64          `json:"unknown,omitempty"`
	Tables     []postgres.Table `json:"tables,omitempty"`
	Files      []storeFile      `json:"files,omitempty"`
	Bytes      int64            `json:"bytes"`
}

type storeFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"` // with its log
}

func (a *app) storeStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the store is, whether its schema fits, and what it takes",
		Example: `  claude-force store status
  claude-force store status --json | jq .bytes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, cfg, err := a.connectStore()
			if err != nil {
				return err
			}
			if db == nil {
				return a.filesStatus(cfg, asJSON)
			}
			defer db.Close()
			return a.databaseStatus(cmd.Context(), db, cfg, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) databaseStatus(ctx context.Context, db *postgres.DB, cfg *config.Config, asJSON bool) error {
	state, err := db.State(ctx)
	if err != nil {
		return inputError{err}
	}
	tables, err := db.Tables(ctx)
	if err != nil {
		return storeError(err)
	}
	s := storeStatus{
		Store: cfg.Value("store"), Schema: db.Schema(), Generation: state.Generation,
		Applied: state.Applied, Missing: state.Missing, Unknown: state.Unknown, Tables: tables,
	}
	for _, t := range tables {
		s.Bytes += t.Bytes
	}
	if asJSON {
		return printJSON(a.stdout, s)
	}
	fits := "up to date"
	switch {
	case state.Generation > postgres.Generation:
		fits = "for a newer claude-force only"
	case len(state.Missing) > 0:
		fits = plural(len(state.Missing), "migration") + " missing: run claude-force store migrate"
	case len(state.Unknown) > 0:
		fits = "up to date, with " + plural(len(state.Unknown), "migration") + " of a newer claude-force"
	}
	rows := [][]string{{"store", s.Store}, {"schema", s.Schema + ", " + fits}, {"size", units.BytesSize(float64(s.Bytes))}}
	for _, t := range tables {
		about := ""
		if !t.Exact {
			about = "about "
		}
		rows = append(rows, []string{t.Name, about + amount.Thousands(int(t.Rows)) + " rows, " + units.BytesSize(float64(t.Bytes))})
	}
	return table(a.stdout, rows)
}

func (a *app) filesStatus(cfg *config.Config, asJSON bool) error {
	dir := pipeline.DataDir(cfg.DataDir)
	s := storeStatus{Store: cfg.DataDir}
	for _, path := range []string{dir.History(), dir.Cache(), dir.Budget(), dir.Keys(), dir.Schedules(), dir.Webhooks()} {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		file := storeFile{filepath.Base(path), info.Size()}
		if log, err := os.Stat(path + "-wal"); err == nil {
			file.Bytes += log.Size()
		}
		s.Files = append(s.Files, file)
		s.Bytes += file.Bytes
	}
	if asJSON {
		return printJSON(a.stdout, s)
	}
	rows := [][]string{{"store", "files in " + s.Store}, {"size", units.BytesSize(float64(s.Bytes))}}
	for _, f := range s.Files {
		rows = append(rows, []string{f.Name, units.BytesSize(float64(f.Bytes))})
	}
	return table(a.stdout, rows)
}
