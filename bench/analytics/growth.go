//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/analytics/callspg"
	"github.com/claude-force/claude-force/bench/internal/child"
	"github.com/claude-force/claude-force/internal/postgres"
)

// grown is a store of one number of calls.
type grown struct {
	calls  int
	home   string
	env    []string
	size   int64
	filled time.Duration

	took   []time.Duration
	memory int64 // in KiB
}

// callBytes is about what a call takes, with the day that is repeated and what a transaction needs.
var callBytes = map[string]int64{"files": 300, "postgres": 370}

// growths measures the summary of few calls and of many, in turn, for each kind of store.
func growths(ctx context.Context, o *options) (ok bool, err error) {
	binary, err := build(ctx, o)
	if err != nil {
		return false, err
	}
	ok = true
	for _, kind := range o.stores {
		good, err := growth(ctx, o, binary, kind)
		if err != nil {
			return false, err
		}
		ok = ok && good
	}
	return ok, nil
}

func growth(ctx context.Context, o *options, binary, kind string) (ok bool, err error) {
	if callBytes[kind] == 0 {
		return false, fmt.Errorf("-stores %q is neither files nor postgres", kind)
	}
	if err := checkSpace(o, kind); err != nil {
		return false, err
	}
	server := ""
	if kind == "postgres" {
		s, err := child.Serve(ctx, "internal/postgres/postgrestest/postgres.sh")
		if err != nil {
			return false, err
		}
		defer s.Stop()
		server = s.URL
	}
	var list []*grown
	for _, n := range o.counts {
		g := &grown{calls: max(n/days, 1) * days, home: filepath.Join(o.dir, kind+"-"+strconv.Itoa(n)), env: []string{"TZ=" + o.zone}}
		began := time.Now()
		if server == "" {
			err = g.fillFiles(ctx)
		} else {
			err = g.fillPostgres(ctx, binary, server)
		}
		if err != nil {
			return false, err
		}
		g.filled = time.Since(began).Round(time.Second)
		fmt.Fprintf(os.Stderr, "%s: %d calls in %s, %d MiB, %d bytes each\n", kind, g.calls, g.filled, g.size>>20, g.size/int64(g.calls))
		list = append(list, g)
	}
	for range o.runs + 1 { // the first is not counted
		for _, g := range list {
			took, memory, err := asked(ctx, binary, g.home, verbs[0], g.env...)
			if err != nil {
				return false, err
			}
			g.took, g.memory = append(g.took, took), max(g.memory, memory)
		}
	}
	return showGrowth(o, kind, list), nil
}

// showGrowth prints what was measured, and reports whether the target is met.
func showGrowth(o *options, kind string, list []*grown) (ok bool) {
	fmt.Printf("analytics %s in %s, time zone %s, medians of %d\n%12s %10s %10s %10s %8s %10s\n", strings.Join(verbs[0], " "), kind, o.zone, o.runs, "calls", "size", "filled in", "command", "ratio", "memory")
	first := median(list[0].took[1:])
	ratio := 1.0
	for _, g := range list {
		took := median(g.took[1:])
		ratio = float64(took) / float64(first)
		fmt.Printf("%12d %6d MiB %10s %10s %7.2fx %6d MiB\n", g.calls, g.size>>20, g.filled, took.Round(100*time.Microsecond), ratio, g.memory>>10)
	}
	ok = ratio <= growthMost
	fmt.Printf("%d calls take %.2fx as long as %d: %s the target of %.1fx\n\n", list[len(list)-1].calls, ratio, list[0].calls, verdict(ok), growthMost)
	return ok
}

// checkSpace returns an error if there is not enough room for the stores of a kind.
func checkSpace(o *options, kind string) error {
	dir := o.dir
	if kind == "postgres" {
		dir = os.TempDir()
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("looking for room in %s: %w", dir, err)
	}
	free, need := int64(fs.Bavail)*int64(fs.Bsize), int64(2<<30)
	for _, n := range o.counts {
		need += int64(n) * callBytes[kind]
	}
	if need > free {
		return fmt.Errorf("%s has %d GiB free, and the stores need %d: give fewer calls with -n, or another folder with TMPDIR or -dir", dir, free>>30, need>>30)
	}
	return nil
}

