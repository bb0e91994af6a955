package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/postroom/postroom/examples/shop/kit"
)

// restartAfter is how long a part that failed stays down.
const restartAfter = time.Second

// part is a service that runs in this process, and can be stopped and started like a process of its own.
type part struct {
	settings Settings
	address  string       // host:port; stays the same
	listener net.Listener // for the first start; nil afterwards

	mu      sync.Mutex
	running context.CancelFunc // nil: stopped
	ended   chan struct{}
	err     error // of the last failure
}

// start starts the part and returns when it answers requests.
func (p *part) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return nil
	}
	first, err := p.open(ctx)
	if err != nil {
		return err
	}
	p.launch(ctx, &first)
	return nil
}

// resume starts the part, if it is stopped, and does not wait: what the part needs may be away for now.
func (p *part) resume(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		p.launch(ctx, nil)
	}
}

func (p *part) launch(ctx context.Context, first *process) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.running, p.ended = cancel, make(chan struct{})
	go p.supervise(running, first, p.ended)
}

// process is what would be a process of its own in a real shop.
type process struct {
	service  Service
	listener net.Listener
}

func (p *part) open(ctx context.Context) (process, error) {
	listener := p.listener
	if p.listener = nil; listener == nil {
		var err error
		if listener, err = net.Listen("tcp", p.address); err != nil {
			return process{}, fmt.Errorf("listen for %s: %w", p.settings.Name, err)
		}
	}
	service, err := Open(ctx, p.settings)
	if err != nil {
		return process{}, errors.Join(fmt.Errorf("open %s: %w", p.settings.Name, err), listener.Close())
	}
	return process{service, listener}, nil
}

func (p process) run(ctx context.Context) error {
	return errors.Join(kit.Run(ctx, p.service.Run, func(ctx context.Context) error {
		return kit.Serve(ctx, p.listener, p.service.Handler)
	}), p.service.Close())
}

// supervise runs the part until running ends: first what is open already, if anything is. When it fails, it is opened
// again after a second, as by whatever starts the processes of a real shop.
func (p *part) supervise(running context.Context, next *process, ended chan<- struct{}) {
	defer close(ended)
	for {
		err := p.runOnce(running, next)
		if running.Err() != nil {
			return
		}
		p.failed(err)
		select {
		case <-time.After(restartAfter):
		case <-running.Done():
			return
		}
		next = nil
	}
}

func (p *part) runOnce(ctx context.Context, open *process) error {
	if open == nil {
		opened, err := p.open(ctx)
		if err != nil {
			return err
		}
		open = &opened
	}
	return open.run(ctx)
}

func (p *part) failed(err error) {
	p.settings.Log.Error("failed; is started again", "error", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// stop stops the part and returns when it has ended.
func (p *part) stop() {
	p.mu.Lock()
	cancel, ended := p.running, p.ended
	p.running = nil
	p.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// Status is how a part is.
type Status struct {
	Name    string
	Address string // http://host:port
	Running bool
	Failure string // the last one, if it ever failed
}

func (p *part) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{Name: p.settings.Name, Address: "http://" + p.address, Running: p.running != nil}
	if p.err != nil {
		s.Failure = p.err.Error()
	}
	return s
}

// Parts tells how all parts are.
func (w *World) Parts() []Status {
	all := make([]Status, len(w.parts))
	for i, p := range w.parts {
		all[i] = p.status()
	}
	return all
}

// Address is where a part answers requests, such as http://127.0.0.1:8080.
func (w *World) Address(name string) string {
	if p := w.part(name); p != nil {
		return p.status().Address
	}
	return ""
}

// Stop stops a part, or a broker of this process (Kafka, RabbitMQ, Redis). What a part was doing is finished or rolled
// back, as after a kill: the databases decide.
func (w *World) Stop(name string) error {
	if b := w.broker(name); b != nil {
		return b.set(false)
	}
	p := w.part(name)
	if p == nil {
		return fmt.Errorf("there is no part %s", name)
	}
	p.stop()
	return nil
}

// StartPart starts a part or a broker that was stopped.
func (w *World) StartPart(ctx context.Context, name string) error {
	if b := w.broker(name); b != nil {
		return b.set(true)
	}
	p := w.part(name)
	if p == nil {
		return fmt.Errorf("there is no part %s", name)
	}
	return p.start(ctx)
}

func (w *World) part(name string) *part {
	for _, p := range w.parts {
		if p.settings.Name == name {
			return p
		}
	}
	return nil
}
