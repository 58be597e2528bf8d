package postgres_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/claude-force/claude-force/internal/postgres"
)

// firstRelease is the last migration before the first version that was upgraded by
// replacing one server after the other. Those up to it may lock tables and fill them.
const firstRelease = 20261130235000

// expanding are the statements with which programs that do not know them can live. NEW
// stands for the tables that the same file has made, which nothing else uses.
var expanding = []string{
	`CREATE (UNLOGGED )?TABLE (IF NOT EXISTS )?\w+ .*`,
	`CREATE (SEQUENCE|TYPE|VIEW|FUNCTION) .*`,
	`CREATE (UNIQUE )?INDEX (IF NOT EXISTS )?(\w+ )?ON NEW .*`,
	`CREATE INDEX CONCURRENTLY \w+ ON \w+ .*`, // any other keeps writers waiting; a unique one refuses what programs write
	`DROP INDEX CONCURRENTLY IF EXISTS \w+`,   // before it is made: one that was interrupted stays, and is not used
	`ALTER TABLE NEW .*`,
	`ALTER TABLE \w+ ADD COLUMN \w+ (text|bytea|boolean|smallint|integer|bigint|double precision|timestamptz|jsonb)(\[\])?( COLLATE "C")?( NOT NULL DEFAULT [^ ]+| DEFAULT [^ ]+)?`,
	`ALTER TABLE \w+ SET \(.*\)`,
	`INSERT INTO NEW (\([a-z_, ]+\) )?(DEFAULT )?VALUES.*`, // from another table, it would miss what programs write there meanwhile
	`COMMENT ON .*`,
}

// early are those of the migrations up to firstRelease.
var early = []string{`CREATE INDEX \w+ ON \w+ .*`, `INSERT INTO NEW (\([a-z_, ]+\) )?SELECT .*`}

var (
	comments  = regexp.MustCompile(`(?m)--.*$`)
	spaces    = regexp.MustCompile(`\s+`)
	newTable  = regexp.MustCompile(`CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+)`)
	bodies    = regexp.MustCompile(`(?s)\$\$.*?\$\$`)
	tableName = `(ON|INTO|TABLE) %s( |$)`
)

// notExpanding returns the statements of a migration with which programs that do not know
// it cannot live.
func notExpanding(version int64, text string) (wrong []string) {
	allowed := expanding
	if version <= firstRelease {
		allowed = append(allowed, early...)
	}
	text = spaces.ReplaceAllString(bodies.ReplaceAllString(comments.ReplaceAllString(text, ""), "BODY"), " ")
	made := newTable.FindAllStringSubmatch(text, -1)
	for statement := range strings.SplitSeq(text, ";") {
		statement = strings.TrimSpace(statement)
		if statement == "" {
			continue
		}
		known := statement
		for _, m := range made {
			known = regexp.MustCompile(strings.Replace(tableName, "%s", m[1], 1)).ReplaceAllString(known, "$1 NEW$2")
		}
		ok := false
		for _, pattern := range allowed {
			match := regexp.MustCompile("(?i)^" + pattern + "$").MatchString
			ok = ok || match(known) || match(statement)
		}
		if !ok {
			wrong = append(wrong, statement)
		}
	}
	return wrong
}

// TestMigrationsOnlyAdd: each migration only adds, unless it is marked with the generation
// that the schema has from then on, which this program must know.
func TestMigrationsOnlyAdd(t *testing.T) {
	t.Parallel()
	generation := 1
	for _, m := range postgres.Migrations() {
		if m.File == "99990101000000_next.sql" { // of the tag nextversion: it adds to each table there is
			continue
		}
		text, err := fs.ReadFile(postgres.Steps(), m.File)
		if err != nil {
			t.Fatal(err)
		}
		if m.Generation != 0 {
			if m.Generation < generation || m.Generation > postgres.Generation {
				t.Errorf("%s raises the generation to %d; the one before it is %d, and this program knows %d", m.File, m.Generation, generation, postgres.Generation)
			}
			generation = m.Generation
			continue
		}
		for _, s := range notExpanding(m.Version, string(text)) {
			t.Errorf("%s: programs of the version before cannot live with this, or wait for it: %s\nadd in one release, and take away in a later one, in a migration with the line: -- contract: GENERATION, since vVERSION: WHAT", m.File, s)
		}
	}
}

func TestNotExpanding(t *testing.T) {
	t.Parallel()
	for text, wrong := range map[string]bool{
		"ALTER TABLE runs ADD COLUMN note text":                                                         false,
		"ALTER TABLE runs ADD COLUMN note text NOT NULL DEFAULT ''":                                     false,
		"ALTER TABLE runs ADD COLUMN n bigint NOT NULL DEFAULT 0; CREATE TABLE notes (n bigint)":        false,
		"CREATE TABLE notes (n bigint); CREATE UNIQUE INDEX ON notes (n); INSERT INTO notes VALUES (1)": false,
		"DROP INDEX CONCURRENTLY IF EXISTS i; CREATE INDEX CONCURRENTLY i ON runs (n)":                  false,
		"-- a comment; DROP TABLE runs\nALTER TABLE runs SET (fillfactor = 70)":                         false,
		"ALTER TABLE runs ADD COLUMN note text NOT NULL":                                                true,
		"ALTER TABLE runs ADD COLUMN note text UNIQUE":                                                  true,
		"ALTER TABLE runs ADD COLUMN a text, DROP COLUMN b":                                             true,
		"ALTER TABLE runs ALTER COLUMN note SET NOT NULL":                                               true,
		"ALTER TABLE runs DROP COLUMN note":                                                             true,
		"ALTER TABLE runs RENAME COLUMN note TO text":                                                   true,
		"ALTER TABLE runs ADD CONSTRAINT c CHECK (n > 0)":                                               true,
		"DROP TABLE runs":                                true,
		"UPDATE runs SET n = 1":                          true,
		"DELETE FROM runs":                               true,
		"CREATE INDEX i ON runs (n)":                     true,
		"CREATE UNIQUE INDEX CONCURRENTLY i ON runs (n)": true,
		"CREATE TABLE sums (n bigint); INSERT INTO sums SELECT count(*) FROM runs": true,
		"TRUNCATE runs": true,
	} {
		if got := notExpanding(firstRelease+1, text); len(got) > 0 != wrong {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestMarksOfMigrations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"-- contract: 2, since v1.2.3: notes are no longer read.\nDROP TABLE notes;": 2,
		"CREATE TABLE notes (n bigint);":                                             0,
		"-- contract: two, since v1.2.3: notes.\n":                                   -1,
		"-- contract: 2: notes are no longer read.\n":                                -1,
		"-- contract: 1, since v1.2.3: notes.\n":                                     -1,
		"DROP TABLE notes; -- contract: 2, since 1.2.3: x":                           -1,
	} {
		list, err := postgres.ReadMigrations(fstest.MapFS{"20270101000000_x.sql": {Data: []byte(text)}})
		got := -1
		if err == nil {
			got = list[0].Generation
		}
		if got != want {
			t.Errorf("%q: generation %d, %v; want %d", text, got, err, want)
		}
	}
	if _, err := postgres.ReadMigrations(fstest.MapFS{"x.sql": {}}); err == nil {
		t.Error("a name without a number is read")
	}
}