// fillFiles makes a store in a file.
func (g *grown) fillFiles(ctx context.Context) error {
	if err := os.MkdirAll(g.home, 0o700); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	path := filepath.Join(g.home, "history.db")
	if err := fillFile(ctx, path, g.calls/days); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	g.size = info.Size()
	return nil
}

// fillFile adds the calls of the first day to the store in a file, and repeats them.
func fillFile(ctx context.Context, path string, n int) error {
	s, err := callsdb.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(addDay(ctx, s, n, 0), s.Close()); err != nil {
		return err
	}
	conn, err := sqlite3.Open(path)
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	conn.SetInterrupt(ctx)
	err = conn.Exec(`PRAGMA synchronous = OFF; PRAGMA cache_size = -65536`)
	for _, sql := range keepFirst(`CREATE TEMP TABLE`, repeated) {
		err = errors.Join(err, conn.Exec(sql))
	}
	ids := idsOf(n)
	for day := 1; day < days && err == nil; day++ {
		err = conn.Exec(`BEGIN`)
		for _, sql := range repeatDay(day, repeated, func(table string) int { return ids[table] }) {
			if err == nil {
				err = conn.Exec(sql)
			}
		}
		if err == nil {
			err = conn.Exec(`COMMIT; PRAGMA wal_checkpoint(TRUNCATE)`)
		}
	}
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("repeating the first day: %w", err)
	}
	return nil
}

// idsOf returns how many ids of tables the rows of a day take.
func idsOf(n int) map[string]int {
	return map[string]int{"call_rows": n, "call_tools": n / toolsEvery, "call_tool_tasks": n / toolsEvery / 5}
}

// fillPostgres makes a store in a schema of a server.
func (g *grown) fillPostgres(ctx context.Context, binary, server string) error {
	address := fmt.Sprintf("%s?search_path=calls_%d", server, g.calls)
	if strings.Contains(server, "?") {
		address = fmt.Sprintf("%s&search_path=calls_%d", server, g.calls)
	}
	g.env = append(g.env, "CLAUDE_FORCE_STORE="+address)
	if err := os.MkdirAll(g.home, 0o700); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	cmd := child.Command(ctx, g.home, append(g.env, "HOME="+g.home), binary, "store", "migrate")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making the schema: %w\n%s", err, out)
	}
	db, err := postgres.Open(ctx, address)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := fillDatabase(ctx, db, address, filepath.Join(g.home, "spool"), g.calls/days); err != nil {
		return err
	}
	return db.QueryRow(ctx, `SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`).Scan(&g.size)
}

// fillDatabase adds the calls of the first day to the store at an address, which is that of
// db, and repeats them.
func fillDatabase(ctx context.Context, db *postgres.DB, address, spool string, n int) error {
	own, err := postgres.Open(ctx, address)
	if err != nil {
		return err
	}
	s := callspg.Open(own, spool)
	err = addDay(ctx, s, n, 0)
	for day := 0; day < days && err == nil; day++ {
		// A call without attempts is not added, but its day has a partition then.
		err = s.AddOnce(ctx, analytics.Call{Time: firstDay().AddDate(0, 0, day)})
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	tables := maps.Clone(repeated)
	maps.Copy(tables, sums)
	for _, sql := range keepFirst(`CREATE UNLOGGED TABLE`, tables) {
		if _, err := db.Exec(ctx, sql); err != nil {
			return fmt.Errorf("keeping the first day: %w", err)
		}
	}
	all := 0
	for _, n := range idsOf(n) {
		all += n // one sequence numbers the rows of all tables
	}
	group, ctx2 := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for day := 1; day < days; day++ {
		group.Go(func() error {
			for _, sql := range repeatDay(day, tables, func(string) int { return all }) {
				if _, err := db.Exec(ctx2, sql); err != nil {
					return fmt.Errorf("repeating the first day: %w", err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	last := []string{fmt.Sprintf(`SELECT setval('call_ids', %d)`, all*days)}
	for table := range tables {
		last = append(last, `DROP TABLE first_`+table)
	}
	for _, sql := range append(last, `VACUUM ANALYZE call_rollups`, `ANALYZE`) {
		if _, err := db.Exec(ctx, sql); err != nil {
			return fmt.Errorf("finishing the store: %w", err)
		}
	}
	return nil
}
