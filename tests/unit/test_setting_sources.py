"""Names, files and values of settings as they are given, and what is said of those that are odd."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.test_settings import KNOWN
from twc_customer_client.cli import cli
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.admin.effective_settings import print_settings
from twc_customer_server.settings import sources
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.report import Loaded, load
from twc_customer_server.settings.sources import InvalidSettingsError, shown

ADA, BOB = "postgresql://ada:secret@db/customers", "postgresql://bob:secret@db/other"

# What is given in environment and file, and what is said about it.
# Longer than a name may be.
_LONG = "a" * 300

REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "no number": (
        {"WORKERS": "many"},
        "",
        "WORKERS: must be a whole number from 1 to 64, not many",
    ),
    "prefixed": (
        {"TWC_WORKERS": "0"},
        "",
        "TWC_WORKERS: must be a whole number from 1 to 64, not 0",
    ),
    "in the file": (
        {},
        "workers = 65",
        "workers in settings.toml: must be a whole number from 1 to 64, not 65",
    ),
    "port": (
        {"GRPC_PORT": "65536"},
        "",
        "GRPC_PORT: must be a whole number from 0 to 65535, not 65536",
    ),
    "negative port": (
        {"GATEWAY_PORT": "-1"},
        "",
        "GATEWAY_PORT: must be a whole number from 0 to 65535, not -1",
    ),
    "part of a whole": (
        {"THREADS": "1.5"},
        "",
        "THREADS: must be a whole number from 1 to 256, not 1.5",
    ),
    "number over": (
        {"DATABASE_TIMEOUT_SECONDS": "0"},
        "",
        "DATABASE_TIMEOUT_SECONDS: must be a number over 0 to 300, not 0",
    ),
    "neither true nor false": (
        {"SHARE_PORT": "maybe"},
        "",
        "SHARE_PORT: must be true or false, not maybe",
    ),
    "one of several": (
        {"LOG_LEVEL": "info"},
        "",
        "LOG_LEVEL: must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', not info",
    ),
    "item of a list": (
        {"ALGORITHMS": "HS256"},
        "",
        (
            "ALGORITHMS: 0: must be 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', "
            "'ES384', 'ES512' or 'EdDSA', not HS256"
        ),
    ),
    "broken list": (
        {"CORS_ORIGINS": '["https://a'},
        "",
        'CORS_ORIGINS: must be a list: a, b or ["a", "b"], not ["https://a',
    ),
    "no map": (
        {"DEFAULT_REGIONS": "DE"},
        "",
        'DEFAULT_REGIONS: must be a map: {"a": "b"}, not DE',
    ),
    "no region": (
        {"DEFAULT_REGIONS": '{"acme": "XX"}'},
        "",
        (
            "DEFAULT_REGIONS: must have two letters of a country, such as DE, for acme, "
            'not {"acme": "XX"}'
        ),
    ),
    "address": (
        {"BIND": "localhost"},
        "",
        "BIND: must be an IP address, such as 127.0.0.1 or ::1, not localhost",
    ),
    "path": (
        {"PATH_PREFIX": "/a/"},
        "",
        (
            "PATH_PREFIX: must begin with a slash and not end with one: /services/customerservice, "
            "not /a/"
        ),
    ),
    "several lines": (
        {"BIND": "a\nb"},
        "",
        'BIND: must be an IP address, such as 127.0.0.1 or ::1, not "a\\nb"',
    ),
    "secret": (
        {"DATABASE_URL": "mysql://ada:secret@db/x"},
        "",
        (
            "DATABASE_URL: must be like postgresql://user:password@host:5432/customers, "
            "not mysql://ada:***@db/x"
        ),
    ),
    "secret that is no URL": (
        {"DATABASE_URL": "host=db password=secret"},
        "",
        "DATABASE_URL: must be like postgresql://user:password@host:5432/customers, not ***",
    ),
    "together": (
        {
            "BIND": "0.0.0.0",  # noqa: S104
            "TWC_DEVELOPMENT": "true",
            "DEVELOPMENT": "true",
            "ISSUER": "",
            "JWKS": "",
        },
        "",
        (
            "DEVELOPMENT=true is for this machine only: set BIND=127.0.0.1 "
            "(given: TWC_DEVELOPMENT=true, BIND=0.0.0.0)"
        ),
    ),
    "one port for two": (
        {"GATEWAY_PORT": "50051"},
        "",
        ("GATEWAY_PORT and GRPC_PORT must be different ports (given: GATEWAY_PORT=50051)"),
    ),
    "unknown in the file": (
        {},
        "worker = 2",
        "worker in settings.toml: there is no such setting: did you mean workers?",
    ),
    "upper case in the file": (
        {},
        "WORKER = 2",
        "WORKER in settings.toml: there is no such setting: did you mean workers?",
    ),
    "far from all in the file": (
        {},
        "shoe_size = 42",
        (
            "shoe_size in settings.toml: there is no such setting: `python -m twc_customer_gateway "
            "settings` lists them all"
        ),
    ),
    "no TOML": (
        {},
        "workers: 2",
        (
            "settings.toml: must be TOML: Expected '=' after a key in a key/value pair "
            "(at line 1, column 8)"
        ),
    ),
    "no such file": (
        {"TWC_SETTINGS_FILE": "other.toml"},
        "",
        "TWC_SETTINGS_FILE: there is no file other.toml",
    ),
    "folder": ({"TWC_SETTINGS_FILE": "/"}, "", "TWC_SETTINGS_FILE: there is no file /"),
    "name that no file can have": (
        {"TWC_SETTINGS_FILE": _LONG},
        "",
        f"TWC_SETTINGS_FILE: {_LONG}: File name too long",
    ),
}

ORIGINS = {
    "https://shop.example/": "https://shop.example",
    "https://shop.example/basket?x": "https://shop.example",
    "https://Shop.Example": "https://shop.example",
    "https://shop.example:443": "https://shop.example",
    "http://shop.example:80/": "http://shop.example",
    "http://localhost:3000/": "http://localhost:3000",
    "http://[::1]:3000/": "http://[::1]:3000",
    "shop.example": "an origin, such as https://shop.example",
    "*": "an origin, such as https://shop.example",
}

WARNED: dict[str, tuple[dict[str, str], str, list[str]]] = {
    "near, with a key": (
        {"TLS_KEYS": "-----BEGIN PRIVATE KEY-----\nabc"},
        "",
        ["TLS_KEYS=*** is not a setting: did you mean TLS_KEY?"],
    ),
    "near": ({"WORKER": "2"}, "", ["WORKER=2 is not a setting: did you mean WORKERS?"]),
    "swapped letters": (
        {"GRPC_PROT": "1"},
        "",
        ["GRPC_PROT=1 is not a setting: did you mean GRPC_PORT?"],
    ),
    "near with a password": (
        {"DATABASE_URI": ADA},
        "",
        [
            (
                "DATABASE_URI=postgresql://ada:***@db/customers is not a setting: "
                "did you mean DATABASE_URL?"
            )
        ],
    ),
    "near with the prefix": (
        {"TWC_WORKER": "2"},
        "",
        ["TWC_WORKER=2 is not a setting: did you mean TWC_WORKERS?"],
    ),
    "near a secret of the client": (
        {"TWC_TOKENS": "secret"},
        "",
        ["TWC_TOKENS is not a setting: did you mean TWC_TOKEN?"],
    ),
    "far with the prefix": (
        {"TWC_SHOE": "secret"},
        "",
        ["TWC_SHOE is not a setting: `python -m twc_customer_gateway settings` lists them all"],
    ),
    "of other programs": ({"SHOE": "1", "PORT": "1", "PGPORT": "1", "WORK": "1"}, "", []),
    "of the client": ({"TWC_TOKEN": "secret", "TWC_SERVER": "a:1"}, "", []),
    "both names": (
        {"TWC_DATABASE_URL": ADA, "DATABASE_URL": BOB},
        "",
        [
            (
                "TWC_DATABASE_URL counts, which is postgresql://ada:***@db/customers; "
                "DATABASE_URL does not, which is postgresql://bob:***@db/other"
            )
        ],
    ),
    "both names with one value": ({"TWC_WORKERS": "2", "WORKERS": "2"}, "", []),
    "file and environment": (
        {"WORKERS": "3"},
        "workers = 2",
        ["WORKERS counts, which is 3; workers in settings.toml does not, which is 2"],
    ),
    "same in file and environment": ({"WORKERS": "2"}, "workers = 2", []),
}

PASSWORDS = [
    "postgresql://ada:{}@db/x",
    "postgresql://ada:{}@db:5432,other:5432/x?sslmode=require",
    "postgresql://:{}@db/x",
    "postgresql://ada@db/x?password={}",
    "postgresql://ada@db/x?a=b&sslpassword={}&c=d",
]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A known issuer is set, in a folder without a file."""
    monkeypatch.delenv("TWC_SETTINGS_FILE")
    monkeypatch.chdir(tmp_path)
    for name, value in KNOWN.items():
        monkeypatch.setenv(name.upper(), value)


