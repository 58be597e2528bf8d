package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// operation is one of the description of the API.
type operation struct {
	method, path string // with values for what the path names
	query        []string
	headers      []string
	takesBody    bool
	body         string // of one that a test sends
}

// operations returns what the description of the API has.
func (s *service) operations() (list []operation) {
	s.t.Helper()
	var api struct {
		Paths map[string]map[string]struct {
			Parameters  []struct{ Name, In string }
			RequestBody json.RawMessage
		}
	}
	s.want(http.StatusOK, &api, "GET", "/openapi.json", nil)
	for path, methods := range api.Paths {
		for method, op := range methods {
			o := operation{method: strings.ToUpper(method), path: regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "none"), takesBody: op.RequestBody != nil}
			for _, p := range op.Parameters {
				switch p.In {
				case "query":
					o.query = append(o.query, p.Name)
				case "header":
					o.headers = append(o.headers, p.Name)
				}
			}
			list = append(list, o)
		}
	}
	if len(list) < 40 {
		s.t.Fatalf("the API has %d operations", len(list))
	}
	return list
}

// raw sends a request as it is given, and returns the problem that it is answered with.
func (s *service) raw(method, path, body string, header http.Header) (status int, detail string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var p struct{ Detail, Code, Type string }
	if res.StatusCode >= http.StatusBadRequest && (json.Unmarshal(data, &p) != nil || p.Detail == "" || p.Code == "" || res.Header.Get("Content-Type") != "application/problem+json") {
		s.t.Errorf("%s %s: %s is no problem: %s", method, path, res.Status, data)
	}
	return res.StatusCode, p.Detail
}

// TestNothingOfARequestIsIgnored sends each operation what it would not read as it was
// meant: all are refused, with what is wrong, before anything is done.
func TestNothingOfARequestIsIgnored(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	wrong := func(name, want string, statuses string, o operation, path, body string, header http.Header) {
		t.Helper()
		status, detail := s.raw(o.method, path, body, header)
		if !strings.Contains(statuses, fmt.Sprint(status)) || !strings.Contains(detail, want) {
			t.Errorf("%s %s, %s: %d %q, want %s with %q", o.method, path, name, status, detail, statuses, want)
		}
	}
	for _, o := range s.operations() {
		wrong("an unknown parameter", `"colour"`, "422", o, o.path+"?colour=red", "", nil)
		wrong("a query that is none", "cannot be read", "422", o, o.path+"?a=%zz", "", nil)
		for _, name := range o.query {
			wrong("a parameter twice", name+" is given 2 times", "422", o, o.path+"?"+name+"=1&"+name+"=2", "", nil)
			wrong("a parameter that is no text", name+" is not a text", "422", o, o.path+"?"+name+"=%ff", "", nil)
			if name != "cursor" {
				wrong("an empty parameter", name+" has no value", "422", o, o.path+"?"+name+"=", "", nil)
				wrong("a bare parameter", name+" has no value", "422", o, o.path+"?"+name, "", nil)
			}
		}
		for _, name := range o.headers {
			if name == "Accept" || name == "If-None-Match" { // lists
				continue
			}
			wrong("a header twice", name+" is given 2 times", "422", o, o.path, "", http.Header{name: {"1", "2"}})
			wrong("an empty header", name+" has no value", "422", o, o.path, "", http.Header{name: {" "}})
		}
		json := http.Header{"Content-Type": {"application/json"}}
		wrong("a compressed body", "without Content-Encoding", "415", o, o.path, "x", http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"application/json"}})
		wrong("a long body", "more than 1048576 bytes", "413", o, o.path, strings.Repeat(" ", 1<<20+1), json)
		if !o.takesBody {
			wrong("a body", "takes no body", "422", o, o.path, `{"by": "me"}`, json)
			continue
		}
		for name, body := range map[string]string{
			"no JSON": "x", "half of JSON": `{"name": `, "more after it": "{} {}", "a key twice": `{"name": "a", "name": "b"}`,
			"a key in a value twice": `{"params": {"a": "1", "a": "2"}}`, "no UTF-8": "{\"name\": \"\xff\"}", "half a character": `{"name": "\ud800"}`,
			"too deep": strings.Repeat("[", 100_000), "a number that is none": `{"rpm": 1e999}`, "NaN": `{"budget_usd": NaN}`,
			"another field": `{"colour": "red"}`, "another case of a field": `{"Workflow": "x", "NAME": "x"}`, "a list": "[]", "a text": `"x"`, "null": "null",
		} {
			wrong(name, "", "400 422", o, o.path, body, http.Header{"Content-Type": {"application/json"}})
		}
		wrong("another type", "", "415", o, o.path, "name: x", http.Header{"Content-Type": {"application/yaml"}})
	}
}

// TestTimesOfRequests reads times in queries: those without a zone, and those that no store
// can hold, are refused.
func TestTimesOfRequests(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	for at, want := range map[string]string{
		"2026-11-30T12:00:00Z": "", "2026-11-30T12:00:00.5%2B01:00": "", "1700-01-01T00:00:00Z": "",
		"2026-11-30T12:00:00": "with a zone", "2026-11-30": "with a zone", "2026-11-30T12:00:00+01:00": "%2B",
		"9999-12-31T23:59:59Z": "years", "0001-01-01T00:00:00Z": "years", "1066-01-01T00:00:00Z": "years",
	} {
		for _, path := range []string{"/api/v1/runs?after=", "/api/v1/runs?before=", "/api/v1/calls?since=", "/api/v1/analytics/costs?until="} {
			status, detail := s.raw("GET", path+at, "", nil)
			if (status == http.StatusOK) != (want == "") || !strings.Contains(detail, want) {
				t.Errorf("%s%s: %d %q, want %q", path, at, status, detail, want)
			}
		}
	}
}

