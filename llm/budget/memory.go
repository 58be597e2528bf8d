package budget

import "sync"

// Memory is a ledger of this process. The zero value is ready.
type Memory struct {
	mu       sync.Mutex // guards the fields below
	last     Hold
	accounts map[string]*Balance
	holds    map[Hold]reservation
}

type reservation struct {
	accounts []*Balance
	amount   Amount
}

// Reserve takes amount from all accounts or from none.
func (m *Memory) Reserve(accounts []Account, amount Amount) (Hold, *Shortage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts == nil {
		m.accounts, m.holds = map[string]*Balance{}, map[Hold]reservation{}
	}
	balances := make([]Balance, len(accounts))
	for i, a := range accounts {
		if b := m.accounts[a.Key]; b != nil {
			balances[i] = *b
		}
	}
	if short := Check(accounts, balances, amount); short != nil {
		return 0, short, nil
	}
	r := reservation{amount: amount, accounts: make([]*Balance, len(accounts))}
	for i, a := range accounts {
		b := m.accounts[a.Key]
		if b == nil {
			b = &Balance{}
			m.accounts[a.Key] = b
		}
		b.Reserved = b.Reserved.Plus(amount)
		r.accounts[i] = b
	}
	m.last++
	m.holds[m.last] = r
	return m.last, nil, nil
}

// Settle ends a reservation.
func (m *Memory) Settle(hold Hold, spent Amount, uncertain bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.holds[hold]
	if !ok {
		return nil
	}
	delete(m.holds, hold)
	for _, b := range r.accounts {
		b.Reserved = b.Reserved.Minus(r.amount)
		b.Spent = b.Spent.Plus(spent)
		if uncertain {
			b.Uncertain = b.Uncertain.Plus(spent)
		}
	}
	return nil
}

// Balance is the state of an account.
func (m *Memory) Balance(key string) (Balance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.accounts[key]; b != nil {
		return *b, nil
	}
	return Balance{}, nil
}
