package llm_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
)

// published reads the tables of testdata/prices.md: their rows by the first
// cell of their heads.
func published(t *testing.T) map[string][][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/prices.md")
	if err != nil {
		t.Fatal(err)
	}
	tables, name := map[string][][]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			name = ""
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case name == "":
			name = cells[0]
		case !strings.HasPrefix(cells[0], "---"):
			tables[name] = append(tables[name], cells)
		}
	}
	return tables
}

func TestEmbeddedPricesArePublishedPrices(t *testing.T) {
	t.Parallel()
	want := published(t)
	got := map[string][][]string{}
	for _, m := range llm.Prices().Models {
		for i, tier := range m.Tiers {
			got["model"] = append(got["model"], priceRow(t, m, i, tier))
		}
	}
	if diff := cmp.Diff(want["model"], got["model"], cmp.Transformer("sort", sorted)); diff != "" {
		t.Errorf("prices (-published +embedded):\n%s", diff)
	}
}

// priceRow returns a tier as the published table writes it; its batch prices are
// computed by the table, not read from it.
func priceRow(t *testing.T, m llm.ModelInfo, i int, tier llm.Tier) []string {
	t.Helper()
	name := m.ID
	if m.Short != "" {
		name += " (" + m.Short + ")"
	}
	prompt := 1_000_000
	switch {
	case tier.PromptUpTo > 0:
		name += ", prompt ≤ " + strconv.Itoa(tier.PromptUpTo/1000) + "K"
		prompt = tier.PromptUpTo
	case i > 0:
		name += ", prompt > " + strconv.Itoa(m.Tiers[i-1].PromptUpTo/1000) + "K"
	}
	batch := func(u llm.Usage) string {
		cost, ok := llm.Prices().CostOf(m.ID, u, llm.Rate{Batch: true})
		if !ok {
			t.Fatalf("%s has no batch price", m.ID)
		}
		return number(cost.USD())
	}
	// A million output tokens behind a prompt of that tier, less the prompt.
	in := batch(llm.Usage{InputTokens: prompt})
	if prompt != 1_000_000 {
		cost, _ := llm.Prices().CostOf(m.ID, llm.Usage{InputTokens: prompt}, llm.Rate{Batch: true})
		in = number(cost.USD() * 1e6 / float64(prompt))
	}
	both, _ := llm.Prices().CostOf(m.ID, llm.Usage{InputTokens: prompt, OutputTokens: 1_000_000}, llm.Rate{Batch: true})
	alone, _ := llm.Prices().CostOf(m.ID, llm.Usage{InputTokens: prompt}, llm.Rate{Batch: true})
	size := func(n int) string {
		if n%1_000_000 == 0 {
			return strconv.Itoa(n/1_000_000) + "M"
		}
		return strconv.Itoa(n/1000) + "K"
	}
	return []string{
		name, m.Released, number(tier.Input), number(tier.Output), number(tier.Write5m), number(tier.Write1h), number(tier.Read),
		in, number((both - alone).USD()), size(m.Context), size(m.MaxOutput),
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// normalized writes the numbers of a row alike: 2.50 is 2.5.
func normalized(row []string) string {
	out := slices.Clone(row)
	for i, cell := range out {
		if v, err := strconv.ParseFloat(cell, 64); err == nil && i > 1 {
			out[i] = number(v)
		}
	}
	return strings.Join(out, " | ")
}

func sorted(rows [][]string) []string {
	var lines []string
	for _, row := range rows {
		lines = append(lines, normalized(row))
	}
	slices.Sort(lines)
	return lines
}

func TestEmbeddedFactsArePublishedFacts(t *testing.T) {
	t.Parallel()
	want, table := published(t), llm.Prices()
	info := func(id string) llm.ModelInfo {
		m, ok := table.Info(id)
		if !ok {
			t.Fatalf("%s is not in the table", id)
		}
		return m
	}
	equal := func(what, id string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s of %s (-published +embedded):\n%s", what, id, diff)
		}
	}
	fast, dated := map[string]bool{}, map[string]bool{}
	for _, row := range want["fast mode"] {
		m := info(row[0])
		fast[m.ID] = true
		if m.Fast == nil {
			t.Errorf("%s has no price of fast mode", m.ID)
			continue
		}
		equal("fast mode", m.ID, row[1:], []string{number(m.Fast.Input), number(m.Fast.Output)})
	}
	for _, row := range want["dates"] {
		m := info(row[0])
		dated[m.ID] = true
		equal("dates", m.ID, row[1:], []string{m.NotRetiredBefore, m.Ends})
	}
	for _, row := range want["prompt cache"] {
		m := info(row[0])
		equal("least cached prefix", m.ID, row[1]+"|"+row[2], strconv.Itoa(m.CacheMinimum)+"|"+map[bool]string{true: "yes"}[m.CacheMinimumAssumed])
	}
	if len(want["prompt cache"]) != len(table.Models) {
		t.Errorf("%d models have a published least prefix, want all %d", len(want["prompt cache"]), len(table.Models))
	}
	for _, m := range table.Models {
		if (m.Fast != nil) != fast[m.ID] || (m.NotRetiredBefore+m.Ends != "") != dated[m.ID] {
			t.Errorf("%s has a price of fast mode or a date that is not published", m.ID)
		}
	}
	var retired [][]string
	for _, r := range table.Retirees {
		retired = append(retired, []string{r.ID, r.Date})
	}
	equal("dates", "retired models", want["retired"], retired)
	equal("factors", "the table", []float64{0.5, 1.1, 10}, []float64{table.Batch, table.USOnly, table.WebSearch})
}

func TestCostOf(t *testing.T) {
	t.Parallel()
	usage := llm.Usage{InputTokens: 1_000_000, OutputTokens: 100_000, CacheReadTokens: 1}
	cases := []struct {
		model string
		rate  llm.Rate
		want  string
	}{
		{"claude-opus-5-5", llm.Rate{}, "$6.0000002"},
		{"claude-opus-5-5", llm.Rate{Batch: true}, "$3.0000001"},
		{"claude-opus-5-5", llm.Rate{USOnly: true}, "$6.60000022"},
		{"claude-opus-5-5", llm.Rate{Fast: true}, "$12.0000004"},
		{"claude-haiku-5-5", llm.Rate{}, "$0.75000005"},
		// 0.0275 millionths for the read are rounded up to a billionth.
		{"claude-haiku-5-5", llm.Rate{Batch: true, USOnly: true}, "$0.412500028"},
	}
	for _, c := range cases {
		got, ok := llm.Prices().CostOf(c.model, usage, c.rate)
		if !ok || got.String() != c.want {
			t.Errorf("CostOf(%s, %+v) = %v, %v; want %s", c.model, c.rate, got, ok, c.want)
		}
	}
	for model, rate := range map[string]llm.Rate{"claude-next": {}, "claude-haiku-5-5": {Fast: true}, "claude-opus-5-5": {Fast: true, Batch: true}} {
		if cost, ok := llm.Prices().CostOf(model, usage, rate); ok {
			t.Errorf("CostOf(%s, %+v) = %v, want no price", model, rate, cost)
		}
	}
	search, _ := llm.Prices().CostOf("claude-sonnet-5-5", llm.Usage{WebSearches: 3}, llm.Rate{Batch: true})
	if want := 3 * llm.Dollar / 100; search != want {
		t.Errorf("3 searches = %v, want %v: the factor is for tokens", search, want)
	}
}

func TestRateOf(t *testing.T) {
	t.Parallel()
	req := &llm.Request{Extra: map[string]json.RawMessage{"inference_geo": json.RawMessage(`"us"`), "speed": json.RawMessage(`"fast"`)}}
	if got, want := llm.RateOf(req), (llm.Rate{USOnly: true, Fast: true}); got != want {
		t.Errorf("RateOf = %+v, want %+v", got, want)
	}
	req.Extra = map[string]json.RawMessage{"inference_geo": json.RawMessage(`"global"`), "speed": json.RawMessage(`7`)}
	if got := llm.RateOf(req); got != (llm.Rate{}) {
		t.Errorf("RateOf = %+v, want the usual rate", got)
	}
}

// TestRateOfBreakpoints finds a breakpoint for an hour wherever one can stand.
func TestRateOfBreakpoints(t *testing.T) {
	t.Parallel()
	hour := json.RawMessage(`{"type":"ephemeral","ttl":"1h"}`)
	marked := llm.TextBlock("x")
	marked.CacheControl = hour
	raw := json.RawMessage(`{"name":"x","cache_control":{"type":"ephemeral", "ttl": "1h"}}`)
	for name, req := range map[string]*llm.Request{
		"request": {Extra: map[string]json.RawMessage{"cache_control": hour}},
		"tool":    {Tools: []llm.Tool{{Name: "a"}, {Name: "x", Raw: raw}}},
		"system":  {System: []llm.Block{marked}},
		"block":   {Messages: []llm.Message{{Role: llm.RoleUser, Content: []llm.Block{marked}}}},
		"raw":     {Messages: []llm.Message{{Role: llm.RoleUser, Content: []llm.Block{{Type: "document", Raw: raw}}}}},
	} {
		if !llm.RateOf(req).Hour {
			t.Errorf("%s: not found", name)
		}
	}
	marked.CacheControl = json.RawMessage(`{"type":"ephemeral"}`)
	if llm.RateOf(&llm.Request{System: []llm.Block{marked}}).Hour {
		t.Error("five minutes are taken for an hour")
	}
}

// TestNothingCostsMoreThanItsWorstCase shows what budgets rest on.
func TestNothingCostsMoreThanItsWorstCase(t *testing.T) {
	t.Parallel()
	models := llm.Prices().Models
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(models).Draw(t, "model")
		input := rapid.IntRange(0, 300_000).Draw(t, "input")
		output := rapid.IntRange(0, 64_000).Draw(t, "output")
		rate := llm.Rate{Batch: rapid.Bool().Draw(t, "batch"), USOnly: rapid.Bool().Draw(t, "us")}
		left := input
		part := func(label string) int {
			n := rapid.IntRange(0, left).Draw(t, label)
			left -= n
			return n
		}
		u := llm.Usage{
			InputTokens: part("uncached"), CacheWrite5m: part("5m"), CacheWrite1h: part("1h"), CacheReadTokens: part("read"),
			OutputTokens: rapid.IntRange(0, output).Draw(t, "answered"),
		}
		rate.Hour = u.CacheWrite1h > 0 || rapid.Bool().Draw(t, "hour")
		worst, ok := llm.Prices().WorstCase(m.ID, input, output, rate)
		cost, priced := llm.Prices().CostOf(m.ID, u, rate)
		if !ok || !priced || cost > worst {
			t.Fatalf("%s: %+v costs %v (%v), more than the worst case %v (%v)", m.ID, u, cost, priced, worst, ok)
		}
		usd, _ := llm.Prices().Cost(m.ID, u)
		if exact, _ := llm.Prices().CostOf(m.ID, u, llm.Rate{}); exact.USD() < usd-1e-12 || exact.USD() > usd+2e-9 {
			t.Fatalf("%s: %+v costs %v exactly and %v in floats", m.ID, u, exact, usd)
		}
	})
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]llm.Money{
		"$0.00": 0, "$5.00": 5 * llm.Dollar, "$0.000000001": 1, "-$1.50": -3 * llm.Dollar / 2, "$0.125": llm.Dollars(0.125), "$0.10": llm.Dollars(0.1),
	} {
		if got := m.String(); got != want {
			t.Errorf("%d is %q, want %q", int64(m), got, want)
		}
	}
	if got := llm.Dollars(1e300); got != llm.MaxMoney {
		t.Errorf("Dollars(1e300) = %d", int64(got))
	}
}