// TestMethods sends every route methods that it does not take: the answer names those that
// it does.
func TestMethods(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	for _, o := range s.operations() {
		for _, method := range []string{"PUT", "PATCH", "OPTIONS"} {
			res, _ := s.send(method, o.path, nil)
			if res.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(res.Header.Get("Allow"), o.method) {
				t.Errorf("%s %s: %s, Allow %q, want %s", method, o.path, res.Status, res.Header.Get("Allow"), o.method)
			}
		}
	}
}

// TestHeadOfAStream asks for the headers of a stream alone: the answer ends with them.
func TestHeadOfAStream(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"ask.yaml": "name: ask\nsteps:\n  - {id: go, approval: Go on?}\n"})
	var run struct {
		ID string `json:"run_id"`
	}
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "ask.yaml"})
	res, _ := s.send("HEAD", "/api/v1/runs/"+run.ID+"/stream", nil)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %s, %v", res.Status, res.Header)
	}
}

// TestResumeSaysWhyNot asks for runs to be resumed that cannot be: the answer says so, and
// does not leave it to the log of the server.
func TestResumeSaysWhyNot(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, map[string]string{"fails.yaml": "name: fails\nsteps:\n  - {id: one, value: ok}\n  - {id: bad, agent: python-expert, task: \"${{ int('x') }}\", dependencies: [one]}\n"})
	var run struct {
		ID string `json:"run_id"`
	}
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "fails.yaml"})
	s.follow(run.ID, "")
	at := "/api/v1/runs/" + run.ID
	refused := func(status int, want string, body any) {
		t.Helper()
		var p struct{ Detail string }
		s.want(status, &p, "POST", at+"/resume", body)
		if !strings.Contains(p.Detail, want) {
			t.Errorf("resume with %v: %q, want %q", body, p.Detail, want)
		}
	}
	refused(http.StatusUnprocessableEntity, "no step", map[string]any{"again": []string{"nine"}})
	if err := os.WriteFile(filepath.Join(dir, "fails.yaml"), []byte("name: fails\nsteps:\n  - {id: one, value: other}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(http.StatusUnprocessableEntity, "has changed", nil)
	s.want(http.StatusAccepted, nil, "POST", at+"/resume", map[string]any{"accept_changes": true})
	all := s.follow(run.ID, "")
	if last := all[len(all)-1]; !strings.Contains(last.data, `"completed"`) {
		t.Errorf("resumed with the changes, the run ended with %s", last.data)
	}
	refused(http.StatusConflict, "nothing failed", map[string]any{"failed": true})
}

// TestStartedRunIsRunning looks at a run as soon as the request that started it, or its
// repetition, is answered: it is under way, and not one that is to be resumed.
func TestStartedRunIsRunning(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"asks.yaml": oneApproval})
	for i := range 5 {
		var run, at struct {
			ID     string `json:"run_id"`
			Status string
		}
		key := []string{"Idempotency-Key", fmt.Sprint("try", i)}
		s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "asks.yaml"}, key...)
		s.want(http.StatusOK, &at, "GET", "/api/v1/runs/"+run.ID, nil)
		if at.Status != "running" && at.Status != "waiting" {
			t.Fatalf("run %d is %s after it was started", i, at.Status)
		}
		s.want(http.StatusAccepted, &at, "POST", "/api/v1/runs", map[string]any{"workflow": "asks.yaml"}, key...)
		if at.ID != run.ID || at.Status != "running" && at.Status != "waiting" {
			t.Fatalf("the repetition gives %+v", at)
		}
	}
}

// TestNumbersThatAreNone sends what is read as a number and is none.
func TestNumbersThatAreNone(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	for _, alpha := range []string{"NaN", "nan", "Inf", "-Inf", "+infinity", "1e999", "0x", "1,5"} {
		if status, detail := s.raw("GET", "/api/v1/analytics/compare?a=latest&b=latest&alpha="+alpha, "", nil); status != http.StatusUnprocessableEntity || !strings.Contains(detail, "alpha is not a number") {
			t.Errorf("alpha=%s: %d %q", alpha, status, detail)
		}
	}
}

// TestWrongValuesNameNoTypesOfThisProgram sends numbers that a field does not take in
// whatever form they have: the problem names the field and the number.
func TestWrongValuesNameNoTypesOfThisProgram(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"asks.yaml": oneApproval})
	for _, number := range []string{"1e2", "99999999999999999999", "1e400", "-1e-400", "1.0"} {
		for _, at := range []string{
			`/api/v1/runs {"workflow":"asks.yaml","max_parallel":%s}`, `/api/v1/plans {"workflow":"asks.yaml","max_parallel":%s}`,
			`/api/v1/runs/latest/resume {"max_parallel":%s}`, `/api/v1/keys {"name":"a","rpm":%s}`,
		} {
			path, body, _ := strings.Cut(fmt.Sprintf(at, number), " ")
			status, detail := s.raw("POST", path, body, http.Header{"Content-Type": {"application/json"}})
			if status != http.StatusUnprocessableEntity && status != http.StatusBadRequest || strings.Contains(detail, "Go ") || strings.Contains(detail, "json:") {
				t.Errorf("%s %s: %d %s", path, body, status, detail)
			}
		}
	}
}
