//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// patience is the longest a command may take.
const patience = 15 * time.Minute

// measure runs the commands of the constants, each once, and writes the file with what they
// print. A constant whose flag was given is measured all the same.
func (cs constants) measure(ctx context.Context, file string, out io.Writer) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("run it from the project's root: %w", err)
	}
	printed := map[string]string{}
	for i := range cs {
		c := &cs[i]
		if c.Command == "" {
			continue
		}
		text, ran := printed[c.Command]
		if !ran {
			fmt.Fprintln(out, "+", c.Command)
			var err error
			if text, err = runCommand(ctx, c.Command); err != nil {
				return err
			}
			printed[c.Command] = text
		}
		value, err := c.find(text)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-26s %12.6g %-14s %+.0f %%\n", c.Name, value, c.Unit, 100*(value/c.Value-1))
		c.Value, c.Machine, c.Date = value, machine(), time.Now().UTC().Format(time.DateOnly)
	}
	data, err := json.MarshalIndent(cs, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the constants: %w", err)
	}
	return os.WriteFile(file, append(data, '\n'), 0o600)
}

// find returns the value of the constant in what its command printed.
func (c Constant) find(text string) (float64, error) {
	re, err := regexp.Compile(c.Read)
	if err != nil {
		return 0, fmt.Errorf("constant %s: %w", c.Name, err)
	}
	found := re.FindStringSubmatch(text)
	if len(found) < 2 {
		return 0, fmt.Errorf("constant %s: %q is not in what %q printed:\n%s", c.Name, c.Read, c.Command, text)
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return 0, fmt.Errorf("constant %s: %w", c.Name, err)
	}
	return v, nil
}

// runCommand runs a command of words and returns what it prints.
func runCommand(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	words := strings.Fields(command)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w\n%s%s", command, err, text, stderr.String())
	}
	return string(text), nil
}

// machine describes this machine.
func machine() string {
	model := ""
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		lines := bufio.NewScanner(f)
		for model == "" && lines.Scan() {
			if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value) + ", "
			}
		}
		_ = f.Close() // it was only read
	}
	load, _ := os.ReadFile("/proc/loadavg") // empty if there is none
	first, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s%d cores, %s/%s, load %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, first)
}
