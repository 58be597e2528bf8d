package budget

import "sync"

// Memory is a [Ledger] for one process. The zero value is ready to use.
type Memory struct {
	mu       sync.Mutex // guards the fields below
	last     Reservation
	accounts map[string]*Balance
	open     map[Reservation]reservedAmount
}

type reservedAmount struct {
	accounts []*Balance
	amount   Amount
}

// Reserve reserves amount in all accounts or in none.
func (m *Memory) Reserve(accounts []Account, amount Amount) (Reservation, *Insufficient, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts == nil {
		m.accounts, m.open = map[string]*Balance{}, map[Reservation]reservedAmount{}
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
	r := reservedAmount{amount: amount, accounts: make([]*Balance, len(accounts))}
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
	m.open[m.last] = r
	return m.last, nil, nil
}

// Send does nothing: what a process leaves that is killed ends with its memory.
func (m *Memory) Send(Attempt, []Reservation) error { return nil }

// Return does nothing, as Send.
func (m *Memory) Return(Attempt, []Reservation) error { return nil }

// Settle replaces reservations with what was spent.
func (m *Memory) Settle(_ *Attempt, rs []Reservation, spent, uncertain Amount) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range rs {
		r, ok := m.open[id]
		if !ok {
			return nil
		}
		delete(m.open, id)
		for _, b := range r.accounts {
			b.Reserved = b.Reserved.Minus(r.amount)
			b.Spent = b.Spent.Plus(spent)
			b.Uncertain = b.Uncertain.Plus(uncertain)
		}
		spent, uncertain = Amount{}, Amount{} // charged once
	}
	return nil
}

// Balance returns the state of an account.
func (m *Memory) Balance(key string) (Balance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.accounts[key]; b != nil {
		return *b, nil
	}
	return Balance{}, nil
}
