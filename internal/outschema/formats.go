package outschema

import (
	"maps"
	"slices"
)

// patterns are what texts of each format match. A validator may ignore formats, but
// not patterns, wherever in a schema they stand.
var patterns = map[string]string{
	"date":      `^` + date + `$`,
	"time":      `^` + clock + `$`,
	"date-time": `^` + date + `[Tt ]` + clock + `$`,
	"duration":  `^P([0-9]+W|([0-9]+Y)?([0-9]+M)?([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?)$`,
	"email":     `^[^\s@<>"(),:;\\\[\]]+@` + host + `$`,
	"hostname":  `^` + host + `$`,
	"ipv4":      `^` + ipv4 + `$`,
	"ipv6": `^(([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|([0-9A-Fa-f]{1,4}:){1,7}:|([0-9A-Fa-f]{1,4}:){1,6}:[0-9A-Fa-f]{1,4}|` +
		`([0-9A-Fa-f]{1,4}:){1,5}(:[0-9A-Fa-f]{1,4}){1,2}|([0-9A-Fa-f]{1,4}:){1,4}(:[0-9A-Fa-f]{1,4}){1,3}|` +
		`([0-9A-Fa-f]{1,4}:){1,3}(:[0-9A-Fa-f]{1,4}){1,4}|([0-9A-Fa-f]{1,4}:){1,2}(:[0-9A-Fa-f]{1,4}){1,5}|` +
		`[0-9A-Fa-f]{1,4}:(:[0-9A-Fa-f]{1,4}){1,6}|:((:[0-9A-Fa-f]{1,4}){1,7}|:)|` +
		`([0-9A-Fa-f]{1,4}:){6}` + ipv4 + `|::([0-9A-Fa-f]{1,4}:){0,5}` + ipv4 + `|([0-9A-Fa-f]{1,4}:){1,5}:` + ipv4 + `)$`,
	"uuid":         `^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`,
	"uri":          `^[A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$`,
	"json-pointer": `^(/([^~/]|~[01])*)*$`,
}

const (
	date  = `[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))`
	clock = `([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`
	host  = `[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*`
	ipv4  = `(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}`
)

// Formats lists the formats that can be checked, sorted.
var Formats = slices.Sorted(maps.Keys(patterns))

// withFormats returns a copy of a schema with a pattern for each format.
func withFormats(doc any) any {
	m, ok := doc.(map[string]any)
	if !ok {
		return doc
	}
	out := maps.Clone(m)
	for name, value := range m {
		switch list, isList := value.([]any); {
		case slices.Contains(HoldsByName, name):
			if inner, ok := value.(map[string]any); ok {
				by := make(map[string]any, len(inner))
				for key, e := range inner {
					by[key] = withFormats(e)
				}
				out[name] = by
			}
		case isList && (slices.Contains(HoldsList, name) || name == "items"):
			all := make([]any, len(list))
			for i, e := range list {
				all[i] = withFormats(e)
			}
			out[name] = all
		case slices.Contains(HoldsOne, name):
			out[name] = withFormats(value)
		}
	}
	format, _ := m["format"].(string)
	if pattern := patterns[format]; pattern != "" {
		all, _ := out["allOf"].([]any)
		out["allOf"] = append(slices.Clip(all), map[string]any{"pattern": pattern})
	}
	return out
}
