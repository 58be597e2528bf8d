//go:build unix

// Command team checks that the keys of a team never spend more than their budgets,
// against a service that keeps its own accounts:
//
//	go run ./bench/team              # 1,000 rounds
//	go run ./bench/team -rounds 4 -parallel 1
//
// In each round four servers use one data folder, in which three keys have budgets of
// their own, of their team and of all keys together. Clients send 200 calls with 50 in
// flight, each to one of the servers and with one of the keys, which is more than the
// budgets have room for. The service fails at random. In every second round servers are
// killed and started again. The bill of the service, which knows for which key a call is
// by the text of its prompt, is compared with each budget to the billionth of a dollar. The
// exit code is 1 if a budget was exceeded, or if less than two thirds of that of all keys
// were used in a round without kills.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claude-force/claude-force/bench/internal/child"
)

const (
	servers  = 4
	calls    = 200
	inFlight = 50
)

// Budgets of a round in billionths of a dollar. Each is less than what the calls of those
// it is for would cost.
var (
	keyBudgets  = map[string]int64{"one": 2_000_000, "two": 4_000_000, "three": 4_000_000}
	teams       = map[string]string{"one": "web", "two": "web", "three": "ops"}
	teamBudgets = map[string]int64{"web": 4_000_000}
	allBudget   = int64(6_000_000)
)

// usd returns a budget as the command takes it.
func usd(nano int64) string { return strconv.FormatFloat(float64(nano)/1e9, 'f', -1, 64) + "/day" }

func main() {
	rounds := flag.Int("rounds", 1000, "how many rounds")
	parallel := flag.Int("parallel", 4, "how many rounds at once, which share nothing")
	seed := flag.Uint64("seed", 1, "seed of the clients, and of the moments at which servers are killed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *rounds, *parallel, *seed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "team:", err)
		os.Exit(1)
	}
}

// sums are what all rounds come to.
type sums struct {
	rounds, failed                   int
	billed, answered, refused, kills int64
	used                             float64 // the least part of the budget of all keys that a round without kills billed
}

func (s *sums) add(b *bench, problems []string) {
	s.rounds++
	if len(problems) > 0 {
		s.failed++
	}
	if b.kills == 0 {
		s.used = min(s.used, float64(b.billed)/float64(allBudget))
	}
	s.billed, s.answered, s.refused, s.kills = s.billed+b.billed, s.answered+b.answered.Load(), s.refused+b.refused.Load(), s.kills+b.kills
}

func run(ctx context.Context, rounds, parallel int, seed uint64) error {
	if rounds < 1 || parallel < 1 {
		return errors.New("-rounds and -parallel are at least 1")
	}
	dir, err := os.MkdirTemp("", "claude-force-team")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := child.Build(ctx, dir, map[string]string{"claude-force": "cmd/claude-force", "service": "bench/money/service"}); err != nil {
		return err
	}
	start := time.Now()
	var mu sync.Mutex // guards total
	total := sums{used: 1}
	group, ctx := errgroup.WithContext(ctx)
	for lane := range parallel {
		group.Go(func() error {
			service, err := child.Serve(ctx, filepath.Join(dir, "service"))
			if err != nil {
				return err
			}
			defer service.Stop()
			for n := lane; n < rounds; n += parallel {
				b := &bench{ctx: ctx, dir: filepath.Join(dir, strconv.Itoa(n)), binary: filepath.Join(dir, "claude-force"), service: service, account: "round-" + strconv.Itoa(n), random: rand.New(rand.NewPCG(seed, uint64(n)))}
				problems, err := b.round(n/parallel%2 == 1)
				if err != nil {
					return fmt.Errorf("round %d: %w", n, err)
				}
				for _, p := range problems {
					fmt.Fprintf(os.Stderr, "round %d: %s\n", n, p)
				}
				mu.Lock()
				total.add(b, problems)
				mu.Unlock()
				if err := os.RemoveAll(b.dir); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = group.Wait()
	fmt.Printf("%d rounds of %d servers in %v: %d calls answered, %d without room, %d kills, $%.9f billed; least of the budget of all keys billed without kills: %.1f %%; rounds with a problem: %d\n",
		total.rounds, servers, time.Since(start).Round(time.Second), total.answered, total.refused, total.kills, float64(total.billed)/1e9, 100*total.used, total.failed)
	if err == nil && total.failed > 0 {
		err = errors.New("budgets of keys do not hold")
	}
	return err
}

// bench is one round.
type bench struct {
	ctx                  context.Context //nolint:containedctx // of the whole program
	dir, binary, account string
	service              *child.Service
	random               *rand.Rand
	keys                 map[string]string // secrets, by name

	answered, refused atomic.Int64
	kills, billed     int64
}

func (b *bench) env() []string {
	return []string{
		"HOME=" + b.dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "CLAUDE_FORCE_HOME=" + filepath.Join(b.dir, "data"),
		"ANTHROPIC_BASE_URL=" + b.service.URL, "ANTHROPIC_API_KEY=" + b.account, "ANTHROPIC_AUTH_TOKEN=",
	}
}

// command runs the program and returns what it prints.
func (b *bench) command(args ...string) (string, error) {
	out, err := child.Command(b.ctx, b.dir, b.env(), b.binary, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// makeKeys makes the keys and the budgets.
func (b *bench) makeKeys() (err error) {
	b.keys = map[string]string{}
	for name, limit := range keyBudgets {
		if b.keys[name], err = b.command("keys", "create", "--name", name, "--team", teams[name], "--budget", usd(limit), "--models", "haiku"); err != nil {
			return err
		}
	}
	for name, limit := range teamBudgets {
		if _, err := b.command("keys", "budget", "--team", name, usd(limit)); err != nil {
			return err
		}
	}
	_, err = b.command("keys", "budget", "--all", usd(allBudget))
	return err
}

// host is a place where a server runs, one after the other.
type host struct {
	mu  sync.Mutex // guards the fields below
	cmd *exec.Cmd
	url string
}

func (h *host) address() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.url
}

var serving = regexp.MustCompile(`serving at (http://\S+);`)

// start starts a server and waits until it serves.
func (b *bench) start(h *host) error {
	cmd := child.Command(b.ctx, b.dir, b.env(), b.binary, "serve", "--listen", "127.0.0.1:0", "--proxy-cache", "off")
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var text strings.Builder
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, said) }() // ends with the process
			h.mu.Lock()
			defer h.mu.Unlock()
			h.cmd, h.url = cmd, m[1]
			return nil
		}
		fmt.Fprintln(&text, lines.Text())
	}
	return fmt.Errorf("the server does not serve: %w\n%s", errors.Join(cmd.Wait(), b.ctx.Err()), &text)
}

// stop kills the server of a host.
func (h *host) stop() {
	h.mu.Lock()
	cmd := h.cmd
	h.cmd = nil
	h.mu.Unlock()
	if cmd != nil {
		_ = child.Kill(cmd)
		_ = cmd.Wait() // it was killed
	}
}

func (b *bench) round(kill bool) (problems []string, err error) {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, err
	}
	if err := b.makeKeys(); err != nil {
		return nil, err
	}
	hosts := make([]*host, servers)
	for i := range hosts {
		hosts[i] = &host{}
		defer hosts[i].stop()
		if err := b.start(hosts[i]); err != nil {
			return nil, err
		}
	}
	var clients sync.WaitGroup
	next := make(chan int)
	names := []string{"one", "two", "three"}
	for range inFlight {
		clients.Go(func() {
			for n := range next {
				b.call(hosts[n%servers], names[n/servers%len(names)], n)
			}
		})
	}
	for n := range calls {
		if kill && n > inFlight && b.random.IntN(60) == 0 {
			h := hosts[b.random.IntN(servers)]
			h.stop()
			b.kills++
			if err := b.start(h); err != nil {
				close(next)
				return nil, err
			}
		}
		next <- n
	}
	close(next)
	clients.Wait()
	for _, h := range hosts {
		h.stop()
	}
	return b.compare()
}

