package workflow_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow"
)

// The files in the reference are read, so that it cannot go stale.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../docs/workflows.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	opts := workflow.Options{
		Load: func(path string) ([]byte, error) {
			return os.ReadFile(filepath.Join("../examples/workflows", filepath.Base(path)))
		},
		CheckAgent: func(name string) error {
			_, err := os.Stat("../agent/builtin/" + name + ".md")
			return err
		},
	}
	blocks := strings.Split(text, "```yaml\n")
	line := strings.Count(blocks[0], "\n") + 1
	for _, block := range blocks[1:] {
		src, _, closed := strings.Cut(block, "```\n")
		if !closed {
			t.Fatalf("the block in line %d has no end", line)
		}
		if _, err := workflow.Parse(fmt.Sprintf("block in line %d", line), []byte(src), opts); err != nil {
			t.Error(err)
		}
		if err := matchSchema(t, src); err != nil {
			t.Errorf("block in line %d: the schema refuses it: %v", line, err)
		}
		line += strings.Count(block, "\n") + 1
	}
	if len(blocks) < 15 {
		t.Errorf("only %d blocks", len(blocks)-1)
	}
	for _, key := range append(workflow.Keys["step"], workflow.Keys["file"]...) {
		if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, "`"+key+",") {
			t.Errorf("%s is not in the reference", key)
		}
	}
}
