package main

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// telemetry writes a log line and a metric for each request.
type telemetry struct {
	seconds *prometheus.HistogramVec
	series  sync.Map // by method, route and status: faster than the histogram's lookup
	pid     int
}

func newTelemetry() *telemetry {
	seconds := prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Name: "request_duration_seconds", Help: "Duration of requests."},
		[]string{"method", "route", "status"})
	prometheus.MustRegister(seconds)
	return &telemetry{seconds: seconds, pid: os.Getpid()}
}

// call is what telemetry records of a request.
type call struct {
	RequestID string `json:"request_id"`
	Tenant    string `json:"tenant"`
	Method    string `json:"method"`
	Route     string `json:"route"`
	Status    int    `json:"status"`
}

type logLine struct {
	Time   string `json:"time"`
	Level  string `json:"level"`
	Logger string `json:"logger"`
	PID    int    `json:"pid"`
	Event  string `json:"event"`
	call
	Milliseconds float64 `json:"milliseconds"`
}

func (t *telemetry) record(began time.Time, c call) {
	took := time.Since(began)
	key := [3]string{c.Method, c.Route, strconv.Itoa(c.Status)}
	found, ok := t.series.Load(key)
	if !ok {
		found, _ = t.series.LoadOrStore(key, t.seconds.WithLabelValues(key[0], key[1], key[2]))
	}
	found.(prometheus.Observer).Observe(took.Seconds())
	if c.RequestID == "" {
		c.RequestID = uuid([16]byte{}, 0, 4)
	}
	text, err := json.Marshal(logLine{
		began.UTC().Format(time.RFC3339Nano), "INFO", "peer", t.pid, "call", c,
		float64(took.Microseconds()) / 1000,
	})
	if err == nil {
		os.Stdout.Write(append(text, '\n'))
	}
}
