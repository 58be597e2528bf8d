package sim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/sim"
)

func TestRequestCounts(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	body := `{"model":"claude-haiku-5-5","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}`
	server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 529, Times: 1})
	for range 3 {
		request(server, http.MethodPost, "/v1/messages", body)
	}
	b := request(server, http.MethodPost, "/v1/messages/batches", `{"requests":[{"custom_id":"a","params":`+body+`}]}`)
	var created struct{ ID string }
	if err := json.Unmarshal(b.Body.Bytes(), &created); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		request(server, http.MethodGet, "/v1/messages/batches/"+created.ID+"/results", "")
	}
	var got struct{ Requests map[string]sim.RequestCount }
	if err := json.Unmarshal(request(server, http.MethodGet, "/_sim/requests", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(server.Requests(), got.Requests); diff != "" {
		t.Errorf("the endpoint differs from the method:\n%s", diff)
	}
	for _, n := range got.Requests {
		if want := (sim.RequestCount{Started: 4, Answered: 3}); len(got.Requests) != 1 || n != want {
			t.Errorf("counted %v, want once %+v", got.Requests, want)
		}
	}
	if server.Reset(); len(server.Requests()) != 0 {
		t.Error("Reset leaves counts")
	}
}

// The model does not see the breakpoints of the prompt cache.
func TestBreakpointsDoNotChangeRequests(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	body := func(top, first, last string) string {
		return `{"model":"claude-haiku-5-5","max_tokens":500` + top + `,"messages":[{"role":"user","content":[` +
			`{` + first + `"type":"text","text":"of ,\"cache_control\":{} it speaks"},{"type":"text","text":"Go on."` + last + `}]}]}`
	}
	const mark = `"cache_control":{"type":"ephemeral","ttl":"5m"}`
	plain := body("", "", "")
	want := answerTo(t, server, plain).text()
	for _, marked := range []string{body("", mark+",", ""), body("", "", ", "+mark), body(","+mark, "", "")} {
		if got := answerTo(t, server, marked).text(); got != want {
			t.Errorf("%s has another answer:\n%s", marked, cmp.Diff(want, got))
		}
	}
	if n := server.Requests(); len(n) != 1 || n[sim.Sum([]byte(plain))].Started != 4 {
		t.Errorf("counted %v, want one request made 4 times", n)
	}
	if sim.Sum([]byte(plain)) == sim.Sum([]byte(strings.Replace(plain, "cache_control", "cash_control", 1))) {
		t.Error("cache_control within a text is stripped")
	}
}
