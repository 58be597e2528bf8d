//go:build linux

// Command restart kills a server at random moments, starts it again, and looks at what
// its clients and the service saw:
//
//	go run ./bench/restart              # 200 kills
//	go run ./bench/restart -kills 10
//	go run ./bench/restart -shared      # two servers, on PostgreSQL and Valkey or Redis
//	go run ./bench/restart -upgrade     # the same two, replaced by the next version and back
//
// With -shared one of two servers is killed, or now and then both, while the other works.
// Each has a data folder of its own. Clients send each request to the next server: what
// they began at one, they continue at the other.
//
// With -upgrade the two servers are replaced one after the other while both versions use the
// store: by the next version, back by the old one, and so on. The next version is this one
// with one more migration of each schema; -old names the binary of an older one, and
// this is the new one then. From the seventh restart on one in four kills the server, all others drain it. The
// clients use a key with a budget, and runs are sent to a webhook.
//
// Clients start runs and follow them by server-sent events, others call the proxy, and a
// schedule starts a run each minute; all do again what is cut off. The service is a
// process that shares no code with the project and keeps every request. When the server
// has been killed often enough, the runs end, and everything is compared: what clients
// were notified, the journal, and what the service was asked. The exit code is 1 if anything
// that is promised was not kept.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
	"github.com/claude-force/claude-force/bench/internal/tally"
)

const (
	clients = 2 // of each kind
	items   = 6 // of each run

	// longest is how long a server may live before it is killed.
	longest = 1500 * time.Millisecond

	// patience is how long a client waits for a byte: longer than the server's
	// heartbeat.
	patience = 2 * time.Minute

	// settling is how long the last server may take to end what was started.
	settling = 5 * time.Minute
)

const workflow = `name: work
steps:
  - {id: each, agent: worker, foreach: [0, 1, 2, 3, 4, 5], task: "Do job-${{ run.id }}-${{ item }} now"}
`

const worker = "---\nname: worker\ndescription: works\nmodel: haiku\n---\nYou work.\n"

// report is what was counted.
type report struct {
	Kills    int     `json:"kills"`
	Seconds  float64 `json:"seconds"`
	Runs     int     `json:"runs_by_clients"`
	Ticks    int     `json:"runs_by_the_schedule"`
	Streams  int     `json:"streams_taken_up_again"`
	Events   int     `json:"events"`
	Calls    int     `json:"calls_of_the_proxy"`
	Requests int     `json:"requests_of_the_service"`

	// Of an upgrade.
	Drained int     `json:"servers_drained"` // of Kills
	Rounds  int     `json:"rounds"`          // in which all servers were replaced
	Hooks   int     `json:"webhooks"`        // that the service was sent
	Charged float64 `json:"charged_usd"`     // to the clients' budget
	Sent    float64 `json:"sent_usd"`        // answers to the clients, by the service's list of requests

	// What is promised to be 0.
	Lost     int `json:"runs_lost"`        // accepted, and not completed in the end
	Missing  int `json:"events_missing"`   // of what a client was notified
	Doubled  int `json:"events_doubled"`   //
	Again    int `json:"steps_paid_again"` // after a client was notified that they had finished
	Twice    int `json:"runs_started_twice"`
	NoTick   int `json:"ticks_without_a_run"`
	Repaid   int `json:"calls_paid_again"` // of the proxy, that had been answered from the cache
	Hung     int `json:"clients_hung"`
	Unbilled int `json:"runs_of_other_cost"` // than the service's answers
	NoHook   int `json:"runs_without_a_webhook"`
	Wrong    int `json:"other_problems"`

	// What is not.
	Cut       int `json:"answers_cut_off"`   // called again, since no answer was durable
	Uncertain int `json:"answers_uncertain"` // in no run's cost, since their process was killed before they were recorded

	Problems []string `json:"problems"`
}

// broken returns how often a promise was not kept.
func (rep *report) broken() int {
	return rep.Lost + rep.Missing + rep.Doubled + rep.Again + rep.Twice + rep.NoTick + rep.Repaid + rep.Hung + rep.Unbilled + rep.NoHook + rep.Wrong
}

type options struct {
	kills int
	seed  uint64
	tick  bool // wait until the schedule has started a run

	// shared has two servers share a database at store, and a server of Valkey or Redis.
	// An empty store is started.
	shared bool
	store  string

	upgrade bool   // shared, and the servers are replaced by those of another version
	old     string // binary of the old version; empty for this one
}

func main() {
	var opts options
	flag.IntVar(&opts.kills, "kills", 200, "how often the server is killed")
	flag.Uint64Var(&opts.seed, "seed", 1, "seed of the moments at which it is killed")
	flag.BoolVar(&opts.shared, "shared", false, "two servers that share PostgreSQL and Valkey or Redis, instead of one with files")
	flag.BoolVar(&opts.upgrade, "upgrade", false, "as -shared; the servers are replaced by another version's, one after the other")
	flag.StringVar(&opts.old, "old", "", "with -upgrade: the binary of the old version; without it this is the old one")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	opts.tick = true
	opts.shared = opts.shared || opts.upgrade
	if opts.old != "" && !opts.upgrade {
		fmt.Fprintln(os.Stderr, "restart: -old needs -upgrade")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	rep, err := measure(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "restart:", err)
		os.Exit(1)
	}
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(rep)
	} else {
		rep.print()
	}
	if rep.broken() > 0 {
		os.Exit(1)
	}
}

