package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/internal/yamltext"
	"github.com/claude-force/claude-force/llm"
)

// maxPrices bounds a file of prices, in bytes.
const maxPrices = 4 << 20

// LoadPrices returns the price table that applies: the built-in one, with the
// file that cfg names laid over it. The file is YAML or JSON in the shape of
// llm/prices.json; it needs to say only what differs. The error is a
// [config.Error] that names file and line.
func LoadPrices(cfg *config.Config) (*llm.PriceTable, error) {
	if cfg.Prices == "" {
		return llm.Prices(), nil
	}
	data, err := openfile.Read(cfg.Prices, maxPrices)
	if err != nil {
		return nil, &config.Error{File: cfg.Prices, Message: fmt.Sprintf("the prices cannot be read: %v", err), Hint: "correct the setting prices, or CLAUDE_FORCE_PRICES"}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		p := yamltext.Explain(string(data), err)
		return nil, &config.Error{File: cfg.Prices, Line: p.Line, Message: "it is not valid YAML: " + p.Message, Hint: p.Hint}
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return llm.Prices(), nil
	}
	var lined linedJSON
	lined.node(doc.Content[0], 0)
	table, err := llm.LoadPrices(lined.Bytes())
	if err != nil {
		return nil, &PricesError{&config.Error{File: cfg.Prices, Message: err.Error()}}
	}
	return table, nil
}

// PricesError reports a price file whose contents are not a price table.
type PricesError struct{ err *config.Error }

func (e *PricesError) Error() string { return e.err.Error() }

// Unwrap returns a [*config.Error].
func (e *PricesError) Unwrap() error { return e.err }

// linedJSON is JSON with each value on the line it has in the YAML it was made
// from, so that errors of who reads the JSON name lines of the YAML.
type linedJSON struct {
	bytes.Buffer
	line int // lines started, less one
}

// maxDepth bounds what aliases of YAML can unfold to.
const maxDepth = 10

func (l *linedJSON) node(n *yaml.Node, depth int) {
	for ; l.line < n.Line-1; l.line++ {
		l.WriteByte('\n')
	}
	if depth > maxDepth {
		l.WriteString(`"nested too deep"`)
		return
	}
	switch n.Kind {
	case yaml.AliasNode:
		l.node(n.Alias, depth+1)
	case yaml.MappingNode:
		l.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				l.WriteByte(',')
			}
			key := *n.Content[i]
			key.Tag = "!!str" // so is every key of JSON
			l.node(&key, depth+1)
			l.WriteByte(':')
			l.node(n.Content[i+1], depth+1)
		}
		l.WriteByte('}')
	case yaml.SequenceNode:
		l.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				l.WriteByte(',')
			}
			l.node(item, depth+1)
		}
		l.WriteByte(']')
	default:
		l.scalar(n)
	}
}

func (l *linedJSON) scalar(n *yaml.Node) {
	var value any = n.Value
	switch n.Tag {
	case "!!null":
		value = nil
	case "!!bool":
		value = strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		var number float64
		if n.Decode(&number) == nil && !math.IsInf(number, 0) && !math.IsNaN(number) {
			value = number
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("null") // no scalar is such
	}
	l.Write(text)
}
