package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/pipeline"
)

// addKeys adds the operations on keys, which are for keys that manage others. The secret
// of a key is in the answer that makes it and nowhere else.
func (s *Server) addKeys(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/api/v1/keys", Tags: []string{"keys"},
		Summary: "List the keys with what they have spent of their budgets, without their secrets",
	}, s.listKeys)
	add(s, api, &huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/api/v1/keys", Tags: []string{"keys"},
		Summary: "Make a key. The answer has its secret, which is not shown again", DefaultStatus: http.StatusCreated,
		Errors: []int{http.StatusConflict, http.StatusUnprocessableEntity},
	}, s.createKey)
	add(s, api, &huma.Operation{
		OperationID: "rotate-key", Method: http.MethodPost, Path: "/api/v1/keys/{key}/rotate", Tags: []string{"keys"},
		Summary: "Give a key another secret. The answer has it, and it is not shown again", Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity},
	}, s.rotateKey)
	add(s, api, &huma.Operation{
		OperationID: "revoke-key", Method: http.MethodPost, Path: "/api/v1/keys/{key}/revoke", Tags: []string{"keys"},
		Summary: "End a key for good, at once, with all that it has open", Errors: []int{http.StatusNotFound},
	}, s.revokeKey)
	add(s, api, &huma.Operation{
		OperationID: "list-key-budgets", Method: http.MethodGet, Path: "/api/v1/keys/budgets", Tags: []string{"keys"},
		Summary: "List the budgets of keys, teams and all keys together, with what was spent in this period",
	}, s.listKeyBudgets)
	add(s, api, &huma.Operation{
		OperationID: "set-key-budget", Method: http.MethodPost, Path: "/api/v1/keys/budgets", Tags: []string{"keys"},
		Summary:     "Set the budget of a key, of a team or of all keys together, or remove it",
		Description: "A new amount leaves what was spent; a new period begins now, with nothing spent. The answer lists all budgets.",
		Errors:      []int{http.StatusNotFound, http.StatusUnprocessableEntity},
	}, s.setKeyBudget)
	add(s, api, &huma.Operation{
		OperationID: "list-key-acts", Method: http.MethodGet, Path: "/api/v1/keys/audit", Tags: []string{"keys"},
		Summary: "List what was done to keys and budgets, and by which key, the newest first", Errors: []int{http.StatusUnprocessableEntity},
	}, s.listKeyActs)
}

// KeyName names a key in an address.
type KeyName struct {
	Name string `path:"key" doc:"name of a key"`
}

type listKeysOutput struct {
	Body struct {
		Keys []keys.KeyStatus `json:"keys"`
	}
}

func (s *Server) listKeys(ctx context.Context, _ *struct{}) (*listKeysOutput, error) {
	list, err := pipeline.Keys(ctx, s.opts.Config, s.keys.store)
	out := &listKeysOutput{}
	out.Body.Keys = list
	return out, err
}

// CreateKey is a key to make.
type CreateKey struct {
	Name    string   `json:"name" doc:"that no other key has had" example:"ci"`
	Team    string   `json:"team,omitempty"`
	Role    string   `json:"role,omitempty" enum:"read,run,admin" doc:"what the key is for; run if absent"`
	Models  []string `json:"models,omitempty" doc:"that may be called, by alias or id; all if absent"`
	RPM     int      `json:"rpm,omitempty" doc:"most requests a minute; no limit if absent"`
	Budget  string   `json:"budget,omitempty" doc:"US dollars for a period, again and again; none if absent" example:"20/30d"`
	Expires string   `json:"expires,omitempty" doc:"how long the key is good; always if absent" example:"90d"`
}

// CreatedKey is a new key with its secret.
type CreatedKey struct {
	Secret string `json:"key" doc:"the secret, which is not shown again"`
	keys.Key
	Budget string `json:"budget,omitempty"`
}

func (s *Server) createKey(ctx context.Context, in *struct{ Body CreateKey }) (*struct{ Body CreatedKey }, error) {
	b := in.Body
	spec := keys.Spec{Name: b.Name, Team: b.Team, Role: keys.Role(b.Role), Models: b.Models, RPM: b.RPM, Budget: b.Budget}
	if b.Expires != "" {
		var err error
		if spec.Expires, err = config.ParseDuration(b.Expires); err != nil || spec.Expires <= 0 {
			return nil, fault.Input(fmt.Errorf("expires %q is not a duration such as 12h or 90d", b.Expires))
		}
	}
	unknown, err := pipeline.UnknownModels(s.opts.Config, b.Models)
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		return nil, fault.Input(fmt.Errorf("no model is named %q", unknown[0]))
	}
	secret, k, err := keys.Create(ctx, s.keys.store, &spec, callerName(ctx))
	if err != nil {
		return nil, keyProblem(err)
	}
	return &struct{ Body CreatedKey }{CreatedKey{secret, *k, b.Budget}}, nil
}

