package workflow_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/docexample"
	"github.com/claude-force/claude-force/workflow"
)

// TestReference reads the files in the reference and looks for every key in it. Package
// examples runs them.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../docs/workflows.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	opts := workflow.Options{
		AllowEnv: []string{"API_TOKEN"},
		Load: func(path string) ([]byte, error) {
			return os.ReadFile(filepath.Join("../examples/workflows", filepath.Base(path)))
		},
		SlashCommand: func(name string) (*workflow.SlashCommand, error) {
			return &workflow.SlashCommand{Name: name, Body: []workflow.SlashCommandPart{{Text: "Review "}, {Text: "$0", Position: 1}}}, nil
		},
		CheckAgent: func(name string) error {
			_, err := os.Stat("../agent/builtin/" + name + ".md")
			return err
		},
	}
	blocks, err := docexample.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, block := range blocks {
		if block.Kind != "yaml" || block.Error != "" || block.File != "" || block.NotRun != "" {
			continue
		}
		count++
		src, err := block.Workflow()
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := workflow.Parse(fmt.Sprintf("block in line %d", block.Line), []byte(src), opts); err != nil {
			t.Error(err)
		}
		if err := matchSchema(t, src); err != nil {
			t.Errorf("block in line %d: the schema refuses it: %v", block.Line, err)
		}
	}
	if count < 20 {
		t.Errorf("only %d blocks", count)
	}
	for _, key := range append(workflow.Keys["step"], workflow.Keys["file"]...) {
		if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, "`"+key+",") {
			t.Errorf("%s is not in the reference", key)
		}
	}
}
