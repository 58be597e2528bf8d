//go:build unix

// Command money checks that every figure about money is true, against a service
// that keeps its own accounts:
//
//	go run ./bench/money              # 50 rounds
//	go run ./bench/money -rounds 4
//
// In each round four processes run a workflow of 25 calls each under a budget of a
// day that has room for about 60 of the 100. The service fails at random. In every
// second round processes are killed and their runs resumed; every other of these is
// without a budget. Afterwards the bill of the service is compared with the attempts
// that analytics kept, with the journals and with the ledger, to the billionth of a
// dollar. After kills an answer may have been sent that no process has read: the bill
// is then at most what the attempts cost and are uncertain of. Journals, attempts and
// ledger are equal in any case, and there is an attempt for each request that the
// service has seen. The exit code is 1 if anything differs, a budget was exceeded, or
// less than nine tenths of one were used in a round without kills. Attempts that broke
// off and may have been billed count as used: every eighth attempt of this service
// fails.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/bench/internal/child"
)

// dayBudget is the budget of a round in dollars: for about 60 calls.
const dayBudget = 0.008

const workflow = `params: {p: {default: x}}
steps:
  - id: each
    agent: linter
    retries: 3
    foreach: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]
    task: Look at part ${{ item }} of ${{ params.p }}
`

// round is what one round came to. Money is in billionths of a dollar.
type round struct {
	Kills     int      `json:"kills"`
	Budget    bool     `json:"budget"` // whether there was one
	Requests  int      `json:"requests"`
	Records   int      `json:"records"` // attempts that analytics kept
	Billed    int64    `json:"billed"`
	Left      int64    `json:"left"` // billed for answers whose client left
	Attempts  int64    `json:"attempts"`
	Journaled int64    `json:"journaled"`
	Spent     int64    `json:"spent"`     // by the ledger
	Uncertain int64    `json:"uncertain"` // the part of Spent that may not have been billed
	Doubted   int64    `json:"doubted"`   // the same by the attempts
	Problems  []string `json:"problems,omitempty"`
}

func main() {
	rounds := flag.Int("rounds", 50, "how many rounds")
	seed := flag.Uint64("seed", 1, "seed of the moments at which processes are killed")
	asJSON := flag.Bool("json", false, "print each round as JSON")
	keep := flag.String("keep", "", "keep the files of the rounds in this folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *rounds, *seed, *asJSON, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "money:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, seed uint64, asJSON bool, keep string) error {
	dir := keep
	var err error
	if keep != "" {
		err = os.MkdirAll(keep, 0o700)
	} else {
		dir, err = os.MkdirTemp("", "claude-force-money")
		defer os.RemoveAll(dir)
	}
	if err != nil {
		return err
	}
	if err := child.Build(ctx, dir, map[string]string{"claude-force": "cmd/claude-force", "service": "bench/money/service"}); err != nil {
		return err
	}
	service, err := child.Serve(ctx, filepath.Join(dir, "service"))
	if err != nil {
		return err
	}
	defer service.Stop()
	start, failed := time.Now(), 0
	var billed, requests int64
	var kills int
	used, answered := 1.0, 1.0
	for n := range rounds {
		b := bench{ctx: ctx, dir: filepath.Join(dir, strconv.Itoa(n)), binary: filepath.Join(dir, "claude-force"), service: service, budget: n%4 != 3, key: "key-" + strconv.Itoa(n), random: rand.New(rand.NewPCG(seed, uint64(n)))}
		r, err := b.round(n%2 == 1)
		if err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
		if asJSON {
			_ = json.NewEncoder(os.Stdout).Encode(r)
		}
		for _, p := range r.Problems {
			fmt.Fprintf(os.Stderr, "round %d: %s\n", n, p)
		}
		if len(r.Problems) > 0 {
			failed++
		}
		if r.Kills == 0 && r.Budget {
			used, answered = min(used, float64(r.Spent)/(dayBudget*1e9)), min(answered, float64(r.Billed)/(dayBudget*1e9))
		}
		billed, requests, kills = billed+r.Billed, requests+int64(r.Requests), kills+r.Kills
	}
	fmt.Printf("%d rounds of 4 processes in %v: %d requests, %d kills, $%.9f billed; least of a budget used without kills: %.1f %%, billed %.1f %%; rounds with a problem: %d\n",
		rounds, time.Since(start).Round(time.Second), requests, kills, float64(billed)/1e9, 100*used, 100*answered, failed)
	if failed > 0 {
		return errors.New("figures about money differ")
	}
	return nil
}

// bench is one round.
type bench struct {
	ctx              context.Context //nolint:containedctx // of the whole program
	dir, binary, key string
	service          *child.Service
	budget           bool
	random           *rand.Rand
}

// command returns a run of the program.
func (b *bench) command(args ...string) *exec.Cmd {
	limit := "none"
	if b.budget {
		limit = strconv.FormatFloat(dayBudget, 'f', -1, 64)
	}
	return child.Command(b.ctx, b.dir, []string{
		"HOME=" + b.dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "CLAUDE_FORCE_HOME=" + filepath.Join(b.dir, "data"),
		"ANTHROPIC_BASE_URL=" + b.service.URL, "ANTHROPIC_API_KEY=" + b.key, "ANTHROPIC_AUTH_TOKEN=", "CLAUDE_FORCE_BUDGET_DAY=" + limit,
	}, b.binary, args...)
}

func (b *bench) round(kill bool) (r round, err error) {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return r, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "wf.yaml"), []byte(workflow), 0o600); err != nil {
		return r, err
	}
	var mu sync.Mutex
	var processes sync.WaitGroup
	for p := range 4 {
		after := time.Duration(0)
		if kill {
			after = time.Duration(100+b.random.IntN(500)) * time.Millisecond
		}
		processes.Go(func() {
			cmd := b.command("run", "wf.yaml", "--no-tools", "--param", fmt.Sprintf("p=part %d", p))
			if cmd.Start() != nil {
				return
			}
			if after > 0 {
				timer := time.AfterFunc(after, func() { _ = child.Kill(cmd) })
				defer timer.Stop()
			}
			if err := cmd.Wait(); err != nil && child.Killed(cmd) {
				mu.Lock()
				r.Kills++
				mu.Unlock()
			}
		})
	}
	processes.Wait()
	if err := b.resume(); err != nil {
		return r, err
	}
	return r, b.compare(&r)
}

