package sqlitefile_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// later is a schema with a version that only adds and one that takes away.
func later(component string, version int) *sqlitefile.Schema {
	s := schema(component, version)
	steps := fstest.MapFS{}
	maps.Copy(steps, s.Migrations.(fstest.MapFS))
	table := "t" + component
	steps["migrations/4.sql"] = &fstest.MapFile{Data: []byte(`ALTER TABLE ` + table + ` ADD COLUMN more TEXT`)}
	steps["migrations/5.sql"] = &fstest.MapFile{Data: []byte("-- contract: since v1.2.3: nothing reads them.\nDELETE FROM " + table)}
	s.Migrations = steps
	return s
}

// TestUpgradeOfAnOpenFile: a program that has a file open, and one that opens it, continue with
// one that a newer program has added to, and refuse one that it has taken from.
func TestUpgradeOfAnOpenFile(t *testing.T) {
	t.Parallel()
	for _, component := range []string{"", "calls"} {
		path := filepath.Join(t.TempDir(), "file.db")
		old, second := openFile(t, path), openFile(t, path)
		if err := old.Migrate(later(component, 3)); err != nil {
			t.Fatal(err)
		}
		second.Expect(later(component, 3)) // as the connection of a store that writes
		newer := openFile(t, path)
		use := func(c *sqlitefile.Conn) error {
			return errors.Join(
				c.Write(func() error { return c.Run(`INSERT INTO t` + component + ` (v) VALUES (1)`) }),
				c.Read(func() error { return c.Run(`SELECT v FROM t` + component) }))
		}
		for _, version := range []int{3, 4} {
			if err := newer.Migrate(later(component, version)); err != nil {
				t.Fatal(err)
			}
			again := openFile(t, path)
			if err := errors.Join(use(old), use(second), again.Migrate(later(component, 3)), use(again)); err != nil {
				t.Errorf("%q: with version %d of the file: %v", component, version, err)
			}
		}
		if err := newer.Migrate(later(component, 5)); err != nil {
			t.Fatal(err)
		}
		before, _, _ := newer.Sum(`SELECT v FROM t` + component)
		again := openFile(t, path)
		for name, err := range map[string]error{"open": use(old), "open, second": use(second), "opened": again.Migrate(later(component, 4))} {
			newerErr, ok := errors.AsType[*sqlitefile.NewerError](err)
			if !ok || newerErr.Version != 5 || fault.KindOf(err) != fault.KindOutdated || !strings.Contains(err.Error(), "update claude-force") {
				t.Errorf("%q: %s: %v", component, name, err)
			}
		}
		if after, _, err := newer.Sum(`SELECT v FROM t` + component); after != before || err != nil {
			t.Errorf("%q: a program that refuses has written %d rows, %v", component, after-before, err)
		}
		if err := use(newer); err != nil {
			t.Errorf("%q: the newer one: %v", component, err)
		}
	}
}

// TestMarkOfAStep: a mark that is not understood is refused, since it would be taken for
// none.
func TestMarkOfAStep(t *testing.T) {
	t.Parallel()
	s := later("", 5)
	s.Migrations.(fstest.MapFS)["migrations/5.sql"].Data = []byte("-- contract: nothing reads them.\nDELETE FROM t")
	if err := openFile(t, filepath.Join(t.TempDir(), "file.db")).Migrate(s); err == nil || !strings.Contains(err.Error(), "write its mark as") {
		t.Errorf("%v", err)
	}
}

// known are the versions of the schemas before a newer program could share a file with an
// older one. Migrations up to them may do anything.
var known = map[string]int{
	"analytics/callsdb": 8, "journal/journaldb": 5, "keys/keysdb": 2, "schedule/scheduledb": 1, "webhook/webhookdb": 1, "llm/budget/budgetdb": 3, "llm/cache/cachedb": 1,
}

// adding are the statements with which programs that do not know them can live; NEW is a
// table that the same file has made. A trigger may change such tables only. What fills one
// from a table that other programs write there meanwhile would miss that, unless triggers
// pass on whatever becomes of its rows.
var adding = regexp.MustCompile(`(?i)^(CREATE (TABLE|VIEW) .*|DROP VIEW .*|CREATE INDEX .*|CREATE UNIQUE INDEX \w+ ON NEW .*|INSERT INTO NEW (\([a-z0-9_, ]+\) )?VALUES .*|` +
	`ALTER TABLE \w+ ADD COLUMN \w+ (TEXT|INTEGER|REAL|BLOB|ANY)( NOT NULL DEFAULT [^ ]+| DEFAULT [^ ]+)?)$`)

var (
	trigger  = regexp.MustCompile(`CREATE TRIGGER \w+ AFTER (INSERT|UPDATE|DELETE)( OF [\w, ]+)? ON (\w+)( WHEN [^;]*?)? BEGIN (.*?) END;`)
	triggers = regexp.MustCompile(`^(INSERT INTO|UPDATE|DELETE FROM) NEW `)
	filling  = regexp.MustCompile(`^INSERT INTO NEW \([a-z0-9_, ]+\) SELECT .*`)
	readFrom = regexp.MustCompile(`FROM (\w+)`)
)

