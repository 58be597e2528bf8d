package journaldb_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/llm"
)

var key = bytes.Repeat([]byte{7}, 32)

// change runs statements on a file behind the store's back.
func change(t *testing.T, path, sql string) {
	t.Helper()
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Exec(sql), conn.Close()); err != nil {
		t.Fatal(err)
	}
}

// count returns the number of rows of a statement.
func count(t *testing.T, path, sql string) (n int) {
	t.Helper()
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for stmt.Step() {
		n++
	}
	if err := stmt.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// fill makes a run of one step in a store.
func fill(t *testing.T, s journal.Store, id, output string) {
	t.Helper()
	log, err := s.Create(t.Context(), journal.Run{ID: id, Workflow: "w-secret", File: "/f-secret", Spec: []byte(`"s-secret"`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(
		journal.Event{Type: journal.StepStarted, Step: "x", Detail: journal.Detail(journal.Started{Task: "t-secret"})},
		journal.Event{Type: journal.StepFinished, Step: "x", Key: llm.Key{1}, Output: output, Detail: journal.Detail(journal.Finished{Outcome: llm.Outcome{CostUSD: new(0.5)}})},
	)(); err != nil {
		t.Fatal(err)
	}
	if err := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{
		Status: journal.StatusCompleted, Exited: &journal.Exited{Step: "x", Exit: journal.Exit{Status: journal.StatusCompleted, Message: "e-secret"}},
	})})(); err != nil {
		t.Fatal(err)
	}
	if err := log.Release(); err != nil {
		t.Fatal(err)
	}
}

// read reads all there is of a run.
func read(ctx context.Context, s journal.Store, id string) error {
	if _, err := s.Find(ctx, id); err != nil {
		return err
	}
	for _, err := range s.Events(ctx, id, 0) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestDamagedRowsAreNotBelieved(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		`UPDATE events SET detail = x'7b7d'`,
		`UPDATE events SET detail = NULL WHERE type = 'step_finished'`,
		`UPDATE events SET step = 'y' WHERE type = 'step_finished'`,
		`UPDATE events SET item = 'y' WHERE type = 'step_finished'`,
		`UPDATE events SET type = 'step_failed' WHERE type = 'step_finished'`,
		`UPDATE events SET time = time + 1`,
		`UPDATE events SET attempt = 9`,
		`UPDATE events SET key = NULL`,
		`UPDATE events SET output = NULL`,
		`UPDATE events SET output = (SELECT min(n) FROM outputs)`,
		`UPDATE events SET id = id + 9 WHERE type = 'step_finished'`,
		`DELETE FROM events WHERE type = 'step_finished'`,
		`DELETE FROM events WHERE type = 'step_started'`,
		`DELETE FROM outputs`,
		`UPDATE outputs SET data = x'00'`,
		`UPDATE outputs SET hash = data`,
		`UPDATE runs SET workflow = x'00'`,
		`UPDATE runs SET file = x'00'`,
		`UPDATE runs SET spec = x'00'`,
		`UPDATE runs SET status = 'failed'`,
		`UPDATE runs SET usd = 9`,
		`UPDATE runs SET tokens = 9`,
		`UPDATE runs SET steps = 9`,
		`UPDATE runs SET started = 9`,
		`UPDATE runs SET finished = 9`,
		`UPDATE runs SET seq = seq - 1`,
		`UPDATE runs SET token = x'00'`,
		`UPDATE runs SET exit = NULL`,
		`UPDATE runs SET exit = x'7b7d'`,
	} {
		for name, opts := range map[string]journaldb.Options{"clear": {}, "encrypted": {Key: key}} {
			path := file(t)
			s := openStore(t, path, opts)
			fill(t, s, "b", "another output")
			fill(t, s, "a", "output")
			if err := read(t.Context(), s, "a"); err != nil {
				t.Fatal(err)
			}
			change(t, path, sql)
			if err := read(t.Context(), s, "a"); err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "keep a copy") {
				t.Errorf("%s, %s: %v", name, sql, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestADamagedRunHarmsNoOther: who works on another run does not notice, and the
// damaged one can be removed.
func TestADamagedRunHarmsNoOther(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := openStore(t, path, journaldb.Options{})
	fill(t, s, "a", "output")
	log, err := s.Create(t.Context(), journal.Run{ID: "b"})
	if err != nil {
		t.Fatal(err)
	}
	change(t, path, `UPDATE runs SET usd = 9 WHERE id = 'a'`)
	sent := make(chan error, 1)
	var waits []func() error
	for range 10 {
		waits = append(waits, log.Append(journal.Event{Type: journal.StepStarted, Step: "x"}))
	}
	go func() { sent <- s.Signal(t.Context(), journal.Event{Run: "a", Type: journal.CancelAsked}) }()
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Error(err)
		}
	}
	if err := <-sent; err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("sending to a damaged run: %v", err)
	}
	if _, err := s.Acquire(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("acquiring a damaged run: %v", err)
	}
	if n, err := s.Remove(t.Context(), "a"); n != 1 || err != nil {
		t.Errorf("removing a damaged run: %d, %v", n, err)
	}
	if err := errors.Join(log.Release(), read(t.Context(), s, "b")); err != nil {
		t.Error(err)
	}
}

func TestOutputsAreStoredOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]journaldb.Options{"clear": {}, "encrypted": {Key: key}} {
		path := file(t)
		s := openStore(t, path, opts)
		for _, id := range []string{"a", "b", "c"} {
			fill(t, s, id, "shared")
		}
		fill(t, s, "d", "its own")
		if n := count(t, path, `SELECT 1 FROM outputs`); n != 2 {
			t.Errorf("%s: %d outputs; want 2", name, n)
		}
		if n, err := s.Remove(t.Context(), "a", "b", "d"); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		if n := count(t, path, `SELECT 1 FROM outputs`); n != 1 {
			t.Errorf("%s: %d outputs; want the one that a run still has", name, n)
		}
		if n, err := s.Remove(t.Context(), "c"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n := count(t, path, `SELECT 1 FROM outputs UNION ALL SELECT 1 FROM events UNION ALL SELECT 1 FROM runs`); n != 0 {
			t.Errorf("%s: %d rows are left of no run", name, n)
		}
	}
}

func TestAnEncryptedFileTellsNothing(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := openStore(t, path, journaldb.Options{Key: key})
	fill(t, s, "a", "o-secret")
	hash := sha256.Sum256([]byte("o-secret"))
	for _, name := range []string{path, path + "-wal"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"w-secret", "/f-secret", "s-secret", "t-secret", "o-secret", "e-secret", string(hash[:])} {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s shows %q", filepath.Base(name), secret)
			}
		}
	}
	if err := read(t.Context(), s, "a"); err != nil {
		t.Error(err)
	}
}

