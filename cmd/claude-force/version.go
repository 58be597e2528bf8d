package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildInfo says what this program was built from. A field that the build did
// not record is empty.
type buildInfo struct {
	Version string `json:"version"` // of the module; "unknown" if it was not recorded
	Commit  string `json:"commit"`  // ends in "+changes" if files were changed since
	Date    string `json:"date"`    // of the commit, RFC 3339
	Go      string `json:"go"`
	Sum     string `json:"sum"` // of the module, as in go.sum
}

// readBuild returns what `go install` and `go build` recorded in the program.
func readBuild() buildInfo {
	b := buildInfo{Version: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	b.Sum = info.Main.Sum
	changed := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			changed = s.Value == "true"
		}
	}
	if b.Commit != "" && changed {
		b.Commit += "+changes"
	}
	return b
}

// version returns the version of the module this program was built from.
func version() string { return readBuild().Version }

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version, and what the program was built from",
		Long: `Show the module's version, the commit and its date, the Go version and the
module's checksum, as the build recorded them. A build from a checkout has no
checksum; an installed module has no commit.

With --json, prints an object with the keys version, commit, date, go and sum.
What is unknown is "".`,
		Example: `  claude-force version
  claude-force version --json | jq -r .version`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			if asJSON {
				return printJSON(a.stdout, b)
			}
			return table(a.stdout, [][]string{
				{"version", b.Version}, {"commit", orDash(b.Commit)}, {"date", orDash(b.Date)}, {"go", b.Go}, {"sum", orDash(b.Sum)},
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object: version, commit, date, go, sum")
	return cmd
}
