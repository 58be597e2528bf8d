//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is what a transaction of a script takes.
type cost struct {
	cpu float64 // seconds of all processes of Postgres
	wal float64 // bytes
}

// measurePostgres starts a server, measures n transactions of each kind, and ends it.
func measurePostgres(ctx context.Context, n int) (err error) {
	pg, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pg.stop()) }()
	if _, err := pg.sql(ctx, schema); err != nil {
		return err
	}
	figures := map[string]cost{}
	for _, s := range []script{
		{"event", "\\set run random(1, 10000)\n" + fmt.Sprintf(insertEvents, 1)},
		{"events", "\\set run random(1, 10000)\n" + fmt.Sprintf(insertEvents, rows)},
		{"call", "\\set group random(1, 500)\n" + fmt.Sprintf(insertCalls, 1)},
		{"calls", "\\set group random(1, 500)\n" + fmt.Sprintf(insertCalls, rows)},
		{"budget", "\\set slot random(0, 7)\n\\set team random(0, 49)\n\\set key random(0, 499)\n\\set hold random(1, 1000000000000)\n" + reserveAndSettle},
		{"put", putAnswer},
		{"get", "\\set n random(1, 1000)\n" + getAnswer},
		{"poll", "\\set run random(1, 10000)\n" + poll},
	} {
		figures[s.name], err = pg.bench(ctx, s, n)
		if err != nil {
			return err
		}
	}
	event, perEvent := fit(figures["event"].cpu, figures["events"].cpu)
	call, perCall := fit(figures["call"].cpu, figures["calls"].cpu)
	_, eventWAL := fit(figures["event"].wal, figures["events"].wal)
	_, callWAL := fit(figures["call"].wal, figures["calls"].wal)
	report("pg_journal_tx_cpu", event, "s")
	report("pg_event_cpu", perEvent, "s")
	report("pg_event_wal", eventWAL, "B")
	report("pg_call_tx_cpu", call, "s")
	report("pg_call_cpu", perCall, "s")
	report("pg_call_wal", callWAL, "B")
	report("pg_budget_tx_cpu", figures["budget"].cpu/2, "s")
	report("pg_budget_tx_wal", figures["budget"].wal/2, "B")
	report("pg_answer_put_cpu", figures["put"].cpu, "s")
	report("pg_answer_put_wal", figures["put"].wal-answerBytes, "B")
	report("pg_answer_get_cpu", figures["get"].cpu, "s")
	report("pg_poll_cpu", figures["poll"].cpu, "s")
	for _, table := range []string{"events", "calls_today", "answers"} {
		size, err := pg.float(ctx, "SELECT pg_total_relation_size('"+table+"')::float / count(*) FROM "+table)
		if err != nil {
			return err
		}
		switch table {
		case "events":
			report("pg_event_bytes", size, "B")
		case "calls_today":
			report("pg_call_bytes", size, "B")
		case "answers":
			report("pg_answer_bytes", size-answerBytes, "B")
		}
	}
	if err := pg.connections(ctx); err != nil {
		return err
	}
	return pg.flushes(ctx)
}

// postgres is a server in a folder of its own.
type postgres struct {
	bin, dir string
	process  *exec.Cmd
}

