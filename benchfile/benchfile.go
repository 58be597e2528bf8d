// Package benchfile is the file in which benchmarks keep what they measured:
// every sample, and what one must know to measure it again.
//
//	file := &benchfile.File{Time: now, Machine: benchfile.ThisMachine(), Metrics: metrics}
//	err := benchfile.Write("baseline.json", file)
//	…
//	file, err := benchfile.Read("baseline.json")
//
// The file is JSON. A metric is samples of one thing, with its unit, whether
// less of it is better, and, where there is one, the floor: what the same work
// takes at the least, measured beside it. A floor's samples stand at the same
// places as the metric's own, each pair measured in the same moment, so that a
// busy machine shows in both.
//
// The invariant: what [Read] returns has passed the same checks as what [Write]
// writes, so whoever uses a file needs none.
package benchfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/openfile"
)

// Version is the newest version of the format that this package knows.
const Version = 1

// File is everything one invocation measured.
type File struct {
	Version  int               `json:"version"` // set by Write
	Program  string            `json:"program"` // what measured, with its version
	Commit   string            `json:"commit,omitempty"`
	Time     time.Time         `json:"time"`
	Machine  Machine           `json:"machine"`
	Settings map[string]string `json:"settings"`
	Summary  Summary           `json:"summary"`
	Metrics  []Metric          `json:"metrics"`
}

// Summary is what matters at a glance: times in seconds, costs in US dollars
// per execution, rates per hour. What was not measured is nil.
type Summary struct {
	WorkflowTimeBefore *float64 `json:"workflow_time_before,omitempty"`
	WorkflowTimeAfter  *float64 `json:"workflow_time_after,omitempty"`
	Speedup            *float64 `json:"speedup,omitempty"`
	CostBefore         *float64 `json:"cost_before,omitempty"`
	CostAfter          *float64 `json:"cost_after,omitempty"`
	CostSavings        *float64 `json:"cost_savings,omitempty"`   // from 0 to 1
	CacheHitRate       *float64 `json:"cache_hit_rate,omitempty"` // from 0 to 1
	ThroughputBefore   *float64 `json:"throughput_before,omitempty"`
	ThroughputAfter    *float64 `json:"throughput_after,omitempty"`
}

// Better says which way a metric improves.
type Better string

// Directions.
const (
	Lower  Better = "lower"
	Higher Better = "higher"
)

// Metric is the samples of one thing, in the order in which they were taken.
type Metric struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"` // "s", "USD", "1/h", "B"; empty for a plain number
	Better  Better    `json:"better"`
	Samples []float64 `json:"samples"`
	Floor   *Floor    `json:"floor,omitempty"`
}

// Floor is what a metric cannot be better than.
type Floor struct {
	What    string    `json:"what"`    // in words
	Samples []float64 `json:"samples"` // as many as the metric has
	Ratio   float64   `json:"ratio"`   // median of sample / floor; set by Write
	Target  float64   `json:"target,omitzero"`
}

// Error is what is wrong with a file.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("benchmark file %s: %v", e.Path, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// maxSize bounds a file, in bytes.
const maxSize = 64 << 20

// Read reads a file. An error is an [*Error].
func Read(path string) (*File, error) {
	data, err := openfile.ReadTyped(path, maxSize)
	if err != nil {
		if pe, ok := errors.AsType[*os.PathError](err); ok {
			err = pe.Err // the path is said once
		}
		return nil, &Error{path, err}
	}
	f, err := Parse(data)
	if err != nil {
		return nil, &Error{path, err}
	}
	return f, nil
}

// ErrNoVersion reports a file that does not hold results of a benchmark.
var ErrNoVersion = errors.New("no version: it does not hold results of a benchmark")

// Parse returns [Read] of a file's contents.
func Parse(data []byte) (*File, error) {
	var f File
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, jsontext.ExplainLine(data, err)
	}
	switch {
	case f.Version == 0:
		return nil, ErrNoVersion
	case f.Version > Version:
		return nil, fmt.Errorf("its version is %d and the newest known is %d; update claude-force", f.Version, Version)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return &f, nil
}

// Write writes f, after it has set the version and the ratios of the floors.
func Write(path string, f *File) error {
	f.Version = Version
	for _, m := range f.Metrics {
		if m.Floor != nil && len(m.Floor.Samples) == len(m.Samples) {
			m.Floor.Ratio = m.Ratio()
		}
	}
	if err := f.check(); err != nil {
		return &Error{path, err}
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		err = pe.Err
	}
	if err != nil {
		return &Error{path, fmt.Errorf("writing it: %w", err)}
	}
	return nil
}

// Metric returns the metric of a name; nil if there is none.
func (f *File) Metric(name string) *Metric {
	for i := range f.Metrics {
		if f.Metrics[i].Name == name {
			return &f.Metrics[i]
		}
	}
	return nil
}

func (f *File) check() error {
	if len(f.Metrics) == 0 {
		return errors.New("it holds no metrics")
	}
	seen := map[string]bool{}
	for i, m := range f.Metrics {
		if m.Name == "" {
			return fmt.Errorf("metric %d has no name", i+1)
		}
		if seen[m.Name] {
			return fmt.Errorf("metric %s is there twice", m.Name)
		}
		seen[m.Name] = true
		if err := m.check(); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	return nil
}

func (m *Metric) check() error {
	if m.Better != Lower && m.Better != Higher {
		return fmt.Errorf("better is %q; it must be lower or higher", m.Better)
	}
	if len(m.Samples) == 0 {
		return errors.New("no samples")
	}
	if err := finite("sample", m.Samples); err != nil {
		return err
	}
	if m.Floor == nil {
		return nil
	}
	if len(m.Floor.Samples) != len(m.Samples) {
		return fmt.Errorf("%d samples of the floor for %d samples", len(m.Floor.Samples), len(m.Samples))
	}
	for i, v := range m.Floor.Samples {
		if !(v > 0) {
			return fmt.Errorf("sample %d of the floor is %v; a floor is above 0", i+1, v)
		}
	}
	return finite("sample of the floor", m.Floor.Samples)
}

func finite(what string, values []float64) error {
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s %d is %v", what, i+1, v)
		}
	}
	return nil
}
