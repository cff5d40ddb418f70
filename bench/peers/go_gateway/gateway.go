package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	protov1 "github.com/golang/protobuf/proto"
	"github.com/grpc-ecosystem/grpc-gateway/runtime"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	pb "twc/customer/v2"
)

const root = "/api/v2/customers"

// newHandler returns the HTTP handler: the gateway behind telemetry and authentication, and
// the metrics.
func newHandler(api *service, a *authenticator) (http.Handler, error) {
	codec := &jsonCodec{
		protojson.MarshalOptions{EmitUnpopulated: true},
		protojson.UnmarshalOptions{DiscardUnknown: true},
	}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, codec),
		runtime.WithForwardResponseOption(setStatus),
		runtime.WithProtoErrorHandler(runtime.DefaultHTTPProtoErrorHandler),
	)
	if err := pb.RegisterCustomerServiceHandlerClient(context.Background(), mux, inProcessClient{api: api}); err != nil {
		return nil, err
	}
	customers := http.NewServeMux()
	customers.Handle(root+"/search", search(api, mux, codec))
	customers.Handle("/", mux)
	routes := http.NewServeMux()
	routes.Handle("/metrics", promhttp.Handler())
	routes.Handle("/", withTelemetry(newTelemetry(), withAuthentication(a, mux, codec, customers)))
	return routes, nil
}

// inProcessClient calls the service in the same process. It has the methods that the
// benchmark calls.
type inProcessClient struct {
	pb.CustomerServiceClient
	api *service
}

func (d inProcessClient) GetCustomer(ctx context.Context, request *pb.GetCustomerRequest, _ ...grpc.CallOption) (*pb.Customer, error) {
	return d.api.GetCustomer(ctx, request)
}

func (d inProcessClient) CreateCustomer(ctx context.Context, request *pb.CreateCustomerRequest, _ ...grpc.CallOption) (*pb.Customer, error) {
	return d.api.CreateCustomer(ctx, request)
}

func (d inProcessClient) UpdateCustomer(ctx context.Context, request *pb.UpdateCustomerRequest, _ ...grpc.CallOption) (*pb.Customer, error) {
	return d.api.UpdateCustomer(ctx, request)
}

// search handles lookups, with a JSON array as the response: the gateway would write one
// object a line for a stream.
func search(api *service, mux *runtime.ServeMux, codec *jsonCodec) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		stream := &arrayStream{context: r.Context(), written: []byte{'['}, options: codec.marshal}
		if err := api.LookupCustomers(request, stream); err != nil {
			runtime.DefaultHTTPProtoErrorHandler(r.Context(), mux, codec, w, r, err)
			return
		}
		w.Header().Set("Content-Type", codec.ContentType())
		w.Write(append(stream.written, ']'))
	})
}

// arrayStream collects the customers of a server stream as the items of a JSON array.
type arrayStream struct {
	grpc.ServerStream
	context context.Context
	written []byte
	options protojson.MarshalOptions
}

func (a *arrayStream) Context() context.Context { return a.context }

func (a *arrayStream) Send(customer *pb.Customer) error {
	if len(a.written) > 1 {
		a.written = append(a.written, ',')
	}
	written, err := a.options.Marshal(customer)
	a.written = append(a.written, written...)
	return err
}

// setStatus sets status 201 for a creation, and 204 for a missing customer.
func setStatus(_ context.Context, w http.ResponseWriter, message protov1.Message) error {
	customer, _ := message.(*pb.Customer)
	if w, ok := w.(*statusRecorder); ok && w.method == http.MethodPost {
		w.WriteHeader(http.StatusCreated)
	} else if customer.GetId() == "" {
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// jsonCodec reads and writes JSON by protojson. The gateway's default codec is older, and
// does not follow the contract.
type jsonCodec struct {
	marshal   protojson.MarshalOptions
	unmarshal protojson.UnmarshalOptions
}

func (m *jsonCodec) ContentType() string { return "application/json" }

func (m *jsonCodec) Marshal(value any) ([]byte, error) {
	message, ok := value.(protov1.Message)
	if !ok {
		return json.Marshal(value)
	}
	return m.marshal.Marshal(protov1.MessageV2(message))
}

// Unmarshal reads a message, or a field, for which the value is a pointer to a pointer.
func (m *jsonCodec) Unmarshal(data []byte, value any) error {
	if message, ok := value.(protov1.Message); ok {
		return m.unmarshal.Unmarshal(data, protov1.MessageV2(message))
	}
	field := reflect.ValueOf(value).Elem()
	if field.Kind() != reflect.Ptr {
		return json.Unmarshal(data, value)
	}
	field.Set(reflect.New(field.Type().Elem()))
	return m.Unmarshal(data, field.Interface())
}

func (m *jsonCodec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(value any) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return m.Unmarshal(data, value)
	})
}

func (m *jsonCodec) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(value any) error {
		data, err := m.Marshal(value)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	})
}

// statusRecorder is a response writer that records the status.
type statusRecorder struct {
	http.ResponseWriter
	method string
	status int
}

func (o *statusRecorder) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// Write omits the body of a response with status 204.
func (o *statusRecorder) Write(body []byte) (int, error) {
	if o.status == http.StatusNoContent {
		return len(body), nil
	}
	return o.ResponseWriter.Write(body)
}

// withAuthentication verifies the headers of a request before anything reads its body.
func withAuthentication(a *authenticator, mux *runtime.ServeMux, codec *jsonCodec, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant, err := a.authenticate(r.Header["Authorization"], r.Header["X-Twc-Tenant"])
		if err != nil {
			runtime.DefaultHTTPProtoErrorHandler(r.Context(), mux, codec, w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(withTenant(r.Context(), tenant)))
	})
}

// withTelemetry records each request.
func withTelemetry(t *telemetry, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		recorder := &statusRecorder{w, r.Method, http.StatusOK}
		next.ServeHTTP(recorder, r)
		t.record(began, call{
			r.Header.Get("X-Request-Id"), r.Header.Get("X-Twc-Tenant"), r.Method, routeOf(r.URL.Path), recorder.status,
		})
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
