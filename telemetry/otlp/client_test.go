package otlp

import (
	"compress/gzip"
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

var oneSpan = []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "one"}}}}}}

func TestWhereMessagesGo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"for all":             {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1"}, "http://h:1/v1/traces"},
		"for all, with slash": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://h/base/"}, "https://h/base/v1/traces"},
		"for one, as it is":   {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:1/in", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://g"}, "http://h:1/in"},
		"nothing":             {nil, "http://localhost:4318/v1/traces"},
	} {
		c, err := newClient("TRACES", env(test.env))
		if err != nil || c.url != test.want {
			t.Errorf("%s: %v, %v; want %s", name, c, err, test.want)
		}
	}
}

func TestSettingsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"ENDPOINT": "h:4318", "TIMEOUT": "10s", "COMPRESSION": "zstd", "HEADERS": "secret-without-name", "CERTIFICATE": "/does/not/exist", "CLIENT_KEY": "/does/not/exist",
	} {
		for _, variable := range []string{"OTEL_EXPORTER_OTLP_" + name, "OTEL_EXPORTER_OTLP_TRACES_" + name} {
			_, err := newClient("TRACES", env(map[string]string{variable: value}))
			if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s=%s: %v", variable, value, err)
			}
		}
	}
}

func TestHeadersAndCompression(t *testing.T) {
	t.Parallel()
	var got http.Header
	var spans tracepb.TracesData
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header
		body, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		data, err := io.ReadAll(body)
		if err != nil || proto.Unmarshal(data, &spans) != nil {
			t.Error("the body cannot be read")
		}
	}))
	defer server.Close()
	c, err := newClient("TRACES", env(map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, other = c=d", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UploadTraces(t.Context(), oneSpan); err != nil {
		t.Fatal(err)
	}
	if got.Get("Api-Key") != "a b" || got.Get("Other") != "c=d" || got.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("headers %v", got)
	}
	if len(spans.ResourceSpans) != 1 || spans.ResourceSpans[0].ScopeSpans[0].Spans[0].Name != "one" {
		t.Errorf("spans %v", &spans)
	}
}

// answers is a transport that answers with one status after another, then with 200.
type answers struct {
	statuses []int
	header   http.Header
	requests atomic.Int64
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	n, status := int(a.requests.Add(1)), http.StatusOK
	if n <= len(a.statuses) {
		status = a.statuses[n-1]
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: a.header, Body: http.NoBody, Request: r}, nil
}

func TestRetries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		statuses []int
		header   http.Header
		requests int64
		fails    bool
	}{
		"at once":                    {nil, nil, 1, false},
		"busy twice":                 {[]int{503, 429}, nil, 3, false},
		"gateway":                    {[]int{502, 504}, nil, 3, false},
		"refused":                    {[]int{400}, nil, 1, true},
		"not allowed":                {[]int{401}, nil, 1, true},
		"a redirect is not followed": {[]int{307}, nil, 1, true},
		"says when":                  {[]int{503}, http.Header{"Retry-After": {"3"}}, 2, false},
		"says too late":              {[]int{503}, http.Header{"Retry-After": {"300"}}, 1, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, err := newClient("TRACES", env(nil))
			if err != nil {
				t.Fatal(err)
			}
			service := &answers{statuses: test.statuses, header: test.header}
			c.http.Transport = service
			err = c.UploadTraces(t.Context(), oneSpan)
			if (err != nil) != test.fails || service.requests.Load() != test.requests {
				t.Errorf("%s: %d requests, error %v", name, service.requests.Load(), err)
			}
		})
	}
}

// TestRetriesEnd gives a collector that is always busy the timeout of one message.
func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := newClient("TRACES", env(map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "4000"}))
		if err != nil {
			t.Fatal(err)
		}
		service := &answers{}
		for range 1000 {
			service.statuses = append(service.statuses, 503)
		}
		c.http.Transport = service
		begin := time.Now()
		err = c.UploadTraces(t.Context(), oneSpan)
		if took := time.Since(begin); err == nil || took > 4*time.Second || service.requests.Load() > 20 {
			t.Errorf("after %v and %d requests: %v", took, service.requests.Load(), err)
		}
	})
}

func TestPartialSuccess(t *testing.T) { // sets the handler of the process
	var said []string
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { said = append(said, err.Error()) }))
	defer otel.SetErrorHandler(before)
	success := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)
	success = protowire.AppendString(protowire.AppendTag(success, 2, protowire.BytesType), "too old")
	answer := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), success)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) }))
	defer server.Close()
	c, err := newClient("TRACES", env(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UploadTraces(t.Context(), oneSpan); err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "rejected 7 items: too old") {
		t.Errorf("said %q", said)
	}
}

