package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/llm/cache/sqlite"
)

// TestMain lets the test binary be the other processes of a test: with
// STORE_PATH set it stores and reads answers instead of running tests.
func TestMain(m *testing.M) {
	if path := os.Getenv("STORE_PATH"); path != "" {
		if err := work(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// work stores STORE_COUNT answers from STORE_FIRST on, or without end if the
// count is 0, and prints the number of each once it is stored.
func work(path string) error {
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		return err
	}
	first, _ := strconv.Atoi(os.Getenv("STORE_FIRST"))
	count, _ := strconv.Atoi(os.Getenv("STORE_COUNT"))
	ctx := context.Background()
	for n := first; count == 0 || n < first+count; n++ {
		if err := s.Put(ctx, entry(n)); err != nil {
			return err
		}
		if _, err := s.Get(ctx, entry(n).Key, time.Time{}); err != nil {
			return fmt.Errorf("reading %d: %w", n, err)
		}
		fmt.Println(n)
	}
	return s.Close()
}

func process(t *testing.T, path string, first, count int) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "STORE_PATH="+path, "STORE_FIRST="+strconv.Itoa(first), "STORE_COUNT="+strconv.Itoa(count))
	return cmd
}

// integrity checks the whole file.
func integrity(t *testing.T, path string) {
	t.Helper()
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`PRAGMA integrity_check`)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for stmt.Step() {
		if got := stmt.ColumnText(0); got != "ok" {
			t.Errorf("integrity: %s", got)
		}
	}
	if err := stmt.Err(); err != nil {
		t.Error(err)
	}
}

func TestTwentyProcesses(t *testing.T) {
	t.Parallel()
	const processes, each = 20, 25
	path := file(t)
	var all sync.WaitGroup
	for p := range processes {
		all.Go(func() {
			if out, err := process(t, path, p*each, each).CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", p, err, out)
			}
		})
	}
	all.Wait()
	integrity(t, path)
	s := open(t, path, sqlite.Options{})
	if st := stats(t, s); st.Entries != processes*each || st.Hits != processes*each || st.Misses != 0 {
		t.Errorf("%+v; want %d entries and as many hits", st, processes*each)
	}
}

// TestKilledWriter kills a process that stores answers, again and again. Each
// time the file must open clean and hold every answer whose storing was
// confirmed.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	path := file(t)
	next := 0
	for round := range rounds {
		cmd := process(t, path, next, 0)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		confirmed := []int{}
		read := func() bool {
			line, err := lines.ReadString('\n')
			if err != nil {
				return false
			}
			n, err := strconv.Atoi(strings.TrimSpace(line))
			if err == nil {
				confirmed = append(confirmed, n)
			}
			return err == nil
		}
		for range 1 + round%7 { // killed after more or fewer answers
			if !read() {
				t.Fatalf("round %d: the writer ended: %s", round, stderr.String())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for read() { // what it had confirmed before it died
		}
		io.Copy(io.Discard, out)
		_ = cmd.Wait() // killed

		integrity(t, path)
		s, err := sqlite.Open(path, sqlite.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, n := range confirmed {
			if !has(t, s, n) {
				t.Errorf("round %d: answer %d was confirmed and is lost", round, n)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		next += len(confirmed) + 1
	}
}
