package main

import (
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
)

const (
	skew = 30 * time.Second
	// The lifetime of cached keys and of cached results of verification.
	lifetime = 5 * time.Minute
	// The least time between two reads of the keys that unknown key ids cause.
	cooldown  = 30 * time.Second
	maxCached = 10_000
)

var (
	errInvalidToken = errors.New("the token cannot be verified")
	isTenant        = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`).MatchString
)

// authenticator verifies bearer tokens, and caches the results.
type authenticator struct {
	issuer, audience, claim, location string

	lock     sync.RWMutex
	verified map[string]cachedToken
	keys     map[string]crypto.PublicKey
	readAt   time.Time
}

type cachedToken struct {
	tenants []string
	until   time.Time
}

// newAuthenticator returns an authenticator with the service's settings and the issuer's keys.
func newAuthenticator() (*authenticator, error) {
	a := &authenticator{
		issuer:   os.Getenv("ISSUER"),
		audience: setting("AUDIENCE", "customer-api"),
		claim:    setting("TENANT_CLAIM", "tenant"),
		location: os.Getenv("JWKS"),
		verified: map[string]cachedToken{},
	}
	return a, a.readKeys()
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// authenticate verifies the headers of a request, and returns its tenant.
func (a *authenticator) authenticate(credentials, names []string) (string, error) {
	if len(credentials) != 1 || len(credentials[0]) < 7 || !strings.EqualFold(credentials[0][:7], "bearer ") {
		return "", newError("UNAUTHENTICATED", "the header Authorization must be Bearer and a token")
	}
	tenants, err := a.tenants(strings.TrimSpace(credentials[0][7:]))
	if err != nil {
		return "", newError("UNAUTHENTICATED", err.Error())
	}
	if len(names) != 1 || !isTenant(names[0]) || names[0] == "." || names[0] == ".." {
		return "", newError("INVALID_TENANT", "the header X-TWC-Tenant is required: it names the tenant")
	}
	for _, tenant := range tenants {
		if tenant == names[0] {
			return tenant, nil
		}
	}
	return "", newError("TENANT_FORBIDDEN", "the token is not for the tenant that X-TWC-Tenant names")
}

func (a *authenticator) tenants(token string) ([]string, error) {
	now := time.Now()
	a.lock.RLock()
	known := a.verified[token]
	a.lock.RUnlock()
	if now.Before(known.until) {
		return known.tenants, nil
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	found, err := a.verify(token, now)
	if err != nil {
		return nil, err
	}
	if len(a.verified) >= maxCached {
		a.verified = map[string]cachedToken{}
	}
	a.verified[token] = found
	return found.tenants, nil
}

func (a *authenticator) verify(token string, now time.Time) (cachedToken, error) {
	var none cachedToken
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > 16*1024 {
		return none, errInvalidToken
	}
	var header struct{ Alg, Kid string }
	var claims map[string]any
	if decode(parts[0], &header) != nil || decode(parts[1], &claims) != nil {
		return none, errInvalidToken
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return none, errInvalidToken
	}
	age := now.Sub(a.readAt)
	if a.keys[header.Kid] == nil && age > cooldown || age > lifetime {
		if err := a.readKeys(); err != nil {
			return none, err
		}
	}
	if !isSigned(a.keys[header.Kid], header.Alg, []byte(parts[0]+"."+parts[1]), signature) {
		return none, errInvalidToken
	}
	expires, hasEnd := claims["exp"].(float64)
	begins, _ := claims["nbf"].(float64)
	end := time.Unix(int64(expires), 0).Add(skew)
	switch {
	case claims["iss"] != a.issuer:
		return none, errors.New("the token is of another issuer")
	case !contains(claims["aud"], a.audience):
		return none, errors.New("the token is for another audience")
	case !hasEnd || !now.Before(end):
		return none, errors.New("the token has expired")
	case now.Add(skew).Before(time.Unix(int64(begins), 0)):
		return none, errors.New("the token is not valid yet")
	}
	if last := a.readAt.Add(lifetime); last.Before(end) {
		end = last
	}
	return cachedToken{stringsOf(claims[a.claim]), end}, nil
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
func (a *authenticator) readKeys() error {
	document, err := read(a.location)
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
		case key.Crv == "Ed25519" && len(decodeBytes(key.X)) == ed25519.PublicKeySize:
			keys[key.Kid] = ed25519.PublicKey(decodeBytes(key.X))
		case key.Crv == "P-256":
			x, y := new(big.Int).SetBytes(decodeBytes(key.X)), new(big.Int).SetBytes(decodeBytes(key.Y))
			keys[key.Kid] = &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y}
		case key.Kty == "RSA":
			n, e := new(big.Int).SetBytes(decodeBytes(key.N)), new(big.Int).SetBytes(decodeBytes(key.E))
			keys[key.Kid] = &rsa.PublicKey{N: n, E: int(e.Int64())}
		}
	}
	a.keys, a.readAt = keys, time.Now()
	return nil
}

func read(location string) ([]byte, error) {
	if !strings.Contains(location, "://") {
		return os.ReadFile(location)
	}
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(location)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(io.LimitReader(response.Body, 1<<20))
}

func decodeBytes(text string) []byte {
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
	for _, text := range stringsOf(claim) {
		if text == wanted {
			return true
		}
	}
	return false
}

// stringsOf returns the strings of a claim that is a string or a list of them.
func stringsOf(claim any) []string {
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
