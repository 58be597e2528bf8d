package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/keys"
)

// KeyOperations are those of the API on keys. All must be set.
type KeyOperations struct {
	List    func(context.Context) ([]keys.KeyStatus, error)
	Budgets func(context.Context) ([]keys.KeyBudget, error)
	Acts    func(ctx context.Context, limit int) ([]keys.Act, error)

	Create func(context.Context, NewKey) (secret string, err error)
	// Rotate gives a key another secret. The one before stays good for the time grace.
	Rotate func(ctx context.Context, name, grace string) (secret string, err error)
	Revoke func(ctx context.Context, name string) error
	// SetBudget sets the budget of a level and name, or removes it if the text is "none".
	SetBudget func(ctx context.Context, level, name, text string) error
}

// NewKey is a key to make.
type NewKey struct {
	Name, Team, Role string
	Models           []string
	RPM              int
	Budget, Expires  string // texts such as 20/30d and 90d
}

// addKeys adds the pages of keys, for those who manage them.
func (p *Pages) addKeys() {
	p.page("GET /keys", p.keys)
	p.page("GET /keys/{key}", p.key)
	p.form("POST /keys", p.createKey)
	p.form("POST /keys/{key}/rotate", p.rotateKey)
	p.action("POST /keys/{key}/revoke", func(r *http.Request) (string, error) {
		return keyPath(r.PathValue("key")), p.opts.Keys.Revoke(r.Context(), r.PathValue("key"))
	})
	p.action("POST /keys/budgets", p.setKeyBudget)
}

// actsShown is how many entries of the audit log are listed.
const actsShown = 50

// keysData are the keys with what was done to them.
type keysData struct {
	Keys    []keys.KeyStatus
	Budgets []keyBudgetRow
	Acts    []keys.Act
	More    bool // there are more acts
}

// keyBudgetRow is a budget of a key, of a team or of all keys.
type keyBudgetRow struct {
	keys.KeyBudget
	Meter meter
}

func keyBudgetOf(b *keys.KeyBudget) keyBudgetRow {
	label := fmt.Sprintf("%s spent and %s reserved of %s", dollars(&b.Spent), dollars(&b.Reserved), dollars(&b.USD))
	return keyBudgetRow{*b, newMeter(label, b.Spent, b.Reserved, b.USD)}
}

func (p *Pages) keys(r *http.Request) (*view, error) {
	data := &keysData{}
	var err error
	if data.Keys, err = p.opts.Keys.List(r.Context()); err != nil {
		return nil, err
	}
	if data.Budgets, err = p.keyBudgets(r.Context(), func(*keys.KeyBudget) bool { return true }); err != nil {
		return nil, err
	}
	if data.Acts, err = p.opts.Keys.Acts(r.Context(), actsShown+1); err != nil {
		return nil, err
	}
	if len(data.Acts) > actsShown {
		data.Acts, data.More = data.Acts[:actsShown], true
	}
	return &view{Page: "keys", Title: "Keys", Nav: "keys", Fragments: []string{"keys-list", "keys-budgets", "keys-acts"}, Data: data}, nil
}

// keyBudgets returns the budgets that are wanted.
func (p *Pages) keyBudgets(ctx context.Context, wanted func(*keys.KeyBudget) bool) (rows []keyBudgetRow, err error) {
	all, err := p.opts.Keys.Budgets(ctx)
	for i := range all {
		if wanted(&all[i]) {
			rows = append(rows, keyBudgetOf(&all[i]))
		}
	}
	return rows, err
}

// keyData is a key with the budgets that its calls need room in.
type keyData struct {
	keys.KeyStatus
	Budgets []keyBudgetRow
}

func (p *Pages) key(r *http.Request) (*view, error) {
	name := r.PathValue("key")
	all, err := p.opts.Keys.List(r.Context())
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name != name {
			continue
		}
		data := &keyData{KeyStatus: all[i]}
		data.Budgets, err = p.keyBudgets(r.Context(), func(b *keys.KeyBudget) bool {
			return b.Level == keys.AllLevel || b.Level == keys.KeyLevel && b.Name == name || b.Level == keys.TeamLevel && b.Name == data.Team
		})
		return &view{Page: "key", Title: name, Nav: "keys", Fragments: []string{"key-facts", "keys-budgets"}, Data: data}, err
	}
	return nil, fault.New(fault.KindNotFound, fmt.Sprintf("there is no key %q", name))
}

// secretData is a secret, which is shown once.
type secretData struct {
	Name, Secret string
	Made         bool // the key is new
}

// secretView returns the page that shows a secret. It is the answer to a form and has no
// address, so that no browser can show it again.
func secretView(data secretData) *view {
	return &view{Page: "secret", Title: "The secret of " + data.Name, Nav: "keys", Data: data}
}

func (p *Pages) createKey(r *http.Request) (*view, error) {
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	k := NewKey{
		Name: field("name"), Team: field("team"), Role: field("role"), Budget: field("budget"), Expires: field("expires"),
		Models: strings.FieldsFunc(field("models"), func(c rune) bool { return c == ',' || c == ' ' }),
	}
	if text := field("rpm"); text != "" {
		var err error
		if k.RPM, err = strconv.Atoi(text); err != nil {
			return nil, fault.Input(fmt.Errorf("%q is no number of requests", text))
		}
	}
	secret, err := p.opts.Keys.Create(r.Context(), k)
	if err != nil {
		return nil, err
	}
	return secretView(secretData{k.Name, secret, true}), nil
}

func (p *Pages) rotateKey(r *http.Request) (*view, error) {
	name := r.PathValue("key")
	secret, err := p.opts.Keys.Rotate(r.Context(), name, strings.TrimSpace(r.PostFormValue("grace")))
	if err != nil {
		return nil, err
	}
	return secretView(secretData{name, secret, false}), nil
}

func (p *Pages) setKeyBudget(r *http.Request) (string, error) {
	level, name := r.PostFormValue("level"), strings.TrimSpace(r.PostFormValue("name"))
	if level == string(keys.AllLevel) && name != "" {
		return "", fault.Input(errors.New("the budget of all keys has no name; choose key or team for one that has"))
	}
	if err := p.opts.Keys.SetBudget(r.Context(), level, name, strings.TrimSpace(r.PostFormValue("budget"))); err != nil {
		return "", err
	}
	if next := LocalTarget(r.PostFormValue("next")); next != "" {
		return next, nil
	}
	return "/keys", nil
}
