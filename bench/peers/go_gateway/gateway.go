package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	protov1 "github.com/golang/protobuf/proto"
	"github.com/grpc-ecosystem/grpc-gateway/runtime"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	pb "twc/customer/v2"
)

const root = "/api/v2/customers"

var seconds = prometheus.NewHistogramVec(
	prometheus.HistogramOpts{Name: "http_request_duration_seconds", Help: "Time that requests took."},
	[]string{"method", "route", "status"})

// newHandler returns what answers HTTP: the gateway, and what accounts for each request.
func newHandler(api *service) (http.Handler, error) {
	own := &marshaler{
		protojson.MarshalOptions{EmitUnpopulated: true},
		protojson.UnmarshalOptions{DiscardUnknown: true},
	}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, own),
		runtime.WithIncomingHeaderMatcher(func(name string) (string, bool) {
			return "x-twc-tenant", name == "X-Twc-Tenant"
		}),
		runtime.WithForwardResponseOption(setStatus),
		runtime.WithProtoErrorHandler(runtime.DefaultHTTPProtoErrorHandler),
	)
	if err := pb.RegisterCustomerServiceHandlerClient(context.Background(), mux, direct{api: api}); err != nil {
		return nil, err
	}
	prometheus.MustRegister(seconds)
	routes := http.NewServeMux()
	routes.Handle("/metrics", promhttp.Handler())
	routes.Handle(root+"/search", observing(search(api, mux, own)))
	routes.Handle("/", observing(mux))
	return routes, nil
}

// direct calls the service in the process. Its methods that are not written out
// are not part of the benchmark.
type direct struct {
	pb.CustomerServiceClient
	api *service
}

func (d direct) GetCustomer(ctx context.Context, request *pb.GetCustomerRequest, _ ...grpc.CallOption) (*pb.Customer, error) {
	return d.api.GetCustomer(incoming(ctx), request)
}

func (d direct) CreateCustomer(ctx context.Context, request *pb.CreateCustomerRequest, _ ...grpc.CallOption) (*pb.Customer, error) {
	return d.api.CreateCustomer(incoming(ctx), request)
}

func (d direct) UpdateCustomer(ctx context.Context, request *pb.UpdateCustomerRequest, _ ...grpc.CallOption) (*pb.Customer, error) {
	return d.api.UpdateCustomer(incoming(ctx), request)
}

// incoming has the metadata that the gateway sends be what the service receives.
func incoming(ctx context.Context) context.Context {
	sent, _ := metadata.FromOutgoingContext(ctx)
	return metadata.NewIncomingContext(ctx, sent)
}

// search answers lookups with an array: the gateway would answer a stream of
// customers with one object a line.
func search(api *service, mux *runtime.ServeMux, own *marshaler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := runtime.AnnotateContext(r.Context(), mux, r)
		request := new(pb.LookupCustomersRequest)
		query := r.URL.Query()
		for name, field := range map[string]**string{
			"email": &request.Email, "firstName": &request.FirstName, "lastName": &request.LastName,
			"mobile": &request.Mobile, "phone": &request.Phone,
		} {
			if query.Has(name) {
				*field = proto.String(query.Get(name))
			}
		}
		answers := &array{context: incoming(ctx), written: []byte{'['}, options: own.writing}
		if err == nil {
			err = api.LookupCustomers(request, answers)
		}
		if err != nil {
			runtime.DefaultHTTPProtoErrorHandler(r.Context(), mux, own, w, r, err)
			return
		}
		w.Header().Set("Content-Type", own.ContentType())
		w.Write(append(answers.written, ']'))
	})
}

// array writes the customers of a stream one after another.
type array struct {
	grpc.ServerStream
	context context.Context
	written []byte
	options protojson.MarshalOptions
}

func (a *array) Context() context.Context { return a.context }