func TestMoneySaturates(t *testing.T) {
	t.Parallel()
	least := llm.Money(math.MinInt64) // below -MaxMoney, as a damaged row may hold
	for _, tt := range []struct{ a, b, sum, diff llm.Money }{
		{5, 3, 8, 2},
		{5, -8, -3, 13},
		{llm.MaxMoney, 1, llm.MaxMoney, llm.MaxMoney - 1},
		{-llm.MaxMoney, 1, 1 - llm.MaxMoney, -llm.MaxMoney},
		{llm.MaxMoney, -llm.MaxMoney, 0, llm.MaxMoney},
		{-llm.MaxMoney, -1, -llm.MaxMoney, 1 - llm.MaxMoney},
		{0, least, -llm.MaxMoney, llm.MaxMoney},
		{least, least, -llm.MaxMoney, -1},
	} {
		if got := tt.a.Add(tt.b); got != tt.sum {
			t.Errorf("%d.Add(%d) = %d, want %d", int64(tt.a), int64(tt.b), int64(got), int64(tt.sum))
		}
		if got := tt.a.Sub(tt.b); got != tt.diff {
			t.Errorf("%d.Sub(%d) = %d, want %d", int64(tt.a), int64(tt.b), int64(got), int64(tt.diff))
		}
	}
}

