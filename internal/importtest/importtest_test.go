package importtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/claude-force/claude-force"

// allowed says which packages of the project each package may import, besides
// itself, in code that is not a test. What is not listed is an error: a new
// package is put in its place here, on purpose.
var allowed = map[string][]string{
	// Nouns import nothing but fault.
	"fault":         nil,
	"llm":           {"internal/jsontext"},
	"agent":         {"internal/claudedir", "internal/jsontext", "internal/nearest", "internal/yamltext", "internal/openfile"},
	"agent/builtin": nil,
	"agent/lint":    {"agent", "internal/nearest", "internal/openfile", "llm", "tool/permission"},
	"workflow":      {"fault", "internal/jsontext", "internal/outschema", "internal/yamltext"},
	"config":        {"fault", "internal/nearest", "internal/yamltext", "internal/openfile"},
	"benchfile":     {"internal/jsontext", "internal/openfile"},
	"journal":       {"fault", "internal/outschema", "llm"},
	"modelselect":   {"llm", "internal/yamltext"},

	// What parts share and nobody else needs to see.
	"internal/credential": nil,
	"internal/filelock":   {"internal/openfile", "internal/oslimit"},
	"internal/openfile":   nil,
	"internal/oslimit":    nil,
	"internal/media":      {"llm"},
	"internal/publicip":   nil,
	"internal/tailtext":   nil,
	"internal/tempfolder": nil,
	"internal/terminal":   nil,
	"internal/yamltext":   nil,
	"internal/jsontext":   nil,
	"internal/amount":     nil,
	"internal/csvtext":    nil,
	"internal/tablecopy":  nil,
	"internal/gitignore":  nil,
	"internal/nearest":    nil,
	"internal/citest":     nil,
	"internal/claudedir":  {"internal/openfile", "internal/oslimit"},
	"internal/mdscan":     nil,
	"internal/docexample": nil,
	"internal/parquet":    nil,
	"internal/outschema":  {"internal/jsontext", "internal/nearest"},

	// Parts import nouns, and never each other.
	"attach":                  {"llm", "internal/media", "internal/openfile"},
	"compare":                 {"benchfile"},
	"compare/sets":            {"analytics", "benchfile", "compare", "engine", "fault", "journal", "llm", "runs"},
	"worktree":                {"fault", "llm", "sandbox", "internal/openfile", "internal/tempfolder"},
	"llm/record":              {"llm"},
	"llm/cache":               {"llm", "internal/credential"},
	"llm/cache/sealed":        {"llm", "llm/cache", "internal/seal"},
	"llm/cache/cachedb":       {"internal/tablecopy", "llm", "llm/cache", "llm/cache/sealed", "internal/seal", "internal/sqlitefile", "internal/openfile"},
	"llm/cache/cachepg":       {"internal/tablecopy", "internal/postgres", "internal/seal", "llm", "llm/cache", "llm/cache/sealed"},
	"llm/cache/cachetest":     {"llm", "llm/cache"},
	"llm/cassette":            {"llm", "internal/jsontext", "internal/credential", "internal/openfile"},
	"llm/coalesce":            {"llm"},
	"llm/budget":              {"fault", "llm"},
	"llm/budget/budgettest":   {"llm", "llm/budget"},
	"llm/budget/budgetdb":     {"internal/tablecopy", "internal/process", "internal/sqlitefile", "internal/unixtime", "llm", "llm/budget"},
	"llm/budget/budgetpg":     {"internal/tablecopy", "internal/postgres", "internal/process", "llm", "llm/budget"},
	"llm/refusal":             {"llm"},
	"llm/retry":               {"llm"},
	"llm/structured":          {"internal/jsontext", "internal/outschema"},
	"llm/promptcache":         {"llm"},
	"llm/fallback":            {"llm"},
	"llm/hedge":               {"llm"},
	"llm/admission":           {"llm", "internal/filelock", "internal/openfile"},
	"llm/batch":               {"fault", "llm", "internal/openfile"},
	"llm/anthropic":           {"llm"},
	"llm/anthropic/bedrock":   {"llm"},
	"llm/anthropic/vertex":    {"llm"},
	"llm/anthropic/cloud":     {"llm/anthropic", "llm/anthropic/bedrock", "llm/anthropic/vertex"},
	"llm/llmtest":             {"llm"},
	"analytics":               {"llm"},
	"analytics/analyticstest": {"analytics", "fault", "llm"},
	"analytics/spool":         {"analytics", "internal/filelock", "internal/openfile", "internal/oslimit", "internal/process", "llm"},
	"analytics/callsql":       {"analytics", "fault", "llm"},
	"analytics/callspg":       {"internal/tablecopy", "analytics", "analytics/callsql", "analytics/spool", "internal/postgres", "internal/process", "llm"},
	"analytics/callsdb":       {"internal/tablecopy", "analytics", "analytics/callsql", "analytics/spool", "llm", "internal/sqlitefile", "internal/process"},
	"journal/memory":          {"journal"},
	"journal/journalrow":      {"internal/process", "internal/seal", "journal", "llm"},
	"journal/groupcommit":     {"journal", "journal/journalrow"},
	"journal/journaldb":       {"internal/tablecopy", "journal", "journal/groupcommit", "journal/journalrow", "internal/process", "internal/seal", "internal/sqlitefile"},
	"journal/journalpg":       {"internal/tablecopy", "fault", "journal", "journal/groupcommit", "journal/journalrow", "internal/postgres", "internal/process", "internal/seal"},
	"journal/journaltest":     {"internal/process", "internal/processtest", "journal", "llm"},

	// The simulator shares nothing with what it tests: two independent
	// readings of the protocol keep each other honest.
	"sim": {"internal/yamltext"},

	"telemetry":      {"journal", "llm"},
	"telemetry/otlp": {"internal/openfile", "telemetry"},

	"engine": {"llm", "workflow", "journal"},

	"hook":                 {"internal/claudedir", "internal/jsontext"},
	"workflow/importer":    {"internal/yamltext", "workflow"},
	"workflow/workflowdir": {"internal/claudedir", "internal/nearest"},
	"plugin":               {"internal/claudedir", "internal/jsontext", "internal/openfile", "internal/tempfolder"},
	"skill":                {"agent", "internal/claudedir", "internal/mdscan", "internal/nearest", "internal/openfile", "llm", "tool", "tool/permission", "toolset", "workflow"},
	"memory":               {"agent", "internal/claudedir", "internal/mdscan", "internal/openfile", "toolset"},

	"sandbox":         nil,
	"tool/permission": {"tool", "internal/gitignore"},
	"tool/bash":       {"internal/openfile", "internal/tempfolder", "llm", "sandbox", "tool"},
	"tool/web":        {"internal/publicip", "llm", "tool"},
	"mcpclient":       {"internal/filelock", "internal/jsontext", "internal/openfile", "internal/tailtext", "internal/terminal", "llm", "sandbox", "tool"},
	// It shares nothing with the client that it tests.
	"mcpclient/mcptest": nil,
	"tool/subagent":     {"agent", "journal", "llm", "task", "tool", "tool/permission", "toolset"},

	"tool": {"llm", "internal/gitignore", "internal/media", "internal/nearest", "internal/openfile", "internal/oslimit"},

	// Owners: what a call, a task and a run need, each without the others.
	"pipeline": {
		"analytics", "analytics/callsdb", "analytics/callspg", "config", "fault", "keys", "keys/keysdb", "keys/keyspg", "internal/postgres", "internal/seal", "internal/valkey", "internal/yamltext", "llm", "llm/admission", "llm/admission/admissionvalkey", "llm/anthropic",
		"llm/batch", "llm/budget", "llm/budget/budgetdb", "llm/budget/budgetpg", "llm/cache", "llm/cache/cachedb", "llm/cache/cachepg", "llm/cache/cachevalkey", "llm/cassette", "llm/coalesce", "llm/coalesce/coalescevalkey",
		"llm/fallback", "llm/hedge", "llm/promptcache", "llm/record", "llm/refusal", "llm/retry", "sim", "telemetry", "internal/openfile",
	},
	"audit":       {"analytics", "journal", "llm", "llm/budget"},
	"runs/report": {"engine", "runs", "workflow"},
	"runs":        {"engine", "fault", "internal/csvtext", "journal", "llm", "plan", "workflow"},
	"task":        {"agent", "attach", "fault", "journal", "llm", "llm/cassette", "llm/structured", "modelselect", "telemetry", "tool"},

	"toolset": {"agent", "fault", "internal/jsontext", "internal/openfile", "llm", "sandbox", "task", "tool", "tool/bash", "tool/permission"},

	// The server stands on the root package, as the command does, and makes no calls of its own.
	"keys":          {"config", "fault", "internal/openfile", "llm", "llm/budget"},
	"keys/keysdb":   {"internal/tablecopy", "internal/sqlitefile", "internal/unixtime", "keys", "llm/budget"},
	"keys/keyspg":   {"internal/tablecopy", "internal/postgres", "internal/unixtime", "keys"},
	"keys/keystest": {"keys"},

	"schedule":              {"internal/unixtime"},
	"schedule/scheduledb":   {"internal/tablecopy", "internal/sqlitefile", "internal/unixtime", "schedule"},
	"schedule/schedulepg":   {"internal/tablecopy", "internal/postgres", "internal/unixtime", "schedule"},
	"schedule/scheduletest": {"schedule"},

	"webhook":             {"internal/publicip"},
	"webhook/webhookdb":   {"internal/tablecopy", "internal/process", "internal/seal", "internal/sqlitefile", "internal/unixtime", "webhook"},
	"webhook/webhookpg":   {"internal/tablecopy", "internal/postgres", "internal/process", "internal/seal", "internal/unixtime", "webhook"},
	"webhook/webhooktest": {"webhook"},
	"webhook/webhookfeed": {"journal", "llm", "llm/budget", "runs", "webhook"},

	"server/webtest": nil,
	"server/web": {
		rootPackage, "agent", "agent/lint", "analytics", "compare", "config", "engine", "fault", "internal/amount", "internal/csvtext", "journal", "keys", "llm", "llm/admission", "llm/cache", "pipeline", "plan", "runs", "schedule", "webhook", "workflow",
	},
	"server": {
		rootPackage, "agent", "agent/lint", "analytics", "compare", "compare/sets", "config", "engine", "fault", "internal/jsontext", "journal", "keys", "llm", "llm/admission", "llm/budget", "llm/cache", "pipeline", "plan", "runs", "schedule", "server/proxy", "server/web", "toolset", "webhook", "webhook/webhookfeed", "workflow",
	},
	"server/proxy": {"llm", "llm/anthropic"},

	// It knows the server by its description, and links none of it.
	"client": {"fault", "journal", "keys", "runs", "schedule"},

	"mcpserver": {rootPackage, "agent", "analytics", "internal/jsontext", "journal", "keys", "llm/cache", "plan", "runs", "server"},

	// It stands on the proxy, and so above what tasks are made of.
	"claudecode": {"fault", "internal/tailtext", "internal/tempfolder", "internal/terminal", "llm", "sandbox", "server/proxy", "task"},

	"plan": {"llm", "workflow", "journal"},

	// What machines share by way of Valkey.
	"llm/admission/admissiontest":   {"llm/admission"},
	"llm/admission/admissionvalkey": {"internal/valkey", "llm/admission"},
	"llm/coalesce/coalescevalkey":   {"internal/seal", "internal/valkey", "llm"},
	"llm/cache/cachevalkey":         {"internal/seal", "internal/valkey", "llm", "llm/cache"},

	// What stores have in common.
	"internal/valkey":            nil,
	"internal/valkey/valkeytest": {"internal/citest"},
	"internal/process":           nil,
	"internal/seal":              {"internal/openfile"},
	"internal/unixtime":          nil,
	"internal/sqlitefile":        {"fault", "internal/filelock", "internal/oslimit", "internal/seal", "internal/tablecopy"},

	"internal/postgres":              {"fault", "internal/tablecopy"},
	"internal/postgres/pgmigrate":    {"internal/postgres"},
	"internal/postgres/postgrestest": {"internal/citest", "internal/postgres", "internal/postgres/pgmigrate"},

	"internal/importtest":  nil,
	"internal/wordtest":    nil,
	"internal/processtest": nil,
}

