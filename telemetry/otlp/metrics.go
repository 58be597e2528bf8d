package otlp

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
)

// metricExporter sends metrics. OpenTelemetry's own exporter over HTTP links gRPC,
// which a newcomer's first build would compile.
type metricExporter struct{ client *client }

// Temporality returns the temporality of every instrument: sums since the start.
func (metricExporter) Temporality(sdkmetric.InstrumentKind) metricdata.Temporality {
	return metricdata.CumulativeTemporality
}

// Aggregation returns the SDK's default of an instrument.
func (metricExporter) Aggregation(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(kind)
}

// Export sends metrics.
func (e metricExporter) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	sent := &metricpb.ResourceMetrics{Resource: resourceOf(metrics.Resource), SchemaUrl: metrics.Resource.SchemaURL()}
	for _, of := range metrics.ScopeMetrics {
		scope := &metricpb.ScopeMetrics{Scope: scopeOf(of.Scope), SchemaUrl: of.Scope.SchemaURL}
		for _, m := range of.Metrics {
			converted, err := metricOf(m)
			if err != nil {
				return err
			}
			scope.Metrics = append(scope.Metrics, converted)
		}
		sent.ScopeMetrics = append(sent.ScopeMetrics, scope)
	}
	// MetricsData has the encoding of ExportMetricsServiceRequest, whose package links gRPC.
	return e.client.send(ctx, &metricpb.MetricsData{ResourceMetrics: []*metricpb.ResourceMetrics{sent}})
}

// ForceFlush does nothing: nothing is kept.
func (metricExporter) ForceFlush(context.Context) error { return nil }

// Shutdown closes the connections.
func (e metricExporter) Shutdown(ctx context.Context) error { return e.client.Stop(ctx) }

func resourceOf(r *resource.Resource) *resourcepb.Resource {
	return &resourcepb.Resource{Attributes: keyValues(r.Attributes())}
}

func scopeOf(s instrumentation.Scope) *commonpb.InstrumentationScope {
	return &commonpb.InstrumentationScope{Name: s.Name, Version: s.Version, Attributes: keyValues(s.Attributes.ToSlice())}
}

// metricOf converts a metric. The error is for a kind that none of our instruments has.
func metricOf(m metricdata.Metrics) (*metricpb.Metric, error) {
	out := &metricpb.Metric{Name: m.Name, Description: m.Description, Unit: m.Unit}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		out.Data = sumOf(data)
	case metricdata.Sum[float64]:
		out.Data = sumOf(data)
	case metricdata.Gauge[int64]:
		out.Data = &metricpb.Metric_Gauge{Gauge: &metricpb.Gauge{DataPoints: numbers(data.DataPoints)}}
	case metricdata.Gauge[float64]:
		out.Data = &metricpb.Metric_Gauge{Gauge: &metricpb.Gauge{DataPoints: numbers(data.DataPoints)}}
	case metricdata.Histogram[int64]:
		out.Data = histogramOf(data)
	case metricdata.Histogram[float64]:
		out.Data = histogramOf(data)
	default:
		return nil, fmt.Errorf("the metric %s is a %T, which is not exported", m.Name, m.Data)
	}
	return out, nil
}

func sumOf[N int64 | float64](s metricdata.Sum[N]) *metricpb.Metric_Sum {
	return &metricpb.Metric_Sum{Sum: &metricpb.Sum{
		AggregationTemporality: temporalityOf(s.Temporality), IsMonotonic: s.IsMonotonic, DataPoints: numbers(s.DataPoints),
	}}
}

func numbers[N int64 | float64](points []metricdata.DataPoint[N]) []*metricpb.NumberDataPoint {
	var out []*metricpb.NumberDataPoint
	for _, p := range points {
		point := &metricpb.NumberDataPoint{
			Attributes: keyValues(p.Attributes.ToSlice()), Exemplars: exemplars(p.Exemplars),
			StartTimeUnixNano: uint64(max(p.StartTime.UnixNano(), 0)), TimeUnixNano: uint64(max(p.Time.UnixNano(), 0)),
		}
		switch v := any(p.Value).(type) {
		case int64:
			point.Value = &metricpb.NumberDataPoint_AsInt{AsInt: v}
		case float64:
			point.Value = &metricpb.NumberDataPoint_AsDouble{AsDouble: v}
		}
		out = append(out, point)
	}
	return out
}

func histogramOf[N int64 | float64](h metricdata.Histogram[N]) *metricpb.Metric_Histogram {
	out := &metricpb.Histogram{AggregationTemporality: temporalityOf(h.Temporality)}
	for _, p := range h.DataPoints {
		point := &metricpb.HistogramDataPoint{
			Attributes: keyValues(p.Attributes.ToSlice()), Exemplars: exemplars(p.Exemplars),
			StartTimeUnixNano: uint64(max(p.StartTime.UnixNano(), 0)), TimeUnixNano: uint64(max(p.Time.UnixNano(), 0)),
			Count: p.Count, Sum: new(float64(p.Sum)), BucketCounts: p.BucketCounts, ExplicitBounds: p.Bounds,
		}
		if least, ok := p.Min.Value(); ok {
			point.Min = new(float64(least))
		}
		if most, ok := p.Max.Value(); ok {
			point.Max = new(float64(most))
		}
		out.DataPoints = append(out.DataPoints, point)
	}
	return &metricpb.Metric_Histogram{Histogram: out}
}

func exemplars[N int64 | float64](of []metricdata.Exemplar[N]) []*metricpb.Exemplar {
	var out []*metricpb.Exemplar
	for _, x := range of {
		e := &metricpb.Exemplar{
			FilteredAttributes: keyValues(x.FilteredAttributes), TimeUnixNano: uint64(max(x.Time.UnixNano(), 0)), SpanId: x.SpanID, TraceId: x.TraceID,
		}
		switch v := any(x.Value).(type) {
		case int64:
			e.Value = &metricpb.Exemplar_AsInt{AsInt: v}
		case float64:
			e.Value = &metricpb.Exemplar_AsDouble{AsDouble: v}
		}
		out = append(out, e)
	}
	return out
}

func temporalityOf(t metricdata.Temporality) metricpb.AggregationTemporality {
	switch t {
	case metricdata.CumulativeTemporality:
		return metricpb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	case metricdata.DeltaTemporality:
		return metricpb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	}
	return metricpb.AggregationTemporality_AGGREGATION_TEMPORALITY_UNSPECIFIED
}

func keyValues(attributes []attribute.KeyValue) []*commonpb.KeyValue {
	var out []*commonpb.KeyValue
	for _, a := range attributes {
		out = append(out, &commonpb.KeyValue{Key: string(a.Key), Value: valueOf(a.Value)})
	}
	return out
}

func valueOf(v attribute.Value) *commonpb.AnyValue {
	switch v.Type() {
	case attribute.BOOL:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v.AsBool()}}
	case attribute.INT64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v.AsInt64()}}
	case attribute.FLOAT64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v.AsFloat64()}}
	case attribute.STRING:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v.AsString()}}
	case attribute.STRINGSLICE:
		var list []*commonpb.AnyValue
		for _, s := range v.AsStringSlice() {
			list = append(list, valueOf(attribute.StringValue(s)))
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: list}}}
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v.String()}}
}
