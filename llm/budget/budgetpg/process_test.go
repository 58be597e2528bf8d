package budgetpg_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetpg"
)

// TestMain lets the test binary be the other processes of a test.
func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"spend": spend}))
}

const (
	ceiling   = 20_000
	processes = 6
	lanes     = 3
	calls     = 25 // of a lane
)

// spend makes calls, several at once, each in an account of its own and in that of the
// day. It writes down what it is about to do, and what it has done, by lines in a file
// that outlives it:
//
//	reserve CALL          nothing was sent
//	send CALL MOST        it may have been sent, which costs MOST if the process dies
//	sent CALL MOST COST   it was; the service bills COST
//	return CALL MOST      it is taken back: nothing was billed
//	settle CALL MOST COST DOUBT
//	settled CALL COST DOUBT
//
// Arguments are the database, the file, the machine (empty for this one) and a seed.
func spend(args []string) error {
	db, err := postgres.Open(context.Background(), args[0])
	if err != nil {
		return err
	}
	file, err := os.OpenFile(args[1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[3], 10, 64)
	if err != nil {
		return err
	}
	ledger := budgetpg.New(db)
	if args[2] != "" {
		ledger = budgetpg.NewElsewhere(db, args[2])
	}
	ledger.SetLease(time.Hour) // it ends when the test says so
	ledger.SetPatience(5 * time.Minute)
	fmt.Println("open")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until all are
		return err
	}
	var wg sync.WaitGroup
	failed := make(chan error, lanes)
	for lane := range uint64(lanes) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, lane))
			for n := range calls {
				c := &call{ledger: ledger, file: file, name: fmt.Sprintf("%d-%d-%d", seed, lane, n), random: random}
				if err := c.make(); err != nil {
					failed <- fmt.Errorf("call %s: %w", c.name, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return errors.Join(<-failed, ledger.Close())
}

// call is one that a process of the test makes.
type call struct {
	ledger *budgetpg.Ledger
	file   *os.File
	name   string
	random *rand.Rand
}

func (c *call) say(what string, amounts ...int64) error {
	line := what + " " + c.name
	for _, n := range amounts {
		line += fmt.Sprint(" ", n)
	}
	_, err := c.file.WriteString(line + "\n")
	return err
}

func money(n int64) budget.Amount { return budget.Amount{Money: llm.Money(n)} }

func (c *call) make() error {
	accounts := []budget.Account{{Key: "day/today", Limits: money(ceiling)}, {Key: "call/" + c.name}}
	c.random.Shuffle(2, func(i, j int) { accounts[i], accounts[j] = accounts[j], accounts[i] })
	if err := c.say("reserve"); err != nil {
		return err
	}
	var held []budget.Reservation
	most := int64(0)
	for range 1 + c.random.IntN(2) {
		amount := 1 + c.random.Int64N(400)
		id, short, err := c.ledger.Reserve(accounts, money(amount))
		if err != nil {
			return err
		}
		if short == nil {
			held, most = append(held, id), most+amount
		}
	}
	if day, err := c.ledger.Balance("day/today"); err != nil || day.Spent.Money+day.Reserved.Money > ceiling {
		return errors.Join(err, fmt.Errorf("%+v is taken of %d", day, ceiling))
	}
	if len(held) == 0 {
		return nil
	}
	if c.random.IntN(5) == 0 {
		return c.ledger.Settle(nil, held, budget.Amount{}, budget.Amount{})
	}
	attempt := budget.Attempt{ID: c.random.Int64(), Note: c.name}
	cost := c.random.Int64N(most + 1)
	send := func() error {
		return errors.Join(c.say("send", most), c.ledger.Send(attempt, held), c.say("sent", most, cost))
	}
	err := send()
	if c.random.IntN(5) == 0 {
		err = errors.Join(err, c.say("return", most), c.ledger.Return(budget.Attempt{ID: attempt.ID}, held), c.say("reserve"), send())
	}
	fmt.Println("sent")
	doubt := c.random.Int64N(cost + 1)
	err = errors.Join(err, c.say("settle", most, cost, doubt), c.ledger.Settle(&attempt, held, money(cost), money(doubt)), c.say("settled", cost, doubt))
	c.ledger.Recorded(attempt.ID)
	return err
}

// outcome is what a call may be charged.
type outcome struct{ spent, doubt int64 }

// read returns what each call of a file may have been charged, what was billed at least,
// and the calls that were sent and not settled.
func read(t *testing.T, path string) (may map[string][]outcome, billed int64, open map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	may, bills, open := map[string][]outcome{}, map[string]int64{}, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		name, n := words[1], [3]int64{}
		for i, word := range words[2:] {
			if n[i], err = strconv.ParseInt(word, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		open[name] = words[0] == "sent"
		switch words[0] {
		case "reserve":
			may[name] = []outcome{{}}
			bills[name] = 0
		case "send", "return":
			may[name] = []outcome{{}, {n[0], n[0]}}
			bills[name] = 0
		case "sent":
			may[name] = []outcome{{n[0], n[0]}}
			bills[name] = n[1]
		case "settle":
			may[name] = []outcome{{n[0], n[0]}, {n[1], n[2]}}
		case "settled":
			may[name] = []outcome{{n[0], n[1]}}
		}
	}
	for _, n := range bills {
		billed += n
	}
	return may, billed, open
}

// TestProcessesAndDatabaseDie has processes, half of them on another machine, spend one
// budget. Three are killed in the middle, and so is the database. No call is charged
// anything but what it was settled at, or all that was reserved for it if its process had
// sent it and died; the day has the sum, and it is not above its ceiling.
func TestProcessesAndDatabaseDie(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.URL(t)
	path := filepath.Join(t.TempDir(), "bill")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	base := rand.Uint64N(1 << 40)
	t.Logf("seeds from %d", base)
	sent := make(chan struct{}, processes*lanes*calls)
	var started []*processtest.Process
	for i := range uint64(processes) {
		host := ""
		if i%2 == 0 {
			host = fmt.Sprintf("elsewhere-%d", i)
		}
		started = append(started, processtest.Start(t.Context(), "spend", url, path, host, base+i))
	}
	for i, p := range started { // each has opened the database before that is killed
		if line, _ := p.Line(); line != "open" {
			t.Fatalf("process %d printed %q: %v", i, line, p.Wait())
		}
	}
	var wg sync.WaitGroup
	for i, p := range started {
		p.EndInput()
		kill := -1
		if i < 3 {
			kill = 5 + rand.IntN(15)
		}
		wg.Go(func() {
			n := 0
			for range p.Lines() {
				sent <- struct{}{}
				if n++; n == kill {
					p.Kill()
				}
			}
			if err := p.Wait(); err != nil && kill < 0 {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	go func() { wg.Wait(); close(sent) }() // which ends with the processes
	for range 40 + rand.IntN(40) {
		if _, ok := <-sent; !ok {
			t.Fatal("the processes have ended before the database was killed")
		}
	}
	server.Kill(t)
	server.Restart(t)
	for range sent {
	}

	db := postgrestest.Open(t, url)
	if _, err := db.Exec(t.Context(), `UPDATE budget_owners SET expires = '-infinity'`); err != nil {
		t.Fatal(err)
	}
	ledger := budgetpg.New(db)
	t.Cleanup(func() { _ = ledger.Close() })
	ledger.SetLease(time.Microsecond)
	may, billed, open := read(t, path)
	lost := map[string]bool{}
	if err := ledger.Unrecorded(t.Context(), func(list []budget.Attempt) error {
		for _, a := range list {
			lost[a.Note] = true
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	balances, err := ledger.Balances("call/")
	if err != nil {
		t.Fatal(err)
	}
	var sum outcome
	counted, uncertain := 0, 0
	for name, list := range may {
		b := balances["call/"+name]
		got := outcome{int64(b.Spent.Money), int64(b.Uncertain.Money)}
		ok := false
		for _, want := range list {
			ok = ok || got == want
		}
		if !ok || b.Reserved != (budget.Amount{}) {
			t.Errorf("call %s: %+v is charged and %+v reserved; want one of %+v", name, got, b.Reserved, list)
		}
		if open[name] {
			uncertain++
			if !lost[name] {
				t.Errorf("call %s was sent by a process that died, and is not among what was not recorded", name)
			}
		}
		sum.spent, sum.doubt = sum.spent+got.spent, sum.doubt+got.doubt
		counted++
	}
	if len(balances) > counted {
		t.Errorf("%d accounts of %d calls", len(balances), counted)
	}
	day, err := ledger.Balance("day/today")
	if err != nil || (outcome{int64(day.Spent.Money), int64(day.Uncertain.Money)}) != sum || day.Reserved != (budget.Amount{}) {
		t.Errorf("the day has %+v, %v; the calls %+v", day, err, sum)
	}
	if sum.spent > ceiling || billed > sum.spent {
		t.Errorf("%d were billed at least, and %d charged, of %d", billed, sum.spent, ceiling)
	}
	t.Logf("%d calls, %d of dead processes; billed %d, spent %d of %d, of it uncertain %d", counted, uncertain, billed, sum.spent, ceiling, sum.doubt)
}
