package tool_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// TestNeighbours covers the neighbours of the measured cases of tools that read: line
// ends, encodings, offsets, hidden and ignored files, links, orders and limits.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, f := range []struct{ name, text string }{ // the oldest first
		{"a.ts", "one\ntwo\nthree\nfour\nfive\nsix\nneedle one\nseven\neight\n"}, {"src/b.ts", "Needle two\nx\n"}, {"src/deep/c.go", "needle\r\nneedle\r\n"},
		{".hidden/h.ts", "needle h\n"}, {"node_modules/m.ts", "needle m\n"}, {".git/g.ts", "needle g\n"}, {".gitignore", "ign.ts\n"}, {"ign.ts", "needle ign\n"},
		{"bin.ts", "needle\x00x\n"}, {"long.ts", "needle " + strings.Repeat("y", 600) + "\n"}, {"src/d.tsx", "foo(\n  bar)\nfoo(bar)\n"}, {"noeol", "needle end"},
		{"sp ace.ts", "needle sp\n"}, {"ü.ts", "nëedle ü\n"},
		{"crlf.txt", "one\r\ntwo\r\nthree\r\n"}, {"empty.txt", ""}, {"bom.txt", "\xef\xbb\xbfx\ny\n"}, {"utf16.txt", "\xff\xfea\x00\n\x00b\x00"}, {"cr.txt", "a\rb\r"}, {"nonl.txt", "a\nb"},
	} {
		path, at := filepath.Join(dir, f.name), time.Unix(int64(1_700_000_000+i), 0)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"link.ts": filepath.Join(dir, "a.ts"), "out": "/etc", "broken.ts": "nowhere", "ls": "src"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			citest.Missing(t, "links cannot be made here: %v", err)
		}
	}
	env, err := tool.NewEnv(dir, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { env.Close() })
	set, err := tool.NewSet(tool.Files()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tool, input string
		isError     bool
		want        string
	}{
		{"Read", `{"file_path":"crlf.txt"}`, false, "1\tone\n2\ttwo\n3\tthree\n4\t"},
		{"Read", `{"file_path":"bom.txt"}`, false, "1\tx\n2\ty\n3\t"},
		{"Read", `{"file_path":"utf16.txt"}`, false, "1\ta\n2\tb"},
		{"Read", `{"file_path":"cr.txt"}`, false, "1\ta\rb"},
		{"Read", `{"file_path":"nonl.txt"}`, false, "1\ta\n2\tb"},
		{"Read", `{"file_path":"nonl.txt","offset":2}`, false, "2\tb"},
		{"Read", `{"file_path":"nonl.txt","offset":0}`, false, "0\ta\n1\tb"},
		{"Read", `{"file_path":"nonl.txt","offset":-3}`, false, "1\ta\n2\tb"},
		{"Read", `{"file_path":"nonl.txt","limit":1}`, false, "1\ta"},
		{"Read", `{"file_path":"nonl.txt","limit":0}`, false, "1\ta\n2\tb"},
		{"Read", `{"file_path":"nonl.txt","offset":"2","limit":"1"}`, false, "2\tb"},
		{"Read", `{"file_path":"nonl.txt","pages":"1"}`, false, "1\ta\n2\tb"},
		{"Glob", `{"pattern":"*.ts"}`, false, "a.ts\nsrc/b.ts\n.hidden/h.ts\nnode_modules/m.ts\n.git/g.ts\nign.ts\nbin.ts\nlong.ts\nsp ace.ts\nü.ts"},
		{"Glob", `{"pattern":"src/*"}`, false, "src/b.ts\nsrc/d.tsx"},
		{"Glob", `{"pattern":"**/*.ts"}`, false, "a.ts\nsrc/b.ts\n.hidden/h.ts\nnode_modules/m.ts\n.git/g.ts\nign.ts\nbin.ts\nlong.ts\nsp ace.ts\nü.ts"},
		{"Glob", `{"pattern":"src/**/*.go"}`, false, "src/deep/c.go"},
		{"Glob", `{"pattern":"*.{ts,tsx}"}`, false, "a.ts\nsrc/b.ts\n.hidden/h.ts\nnode_modules/m.ts\n.git/g.ts\nign.ts\nbin.ts\nlong.ts\nsrc/d.tsx\nsp ace.ts\nü.ts"},
		{"Glob", `{"pattern":".hidden/*"}`, false, ".hidden/h.ts"},
		{"Glob", `{"pattern":"src"}`, false, "No files found"},
		{"Glob", `{"pattern":"*","path":"src"}`, false, "src/b.ts\nsrc/deep/c.go\nsrc/d.tsx"},
		{"Glob", `{"pattern":"b.*","path":"./src/"}`, false, "src/b.ts"},
		{"Glob", `{"pattern":"nope*"}`, false, "No files found"},
		{"Glob", `{"pattern":"[ab].ts"}`, false, "a.ts\nsrc/b.ts"},
		{"Glob", `{"pattern":"?.ts"}`, false, "a.ts\nsrc/b.ts\n.hidden/h.ts\nnode_modules/m.ts\n.git/g.ts\nü.ts"},
		{"Glob", `{"pattern":"../*"}`, false, "No files found"},
		{"Glob", `{"pattern":""}`, false, "No files found"},
		{"Glob", `{"pattern":"sp ace.ts"}`, false, "sp ace.ts"},
		{"Glob", `{"pattern":"ls/*"}`, false, "No files found"},
		{"Glob", `{"pattern":"A.TS"}`, false, "No files found"},
		{"Glob", `{"pattern":"**"}`, false, "a.ts\nsrc/b.ts\nsrc/deep/c.go\n.hidden/h.ts\nnode_modules/m.ts\n.git/g.ts\n.gitignore\nign.ts\nbin.ts\nlong.ts\nsrc/d.tsx\nnoeol\nsp ace.ts\nü.ts\ncrlf.txt\nempty.txt\nbom.txt\nutf16.txt\ncr.txt\nnonl.txt"},
		{"Glob", `{"pattern":"!a.ts"}`, false, "src/b.ts\nsrc/deep/c.go\n.hidden/h.ts\nnode_modules/m.ts\n.git/g.ts\n.gitignore\nign.ts\nbin.ts\nlong.ts\nsrc/d.tsx\nnoeol\nsp ace.ts\nü.ts\ncrlf.txt\nempty.txt\nbom.txt\nutf16.txt\ncr.txt\nnonl.txt"},
		{"Grep", `{"pattern":"needle"}`, false, "Found 7 files\nsp ace.ts\nnoeol\nlong.ts\nnode_modules/m.ts\n.hidden/h.ts\nsrc/deep/c.go\na.ts"},
		{"Grep", `{"pattern":"needle","head_limit":2}`, false, "Found 2 files limit: 2\nsp ace.ts\nnoeol"},
		{"Grep", `{"pattern":"needle","head_limit":2,"offset":1}`, false, "Found 2 files limit: 2, offset: 1\nnoeol\nlong.ts"},
		{"Grep", `{"pattern":"needle","output_mode":"content"}`, false, ".hidden/h.ts:1:needle h\na.ts:7:needle one\nlong.ts:1:[Omitted long matching line]\nnode_modules/m.ts:1:needle m\nnoeol:1:needle end\nsp ace.ts:1:needle sp\nsrc/deep/c.go:1:needle\r\nsrc/deep/c.go:2:needle\r"},
		{"Grep", `{"pattern":"needle","output_mode":"content","-n":false}`, false, ".hidden/h.ts:needle h\na.ts:needle one\nlong.ts:[Omitted long matching line]\nnode_modules/m.ts:needle m\nnoeol:needle end\nsp ace.ts:needle sp\nsrc/deep/c.go:needle\r\nsrc/deep/c.go:needle\r"},
		{"Grep", `{"pattern":"needle","output_mode":"content","path":"a.ts","-A":1,"-B":2}`, false, "5-five\n6-six\n7:needle one\n8-seven"},
		{"Grep", `{"pattern":"needle","output_mode":"content","glob":"*.ts","-C":1}`, false, ".hidden/h.ts:1:needle h\n--\na.ts-6-six\na.ts:7:needle one\na.ts-8-seven\n--\nign.ts:1:needle ign\n--\nlong.ts:1:[Omitted long matching line]\n--\nnode_modules/m.ts:1:needle m\n--\nsp ace.ts:1:needle sp"},
		{"Grep", `{"pattern":"needle","output_mode":"content","context":1,"path":"a.ts"}`, false, "6-six\n7:needle one\n8-seven"},
		{"Grep", `{"pattern":"needle","output_mode":"count"}`, false, ".hidden/h.ts:1\na.ts:1\nlong.ts:1\nnode_modules/m.ts:1\nnoeol:1\nsp ace.ts:1\nsrc/deep/c.go:2\n\nFound 8 total occurrences across 7 files."},
		{"Grep", `{"pattern":"needle","output_mode":"count","head_limit":1}`, false, ".hidden/h.ts:1\n\nFound 8 total occurrences across 7 files. with pagination = limit: 1"},
		{"Grep", `{"pattern":"NEEDLE","-i":true}`, false, "Found 8 files\nsp ace.ts\nnoeol\nlong.ts\nnode_modules/m.ts\n.hidden/h.ts\nsrc/deep/c.go\nsrc/b.ts\na.ts"},
		{"Grep", `{"pattern":"needle","type":"go","output_mode":"content"}`, false, "src/deep/c.go:1:needle\r\nsrc/deep/c.go:2:needle\r"},
		{"Grep", `{"pattern":"needle","glob":"*.{go,tsx}"}`, false, "Found 1 file\nsrc/deep/c.go"},
		{"Grep", `{"pattern":"needle","glob":"*.go,*.tsx"}`, false, "Found 1 file\nsrc/deep/c.go"},
		{"Grep", `{"pattern":"needle","glob":"!*.ts"}`, false, "Found 2 files\nnoeol\nsrc/deep/c.go"},
		{"Grep", `{"pattern":"needle","glob":"*.go *.tsx"}`, false, "Found 1 file\nsrc/deep/c.go"},
		{"Grep", `{"pattern":"foo\\(\\n","multiline":true,"output_mode":"content"}`, false, "src/d.tsx:1:foo("},
		{"Grep", `{"pattern":"foo.*bar","multiline":true,"output_mode":"content"}`, false, "src/d.tsx:1:foo(\nsrc/d.tsx:2:  bar)\nsrc/d.tsx:3:foo(bar)"},
		{"Grep", `{"pattern":"need|five","output_mode":"content","path":"a.ts"}`, false, "5:five\n7:needle one"},
		{"Grep", `{"pattern":"needle","output_mode":"content","-o":true,"path":"src"}`, false, "src/deep/c.go:1:needle\nsrc/deep/c.go:2:needle"},
		{"Grep", `{"pattern":"needle","path":"src/deep/c.go","output_mode":"content"}`, false, "1:needle\r\n2:needle\r"},
		{"Grep", `{"pattern":"needle","path":"src/deep/c.go","output_mode":"count"}`, false, "src/deep/c.go:2\n\nFound 2 total occurrences across 1 file."},
		{"Grep", `{"pattern":"needle","path":"src/deep/c.go"}`, false, "Found 1 file\nsrc/deep/c.go"},
		{"Grep", `{"pattern":"zzz","output_mode":"content"}`, false, "No matches found"},
		{"Grep", `{"pattern":"zzz","output_mode":"count"}`, false, "No matches found\n\nFound 0 total occurrences across 0 files."},
		{"Grep", `{"pattern":"zzz"}`, false, "No files found"},
		{"Grep", `{"pattern":"needle","output_mode":"content","head_limit":1,"glob":"*.ts"}`, false, ".hidden/h.ts:1:needle h\n\n[Showing results with pagination = limit: 1]"},
		{"Grep", `{"pattern":"needle","output_mode":"content","head_limit":0,"path":"src"}`, false, "src/deep/c.go:1:needle\r\nsrc/deep/c.go:2:needle\r"},
		{"Grep", `{"pattern":"needle","output_mode":"content","offset":100}`, false, "No matches found\n\n[Showing results with pagination = offset: 100]"},
		{"Grep", `{"pattern":"-n"}`, false, "No files found"},
		{"Grep", `{"pattern":""}`, false, "Found 16 files\nnonl.txt\ncr.txt\nutf16.txt\nbom.txt\ncrlf.txt\nü.ts\nsp ace.ts\nnoeol\nsrc/d.tsx\nlong.ts\n.gitignore\nnode_modules/m.ts\n.hidden/h.ts\nsrc/deep/c.go\nsrc/b.ts\na.ts"},
		{"Grep", `{"pattern":"^","path":"noeol","output_mode":"content"}`, false, "1:needle end"},
		{"Grep", `{"pattern":"end$","output_mode":"content"}`, false, "noeol:1:needle end"},
		{"Grep", `{"pattern":"needle$","path":"src/deep","output_mode":"content"}`, false, "No matches found"},
		{"Grep", `{"pattern":"needle","output_mode":"content","path":"a.ts","-A":"1"}`, false, "7:needle one\n8-seven"},
		{"Grep", `{"pattern":"\\bn","path":"a.ts","output_mode":"content"}`, false, "7:needle one"},
		{"Grep", `{"pattern":"needle","path":"ls","output_mode":"content"}`, false, "src/deep/c.go:1:needle\r\nsrc/deep/c.go:2:needle\r"},
		{"Grep", `{"pattern":"needle","path":"link.ts","output_mode":"content"}`, false, "7:needle one"},
		{"Grep", `{"pattern":"needle","glob":"src/**","output_mode":"files_with_matches"}`, false, "Found 1 file\nsrc/deep/c.go"},
	} {
		r := set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: c.tool, Input: json.RawMessage(c.input)})
		if got := strings.ReplaceAll(r.Text, dir, "$CWD"); r.IsError != c.isError || got != c.want {
			t.Errorf("%s %s: error %v, got\n%q, want\n%q", c.tool, c.input, r.IsError, got, c.want)
		}
	}
}

