package workflow

import (
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// maxMatrix bounds the combinations of a matrix, its samples included.
const maxMatrix = 10_000

// matrixName is what expressions call the combination of a matrix, beside item.
const matrixName = "matrix"

// axis is one of the dimensions of a matrix.
type axis struct {
	name   string
	values []any
	keys   []string // the values as texts
}

// matrix reads the combinations of a matrix, of samples, or of both.
func (p *reader) matrix(d *draft, v view) {
	m, s, f := d.fields.given("matrix"), d.fields.given("samples"), d.Foreach
	if n := d.fields.given("foreach"); n != nil {
		key := "matrix"
		if m == nil {
			key = "samples"
		}
		p.fail(n, nil, "put one of them on a step around the other, with steps", "%s has both foreach and %s", d.of(), key)
		return
	}
	before := p.failures
	var axes []axis
	var exclude []map[string]string
	if m != nil {
		f.Matrix, f.Name = true, matrixName
		axes, exclude = p.axes(d, v, m)
	}
	if s != nil {
		if f.Samples = p.count(s, "samples", 1); p.failures == before {
			a := axis{name: "sample"}
			if slices.ContainsFunc(axes, func(other axis) bool { return other.name == a.name }) {
				p.fail(s, nil, "give it another name", "a matrix with samples cannot have %s of its own", quote(a.name))
			}
			for i := range min(f.Samples, maxMatrix+1) {
				a.values, a.keys = append(a.values, i+1), append(a.keys, fmt.Sprint(i+1))
			}
			axes = append(axes, a)
		}
	}
	total := 1
	for _, a := range axes {
		if total *= len(a.values); total > maxMatrix {
			p.fail(d.node, ErrTooLarge, "", "%s has more than %d combinations", d.of(), maxMatrix)
			return
		}
	}
	if p.failures > before {
		return
	}
	items := combine(f, axes, exclude)
	switch seen := map[string]bool{}; {
	case len(items) == 0:
		p.fail(m, nil, "", "exclude leaves no combination of the matrix")
	default:
		for _, key := range f.Keys {
			if seen[key] {
				p.fail(m, nil, "leave / out of the values", "two combinations of the matrix are called %s", quote(key))
			}
			seen[key] = true
		}
	}
	f.Items = Fixed(items)
}

// combine returns the combinations that are not excluded, the last axis first, and sets
// their keys.
func combine(f *Foreach, axes []axis, exclude []map[string]string) (items []any) {
	names := make([]string, len(axes))
	for i, a := range axes {
		names[i] = a.name
	}
	at := make([]int, len(axes))
	for {
		values, keys, texts := map[string]any{}, make([]string, len(axes)), map[string]string{}
		for i, a := range axes {
			values[a.name], keys[i], texts[a.name] = a.values[at[i]], a.keys[at[i]], a.keys[at[i]]
		}
		left := slices.ContainsFunc(exclude, func(rule map[string]string) bool {
			for name, text := range rule {
				if texts[name] != text {
					return false
				}
			}
			return true
		})
		if !left {
			items, f.Keys = append(items, newObject(names, values)), append(f.Keys, strings.Join(keys, "/"))
		}
		i := len(axes) - 1
		for ; i >= 0; i-- {
			if at[i]++; at[i] < len(axes[i].values) {
				break
			}
			at[i] = 0
		}
		if i < 0 {
			return items
		}
	}
}

// axes reads a mapping of names to lists, and which combinations are left out.
func (p *reader) axes(d *draft, v view, n *yaml.Node) (axes []axis, exclude []map[string]string) {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		p.fail(n, nil, "write matrix: {model: [haiku, sonnet], language: [go, rust]}", "matrix must be a mapping from names to lists, not %s", kindOf(n))
		return nil, nil
	}
	var left *yaml.Node
	p.entries(n, func(key, value *yaml.Node) {
		switch {
		case key.Value == "exclude":
			left = value
		case !validID(key.Value) || strings.Contains(key.Value, "-"):
			p.fail(key, nil, "use letters, digits and _, and begin with a letter", "bad name in a matrix %s", quote(key.Value))
		case value.Kind != yaml.SequenceNode || len(value.Content) == 0:
			p.fail(value, nil, "write "+key.Value+": [a, b]; for a list that is only known when the step runs, use foreach", "%s of a matrix must be a list with at least one value", key.Value)
		default:
			axes = append(axes, p.axis(d, v, key.Value, value))
		}
	})
	if len(axes) == 0 {
		p.fail(n, nil, "", "the matrix has no lists")
	}
	if left != nil {
		exclude = p.excluded(left, axes)
	}
	return axes, exclude
}

// axis reads the values of a dimension.
func (p *reader) axis(d *draft, v view, name string, list *yaml.Node) axis {
	a := axis{name: name}
	for _, n := range list.Content {
		n = follow(n)
		val := p.valueOf(d, v, n, "matrix")
		switch key := ""; {
		case val == nil:
		case !val.constant() || n.Kind != yaml.ScalarNode || val.fixed == nil:
			p.fail(n, nil, "for what is only known when the step runs, use foreach", "a value of a matrix must be a text, a number, true or false that stands in the file")
		default:
			if key = n.Value; key == "" || slices.Contains(a.keys, key) {
				p.fail(n, nil, "", "%s is empty or given twice in %s", quote(key), name)
				continue
			}
			a.values, a.keys = append(a.values, val.fixed), append(a.keys, key)
		}
	}
	return a
}

// excluded reads which combinations a matrix leaves out: a list of mappings from names to
// values.
func (p *reader) excluded(n *yaml.Node, axes []axis) (rules []map[string]string) {
	const hint = "write exclude: [{model: haiku, language: rust}]"
	if n.Kind != yaml.SequenceNode {
		p.fail(n, nil, hint, "exclude must be a list of mappings, not %s", kindOf(n))
		return nil
	}
	var names []string
	for _, a := range axes {
		names = append(names, a.name)
	}
	for _, c := range n.Content {
		c = follow(c)
		if c.Kind != yaml.MappingNode || len(c.Content) == 0 {
			p.fail(c, nil, hint, "an entry of exclude must be a mapping, not %s", kindOf(c))
			continue
		}
		rule := map[string]string{}
		p.entries(c, func(key, value *yaml.Node) {
			i := slices.Index(names, key.Value)
			switch {
			case i < 0:
				p.fail(key, nil, p.suggester.didYouMean(key.Value, names), "the matrix has no %s", quote(key.Value))
			case value.Kind != yaml.ScalarNode || !slices.Contains(axes[i].keys, value.Value):
				p.fail(value, nil, p.suggester.didYouMean(value.Value, axes[i].keys), "%s of the matrix has no value %s", key.Value, quote(value.Value))
			default:
				rule[key.Value] = value.Value
			}
		})
		rules = append(rules, rule)
	}
	return rules
}
