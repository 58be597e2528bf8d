//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// received is a request as the service keeps it.
type received struct {
	Turn        int      `json:"turn"`
	Attempt     int      `json:"attempt"`
	Results     string   `json:"results"`
	Interrupted []string `json:"interrupted"`
	Failed      []string `json:"failed"`
	Answered    bool     `json:"answered"`
	Problem     string   `json:"problem"`
}

// state is what is known after a process has died.
type state struct {
	log     []received
	turns   map[int]string       // attempts that the journal has the answers of, by turn
	calls   map[string]callState // by the journal
	effects map[place][]mark
	written map[string]int // how often each file was, by its name
	doubled []string       // calls that started or finished twice, by the journal
}

type callState struct {
	tool                                   string
	started, finished, failed, interrupted bool
}

// place is a call, whichever request of its turn it came from.
type place struct{ turn, call int }

// mark is what a call wrote.
type mark struct {
	place
	attempt int
}

func (m mark) id() string { return idOf(m.turn, m.call, strconv.Itoa(m.attempt)) }

// idOf returns the id of a call as the service gives it.
func idOf(turn, call int, attempt string) string {
	return fmt.Sprintf("toolu_%d_%d_%s", turn, call, attempt)
}

// turnOf returns the turn of a call; 0, which is none, for another id.
func turnOf(id string) (turn int) {
	_, _ = fmt.Sscanf(id, "toolu_%d_", &turn)
	return turn
}

// exported is a run as `runs export` prints it.
type exported struct {
	Events []struct {
		Type   string `json:"type"`
		Step   string `json:"step"`
		Output string `json:"output"`
		Detail struct {
			ID          string `json:"id"`
			Tool        string `json:"tool"`
			IsError     bool   `json:"is_error"`
			Interrupted bool   `json:"interrupted"`
		} `json:"detail"`
	} `json:"events"`
}

var messageID = regexp.MustCompile(`^msg_(\d+)_(\d+)$`)

// takeJournal takes in what the journal says.
func (s *state) takeJournal(run *exported) error {
	s.turns, s.calls = map[int]string{}, map[string]callState{}
	for _, ev := range run.Events {
		d := ev.Detail
		switch ev.Type {
		case "turn_answered":
			var answer struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal([]byte(ev.Output), &answer); err != nil {
				return err
			}
			found := messageID.FindStringSubmatch(answer.ID)
			if found == nil {
				return fmt.Errorf("the journal has an answer %q", answer.ID)
			}
			turn, _ := strconv.Atoi(found[1]) // digits
			if s.turns[turn] != "" {
				return fmt.Errorf("the journal has two answers of turn %d", turn)
			}
			s.turns[turn] = found[2]
		case "tool_started":
			c := s.calls[d.ID]
			if c.started {
				s.doubled = append(s.doubled, d.ID)
			}
			c.tool, c.started = d.Tool, true
			s.calls[d.ID] = c
		case "tool_finished":
			if s.calls[d.ID].finished {
				s.doubled = append(s.doubled, d.ID)
			}
			s.calls[d.ID] = callState{d.Tool, s.calls[d.ID].started, true, d.IsError, d.Interrupted}
		}
	}
	return nil
}

var markText = regexp.MustCompile(`mark-(\d+)-(\d+)-(\d+)-[0-9a-f]{8}\b`)

// readEffects finds the marks that calls left in files.
func readEffects(dir string) (map[place][]mark, error) {
	files, err := filepath.Glob(filepath.Join(dir, "project", "*.txt"))
	if err != nil {
		return nil, err
	}
	effects := map[place][]mark{}
	for _, file := range append(files, filepath.Join(dir, "outside", "effects")) {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, found := range markText.FindAllSubmatch(data, -1) {
			var n [3]int
			for i := range n {
				n[i], _ = strconv.Atoi(string(found[i+1])) // digits
			}
			at := place{n[0], n[1]}
			effects[at] = append(effects[at], mark{at, n[2]})
		}
	}
	return effects, nil
}

// changes reports whether a call of a turn is one that leaves a mark.
func changes(tool string, turn, call int) bool {
	return tool == "Write" || tool == "Edit" || tool == "Bash" && (turn%5 != 4 || call == 1)
}

// fileOf returns the file that a call writes; empty if it is none of Write and Edit.
func fileOf(tool string, turn int) string {
	switch {
	case tool == "Edit" && turn%5 == 3:
		return "log.txt"
	case tool == "Edit", tool == "Write":
		return fmt.Sprintf("w%d.txt", turn)
	}
	return ""
}

// ofTools matches the files that calls write.
var ofTools = regexp.MustCompile(`^(w\d+|log)\.txt$`)

// writers returns how many calls may have written a file, by the journal.
func (s *state) writers(file string) (n int) {
	if !ofTools.MatchString(file) {
		return s.written[file]
	}
	for id, call := range s.calls {
		if call.started && fileOf(call.tool, turnOf(id)) == file {
			n++
		}
	}
	return n
}
