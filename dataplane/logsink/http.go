package logsink

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/protobuf/proto"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resources "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/warrenedge/warren/dataplane/requestlog"
)

// poster posts batches.
type poster struct {
	Config
	typ    string
	client *http.Client
}

func newPoster(c Config, typ string) poster {
	t := http.DefaultTransport.(*http.Transport).Clone()
	return poster{c, typ, &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (p *poster) close() { p.client.CloseIdleConnections() }

func (p *poster) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range p.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", p.typ)
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		return fmt.Errorf("answer %s", resp.Status)
	}
	return fmt.Errorf("%w: answer %s", errRefused, resp.Status)
}

// lines posts records as lines of JSON.
type lines struct {
	poster
	node string
}

func newLines(c Config, node string) *lines {
	return &lines{newPoster(c, "application/x-ndjson"), node}
}

func (l *lines) send(ctx context.Context, list []requestlog.Record) error {
	var body bytes.Buffer
	for i := range list {
		b, err := object(&list[i], l.node)
		if err != nil {
			return err
		}
		body.Write(append(b, '\n'))
	}
	return l.post(ctx, body.Bytes())
}

// otlp posts records as OpenTelemetry has them (OTLP/HTTP, protobuf).
type otlp struct {
	poster
	resource *resources.Resource
	node     string
}

func newOTLP(c Config, node string) *otlp {
	return &otlp{newPoster(c, "application/x-protobuf"), &resources.Resource{Attributes: []*common.KeyValue{
		{Key: "service.name", Value: text("warren-node")}, {Key: "service.instance.id", Value: text(node)},
	}}, node}
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func (o *otlp) send(ctx context.Context, list []requestlog.Record) error {
	out := make([]*logs.LogRecord, len(list))
	for i := range list {
		r := &list[i]
		v := &logs.LogRecord{
			TimeUnixNano: uint64(r.At.UnixNano()), ObservedTimeUnixNano: uint64(r.At.UnixNano()), SeverityNumber: logs.SeverityNumber_SEVERITY_NUMBER_INFO, SeverityText: "INFO", Body: text("request"),
		}
		if failing(r) {
			v.SeverityNumber, v.SeverityText = logs.SeverityNumber_SEVERITY_NUMBER_ERROR, "ERROR"
		}
		for _, f := range fields(r, o.node) {
			value := text(f.text)
			if f.text == "" {
				value = &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: f.number}}
			}
			v.Attributes = append(v.Attributes, &common.KeyValue{Key: "warren." + f.name, Value: value})
		}
		out[i] = v
	}
	// As bytes it is an ExportLogsServiceRequest, whose package brings a gateway along.
	b, err := proto.Marshal(&logs.LogsData{ResourceLogs: []*logs.ResourceLogs{{
		Resource: o.resource, ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "warren"}, LogRecords: out}},
	}}})
	if err != nil {
		return err
	}
	return o.post(ctx, b)
}
