package cache

import (
	"github.com/claude-force/claude-force/internal/credential"
	"github.com/claude-force/claude-force/llm"
)

// findCredential returns the kind of the first credential found in a call or its
// answer, empty if there is none. The answer is searched too, since it may
// hold a secret that the model made or decoded. A false alarm costs the price
// of a call, but again and again.
func findCredential(req *llm.Request, resp *llm.Response) string {
	found := ""
	look := func(text string) bool {
		if found == "" && text != "" {
			found = credential.Find(text)
		}
		return found != ""
	}
	lookRaw := func(text []byte) bool { // it may be large
		if found == "" && len(text) > 0 {
			found = credential.FindBytes(text)
		}
		return found != ""
	}
	blocks := func(blocks []llm.Block) bool {
		for _, b := range blocks {
			if look(b.Text) || lookRaw(b.Input) || lookRaw(b.Raw) {
				return true
			}
		}
		return false
	}
	if blocks(req.System) || blocks(resp.Content) {
		return found
	}
	for _, m := range req.Messages {
		if blocks(m.Content) {
			return found
		}
	}
	for _, t := range req.Tools {
		if look(t.Description) || lookRaw(t.InputSchema) || lookRaw(t.Raw) {
			return found
		}
	}
	for _, raw := range req.Extra {
		if lookRaw(raw) {
			return found
		}
	}
	return ""
}
