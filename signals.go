package claudeforce

import (
	"context"
	"time"

	"github.com/claude-force/claude-force/journal"
)

// listenEvery is how often a run looks for what people decided elsewhere.
const listenEvery = 250 * time.Millisecond

// listen brings what others send to a run, until stop is called.
func (o *Orchestrator) listen(ctx context.Context, store journal.Store, id string, after int64) (control <-chan journal.Event, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	events, done := make(chan journal.Event), make(chan struct{})
	go func() { // waited for by stop
		defer close(done)
		ticker := time.NewTicker(listenEvery)
		defer ticker.Stop()
		for {
			sent, _ := store.Signals(ctx, id, after) // after an error the next look may do better
			for _, ev := range sent {
				after = ev.Seq
				if ev.Type == journal.CancelAsked {
					o.pipe.CancelBatches(ctx) // while their calls still wait
				}
				select {
				case events <- ev:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events, func() {
		cancel()
		<-done
	}
}
