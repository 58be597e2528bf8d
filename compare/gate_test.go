package compare_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/compare"
)

func gate(t *testing.T, text string) compare.Gate {
	t.Helper()
	g, err := compare.ParseGate(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMistakesInGatesHaveAColumn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		column  int
		message string
	}{
		"":                         {1, "expected a metric"},
		"cost":                     {5, "expected one of > >= < <="},
		"cost == 10%":              {6, "expected one of > >= < <="},
		"cost > ":                  {8, "expected a change in percent"},
		"cost > ten%":              {8, "expected a change in percent"},
		"cost > +-3%":              {8, "expected a change in percent"},
		"cost > +10":               {11, "expected %"},
		"cost > +10% p95 > +1%":    {13, "a comma or the end"},
		"cost > +10%, ":            {14, "expected a metric"},
		"cost > +10%,, p95 > +15%": {13, "expected a metric"},
		"größe > 1%; x > 1%":       {11, "a comma or the end"},
	} {
		_, err := compare.ParseGate(text)
		ge, ok := errors.AsType[*compare.GateError](err)
		if !ok || ge.Column != want.column || !strings.Contains(ge.Message, want.message) {
			t.Errorf("ParseGate(%q): %v; want column %d, %q", text, err, want.column, want.message)
		}
	}
}

func TestGatesAreRead(t *testing.T) {
	t.Parallel()
	g := gate(t, " cost>+10% ,p95 >= 15 %, async.parallel.10 < -2.5%,cache_hit_rate<=-5%")
	want := []compare.Condition{
		{Metric: "cost", Op: ">", Limit: 0.1}, {Metric: "p95", Op: ">=", Limit: 0.15},
		{Metric: "async.parallel.10", Op: "<", Limit: -0.025}, {Metric: "cache_hit_rate", Op: "<=", Limit: -0.05},
	}
	if len(g) != len(want) {
		t.Fatalf("%d conditions; want %d", len(g), len(want))
	}
	for i, w := range want {
		if g[i].Metric != w.Metric || g[i].Op != w.Op || g[i].Limit != w.Limit {
			t.Errorf("condition %d is %+v; want %+v", i, g[i], w)
		}
	}
	if g[0].String() != "cost>+10%" {
		t.Errorf("the text of the first is %q", g[0])
	}
}

func TestGatesFailOnSignificantChangesOnly(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 3))
	higher := func(m benchfile.Metric) benchfile.Metric {
		m.Better = benchfile.Higher
		return m
	}
	r := report(t,
		[]benchfile.Metric{
			metric("slower", noise(rng, 1, 0.05, 20)...), metric("noisy", 1, 9, 2, 8, 3, 7, 4, 6, 5, 5.5), metric("few", 1, 3),
			metric("cost", 0.002), higher(metric("rate", noise(rng, 100, 0.02, 20)...)), metric("none", 0), metric("same", 5),
		},
		[]benchfile.Metric{
			metric("slower", noise(rng, 1.3, 0.05, 20)...), metric("noisy", 2, 10, 3, 9, 4, 8, 5, 7, 6, 6.5), metric("few", 2, 4),
			metric("cost", 0.0022), higher(metric("rate", noise(rng, 80, 0.02, 20)...)), metric("none", 1), metric("same", 5),
		})
	for text, want := range map[string]bool{
		"slower > +15%":             true,
		"slower > +60%":             false,
		"noisy > +5%":               false, // within the noise
		"noisy > -5%":               true,  // was to become better, and nothing shows that it has
		"few > +5%":                 false, // too few, and they overlap
		"cost > +5%":                true,  // too few, and they are apart
		"cost > +10%":               false, // exactly the limit
		"cost >= +10%":              true,
		"rate < -5%":                true,
		"rate > +5%":                false,
		"none > +1000%":             true,
		"same > 0%":                 false,
		"cost > +10%, slower > 15%": true,
	} {
		outcomes, err := gate(t, text).Check(r)
		failed := false
		for _, o := range outcomes {
			failed = failed || o.Failed
		}
		if err != nil || failed != want {
			t.Errorf("%q: failed is %v, want %v: %+v %v", text, failed, want, outcomes, err)
		}
	}
	_, err := gate(t, "p95 > +15%").Check(r)
	if err == nil || !strings.Contains(err.Error(), "no metric p95") || !strings.Contains(err.Error(), "slower, noisy") {
		t.Errorf("an unknown metric: %v", err)
	}
}

func TestMarkdownSaysWhatFailed(t *testing.T) {
	t.Parallel()
	r := report(t, []benchfile.Metric{metric("cost", 1), metric("time", count(1, 10)...)}, []benchfile.Metric{metric("cost", 2), metric("time", count(101, 10)...), metric("new", 1)})
	outcomes, err := gate(t, "cost > +10%, time < -1%").Check(r)
	if err != nil {
		t.Fatal(err)
	}
	var sb strings.Builder
	if err := r.WriteMarkdown(&sb, outcomes); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### Benchmarks: failed, 1 of 2 conditions", "- ❌ `cost > +10%`: it is +100.0%, with too few samples (1 and 1)",
		"- ✅ `time < -1%`: it is +", "| `time` |", "worse", "All 2 metrics", "Only in b.json: new.",
	} {
		if !strings.Contains(sb.String(), want) {
			t.Errorf("no %q in:\n%s", want, sb.String())
		}
	}
	sb.Reset()
	if err := r.WriteText(&sb); err != nil || !strings.Contains(sb.String(), "0 better, 1 worse, 1 without significant change") {
		t.Errorf("%v:\n%s", err, sb.String())
	}
}

func FuzzParseGate(f *testing.F) {
	f.Add("cost > +10%, p95 > +15%")
	f.Add("a<1%")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := compare.ParseGate(text)
		if err != nil {
			if ge, ok := errors.AsType[*compare.GateError](err); !ok || ge.Column < 1 || ge.Column > len([]rune(text))+1 {
				t.Errorf("error %v", err)
			}
			return
		}
		for _, c := range g {
			again, err := compare.ParseGate(c.String())
			if err != nil || again[0] != c {
				t.Errorf("%q is read as %+v, and its text as %+v: %v", text, c, again, err)
			}
		}
	})
}