func TestNobodyElseCanReadTheFiles(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := openStore(t, path, journaldb.Options{})
	fill(t, s, "a", "output")
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

// TestFilesThatCannotBeUsed shows that they are left as they are, with an error that says what
// to do.
func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		made  *journaldb.Options // nil for a file of another program
		sql   string
		write []byte
		opts  journaldb.Options
		is    error
		says  string
	}{
		"another key":   {made: &journaldb.Options{Key: key}, opts: journaldb.Options{Key: bytes.Repeat([]byte{8}, 32)}, is: seal.ErrWrongKey, says: "give that key"},
		"no key":        {made: &journaldb.Options{Key: key}, is: seal.ErrEncrypted, says: "CLAUDE_FORCE_CACHE_ENCRYPTION_KEY"},
		"a needless":    {made: &journaldb.Options{}, opts: journaldb.Options{Key: key}, is: seal.ErrNotEncrypted, says: "do without the key"},
		"a short key":   {opts: journaldb.Options{Key: []byte("short")}, says: "must have 32"},
		"newer":         {made: &journaldb.Options{}, sql: `UPDATE schema_versions SET version = 99; UPDATE schema_oldest SET version = 99`, says: "update claude-force"},
		"foreign":       {sql: `CREATE TABLE mine (x)`, says: "another program"},
		"no database":   {write: bytes.Repeat([]byte("text "), 1000), says: "keep a copy"},
		"other's table": {sql: `CREATE TABLE schema_versions (x)`, says: "another program"},
	} {
		path := file(t)
		if test.made != nil {
			s := openStore(t, path, *test.made)
			fill(t, s, "a", "output")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if test.sql != "" {
			change(t, path, test.sql)
		}
		if test.write != nil {
			if err := os.WriteFile(path, test.write, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before, _ := os.ReadFile(path)
		s, err := journaldb.Open(path, test.opts)
		if err == nil {
			s.Close()
		}
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "77777") {
			t.Errorf("%s: %v; want it to say %q", name, err, test.says)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// fullDisk is one that can be full.
type fullDisk struct {
	disk
	full chan struct{} // closed when it is
}

func (d *fullDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := d.disk.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &fullFile{f.(*diskFile), d.full}, flags, nil
}

type fullFile struct {
	*diskFile
	full chan struct{}
}

func (f *fullFile) WriteAt(p []byte, off int64) (int, error) {
	select {
	case <-f.full:
		return 0, sqlite3.FULL
	default:
		return f.diskFile.WriteAt(p, off)
	}
}

// TestAFullDisk: what cannot be written is an error, and so is all behind it,
// for a run whose events have a hole cannot be resumed.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	d := &fullDisk{disk: disk{VFS: vfs.Find("")}, full: make(chan struct{})}
	vfs.Register(t.Name(), d)
	t.Cleanup(func() { vfs.Unregister(t.Name()) })
	path := file(t)
	s, err := journaldb.OpenAs(path, journaldb.Options{}, "", 0, t.Name(), false)
	if err != nil {
		t.Fatal(err)
	}
	log, err := s.Create(t.Context(), journal.Run{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(journal.Event{Type: journal.StepStarted, Step: "x"})(); err != nil {
		t.Fatal(err)
	}
	close(d.full)
	for range 3 {
		err := log.Append(journal.Event{Type: journal.StepFinished, Step: "x", Output: "lost"})()
		if err == nil || !strings.Contains(err.Error(), "free some space") {
			t.Errorf("appending to a full disk: %v", err)
		}
	}
	if err := log.Release(); err == nil {
		t.Error("releasing: no error")
	}
	_ = s.Close() // cannot checkpoint
	s = openStore(t, path, journaldb.Options{})
	n := 0
	for _, err := range s.Events(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d events; want the two that were acknowledged", n)
	}
}

// TestAnswerToADamagedRun: what an answer makes of a run follows from its events,
// so it is refused where these cannot be believed; that it shall stop is not.
func TestAnswerToADamagedRun(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := openStore(t, path, journaldb.Options{})
	log, err := s.Create(t.Context(), journal.Run{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(journal.Event{Type: journal.ApprovalAsked, Step: "ok"})(); err != nil {
		t.Fatal(err)
	}
	change(t, path, `UPDATE events SET step = 'other' WHERE type = 'approval_asked'`)
	err = s.Signal(t.Context(), journal.Event{Run: "a", Type: journal.ApprovalGiven, Step: "ok"})
	if err == nil || !strings.Contains(err.Error(), "event 2 of run a") {
		t.Errorf("answering: %v", err)
	}
	if n := count(t, path, `SELECT 1 FROM events`); n != 2 {
		t.Errorf("%d events; want 2", n)
	}
	if err := s.Signal(t.Context(), journal.Event{Run: "a", Type: journal.CancelAsked}); err != nil {
		t.Errorf("cancelling: %v", err)
	}
	if err := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusCancelled})})(); err != nil {
		t.Errorf("ending: %v", err)
	}
	if err := log.Release(); err != nil {
		t.Error(err)
	}
}

// TestEarlierFiles: a file of the first schema is read, and its runs can be taken on.
func TestEarlierFiles(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]journaldb.Options{"clear": {}, "encrypted": {Key: key}} {
		path := file(t)
		s := openStore(t, path, opts)
		log, err := s.Create(t.Context(), journal.Run{ID: "a", Workflow: "w"})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(log.Release(), s.Close()); err != nil {
			t.Fatal(err)
		}
		change(t, path, `DROP INDEX runs_open; DROP INDEX runs_started_by; ALTER TABLE runs DROP COLUMN started_by; ALTER TABLE runs DROP COLUMN exit; DROP TABLE notices; ALTER TABLE runs DROP COLUMN engine; DROP TABLE parts; UPDATE schema_versions SET version = 1 WHERE component = 'journal'`)
		s = openStore(t, path, opts)
		run, err := s.Find(t.Context(), "a")
		if err != nil || run.Workflow != "w" || run.Exit != nil || run.StartedBy != "" {
			t.Errorf("%s: %+v, %v", name, run, err)
		}
		if log, err = s.Acquire(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		exit := journal.Exit{Status: journal.StatusCompleted, Message: "m"}
		wait := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: exit.Status, Exited: &journal.Exited{Exit: exit}})})
		if err := errors.Join(wait(), log.Release()); err != nil {
			t.Error(err)
		}
		if run, err = s.Find(t.Context(), "a"); err != nil || run.Exit == nil || *run.Exit != exit {
			t.Errorf("%s: %+v, %v", name, run, err)
		}
		if log, err = s.Create(t.Context(), journal.Run{ID: "b", StartedBy: "ci"}); err != nil {
			t.Fatal(err)
		}
		if err := log.Release(); err != nil {
			t.Error(err)
		}
		listed := map[string]string{}
		for run, err := range s.Runs(t.Context(), journal.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			listed[run.ID] = run.StartedBy
		}
		if want := map[string]string{"a": "", "b": "ci"}; !maps.Equal(listed, want) {
			t.Errorf("%s: started by %v, want %v", name, listed, want)
		}
		if notices, err := s.Notices(t.Context(), 0, 10); err != nil || len(notices) != 1 {
			t.Errorf("%s: %+v, %v", name, notices, err)
		}
	}
}

// TestDamagedNotices: an event that is damaged does not keep the notices of other runs
// from their readers.
func TestDamagedNotices(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := openStore(t, path, journaldb.Options{})
	for _, id := range []string{"a", "b", "c"} {
		log, err := s.Create(t.Context(), journal.Run{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusFailed})})(), log.Release()); err != nil {
			t.Fatal(err)
		}
	}
	change(t, path, `UPDATE events SET time = time + 1 WHERE id IN (SELECT event FROM notices WHERE n IN (1, 2))`)
	if got, err := s.Notices(t.Context(), 0, 1); err != nil || len(got) != 1 || got[0].Event.Run != "c" {
		t.Errorf("%+v, %v", got, err)
	}
}
