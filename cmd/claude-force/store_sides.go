package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/tablecopy"
	"github.com/claude-force/claude-force/internal/tempfolder"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/pipeline"
)

// storeSide is one of the two stores of a copy, with all of its parts open.
type storeSide struct {
	name    string // without a password
	place   string // tells it from other stores
	db      *postgres.DB
	dir     pipeline.DataDir // if it is files
	history journal.Store
	calls   analytics.Store
	ledger  pipeline.Ledger
	tables  []tablecopy.Table
	close   []func() error
}

func (s *storeSide) Close() error {
	var err error
	for _, end := range slices.Backward(s.close) {
		err = errors.Join(err, end())
	}
	return err
}

// connection matches what names a database in other forms than an address, and is hardly
// meant to be a folder.
var connection = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(postgres(ql)?:|[a-z_]+=\S)`) })

// isAddress reports whether a store is named by the address of a database.
func isAddress(name string) bool { return strings.Contains(name, "://") }

// openSide opens the store with a name: the address of a database or a folder, which must
// have files if it is the source.
func openSide(ctx context.Context, settings *config.Config, name string, source bool) (side *storeSide, err error) {
	side = &storeSide{name: name}
	defer func() {
		if err != nil {
			err = errors.Join(err, side.Close())
			side = nil
		}
	}()
	cfg := *settings
	cfg.Valkey = "" // what machines share there is in their stores as well
	if isAddress(name) {
		err = side.openDatabase(ctx, &cfg, source)
	} else {
		err = side.openFolder(&cfg, source)
	}
	if err != nil {
		return side, err
	}
	return side, side.openParts(ctx, &cfg)
}

func (s *storeSide) openDatabase(ctx context.Context, cfg *config.Config, source bool) error {
	var err error
	if s.db, err = postgres.Connect(s.name); err != nil {
		return inputError{err}
	}
	s.close = append(s.close, func() error { s.db.Close(); return nil })
	if err := s.db.Check(ctx); err != nil {
		if schema, ok := errors.AsType[*postgres.SchemaError](err); ok && !schema.Newer {
			err = fmt.Errorf("%w (with CLAUDE_FORCE_STORE set to the address: claude-force store migrate)", err)
		}
		return inputError{err}
	}
	configured := cfg.Store == s.name
	cfg.Store = s.name
	s.name, s.place = s.db.String(), s.db.Place()
	if source && configured {
		return nil // what waits on this machine is added first
	}
	folder, err := tempfolder.New("copy")
	if err != nil {
		return err
	}
	cfg.DataDir = folder.Path()
	s.close = append(s.close, folder.Remove)
	return nil
}

func (s *storeSide) openFolder(cfg *config.Config, source bool) error {
	if connection().MatchString(s.name) { // it may hold a password
		return badInput("write the address of a database as postgres://user@host:5432/database, and a folder whose name begins like one as ./NAME")
	}
	dir, err := filepath.Abs(s.name)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	s.name, s.place, s.dir = dir, host+":"+dir, pipeline.DataDir(dir)
	cfg.Store, cfg.DataDir = "", dir
	if source {
		files, err := filepath.Glob(filepath.Join(dir, "*.db"))
		if err != nil || len(files) == 0 {
			return badInput("%s has no store: name the folder that %q shows, or the address of a database", dir, "claude-force store status")
		}
	}
	return nil
}

// openParts opens the parts of the store. Its tables are in the order in which they are to
// be copied: runs before what refers to them.
func (s *storeSide) openParts(ctx context.Context, cfg *config.Config) error {
	add := func(part io.Closer, err error) error {
		if err != nil {
			return err
		}
		s.close = append(s.close, part.Close)
		holder, ok := part.(interface{ Tables() []tablecopy.Table })
		if !ok {
			return fmt.Errorf("copying a store of type %T is not possible", part)
		}
		s.tables = append(s.tables, holder.Tables()...)
		return nil
	}
	var err error
	s.history, err = claudeforce.CreateHistory(ctx, cfg)
	if err := add(s.history, err); err != nil {
		return err
	}
	s.calls, err = pipeline.OpenCalls(ctx, cfg)
	if err := add(s.calls, err); err != nil {
		return err
	}
	s.ledger, err = pipeline.OpenLedger(cfg)
	if err := add(s.ledger, err); err != nil {
		return err
	}
	if err := add(pipeline.OpenKeys(cfg)); err != nil {
		return err
	}
	if err := add(openSchedules(cfg)); err != nil {
		return err
	}
	if err := add(openWebhooks(ctx, cfg)); err != nil {
		return err
	}
	answers, err := pipeline.OpenCache(ctx, cfg)
	if err := add(answers, err); err != nil {
		return err
	}
	_, err = answers.Stats(ctx) // counts the uses that wait
	return err
}

// checkIdle returns an error if a process uses the store: one owns a run, or has a call in
// flight. It reads the headers of all runs, so none of them is damaged.
func (s *storeSide) checkIdle(ctx context.Context) error {
	var owned []string
	for run, err := range s.history.Runs(ctx, journal.Filter{}) {
		if err != nil {
			return err
		}
		switch {
		case !run.Owned():
		case run.Owner != nil && run.Owner.Alive:
			owned = append(owned, fmt.Sprintf("%s by process %d on %s", run.ID, run.Owner.PID, run.Owner.Host))
		default:
			owned = append(owned, run.ID+" by engine "+run.Engine)
		}
	}
	if len(owned) > 0 {
		more := ""
		if len(owned) > 3 {
			more = fmt.Sprintf(", and %d more", len(owned)-3)
		}
		return badInput("%s is in use: runs are owned (%s%s); wait for them or stop what owns them, and servers too, then copy", s.name, strings.Join(owned[:min(len(owned), 3)], ", "), more)
	}
	// The first reservation of a process charges what crashed ones have left.
	r, _, err := s.ledger.Reserve(nil, budget.Amount{})
	if err == nil {
		err = s.ledger.Settle(nil, []budget.Reservation{r}, budget.Amount{}, budget.Amount{})
	}
	if err != nil {
		return err
	}
	balances, err := s.ledger.Balances("")
	if err != nil {
		return err
	}
	for _, b := range balances {
		if b.Reserved != (budget.Amount{}) {
			return badInput("%s is in use: calls are in flight, or were 15 seconds ago; stop what makes them, and copy then", s.name)
		}
	}
	// A process that has ended since the store was opened may have recorded calls.
	return s.calls.Take(ctx)
}

// copyMark is what the file says that is beside a store while one is copied to it.
type copyMark struct {
	Source string `json:"source"`
}

func (s *storeSide) markPath() string { return filepath.Join(string(s.dir), "store-copy.json") }

// copySource returns the place of the store that is being copied to this one; empty if none
// is.
func (s *storeSide) copySource(ctx context.Context) (string, error) {
	if s.db != nil {
		return s.db.CopySource(ctx)
	}
	data, err := openfile.Read(s.markPath(), 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var mark copyMark
	if err == nil {
		err = json.Unmarshal(data, &mark)
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", s.markPath(), err)
	}
	return mark.Source, nil
}

// setCopySource notes that the store at a place is being copied to this one; empty that
// none is any more.
func (s *storeSide) setCopySource(ctx context.Context, place string) error {
	if s.db != nil {
		return s.db.SetCopySource(ctx, place)
	}
	if place == "" {
		return os.Remove(s.markPath())
	}
	data, err := json.Marshal(copyMark{place})
	if err != nil {
		return err
	}
	return os.WriteFile(s.markPath(), data, 0o600)
}
