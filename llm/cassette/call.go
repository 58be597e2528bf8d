package cassette

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/internal/credential"
	"github.com/claude-force/claude-force/llm"
)

// callFile is the content of one call's file.
type callFile struct {
	Agent string `json:"agent,omitempty"`
	// Tool is the name of the tool that made the call while it ran. A replay runs
	// no tool, so it does not make the call.
	Tool string `json:"tool,omitempty"`
	// Nth is the number of the first repetition of the call that got this
	// answer, from 1.
	Nth     int             `json:"nth"`
	Request json.RawMessage `json:"request"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	// ToolInputs holds the inputs of tool_use blocks, by the block's index,
	// whose exact bytes the indented JSON does not preserve.
	ToolInputs map[int]string `json:"tool_inputs,omitempty"`
	Failure    *failure       `json:"failure,omitempty"`
	Source     llm.Source     `json:"source,omitempty"` // source of the recorded answer
	Timing     timing         `json:"timing"`
}

type timing struct {
	DurationSeconds   float64 `json:"duration_seconds"`
	FirstTokenSeconds float64 `json:"first_token_seconds,omitempty"` // 0 if no text arrived
}

// failure is the error of a failed call.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"status,omitempty"`
}

func newFailure(err error) *failure {
	f := &failure{Code: llm.CodeOf(err).String(), Message: err.Error()}
	if e, ok := errors.AsType[*llm.Error](err); ok {
		f.Message, f.Status = e.Message, e.Status
		if f.Message == "" && e.Err != nil {
			f.Message = e.Err.Error()
		}
	}
	return f
}

// err returns the failure as an error, without RetryAfter.
func (f *failure) err() (*llm.Error, error) {
	for code := llm.CodeInvalid; code <= llm.CodeInternal; code++ {
		if code.String() == f.Code {
			e := llm.NewError(code, f.Message, nil)
			e.Status = f.Status
			return e, nil
		}
	}
	return nil, fmt.Errorf("its failure has the unknown code %q", f.Code)
}

// requestForm is the JSON form of a request: the fields that its key depends
// on.
type requestForm struct {
	Model         string                     `json:"model"`
	MaxTokens     int                        `json:"max_tokens"`
	System        []llm.Block                `json:"system,omitempty"`
	Messages      []llm.Message              `json:"messages"`
	Tools         []toolForm                 `json:"tools,omitempty"`
	ToolChoice    json.RawMessage            `json:"tool_choice,omitempty"`
	StopSequences []string                   `json:"stop_sequences,omitempty"`
	Thinking      json.RawMessage            `json:"thinking,omitempty"`
	OutputConfig  json.RawMessage            `json:"output_config,omitempty"`
	Extra         map[string]json.RawMessage `json:"extra,omitempty"`
	Betas         []string                   `json:"betas,omitempty"`
}

// toolForm is the JSON form of a tool, which is sent as its definition but
// known by its name.
type toolForm struct {
	Name       string   `json:"name"`
	Definition llm.Tool `json:"definition"`
}

// UnmarshalJSON decodes a tool.
func (t *toolForm) UnmarshalJSON(data []byte) error {
	var form struct {
		Name       string
		Definition json.RawMessage
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return err
	}
	*t = toolForm{form.Name, llm.Tool{Name: form.Name, Raw: form.Definition}}
	return nil
}

// storedRequest is a request as the cassette stores it, redacted, with its JSON
// and its key.
type storedRequest struct {
	json json.RawMessage
	req  *llm.Request
	key  llm.Key
}

// storeRequest converts req to its stored form. Recorder and player both take
// the key from that form, so they agree whatever the conversion does.
func storeRequest(req *llm.Request) (storedRequest, error) {
	form := requestForm{
		Model: req.Model, MaxTokens: req.MaxTokens, System: req.System, Messages: req.Messages,
		ToolChoice: req.ToolChoice, StopSequences: req.StopSequences, Thinking: req.Thinking,
		OutputConfig: req.OutputConfig, Extra: req.Extra, Betas: req.Betas,
	}
	for _, t := range req.Tools {
		form.Tools = append(form.Tools, toolForm{t.Name, t})
	}
	data, err := encode(form)
	if err != nil {
		return storedRequest{}, err
	}
	return parseRequest(data)
}

// parseRequest parses a stored request.
func parseRequest(data json.RawMessage) (storedRequest, error) {
	var form requestForm
	if err := json.Unmarshal(data, &form); err != nil {
		return storedRequest{}, err
	}
	req := &llm.Request{
		Model: form.Model, MaxTokens: form.MaxTokens, System: form.System, Messages: form.Messages,
		ToolChoice: form.ToolChoice, StopSequences: form.StopSequences, Thinking: form.Thinking,
		OutputConfig: form.OutputConfig, Extra: form.Extra, Betas: form.Betas,
	}
	for _, t := range form.Tools {
		req.Tools = append(req.Tools, t.Definition)
	}
	key, err := llm.Keyer{}.Key(req)
	return storedRequest{data, req, key}, err
}

// setAnswer stores resp in the file.
func (f *callFile) setAnswer(resp *llm.Response) error {
	data, err := encode(resp)
	if err != nil {
		return err
	}
	f.Source, f.Answer = resp.Source, bytes.TrimSpace(data)
	read, err := f.answer()
	if err != nil {
		return err
	}
	for i, b := range resp.Content {
		if !bytes.Equal(read.Content[i].Input, b.Input) {
			if f.ToolInputs == nil {
				f.ToolInputs = map[int]string{}
			}
			f.ToolInputs[i] = string(b.Input)
		}
	}
	return nil
}

// answer parses the stored answer.
func (f *callFile) answer() (*llm.Response, error) {
	var resp llm.Response
	if err := json.Unmarshal(f.Answer, &resp); err != nil {
		return nil, err
	}
	if resp.StopReason == "" {
		return nil, errors.New("its answer has no stop_reason")
	}
	for i := range resp.Content {
		b := &resp.Content[i]
		b.Input, b.Raw = compact(b.Input), compact(b.Raw)
		if exact, ok := f.ToolInputs[i]; ok {
			b.Input = json.RawMessage(exact)
		}
	}
	resp.Source = llm.SourceReplay
	return &resp, nil
}

// compact returns raw without insignificant white space.
func compact(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return nil
	}
	var buf bytes.Buffer
	if json.Compact(&buf, raw) != nil {
		return raw
	}
	return buf.Bytes()
}

// callName returns the name of a call's file.
func callName(number int, agent string, key llm.Key) string {
	return fmt.Sprintf("%04d-%s-%s.json", number, cmp.Or(namePart(agent), "agent"), key.String()[:8])
}

// namePart returns a text as a part of the name of a file.
func namePart(text string) string {
	text = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, credential.Redact(text))
	return strings.Trim(text[:min(len(text), 40)], "-.")
}
