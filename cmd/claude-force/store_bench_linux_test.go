package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

var benchAnswers = flag.Int("answers", 2000, "answers in the store of BenchmarkStoreCopy, which has a run for a thousand of them")

// BenchmarkStoreCopy copies a store from files to a database and back. It removes both, also
// when it is interrupted.
func BenchmarkStoreCopy(b *testing.B) {
	ctx, stop := signal.NotifyContext(b.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	home, answers := b.TempDir(), *benchAnswers
	data, url := filepath.Join(home, "data"), postgrestest.URL(b)
	begin := time.Now()
	fill(ctx, b, data, (answers+999)/1000, answers, nil)
	fmt.Fprintf(os.Stderr, "filled a store with %d answers in %s\n", answers, time.Since(begin).Round(time.Second))
	copied := func(from, to string) (report copied, took, busy time.Duration) {
		b.Helper()
		begin := time.Now()
		cmd := exec.CommandContext(ctx, "claude-force", "store", "copy", from, to, "--json")
		cmd.Env = append(os.Environ(), "HOME="+home, "CLAUDE_FORCE_HOME="+filepath.Join(home, "own"), "XDG_CONFIG_HOME=", "TMPDIR="+home)
		cmd.Stderr = os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, &report)
		}
		if err != nil {
			b.Fatal(err)
		}
		return report, time.Since(begin), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	for n := 0; b.Loop(); n++ {
		back := filepath.Join(home, fmt.Sprint("back", n))
		if n > 0 {
			url = postgrestest.URL(b)
		}
		there, toPostgres, postgresBusy := copied(data, url)
		home, toFiles, filesBusy := copied(url, back)
		if diff := cmp.Diff(there.Tables, home.Tables); diff != "" {
			b.Fatalf("what came back is not what was copied there:\n%s", diff)
		}
		b.ReportMetric(float64(there.Rows), "rows")
		b.ReportMetric(toPostgres.Seconds(), "s-to-postgres")
		b.ReportMetric(toFiles.Seconds(), "s-to-files")
		b.ReportMetric(postgresBusy.Seconds(), "cpu-s-to-postgres")
		b.ReportMetric(filesBusy.Seconds(), "cpu-s-to-files")
		b.ReportMetric(float64(folderSize(b, data)>>20), "MiB-files")
		b.ReportMetric(float64(databaseSize(ctx, b, url)>>20), "MiB-postgres")
	}
}

// folderSize returns the size of the files in a folder in bytes.
func folderSize(b *testing.B, dir string) (size int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return size
}

// databaseSize returns the size of a database with all its schemas in bytes.
func databaseSize(ctx context.Context, b *testing.B, url string) (size int64) {
	b.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&size); err != nil {
		b.Fatal(err)
	}
	return size
}
