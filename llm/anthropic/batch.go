package anthropic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/llm"
)

const batchesPath = "v1/messages/batches"

// Batches is a client of the Message Batches API. It is safe for concurrent
// use. As with calls, nothing is retried here.
type Batches struct{ c *Client }

// Batches returns the client's message batches. Amazon Bedrock and Google
// Vertex AI have none: with them every method fails with [llm.CodeInvalid].
func (c *Client) Batches() *Batches { return &Batches{c} }

// Params returns the body of req for use in a batch. If req has a field that
// batches do not accept, the error has the code [llm.CodeInvalid].
func (b *Batches) Params(req *llm.Request) (json.RawMessage, error) {
	if err := b.served(); err != nil {
		return nil, err
	}
	for _, name := range []string{"stream", "speed", "thread"} {
		if _, ok := req.Extra[name]; ok {
			return nil, llm.NewError(llm.CodeInvalid, fmt.Sprintf("a batch does not accept the field %q: leave it out, or send the call outside a batch", name), nil)
		}
	}
	return encodeCall(req, false)
}

func (b *Batches) served() error {
	if b.c.opts.Backend == BackendAnthropic {
		return nil
	}
	return llm.NewError(llm.CodeInvalid, fmt.Sprintf("%s has no message batches: send the calls outside batches", b.c.host), nil)
}

// Create creates a batch of items. Its calls are sent with betas, in addition
// to the client's. After an error that is not a rejection by status, the batch
// may have been created: [Batches.List] may show it.
func (b *Batches) Create(ctx context.Context, items []llm.BatchItem, betas []string) (llm.Batch, error) {
	size := 0
	for _, item := range items {
		size += len(item.ID) + len(item.Params) + len(`{"custom_id":"","params":},`)
	}
	body := bytes.NewBuffer(make([]byte, 0, size+len(`{"requests":[]}`)))
	body.WriteString(`{"requests":[`)
	for i, item := range items {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(body, `{"custom_id":%q,"params":`, item.ID)
		body.Write(item.Params)
		body.WriteByte('}')
	}
	body.WriteString(`]}`)
	var created wireBatch
	err := b.do(ctx, http.MethodPost, batchesPath, body.Bytes(), &created, &llm.Request{Betas: betas})
	if err == nil && created.ID == "" {
		err = malformedBatch("a batch without an id")
	}
	return created.batch(), err
}

// Get returns the current state of a batch.
func (b *Batches) Get(ctx context.Context, id string) (llm.Batch, error) {
	var got wireBatch
	err := b.do(ctx, http.MethodGet, batchPath(id), nil, &got, nil)
	if err == nil && got.ID != id {
		err = malformedBatch("a batch with another id than requested")
	}
	return got.batch(), err
}

// List returns a page of the account's batches, newest first, starting after
// the batch with the id after. next is the id for the next page, empty after
// the last one.
func (b *Batches) List(ctx context.Context, after string) (page []llm.Batch, next string, err error) {
	query := url.Values{"limit": {"100"}}
	if after != "" {
		query.Set("after_id", after)
	}
	var list struct {
		Data    []wireBatch `json:"data"`
		HasMore bool        `json:"has_more"`
		LastID  string      `json:"last_id"`
	}
	if err := b.do(ctx, http.MethodGet, batchesPath+"?"+query.Encode(), nil, &list, nil); err != nil {
		return nil, "", err
	}
	for _, w := range list.Data {
		page = append(page, w.batch())
	}
	if list.HasMore && list.LastID != after {
		next = list.LastID
	}
	return page, next, nil
}

// Cancel cancels a batch. Calls that are finished or in progress keep their
// answers.
func (b *Batches) Cancel(ctx context.Context, id string) error {
	var canceled wireBatch
	return b.do(ctx, http.MethodPost, batchPath(id)+"/cancel", nil, &canceled, nil)
}

// Results returns the results of a batch that has ended, in any order. request
// returns the request of an item, or nil if it is unknown; error messages
// depend on it. If the results break off, the last element is an error.
func (b *Batches) Results(ctx context.Context, id string, request func(id string) *llm.Request) iter.Seq2[llm.BatchResult, error] {
	return func(yield func(llm.BatchResult, error) bool) {
		var resp *http.Response
		err := b.do(ctx, http.MethodGet, batchPath(id)+"/results", nil, &resp, nil, option.WithHeader("Accept", "application/x-jsonl"))
		if err != nil {
			yield(llm.BatchResult{}, err)
			return
		}
		defer resp.Body.Close()
		for dec := json.NewDecoder(resp.Body); ; {
			var line wireResult
			err := dec.Decode(&line)
			switch {
			case errors.Is(err, io.EOF):
				return
			case ctx.Err() != nil:
				yield(llm.BatchResult{}, llm.ContextError(ctx))
				return
			case err != nil:
				yield(llm.BatchResult{}, b.resultsError(err))
				return
			}
			if !yield(b.result(line, request(line.CustomID)), nil) {
				return
			}
		}
	}
}

