package mcpclient

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxMessage is how many bytes a message of a server has at most.
const maxMessage = 16 << 20

var errTooLarge = fmt.Errorf("the server sent a message of more than %d MiB", maxMessage>>20)

// lineReader reads lines, and passes on what transform makes of each; nil drops it.
type lineReader struct {
	lines     *bufio.Reader
	closer    io.Closer
	transform func(line []byte) []byte
	rest      []byte
	err       error
}

func newLineReader(r io.ReadCloser, transform func([]byte) []byte) *lineReader {
	return &lineReader{lines: bufio.NewReaderSize(r, 64<<10), closer: r, transform: transform}
}

func (r *lineReader) Close() error { return r.closer.Close() }

func (r *lineReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.rest = r.next()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next returns what becomes of the next line.
func (r *lineReader) next() []byte {
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(line)+len(part) > maxMessage {
			r.err = errTooLarge
			return nil
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			r.err = err
		}
		return r.transform(line)
	}
}

// stdoutLine returns a line of a server's standard output. What is no message, such
// as a greeting, is dropped.
func stdoutLine(line []byte) []byte {
	trimmed := bytes.TrimSpace(line)
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' || !json.Valid(trimmed) {
		return nil
	}
	return append(keepStructured(trimmed), '\n')
}

// eventLine returns a line of a stream of server-sent events.
func eventLine(line []byte) []byte {
	data, ok := bytes.CutPrefix(line, []byte("data:"))
	if !ok || !bytes.Contains(data, structuredKey) {
		return line
	}
	trimmed := bytes.TrimSpace(data)
	if !json.Valid(trimmed) {
		return line
	}
	return slices.Concat([]byte("data: "), keepStructured(trimmed), []byte("\n"))
}

var structuredKey = []byte(`"structuredContent"`)

// rawKey marks structured content whose text was kept.
const rawKey = "claude-force/text"

// keepStructured returns a message with the structured content of its result as a
// text. The SDK would decode it, and lose the order of its keys and the last digits
// of large numbers.
func keepStructured(message []byte) []byte {
	if !bytes.Contains(message, structuredKey) {
		return message
	}
	var response map[string]json.RawMessage
	if json.Unmarshal(message, &response) != nil {
		return message
	}
	var result map[string]json.RawMessage
	if json.Unmarshal(response["result"], &result) != nil {
		return message
	}
	structured, ok := result["structuredContent"]
	if !ok || string(structured) == "null" {
		return message
	}
	text, err := canonical(structured)
	if err != nil {
		return message
	}
	for _, part := range []struct {
		object map[string]json.RawMessage
		key    string
		value  any
	}{
		{result, "structuredContent", map[string]string{rawKey: text}},
		{response, "result", result},
	} {
		encoded, err := json.Marshal(part.value)
		if err != nil {
			return message
		}
		part.object[part.key] = encoded
	}
	encoded, err := json.Marshal(response)
	if err != nil {
		return message
	}
	return encoded
}

// structuredText returns a value as JSON text: structured content as it was kept.
func structuredText(value any) (string, error) {
	if kept, ok := value.(map[string]any); ok && len(kept) == 1 {
		if text, ok := kept[rawKey].(string); ok {
			return text, nil
		}
	}
	data, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	return canonical(data)
}

// canonical returns JSON as JavaScript writes it: without spaces, with few escapes,
// keys in their order. Whole numbers keep all digits.
func canonical(data []byte) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var out bytes.Buffer
	if err := writeValue(&out, dec); err != nil {
		return "", err
	}
	return out.String(), nil
}

func writeValue(out *bytes.Buffer, dec *json.Decoder) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		out.WriteRune(rune(v))
		for n := 0; dec.More(); n++ {
			if n > 0 {
				out.WriteByte(',')
			}
			if v == '{' {
				key, err := dec.Token()
				if err != nil {
					return err
				}
				if err := writeScalar(out, key); err != nil {
					return err
				}
				out.WriteByte(':')
			}
			if err := writeValue(out, dec); err != nil {
				return err
			}
		}
		end, err := dec.Token()
		if err != nil {
			return err
		}
		fmt.Fprint(out, end)
		return nil
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			f, err := v.Float64()
			if err != nil {
				return err
			}
			return writeScalar(out, f)
		}
		out.WriteString(v.String())
		return nil
	default:
		return writeScalar(out, v)
	}
}

func writeScalar(out *bytes.Buffer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the line end
	return nil
}

// httpTransport returns the transport to a server that is reached by HTTP.
func httpTransport(x expanded) mcp.Transport {
	endpoint, err := url.Parse(x.URL)
	if err != nil {
		panic(err) // expand parsed it
	}
	client := &http.Client{
		Transport: &roundTripper{endpoint, x.Headers, http.DefaultTransport},
	}
	if x.Transport == transportSSE {
		return &mcp.SSEClientTransport{Endpoint: x.URL, HTTPClient: client, MaxEventSize: maxMessage}
	}
	return &mcp.StreamableClientTransport{Endpoint: x.URL, HTTPClient: client, MaxEventSize: maxMessage, MaxRetries: 2}
}

// roundTripper adds the headers of a server to requests, which go to its host only,
// and bounds the answers.
type roundTripper struct {
	endpoint *url.URL
	headers  map[string]string
	next     http.RoundTripper
}

func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != t.endpoint.Scheme || req.URL.Host != t.endpoint.Host {
		return nil, errors.New("the server refers to another host, which is not followed")
	}
	req = req.Clone(req.Context())
	for name, value := range t.headers {
		req.Header.Set(name, value)
	}
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	switch strings.TrimSpace(strings.ToLower(kind)) {
	case "text/event-stream":
		res.Body = newLineReader(res.Body, eventLine)
	case "application/json":
		data, err := io.ReadAll(io.LimitReader(res.Body, maxMessage+1))
		if cerr := res.Body.Close(); err == nil {
			err = cerr
		}
		if err == nil && len(data) > maxMessage {
			err = errTooLarge
		}
		if err != nil {
			return nil, err
		}
		data = keepStructured(data)
		res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
		res.Header.Del("Content-Length")
	}
	return res, nil
}
