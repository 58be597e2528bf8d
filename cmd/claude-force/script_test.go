package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/claude-force/claude-force/mcpclient/mcptest"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/sim"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	if err := limitMemory(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv("TZ") == "" { // else this is a command that a test started
		_ = os.Setenv("TZ", noon(time.Now()))
	}
	soon := exitAfter
	exitAfter = func(after time.Duration) { soon(after + 5*time.Minute) } // a slow machine takes longer to end in good order
	testscript.Main(m, map[string]func(){"claude-force": main, "mcptest": mcptest.Main, "webhookreceiver": receiverMain})
}

// noon returns the name of a time zone in which it is noon, or an hour off: no test meets
// the end of a day, of which budgets and figures are.
func noon(now time.Time) string {
	return fmt.Sprintf("Etc/GMT%+d", now.UTC().Hour()-12) // whose sign is that of what is west
}

// atOnce finds scripts in which several processes are at work at once.
var atOnce = regexp.MustCompile(`(?m) &\w*&?$|\bserve\b|\bkill\b`)

// scripts returns the files of scripts. In short mode, in which the race detector looks on,
// they are those in which something happens at once.
func scripts(t *testing.T) []string {
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(files) < 100 {
		t.Fatalf("found %d scripts: %v", len(files), err)
	}
	if !testing.Short() {
		return files
	}
	return slices.DeleteFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return !atOnce.Match(text)
	})
}

// TestScripts runs the command as users do: each file is one behaviour, with
// standard output, standard error and exit code as the contract. Each has a
// simulator of its own on the loopback interface, which plays the script in
// simulator.yaml if there is one.
func TestScripts(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) { // as by nohup, of the commands too
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		t.Cleanup(func() { signal.Ignore(syscall.SIGHUP) })
	}
	cmds := maps.Clone(processCmds)
	maps.Copy(cmds, map[string]func(*testscript.TestScript, bool, []string){
		"code":      exitsWith,
		"key":       withKey,
		"requests":  requests,
		"peak":      peak,
		"hold":      hold,
		"held":      held,
		"release":   release,
		"fault":     injectFault,
		"quotas":    quotas,
		"json":      checkJSON,
		"waiting":   waiting,
		"terminate": terminate,
		"batch":     batchIs,
		"let":       let,
		"until":     until,
		"damage":    damage,
		"listen":    listen,
		"picture":   picture,
		"served":    served,
		"manytasks": func(ts *testscript.TestScript, _ bool, args []string) {
			n := 1000
			if len(args) > 1 {
				var err error
				n, err = strconv.Atoi(args[1])
				ts.Check(err)
			}
			var sb strings.Builder
			for i := range n {
				fmt.Fprintf(&sb, "{\"agent\": \"python-expert\", \"task\": \"Task %d\"}\n", i)
			}
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(sb.String()), 0o600))
		},
	})
	testscript.Run(t, testscript.Params{
		Files:               scripts(t),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			options := sim.Options{}
			if text, err := os.ReadFile(filepath.Join(env.WorkDir, "simulator.yaml")); err == nil {
				if options.Script, err = sim.ParseScript("simulator.yaml", text); err != nil {
					return err
				}
			}
			server := sim.New(options)
			calls := &gate{next: server}
			tcp := httptest.NewServer(calls)
			env.Defer(tcp.Close)
			env.Defer(calls.open) // before it is closed, which waits for calls
			env.Values["sim"], env.Values["gate"] = server, calls
			env.Setenv("SIM", tcp.URL)
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_CONFIG_HOME", "")
			env.Setenv("XDG_DATA_HOME", "")
			env.Setenv("TZ", os.Getenv("TZ"))
			env.Setenv("MCP_TIMEOUT", "600000")       // in ms
			env.Setenv("GORACE", os.Getenv("GORACE")) // how long each command waits as it exits
			return os.Mkdir(filepath.Join(env.WorkDir, "home"), 0o755)
		},
		Cmds: cmds,
		Condition: func(name string) (bool, error) {
			if name == "mounts" {
				can := canMount()
				if !can && os.Getenv("CI") == "true" {
					return false, errors.New("CI must be able to mount a file system in a namespace of its own (unshare -rm)")
				}
				return can, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
	})
}

// exitsWith runs a program and checks its exit code: code 2 claude-force …
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s; want %s", got, args[0])
	}
}

// eventually waits until done reports true. problem says what it waits for.
func eventually(ts *testscript.TestScript, done func() bool, problem func() string) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for range 60_000 {
		if done() {
			return
		}
		<-ticker.C
	}
	ts.Fatalf("%s", problem())
}

// waiting waits until the one call in flight is one that the script's simulator keeps
// waiting by a fault of kind silence, and for a moment more, in which a client takes what
// was sent to it. Any other call in flight, however slow, is waited for.
func waiting(ts *testscript.TestScript, _ bool, _ []string) {
	server := ts.Value("sim").(*sim.Server)
	quiet, last := 0, -1 // quiet counts looks in a row at which the same one call was kept waiting
	eventually(ts, func() bool {
		s := server.Stats()
		if s.InFlight == 1 && s.Silent == 1 && s.Requests == last {
			quiet++
		} else {
			quiet = 0
		}
		last = s.Requests
		return quiet == 20
	}, func() string { return fmt.Sprintf("no call is kept waiting: %+v", server.Stats()) })
}

