package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
	"golang.org/x/net/html/charset"
)

// page is a page as text.
type page struct {
	url  string
	text string // Markdown if the page is HTML
	cut  bool   // the page is longer than what is fetched
	at   time.Time
}

const (
	pageAge   = 15 * time.Minute
	maxPages  = 200
	maxStored = 64 << 20 // bytes of all texts
)

// pages keeps pages that were read lately.
type pages struct {
	mu     sync.Mutex // guards the fields below
	byURL  map[string]*page
	stored int
}

func newPages() *pages { return &pages{byURL: map[string]*page{}} }

func (p *pages) get(url string) *page {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.byURL[url]
	if known == nil || time.Since(known.at) >= pageAge {
		return nil
	}
	return known
}

// add keeps a page. Old ones go first, and then any.
func (p *pages) add(url string, fresh *page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh.at = time.Now()
	p.drop(url)
	for key, known := range p.byURL {
		if time.Since(known.at) >= pageAge {
			p.drop(key)
		}
	}
	for key := range p.byURL {
		if len(p.byURL) < maxPages && p.stored+len(fresh.text) <= maxStored {
			break
		}
		p.drop(key)
	}
	p.byURL[url] = fresh
	p.stored += len(fresh.text)
}

func (p *pages) drop(url string) {
	if known := p.byURL[url]; known != nil {
		p.stored -= len(known.text)
		delete(p.byURL, url)
	}
}

// fetch returns the page at a URL. The error is for the model, and may be a
// [redirectError].
func (w *Web) fetch(ctx context.Context, rawURL string) (*page, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	address := u.String()
	if known := w.pages.get(address); known != nil {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/markdown, text/html, text/plain;q=0.9, */*;q=0.5")
	req.Header.Set("User-Agent", "claude-force (web page for an agent)")
	resp, err := w.client.Do(req)
	if resp != nil {
		defer resp.Body.Close()
	}
	if redirect, ok := errors.AsType[*redirectError](err); ok {
		return nil, redirect
	}
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", address, unwrapURL(err))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching %s: the server answered %s", address, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", address, err)
	}
	fresh := &page{url: address, cut: len(body) > maxPage}
	body = body[:min(len(body), maxPage)]
	if fresh.text, err = textOf(resp.Header.Get("Content-Type"), body, address); err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	w.pages.add(address, fresh)
	return fresh, nil
}

// unwrapURL returns the cause of an error without the method and the URL before it.
func unwrapURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// textOf returns the text of a page: Markdown if it is HTML.
func textOf(contentType string, body []byte, address string) (string, error) {
	if contentType == "" {
		contentType = http.DetectContentType(body)
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = strings.ToLower(strings.TrimSpace(strings.Split(contentType, ";")[0]))
	}
	isHTML := media == "text/html" || media == "application/xhtml+xml"
	if !isHTML && !isText(media) {
		return "", fmt.Errorf("it is %s, and only text is shown", media)
	}
	text, err := decode(contentType, body)
	if err != nil {
		return "", err
	}
	if isHTML {
		return markdown(text, address)
	}
	return text, nil
}

func isText(media string) bool {
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml") ||
		media == "application/json" || media == "application/xml" || media == "application/javascript" || media == "application/yaml" || media == "application/x-ndjson"
}

// decode returns bytes in the character set that the page names as UTF-8.
func decode(contentType string, body []byte) (string, error) {
	if utf8.Valid(body) {
		return string(body), nil
	}
	r, err := charset.NewReader(bytes.NewReader(body), contentType)
	if err != nil {
		return strings.ToValidUTF8(string(body), "�"), nil
	}
	data, err := io.ReadAll(io.LimitReader(r, 4*maxPage))
	return strings.ToValidUTF8(string(data), "�"), err
}

// markdown converts HTML. Scripts, styles and the like have no text.
func markdown(html, address string) (string, error) {
	c := converter.NewConverter(converter.WithPlugins(base.NewBasePlugin(), commonmark.NewCommonmarkPlugin(), table.NewTablePlugin()))
	for _, tag := range []string{"noscript", "template", "svg", "iframe", "canvas"} {
		c.Register.TagType(tag, converter.TagTypeRemove, converter.PriorityEarly)
	}
	return c.ConvertString(html, converter.WithDomain(address))
}