// startPostgres starts a server that listens on a socket in its folder. Postgres refuses
// to run as root; root starts it as the user postgres.
func startPostgres(ctx context.Context) (pg *postgres, err error) {
	pg = &postgres{}
	if pg.bin, err = postgresBin(); err != nil {
		return nil, err
	}
	if pg.dir, err = os.MkdirTemp("", "capacity-"); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(pg.dir))
		}
	}()
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("finding a user to run Postgres as, which refuses to be root: %w", err)
		}
		uid, _ := strconv.Atoi(u.Uid) // numbers on Linux
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(pg.dir, uid, gid); err != nil {
			return nil, fmt.Errorf("giving the folder to %s: %w", u.Username, err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(pg.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(pg.bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = pg.dir, attr
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("running initdb: %w: %s", err, out)
	}
	pg.process = exec.CommandContext(ctx, filepath.Join(pg.bin, "postgres"), "-D", data, "-k", pg.dir,
		"-c", "listen_addresses=", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB", "-c", "jit=off", "-c", "log_min_messages=fatal")
	pg.process.Dir, pg.process.SysProcAttr = pg.dir, attr
	pg.process.Cancel = func() error { return pg.process.Process.Signal(syscall.SIGINT) }
	if err := pg.process.Start(); err != nil {
		return nil, fmt.Errorf("starting Postgres: %w", err)
	}
	for range 600 {
		if _, err = pg.sql(ctx, "SELECT 1"); err == nil {
			return pg, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("waiting for Postgres: %w", err), pg.stop())
}

// postgresBin returns the folder with the newest server.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(found) == 0 {
		if path, e := exec.LookPath("initdb"); e == nil {
			found = append(found, path)
		}
	}
	if err != nil || len(found) == 0 {
		return "", errors.New("there is no Postgres: install Debian's postgresql, or put initdb in the PATH")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func (pg *postgres) stop() error {
	_ = pg.process.Process.Signal(syscall.SIGINT) // a fast shutdown; it may have ended
	err := pg.process.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("Postgres ended: %w", exit)
	}
	return errors.Join(err, os.RemoveAll(pg.dir))
}

func (pg *postgres) sql(ctx context.Context, text string) (string, error) {
	cmd := exec.CommandContext(ctx, "psql", "-h", pg.dir, "-U", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "postgres")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running psql: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

func (pg *postgres) float(ctx context.Context, query string) (float64, error) {
	text, err := pg.sql(ctx, query)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}

// bench runs a script n times from one client, and returns the mean cost.
func (pg *postgres) bench(ctx context.Context, s script, n int) (cost, error) {
	const position = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
	file := filepath.Join(pg.dir, s.name+".sql")
	if err := os.WriteFile(file, []byte(s.text), 0o600); err != nil {
		return cost{}, err
	}
	switch s.name {
	case "events", "calls":
		n = max(50, n/10) // batches
	case "get", "poll":
		n *= 10 // short ones, in ticks of 10 ms
	}
	once := func(n int) error {
		_, err := output(ctx, filepath.Join(pg.bin, "pgbench"), "-h", pg.dir, "-U", "postgres", "-n", "-M", "prepared", "-c", "1", "-t", strconv.Itoa(n), "-f", file, "postgres")
		return err
	}
	if err := once(max(50, n/10)); err != nil { // pages are in memory, and whole in the log
		return cost{}, err
	}
	wal, err := pg.float(ctx, position)
	if err != nil {
		return cost{}, err
	}
	before, err := pg.cpu()
	if err != nil {
		return cost{}, err
	}
	if err := once(n); err != nil {
		return cost{}, err
	}
	after, err := pg.cpu()
	if err != nil {
		return cost{}, err
	}
	written, err := pg.float(ctx, position)
	if err != nil {
		return cost{}, err
	}
	return cost{cpu: (after - before).Seconds() / float64(n), wal: (written - wal) / float64(n)}, nil
}

// cpu returns the processor time of the server, its children and those that have
// ended, when no client is connected.
func (pg *postgres) cpu() (time.Duration, error) {
	postmaster := pg.process.Process.Pid
	for range 200 {
		ticks, clients := 0, 0
		all, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			return 0, err
		}
		for _, file := range all {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // it has ended
			}
			_, rest, _ := strings.Cut(string(text), ") ")
			f := strings.Fields(rest)
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if len(f) < 15 || pid != postmaster && f[1] != strconv.Itoa(postmaster) {
				continue
			}
			counted := f[11:13]
			if pid == postmaster {
				counted = f[11:15] // and of children that have ended
			}
			for _, c := range counted {
				n, _ := strconv.Atoi(c)
				ticks += n
			}
			title, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			if strings.Contains(string(title), "postgres: postgres postgres") {
				clients++
			}
		}
		if clients == 0 {
			return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, errors.New("a client stays connected to Postgres")
}

// connections reports the memory that an idle connection has for itself.
func (pg *postgres) connections(ctx context.Context) error {
	const n = 5
	var clients []*exec.Cmd
	defer func() {
		for _, c := range clients {
			_ = c.Process.Kill() // it only sleeps
			_ = c.Wait()
		}
	}()
	for range n {
		c := exec.CommandContext(ctx, "psql", "-h", pg.dir, "-U", "postgres", "-X", "-q", "-c", "SELECT count(*) FROM answers", "-c", "SELECT pg_sleep(60)", "postgres")
		if err := c.Start(); err != nil {
			return fmt.Errorf("starting psql: %w", err)
		}
		clients = append(clients, c)
	}
	for range 100 {
		pids, err := pg.sql(ctx, "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()")
		if err != nil {
			return err
		}
		if lines := strings.Fields(pids); len(lines) == n {
			total := 0.0
			for _, pid := range lines {
				text, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
				if err != nil {
					return fmt.Errorf("reading the memory of a connection: %w", err)
				}
				for _, mark := range []string{"Private_Clean:", "Private_Dirty:"} {
					kb, err := number(string(text), mark)
					if err != nil {
						return err
					}
					total += kb * 1024
				}
			}
			report("pg_connection_bytes", total/n, "B")
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("connections did not open")
}

// flushes reports what a flush of the log takes: of the least write, and for each byte.
// It writes over a file of the size of a log segment, as Postgres does.
func (pg *postgres) flushes(ctx context.Context) (err error) {
	const segment, least, large = 16 << 20, 8 << 10, 512 << 10
	f, err := os.Create(filepath.Join(pg.dir, "segment"))
	if err != nil {
		return fmt.Errorf("making a file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(make([]byte, segment)); err != nil {
		return fmt.Errorf("filling a file: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("flushing a file: %w", err)
	}
	best := map[int]time.Duration{}
	for round := range 5 {
		for _, size := range []int{least, large} {
			took := make([]time.Duration, 31)
			for i := range took {
				start := time.Now()
				at := int64((round*len(took) + i) * size % segment)
				if _, err := f.WriteAt(make([]byte, size), at); err != nil {
					return fmt.Errorf("writing a file: %w", err)
				}
				if err := syscall.Fdatasync(int(f.Fd())); err != nil {
					return fmt.Errorf("flushing a file: %w", err)
				}
				took[i] = time.Since(start)
			}
			slices.Sort(took)
			if median := took[len(took)/2]; round == 0 || median < best[size] {
				best[size] = median
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	report("pg_flush", best[least].Seconds(), "s")
	report("pg_flush_byte", max(0, (best[large]-best[least]).Seconds()/(large-least)), "s")
	return nil
}
