package budget

import (
	"encoding/json"
	"testing"
)

// TestWhatIsNotInTheJSONIsUnbounded says of which blocks the size of their JSON is no bound.
func TestWhatIsNotInTheJSONIsUnbounded(t *testing.T) {
	t.Parallel()
	for block, contained := range map[string]bool{
		`{"type":"text","text":"a"}`: true,
		`{"type":"tool_use","id":"t","name":"read","input":{"file":"a.go","kind":"document","file_id":"x"}}`:                                                                 true,
		`{"type":"image","source":{"type":"file","file_id":"f"}}`:                                                                                                            true,
		`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a"}}`:                                                                                  true,
		`{"type":"document","source":{"type":"content","content":"a"}}`:                                                                                                      true,
		`{"type":"document","source":{"type":"content","content":[{"type":"text","text":"a"}]}}`:                                                                             true,
		`{"type":"tool_result","content":"document"}`:                                                                                                                        true,
		`{"type":"tool_result","content":[{"type":"document","source":{"type":"text","data":"a"}}]}`:                                                                         true,
		`{"type":"web_fetch_tool_result","content":{"type":"web_fetch_result","content":{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a"}}}}`: true,
		`{"type":"document","source":{"type":"url","url":"https://example.com/a.pdf"}}`:                                                                                      false,
		`{"type":"document","title":"text/plain","source":{"type":"url","url":"https://example.com/a.pdf"}}`:                                                                 false,
		`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"aaaa"}}`:                                                                        false,
		`{"type":"document","source":{"type":"file","file_id":"f"}}`:                                                                                                         false,
		`{"type":"document","source":{"type":"content","content":[{"type":"document","source":{"type":"url"}}]}}`:                                                            false,
		`{"type":"document"}`: false,
		`{"type":"tool_result","content":[{"type":"text","text":"text/plain"},{"type":"document","source":{"type":"url"}}]}`: false,
		`{"type":"container_upload","file_id":"f"}`:              false,
		`{"type":"new","file_id":"f","media_type":"text/plain"}`: false,
	} {
		if got := rawBound(json.RawMessage(block)) < unbounded/4; got != contained {
			t.Errorf("%s: bounded by its size: %v", block, got)
		}
	}
}
