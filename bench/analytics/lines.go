//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/analytics"
)

// line is a call as the first implementation kept it.
type line struct {
	Timestamp string  `json:"timestamp"`
	Agent     string  `json:"agent_name"`
	Success   bool    `json:"success"`
	Millis    float64 `json:"execution_time_ms"`
	Model     string  `json:"model"`
	Input     int     `json:"input_tokens"`
	Output    int     `json:"output_tokens"`
	Cost      float64 `json:"estimated_cost"`
}

// appendLine appends a call as such a line. Package json would take longer to
// write ten million of them than to read them; no name here needs escaping.
func appendLine(b []byte, c *analytics.Call) []byte {
	b = append(b, `{"timestamp":"`...)
	b = c.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(append(b, `","agent_name":"`...), c.Agent...)
	b = strconv.AppendBool(append(b, `","success":`...), c.Code == 0)
	b = strconv.AppendFloat(append(b, `,"execution_time_ms":`...), c.Duration.Seconds()*1000, 'g', -1, 64)
	b = append(append(b, `,"model":"`...), c.Model...)
	b = strconv.AppendInt(append(b, `","input_tokens":`...), int64(c.Usage.InputTokens), 10)
	b = strconv.AppendInt(append(b, `,"output_tokens":`...), int64(c.Usage.OutputTokens), 10)
	b = strconv.AppendFloat(append(b, `,"estimated_cost":`...), c.Cost.USD(), 'g', -1, 64)
	return append(b, '}', '\n')
}

// scanLines writes calls as JSON lines, measures one reading of them all, and
// removes them.
func scanLines(path string, n int, since time.Time) (took time.Duration, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, fmt.Errorf("writing JSON lines: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	out := bufio.NewWriterSize(f, 1<<20)
	var buf []byte
	for c := range calls(n) {
		buf = appendLine(buf[:0], c)
		if _, err := out.Write(buf); err != nil {
			return 0, fmt.Errorf("writing JSON lines: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return 0, fmt.Errorf("writing JSON lines: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("reading JSON lines: %w", err)
	}
	began := time.Now()
	read, cost, err := readLines(f, since)
	took = time.Since(began)
	if err == nil && (read != n || cost == 0) {
		err = fmt.Errorf("%d of %d JSON lines were read, and they cost $%f", read, n, cost)
	}
	return took, err
}

// readLines reads all lines, and adds up what those since a time cost.
func readLines(r io.Reader, since time.Time) (n int, cost float64, err error) {
	from := since.Format(time.RFC3339Nano)
	for dec := json.NewDecoder(bufio.NewReader(r)); ; n++ {
		var l line
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return n, cost, nil
		} else if err != nil {
			return n, cost, fmt.Errorf("reading JSON lines: %w", err)
		}
		if l.Timestamp >= from {
			cost += l.Cost
		}
	}
}