def _give(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], file: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if file:
        Path("settings.toml").write_text(file)


def _load(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], file: str = ""
) -> Loaded[GatewaySettings]:
    _give(monkeypatch, environment, file)
    return load(GatewaySettings)


@pytest.mark.parametrize(("environment", "file", "line"), REFUSED.values(), ids=REFUSED)
def test_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], file: str, line: str
) -> None:
    """A wrong setting is refused in one line: its name, what would be right, and its value."""
    with pytest.raises(InvalidSettingsError) as refused:
        _load(monkeypatch, environment, file)
    assert str(refused.value) == line


@pytest.mark.parametrize(("origin", "right"), ORIGINS.items(), ids=ORIGINS)
def test_wrong_origin(monkeypatch: pytest.MonkeyPatch, origin: str, right: str) -> None:
    """An origin that no browser sends is refused, with what it sends."""
    with pytest.raises(InvalidSettingsError) as refused:
        _load(monkeypatch, {"CORS_ORIGINS": origin})
    assert f"the scheme's own port: {right}, not " in str(refused.value)


@pytest.mark.parametrize(
    "written",
    ['["https://a.example", "http://[::1]:3000"]', "https://a.example, http://[::1]:3000"],
    ids=["JSON", "commas"],
)
def test_list(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    """A list is JSON, or separated by commas."""
    settings = _load(monkeypatch, {"CORS_ORIGINS": written}).settings
    assert settings.cors_origins == ["https://a.example", "http://[::1]:3000"]


@pytest.mark.parametrize(("environment", "file", "lines"), WARNED.values(), ids=WARNED)
def test_odd_setting(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], file: str, lines: list[str]
) -> None:
    """What seems to be meant as a setting and is none, and what another one overrides, is said."""
    assert _load(monkeypatch, environment, file).warnings == lines


