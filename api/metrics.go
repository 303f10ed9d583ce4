package api

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one server. Every label has a bounded set of values: routes and methods of the document, and statuses.
type metrics struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	operations *prometheus.CounterVec // of protocols beside REST
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hydrastore_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hydrastore_http_request_duration_seconds", Help: "Time from the headers to the answer, by route and method.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hydrastore_http_requests_in_flight", Help: "Requests being answered now.",
		}),
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hydrastore_protocol_operations_total", Help: "Operations of protocols beside REST, by what was asked and the error's code.",
		}, []string{"protocol", "operation", "result"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight, m.operations} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// series of one route and method, looked up once: finding a series by its labels costs more than counting in it.
type series struct {
	duration prometheus.Observer
	statuses *sync.Map // int → prometheus.Counter, of the statuses that were answered
}

type seriesKey struct{ route, method string }

// allSeries makes the series of the routes of one router.
func (m *metrics) allSeries(routes []*echo.Route) map[seriesKey]series {
	all := make(map[seriesKey]series, len(routes))
	for _, r := range routes {
		if r.Method == echo.RouteNotFound {
			continue
		}
		all[seriesKey{r.Path, r.Method}] = series{duration: m.duration.WithLabelValues(r.Path, r.Method), statuses: new(sync.Map)}
	}
	return all
}

func (h *handlers) count(route, method string, status int, took time.Duration) {
	m, method := h.server.metrics, knownMethod(method)
	known, found := h.series[seriesKey{route, method}]
	if !found { // 404 and 405
		m.duration.WithLabelValues(route, method).Observe(took.Seconds())
		m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
		return
	}
	known.duration.Observe(took.Seconds())
	counter, found := known.statuses.Load(status)
	if !found {
		counter, _ = known.statuses.LoadOrStore(status, m.requests.WithLabelValues(route, method, strconv.Itoa(status)))
	}
	counter.(prometheus.Counter).Inc()
}

// knownMethod keeps a client from making series by inventing methods.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodPatch, http.MethodPut, http.MethodHead, http.MethodOptions:
		return method
	}
	return "other"
}
