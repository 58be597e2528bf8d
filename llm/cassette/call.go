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

// callFile is the file of one call.
type callFile struct {
	Agent string `json:"agent,omitempty"`
	// Nth is the first time that the call was answered so, counted from 1.
	Nth     int             `json:"nth"`
	Request json.RawMessage `json:"request"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	// ToolInputs are the inputs of the answer's tool_use blocks, by the
	// block's index, that JSON for people cannot show as they were written.
	ToolInputs map[int]string `json:"tool_inputs,omitempty"`
	Failure    *failure       `json:"failure,omitempty"`
	Source     llm.Source     `json:"source,omitempty"` // of the answer when it was recorded
	Timing     timing         `json:"timing"`
}

type timing struct {
	DurationSeconds   float64 `json:"duration_seconds"`
	FirstTokenSeconds float64 `json:"first_token_seconds,omitempty"` // none if no piece came
}

// failure is a call that failed.
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

// err is the failure as the error it was, without a hint to wait.
func (f *failure) err() (*llm.Error, error) {
	for code := llm.CodeInvalid; code <= llm.CodeInternal; code++ {
		if code.String() == f.Code {
			e := llm.NewError(code, f.Message, nil)
			e.Status = f.Status
			return e, nil
		}
	}
	return nil, fmt.Errorf("its failure has the code %q, which there is not", f.Code)
}

// requestForm is a request as it is written: what is in its key.
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

// toolForm is a tool, which is sent as its definition but known by its name.
type toolForm struct {
	Name       string   `json:"name"`
	Definition llm.Tool `json:"definition"`
}

// UnmarshalJSON reads a tool.
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

// writtenRequest is a request as the cassette has it: scrubbed, its form and its
// key.
type writtenRequest struct {
	json json.RawMessage
	req  *llm.Request
	key  llm.Key
}

// write gives req the form that the cassette has it in. Recorder and player
// both take the key from there, so they agree whatever the form does to it.
func write(req *llm.Request) (writtenRequest, error) {
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
		return writtenRequest{}, err
	}
	return readRequest(data)
}

// readRequest reads a request that was written.
func readRequest(data json.RawMessage) (writtenRequest, error) {
	var form requestForm
	if err := json.Unmarshal(data, &form); err != nil {
		return writtenRequest{}, err
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
	return writtenRequest{data, req, key}, err
}

// setAnswer writes resp into the file.
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

// answer reads the answer that was written.
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

// compact is raw without the white space that people need.
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

// callName is the name of a call's file.
func callName(number int, agent string, key llm.Key) string {
	agent = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, credential.Redact(agent))
	agent = strings.Trim(agent[:min(len(agent), 40)], "-.")
	return fmt.Sprintf("%04d-%s-%s.json", number, cmp.Or(agent, "agent"), key.String()[:8])
}