def test_slip_with_what_it_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What seems to be meant as a setting is said with what is wrong without it."""
    monkeypatch.delenv("ISSUER")
    with pytest.raises(InvalidSettingsError, match=r"required.*\n.*did you mean ISSUER\?"):
        _load(monkeypatch, {"ISUER": "https://id.example"})


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefixed name counts most, then the short one, then the file, then the default."""
    for name in ("TWC_WORKERS", "TWC_THREADS", "WORKERS", "THREADS", "RATE_LIMIT"):
        monkeypatch.setenv(name, "2" if name.startswith("TWC_") else "3")
    monkeypatch.setenv("TWC_GRPC_PORT", "")
    file = 'workers = 4\nTHREADS = 4\nrate_limit = 4\ngrpc_port = 4\ndefault_regions.acme = "DE"'
    settings = _load(monkeypatch, {}, file).settings
    numbers = (settings.workers, settings.threads, settings.rate_limit, settings.grpc_port)
    assert numbers == (2, 2, 3, 4)
    assert settings.default_regions == {"acme": "DE"}
    assert settings.metrics_port == 0


def test_named_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file that TWC_SETTINGS_FILE names is read instead of settings.toml."""
    (tmp_path / "own.toml").write_text("workers = 5")
    loaded = _load(monkeypatch, {"TWC_SETTINGS_FILE": "own.toml"}, "workers = 2")
    assert loaded.settings.workers == 5


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "the database is SQLite, data/customers.db, by the default of DATA_DIR"),
        ({"DATA_DIR": "/a"}, "the database is SQLite, /a/customers.db, by DATA_DIR"),
        (
            {"DATABASE_URL": BOB},
            "the database is PostgreSQL, postgresql://bob:***@db/other, by DATABASE_URL",
        ),
        (
            {"TWC_DATABASE_URL": ADA, "DATABASE_URL": BOB},
            "the database is PostgreSQL, postgresql://ada:***@db/customers, by TWC_DATABASE_URL",
        ),
    ],
    ids=["default", "folder", "short name", "prefixed name"],
)
def test_database_in_use(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], line: str
) -> None:
    """The database is named with the setting that it comes from, without its password."""
    assert _load(monkeypatch, environment).database() == line


@pytest.mark.parametrize("url", PASSWORDS)
@pytest.mark.parametrize("password", ["secret", "sec@ret", "sec:ret@", "s%40cret"])
def test_password(url: str, password: str) -> None:
    """No part of a password is shown, wherever a URL has it."""
    assert shown("database_url", url.format(password)) == url.format("***")


def test_passwords_of_a_list() -> None:
    """No password is shown of several URLs, nor of a part, as behind a comma in a password."""
    urls = [ADA, "postgresql://bob:sec", "ret@db/other"]
    assert shown("database_read_urls", urls) == (
        '["postgresql://ada:***@db/customers", "postgresql://bob:***", "***"]'
    )
    assert "ret" not in shown("database_read_urls", ",".join(urls))


def test_password_without_a_host() -> None:
    """Neither is one shown that a URL without a host has in the place of a port."""
    assert shown("database_url", "postgresql://ada:secret/x") == "postgresql://ada:***/x"
    for url in ("postgresql://db:5432/x", "postgresql://[::1]:5432/x", "postgresql://a:1,b:2/x"):
        assert shown("database_url", url) == url


def test_print(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All settings are printed with their sources, without passwords."""
    replicas = {"DATABASE_READ_URLS": f"{ADA},{BOB}"}
    _give(monkeypatch, {"TWC_DATABASE_URL": ADA, "WORKERS": "2"} | replicas, "threads = 3")
    print_settings(GatewaySettings, as_json=True)
    settings = json.loads(capsys.readouterr().out)
    assert settings.keys() == {name.upper() for name in GatewaySettings.model_fields}
    assert [settings[name] for name in ("DATABASE_URL", "WORKERS", "THREADS", "GRPC_PORT")] == [
        {
            "value": "postgresql://ada:***@db/customers",
            "source": "TWC_DATABASE_URL",
            "of": "server",
        },
        {"value": 2, "source": "WORKERS", "of": "gateway"},
        {"value": 3, "source": "threads in settings.toml", "of": "server"},
        {"value": 50051, "source": "default", "of": "server"},
    ]

    assert settings["DATABASE_READ_URLS"]["value"] == [
        "postgresql://ada:***@db/customers",
        "postgresql://bob:***@db/other",
    ]

    print_settings(GatewaySettings, as_json=False)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [
        "DATABASE_URL",
        "server",
        "postgresql://ada:***@db/customers",
        "TWC_DATABASE_URL",
    ] in rows
    assert len(rows) == len(settings)


