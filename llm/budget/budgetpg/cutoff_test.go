package budgetpg_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetpg"
)

// cable leads to a database. It is cut before the first piece that has a text: connections
// stay, and nothing passes any more.
type cable struct {
	at   []byte
	cut  chan struct{} // closed when it is cut
	pull func()        // closes all connections
}

// newCable returns the URL of a database by way of a cable.
func newCable(t *testing.T, address, at string) (string, *cable) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := &cable{at: []byte(at), cut: make(chan struct{})}, u.Host
	var ends []net.Conn
	var mu sync.Mutex // guards ends
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			ends = append(ends, client, to)
			mu.Unlock()
			carrying.Go(func() { c.carry(client, to) })
			carrying.Go(func() { c.carry(to, client) })
		}
	})
	c.pull = sync.OnceFunc(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range ends {
			_ = conn.Close()
		}
		mu.Unlock()
		carrying.Wait()
	})
	t.Cleanup(c.pull)
	u.Host = listener.Addr().String()
	return u.String(), c
}

func (c *cable) carry(from, to net.Conn) {
	piece := make([]byte, 1<<16)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		if bytes.Contains(piece[:n], c.at) {
			close(c.cut)
		}
		select {
		case <-c.cut:
			return
		default:
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}

// TestCutOffWithinReserve cuts a machine off while it holds the locks of a reservation:
// another one reserves of the same account long before the lease of the first ends.
func TestCutOffWithinReserve(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	through, c := newCable(t, address, "reserved_money = reserved_money +")
	all := []budget.Account{{Key: "day/today"}}
	far := budgetpg.NewElsewhere(postgrestest.Open(t, through+"&idle_in_transaction_session_timeout=0"), "far") // the session itself has no end
	far.SetLease(time.Hour)
	far.SetPatience(0)
	near := open(t, address, func(db *postgres.DB) *budgetpg.Ledger { return budgetpg.NewElsewhere(db, "near") })
	failed := make(chan error, 1)
	go func() {
		_, _, err := far.Reserve(all, budget.Amount{Calls: 1})
		failed <- err
	}()
	<-c.cut
	reserve(t, near, all, budget.Amount{Calls: 1})
	balance(t, near, "day/today", budget.Balance{Reserved: budget.Amount{Calls: 1}})
	c.pull()
	if err := <-failed; err == nil {
		t.Error("the machine that was cut off has reserved")
	}
}
