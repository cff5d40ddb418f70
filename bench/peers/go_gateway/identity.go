package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"
)

const (
	skew = 30 * time.Second
	// How long keys are used, and tokens are believed without being verified again.
	lifetime = 5 * time.Minute
	// How soon an unknown key may cause another reading of the keys.
	cooldown = 30 * time.Second
	maxKept  = 10_000
)

var (
	errNotGenuine = errors.New("the token cannot be verified")
	isTenant      = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`).MatchString
)

// identity finds out for which tenant a call may act, and remembers tokens.
type identity struct {
	issuer, audience, claim, location string

	lock     sync.RWMutex
	verified map[string]verified
	keys     map[string]crypto.PublicKey
	readAt   time.Time
}

type verified struct {
	tenants []string
	until   time.Time
}

// newIdentity reads the settings of the service, and the issuer's keys.
func newIdentity() (*identity, error) {
	i := &identity{
		issuer:   os.Getenv("ISSUER"),
		audience: setting("AUDIENCE", "customer-api"),
		claim:    setting("TENANT_CLAIM", "tenant"),
		location: os.Getenv("JWKS"),
		verified: map[string]verified{},
	}
	return i, i.readKeys()
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// tenant returns the tenant that a call may act for, by its metadata.
func (i *identity) tenant(ctx context.Context) (string, error) {
	given, _ := metadata.FromIncomingContext(ctx)
	credentials, names := given.Get("authorization"), given.Get("x-twc-tenant")
	if len(credentials) != 1 || len(credentials[0]) < 7 || !strings.EqualFold(credentials[0][:7], "bearer ") {
		return "", refused("UNAUTHENTICATED", "the header Authorization must be Bearer and a token")
	}
	tenants, err := i.tenants(strings.TrimSpace(credentials[0][7:]))
	if err != nil {
		return "", refused("UNAUTHENTICATED", err.Error())
	}
	if len(names) != 1 || !isTenant(names[0]) || names[0] == "." || names[0] == ".." {
		return "", refused("INVALID_TENANT", "the header X-TWC-Tenant is required: it names the tenant")
	}
	for _, tenant := range tenants {
		if tenant == names[0] {
			return tenant, nil
		}
	}
	return "", refused("TENANT_FORBIDDEN", "the token is not for the tenant that X-TWC-Tenant names")
}

func (i *identity) tenants(token string) ([]string, error) {
	now := time.Now()
	i.lock.RLock()
	known := i.verified[token]
	i.lock.RUnlock()
	if now.Before(known.until) {
		return known.tenants, nil
	}
	i.lock.Lock()
	defer i.lock.Unlock()
	found, err := i.verify(token, now)
	if err != nil {
		return nil, err
	}
	if len(i.verified) >= maxKept {
		i.verified = map[string]verified{}
	}
	i.verified[token] = found
	return found.tenants, nil
}

func (i *identity) verify(token string, now time.Time) (verified, error) {
	var none verified
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > 16*1024 {
		return none, errNotGenuine
	}
	var header struct{ Alg, Kid string }
	var claims map[string]any
	if decode(parts[0], &header) != nil || decode(parts[1], &claims) != nil {
		return none, errNotGenuine
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return none, errNotGenuine
	}
	age := now.Sub(i.readAt)
	if i.keys[header.Kid] == nil && age > cooldown || age > lifetime {
		if err := i.readKeys(); err != nil {
			return none, err
		}
	}
	if !isSigned(i.keys[header.Kid], header.Alg, []byte(parts[0]+"."+parts[1]), signature) {
		return none, errNotGenuine
	}
	expires, hasEnd := claims["exp"].(float64)
	begins, _ := claims["nbf"].(float64)
	end := time.Unix(int64(expires), 0).Add(skew)
	switch {
	case claims["iss"] != i.issuer:
		return none, errors.New("the token is of another issuer")
	case !contains(claims["aud"], i.audience):
		return none, errors.New("the token is for another audience")
	case !hasEnd || !now.Before(end):
		return none, errors.New("the token has expired")
	case now.Add(skew).Before(time.Unix(int64(begins), 0)):
		return none, errors.New("the token is not valid yet")
	}
	if last := i.readAt.Add(lifetime); last.Before(end) {
		end = last
	}
	return verified{texts(claims[i.claim]), end}, nil
}

func isSigned(key crypto.PublicKey, algorithm string, signed, signature []byte) bool {
	digest := sha256.Sum256(signed)
	switch key := key.(type) {
	case ed25519.PublicKey:
		return algorithm == "EdDSA" && ed25519.Verify(key, signed, signature)
	case *rsa.PublicKey:
		return algorithm == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	case *ecdsa.PublicKey:
		return algorithm == "ES256" && len(signature) == 64 && ecdsa.Verify(
			key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	}
	return false
}

// readKeys reads the issuer's keys (JWKS, RFC 7517) from a file or a URL.
func (i *identity) readKeys() error {
	document, err := read(i.location)
	if err != nil {
		return err
	}
	var set struct {
		Keys []struct{ Kid, Kty, Crv, X, Y, N, E string }
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return err
	}
	keys := map[string]crypto.PublicKey{}
	for _, key := range set.Keys {
		switch {
		case key.Crv == "Ed25519" && len(number(key.X)) == ed25519.PublicKeySize:
			keys[key.Kid] = ed25519.PublicKey(number(key.X))
		case key.Crv == "P-256":
			x, y := new(big.Int).SetBytes(number(key.X)), new(big.Int).SetBytes(number(key.Y))
			keys[key.Kid] = &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y}
		case key.Kty == "RSA":
			n, e := new(big.Int).SetBytes(number(key.N)), new(big.Int).SetBytes(number(key.E))
			keys[key.Kid] = &rsa.PublicKey{N: n, E: int(e.Int64())}
		}
	}
	i.keys, i.readAt = keys, time.Now()
	return nil
}

func read(location string) ([]byte, error) {
	if !strings.Contains(location, "://") {
		return os.ReadFile(location)
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(location)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(io.LimitReader(answer.Body, 1<<20))
}

func number(text string) []byte {
	decoded, _ := base64.RawURLEncoding.DecodeString(text)
	return decoded
}

func decode(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func contains(claim any, wanted string) bool {
	for _, text := range texts(claim) {
		if text == wanted {
			return true
		}
	}
	return false
}

// texts returns a claim that is one text or a list of them.
func texts(claim any) []string {
	if text, ok := claim.(string); ok {
		return []string{text}
	}
	var found []string
	list, _ := claim.([]any)
	for _, each := range list {
		if text, ok := each.(string); ok {
			found = append(found, text)
		}
	}
	return found
}
