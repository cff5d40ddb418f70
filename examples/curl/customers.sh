#!/bin/sh
# Creates customers, looks one up, reads errors and lists page by page, by REST.
# TOKEN is a bearer token; TENANT and SERVICE may say whose, and where.
set -eu

api=${SERVICE:-http://127.0.0.1:8080}/api/v2
run=ada-$(date +%s)-$$ # So that each run has e-mail addresses of its own.

# Makes a request: call PATH [OPTION ...]
call() {
    path=$1
    shift
    curl -sS "$api$path" "$@" -H "Authorization: Bearer $TOKEN" -H "X-TWC-Tenant: ${TENANT:-acme}"
}

# Prints the first text with a name in JSON, for which programs prefer jq: text NAME
text() {
    grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4
}

create() {
    call /customers -H 'Content-Type: application/json' -d "{\"email\": \"$1\"}"
}

for number in 1 2 3; do
    echo "created $(create "$run-$number@example.com" | text email)"
done

echo "found $(call "/customers/search?email=$run-1@example.com" | text email)"

# An error has a status of 400 or more, and a reason that is made for programs.
for email in "$run-1@example.com" nobody; do
    answer=$(create "$email")
    echo "$(echo "$answer" | text reason): $(echo "$answer" | text message)"
done

token=
while :; do
    page=$(call /customers -G --data-urlencode "filter=email = \"$run*\"" -d pageSize=2 -d "pageToken=$token")
    echo "page: $(echo "$page" | grep -o '"email":"[^"]*"' | wc -l | tr -d ' ')"
    token=$(echo "$page" | text nextPageToken)
    [ -n "$token" ] || break
done