func (rep *report) print() {
	fmt.Printf("servers were ended %d times in %.0f s\n", rep.Kills, rep.Seconds)
	var t tally.Table
	if rep.Rounds > 0 {
		t.Add("of these drained", rep.Drained)
		t.Add("rounds in which all servers were replaced", rep.Rounds)
		t.Add("webhooks", rep.Hooks)
		t.Add("millionths of a dollar charged to the budget", int(rep.Charged*1e6+0.5))
		t.Add("millionths of a dollar that the service's answers cost", int(rep.Sent*1e6+0.5))
		t.Add("promised: runs without a webhook", rep.NoHook)
	}
	t.Add("runs by clients", rep.Runs)
	t.Add("runs by the schedule", rep.Ticks)
	t.Add("events that clients were notified", rep.Events)
	t.Add("streams taken up again", rep.Streams)
	t.Add("calls of the proxy", rep.Calls)
	t.Add("requests of the service", rep.Requests)
	t.Add("promised: runs lost", rep.Lost)
	t.Add("events missing", rep.Missing)
	t.Add("events doubled", rep.Doubled)
	t.Add("finished steps paid again", rep.Again)
	t.Add("runs started twice", rep.Twice)
	t.Add("ticks without a run", rep.NoTick)
	t.Add("answered calls paid again", rep.Repaid)
	t.Add("clients hung", rep.Hung)
	t.Add("runs of another cost than the service's answers", rep.Unbilled)
	t.Add("other problems", rep.Wrong)
	t.Add("not promised: answers cut off, called again", rep.Cut)
	t.Add("not promised: answers in no run's cost, uncertain", rep.Uncertain)
	t.Print(rep.Problems)
}

// loop is servers that are killed, with their clients.
type loop struct {
	service *child.Service
	hosts   []*host
	sent    atomic.Int64 // requests, each to the next host
	key     string       // of the servers
	random  *rand.Rand
	enough  chan struct{} // closed: clients begin nothing more

	mu       sync.Mutex // guards the fields below
	rep      report
	runs     map[string]*followed
	answered map[string]time.Time // calls of the proxy that clients have whole answers to, by job
}

// say notes a problem and counts it.
func (l *loop) say(count *int, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*count++
	if len(l.rep.Problems) < 20 {
		l.rep.Problems = append(l.rep.Problems, fmt.Sprintf(format, args...))
	}
}

func measure(ctx context.Context, opts options) (rep *report, err error) {
	dir, err := os.MkdirTemp("", "restart-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := child.Build(ctx, dir, map[string]string{"claude-force": "cmd/claude-force", "service": "bench/restart/service"}); err != nil {
		return nil, err
	}
	service, err := child.Serve(ctx, filepath.Join(dir, "service"))
	if err != nil {
		return nil, err
	}
	defer service.Stop()
	project := filepath.Join(dir, "project")
	for path, text := range map[string]string{"wf.yaml": workflow, ".claude/agents/worker.md": worker} {
		path = filepath.Join(project, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			return nil, err
		}
	}
	l := &loop{
		service: service, random: rand.New(rand.NewPCG(opts.seed, 0)), enough: make(chan struct{}),
		rep: report{Problems: []string{}}, runs: map[string]*followed{}, answered: map[string]time.Time{},
	}
	env := []string{hookSecret + "=whsec_YmVuY2htYXJrIHNlY3JldCBvZiAyNCBieXRlcw=="}
	var v versions
	if opts.upgrade {
		if v, err = buildVersions(ctx, dir, opts.old); err != nil {
			return nil, err
		}
	}
	if opts.shared {
		redis, err := child.Redis(ctx, dir, "")
		if err != nil {
			return nil, err
		}
		defer redis.Stop()
		store := opts.store
		if store == "" {
			postgres, err := child.Postgres(ctx)
			if err != nil {
				return nil, err
			}
			defer postgres.Stop()
			store = postgres.URL
		}
		env = append(env, "CLAUDE_FORCE_STORE="+store, "CLAUDE_FORCE_VALKEY="+redis.URL)
	}
	program := child.Program{Binary: filepath.Join(dir, "claude-force"), Dir: project, URL: service.URL, Env: env}
	if opts.upgrade {
		program.Binary = v.old
	}
	if err := l.makeHosts(ctx, program, dir, opts.shared); err != nil {
		return nil, err
	}
	defer l.stop()
	if opts.upgrade {
		if err := l.prepareUpgrade(ctx, v); err != nil {
			return nil, err
		}
	}
	before := time.Now()
	add := l.hosts[0].program.Command(ctx, "schedules", "add", "minutely", "wf.yaml", "--cron", "* * * * *", "--overlap", "allow", "--catch-up", "all")
	if out, err := add.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("schedules add: %w: %s", err, out)
	}
	started := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var working sync.WaitGroup
	for n := range clients {
		working.Go(func() { l.startRuns(ctx, n) })
		working.Go(func() { l.callProxy(ctx, n) })
	}
	if opts.upgrade {
		err = l.upgrade(ctx, v, opts.kills)
	} else {
		err = l.kill(ctx, opts.kills)
	}
	if err != nil {
		return nil, err
	}
	close(l.enough)
	ended := make(chan struct{})
	go func() {
		working.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(settling):
		l.say(&l.rep.Hung, "clients have not ended after %s", settling)
		cancel()
		<-ended
		return &l.rep, nil
	}
	if err := l.compare(ctx, before, started, opts.tick); err != nil {
		return nil, err
	}
	if opts.upgrade {
		if err := l.compareUpgrade(ctx, v); err != nil {
			return nil, err
		}
	}
	l.rep.Seconds = time.Since(started).Seconds()
	return &l.rep, nil
}

// freeAddress returns an address that nothing listens at.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.7:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
