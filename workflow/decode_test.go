package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/workflow"
)

// TestCellsKeepTheirText writes texts as cells of CSV: each is read as it was, with its
// line breaks and spaces.
func TestCellsKeepTheirText(t *testing.T) {
	t.Parallel()
	cell := rapid.Custom(func(rt *rapid.T) string {
		// Beside any text, what CSV and its readers take for something else.
		parts := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"\r\n", "\n", "\r", `"`, `""`, ",", " ", "\t", ";", "#"}))).Draw(rt, "parts")
		return "x" + strings.Join(parts, "") // never a number or a truth value
	})
	rapid.Check(t, func(rt *rapid.T) {
		cells := rapid.SliceOfN(cell, 2, 2).Draw(rt, "cells")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(rt, "line break")
		quoted := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
		text := "a,b" + end + quoted(cells[0]) + "," + quoted(cells[1]) + end
		got, err := workflow.Decode(workflow.OutputCSV, text)
		if err != nil {
			rt.Fatal(err)
		}
		want, err := json.Marshal(cells)
		if err != nil {
			rt.Fatal(err)
		}
		encoded, err := workflow.Encode(got)
		var rows []map[string]string
		if err == nil {
			err = json.Unmarshal([]byte(encoded), &rows)
		}
		if err != nil || len(rows) != 1 || rows[0]["a"] != cells[0] || rows[0]["b"] != cells[1] {
			rt.Fatalf("%s is read as %s, %v", want, encoded, err)
		}
	})
}

// TestLinesKeepTheirText reads lines with spaces around them, as items.
func TestLinesKeepTheirText(t *testing.T) {
	t.Parallel()
	got, err := workflow.Decode(workflow.OutputLines, " a \r\n\r\r\n\tb")
	if want := `[" a " "\r" "\tb"]`; err != nil || fmt.Sprintf("%q", got) != want {
		t.Errorf("%q, %v, want %s", got, err, want)
	}
	w, err := workflow.Parse("w.yaml", []byte("params: {v: {type: list}}\nsteps:\n  - {id: a, agent: x, task: t}\n"), testOptions)
	if err != nil {
		t.Fatal(err)
	}
	values, err := w.BindParams(map[string]string{"v": " a \r\n \n\tb"})
	if want := `[" a " "\tb"]`; err != nil || fmt.Sprintf("%q", values["v"]) != want {
		t.Errorf("%q, %v, want %s", values["v"], err, want)
	}
}