func notAdding(text string) (wrong []string) {
	text = regexp.MustCompile(`\s+`).ReplaceAllString(regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(text, ""), " ")
	for _, made := range regexp.MustCompile(`CREATE TABLE (\w+)`).FindAllStringSubmatch(text, -1) {
		text = regexp.MustCompile(`(ON|INTO|UPDATE|FROM) `+made[1]+` `).ReplaceAllString(text, "$1 NEW ")
	}
	passed := map[string]bool{}
	for _, made := range trigger.FindAllStringSubmatch(text, -1) {
		passed[made[1]+" "+made[3]] = true
		for statement := range strings.SplitSeq(made[5], ";") {
			if statement = strings.TrimSpace(statement); statement != "" && !triggers.MatchString(statement) {
				wrong = append(wrong, statement)
			}
		}
	}
	text = trigger.ReplaceAllString(text, "")
	filled := func(statement string) bool {
		for _, from := range readFrom.FindAllStringSubmatch(statement, -1) {
			if !passed["INSERT "+from[1]] || !passed["UPDATE "+from[1]] || !passed["DELETE "+from[1]] {
				return false
			}
		}
		return filling.MatchString(statement)
	}
	for statement := range strings.SplitSeq(text, ";") {
		if statement = strings.TrimSpace(statement); statement != "" && !adding.MatchString(statement) && !filled(statement) {
			wrong = append(wrong, statement)
		}
	}
	return wrong
}

// TestMigrationsOfFilesOnlyAdd: each migration of a file only adds, unless it is marked.
func TestMigrationsOfFilesOnlyAdd(t *testing.T) {
	t.Parallel()
	const added = "CREATE TABLE sums (n INTEGER) STRICT; CREATE TRIGGER a AFTER INSERT ON runs BEGIN UPDATE sums SET n = n + 1; END; "
	const followed = added + "CREATE TRIGGER b AFTER UPDATE OF n ON runs BEGIN UPDATE sums SET n = n - 1; UPDATE sums SET n = n + 1; END; CREATE TRIGGER c AFTER DELETE ON runs BEGIN UPDATE sums SET n = n - 1; END; "
	for text, wrong := range map[string]bool{
		added:    false,
		followed: false,
		followed + "INSERT INTO sums (n) SELECT count(*) FROM runs":                                                  false,
		followed + "INSERT INTO sums (n) SELECT count(*) FROM steps":                                                 true,
		added + "INSERT INTO sums (n) SELECT count(*) FROM runs":                                                     true,
		"CREATE TRIGGER a AFTER INSERT ON runs BEGIN UPDATE runs SET n = 1; END":                                     true,
		"CREATE TRIGGER a BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'no'); END;":                               true,
		added[:len(added)-len("END; ")] + "SELECT RAISE(ABORT, 'no'); END; ":                                         true,
		"ALTER TABLE runs ADD COLUMN note TEXT; CREATE TABLE notes (n INTEGER) STRICT; INSERT INTO notes VALUES (1)": false,
		"DROP VIEW calls; CREATE VIEW calls AS SELECT 1":                                                             false,
		"ALTER TABLE runs ADD COLUMN note TEXT NOT NULL":                                                             true,
		"ALTER TABLE runs RENAME TO old":                                                                             true,
		"DROP TABLE runs":                                                                                            true,
		"UPDATE runs SET n = 1":                                                                                      true,
		"CREATE UNIQUE INDEX i ON runs (n)":                                                                          true,
		"INSERT INTO sums SELECT count(*) FROM runs":                                                                 true,
		"CREATE TABLE n (x); INSERT INTO n SELECT * FROM old":                                                        true,
	} {
		if got := notAdding(text); len(got) > 0 != wrong {
			t.Errorf("%q: %q", text, got)
		}
	}
	files, err := filepath.Glob("../../*/*/migrations/*.sql")
	more, moreErr := filepath.Glob("../../*/*/*/migrations/*.sql")
	if err != nil || moreErr != nil || len(files) == 0 || len(more) == 0 {
		t.Fatal(err, moreErr)
	}
	found := map[string]int{}
	for _, file := range append(files, more...) {
		version, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".sql"))
		if err != nil {
			continue // of a database, which has a test of its own
		}
		pkg := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(filepath.Dir(file))), "../../")
		found[pkg] = max(found[pkg], version)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if version <= known[pkg] || strings.Contains(string(text), "\n-- contract: since v") || strings.HasPrefix(string(text), "-- contract: since v") {
			continue
		}
		for _, s := range notAdding(string(text)) {
			t.Errorf("%s: a program of the version before that has the file open cannot live with: %s\nadd in one release, and take away in a later one, in a migration with the line: -- contract: since vVERSION: WHAT", file, s)
		}
	}
	for pkg, version := range known {
		if found[pkg] < version {
			t.Errorf("%s: version %d of %d was found", pkg, found[pkg], version)
		}
	}
}

// TestWritesNameTheirColumns: a statement that gives a value to each column fails once a
// newer program has added one, and one that replaces a row empties what that has written.
func TestWritesNameTheirColumns(t *testing.T) {
	t.Parallel()
	wrong := regexp.MustCompile(`(?i)INSERT (OR \w+ )?INTO \w+\s+(VALUES|SELECT)|INSERT OR REPLACE|REPLACE INTO`)
	files := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "bench" || entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "sqlitefile") && !strings.HasSuffix(filepath.Dir(path), "db") && !strings.Contains(path, "sqlitefile") {
			return err
		}
		files++
		for _, found := range wrong.FindAllString(string(text), -1) {
			t.Errorf("%s: %s: name the columns, and update the row that is there", path, found)
		}
		return nil
	})
	if err != nil || files < 30 {
		t.Errorf("%d files, %v", files, err)
	}
}
