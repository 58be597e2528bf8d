package benchfile_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/benchfile"
)

func file() *benchfile.File {
	return &benchfile.File{
		Program: "claude-force dev", Commit: "3f2a", Time: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		Machine:  benchfile.Machine{CPU: "Some CPU", Cores: 2, OS: "linux", Arch: "amd64", Go: "go1.26"},
		Settings: map[string]string{"samples": "3"},
		Summary:  benchfile.Summary{Speedup: new(2.94), CacheHitRate: new(0.0)},
		Metrics: []benchfile.Metric{
			{Name: "time", Unit: "s", Better: benchfile.Lower, Samples: []float64{1, 3, 2},
				Floor: &benchfile.Floor{What: "nothing", Samples: []float64{1, 2, 1}, Target: 1.02}},
			{Name: "rate", Better: benchfile.Higher, Samples: []float64{0.1 + 0.2}},
		},
	}
}

func TestFilesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.json")
	want := file()
	if err := benchfile.Write(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := benchfile.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was read differs (-written +read):\n%s", diff)
	}
	if got.Version != benchfile.Version || got.Metric("time").Floor.Ratio != 1.5 || got.Metric("none") != nil {
		t.Errorf("version %d, ratio %v of the medians of 1, 1.5 and 2", got.Version, got.Metric("time").Floor.Ratio)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"speedup": 2.94`, `"cache_hit_rate": 0`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the file has no %s", want)
		}
	}
	if strings.Contains(string(text), "cost_before") {
		t.Error("the file has a cost that was not measured")
	}
}

func TestBadFilesAreNamedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	const metric = `{"name": "a", "better": "lower", "samples": [1, 2]}`
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":      {"{\n\"version\": 1,\n oops}", "line 3: invalid character"},
		"cut":          {`{"version": 1, "metr`, "line 1: unexpected end"},
		"wrong type":   {"{\"version\": 1,\n\"metrics\": 7}", "line 2: metrics must be"},
		"other JSON":   {`{"name": "package.json"}`, "no version"},
		"newer":        {`{"version": 99}`, "its version is 99 and the newest known is 1; update claude-force"},
		"no metrics":   {`{"version": 1}`, "holds no metrics"},
		"no name":      {`{"version": 1, "metrics": [{"better": "lower", "samples": [1]}]}`, "metric 1 has no name"},
		"twice":        {`{"version": 1, "metrics": [` + metric + `,` + metric + `]}`, "metric a is there twice"},
		"no direction": {`{"version": 1, "metrics": [{"name": "a", "samples": [1]}]}`, `metric a: better is ""`},
		"no samples":   {`{"version": 1, "metrics": [{"name": "a", "better": "lower"}]}`, "metric a: no samples"},
		"short floor":  {`{"version": 1, "metrics": [{"name": "a", "better": "lower", "samples": [1, 2], "floor": {"samples": [1]}}]}`, "1 samples of the floor for 2"},
		"floor of 0":   {`{"version": 1, "metrics": [{"name": "a", "better": "lower", "samples": [1], "floor": {"samples": [0]}}]}`, "a floor is above 0"},
	} {
		path := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := benchfile.Read(path)
		if _, ok := errors.AsType[*benchfile.Error](err); !ok || !strings.HasPrefix(err.Error(), "benchmark file "+path+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want the path and %q", name, err, c.want)
		}
	}
	missing := filepath.Join(t.TempDir(), "none.json")
	_, err := benchfile.Read(missing)
	if err == nil || strings.Count(err.Error(), missing) != 1 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file is %v; want its path once", err)
	}
}

func TestNothingWrongIsWritten(t *testing.T) {
	t.Parallel()
	for _, spoil := range []func(*benchfile.File){
		func(f *benchfile.File) { f.Metrics[0].Samples[1] = math.NaN() },
		func(f *benchfile.File) { f.Metrics[0].Samples[1] = math.Inf(1) },
		func(f *benchfile.File) { f.Metrics[0].Floor.Samples[2] = -1 },
		func(f *benchfile.File) { f.Metrics = nil },
	} {
		path := filepath.Join(t.TempDir(), "x.json")
		f := file()
		spoil(f)
		if err := benchfile.Write(path, f); err == nil {
			t.Error("a file was written that cannot be read")
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("something was left behind")
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version": 1, "metrics": [{"name": "a", "better": "lower", "samples": [1], "floor": {"samples": [2]}}]}`))
	f.Add([]byte(`{"version": 1, "metrics": [null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := benchfile.Parse(data)
		if err != nil {
			return
		}
		if err := benchfile.Write(filepath.Join(t.TempDir(), "x.json"), got); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}
