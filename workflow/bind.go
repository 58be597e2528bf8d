package workflow

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// BindValues returns the parameters of a run, like [Workflow.BindParams], from
// values that need not be strings, as another workflow passes them. It converts
// a number or string that fits the parameter's type.
func (w *Workflow) BindValues(given map[string]any) (map[string]any, error) {
	bound := make(map[string]any, len(w.Params))
	known := make(map[string]bool, len(w.Params))
	var errs []error
	for _, param := range w.Params {
		known[param.Name] = true
		v, ok := given[param.Name]
		switch {
		case !ok && param.HasDefault:
			bound[param.Name] = clone(param.Default)
		case !ok:
			errs = append(errs, fmt.Errorf("%w: %s has no default and was not given", ErrParam, param.Name))
		default:
			fit, err := param.fit(v)
			if err != nil {
				errs = append(errs, fmt.Errorf("%w: %s must be %w", ErrParam, param.Name, err))
			}
			bound[param.Name] = fit
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !known[name] {
			errs = append(errs, fmt.Errorf("%w: unknown parameter %s", ErrParam, quote(name)))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return bound, nil
}

// fit returns a value as the parameter takes it, or what it must be.
func (param Param) fit(v any) (any, error) {
	typ := param.Type
	v = asDeclared(typ, v)
	if text, ok := v.(string); ok && typ == "array" && param.Format != "" {
		return param.read(text)
	}
	if typ == "any" || typeOf(v) == typ && v != nil {
		return clone(v), nil
	}
	if typ == "string" {
		return render(v)
	}
	if text, ok := v.(string); ok {
		return convert(typ, text)
	}
	return nil, fmt.Errorf("of type %s", typ)
}
