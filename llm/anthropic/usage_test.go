package anthropic

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
)

// wireCall makes one call of a client of the API, and returns what came back and its bytes.
func wireCall(tb testing.TB, rt http.RoundTripper) (resp *llm.Response, charge llm.Charge, passed string, err error) {
	tb.Helper()
	req := testRequest()
	req.Wire = &llm.Wire{Body: []byte(`{}`), Header: http.Header{}, Stream: true}
	meter := llm.NewMeter(req)
	for ev, e := range testClient(tb, rt).Stream(context.Background(), req) {
		meter.See(ev, e)
		if err = e; err != nil {
			break
		}
		if ev.Wire != nil {
			passed += string(ev.Wire.Bytes)
		}
		resp = ev.Response
	}
	return resp, meter.Charge(llm.Prices()), passed, err
}

// TestUsageIsReadInAnyForm has answers that are odd and legal, or odd and not understood:
// the usage in them is charged.
func TestUsageIsReadInAnyForm(t *testing.T) {
	t.Parallel()
	const whole = `{"id":"m","type":"message","model":"claude-haiku-5-5","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":25,"output_tokens":15}}`
	for _, test := range []struct{ name, of, now string }{
		{"as it is", ``, ``},
		{"a fraction of zero", `"output_tokens":15`, `"output_tokens":15.0`},
		{"an exponent", `"input_tokens":25`, `"input_tokens":2.5e1`},
		{"in quotes", `"output_tokens":15`, `"output_tokens":"15"`},
		{"beside a count that is none", `"input_tokens":25`, `"cache_read_input_tokens":{"new":1},"input_tokens":25`},
		{"beside a part of another type", `"input_tokens":25`, `"cache_creation":7,"server_tool_use":[],"input_tokens":25`},
		{"after content that is not understood", `{"type":"text","text":"Hi"}`, `7`},
		{"after a reason that is not understood", `"end_turn"`, `{"new":1}`},
		{"after a name that is not understood", `"id":"m"`, `"id":7`},
	} {
		body := strings.Replace(whole, test.of, test.now, 1)
		usage := body[strings.Index(body, `"usage"`):]
		usage = usage[:len(usage)-1]
		content := body[strings.Index(body, `[`)+1 : strings.Index(body, `],"stop`)]
		id := body[strings.Index(body, `"id"`):strings.Index(body, `,"type"`)]
		stop := body[strings.Index(body, `"stop_reason"`):strings.Index(body, `,"usage"`)]
		stream := sse(`{"type":"message_start","message":{`+id+`,"model":"claude-haiku-5-5",`+usage+`}}`,
			`{"type":"content_block_start","index":0,"content_block":`+content+`}`, evStop0,
			`{"type":"message_delta","delta":{`+stop+`},`+usage+`}`, evStop)
		unnamed := strings.ReplaceAll(stream, "event: ", ": ")
		for form, rt := range map[string]transport{
			"document":              respond(200, body, "Content-Type", "application/json"),
			"stream":                respond(200, stream),
			"stream without names":  respond(200, unnamed),
			"stream without an end": respond(200, strings.TrimSuffix(stream, "\n\n")),
		} {
			resp, charge, passed, err := wireCall(t, rt)
			if err != nil || resp == nil || resp.Usage != (llm.Usage{InputTokens: 25, OutputTokens: 15}) || charge.Usage != resp.Usage || charge.Cost == 0 {
				t.Errorf("%s, %s: %+v, charged %+v (%v)", test.name, form, resp, charge, err)
			}
			if want := map[string]string{"document": body, "stream": stream, "stream without names": unnamed, "stream without an end": strings.TrimSuffix(stream, "\n\n")}[form]; passed != want {
				t.Errorf("%s, %s: passed on as %q, want %q", test.name, form, passed, want)
			}
		}
	}
}

// TestACutStreamIsChargedWhatItReported cuts a stream that is not understood.
func TestACutStreamIsChargedWhatItReported(t *testing.T) {
	t.Parallel()
	stream := sse(strings.Replace(evStart, `"msg_1"`, `7`, 1), evText0, evHello, `{"type":"message_delta","delta":{},"usage":{"output_tokens":15}}`)
	_, charge, passed, err := wireCall(t, respond(200, stream))
	if llm.CodeOf(err) != llm.CodeIncomplete || charge.Usage != (llm.Usage{InputTokens: 25, OutputTokens: 15}) || charge.Basis != llm.BasisPart || passed != stream {
		t.Errorf("charged %+v for %q (%v)", charge, passed, err)
	}
}

// TestStreamsInAnyPieces sends a stream with any ends of lines, in any pieces: it is passed
// on byte for byte, and read as the same answer.
func TestStreamsInAnyPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var stream strings.Builder
		for _, line := range strings.SplitAfter(": first\n\n"+hello+": last\n\n", "\n") {
			stream.WriteString(strings.TrimSuffix(line, "\n"))
			if line != "" {
				ends := []string{"\r", "\r\n", "\n"}
				if strings.HasSuffix(stream.String(), "\r") {
					ends = ends[:2] // a line feed would belong to the line before
				}
				stream.WriteString(rapid.SampledFrom(ends).Draw(rt, "end"))
			}
		}
		var pieces []io.Reader
		for rest := stream.String(); rest != ""; {
			n := min(rapid.IntRange(1, 60).Draw(rt, "piece"), len(rest))
			pieces = append(pieces, strings.NewReader(rest[:n]))
			rest = rest[n:]
		}
		resp, _, passed, err := wireCall(t, transport(func(r *http.Request) (*http.Response, error) {
			return response(r, 200, io.NopCloser(io.MultiReader(pieces...))), nil
		}))
		if err != nil || resp == nil || resp.Altered || resp.Text() != "Hello there" || passed != stream.String() || string(resp.Wire.Body) != passed {
			rt.Fatalf("%q: %+v, passed on as %q (%v)", stream.String(), resp, passed, err)
		}
	})
}
