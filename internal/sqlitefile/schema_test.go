package sqlitefile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
)

func openFile(t *testing.T, path string) *sqlitefile.Conn {
	t.Helper()
	c, err := sqlitefile.Open(path, sqlitefile.Options{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// schema returns one of three versions, each of which notes that it was run.
func schema(component string, version int) *sqlitefile.Schema {
	table := "t" + component
	return &sqlitefile.Schema{Component: component, Version: version, Migrations: fstest.MapFS{
		"migrations/1.sql": {Data: []byte(`CREATE TABLE ` + table + ` (v INTEGER); INSERT INTO ` + table + ` VALUES (1)`)},
		"migrations/2.sql": {Data: []byte(`INSERT INTO ` + table + ` VALUES (20)`)},
		"migrations/3.sql": {Data: []byte("-- contract: since v1.2.3: of a test.\n" + `INSERT INTO ` + table + ` VALUES (300)`)},
	}}
}

func TestMigrateFromEveryVersion(t *testing.T) {
	t.Parallel()
	for _, component := range []string{"", "calls"} {
		for from := range 4 {
			path := filepath.Join(t.TempDir(), "a", "b", "file.db")
			c := openFile(t, path)
			if from > 0 {
				if err := c.Migrate(schema(component, from)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the second has nothing to do
				if err := c.Migrate(schema(component, 3)); err != nil {
					t.Fatalf("%q from %d: %v", component, from, err)
				}
			}
			if n, sum, err := c.Sum(`SELECT v FROM t` + component); n != 3 || sum != 321 || err != nil {
				t.Errorf("%q from %d: %d migrations, sum %d, %v", component, from, n, sum, err)
			}
			if err := c.Migrate(schema(component, 2)); err == nil || !strings.Contains(err.Error(), "newer claude-force (schema 3; this one knows 2)") {
				t.Errorf("%q: an older program: %v", component, err)
			}
		}
	}
}

func TestComponentsShareAFile(t *testing.T) {
	t.Parallel()
	c := openFile(t, filepath.Join(t.TempDir(), "file.db"))
	if err := errors.Join(c.Migrate(schema("calls", 2)), c.Migrate(schema("budgets", 1)), c.Migrate(schema("calls", 3))); err != nil {
		t.Fatal(err)
	}
	_, calls, callsErr := c.Sum(`SELECT v FROM tcalls`)
	_, budgets, budgetsErr := c.Sum(`SELECT v FROM tbudgets`)
	if calls != 321 || budgets != 1 || callsErr != nil || budgetsErr != nil {
		t.Errorf("%d, %v and %d, %v", calls, callsErr, budgets, budgetsErr)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ component, sql string }{
		"no version":              {"", `CREATE TABLE mine (x)`},
		"no versions":             {"calls", `CREATE TABLE mine (x)`},
		"our version before":      {"", `CREATE TABLE mine (x); PRAGMA user_version = 1`},
		"and a table of our name": {"", `CREATE TABLE t (v INTEGER); CREATE TABLE mine (x)`},
	} {
		c := openFile(t, filepath.Join(t.TempDir(), "file.db"))
		if err := c.Exec(test.sql); err != nil {
			t.Fatal(err)
		}
		if err := c.Migrate(schema(test.component, 2)); !errors.Is(err, sqlitefile.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
		if n, _, err := c.Sum(`SELECT 1 FROM sqlite_schema`); n != int64(strings.Count(test.sql, "CREATE")) || err != nil {
			t.Errorf("%s: %d tables, %v", name, n, err)
		}
	}
}

// TestFoldersAreNotOpened: what is no regular file is refused before it is opened.
func TestFoldersAreNotOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := sqlitefile.Open(dir, sqlitefile.Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if files, err := os.ReadDir(dir); len(files) != 0 || err != nil {
		t.Errorf("%d files in it, %v", len(files), err)
	}
}

// TestAnEmptyFileIsNoNewFile empties a file that was in use, and makes files that a
// crash leaves before they have contents.
func TestAnEmptyFileIsNoNewFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		made, mark bool // whether the file had contents; whether it is marked as new
		disposable bool
		want       error
	}{
		{"emptied", true, false, false, sqlitefile.ErrEmpty},
		{"never filled, without a mark", false, false, false, sqlitefile.ErrEmpty},
		{"never filled, marked", false, true, false, nil},
		{"disposable", true, false, true, nil},
	} {
		path := filepath.Join(t.TempDir(), "file.db")
		opts := sqlitefile.Options{Disposable: c.disposable}
		if c.made {
			conn, err := sqlitefile.Open(path, opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(conn.Migrate(schema("", 1)), conn.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(path + "-new"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: the mark is still there: %v", c.name, err)
			}
		}
		if c.mark {
			if err := os.WriteFile(path+"-new", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.RemoveAll(path+"-wal"), os.RemoveAll(path+"-shm")); err != nil {
			t.Fatal(err)
		}
		conn, err := sqlitefile.Open(path, opts)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		}
		if err != nil {
			continue
		}
		if err := errors.Join(conn.Migrate(schema("", 1)), conn.Close()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := os.Lstat(path + "-new"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a mark is left: %v", c.name, err)
		}
	}
}

// TestAdviceOnLimits names the limit of the system that an error comes from.
func TestAdviceOnLimits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file.db")
	advice := sqlitefile.Advice{Full: "make room", NotWritable: "use another", Path: "another folder", Empty: "restore it"}
	at := func(err error) error { return &fs.PathError{Op: "open", Path: path, Err: err} }
	for _, c := range []struct {
		err  error
		want string
	}{
		{at(syscall.ENOSPC), "the disk is full: .* free on the file system of .*; make room"},
		{sqlite3.FULL, "the disk is full: .*; make room"},
		{at(syscall.EMFILE), `too many files are open: raise the limit \(ulimit -n\)`},
		{sqlite3.IOERR, "check the disk"},
		{at(fs.ErrPermission), "the folder must be writable: use another"},
		{at(errors.New("odd")), "another folder"},
		{sqlitefile.ErrEmpty, "restore it"},
	} {
		got := advice.Explain(path, c.err)
		if !errors.Is(got, c.err) || !regexp.MustCompile(c.want).MatchString(got.Error()) {
			t.Errorf("%v: %v; want %s", c.err, got, c.want)
		}
	}
}

func TestAFailedMigrationChangesNothing(t *testing.T) {
	t.Parallel()
	c := openFile(t, filepath.Join(t.TempDir(), "file.db"))
	s := schema("calls", 3)
	s.Migrations.(fstest.MapFS)["migrations/2.sql"].Data = []byte(`INSERT INTO nowhere VALUES (1)`)
	if err := c.Migrate(s); err == nil {
		t.Fatal("no error")
	}
	if n, _, err := c.Sum(`SELECT 1 FROM sqlite_schema`); n != 0 || err != nil {
		t.Errorf("%d tables, %v", n, err)
	}
}

func TestOneOfManyMigrates(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sub", "file.db")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			c, err := sqlitefile.Open(path, sqlitefile.Options{Durable: true})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(c.Migrate(schema("calls", 3)), c.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c := openFile(t, path)
	if n, sum, err := c.Sum(`SELECT v FROM tcalls`); n != 3 || sum != 321 || err != nil {
		t.Errorf("%d migrations, sum %d, %v", n, sum, err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestDurableConnections(t *testing.T) {
	t.Parallel()
	for durable, want := range map[bool]int64{true: 2, false: 1} { // FULL, NORMAL
		c, err := sqlitefile.Open(filepath.Join(t.TempDir(), fmt.Sprint(durable)), sqlitefile.Options{Durable: durable})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Write(func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Sum(`PRAGMA synchronous`); got != want || err != nil {
			t.Errorf("durable %v: synchronous=%d, %v; want %d", durable, got, err, want)
		}
	}
}

// TestNewFileAtOnce: connections that open a new file at the same moment all
// find its tables, made once, and what each writes by another connection stays.
func TestNewFileAtOnce(t *testing.T) {
	t.Parallel()
	const openers = 8
	rounds := 30
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil {
		rounds = n
	}
	for range rounds {
		path := filepath.Join(t.TempDir(), "sub", "file.db")
		var all sync.WaitGroup
		for range openers {
			all.Go(func() {
				if err := openAndWrite(path); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		n, sum, err := openFile(t, path).Sum(`SELECT v FROM tcalls`)
		if err != nil || n != 3+openers || sum != 321+openers {
			t.Fatalf("%d rows, sum %d, %v", n, sum, err)
		}
		for _, name := range []string{path, path + "-wal", path + "-shm"} {
			if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 && runtime.GOOS != "windows" {
				t.Fatalf("%s: %v, %v", name, info.Mode(), err)
			}
		}
	}
}

func openAndWrite(path string) (err error) {
	reader, err := sqlitefile.Open(path, sqlitefile.Options{Durable: true})
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	if err := reader.Migrate(schema("calls", 3)); err != nil {
		return fmt.Errorf("making tables: %w", err)
	}
	writer, err := sqlitefile.Open(path, sqlitefile.Options{Durable: true})
	if err != nil {
		return fmt.Errorf("opening to write: %w", err)
	}
	defer func() { err = errors.Join(err, writer.Close()) }()
	return writer.Write(func() error { return writer.Run(`INSERT INTO tcalls VALUES (1)`) })
}

// TestNoLogBesideAFileWithout: a log that is there is used, while others that
// opened the file before write to the file itself.
func TestNoLogBesideAFileWithout(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file.db")
	half, err := sqlite3.Open(path) // as another process has it that is about to make the log
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if err := half.Exec(`PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE t (v)`); err != nil {
		t.Fatal(err)
	}
	openFile(t, path)
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a log: %v", err)
	}
	if err := half.Exec(`PRAGMA journal_mode = WAL; INSERT INTO t VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := half.Exec(`VACUUM INTO '` + copied + `'`); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite3.Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Exec(`PRAGMA journal_mode = WAL`), c.Close(), os.RemoveAll(copied+"-wal")); err != nil {
		t.Fatal(err)
	}
	openFile(t, copied)
	if info, err := os.Stat(copied + "-wal"); err != nil || info.Mode() != 0o600 {
		t.Errorf("the log of a file that has one: %v, %v", info, err)
	}
}
