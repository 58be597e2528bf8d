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
	// there. It is for single requests; of a proxy whose mode it is, the answers are
	// kept for one of ModeAlways.
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

// sharing says how one request shares answers.
type sharing struct {
	mode    Mode // ModeAlways, ModeDeterministic or ModeOff
	refresh bool // the service is asked, and the answer kept where a request of the mode finds it
}

// of returns how a request shares answers. One that refreshes does so for those that come
// later and choose no mode.
func (m Mode) of(header http.Header) (sharing, error) {
	if m == ModeRefresh {
		m = ModeAlways
		if header.Get(modeHeader) == "" {
			return sharing{m, true}, nil
		}
	}
	switch asked := Mode(header.Get(modeHeader)); asked {
	case "":
		return sharing{m, false}, nil
	case ModeAlways, ModeDeterministic, ModeOff:
		return sharing{asked, false}, nil
	case ModeRefresh:
		return sharing{m, true}, nil
	default:
		return sharing{}, fmt.Errorf("%s: %q is none of always, deterministic, off and refresh", modeHeader, string(asked))
	}
}

// policy returns how the cache treats a request, and adds to its digest who may be given
// its answer.
func (s sharing) policy(r *reading, h digest, header http.Header) llm.Policy {
	if s.mode == ModeOff && !s.refresh || r.state {
		return llm.PolicyOff
	}
	session := r.session(header)
	switch {
	case s.mode == ModeAlways || r.fixed:
	case session != "":
		h.text("session", []byte(session))
	case !s.refresh:
		return llm.PolicyOff
	}
	if s.refresh {
		return llm.PolicyRefresh
	}
	return llm.PolicyDefault
}
