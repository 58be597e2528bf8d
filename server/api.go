package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/claude-force/claude-force/plan"
)

// addAPI adds the routes of the API and of its description.
func (s *Server) addAPI() {
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: readJSON}
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "claude-force", Version: "1",
				Description: "Runs of workflows: start, follow, answer, stop and resume them. Errors are problems as in RFC 9457.",
				License:     &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: "/"}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", Description: "A key of the server. The header x-api-key takes it as well."},
				},
			},
			Security: []map[string][]string{{"key": {}}},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{asProblem},
	}
	api := humago.New(s.table, config)
	api.UseMiddleware(strictly)
	s.addRuns(api)
	s.addSteering(api)
	s.addEvents(api)
	s.addProject(api)
	s.addSteps(api)
	s.addCosts(api)
	s.addWorkflows(api)
	s.addKeys(api)
	if s.opts.Schedules != nil {
		s.addSchedules(api)
	}
	if s.opts.Webhooks != nil {
		s.addWebhooks(api)
	}
	document := describe(api.OpenAPI())
	s.table.handlePublic("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // the client may be gone
	})
}

// describe returns the description of the API, with problems in the place of huma's own
// form of errors.
func describe(api *huma.OpenAPI) []byte {
	schemas := api.Components.Schemas
	problem := schemas.Schema(reflect.TypeFor[Problem](), true, "").Ref
	model := schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "").Ref
	for name := range schemas.Map() {
		if name == model[strings.LastIndexByte(model, '/')+1:] || strings.HasSuffix(name, "ErrorDetail") {
			delete(schemas.Map(), name)
		}
	}
	// A step whose model has no price has no cost. Huma cannot say so of an object.
	cost := schemas.Schema(reflect.TypeFor[plan.Step](), false, "").Properties
	cost["cost_usd"] = &huma.Schema{OneOf: []*huma.Schema{cost["cost_usd"], {Type: "null"}}}
	document, err := json.MarshalIndent(api, "", "  ")
	if err != nil {
		panic(err) // of types of this program
	}
	return bytes.ReplaceAll(document, []byte(`"`+model+`"`), []byte(`"`+problem+`"`))
}

// schemaName names the schema of a type after its package and itself: several packages
// have a Result.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	pkg := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
	if pkg == "server" {
		pkg = ""
	}
	if pkg == "" || pkg == "claude-force" {
		return strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + t.Name()
}

// add adds an operation. Its errors become problems; those that are the server's own
// fault go to its log.
func add[I, O any](s *Server, api huma.API, op *huma.Operation, do func(context.Context, *I) (*O, error)) {
	op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusInternalServerError, http.StatusServiceUnavailable)
	op.BodyReadTimeout = -1 // none: the body is read (see strictly), and at a later deadline net/http would end the connection's requests
	huma.Register(api, *op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil && ctx.Err() != nil { // whatever it says: it may be of what was cut off
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		if err != nil {
			return nil, s.Problem(op.OperationID, err)
		}
		return out, nil
	})
}
