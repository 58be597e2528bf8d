package anthropic

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// wireUsage is the usage object. Its counters are cumulative; events omit
// unchanged ones.
type wireUsage struct {
	Input         *count `json:"input_tokens"`
	Output        *count `json:"output_tokens"`
	CacheRead     *count `json:"cache_read_input_tokens"`
	CacheWrite    *count `json:"cache_creation_input_tokens"`
	CacheCreation *struct {
		FiveMinutes count `json:"ephemeral_5m_input_tokens"`
		OneHour     count `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	ServerToolUse *struct {
		WebSearches count `json:"web_search_requests"`
	} `json:"server_tool_use"`
}

// maxTokens is the largest count of tokens that is believed: more than any
// service writes, and so few that their sum in one answer overflows nowhere.
const maxTokens = 1 << 28

// count is a number of tokens, between 0 and maxTokens. It is read from any form of a
// number (34.0, 3.4e1), also in quotes, since an answer is paid for however it is written.
type count int

// UnmarshalJSON reads a number. What is none is 0, so that the counts beside it are read.
func (c *count) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(data), `"`), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(n) {
		n = 0
	}
	*c = count(min(max(0, math.Ceil(n)), maxTokens))
	return nil
}

// usageOf returns the usage that an event or a whole answer reports, whatever else is in
// it. ok is false if it reports none.
func usageOf(data []byte) (u wireUsage, ok bool) {
	var reporting struct {
		Message json.RawMessage `json:"message"`
		Usage   json.RawMessage `json:"usage"`
	}
	_ = json.Unmarshal(data, &reporting) // a field of another type than documented leaves the others
	var message struct {
		Usage json.RawMessage `json:"usage"`
	}
	_ = json.Unmarshal(reporting.Message, &message)
	for _, raw := range []json.RawMessage{message.Usage, reporting.Usage} {
		var v wireUsage
		_ = json.Unmarshal(raw, &v)
		u.merge(v)
	}
	return u, u.reports()
}

// reports reports whether the usage has a count of tokens.
func (u *wireUsage) reports() bool { return u.Input != nil || u.Output != nil }

func (u *wireUsage) merge(v wireUsage) {
	set(&u.Input, v.Input)
	set(&u.Output, v.Output)
	set(&u.CacheRead, v.CacheRead)
	set(&u.CacheWrite, v.CacheWrite)
	set(&u.CacheCreation, v.CacheCreation)
	set(&u.ServerToolUse, v.ServerToolUse)
}

func set[T any](dst **T, src *T) {
	if src != nil {
		*dst = src
	}
}

// total returns the billed usage. Cache writes without a lifetime count for the
// default, five minutes.
func (u *wireUsage) total() llm.Usage {
	tokens := func(c *count) int {
		if c == nil {
			return 0
		}
		return int(*c)
	}
	t := llm.Usage{
		InputTokens:     tokens(u.Input),
		OutputTokens:    tokens(u.Output),
		CacheReadTokens: tokens(u.CacheRead),
		CacheWrite5m:    tokens(u.CacheWrite),
	}
	if s := u.CacheCreation; s != nil {
		t.CacheWrite1h = int(s.OneHour)
		t.CacheWrite5m = max(int(s.FiveMinutes), t.CacheWrite5m-t.CacheWrite1h)
	}
	if s := u.ServerToolUse; s != nil {
		t.WebSearches = int(s.WebSearches)
	}
	return t
}
