package callsql

import (
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestProjectNamesAreUnique(t *testing.T) {
	t.Parallel()
	folder := rapid.SampledFrom([]string{"app", "x", "y", "app (name only)", "a b", "名前"})
	path := rapid.Map(rapid.SliceOfN(folder, 0, 4), func(folders []string) string { return "/" + strings.Join(folders, "/") })
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfDistinct(rapid.OneOf(path, folder, rapid.Just("")), func(id string) string { return id }).Draw(t, "ids")
		names := ProjectNames(ids)
		seen := map[string]string{}
		for _, id := range ids {
			name, ok := names[id]
			if other, twice := seen[name]; !ok || twice {
				t.Fatalf("%q and %q are both named %q", id, other, name)
			}
			seen[name] = id
			if filepath.IsAbs(id) && !strings.HasSuffix(id, name) || !filepath.IsAbs(id) && id != "" && name != id+nameOnly {
				t.Fatalf("%q is named %q", id, name)
			}
		}
	})
}
