//go:build linux

package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Constant is a figure of the model: what something costs, as it was measured.
type Constant struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	What    string  `json:"what"`
	Command string  `json:"command,omitempty"` // that measures it, from the project's root
	Read    string  `json:"read,omitempty"`    // expression whose group is the value in what the command prints
	Machine string  `json:"machine,omitempty"` // on which it was measured
	Date    string  `json:"date,omitempty"`
	Assumed string  `json:"assumed,omitempty"` // why it has this value, if no command measures it
}

// constantsFile is where the measured constants are, from the project's root.
const constantsFile = "bench/capacity/constants.json"

//go:embed constants.json
var embedded []byte

// constants are all figures of the model, in the order of the file.
type constants []Constant

// readConstants reads constants, and reports the first that is wrong.
func readConstants(data []byte) (constants, error) {
	var list constants
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("reading the constants: %w", err)
	}
	seen := map[string]bool{}
	for _, c := range list {
		switch {
		case c.Name == "" || seen[c.Name]:
			return nil, fmt.Errorf("constant %q: each has a name of its own", c.Name)
		case c.Value < 0:
			return nil, fmt.Errorf("constant %s: %v is negative", c.Name, c.Value)
		case (c.Command == "") == (c.Assumed == ""):
			return nil, fmt.Errorf("constant %s: give the command that measures it, or why it is assumed", c.Name)
		case c.Unit == "" || c.What == "":
			return nil, fmt.Errorf("constant %s: give its unit and what it is", c.Name)
		}
		seen[c.Name] = true
	}
	for _, name := range needed {
		if !seen[name] {
			return nil, fmt.Errorf("constant %s is missing", name)
		}
	}
	return list, nil
}

// needed are the constants that the model uses.
var needed = []string{
	"worker_miss_cpu", "worker_hit_cpu",
	"pg_journal_tx_cpu", "pg_event_cpu", "pg_event_wal", "pg_event_bytes",
	"pg_call_tx_cpu", "pg_call_cpu", "pg_call_wal", "pg_call_bytes",
	"pg_budget_tx_cpu", "pg_budget_tx_wal",
	"pg_answer_put_cpu", "pg_answer_put_wal", "pg_answer_get_cpu", "pg_answer_bytes",
	"pg_poll_cpu", "pg_flush", "pg_flush_byte", "pg_connection_bytes",
	"valkey_admit_cpu", "valkey_set_cpu", "valkey_get_cpu", "valkey_lease_cpu", "valkey_stream_cpu", "valkey_local_round_trip",
	"sqlite_events_1", "sqlite_events_256",
	"network_round_trip", "temporal_tx", "temporal_server_cpu", "temporal_history",
}

// get returns the value of a constant that the model needs.
func (cs constants) get(name string) float64 {
	i := slices.IndexFunc(cs, func(c Constant) bool { return c.Name == name })
	if i < 0 {
		panic("no constant " + name) // not in needed, all of which readConstants has looked for
	}
	return cs[i].Value
}

// addFlags adds a flag for each constant, which sets it.
func (cs constants) addFlags(flags *flag.FlagSet) {
	for i := range cs {
		c := &cs[i]
		how := c.Command
		if how == "" {
			how = "assumed: " + c.Assumed
		}
		flags.Float64Var(&c.Value, c.Name, c.Value, fmt.Sprintf("`%s`: %s (%s)", c.Unit, c.What, how))
	}
}

// check reports the constants whose command is not in the project at root: its package, its
// benchmark, its flags, or the name of the figure that it prints.
func (cs constants) check(root string) error {
	var found []error
	for _, c := range cs {
		if err := c.check(root); c.Command != "" && err != nil {
			found = append(found, fmt.Errorf("constant %s: %q: %w", c.Name, c.Command, err))
		}
	}
	return errors.Join(found...)
}

func (c Constant) check(root string) error {
	if _, err := regexp.Compile(c.Read); err != nil || c.Read == "" {
		return fmt.Errorf("reading what it prints with %q: %w", c.Read, errors.Join(err, errors.New("want an expression")))
	}
	f := strings.Fields(c.Command)
	at := slices.IndexFunc(f, func(s string) bool { return strings.HasPrefix(s, "./") })
	if len(f) < 3 || f[0] != "go" || (f[1] != "run" && f[1] != "test") || at < 0 {
		return errors.New("want go run ./PACKAGE or go test ./PACKAGE")
	}
	files, err := filepath.Glob(filepath.Join(root, f[at], "*.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("there is no package %s", f[at])
	}
	var source strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading the command: %w", err)
		}
		source.Write(text)
	}
	for i, word := range f[at+1:] {
		want := ""
		switch {
		case word == "-bench" && f[1] == "test":
			want = "func Benchmark" + strings.Trim(f[at+1:][i+1], "^$") + "("
		case word == "-part":
			want = `"` + f[at+1:][i+1] + `"`
		case strings.HasPrefix(word, "-") && f[1] == "run":
			want = `"` + strings.TrimLeft(word, "-") + `"`
		}
		if !strings.Contains(source.String(), want) {
			return fmt.Errorf("%s has no %s", f[at], want)
		}
	}
	if f[1] == "run" && !strings.Contains(source.String(), `"`+c.Name+`"`) {
		return fmt.Errorf("%s does not print %s", f[at], c.Name)
	}
	return nil
}
