"""What can be set, what cannot be set together, and how settings are handed on."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from twc_customer_server.settings.combinations import NO_ISSUER
from twc_customer_server.settings.model import Settings

KNOWN: dict[str, Any] = {"issuer": "https://id.example", "jwks": "https://id.example/jwks.json"}
REALMS: dict[str, Any] = {
    "issuer": "https://id.example/{tenant}",
    "jwks": "https://id.example/{tenant}/jwks",
}

OWN_ISSUER = "DEVELOPMENT=true uses an issuer of its own: unset ISSUER and JWKS"
NO_ADDRESS = "must be an IP address, such as 127.0.0.1 or ::1"
LOOPBACK = "DEVELOPMENT=true is for this machine only: set BIND=127.0.0.1"
BOTH = "ISSUER and JWKS must both contain {tenant}, or neither"
HTTPS = "JWKS must be an https URL: over http anyone on the way can forge keys"
STALE = "JWKS_STALE_SECONDS must be at least JWKS_LIFETIME_SECONDS"
PAIR = "TLS_CERTIFICATE and TLS_KEY must be set together"
GATEWAYS = "UPSTREAM_CLIENT_CA needs UPSTREAM_PORT, TLS_CERTIFICATE and TLS_KEY"
SAME_PORT = "GRPC_PORT and UPSTREAM_PORT must be different ports"
CLIENT_CA = "TLS_CLIENT_CA needs TLS_CERTIFICATE and TLS_KEY"

NO_DATABASE = "DATABASE_READ_URLS needs DATABASE_URL, the database whose replicas they are"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no issuer": ({}, NO_ISSUER),
    "no JWKS": ({"issuer": "https://id.example"}, NO_ISSUER),
    "JWKS alone": ({"jwks": "jwks.json"}, NO_ISSUER),
    "empty issuer": (KNOWN | {"issuer": ""}, NO_ISSUER),
    "empty JWKS": (KNOWN | {"jwks": ""}, NO_ISSUER),
    "development with both": (KNOWN | {"development": True}, OWN_ISSUER),
    "development with an issuer": ({"issuer": "a", "development": True}, OWN_ISSUER),
    "development with keys": ({"jwks": "a", "development": True}, OWN_ISSUER),
    "development on all addresses": ({"development": True, "bind": "0.0.0.0"}, LOOPBACK),  # noqa: S104
    "development on all of IPv6": ({"development": True, "bind": "::"}, LOOPBACK),
    "development on a network": ({"development": True, "bind": "192.168.0.1"}, LOOPBACK),
    "bind to a name": (KNOWN | {"bind": "localhost"}, NO_ADDRESS),
    "bind to nothing": (KNOWN | {"bind": ""}, NO_ADDRESS),
    "realms in the issuer alone": (REALMS | {"jwks": KNOWN["jwks"]}, BOTH),
    "realms in the JWKS alone": (REALMS | {"issuer": KNOWN["issuer"]}, BOTH),
    "http": (KNOWN | {"jwks": "http://id.example/jwks"}, HTTPS),
    "http with a port": (KNOWN | {"jwks": "http://id.example:80/jwks"}, HTTPS),
    "http to a network": (KNOWN | {"jwks": "http://192.168.0.1/jwks"}, HTTPS),
    "http to a host like this": (KNOWN | {"jwks": "http://localhost.example/jwks"}, HTTPS),
    "http to an address like this": (KNOWN | {"jwks": "http://127.0.0.1.example/jwks"}, HTTPS),
    "http with this host as user": (KNOWN | {"jwks": "http://127.0.0.1@id.example/jwks"}, HTTPS),
    "http to no host": (KNOWN | {"jwks": "http:///jwks"}, HTTPS),
    "http to a host per realm": (REALMS | {"jwks": "http://{tenant}.example/jwks"}, HTTPS),
    "stale before the end of a lifetime": (
        KNOWN | {"jwks_stale_seconds": 299, "jwks_lifetime_seconds": 300},
        STALE,
    ),
    "certificate alone": (KNOWN | {"tls_certificate": "c.pem"}, PAIR),
    "private key alone": (KNOWN | {"tls_key": "k.pem"}, PAIR),
    "client CA alone": (KNOWN | {"tls_client_ca": "a.pem"}, CLIENT_CA),
    "CA of gateways without TLS": (
        KNOWN | {"upstream_client_ca": "a", "upstream_port": 50052},
        GATEWAYS,
    ),
    "CA of gateways without their port": (
        KNOWN | {"upstream_client_ca": "a", "tls_certificate": "c", "tls_key": "k"},
        GATEWAYS,
    ),
    "one port for gateways and others": (KNOWN | {"upstream_port": 50051}, SAME_PORT),
    "replicas of nothing": (KNOWN | {"database_read_urls": ["postgresql://b/c"]}, NO_DATABASE),
    "client CA with half a pair": (KNOWN | {"tls_client_ca": "a.pem", "tls_key": "k"}, PAIR),
}

ACCEPTED: dict[str, dict[str, Any]] = {
    "issuer": KNOWN,
    "realms": REALMS,
    "file": KNOWN | {"jwks": "/etc/jwks.json"},
    "http to this machine": KNOWN | {"jwks": "http://127.0.0.1:8080/jwks"},
    "http to this machine by IPv6": KNOWN | {"jwks": "http://[::1]:8080/jwks"},
    "http to this machine by name": KNOWN | {"jwks": "http://localhost/jwks"},
    "http realms on this machine": REALMS | {"jwks": "http://localhost/{tenant}/jwks"},
    "development": {"development": True},
    "development by IPv6": {"development": True, "bind": "::1"},
    "development on IPv6": {"development": True, "bind": "::1"},
    "development elsewhere in the loopback": {"development": True, "bind": "127.1.2.3"},
    "all addresses": KNOWN | {"bind": "0.0.0.0"},  # noqa: S104
    "greatest skew": KNOWN | {"clock_skew_seconds": 60},
    "no skew": KNOWN | {"clock_skew_seconds": 0},
    "stale at the end of a lifetime": KNOWN
    | {"jwks_stale_seconds": 10, "jwks_lifetime_seconds": 10},
    "TLS": KNOWN | {"tls_certificate": "c.pem", "tls_key": "k.pem"},
    "replicas": KNOWN
    | {"database_url": "postgresql://a/c", "database_read_urls": ["postgresql://b/c"]},
    "port for gateways": KNOWN | {"upstream_port": 50052},
    "mutual TLS": KNOWN | {"tls_certificate": "c", "tls_key": "k", "tls_client_ca": "a"},
}

OUT_OF_RANGE: dict[str, dict[str, Any]] = {
    "skew over a minute": {"clock_skew_seconds": 60.01},
    "skew below none": {"clock_skew_seconds": -0.01},
    "skew of any length": {"clock_skew_seconds": float("inf")},
    "skew that is no number": {"clock_skew_seconds": float("nan")},
    "keys that are fetched all the time": {"jwks_lifetime_seconds": 0.09},
    "next to no cool-down": {"jwks_cooldown_seconds": 0.09},
    "stale keys for no time": {"jwks_stale_seconds": 0},
    "no algorithm": {"algorithms": []},
    "algorithm none": {"algorithms": ["none"]},
    "symmetric algorithm": {"algorithms": ["HS256"]},
    "symmetric algorithm among others": {"algorithms": ["RS256", "HS512"]},
    "unknown algorithm": {"algorithms": ["XY256"]},
    "algorithm in lower case": {"algorithms": ["rs256"]},
    "algorithm as text": {"algorithms": "RS256"},
    "port beyond all": {"grpc_port": 65536},
    "port of metrics beyond all": {"metrics_port": 65536},
    "no thread": {"threads": 0},
    "scope of two": {"erase_scope": "customers:erase admin"},
    "scope in quotes": {"erase_scope": '"erase"'},
    "no scope": {"erase_scope": ""},
    "retention below none": {"deleted_retention_days": -1},
    "retention of any length": {"deleted_retention_days": float("inf")},
    "unknown level": {"log_level": "TRACE"},
    "replica by another protocol": {"database_read_urls": ["https://b/c"]},
    "lag that no look would notice": {"database_read_max_lag_seconds": 2},
    "no region": {"default_regions": {"acme": "Germany"}},
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what the test sets."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_combinations(given: dict[str, Any], message: str) -> None:
    """Settings that would not be safe together, or not work, are refused with what to do."""
    with pytest.raises(ValidationError) as error:
        Settings(**given)
    assert [it["msg"] for it in error.value.errors()] == [f"Value error, {message}"]


@pytest.mark.parametrize("given", OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_values_out_of_range(given: dict[str, Any]) -> None:
    """A value that a setting cannot have is refused by the setting's name."""
    with pytest.raises(ValidationError) as error:
        Settings(**KNOWN, **given)
    assert {it["loc"][0] for it in error.value.errors()} == {*given}


