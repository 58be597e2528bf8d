//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// machineJob is what the first process of a machine does.
type machineJob struct {
	Options options           `json:"options"`
	Machine int               `json:"machine"`
	Queues  int               `json:"queues"` // from which it takes calls
	Binary  string            `json:"binary"`
	Service string            `json:"service"` // URLs
	Store   string            `json:"store"`
	Redis   string            `json:"redis"`
	Keys    map[string]string `json:"keys"` // secrets, by name
}

// outcome is what the clients of a machine have seen.
type outcome struct {
	Answered int            `json:"answered"`
	NoRoom   int            `json:"no_room"` // in the budget of their key
	Lost     int            `json:"lost"`    // without an answer in the end
	Repeated int            `json:"repeated"`
	Broken   int            `json:"broken"`  // of those, answers that broke off
	Sources  map[string]int `json:"sources"` // of the answers, as the server says
	Prompts  []int          `json:"prompts"` // that were answered
	Errors   []string       `json:"errors"`  // the first few, also of calls that were repeated
}

// Lines by which a machine and the process that started it agree.
const (
	sayPlugged = "plugged" // the machine's end of the cable is there
	sayServing = "serving" // the servers are ready
	sayGo      = "go"
)

// beMachine runs the first process of a machine: it starts the servers, and has clients call
// them.
func beMachine(ctx context.Context, text string) error {
	var job machineJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	m := &machine{job: &job, out: outcome{Sources: map[string]int{}}}
	lines := make(chan string)
	go func() { // until the end of the process
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
		os.Exit(1) // and with it all processes of the machine
	}()
	if line := <-lines; line != sayPlugged {
		return fmt.Errorf("got %q", line)
	}
	if err := errors.Join(ownFiles(false), unix.Sethostname([]byte("machine-"+strconv.Itoa(job.Machine)))); err != nil {
		return err
	}
	err := script(ctx,
		[]string{"link", "set", "lo", "up"},
		[]string{"addr", "add", addressOf(job.Machine) + bits, "dev", "eth0"},
		[]string{"link", "set", "eth0", "up"})
	if err != nil {
		return err
	}
	if err := m.startServers(ctx); err != nil {
		return err
	}
	fmt.Println(sayServing)
	if line := <-lines; line != sayGo {
		return fmt.Errorf("got %q", line)
	}
	if err := m.call(ctx); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(&m.out); err != nil {
		return err
	}
	<-ctx.Done() // until its input ends
	return nil
}

// machine is a machine with its servers and clients.
type machine struct {
	job     *machineJob
	servers []string // URLs
	client  http.Client

	mu  sync.Mutex // guards the field below
	out outcome
}

// environment returns the variables of commands and servers of a machine.
func (j *machineJob) environment(home string) []string {
	return append(os.Environ(),
		"HOME="+home, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "CLAUDE_FORCE_HOME="+filepath.Join(home, "data"),
		"CLAUDE_FORCE_STORE="+j.Store, "CLAUDE_FORCE_VALKEY="+j.Redis, "CLAUDE_FORCE_CACHE_MAX_SIZE=16GiB",
		"ANTHROPIC_BASE_URL="+j.Service, "ANTHROPIC_API_KEY="+account, "ANTHROPIC_AUTH_TOKEN=", "SSL_CERT_FILE="+trusted)
}

// startServers starts the servers at once and waits until all serve.
func (m *machine) startServers(ctx context.Context) error {
	home := filepath.Join(scratch, "machine-"+strconv.Itoa(m.job.Machine))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	m.servers = make([]string, m.job.Options.Servers)
	errs := make([]error, len(m.servers))
	var starting sync.WaitGroup
	for i := range m.servers {
		starting.Go(func() { m.servers[i], errs[i] = m.startServer(ctx, home) })
	}
	starting.Wait()
	m.client.Transport = &http.Transport{MaxIdleConnsPerHost: m.job.Options.Clients}
	return errors.Join(errs...)
}

