// Command figures measures everything that docs/performance.md says, and writes
// the page again: each figure with the command that makes it.
//
//	go run ./bench/figures                  # all of it, in half an hour
//	go run ./bench/figures -only coldstart  # one section
//	go run ./bench/figures -list
//
// In the page, what stands between the lines <!-- NAME --> and <!-- /NAME --> is
// replaced by the output of the section's command; the text about it is left as it
// is. A section whose command is not part of this checkout, or fails, keeps what it
// had, and the program exits with 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-force/claude-force/benchfile"
)

// section is a part of the page.
type section struct {
	name    string
	command string // run from the project's root
}

// sections are in the page's order. Each takes two minutes or so at the most, but for
// analytics, which takes six and 5 GB of disk, and compare, which takes a quarter of
// an hour.
var sections = []section{
	{"async", "go run ./cmd/claude-force bench async --samples 5 --latency 1s"},
	{"cache", "go run ./cmd/claude-force bench cache --samples 20"},
	{"workflow", "go run ./cmd/claude-force bench workflow --samples 5"},
	{"query", "go run ./cmd/claude-force bench query --samples 20"},
	{"coldstart", "go run ./bench/coldstart -runs 40"},
	{"steps", "go test ./engine -run ^$ -bench Steps -benchtime 1x"},
	{"summary", "go test ./runs -run ^$ -bench Summary -benchtime 3x"},
	{"hit", "go test ./llm/cache/cachedb -run ^$ -bench Hit -benchtime 2000x"},
	{"append", "go test ./journal/journaldb -run ^$ -bench Append -benchtime 3x"},
	{"ratelimit", "go run ./bench/ratelimit -gate"},
	{"budget", "go run ./bench/budget -rounds 50"},
	{"prefix", "go run ./bench/prefix"},
	{"loop", "go run ./bench/loop"},
	{"agents", "go run ./bench/agents"},
	{"batch", "go run ./bench/batch"},
	{"analytics", "go run ./bench/analytics -n 10000,10000000 -lines 10000000 -parts summary,percentiles"},
	{"recording", "go run ./bench/analytics -parts recording"},
	{"chaos", "go run ./bench/chaos -rounds 20"},
	{"loopkill", "go run ./bench/loopkill -rounds 20"},
	{"plan", "go run ./bench/plan -gate"},
	{"savings", "go run ./bench/savings"},
	{"compare", "go run ./bench/compare -repetitions 100"},
}

func main() {
	page := flag.String("page", filepath.Join("docs", "performance.md"), "page to write")
	only := flag.String("only", "", "the sections to measure, separated by commas; empty for all")
	list := flag.Bool("list", false, "print the sections with their commands, and do nothing")
	flag.Parse()
	if *list {
		for _, s := range sections {
			fmt.Printf("%-10s %s\n", s.name, s.command)
		}
		return
	}
	if err := write(context.Background(), *page, *only); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

// write measures the sections and writes the page after each, so that what was
// measured is kept when something fails later.
func write(ctx context.Context, page, only string) error {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	var failed error
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, s.command)
		start := time.Now()
		text, err := s.measure(ctx)
		if err == nil {
			err = replace(page, s.name, text)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			failed = errors.Join(failed, fmt.Errorf("section %s: %w", s.name, err))
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, time.Since(start).Round(time.Second))
	}
	return failed
}

func choose(only string) ([]section, error) {
	if only == "" {
		return sections, nil
	}
	var chosen []section
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, s := range sections {
			if s.name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no section %q; -list prints them", name)
		}
	}
	return chosen, nil
}

// measure runs the command, and gives the text for the page.
func (s section) measure(ctx context.Context) (string, error) {
	words := strings.Fields(s.command)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s%s", err, &out, &errs)
	}
	var sb strings.Builder
	fmt.Fprintf(&sb, "```console\n$ %s\n", s.command)
	for line := range strings.Lines(strings.TrimSpace(out.String()) + "\n") {
		if !boring(line) {
			sb.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
	m := benchfile.ThisMachine()
	fmt.Fprintf(&sb, "```\n\nMeasured on %s, %s, %d cores, %s/%s, %s, commit %s%s.\n",
		time.Now().UTC().Format(time.DateOnly), m.CPU, m.Cores, m.OS, m.Arch, m.Go, commit(ctx), load())
	return sb.String(), nil
}

// boring reports whether a line of `go test` is no figure.
func boring(line string) bool {
	for _, start := range []string{"goos:", "goarch:", "pkg:", "cpu:", "PASS", "ok "} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return false
}

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// load says how busy the machine was in the last minute, where the system reports it.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	minute, _, _ := strings.Cut(string(data), " ")
	return ", load " + minute
}

// replace puts a text between a section's markers.
func replace(page, name, text string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(string(data), begin)
	if !ok {
		return fmt.Errorf("%s has no line %s", page, strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return fmt.Errorf("%s has no line %s", page, end)
	}
	return os.WriteFile(page, []byte(before+begin+text+end+after), 0o644)
}
