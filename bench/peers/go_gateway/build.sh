#!/bin/sh
# Generates the code of the contract and builds the peers in Go: build.sh PYTHON FOLDER
#
# PYTHON needs Google's common .proto files; all else is in the packages of Debian that
# packages.txt lists. The package golang-github-grpc-ecosystem-grpc-gateway-dev works with
# them, but cannot be installed beside them, since it depends on an older package of protobuf:
# the script unpacks it in FOLDER.
# The last line of standard error says what is missing, and how to install it.
set -eu

python=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
source=$(cd "$(dirname "$0")" && pwd)
protos=$source/../../../protos
contract=twc/customer/v2
go_package="$contract;customer"
debian=/usr/share/gocode
gateway=github.com/grpc-ecosystem/grpc-gateway/runtime

missing() {
    echo "$1 is missing: apt-get install --no-install-recommends $(tr '\n' ' ' <"$source/packages.txt")" >&2
    exit 1
}

for tool in go gcc protoc protoc-gen-go protoc-gen-go-grpc protoc-gen-grpc-gateway; do
    command -v $tool >/dev/null || missing $tool
done
# The folder of golang/protobuf is one that only its newer version has.
for package in google.golang.org/grpc google.golang.org/protobuf google.golang.org/genproto \
    github.com/golang/protobuf/internal/gengogrpc github.com/mattn/go-sqlite3 \
    github.com/prometheus/client_golang github.com/rogpeppe/fastuuid; do
    [ -d $debian/src/$package ] || missing "Go package $package"
done
if [ ! -d "$folder/debian$debian/src/$gateway" ]; then
    (cd "$folder" &&
        timeout 60 apt-get download -qq golang-github-grpc-ecosystem-grpc-gateway-dev &&
        dpkg -x golang-github-grpc-ecosystem-grpc-gateway-dev_*.deb debian) >/dev/null 2>&1 || {
        echo "Go package $gateway cannot be downloaded: apt-get update" >&2
        exit 1
    }
fi

# The plugins for services do not support `optional` in proto3. They get the contract as
# proto2, for which the Go fields are the same.
rm -rf "$folder/proto2" "$folder/src"
mkdir -p "$folder/proto2/$contract" "$folder/src"
for proto in "$protos/$contract"/customer*.proto; do
    sed 's|^syntax = "proto3";|syntax = "proto2"; option go_package = "'"$go_package"'";|' \
        "$proto" >"$folder/proto2/$contract/$(basename "$proto")"
done
common=$("$python" -c 'import google.api as api; print(*api.__path__)')/../..
mapped="M$contract/customer.proto=$go_package,M$contract/customer_service.proto=$go_package"
# The gateway links this file, which must not be registered twice.
mapped="$mapped,Mgoogle/protobuf/field_mask.proto=google.golang.org/genproto/protobuf/field_mask"
protoc -I "$protos" -I "$common" "--go_out=$mapped:$folder/src" \
    $contract/customer.proto $contract/customer_service.proto
protoc -I "$folder/proto2" -I "$common" "--go-grpc_out=$folder/src" \
    "--grpc-gateway_out=$folder/src" $contract/customer_service.proto

mkdir -p "$folder/src/go_gateway"
cp "$source"/*.go "$folder/src/go_gateway"
GO111MODULE=off GOFLAGS= GOPATH="$folder:$folder/debian$debian:$debian" \
    go build -o "$folder/go_gateway" go_gateway