// TestEditNeighbours covers the neighbours of the measured cases of Edit and Write.
func TestEditNeighbours(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, tool, input string
		isError           bool
		want              string // of the file
	}{
		"LF in a file of CRLF":        {"one\r\ntwo\r\nthree\r\n", "Edit", `{"file_path":"f","old_string":"two\nthree","new_string":"2\n3"}`, false, "one\r\n2\r\n3\r\n"},
		"CRLF in a file of CRLF":      {"one\r\ntwo\r\n", "Edit", `{"file_path":"f","old_string":"one\r\ntwo","new_string":"1\r\n2"}`, false, "1\r\n2\r\n"},
		"the last line without end":   {"a\nb", "Edit", `{"file_path":"f","old_string":"b","new_string":""}`, false, "a\n"},
		"a whole line":                {"a\nb\nc\n", "Edit", `{"file_path":"f","old_string":"b","new_string":""}`, false, "a\nc\n"},
		"a byte order mark":           {"\xef\xbb\xbfx\ny\n", "Edit", `{"file_path":"f","old_string":"x","new_string":"z"}`, false, "\xef\xbb\xbfz\ny\n"},
		"UTF-16":                      {"\xff\xfea\x00\n\x00b\x00", "Edit", `{"file_path":"f","old_string":"b","new_string":"c"}`, false, "\xff\xfea\x00\n\x00c\x00"},
		"not unique":                  {"a b a\na\n", "Edit", `{"file_path":"f","old_string":"a","new_string":"c"}`, true, "a b a\na\n"},
		"all, overlapping the new":    {"a b a\na\n", "Edit", `{"file_path":"f","old_string":"a","new_string":"aa","replace_all":true}`, false, "aa b aa\naa\n"},
		"all, as a string":            {"a\na\n", "Edit", `{"file_path":"f","old_string":"a","new_string":"b","replace_all":"true"}`, false, "b\nb\n"},
		"all, none there":             {"a\n", "Edit", `{"file_path":"f","old_string":"x","new_string":"b","replace_all":true}`, true, "a\n"},
		"quotes of typography":        {"say “hi” and ‘x’\n", "Edit", `{"file_path":"f","old_string":"say \"hi\" and 'x'","new_string":"say \"ho\" and 'y'"}`, false, "say “ho” and ‘y’\n"},
		"spaces at the end of a line": {"a  \n\tb\n", "Edit", `{"file_path":"f","old_string":"a\n\tb","new_string":"c"}`, true, "a  \n\tb\n"},
		"an empty file":               {"", "Edit", `{"file_path":"f","old_string":"","new_string":"x\n"}`, false, "x\n"},
		"nothing, in a full file":     {"x\n", "Edit", `{"file_path":"f","old_string":"","new_string":"y\n"}`, true, "x\n"},
		"another form of Unicode":     {"ünï\n", "Edit", `{"file_path":"f","old_string":"u\u0308ni\u0308","new_string":"y"}`, true, "ünï\n"},
		"signs of patterns":           {"ünï\n", "Edit", `{"file_path":"f","old_string":"ünï","new_string":"$& $1 \\n"}`, false, "$& $1 \\n\n"},
		"the same":                    {"x\n", "Edit", `{"file_path":"f","old_string":"x","new_string":"x"}`, true, "x\n"},
		"not UTF-8":                   {"a\xffb\n", "Edit", `{"file_path":"f","old_string":"a","new_string":"c"}`, true, "a\xffb\n"},
		"LF instead of CRLF":          {"a\r\nb\r\n", "Write", `{"file_path":"f","content":"a\nb\n"}`, false, "a\nb\n"},
		"nothing":                     {"a\n", "Write", `{"file_path":"f","content":""}`, false, ""},
		"no content":                  {"a\n", "Write", `{"file_path":"f"}`, true, "a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "f"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			env, err := tool.NewEnv(dir, tool.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { env.Close() })
			set, err := tool.NewSet(tool.Files()...)
			if err != nil {
				t.Fatal(err)
			}
			r := set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: c.tool, Input: json.RawMessage(c.input)})
			got, err := os.ReadFile(filepath.Join(dir, "f"))
			if err != nil || r.IsError != c.isError || string(got) != c.want {
				t.Errorf("error %v (%s), the file is %q, want %q", r.IsError, r.Text, got, c.want)
			}
		})
	}
}