// FuzzPartial gives the reader of a collector's answer any bytes.
func FuzzPartial(f *testing.F) {
	f.Add([]byte{0x0a, 0x02, 0x08, 0x07})
	f.Fuzz(func(_ *testing.T, answer []byte) { partial(answer) })
}

func TestKindsOfMetrics(t *testing.T) {
	t.Parallel()
	set := attribute.NewSet(attribute.String("s", "x"), attribute.Bool("b", true), attribute.Int("i", -3), attribute.Float64("f", 0.5), attribute.StringSlice("l", []string{"a", "b"}))
	at := time.Unix(2, 3)
	exemplar := []metricdata.Exemplar[float64]{{Value: 2.5, Time: at, TraceID: []byte{1}, SpanID: []byte{2}}}
	for want, data := range map[string]metricdata.Aggregation{
		`"sum":{"dataPoints":[{"attributes":ATTRS,"startTimeUnixNano":"1000000000","timeUnixNano":"2000000003","asInt":"9007199254740993"}],"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","isMonotonic":true}`: metricdata.Sum[int64]{
			Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
			DataPoints: []metricdata.DataPoint[int64]{{Attributes: set, StartTime: time.Unix(1, 0), Time: at, Value: 1<<53 + 1}},
		},
		`"gauge":{"dataPoints":[{"attributes":ATTRS,"timeUnixNano":"2000000003","asDouble":"NaN"}]}`: metricdata.Gauge[float64]{
			DataPoints: []metricdata.DataPoint[float64]{{Attributes: set, Time: at, Value: math.NaN()}},
		},
		`"histogram":{"dataPoints":[{"attributes":ATTRS,"timeUnixNano":"2000000003","count":"3","sum":4.5,"bucketCounts":["1","2"],"explicitBounds":[1],"exemplars":[{"timeUnixNano":"2000000003","asDouble":2.5,"spanId":"Ag==","traceId":"AQ=="}],"min":0.5,"max":2.5}],"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA"}`: metricdata.Histogram[float64]{
			Temporality: metricdata.DeltaTemporality,
			DataPoints: []metricdata.HistogramDataPoint[float64]{{
				Attributes: set, Time: at, Count: 3, Sum: 4.5, Bounds: []float64{1}, BucketCounts: []uint64{1, 2},
				Min: metricdata.NewExtrema(0.5), Max: metricdata.NewExtrema(2.5), Exemplars: exemplar,
			}},
		},
	} {
		m, err := metricOf(metricdata.Metrics{Name: "n", Data: data})
		if err != nil {
			t.Fatal(err)
		}
		got, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		attrs := `[{"key":"b","value":{"boolValue":true}},{"key":"f","value":{"doubleValue":0.5}},{"key":"i","value":{"intValue":"-3"}},{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}},{"key":"s","value":{"stringValue":"x"}}]`
		want = `{"name":"n",` + strings.ReplaceAll(want, "ATTRS", attrs) + `}`
		if text := strings.ReplaceAll(strings.ReplaceAll(string(got), `, "`, `,"`), `": `, `":`); compact(text) != want {
			t.Errorf("got  %s\nwant %s", compact(text), want)
		}
	}
	if _, err := metricOf(metricdata.Metrics{Name: "n", Data: metricdata.Summary{}}); err == nil {
		t.Error("a kind that is not exported was")
	}
}

// compact removes the spaces that protojson puts at random.
func compact(text string) string { return strings.ReplaceAll(text, " ", "") }

func TestMetricsOfAResource(t *testing.T) {
	t.Parallel()
	var got metricpb.MetricsData
	var path string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		data, err := io.ReadAll(r.Body)
		if err != nil || proto.Unmarshal(data, &got) != nil {
			t.Error("the body cannot be read")
		}
	}))
	defer server.Close()
	c, err := newClient("METRICS", env(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	err = metricExporter{c}.Export(context.Background(), &metricdata.ResourceMetrics{
		Resource:     resource.NewSchemaless(attribute.String("service.name", "x")),
		ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: []metricdata.Metrics{{Name: "n", Data: metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{Value: 1}}}}}}},
	})
	if err != nil || path != "/v1/metrics" {
		t.Fatal(err, path)
	}
	if r := got.ResourceMetrics[0]; r.Resource.Attributes[0].Key != "service.name" || r.ScopeMetrics[0].Metrics[0].Name != "n" {
		t.Errorf("got %v", &got)
	}
}
