package sim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/sim"
)

// memorySDK returns the official Go SDK connected in memory, for tests with
// fake time.
func memorySDK(opts sim.Options) (*sim.Server, anthropic.Client) {
	server := sim.New(opts)
	return server, anthropic.NewClient(option.WithBaseURL("http://sim.invalid"), option.WithAPIKey("sk-test"),
		option.WithMaxRetries(0), option.WithHTTPClient(&http.Client{Transport: server.RoundTripper()}))
}

func batchRequest(id string, change ...func(*anthropic.MessageBatchNewParamsRequestParams)) anthropic.MessageBatchNewParamsRequest {
	params := anthropic.MessageBatchNewParamsRequestParams{
		Model: "claude-haiku-5-5", MaxTokens: 1000,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Explain " + id))},
	}
	for _, f := range change {
		f(&params)
	}
	return anthropic.MessageBatchNewParamsRequest{CustomID: id, Params: params}
}

func batchOf(ids ...string) anthropic.MessageBatchNewParams {
	var p anthropic.MessageBatchNewParams
	for _, id := range ids {
		p.Requests = append(p.Requests, batchRequest(id))
	}
	return p
}

func create(t *testing.T, client anthropic.Client, params anthropic.MessageBatchNewParams) *anthropic.MessageBatch {
	t.Helper()
	b, err := client.Messages.Batches.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func get(t *testing.T, client anthropic.Client, id string) *anthropic.MessageBatch {
	t.Helper()
	b, err := client.Messages.Batches.Get(t.Context(), id, anthropic.MessageBatchGetParams{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// results returns the types of a batch's results by custom id, and their order.
func results(t *testing.T, client anthropic.Client, id string) (kinds map[string]string, order []string) {
	t.Helper()
	kinds = map[string]string{}
	stream := client.Messages.Batches.ResultsStreaming(t.Context(), id, anthropic.MessageBatchResultsParams{})
	for stream.Next() {
		r := stream.Current()
		kinds[r.CustomID] = r.Result.Type
		order = append(order, r.CustomID)
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return kinds, order
}

func TestBatchGoSDK(t *testing.T) {
	t.Parallel()
	server, client := goSDK(t)
	params := batchOf("a", "b")
	params.Requests = append(params.Requests,
		batchRequest("none", func(p *anthropic.MessageBatchNewParamsRequestParams) { p.MaxTokens = 0 }),
		batchRequest("retired", func(p *anthropic.MessageBatchNewParamsRequestParams) { p.Model = "claude-3-5-haiku-20241022" }))
	b := create(t, client, params)
	if b.ProcessingStatus != "in_progress" || b.RequestCounts.Processing != 4 {
		t.Errorf("created: %s with %d processing", b.ProcessingStatus, b.RequestCounts.Processing)
	}
	b = get(t, client, b.ID)
	if b.ProcessingStatus != "ended" || b.RequestCounts.Succeeded != 2 || b.RequestCounts.Errored != 2 || b.ResultsURL == "" {
		t.Errorf("ended: %s", b.RawJSON())
	}
	live, err := client.Messages.New(t.Context(), ask("Explain a"))
	if err != nil {
		t.Fatal(err)
	}
	stream := client.Messages.Batches.ResultsStreaming(t.Context(), b.ID, anthropic.MessageBatchResultsParams{})
	seen := map[string]string{}
	for stream.Next() {
		r := stream.Current()
		seen[r.CustomID] = r.Result.Type
		switch {
		case r.CustomID == "a" && (textOf(r.Result.Message) != textOf(*live) || r.Result.Message.Usage.ServiceTier != "batch"):
			t.Errorf("answered %s\nlive %s", r.RawJSON(), live.RawJSON())
		case r.CustomID == "retired" && r.Result.Error.Error.Type != "not_found_error":
			t.Errorf("a retired model: %s", r.RawJSON())
		}
	}
	want := map[string]string{"a": "succeeded", "b": "succeeded", "none": "errored", "retired": "errored"}
	if diff := cmp.Diff(want, seen); stream.Err() != nil || diff != "" {
		t.Errorf("results (-want +got), error %v:\n%s", stream.Err(), diff)
	}
	if s := server.Stats(); s.Batches != 1 || s.BatchRequests != 4 || s.Requests != 1 {
		t.Errorf("stats %+v", s)
	}
	if _, err := client.Messages.Batches.Delete(t.Context(), b.ID, anthropic.MessageBatchDeleteParams{}); err != nil {
		t.Error(err)
	}
	if _, err := client.Messages.Batches.Get(t.Context(), b.ID, anthropic.MessageBatchGetParams{}); statusOf(err) != 404 {
		t.Errorf("a deleted batch: %v", err)
	}
}

func statusOf(err error) int {
	if failure, ok := errors.AsType[*anthropic.Error](err); ok {
		return failure.StatusCode
	}
	return 0
}

func TestBatchResultsAreShuffled(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	var ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprint("q", i))
	}
	_, order := results(t, client, create(t, client, batchOf(ids...)).ID)
	if slices.Equal(order, ids) {
		t.Error("results have the order of the requests")
	}
	slices.Sort(order)
	slices.Sort(ids)
	if diff := cmp.Diff(ids, order); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestBatchList(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	var want []string
	for i := range 7 {
		want = append(want, create(t, client, batchOf(fmt.Sprint(i))).ID)
	}
	slices.Reverse(want) // newest first
	var got []string
	pages := client.Messages.Batches.ListAutoPaging(t.Context(), anthropic.MessageBatchListParams{Limit: anthropic.Int(3)})
	for pages.Next() {
		got = append(got, pages.Current().ID)
	}
	if diff := cmp.Diff(want, got); pages.Err() != nil || diff != "" {
		t.Errorf("after (-want +got), error %v:\n%s", pages.Err(), diff)
	}
	page, err := client.Messages.Batches.List(t.Context(), anthropic.MessageBatchListParams{BeforeID: anthropic.String(want[4]), Limit: anthropic.Int(2)})
	if err != nil || len(page.Data) != 2 || page.Data[0].ID != want[2] || page.Data[1].ID != want[3] || !page.HasMore {
		t.Errorf("before %s: %v, %v", want[4], page, err)
	}
	page, err = client.Messages.Batches.List(t.Context(), anthropic.MessageBatchListParams{}, option.WithAPIKey("sk-other"))
	if err != nil || len(page.Data) != 0 {
		t.Errorf("another credential sees %v, %v", page, err)
	}
}

func TestBatchLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, client := memorySDK(sim.Options{BatchLatency: sim.Fixed(time.Hour), TimeScale: 0.5})
		b := create(t, client, batchOf("a", "b"))
		time.Sleep(30*time.Minute - time.Second)
		b = get(t, client, b.ID)
		if b.ProcessingStatus != "in_progress" || b.RequestCounts.Processing != 2 {
			t.Errorf("before the end: %s", b.RawJSON())
		}
		stream := client.Messages.Batches.ResultsStreaming(t.Context(), b.ID, anthropic.MessageBatchResultsParams{})
		if stream.Next() || statusOf(stream.Err()) != 404 {
			t.Errorf("results before the end: %v", stream.Err())
		}
		if _, err := client.Messages.Batches.Delete(t.Context(), b.ID, anthropic.MessageBatchDeleteParams{}); statusOf(err) != 400 {
			t.Errorf("deleting before the end: %v", err)
		}
		time.Sleep(time.Second)
		if b = get(t, client, b.ID); b.ProcessingStatus != "ended" || b.RequestCounts.Succeeded != 2 {
			t.Errorf("at the end: %s", b.RawJSON())
		}
	})
}

func TestBatchExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, client := memorySDK(sim.Options{BatchLatency: sim.Fixed(48 * time.Hour)})
		b := create(t, client, batchOf("a", "b", "c", "d"))
		time.Sleep(24 * time.Hour)
		kinds, _ := results(t, client, b.ID)
		if diff := cmp.Diff(map[string]string{"a": "succeeded", "b": "succeeded", "c": "expired", "d": "expired"}, kinds); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

func TestBatchCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, client := memorySDK(sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		b := create(t, client, batchOf("a", "b", "c", "d"))
		time.Sleep(30 * time.Minute)
		b, err := client.Messages.Batches.Cancel(t.Context(), b.ID, anthropic.MessageBatchCancelParams{})
		if err != nil || b.ProcessingStatus != "canceling" {
			t.Fatalf("canceled: %v, %v", b, err)
		}
		time.Sleep(6 * time.Minute)
		kinds, _ := results(t, client, b.ID)
		if diff := cmp.Diff(map[string]string{"a": "succeeded", "b": "succeeded", "c": "canceled", "d": "canceled"}, kinds); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

func TestInvalidBatches(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t, option.WithMaxRetries(0))
	refused := map[string]anthropic.MessageBatchNewParams{
		"no requests":     {Requests: []anthropic.MessageBatchNewParamsRequest{}},
		"a bad id":        batchOf("a", "no spaces"),
		"a long id":       batchOf(strings.Repeat("x", 65)),
		"the same twice":  batchOf("a", "b", "a"),
		"an empty id":     batchOf(""),
		"a foreign sign":  batchOf("ä"),
		"a trailing line": batchOf("a\n"),
	}
	for name, params := range refused {
		if _, err := client.Messages.Batches.New(t.Context(), params); statusOf(err) != 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInvalidBatchParams(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	params := func(extra string) string {
		return `{"model":"claude-haiku-5-5","max_tokens":10,"messages":[{"role":"user","content":"hi"}]` + extra + `}`
	}
	extras := []string{``, `,"stream":true`, `,"speed":"fast"`, `,"thread":{"id":"x"}`, `,"stream":false`}
	var items []string
	for i, extra := range extras {
		items = append(items, fmt.Sprintf(`{"custom_id":"q%d","params":%s}`, i, params(extra)))
	}
	post := request(server, http.MethodPost, "/v1/messages/batches", `{"requests":[`+strings.Join(items, ",")+`]}`)
	var b struct{ ID string }
	if err := json.Unmarshal(post.Body.Bytes(), &b); err != nil || post.Code != 200 {
		t.Fatalf("%d %s", post.Code, post.Body)
	}
	res := request(server, http.MethodGet, "/v1/messages/batches/"+b.ID+"/results", "")
	if got := res.Header().Get("Content-Type"); got != "application/x-jsonl" {
		t.Errorf("content type %q", got)
	}
	got := map[string]string{}
	for l := range bytes.Lines(res.Body.Bytes()) {
		var v struct {
			CustomID string `json:"custom_id"`
			Result   struct{ Type string }
		}
		if err := json.Unmarshal(l, &v); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		got[v.CustomID] = v.Result.Type
	}
	want := map[string]string{"q0": "succeeded", "q1": "errored", "q2": "errored", "q3": "errored", "q4": "succeeded"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func request(server *sim.Server, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("x-api-key", "sk-test")
	r.Header.Set("anthropic-version", "2023-06-01")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w
}

func TestBatchFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, client := memorySDK(sim.Options{BatchLatency: sim.Fixed(time.Minute)})
		server.Inject(sim.Fault{Kind: sim.FaultLostAnswer, On: sim.OnBatchCreate, Times: 1})
		if _, err := client.Messages.Batches.New(t.Context(), batchOf("lost")); err == nil {
			t.Error("a lost response arrived")
		}
		page, err := client.Messages.Batches.List(t.Context(), anthropic.MessageBatchListParams{})
		if err != nil || len(page.Data) != 1 {
			t.Fatalf("the batch whose response was lost does not exist: %v, %v", page, err)
		}
		lost := page.Data[0].ID
		server.Inject(
			sim.Fault{Kind: sim.FaultSlowBatch, On: sim.OnBatchCreate, Delay: time.Hour, Times: 1},
			sim.Fault{Kind: sim.FaultExpireBatch, On: sim.OnBatchCreate, Match: "Explain x", Times: 1},
			sim.Fault{Kind: sim.FaultCancelBatch, On: sim.OnBatchCreate, Times: 1},
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 429, Times: 1})
		slow := create(t, client, batchOf("slow")).ID
		expired := create(t, client, batchOf("x", "y")).ID
		canceled := create(t, client, batchOf("z")).ID
		if _, err := client.Messages.Batches.New(t.Context(), batchOf("q")); statusOf(err) != 429 {
			t.Errorf("a 429: %v", err)
		}
		time.Sleep(time.Minute)
		if got := get(t, client, slow).ProcessingStatus; got != "in_progress" {
			t.Errorf("the slow batch is %s", got)
		}
		server.Inject(sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchResults, Status: 500, Times: 1},
			sim.Fault{Kind: sim.FaultCutBody, On: sim.OnBatchResults, Times: 1})
		for range 2 {
			stream := client.Messages.Batches.ResultsStreaming(t.Context(), expired, anthropic.MessageBatchResultsParams{})
			for stream.Next() {
			}
			if stream.Err() == nil {
				t.Error("results arrived despite the fault")
			}
			stream.Close()
		}
		for id, want := range map[string]map[string]string{
			lost: {"lost": "succeeded"}, expired: {"x": "expired", "y": "succeeded"}, canceled: {"z": "canceled"},
		} {
			if kinds, _ := results(t, client, id); !cmp.Equal(kinds, want) {
				t.Errorf("results %v, want %v", kinds, want)
			}
		}
	})
}

func TestBatchRateLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, client := memorySDK(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 1, BatchRequestsPerMinute: 2}})
		id := create(t, client, batchOf("a")).ID
		get(t, client, id)
		if _, err := client.Messages.Batches.Get(t.Context(), id, anthropic.MessageBatchGetParams{}); statusOf(err) != 429 {
			t.Errorf("the third request: %v", err)
		}
		if _, err := client.Messages.New(t.Context(), ask("hi")); err != nil {
			t.Errorf("calls share the limit of batches: %v", err)
		}
		time.Sleep(30 * time.Second)
		get(t, client, id)
		if n := server.Stats().RateLimited; n != 1 {
			t.Errorf("%d rate limited, want 1", n)
		}
	})
}