func (a *array) Send(customer *pb.Customer) error {
	if len(a.written) > 1 {
		a.written = append(a.written, ',')
	}
	written, err := a.options.Marshal(customer)
	a.written = append(a.written, written...)
	return err
}

// setStatus has creation answered with 201, and a customer that is not there with 204.
func setStatus(_ context.Context, w http.ResponseWriter, message protov1.Message) error {
	customer, _ := message.(*pb.Customer)
	if w, ok := w.(*observed); ok && w.method == http.MethodPost {
		w.WriteHeader(http.StatusCreated)
	} else if customer.GetId() == "" {
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// marshaler reads and writes JSON as the contract has it, which the gateway's own,
// of before protojson, does not.
type marshaler struct {
	writing protojson.MarshalOptions
	reading protojson.UnmarshalOptions
}

func (m *marshaler) ContentType() string { return "application/json" }

func (m *marshaler) Marshal(value any) ([]byte, error) {
	message, ok := value.(protov1.Message)
	if !ok {
		return json.Marshal(value)
	}
	return m.writing.Marshal(protov1.MessageV2(message))
}

// Unmarshal reads a message, or what a field that is one points to.
func (m *marshaler) Unmarshal(data []byte, value any) error {
	if message, ok := value.(protov1.Message); ok {
		return m.reading.Unmarshal(data, protov1.MessageV2(message))
	}
	field := reflect.ValueOf(value).Elem()
	if field.Kind() != reflect.Ptr {
		return json.Unmarshal(data, value)
	}
	field.Set(reflect.New(field.Type().Elem()))
	return m.Unmarshal(data, field.Interface())
}

func (m *marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(value any) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return m.Unmarshal(data, value)
	})
}

func (m *marshaler) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(value any) error {
		data, err := m.Marshal(value)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	})
}

// observed is an answer whose status is kept.
type observed struct {
	http.ResponseWriter
	method string
	status int
}

func (o *observed) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// Write leaves out the empty customer of an answer without content.
func (o *observed) Write(body []byte) (int, error) {
	if o.status == http.StatusNoContent {
		return len(body), nil
	}
	return o.ResponseWriter.Write(body)
}

type line struct {
	Time         string  `json:"time"`
	Level        string  `json:"level"`
	Logger       string  `json:"logger"`
	PID          int     `json:"pid"`
	Event        string  `json:"event"`
	RequestID    string  `json:"request_id"`
	Tenant       string  `json:"tenant"`
	Method       string  `json:"method"`
	Route        string  `json:"route"`
	Status       int     `json:"status"`
	Milliseconds float64 `json:"milliseconds"`
}

// observing tells of each request: a line in the log, and a metric.
func observing(next http.Handler) http.Handler {
	var series sync.Map // by method, route and status: to look one up in the histogram takes longer
	pid := os.Getpid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		answer := &observed{w, r.Method, http.StatusOK}
		next.ServeHTTP(answer, r)
		took := time.Since(began)

		route := routeOf(r.URL.Path)
		key := [3]string{r.Method, route, strconv.Itoa(answer.status)}
		found, ok := series.Load(key)
		if !ok {
			found, _ = series.LoadOrStore(key, seconds.WithLabelValues(key[0], key[1], key[2]))
		}
		found.(prometheus.Observer).Observe(took.Seconds())

		id := r.Header.Get("X-Request-Id")
		if id == "" {
			id = uuid([16]byte{}, 0, 4)
		}
		text, err := json.Marshal(line{
			began.UTC().Format(time.RFC3339Nano), "INFO", "gateway", pid, "call", id,
			r.Header.Get("X-Twc-Tenant"), r.Method, route, answer.status,
			float64(took.Microseconds()) / 1000,
		})
		if err == nil {
			os.Stdout.Write(append(text, '\n'))
		}
	})
}

func routeOf(path string) string {
	rest := strings.TrimPrefix(path, root)
	switch {
	case rest == path:
		return ""
	case rest == "" || rest == "/search":
		return path
	}
	return root + "/{id}"
}
