package main

import (
	"context"
	"errors"
	"log"
	"strings"
	"time"

	protov1 "github.com/golang/protobuf/proto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	pb "twc/customer/v2"
)

// service implements the RPCs of the contract that the benchmark calls, for callers that
// are authenticated.
type service struct {
	pb.UnimplementedCustomerServiceServer
	store   *store
	regions map[string]string
}

type tenantKey struct{}

// withTenant returns a context for the service, of a caller of a tenant.
func withTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

func tenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}

func (s *service) GetCustomer(ctx context.Context, request *pb.GetCustomerRequest) (*pb.Customer, error) {
	tenant := tenantOf(ctx)
	found, err := findOne(s.store.get, tenant, request.GetId())
	if found == nil {
		// The contract's response for a missing customer.
		found = new(pb.Customer)
	}
	return found, toStatus(err)
}

func (s *service) LookupCustomers(request *pb.LookupCustomersRequest, stream pb.CustomerService_LookupCustomersServer) error {
	tenant := tenantOf(stream.Context())
	wanted, err := s.searchFilter(request, tenant)
	if err != nil {
		return toStatus(err)
	}
	found, err := s.store.search(tenant, wanted)
	if err != nil {
		return toStatus(err)
	}
	for _, customer := range found {
		if err := stream.Send(customer); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) CreateCustomer(ctx context.Context, request *pb.CreateCustomerRequest) (*pb.Customer, error) {
	tenant := tenantOf(ctx)
	customer := request.GetCustomer()
	if customer == nil {
		return nil, toStatus(violations{{"customer", "is required"}})
	}
	if err := create(customer, s.region(tenant), time.Now()); err != nil {
		return nil, toStatus(err)
	}
	return customer, toStatus(s.store.create(tenant, customer))
}

func (s *service) UpdateCustomer(ctx context.Context, request *pb.UpdateCustomerRequest) (*pb.Customer, error) {
	tenant := tenantOf(ctx)
	customer := request.GetCustomer()
	column, value := "id", customer.GetId()
	if value == "" {
		column, value = "customer_ref", customer.GetCustomerRef()
	}
	if value == "" {
		return nil, toStatus(violations{{"id", "is required, or customerRef, to select the customer"}})
	}
	changed, err := s.store.change(tenant, column, value, func(stored *pb.Customer) error {
		if stored == nil {
			return newError("RESOURCE_NOT_FOUND", "there is no such customer")
		}
		return update(stored, customer, s.region(tenant), time.Now())
	})
	return changed, toStatus(err)
}

// searchFilter returns the values that a lookup is for, by column.
func (s *service) searchFilter(request *pb.LookupCustomersRequest, tenant string) (map[string]string, error) {
	var found violations
	wanted := map[string]string{}
	if request.Email != nil {
		email := strings.ReplaceAll(strings.TrimSpace(*request.Email), " ", "+")
		if !isEmail(email) {
			found.add("email", notAnEmail)
		}
		wanted["email_key"] = emailKey(email)
	}
	for column, name := range map[string]*string{"first_name_key": request.FirstName, "last_name_key": request.LastName} {
		if name != nil {
			wanted[column] = nameKey(*name)
		}
	}
	for column, number := range map[string]*string{"mobile": request.Mobile, "phone": request.Phone} {
		if number != nil {
			written, ok := toE164(*number, s.region(tenant))
			if !ok {
				found.add(column, notAPhone)
			}
			wanted[column] = written
		}
	}
	if len(wanted) == 0 {
		found.add("email", "is required, or firstName, lastName, mobile or phone")
	}
	if found != nil {
		return nil, found
	}
	return wanted, nil
}

func (s *service) region(tenant string) string {
	if own, ok := s.regions[tenant]; ok {
		return own
	}
	return s.regions["*"]
}

// reasons are the status codes by reason.
var reasons = map[string]codes.Code{
	"INVALID_INPUT":      codes.InvalidArgument,
	"INVALID_TENANT":     codes.InvalidArgument,
	"UNAUTHENTICATED":    codes.Unauthenticated,
	"TENANT_FORBIDDEN":   codes.PermissionDenied,
	"RESOURCE_NOT_FOUND": codes.NotFound,
	"ALREADY_EXISTS":     codes.AlreadyExists,
	"INTERNAL_ERROR":     codes.Internal,
}

// newError returns a status with the error details of the contract.
func newError(reason, message string, details ...protov1.Message) error {
	return newErrorWith(&errdetails.ErrorInfo{Reason: reason}, message, details...)
}

func newErrorWith(info *errdetails.ErrorInfo, message string, details ...protov1.Message) error {
	info.Domain = "customer.twc"
	made, err := status.New(reasons[info.Reason], message).WithDetails(append([]protov1.Message{info}, details...)...)
	if err != nil {
		return err
	}
	return made.Err()
}

// toStatus maps an error to a status with the error details of the contract.
func toStatus(err error) error {
	var broken violations
	var clash conflict
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.As(err, &broken) {
		request := new(errdetails.BadRequest)
		for _, each := range broken {
			request.FieldViolations = append(request.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: each.field, Description: each.description})
		}
		return newError("INVALID_INPUT", broken.Error(), request)
	}
	if errors.As(err, &clash) {
		metadata := map[string]string{clash.field: clash.owner}
		return newErrorWith(&errdetails.ErrorInfo{Reason: "ALREADY_EXISTS", Metadata: metadata}, clash.Error())
	}
	log.Print(err)
	return newError("INTERNAL_ERROR", "the service failed")
}