// call sends a call, again and again while its server does not answer.
func (b *bench) call(h *host, name string, n int) {
	body := fmt.Sprintf(`{"model":"claude-haiku-5-5","max_tokens":300,"stream":true,"messages":[{"role":"user","content":"payer=%s. Question %d of %s."}]}`, name, n, b.account)
	for range 20 {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, h.address()+"/v1/messages", strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("X-Api-Key", b.keys[name])
		req.Header.Set("Anthropic-Version", "2023-06-01")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil { // it was killed
			select {
			case <-time.After(20 * time.Millisecond):
				continue
			case <-b.ctx.Done():
				return
			}
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close() // it was read
		switch {
		case resp.StatusCode == http.StatusPaymentRequired:
			b.refused.Add(1)
			return
		case resp.StatusCode == http.StatusOK && err == nil:
			b.answered.Add(1)
			return
		}
	}
}

// bill returns what the service billed to a key, also for answers whose client left.
func (b *bench) bill(name string) (int64, error) {
	var bill struct {
		Billed   int64 `json:"billed"`
		LeftCost int64 `json:"left_usd"`
	}
	err := b.service.Get(b.ctx, "/bill?key="+b.account+"/"+name, &bill)
	return bill.Billed + bill.LeftCost, err
}

// compare compares the bill with the budgets.
func (b *bench) compare() (problems []string, err error) {
	if err := b.service.Settle(b.ctx); err != nil {
		return nil, err
	}
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	byTeam, byKey := map[string]int64{}, map[string]int64{}
	for name := range keyBudgets {
		cost, err := b.bill(name)
		if err != nil {
			return nil, err
		}
		byKey[name] = cost
		byTeam[teams[name]] += cost
		b.billed += cost
	}
	check := func(what string, cost, limit int64) {
		if cost > limit {
			problem("%s: %d billed of a budget of %d", what, cost, limit)
		}
	}
	for name, limit := range keyBudgets {
		check("key "+name, byKey[name], limit)
	}
	for name, limit := range teamBudgets {
		check("team "+name, byTeam[name], limit)
	}
	check("all keys", b.billed, allBudget)
	if b.kills == 0 && b.billed < allBudget*2/3 {
		problem("only %d billed of a budget of %d", b.billed, allBudget)
	}
	out, err := b.command("keys", "budget", "--json")
	if err != nil {
		return nil, err
	}
	var ledger []struct {
		Level string  `json:"level"`
		Name  string  `json:"name"`
		USD   float64 `json:"usd"`
		Spent float64 `json:"spent_usd"`
	}
	if err := json.Unmarshal([]byte(out), &ledger); err != nil {
		return nil, err
	}
	if len(ledger) != len(keyBudgets)+len(teamBudgets)+1 {
		problem("%d budgets: %s", len(ledger), out)
	}
	for _, l := range ledger {
		cost := b.billed
		switch l.Level {
		case "key":
			cost = byKey[l.Name]
		case "team":
			cost = byTeam[l.Name]
		}
		if spent := int64(l.Spent*1e9 + 0.5); spent < cost || l.Spent > l.USD {
			problem("the ledger says %d of %s %s, the bill %d", spent, l.Level, l.Name, cost)
		}
	}
	return problems, nil
}
