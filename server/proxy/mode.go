package proxy

import (
	"fmt"
	"net/http"

	"github.com/claude-force/claude-force/llm"
)

// Mode says which answers are taken from the response cache, or from an identical call
// in flight.
type Mode string

// The modes.
const (
	// ModeAlways shares every answer that may be kept, as if the model always gave the
	// same.
	ModeAlways Mode = "always"
	// ModeDeterministic shares answers at temperature 0, and those that the same
	// session asks for again. It is the default.
	ModeDeterministic Mode = "deterministic"
	// ModeOff shares none.
	ModeOff Mode = "off"
	// ModeRefresh asks the service and keeps the answer in place of the one that is
	// there. It is for single requests.
	ModeRefresh Mode = "refresh"
)

// modeHeader is the header with which a request chooses a mode of its own.
const modeHeader = "X-Claude-Force-Cache-Mode"

// ParseMode returns the mode with a name.
func ParseMode(name string) (Mode, error) {
	switch m := Mode(name); m {
	case ModeAlways, ModeDeterministic, ModeOff:
		return m, nil
	}
	return "", fmt.Errorf("%q is none of always, deterministic and off", name)
}

// of returns the mode of a request.
func (m Mode) of(header http.Header) (Mode, error) {
	switch asked := Mode(header.Get(modeHeader)); asked {
	case "":
		return m, nil
	case ModeAlways, ModeDeterministic, ModeOff, ModeRefresh:
		return asked, nil
	default:
		return "", fmt.Errorf("%s: %q is none of always, deterministic, off and refresh", modeHeader, string(asked))
	}
}

// policy returns how the cache treats a request, and adds to its digest who may be given
// its answer.
func (m Mode) policy(r *reading, h digest, header http.Header) llm.Policy {
	if m == ModeOff || r.state {
		return llm.PolicyOff
	}
	if m == ModeRefresh {
		m = ModeAlways
		if !r.fixed && r.session(header) != "" {
			m = ModeDeterministic // where the next request looks
		}
		m.policy(r, h, header)
		return llm.PolicyRefresh
	}
	switch session := r.session(header); {
	case m == ModeAlways || r.fixed:
		return llm.PolicyDefault
	case session != "":
		h.text("session", []byte(session))
		return llm.PolicyDefault
	}
	return llm.PolicyOff
}