var serving = regexp.MustCompile(`serving at (http://\S+);`)

// startServer starts a server and returns its URL. It ends with the machine.
func (m *machine) startServer(ctx context.Context, home string) (string, error) {
	cmd := exec.CommandContext(ctx, m.job.Binary, "serve", "--listen", "127.0.0.1:0", "--proxy-cache", "always", "--jobs", strconv.Itoa(2*m.job.Options.Clients))
	cmd.Dir, cmd.Env = home, m.job.environment(home)
	said, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var text strings.Builder
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if found := serving.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, said) }() // ends with the server
			return found[1], nil
		}
		fmt.Fprintln(&text, lines.Text())
	}
	return "", fmt.Errorf("the server does not serve: %w\n%s", errors.Join(cmd.Wait(), ctx.Err()), &text)
}

// call has clients make calls until the queues, which are the files after the standard ones,
// are empty.
func (m *machine) call(ctx context.Context) error {
	prompts := make(chan int)
	errs := make([]error, m.job.Queues)
	var readers, clients sync.WaitGroup
	for i := range errs {
		from := os.NewFile(uintptr(3+i), "queue")
		readers.Go(func() {
			for errs[i] == nil {
				var prompt int
				if prompt, errs[i] = take(from); errs[i] == nil {
					prompts <- prompt
				}
			}
		})
	}
	for _, server := range m.servers {
		for range m.job.Options.Clients {
			clients.Go(func() {
				for prompt := range prompts {
					m.ask(ctx, server, prompt)
				}
			})
		}
	}
	readers.Wait()
	close(prompts)
	clients.Wait()
	for _, err := range errs {
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("taking a call: %w", err)
		}
	}
	return nil
}

const (
	attempts = 100                    // of one call, at most
	pause    = 500 * time.Millisecond // between them
	longest  = 2 * time.Minute        // an attempt may take
)

// ask makes a call, repeatedly until it is answered.
func (m *machine) ask(ctx context.Context, server string, prompt int) {
	for range attempts {
		source, status, err := m.askOnce(ctx, server, prompt)
		m.mu.Lock()
		switch {
		case err == nil && status == http.StatusOK:
			m.out.Answered++
			m.out.Sources[source]++
			m.out.Prompts = append(m.out.Prompts, prompt)
			m.mu.Unlock()
			return
		case err == nil && status == http.StatusPaymentRequired:
			m.out.NoRoom++
			m.mu.Unlock()
			return
		}
		m.out.Repeated++
		if status == http.StatusOK {
			m.out.Broken++
		}
		if len(m.out.Errors) < 5 {
			m.out.Errors = append(m.out.Errors, fmt.Sprint(status, " ", err))
		}
		m.mu.Unlock()
		if status/100 == 4 && status != http.StatusTooManyRequests {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out.Lost++
}

// body returns a request of a client.
func body(text string) string {
	return fmt.Sprintf(`{"model":"claude-haiku-5-5","max_tokens":300,"stream":true,"messages":[{"role":"user","content":%q}]}`, text)
}

// askOnce makes a call and returns where its answer came from, by a header of the server.
// The error is that of an answer that broke off, or is none.
func (m *machine) askOnce(ctx context.Context, server string, prompt int) (source string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v1/messages", strings.NewReader(body(text(prompt))))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("X-Api-Key", m.job.Keys[keyOf(prompt)])
	req.Header.Set("Anthropic-Version", "2023-06-01")
	req.Header.Set("Content-Type", "application/json")
	res, err := m.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	data, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // it was read
	switch {
	case err != nil:
		return "", res.StatusCode, err
	case res.StatusCode == http.StatusPaymentRequired:
		return "", res.StatusCode, nil
	case res.StatusCode != http.StatusOK || !bytes.Contains(data, []byte(`"message_stop"`)):
		return "", res.StatusCode, fmt.Errorf("%.300s", data)
	}
	return res.Header.Get("X-Claude-Force-Cache"), res.StatusCode, nil
}