// resultsError returns the error of results that cannot be read to their end.
func (b *Batches) resultsError(err error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, shape := errors.AsType[*json.UnmarshalTypeError](err)
	if syntax || shape {
		return malformedBatch("results that are not as documented")
	}
	return b.c.networkError(err)
}

func malformedBatch(what string) error {
	return llm.NewError(llm.CodeServer, "the service answered with "+what, nil)
}

func batchPath(id string) string { return batchesPath + "/" + url.PathEscape(id) }

// do sends one request. req holds betas and headers beside the body; it may be
// nil.
func (b *Batches) do(ctx context.Context, method, path string, body []byte, res any, req *llm.Request, more ...option.RequestOption) error {
	if err := b.served(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return llm.ContextError(ctx)
	}
	send, err := b.c.sender(ctx)
	if err != nil {
		return b.c.setupError(ctx, err)
	}
	var params any
	if body != nil {
		params = body
	}
	if req == nil {
		req = &llm.Request{}
	}
	var seen *http.Response
	err = send(ctx, method, path, params, res, slices.Concat(b.c.callOptions(req, &seen), more)...)
	if err != nil {
		if seen != nil && seen.Body != nil {
			seen.Body.Close()
		}
		err = b.c.callError(ctx, nil, seen, err)
		if seen != nil && seen.StatusCode < 300 && llm.CodeOf(err) == llm.CodeInternal {
			err = malformedBatch("an unexpected response")
		}
		return err
	}
	if seen != nil && seen.StatusCode >= 300 {
		seen.Body.Close()
		return b.c.serviceError(nil, seen.StatusCode, seen.Header, nil)
	}
	return nil
}

// wireBatch is the API's JSON form of a batch.
type wireBatch struct {
	ID      string    `json:"id"`
	Status  string    `json:"processing_status"`
	Created time.Time `json:"created_at"`
	Expires time.Time `json:"expires_at"`
	Counts  struct {
		Processing int `json:"processing"`
		Succeeded  int `json:"succeeded"`
		Errored    int `json:"errored"`
		Canceled   int `json:"canceled"`
		Expired    int `json:"expired"`
	} `json:"request_counts"`
}

func (w wireBatch) batch() llm.Batch {
	n := w.Counts
	return llm.Batch{
		ID: w.ID, Created: w.Created, Expires: w.Expires, Ended: w.Status == "ended",
		Requests: n.Processing + n.Succeeded + n.Errored + n.Canceled + n.Expired,
	}
}

// wireResult is one line of a batch's results.
type wireResult struct {
	CustomID string `json:"custom_id"`
	Result   struct {
		Type    string          `json:"type"`
		Message json.RawMessage `json:"message"`
		Error   json.RawMessage `json:"error"`
	} `json:"result"`
}

// result converts one line; req is the request of its call, or nil.
func (b *Batches) result(w wireResult, req *llm.Request) llm.BatchResult {
	res := llm.BatchResult{ID: w.CustomID, Outcome: llm.BatchOutcome(w.Result.Type)}
	switch res.Outcome {
	case llm.BatchSucceeded:
		if res.Response, res.Err = decodeMessage(w.Result.Message); res.Err != nil {
			res.Outcome = llm.BatchErrored
		}
	case llm.BatchErrored:
		e := b.c.serviceError(req, http.StatusOK, http.Header{}, w.Result.Error)
		if le, ok := errors.AsType[*llm.Error](e); ok {
			le.Status = 0 // it is the status of the download, not of the call
		}
		res.Err = e
	case llm.BatchCanceled, llm.BatchExpired:
	default:
		res.Outcome, res.Err = llm.BatchErrored, malformedBatch("a result of an unknown type")
	}
	return res
}

// decodeMessage parses a complete answer from a batch.
func decodeMessage(data json.RawMessage) (*llm.Response, error) {
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, malformedBatch("an answer that is not as documented")
	}
	if strings.TrimSpace(m.StopReason) == "" {
		return nil, llm.NewError(llm.CodeIncomplete, "the answer ended without a stop reason", nil)
	}
	resp := m.response()
	resp.Usage.Batch = true
	return resp, nil
}