// callerName returns the name of the key that a request has, for the audit log.
func callerName(ctx context.Context) string {
	if id := keys.FromContext(ctx); id != nil {
		return id.Name
	}
	return ""
}

// RotateKey says how a key gets another secret.
type RotateKey struct {
	Grace string `json:"grace,omitempty" doc:"how long the old secret stays good; not at all if absent" example:"24h"`
}

// RotatedKey is a key with its new secret.
type RotatedKey struct {
	Secret string `json:"key" doc:"the secret, which is not shown again"`
	Name   string `json:"name"`
}

type rotateKeyInput struct {
	KeyName
	Body *RotateKey
}

func (s *Server) rotateKey(ctx context.Context, in *rotateKeyInput) (*struct{ Body RotatedKey }, error) {
	grace := time.Duration(0)
	if in.Body != nil && in.Body.Grace != "" {
		var err error
		if grace, err = config.ParseDuration(in.Body.Grace); err != nil || grace < 0 {
			return nil, fault.Input(fmt.Errorf("grace %q is not a duration such as 12h or 7d", in.Body.Grace))
		}
	}
	secret, err := keys.Rotate(ctx, s.keys.store, in.Name, grace, callerName(ctx))
	if err != nil {
		return nil, keyProblem(err)
	}
	return &struct{ Body RotatedKey }{RotatedKey{secret, in.Name}}, nil
}

func (s *Server) revokeKey(ctx context.Context, in *KeyName) (*struct{}, error) {
	return nil, keyProblem(keys.Revoke(ctx, s.keys.store, in.Name, callerName(ctx)))
}

type listKeyBudgetsOutput struct {
	Body struct {
		Budgets []keys.KeyBudget `json:"budgets"`
	}
}

func (s *Server) listKeyBudgets(ctx context.Context, _ *struct{}) (*listKeyBudgetsOutput, error) {
	list, err := pipeline.KeyBudgets(ctx, s.opts.Config, s.keys.store)
	out := &listKeyBudgetsOutput{}
	out.Body.Budgets = list
	return out, err
}

// SetKeyBudget is a budget to set.
type SetKeyBudget struct {
	Level  string `json:"level" enum:"key,team,all" doc:"whose budget it is"`
	Name   string `json:"name,omitempty" doc:"of the key or team"`
	Budget string `json:"budget" doc:"US dollars for a period, again and again, or none to remove it" example:"20/30d"`
}

func (s *Server) setKeyBudget(ctx context.Context, in *struct{ Body SetKeyBudget }) (*listKeyBudgetsOutput, error) {
	b := in.Body
	switch {
	case b.Level == string(keys.AllLevel) && b.Name != "":
		return nil, fault.Input(errors.New("the budget of all keys has no name; leave it out"))
	case b.Budget == "":
		return nil, fault.Input(errors.New("give US dollars and a period, such as 20/30d, or none"))
	case b.Budget == "none":
		b.Budget = ""
	}
	if _, err := keys.SetBudget(ctx, s.keys.store, budget.Level(b.Level), b.Name, b.Budget, callerName(ctx)); err != nil {
		return nil, keyProblem(err)
	}
	return s.listKeyBudgets(ctx, nil)
}

type listKeyActsInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"100" doc:"most entries"`
}

type listKeyActsOutput struct {
	Body struct {
		Acts []keys.Act `json:"acts"`
	}
}

func (s *Server) listKeyActs(ctx context.Context, in *listKeyActsInput) (*listKeyActsOutput, error) {
	list, err := s.keys.store.Acts(ctx, in.Limit)
	out := &listKeyActsOutput{}
	out.Body.Acts = list
	return out, err
}

// keyProblem returns an error of package keys with the status that it stands for.
func keyProblem(err error) error {
	switch {
	case errors.Is(err, keys.ErrNotFound):
		return &Problem{Status: http.StatusNotFound, Code: "not_found", Detail: err.Error()}
	case errors.Is(err, keys.ErrExists):
		return &Problem{Status: http.StatusConflict, Code: "exists", Detail: err.Error()}
	}
	return err
}
