package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/claude-force/claude-force/sim"
)

// processCmds are the commands of scripts about signals, streams and files.
var processCmds = map[string]func(*testscript.TestScript, bool, []string){
	"sent": sent,
	"lost": lost,
}

// canMount reports whether a script can have file systems of its own, in a namespace
// that ends with it.
var canMount = sync.OnceValue(func() bool {
	return exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/tmp").Run() == nil
})

// sent waits until the script's simulator has counted a number of calls: sent N.
func sent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sent N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	server := ts.Value("sim").(*sim.Server)
	eventually(ts, func() bool { return server.Stats().Requests >= n }, func() string {
		return fmt.Sprintf("the simulator counted %d requests; want %d", server.Stats().Requests, n)
	})
}

// lost runs a command whose standard output cannot be written, and checks that it
// fails and says why: lost ARGS...
func lost(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("lost cannot be negated")
	}
	err := ts.Exec("sh", append([]string{"-c", `exec claude-force "$@" >/dev/full`, "sh"}, args...)...)
	if err == nil || err.Error() != "exit status 1" || !strings.Contains(ts.ReadFile("stderr"), "no space left") {
		ts.Fatalf("%v without output: %v\n%s", args, err, ts.ReadFile("stderr"))
	}
}
