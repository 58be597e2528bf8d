package memory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/claude-force/claude-force/toolset"
)

// Contributor returns what adds the memory of the project and its user to tasks of
// agents with tools. A problem is passed to the user once.
func Contributor(home string) toolset.Contributor {
	var noticed sync.Map
	return func(ctx context.Context, s *toolset.Session) (toolset.Contribution, error) {
		options := Options{Dir: s.Dir, Home: home, Denied: func(path string) bool { return s.Policy().DeniedFile(false, path) }}
		m, err := Load(options)
		if err != nil {
			return toolset.Contribution{}, err
		}
		for _, problem := range m.Problems {
			if _, again := noticed.LoadOrStore(problem, true); !again {
				s.Notice(ctx, problem)
			}
		}
		s.OnRead(m.Nested(options).For)
		if len(m.Files) == 0 {
			return toolset.Contribution{}, nil
		}
		c := toolset.Contribution{Context: []string{m.Text()}, Sources: map[string]string{}}
		for _, f := range m.Files {
			sum := sha256.Sum256([]byte(f.Origin + "\x00" + f.Text))
			c.Sources[f.Path] = hex.EncodeToString(sum[:])
		}
		return c, nil
	}
}
