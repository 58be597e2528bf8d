package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/vm/runtime"
)

// render returns the text form of a value.
func render(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	}
	if exceeds(v, maxText) {
		return "", errText
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(jsonable(v)); err != nil {
		return "", fmt.Errorf("a value of type %T has no text form", v)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// jsonable replaces lists of one type, and the maps that groupBy returns, which
// encoding/json refuses.
func jsonable(v any) any {
	switch v := v.(type) {
	case []int:
		return anyList(v)
	case []string:
		return anyList(v)
	case map[any][]any:
		out := make(map[string]any, len(v))
		for k, group := range v {
			out[fmt.Sprint(k)] = jsonable(group)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = jsonable(e)
		}
		return out
	case Object:
		out := make(map[string]any, len(v.values))
		for k, e := range v.values {
			out[k] = jsonable(e)
		}
		return Object{v.keys, out}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = jsonable(e)
		}
		return out
	}
	return v
}

func anyList[E any](list []E) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = e
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// exceeds reports whether the JSON of v is longer than about limit bytes. It
// does not build the JSON: values may refer to one text many times.
func exceeds(v any, limit int) bool { return !fits(v, &limit) }

func fits(v any, left *int) bool {
	*left -= 8
	switch v := v.(type) {
	case string:
		*left -= len(v)
	case json.Number:
		*left -= len(v)
	case []any:
		for _, e := range v {
			if *left < 0 || !fits(e, left) {
				return false
			}
		}
	case map[string]any:
		for k, e := range v {
			if *left -= len(k); *left < 0 || !fits(e, left) {
				return false
			}
		}
	case Object:
		return fits(v.values, left)
	case map[any][]any:
		for _, e := range v {
			if *left < 0 || !fits(e, left) {
				return false
			}
		}
	case []string:
		for _, e := range v {
			*left -= len(e) + 4
		}
	case []int:
		*left -= 20 * len(v)
	}
	return *left >= 0
}

// notCalled stands for a function whose calls are replaced when they are compiled.
func notCalled(...any) (any, error) { return nil, errNoChanges }

func toText(args ...any) (any, error) { return render(args[0]) }

func toJSON(args ...any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		return render(args[0])
	}
	if len(s) > maxText {
		return nil, errText
	}
	out, err := render([]any{s})
	return strings.TrimSuffix(strings.TrimPrefix(out, "["), "]"), err
}

func join(args ...any) (any, error) {
	separator := ""
	if len(args) > 1 {
		separator, _ = args[1].(string)
	}
	var items []string
	switch list := args[0].(type) {
	case []string:
		items = list
	case []any:
		items = make([]string, len(list))
		for i, v := range list {
			s, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("join takes a list of texts, and item %d is %T", i, v)
			}
			items[i] = s
		}
	default:
		return nil, fmt.Errorf("join takes a list of texts, not %T", args[0])
	}
	size := len(separator) * len(items)
	for _, s := range items {
		if size += len(s); size > maxText {
			return nil, errText
		}
	}
	return strings.Join(items, separator), nil
}

func replace(args ...any) (any, error) {
	s, ok1 := args[0].(string)
	old, ok2 := args[1].(string)
	with, ok3 := args[2].(string)
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("replace takes three texts")
	}
	if grow := len(with) - len(old); grow > 0 && strings.Count(s, old) > (maxText-len(s))/grow {
		return nil, errText
	}
	return strings.ReplaceAll(s, old, with), nil
}

func keys(args ...any) (any, error) {
	m, ok := members(args[0]).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("keys takes a mapping, not %T", args[0])
	}
	out := make([]any, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k)
	}
	return out, nil
}

func toInt(args ...any) (any, error) {
	switch v := operand(args[0]).(type) {
	case int:
		return v, nil
	case float64:
		if math.Abs(v) < 1<<53 {
			return int(v), nil
		}
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return n, nil
		}
	}
	return nil, errors.New("int takes a number, or a text that is a whole number")
}

func toFloat(args ...any) (any, error) {
	switch v := operand(args[0]).(type) {
	case int:
		return float64(v), nil
	case float64:
		return v, nil
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, nil
		}
	}
	return nil, errors.New("float takes a number, or a text that is one")
}

func fromJSON(args ...any) (any, error) {
	text, ok := args[0].(string)
	if !ok {
		return nil, errors.New("fromJSON takes a text")
	}
	v, err := ParseJSON(text)
	if err != nil {
		return nil, errors.New("the text is not JSON")
	}
	return v, nil
}

// sorted returns a list in ascending order, or with "desc" in descending order. Its
// numbers keep their digits.
func sorted(args ...any) (any, error) {
	list, err := listOf(args[0])
	if err != nil {
		return nil, err
	}
	order := &runtime.SortBy{Array: slices.Clone(list), Values: make([]any, len(list))}
	for i, v := range list {
		if order.Values[i] = operand(v); hasNumber(order.Values[i]) {
			return nil, errDigits
		}
	}
	if len(args) > 1 {
		order.Desc = args[1] == "desc"
		if word, _ := args[1].(string); word != "asc" && word != "desc" {
			return nil, errors.New(`the order is "asc" or "desc"`)
		}
	}
	sort.Sort(order)
	return order.Array, nil
}

func listOf(v any) ([]any, error) {
	switch v := v.(type) {
	case []any:
		return v, nil
	case []int:
		return anyList(v), nil
	case []string:
		return anyList(v), nil
	case []float64:
		return anyList(v), nil
	}
	return nil, errors.New("this function takes a list")
}

// flatten returns the elements of a list, and in the place of a list among them its
// elements, at any depth.
func flatten(args ...any) (any, error) {
	list, err := listOf(args[0])
	if err != nil {
		return nil, err
	}
	flat := make([]any, 0, len(list))
	for _, v := range list {
		if inner, err := listOf(v); err == nil {
			inner, err := flatten(inner)
			if err != nil {
				return nil, err
			}
			flat = append(flat, inner.([]any)...)
			continue
		}
		flat = append(flat, v)
	}
	return flat, nil
}

// unique returns the elements of a list without those that are the same number, or have
// the same JSON, as one before them.
func unique(args ...any) (any, error) {
	list, err := listOf(args[0])
	if err != nil {
		return nil, err
	}
	first, seen := make([]any, 0, len(list)), map[string]bool{}
	for _, v := range list {
		text, err := toJSON(operand(v))
		if err != nil {
			return nil, err
		}
		if !seen[text.(string)] {
			seen[text.(string)] = true
			first = append(first, v)
		}
	}
	return first, nil
}

func largest(args ...any) (any, error) {
	return extreme(args, func(a, b any) bool { return runtime.Less(b, a) })
}

func smallest(args ...any) (any, error) { return extreme(args, runtime.Less) }

// extreme returns the number of the arguments, and of the lists among them, that comes
// before all others. It keeps its digits.
func extreme(args []any, before func(a, b any) bool) (any, error) {
	var best, value any
	for _, arg := range args {
		list, err := listOf(arg)
		if err != nil {
			list = []any{arg}
		} else if len(list) > 0 {
			one, err := extreme(list, before)
			if err != nil {
				return nil, err
			}
			list = []any{one}
		}
		for _, v := range list {
			v, n := v, operand(v)
			switch n.(type) {
			case int, float64:
			case json.Number:
				return nil, errDigits
			default:
				return nil, errors.New("min and max take numbers, and lists of them")
			}
			if value == nil || before(n, value) {
				best, value = v, n
			}
		}
	}
	return best, nil
}
