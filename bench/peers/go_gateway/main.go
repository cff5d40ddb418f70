// Command go_gateway is the Customer API as a team would write it in Go: a
// gRPC service, served natively or by grpc-gateway in the same process.
//
// protoc-gen-go, -go-grpc and -grpc-gateway generate the code of the contract.
// The gateway calls the service in the process, as RegisterHandlerServer does in
// newer versions, without the cost of gRPC between them. protojson writes JSON.
// Customers are stored as Protobuf beside the keys that they are found by, in
// SQLite with the settings of all peers; one connection writes. Tokens are
// verified with the standard library, over HTTP before the body is read, and the
// results are cached. Every request has a log line and a metric of Prometheus' client.
//
// The rules are reimplemented, whereas the peers in Python call those of the
// service. They are less strict: the lengths of phone numbers in each country are
// not checked, national numbers are accepted for few countries, and unusual e-mail
// addresses are checked by net/mail. For the requests of the benchmark all checks
// of the other peers are made, except those lengths.
package main

import (
	"bufio"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"google.golang.org/protobuf/encoding/protojson"
	pb "twc/customer/v2"
)

// Customers in a transaction when the database is created.
const batchSize = 500

func main() {
	log.SetFlags(0)
	data := flag.String("data", "", "folder of the SQLite database")
	tenant := flag.String("tenant", "bench", "tenant that the customers are of")
	flag.Parse()
	if *data == "" || flag.NArg() != 2 {
		log.Fatal("usage: go_gateway --data FOLDER [--tenant T] seed FILE | serve PORT | serve-native PORT")
	}
	syscall.Umask(0o077)
	must(os.MkdirAll(*data, 0o700))
	path := filepath.Join(*data, "go_gateway.db")
	switch flag.Arg(0) {
	case "seed":
		must(fill(path, *tenant, flag.Arg(1)))
	case "serve", "serve-native":
		must(serve(path, "127.0.0.1:"+flag.Arg(1), flag.Arg(0) == "serve-native"))
	default:
		log.Fatalf("%s is neither seed, serve nor serve-native", flag.Arg(0))
	}
}

// serve serves a database on an address, over HTTP or native gRPC.
func serve(path, address string, isNative bool) error {
	store, err := open(path)
	if err != nil {
		return err
	}
	authenticator, err := newAuthenticator()
	if err != nil {
		return err
	}
	api := &service{store: store, regions: regions()}
	if !isNative {
		handler, err := newHandler(api, authenticator)
		if err != nil {
			return err
		}
		return http.ListenAndServe(address, handler)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return newServer(api, authenticator).Serve(listener)
}

// fill creates a database with the customers of a JSON Lines file.
func fill(path, tenant, customers string) error {
	if err := createSchema(path); err != nil {
		return err
	}
	store, err := open(path)
	if err != nil {
		return err
	}
	file, err := os.Open(customers)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	var batch []*pb.Customer
	for lines.Scan() {
		customer := new(pb.Customer)
		if err := protojson.Unmarshal(lines.Bytes(), customer); err != nil {
			return err
		}
		if batch = append(batch, customer); len(batch) == batchSize {
			if err := store.createAll(tenant, batch); err != nil {
				return err
			}
			batch = nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return store.createAll(tenant, batch)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
