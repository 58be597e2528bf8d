package workflow

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of workflow files, by which
// editors complete and check them. What it accepts may still be refused by
// [Parse], which knows agents, steps and expressions.
func Schema() []byte { return slices.Clone(schema) }
