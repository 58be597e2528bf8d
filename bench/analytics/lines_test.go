//go:build unix

package main

import (
	"encoding/json"
	"testing"
	"time"
)

func TestLinesAreJSON(t *testing.T) {
	t.Parallel()
	for c := range calls(1000) {
		var got line
		if err := json.Unmarshal(appendLine(nil, c), &got); err != nil {
			t.Fatal(err)
		}
		want := line{c.Time.Format(time.RFC3339Nano), c.Agent, c.Code == 0, c.Duration.Seconds() * 1000, c.Model, c.Usage.InputTokens, c.Usage.OutputTokens, c.Cost.USD()}
		if got != want {
			t.Errorf("%+v is written as %+v", want, got)
		}
	}
}
