package claudecode

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/claude-force/claude-force/internal/tailtext"
)

// maxLine bounds a line of what the program prints.
const maxLine = 64 << 20

var errLongLine = fmt.Errorf("it printed a line of more than %d MB", maxLine>>20)

// message is a line of what the program prints with the output format stream-json.
type message struct {
	Type    string `json:"type"`
	Subtype string `json:"subtype"`
	Session string `json:"session_id"`
	Within  string `json:"parent_tool_use_id"` // of what a sub-agent says
	Message struct {
		Content json.RawMessage `json:"content"`
	} `json:"message"`

	Version string `json:"claude_code_version"` // of system messages

	// Of results.
	IsError    bool            `json:"is_error"`
	Result     string          `json:"result"`
	Structured json.RawMessage `json:"structured_output"`
	Turns      int             `json:"num_turns"`
	CostUSD    *float64        `json:"total_cost_usd"`
	StopReason string          `json:"stop_reason"`
	Errors     []string        `json:"errors"`
}

// block is a block of a message.
type block struct {
	Type    string          `json:"type"`
	Text    string          `json:"text"`
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Input   json.RawMessage `json:"input"`
	Use     string          `json:"tool_use_id"`
	IsError bool            `json:"is_error"`
}

// blocks returns the blocks of a message; nil if it has a text alone.
func (m *message) blocks() (blocks []block) {
	if json.Unmarshal(m.Message.Content, &blocks) != nil {
		return nil
	}
	return blocks
}

// readMessages reads what the program prints until it ends or take returns false. Lines
// that are no messages are returned, the last few of them.
func readMessages(r io.Reader, take func(*message) bool) (other string, err error) {
	var rest tailtext.Buffer
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(lines)
		if text := bytes.TrimSpace(line); len(text) > 0 {
			var m message
			if json.Unmarshal(text, &m) != nil || m.Type == "" {
				_, _ = rest.Write(append(text, '\n'))
			} else if !take(&m) {
				return rest.String(), nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return rest.String(), nil
		case err != nil:
			return rest.String(), err
		}
	}
}

// readLine reads a line of at most maxLine bytes.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		piece, err := r.ReadSlice('\n')
		if len(line)+len(piece) > maxLine {
			return nil, errLongLine
		}
		line = append(line, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
