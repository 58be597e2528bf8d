package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/claude-force/claude-force/keys"
)

// Keys lists the keys of the server with what they have spent of their budgets.
func (c *Client) Keys(ctx context.Context) ([]keys.KeyStatus, error) {
	var list struct {
		Keys []keys.KeyStatus `json:"keys"`
	}
	err := c.read(ctx, &list, http.MethodGet, "/keys", nil, nil)
	return list.Keys, err
}

// CreateKey is a key to make.
type CreateKey struct {
	Name    string   `json:"name"`
	Team    string   `json:"team,omitempty"`
	Role    string   `json:"role,omitempty"` // read, run or admin; empty for run
	Models  []string `json:"models,omitempty"`
	RPM     int      `json:"rpm,omitempty"`
	Budget  string   `json:"budget,omitempty"`  // such as 20/30d
	Expires string   `json:"expires,omitempty"` // how long the key is good, such as 90d
}

// CreatedKey is a new key with its secret, which is not shown again.
type CreatedKey struct {
	Secret string `json:"key"`
	keys.Key
	Budget string `json:"budget,omitempty"`
}

// CreateKey makes a key.
func (c *Client) CreateKey(ctx context.Context, create CreateKey) (*CreatedKey, error) {
	created := &CreatedKey{}
	return created, c.read(ctx, created, http.MethodPost, "/keys", nil, create)
}

func keyPath(name string) string { return "/keys/" + url.PathEscape(name) }

// RotateKey gives a key another secret and returns it. The one before stays good for the
// time grace, such as 24h; not at all if it is empty.
func (c *Client) RotateKey(ctx context.Context, name, grace string) (secret string, err error) {
	body, rotated := map[string]string{}, CreatedKey{}
	if grace != "" {
		body["grace"] = grace
	}
	err = c.read(ctx, &rotated, http.MethodPost, keyPath(name)+"/rotate", nil, body)
	return rotated.Secret, err
}

// RevokeKey ends a key for good, with all that it has open.
func (c *Client) RevokeKey(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPost, keyPath(name)+"/revoke")
}

// KeyBudgets lists the budgets of keys, teams and all keys together.
func (c *Client) KeyBudgets(ctx context.Context) ([]keys.KeyBudget, error) {
	var list struct {
		Budgets []keys.KeyBudget `json:"budgets"`
	}
	err := c.read(ctx, &list, http.MethodGet, "/keys/budgets", nil, nil)
	return list.Budgets, err
}

// SetKeyBudget sets the budget of a level (key, team or all) and name, such as 20/30d, or
// removes it if the text is none.
func (c *Client) SetKeyBudget(ctx context.Context, level, name, text string) error {
	body := map[string]string{"level": level, "budget": text}
	if name != "" {
		body["name"] = name
	}
	var list struct{}
	return c.read(ctx, &list, http.MethodPost, "/keys/budgets", nil, body)
}

// KeyActs lists at most so many entries of the audit log of keys, the newest first.
func (c *Client) KeyActs(ctx context.Context, limit int) ([]keys.Act, error) {
	var list struct {
		Acts []keys.Act `json:"acts"`
	}
	err := c.read(ctx, &list, http.MethodGet, "/keys/audit", url.Values{"limit": {strconv.Itoa(limit)}}, nil)
	return list.Acts, err
}