// rootPackage is the root package among those that a package may import.
const rootPackage = "."

// external says which modules from elsewhere the nouns may import; other
// packages may import what they need.
var external = map[string][]string{
	"llm":           nil,
	"agent":         {"go.yaml.in/yaml/v4"},
	"agent/builtin": nil,
	"workflow":      {"go.yaml.in/yaml/v4", "github.com/expr-lang/expr", "github.com/google/jsonschema-go"},
	"modelselect":   {"go.yaml.in/yaml/v4"},
	"engine":        nil,
	"benchfile":     nil,
	"sim":           {"go.yaml.in/yaml/v4"},

	"internal/credential": nil,
}

// free may import everything: the wiring, and what stands on it.
func free(name string) bool {
	return name == "" || name == "claudeforcetest" || name == "cmd/claude-force" || name == "examples" || name == "deploy" || strings.HasPrefix(name, "examples/") || strings.HasPrefix(name, "bench/")
}

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if free(name) {
			continue
		}
		seen[name] = true
		own, known := allowed[name]
		if !known {
			t.Errorf("package %s has no place in the layers; give it one in internal/importtest", name)
			continue
		}
		for _, imp := range p.Imports {
			checkImport(t, name, imp, own)
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("the layers name package %s, which does not exist", name)
		}
	}
}

func checkImport(t *testing.T, name, imp string, own []string) {
	t.Helper()
	if inner, ok := strings.CutPrefix(imp, module+"/"); ok {
		if !slices.Contains(own, inner) {
			t.Errorf("%s imports %s, which is not below it", name, inner)
		}
		return
	}
	if imp == module && !slices.Contains(own, rootPackage) {
		t.Errorf("%s imports the root package, which stands above it", name)
		return
	}
	modules, limited := external[name]
	first, _, _ := strings.Cut(imp, "/")
	if !limited || !strings.Contains(first, ".") { // the standard library
		return
	}
	if !slices.ContainsFunc(modules, func(m string) bool { return imp == m || strings.HasPrefix(imp, m+"/") }) {
		t.Errorf("%s imports %s; it may import only %v", name, imp, modules)
	}
}
