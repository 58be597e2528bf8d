package analytics

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Imported is a call from elsewhere.
type Imported struct {
	Call Call
	// Hash tells the line from all others: of several equal lines of a file the
	// first, the second and so on, so that reading a file again, or a longer
	// version of it, finds which are known.
	Hash [16]byte
}

// LineError is a line that was skipped.
type LineError struct {
	File string
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns Err.
func (e *LineError) Unwrap() error { return e.Err }

// UpstreamOptions are the settings of [ReadUpstream].
type UpstreamOptions struct {
	Project  string
	Location *time.Location  // of times, which have no zone; nil for this machine's
	Prices   *llm.PriceTable // nil for [llm.Prices]
}

// maxLine bounds a line of a file that is read.
const maxLine = 1 << 20

// upstreamRow is a line of .claude/metrics/*.jsonl as the first implementation
// wrote it.
type upstreamRow struct {
	Timestamp string   `json:"timestamp"`
	Agent     string   `json:"agent_name"`
	Success   *bool    `json:"success"`
	Millis    float64  `json:"execution_time_ms"`
	Model     string   `json:"model"`
	Input     int      `json:"input_tokens"`
	Output    int      `json:"output_tokens"`
	ErrorType string   `json:"error_type"`
	Workflow  string   `json:"workflow_name"`
	Position  *float64 `json:"workflow_position"`
}

// ReadUpstream reads calls from a file of the first implementation's metrics. A
// line that cannot be used is a [LineError], after which the reading goes on;
// any other error is of the reader and ends it.
func ReadUpstream(file string, r io.Reader, opts UpstreamOptions) iter.Seq2[Imported, error] {
	return func(yield func(Imported, error) bool) {
		seen := map[[16]byte]uint64{}
		br := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ; n++ {
			line, long, err := readLine(br)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Imported{}, fmt.Errorf("reading %s: %w", file, err))
				return
			}
			end := err != nil
			if text := strings.TrimSpace(line); text != "" || long {
				got := Imported{}
				if long {
					err = fmt.Errorf("the line is longer than %d bytes", maxLine)
				} else if got.Call, err = opts.call(text); err == nil {
					got.Hash = lineHash(text, seen)
				} else if end {
					err = fmt.Errorf("the line was cut short: %w", err)
				}
				if err != nil {
					err = &LineError{file, n, err}
				}
				if !yield(got, err) {
					return
				}
			}
			if end {
				return
			}
		}
	}
}

// readLine reads a line, of which it keeps no more than maxLine.
func readLine(br *bufio.Reader) (line string, long bool, err error) {
	var sb strings.Builder
	for {
		part, err := br.ReadSlice('\n')
		if sb.Len()+len(part) > maxLine {
			long = true
		} else {
			sb.Write(part)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return sb.String(), long, err
		}
	}
}

func lineHash(text string, seen map[[16]byte]uint64) [16]byte {
	sum := sha256.Sum256([]byte(text))
	first := [16]byte(sum[:16])
	seen[first]++
	sum = sha256.Sum256(binary.LittleEndian.AppendUint64(first[:], seen[first]))
	return [16]byte(sum[:16])
}

func (o *UpstreamOptions) call(text string) (c Call, err error) {
	var row upstreamRow
	if err := json.Unmarshal([]byte(text), &row); err != nil {
		return c, err
	}
	location := o.Location
	if location == nil {
		location = time.Local
	}
	at, err := time.ParseInLocation("2006-01-02T15:04:05", row.Timestamp, location)
	if err != nil {
		if at, err = time.Parse(time.RFC3339, row.Timestamp); err != nil {
			return c, fmt.Errorf("the timestamp %q is not like 2026-11-06T12:00:00", row.Timestamp)
		}
	}
	switch {
	case row.Agent == "" || row.Model == "":
		return c, errors.New("there must be an agent_name and a model")
	case row.Millis < 0 || row.Millis > 1e12 || row.Input < 0 || row.Output < 0:
		return c, errors.New("numbers must not be below 0")
	}
	c = Call{
		Time: at, Project: o.Project, Workflow: row.Workflow, Agent: row.Agent, Asked: row.Model, Model: row.Model,
		Source: llm.SourceLive, Usage: llm.Usage{InputTokens: row.Input, OutputTokens: row.Output},
		Duration: time.Duration(row.Millis * float64(time.Millisecond)), Attempts: 1,
	}
	if row.Position != nil {
		c.Step = strconv.FormatFloat(*row.Position, 'f', -1, 64)
	}
	if row.Success != nil && !*row.Success {
		c.Source, c.Code = "", upstreamCode(row.ErrorType)
	}
	prices := o.Prices
	if prices == nil {
		prices = llm.Prices()
	}
	if usd, ok := prices.Cost(c.Model, c.Usage); ok {
		c.Cost = llm.Dollars(usd)
	} else if p, ok := oldPrices[c.Model]; ok {
		c.Cost = llm.Dollars((float64(row.Input)*p.input + float64(row.Output)*p.output) / 1e6)
	} else {
		c.Unpriced = true
	}
	return c, nil
}

// oldPrices are what models that the price table no longer has cost when the
// first implementation asked them, in dollars per million tokens. Its own
// figures will not do: it took one price for all models, and a thousandth of it.
//
// They are those of https://docs.anthropic.com/en/docs/about-claude/pricing, for
// prompts of up to 200,000 tokens, as it stood between the releases of Opus 4.1 and
// of Sonnet 4.5 (August and September 2025), looked up on 2026-11-25. Sonnet 3 was
// not on it any more; its price is that of https://github.com/pydantic/genai-prices,
// prices/providers/anthropic.yml at 0335e44b (June 2025). Haiku 3.5 was released on
// 2024-11-04 at 1 and 5 and made cheaper about a month later
// (https://aiwiki.ai/wiki/claude_3_5_haiku): calls of that month cost more than this.
var oldPrices = map[string]struct{ input, output float64 }{
	"claude-3-haiku-20240307":    {0.25, 1.25},
	"claude-3-sonnet-20240229":   {3, 15},
	"claude-3-opus-20240229":     {15, 75},
	"claude-3-5-sonnet-20240620": {3, 15},
	"claude-3-5-sonnet-20241022": {3, 15},
	"claude-3-5-haiku-20241022":  {0.8, 4},
	"claude-3-7-sonnet-20250219": {3, 15},
	"claude-sonnet-4-20250514":   {3, 15},
	"claude-opus-4-20250514":     {15, 75},
	"claude-opus-4-1-20250805":   {15, 75},
}

// upstreamCode returns the code of an error of the first implementation, which kept
// the name of a class.
func upstreamCode(name string) llm.Code {
	name = strings.ToLower(name)
	for _, known := range [...]struct {
		part string
		code llm.Code
	}{
		{"timeout", llm.CodeTimeout}, {"ratelimit", llm.CodeRateLimit}, {"auth", llm.CodeAuth}, {"permission", llm.CodeAuth},
		{"connection", llm.CodeConnection}, {"overload", llm.CodeOverloaded}, {"notfound", llm.CodeNotFound},
		{"badrequest", llm.CodeInvalid}, {"value", llm.CodeInvalid},
	} {
		if strings.Contains(name, known.part) {
			return known.code
		}
	}
	return llm.CodeServer
}