// resume resumes every run that was killed.
func (b *bench) resume() error {
	runs, err := b.runs()
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.Status == "crashed" {
			_ = b.command("runs", "resume", run.ID).Run() // the budget may be used up
		}
	}
	return nil
}

type runRow struct {
	ID      string  `json:"run_id"`
	Status  string  `json:"status"`
	CostUSD float64 `json:"cost_usd"`
}

func (b *bench) runs() (list []runRow, err error) {
	out, err := b.command("runs", "list", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("runs list: %w", err)
	}
	return list, json.Unmarshal(out, &list)
}

// compare reads all accounts of the round.
func (b *bench) compare(r *round) error {
	var bill struct {
		Requests int   `json:"requests"`
		Billed   int64 `json:"billed"`
		LeftCost int64 `json:"left_usd"`
	}
	if err := errors.Join(b.service.Settle(b.ctx), b.service.Get(b.ctx, "/bill?key="+b.key, &bill)); err != nil {
		return err
	}
	r.Budget, r.Requests, r.Billed, r.Left = b.budget, bill.Requests, bill.Billed, bill.LeftCost
	problem := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	if out, err := b.command("analytics", "verify").CombinedOutput(); err != nil {
		problem("analytics verify: %v\n%s", err, out)
	}
	out, err := b.command("analytics", "query", "--json", "SELECT cost_usd, uncertain_usd FROM attempts").Output()
	if err != nil {
		return fmt.Errorf("analytics query: %w", err)
	}
	var rows []struct {
		Cost      float64 `json:"cost_usd"`
		Uncertain float64 `json:"uncertain_usd"`
	}
	if err := json.Unmarshal(out, &rows); err != nil {
		return err
	}
	r.Records = len(rows)
	for _, row := range rows {
		r.Attempts += int64(math.Round(row.Cost * 1e9))
		r.Doubted += int64(math.Round(row.Uncertain * 1e9))
	}
	runs, err := b.runs()
	if err != nil {
		return err
	}
	for _, run := range runs {
		r.Journaled += int64(math.Round(run.CostUSD * 1e9))
	}
	if r.Records < r.Requests || r.Kills == 0 && r.Records != r.Requests {
		problem("%d attempts are recorded of %d requests", r.Records, r.Requests)
	}
	// Every run that was killed was resumed, and ended by itself.
	if r.Attempts > r.Billed || r.Journaled != r.Attempts || r.Billed+r.Left > r.Attempts+r.Doubted {
		problem("billed %d, and %d for clients that left; journals %d, attempts %d, and %d uncertain", r.Billed, r.Left, r.Journaled, r.Attempts, r.Doubted)
	}
	if r.Kills == 0 && r.Attempts != r.Billed {
		problem("billed %d, attempts %d", r.Billed, r.Attempts)
	}
	if !b.budget {
		return nil
	}
	if r.Spent, r.Uncertain, err = ledger(filepath.Join(b.dir, "data", "budget.db")); err != nil {
		return err
	}
	limit := int64(dayBudget * 1e9)
	if r.Billed+r.Left > limit {
		problem("%d were billed of a budget of %d", r.Billed+r.Left, limit)
	}
	if r.Spent > limit {
		problem("the ledger says %d of a budget of %d", r.Spent, limit)
	}
	if r.Spent-r.Uncertain != r.Attempts || r.Uncertain != r.Doubted {
		problem("the ledger says %d and %d uncertain, the attempts %d and %d", r.Spent-r.Uncertain, r.Uncertain, r.Attempts, r.Doubted)
	}
	if r.Kills == 0 && r.Spent < limit*9/10 {
		problem("only %d of a budget of %d are used", r.Spent, limit)
	}
	return nil
}

// ledger reads what the file of budgets says of today.
func ledger(path string) (spent, uncertain int64, err error) {
	db, err := sqlite3.OpenFlags("file:"+path, sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
	if err != nil {
		return 0, 0, err
	}
	statement, _, err := db.Prepare(`SELECT sum(spent_money), sum(uncertain_money) FROM accounts WHERE key LIKE 'day/%'`)
	if err == nil && statement.Step() {
		spent, uncertain = statement.ColumnInt64(0), statement.ColumnInt64(1)
	}
	return spent, uncertain, errors.Join(err, statement.Err(), statement.Close(), db.Close())
}