func TestLoadPrices(t *testing.T) {
	t.Parallel()
	table, err := llm.LoadPrices([]byte(`{
		"source": "our contract", "batch": 0.4,
		"aliases": {"cheap": "claude-haiku-5-5"},
		"models": [
			{"id": "claude-opus-5-5", "tiers": [{"input": 3, "output": 15}]},
			{"id": "claude-next", "context": 200000, "max_output": 64000, "tiers": [{"input": 1, "output": 2, "write_5m": 1, "write_1h": 1, "read": 1}]}
		]}`))
	if err != nil {
		t.Fatal(err)
	}
	million := llm.Usage{InputTokens: 1e6, CacheWrite1h: 1e6}
	for model, want := range map[string]llm.Money{"claude-opus-5-5": 9 * llm.Dollar, "claude-next": 2 * llm.Dollar, "claude-sonnet-5-5": 6 * llm.Dollar} {
		if got, ok := table.CostOf(model, million, llm.Rate{}); !ok || got != want {
			t.Errorf("%s costs %v, %v; want %v", model, got, ok, want)
		}
	}
	if id, _ := table.Resolve("cheap"); id != "claude-haiku-5-5" {
		t.Errorf("cheap is %s", id)
	}
	if got, _ := llm.Prices().CostOf("claude-opus-5-5", million, llm.Rate{}); got != 12*llm.Dollar {
		t.Errorf("the embedded table says %v after another was laid over it", got)
	}
	if m, _ := table.Info("claude-opus-5-5"); m.Context != 1_000_000 || m.Released == "" {
		t.Errorf("what the file does not say is lost: %+v", m)
	}
}

func TestLoadPricesSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{\n\"models\": [\n{\"id\": 7}]}":                                  "line 3: models.id",
		"{\n\n\"modles\": [],\n\"date\": \"\"\n}":                          "line 3",
		"{\n\"models\": [\n}":                                              "line 3",
		"{\n\"models\": [{\"id\": \"claude-next\"\n}]}":                    "line 2: models[18] (claude-next): context is missing",
		`{"models": [{"tiers": []}]}`:                                      "id is missing",
		`{"batch": -1}`:                                                    "batch: -1",
		`{"models": [{"id": "claude-opus-5-5", "tiers": [{"input": 1}]}]}`: "tiers[0]: input and output",
		`{"models": [{"id": "claude-opus-5-5", "tiers": [{"input": 1, "output": 1}, {"input": 1, "output": 1}]}]}`: "tiers[0]: prompt_up_to",
		`{"models": [{"id": "claude-opus-5-5", "tiers": [{"input": 1, "output": 1, "prompt_up_to": 5}]}]}`:         "tiers[0]: prompt_up_to is for tiers",
		`{"models": [{"id": "claude-opus-5-5", "fast": {"input": 1}, "tiers": [{"input": 1, "output": 1}]}]}`:      "fast:",
	} {
		if _, err := llm.LoadPrices([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("LoadPrices(%s) = %v, want it to name %q", text, err, want)
		}
	}
}
