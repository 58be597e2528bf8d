package postgres

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Steps holds the migrations that make the schema, in files TIME_WHAT.sql. One is named by
// the time at which it was written, in UTC to the second, so that two people can add one
// each; they are applied in the order of their names as far as they are known, and only
// ever go forward.
func Steps() fs.FS {
	dir, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic("postgres: " + err.Error()) // the path is a constant
	}
	return withNext(dir)
}

// Migration is a step of the schema.
//
// One that programs of the version before can live with only adds: tables, columns that
// may be null or have a default, indexes. It says nothing more. One that takes something
// away, or changes what it means, has a line
//
//	-- contract: GENERATION, since VERSION: WHAT
//
// with the generation that the schema has from then on, and the version of claude-force
// whose code did without it first, which is an earlier release. Programs whose [Generation]
// is lower refuse the schema.
type Migration struct {
	Version    int64
	File       string
	Generation int // that the schema has with it; 0 for one that only adds
}

var contractLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^-- contract: ([0-9]+), since v[0-9]+\.[0-9]+\.[0-9]+: \S.*$`)
})

// Migrations returns the steps that the program knows, in order.
func Migrations() []Migration {
	list, err := ReadMigrations(Steps())
	if err != nil {
		panic("postgres: " + err.Error()) // the files are the program's own
	}
	return list
}

// ReadMigrations returns the migrations of files, in order.
func ReadMigrations(files fs.FS) ([]Migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	var list []Migration
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		m := Migration{File: name}
		if m.Version, err = strconv.ParseInt(number, 10, 64); err != nil {
			return nil, fmt.Errorf("migration %s does not begin with a number", name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		switch mark := contractLine().FindSubmatch(text); {
		case mark != nil:
			if m.Generation, err = strconv.Atoi(string(mark[1])); err != nil || m.Generation < 2 {
				return nil, fmt.Errorf("migration %s: generation %q is not a number above 1", name, mark[1])
			}
		case strings.Contains(string(text), "contract:"):
			return nil, fmt.Errorf("migration %s: write its mark as: -- contract: GENERATION, since vVERSION: WHAT", name)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Migration) int { return int(a.Version - b.Version) })
	return list, nil
}
