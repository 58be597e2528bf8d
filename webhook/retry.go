package webhook

import (
	"fmt"
	"net/http"
	"time"
)

// Retry says when what was not taken is sent again. [DefaultRetry] has 8 attempts over
// about a day.
type Retry struct {
	First    time.Duration // before the second attempt
	Factor   float64       // by which each further wait is longer
	Attempts int           // the last one failed: it is given up
}

// DefaultRetry waits 15 seconds, 1 minute, 4 minutes, 16 minutes, 64 minutes, 4.3 hours
// and 17 hours, each up to a fifth longer.
var DefaultRetry = Retry{First: 15 * time.Second, Factor: 4, Attempts: 8}

const (
	// MaxWait is the longest wait between two attempts.
	MaxWait = 24 * time.Hour

	// maxAge is how old an event may be when it is sent.
	maxAge = 3 * 24 * time.Hour
)

// wait returns how long to wait after an attempt, from 1. random is from 0 to 1.
func (r Retry) wait(attempt int, random float64) time.Duration {
	wait := float64(r.First)
	for range attempt - 1 {
		wait *= r.Factor
	}
	return time.Duration(wait * (1 + random/5))
}

// State says where a delivery stands.
type State string

// States of a delivery.
const (
	Pending   State = "pending"   // it is sent, or sent again, at Next
	Delivered State = "delivered" // the receiver has taken it
	Failed    State = "failed"    // given up
)

// Outcome is what follows from an attempt.
type Outcome struct {
	State   State
	Status  int       // that was answered; 0 for none
	Problem string    // why it was not taken; empty if it was
	At      time.Time // of the attempt
	Next    time.Time // of a delivery that is pending
	Disable string    // why nothing more is sent to the webhook; empty for no reason
}

// Judge returns what follows from an attempt to send a delivery. The answer is nil if
// there is an error. random is from 0 to 1 and spreads attempts.
func Judge(r Retry, d *Delivery, answer *Answer, err error, now time.Time, random float64) Outcome {
	o := Outcome{State: Pending, At: now}
	wait := r.wait(d.Attempts, random)
	switch {
	case err != nil:
		o.Problem = err.Error()
	case answer.Status >= 200 && answer.Status < 300:
		return Outcome{State: Delivered, Status: answer.Status, At: now}
	case answer.Status == http.StatusGone:
		o.Status, o.State = answer.Status, Failed
		o.Problem = "answered 410 Gone"
		o.Disable = "the receiver answered 410 Gone"
		return o
	default:
		o.Status = answer.Status
		o.Problem = fmt.Sprintf("answered %d %s", answer.Status, http.StatusText(answer.Status))
		if answer.Status >= 300 && answer.Status < 400 {
			o.Problem += "; redirects are not followed"
		}
		wait = max(wait, min(answer.RetryAfter, MaxWait))
	}
	o.Next = now.Add(wait)
	if d.Attempts >= r.Attempts || Refused(err) || o.Next.Sub(d.Created) > maxAge {
		o.State, o.Next = Failed, time.Time{}
	}
	return o
}