def test_print_of_wrong_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings that are wrong are printed as they are given, before what is wrong with them."""
    _give(monkeypatch, {"THREADS": "many"}, "")
    with pytest.raises(SystemExit, match=r"^THREADS: must be a whole number"):
        print_settings(Settings, as_json=True)
    assert json.loads(capsys.readouterr().out)["THREADS"] == {
        "value": "many",
        "source": "THREADS",
        "of": "server",
    }


def test_names_of_others() -> None:
    """The server knows the names that only the gateway, and only the command line, reads."""
    own = {name.upper() for name in GatewaySettings.model_fields}
    of_client = {str(option.envvar) for option in cli.params if hasattr(option, "envvar")}
    of_client = {name for name in of_client if name.removeprefix("TWC_") not in own}
    assert GatewaySettings.model_fields.keys() - Settings.model_fields.keys() == (
        sources.OF_GATEWAY
    )
    assert of_client - {"None"} == sources.OF_CLIENT
    assert Settings.model_fields.keys() >= sources.OF_BOTH


APART = {"UPSTREAMS": "a.example:1"}


@pytest.mark.parametrize(
    ("process", "environment", "file", "lines"),
    [
        (
            Settings,
            {"TWC_RATE_LIMIT": "5"},
            "",
            ["TWC_RATE_LIMIT: not used here: settings of the gateway"],
        ),
        (
            Settings,
            {},
            "docs = false",
            ["docs in settings.toml: not used here: settings of the gateway"],
        ),
        (Settings, {"THREADS": "2", "LOG_LEVEL": "ERROR"}, "", []),
        (GatewaySettings, {"THREADS": "2", "WORKERS": "2"}, "", []),
        (GatewaySettings, {"SHARE_PORT": "false"}, "", []),
        (
            GatewaySettings,
            {"SHARE_PORT": "true"},
            "",
            ["SHARE_PORT: not used here: settings of a server that runs by itself"],
        ),
        (
            GatewaySettings,
            {**APART, "WORKERS": "2", "THREADS": "2", "GRACE_SECONDS": "1"},
            "",
            [
                (
                    "ISSUER, JWKS, THREADS, WORKERS: not used here: settings of servers, "
                    "which run elsewhere (UPSTREAMS)"
                )
            ],
        ),
    ],
)
def test_setting_of_another_process(
    monkeypatch: pytest.MonkeyPatch,
    process: type[Settings],
    environment: dict[str, str],
    file: str,
    lines: list[str],
) -> None:
    """A setting that is given to a process which it does not concern is said."""
    _give(monkeypatch, environment, file)
    assert load(process).warnings == lines


def test_environment_of_this_test() -> None:
    """What test runs put into the environment is not taken for a setting."""
    odd = [*sources.unknown_variables(GatewaySettings.model_fields)]
    assert odd == [], sorted(os.environ)
