package plugin

import (
	"encoding/json"
	"testing"
)

// TestElsewhere follows marketplaces to other sources. One from the network cannot have
// the user's own repositories copied to where agents read.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		market, source string
		want           Entry
		refused        bool
	}{
		{market: "https://example.com/m", source: `{"source": "github", "repo": "a/b", "ref": "v1"}`, want: Entry{Source: "https://github.com/a/b", Ref: "v1"}},
		{market: "https://example.com/m", source: `{"source": "url", "url": "ssh://git@example.com/a", "path": "./x/../y/", "sha": "abc"}`, want: Entry{Source: "ssh://git@example.com/a", Ref: "abc", Path: "y"}},
		{market: "file:///m", source: `{"url": "file:///home/u/own", "path": "."}`, want: Entry{Source: "file:///home/u/own"}},
		{market: "/m", source: `{"url": "file:///home/u/own"}`, want: Entry{Source: "file:///home/u/own"}},
		{market: "https://example.com/m", source: `{"url": "file:///home/u/own"}`, refused: true},
		{market: "git@example.com:m", source: `{"url": "FILE:///home/u/own"}`, refused: true},
		{market: "ssh://git@example.com/m", source: `{"url": "/home/u/own"}`, refused: true},
		{market: "/m", source: `{"url": "https://example.com/a", "path": "../x"}`, refused: true},
		{market: "/m", source: `{"url": "https://example.com/a", "ref": "--upload-pack"}`, refused: true},
		{market: "/m", source: `[]`, refused: true},
	} {
		got, err := elsewhere(test.market, manifest{Name: "p", Source: json.RawMessage(test.source)})
		if !test.refused {
			test.want.Name = "p"
		}
		if got != test.want || (err != nil) != test.refused {
			t.Errorf("%s of %s: %+v, %v", test.source, test.market, got, err)
		}
	}
}
