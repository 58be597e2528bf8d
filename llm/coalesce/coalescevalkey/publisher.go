package coalescevalkey

import (
	"context"
	"sync"
	"time"
)

// maxBytes bounds what a flight writes.
const maxBytes = 64 << 20

// publisher writes the events of a flight while the call is made: what comes while it
// writes is written together next. The call does not wait for it before its end.
type publisher struct {
	model    *model
	ctx      context.Context
	name, id string

	mu      sync.Mutex // guards the field below
	pending []event

	kick  chan struct{} // holds one; there is something to write
	stop  chan bool     // receives whether the flight has landed
	ended chan struct{}

	bytes  int
	broken bool // the others cannot read on
}

// newPublisher starts a publisher. Close it.
func (m *model) newPublisher(ctx context.Context, name, id string) *publisher {
	p := &publisher{
		model: m, ctx: context.WithoutCancel(ctx), name: name, id: id,
		kick: make(chan struct{}, 1), stop: make(chan bool), ended: make(chan struct{}),
	}
	go p.run()
	return p
}

func (p *publisher) add(e event) {
	p.mu.Lock()
	p.pending = append(p.pending, e)
	p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// close writes what is pending and how the call ended, if last says something, and gives
// the flight up, or lets it land.
func (p *publisher) close(last event, landed bool) {
	if last.Gone || last.Failure != nil {
		p.add(last)
	}
	p.stop <- landed
	<-p.ended
}

func (p *publisher) run() {
	defer close(p.ended)
	extend := time.NewTicker(extendTime)
	defer extend.Stop()
	for {
		select {
		case <-p.kick:
			p.write()
		case <-extend.C:
			_ = p.model.flights.extend(p.ctx, p.name, p.id) // a lease that is lost costs another call
		case landed := <-p.stop:
			p.write()
			end := p.model.flights.release
			if landed && !p.broken {
				end = p.model.flights.land
			}
			_ = end(p.ctx, p.name, p.id) // it expires
			return
		}
	}
}

// write writes what is pending.
func (p *publisher) write() {
	p.mu.Lock()
	events := p.pending
	p.pending = nil
	p.mu.Unlock()
	if p.broken || len(events) == 0 {
		return
	}
	data, err := encode(p.model.box, p.name+p.id, events)
	if p.bytes += len(data); err != nil || p.bytes > maxBytes {
		p.broken = true
		data, err = encode(p.model.box, p.name+p.id, []event{{Gone: true}})
	}
	if err == nil {
		err = p.model.flights.publish(p.ctx, p.name, p.id, data)
	}
	p.broken = p.broken || err != nil
}