// terminate sends SIGTERM to the programs in the background.
func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, c := range ts.BackgroundCmds() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			ts.Fatalf("%v", err)
		}
	}
}

// picture writes a picture of one colour, as its extension says: picture FILE WIDTH HEIGHT RED.
func picture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: picture FILE WIDTH HEIGHT RED")
	}
	var numbers [3]int
	for i := range numbers {
		var err error
		numbers[i], err = strconv.Atoi(args[i+1])
		ts.Check(err)
	}
	img := image.NewPaletted(image.Rect(0, 0, numbers[0], numbers[1]), color.Palette{color.RGBA{uint8(numbers[2]), 0, 0, 255}})
	var b bytes.Buffer
	switch filepath.Ext(args[0]) {
	case ".jpg":
		ts.Check(jpeg.Encode(&b, img, nil))
	case ".gif":
		ts.Check(gif.Encode(&b, img, nil))
	default:
		ts.Check(png.Encode(&b, img))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
}

// let sets a variable to what a pattern finds in the last output, or to its
// first group: let VAR PATTERN.
func let(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: let VAR PATTERN")
	}
	out := ts.ReadFile("stdout")
	found := regexp.MustCompile(args[1]).FindStringSubmatch(out)
	if found == nil {
		ts.Fatalf("no %s in the output:\n%s", args[1], out)
	}
	ts.Setenv(args[0], found[len(found)-1])
}

// until runs a program until its standard output matches, whatever its exit
// code: until PATTERN PROGRAM ARGS...
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM ARGS...")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range 10_000 {
		_ = ts.Exec(args[1], args[2:]...) // what it printed says how far things are
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		<-ticker.C
	}
	ts.Fatalf("%q never printed %s", args[1:], args[0])
}

// damage overwrites the middle of every page of a file but the first: damage FILE.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damage FILE")
	}
	path := ts.MkAbs(args[0])
	data := []byte(ts.ReadFile(path))
	for page := 4096; page < len(data); page += 4096 {
		copy(data[page:], strings.Repeat("damaged ", 512))
	}
	ts.Check(os.WriteFile(path, data, 0o600))
}

// batchIs waits until the newest message batch of the script's simulator has a
// status: batch STATUS.
func batchIs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: batch STATUS")
	}
	req, err := http.NewRequest(http.MethodGet, ts.Getenv("SIM")+"/v1/messages/batches?limit=1", nil)
	ts.Check(err)
	req.Header.Set("x-api-key", ts.Getenv("ANTHROPIC_API_KEY"))
	req.Header.Set("anthropic-version", "2023-06-01")
	last := ""
	eventually(ts, func() bool {
		res, err := (&http.Client{Timeout: 5 * time.Minute}).Do(req)
		ts.Check(err)
		var list struct {
			Data []struct {
				Status string `json:"processing_status"`
			} `json:"data"`
		}
		err = json.NewDecoder(res.Body).Decode(&list)
		res.Body.Close()
		ts.Check(err)
		if len(list.Data) > 0 {
			last = list.Data[0].Status
		}
		return last == args[0]
	}, func() string { return fmt.Sprintf("the newest batch is %q; want %q", last, args[0]) })
}

// withKey points the environment at the script's simulator.
func withKey(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789abcdef")
	ts.Setenv("ANTHROPIC_BASE_URL", ts.Getenv("SIM"))
}

// requests checks how many calls the script's simulator has counted.
func requests(ts *testscript.TestScript, _ bool, args []string) {
	server := ts.Value("sim").(*sim.Server)
	if got := fmt.Sprint(server.Stats().Requests); got != args[0] {
		ts.Fatalf("the simulator counted %s requests; want %s", got, args[0])
	}
}

// injectFault injects faults into the script's simulator, as JSON.
func injectFault(ts *testscript.TestScript, _ bool, args []string) { post(ts, "/_sim/faults", args[0]) }

// quotas sets the rate limits of the script's simulator, as JSON. From then on
// its answers have the headers that name them.
func quotas(ts *testscript.TestScript, _ bool, args []string) { post(ts, "/_sim/limits", args[0]) }

func post(ts *testscript.TestScript, path, body string) {
	req, err := http.NewRequest(http.MethodPost, ts.Getenv("SIM")+path, strings.NewReader(body))
	ts.Check(err)
	res, err := (&http.Client{Timeout: 5 * time.Minute}).Do(req)
	ts.Check(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("posting %s to %s: %s", body, path, res.Status)
	}
}

// checkJSON checks that each line of the last output, or the whole of it, is
// JSON, and that objects in it have the named fields: json FIELD...
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("json cannot be negated")
	}
	out := ts.ReadFile("stdout")
	count := 0
	dec := json.NewDecoder(strings.NewReader(out))
	for dec.More() {
		var v any
		ts.Check(dec.Decode(&v))
		count++
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, item := range list {
			object, _ := item.(map[string]any)
			for _, field := range args {
				if _, ok := object[field]; !ok {
					ts.Fatalf("no field %s in %v; there are %v", field, item, slices.Sorted(maps.Keys(object)))
				}
			}
		}
	}
	if count == 0 {
		ts.Fatalf("the output holds no JSON: %q", out)
	}
}