@pytest.mark.parametrize("given", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_combinations(given: dict[str, Any]) -> None:
    """Settings that are safe together are taken as they are given."""
    settings = Settings(**given)
    assert {name: getattr(settings, name) for name in given} == {
        name: Path(value) if name.startswith("tls_") else value for name, value in given.items()
    }


def test_stale_with_long_lifetime() -> None:
    """Keys whose lifetime is longer than they are used when stale count for their lifetime."""
    assert Settings(**KNOWN, jwks_lifetime_seconds=7200).jwks_stale_seconds == 7200
    assert Settings(**KNOWN).jwks_stale_seconds == 3600


@pytest.mark.parametrize(
    "given",
    [
        *ACCEPTED.values(),
        KNOWN | {"audience": "123", "tenant_claim": "true", "issuer": "urn:null"},
        KNOWN
        | {"algorithms": ["ES512"], "default_regions": {"acme": "DE", "*": "CH", "123": "AT"}},
        KNOWN | {"data_dir": "/tmp/a b", "grace_seconds": 0.5, "threads": 3, "log_level": "DEBUG"},  # noqa: S108
        KNOWN | {"reflection": True},
        {"development": True, "reflection": False},
    ],
    ids=[*ACCEPTED, "texts like other values", "lists", "numbers", "reflection", "no reflection"],
)
def test_environment(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    """Another process with the environment that settings name has the same settings."""
    settings = Settings(**given)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_unset_settings_in_environment() -> None:
    """What is not set is not in the environment that is handed on."""
    environment = Settings(**KNOWN).environment()
    assert environment["ISSUER"] == "https://id.example"
    assert not {"TLS_KEY", "REFLECTION", "TLS_CERTIFICATE", "TLS_CLIENT_CA"} & environment.keys()


def test_nothing_set() -> None:
    """Without any setting the server does not start, and says what is missing."""
    with pytest.raises(ValidationError, match="ISSUER and JWKS are required"):
        Settings()


@pytest.mark.parametrize(("given", "has"), [(KNOWN, False), (REALMS, True)], ids=["one", "realms"])
def test_realms(given: dict[str, Any], *, has: bool) -> None:
    """There are realms if the issuer names the tenant."""
    assert Settings(**given).has_realms is has


@pytest.mark.parametrize(
    ("given", "serves"),
    [
        (KNOWN, False),
        (KNOWN | {"reflection": True}, True),
        ({"development": True}, True),
        ({"development": True, "reflection": False}, False),
    ],
    ids=["default", "wanted", "development", "development without"],
)
def test_reflection(given: dict[str, Any], *, serves: bool) -> None:
    """Reflection is served in development, unless it is set otherwise."""
    assert Settings(**given).serves_reflection is serves


@pytest.mark.parametrize(
    ("tenant", "region"), [("acme", "DE"), ("other", "CH"), ("", "CH")], ids=["own", "all", "none"]
)
def test_region(tenant: str, region: str) -> None:
    """A tenant has its own region, or that of all."""
    settings = Settings(**KNOWN, default_regions={"acme": "DE", "*": "CH"})
    assert settings.region(tenant) == region
    assert Settings(**KNOWN, default_regions={"acme": "DE"}).region("other") is None
