"""Fills a tenant of the running service with customers of many countries: `make demo TENANT=demo`.

The customers are the same each time, so that those that are there already are skipped.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phonenumbers
from faker import Faker
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from rich.console import Console
from rich.progress import track

from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.auth.development import DevelopmentIssuer
from twc_customer_server.auth.tenants import is_tenant
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.report import load
from twc_customer_server.settings.sources import InvalidSettingsError

_CUSTOMERS = 3000

# Language and country, and how many of a hundred customers live there.
_SHARES = {
    "de_DE": 14, "de_AT": 5, "de_CH": 5, "en_GB": 9, "en_US": 9, "en_AU": 5, "fr_FR": 8, "it_IT": 6,
    "es_ES": 6, "nl_NL": 5, "pl_PL": 4, "cs_CZ": 3, "da_DK": 3, "sv_SE": 3, "pt_BR": 3, "ja_JP": 3,
    "ko_KR": 2, "zh_CN": 2, "el_GR": 2, "tr_TR": 2, "ar_EG": 1,
}  # fmt: skip

_SEED = 20_260_101
_MARKETING_SHARE = 0.6
_TIERS = ("bronze", "silver", "gold")
_CONNECT_SECONDS = 2

_NEXT = """
Try, in this terminal:

  TOKEN=$(make -s token TENANT={tenant})

  curl -sG {scheme}://{gateway}/api/v2/customers -d pageSize=5 \\
    --data-urlencode 'filter=lastName = "m*"' \\
    -H "Authorization: Bearer $TOKEN" -H 'X-TWC-Tenant: {tenant}'

  TWC_SERVER={server} TWC_TENANT={tenant} TWC_TOKEN=$TOKEN {client} export customers.csv
"""


def customers(count: int) -> Iterator[dict[str, Any]]:
    """Yields customers as JSON of the API, the same each time, each with a valid phone number."""
    rng = random.Random(_SEED)
    fakers = {locale: Faker(locale) for locale in _SHARES}
    for faker in fakers.values():
        faker.seed_instance(rng.random())
    locales = rng.choices([*_SHARES], [*_SHARES.values()], k=count)
    for number, locale in enumerate(locales, 1):
        yield _customer(number, fakers[locale], locale[-2:], rng)


def _customer(number: int, faker: Faker, country: str, rng: random.Random) -> dict[str, Any]:
    first, last = faker.first_name(), faker.last_name()
    return {
        "customerRef": f"DEMO-{number:05}",
        "email": f"{_mailbox(first, last) or faker.user_name()}.{number}@example.com",
        "firstName": first,
        "lastName": last,
        "mobile": _mobile(number, country),
        # No age: it would depend on the day.
        "dob": f"{rng.randint(1940, 2007)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
        "accepts_marketing": rng.random() < _MARKETING_SHARE,
        "customer_state": rng.choices(("enabled", "disabled", "invited"), (80, 15, 5))[0],
        "loyaltyTier": rng.choices(_TIERS, (70, 22, 8))[0],
        "addresses": [
            {
                "addressName": name,
                "firstName": first,
                "lastName": last,
                "address1": faker.street_address().replace("\n", ", "),
                "city": faker.city(),
                "postcode": faker.postcode(),
                "countryCode": country,
            }
            for name in ("Home", "Work")[: rng.choices((1, 2), (80, 20))[0]]
        ],
    }


def _mailbox(*names: str) -> str:
    """Returns names as e-mail addresses have them, empty if one has letters other than Latin."""
    plain = [
        "".join(it for it in unicodedata.normalize("NFKD", name).lower() if it.isalnum())
        for name in names
    ]
    return ".".join(plain) if all(name and name.isascii() for name in plain) else ""


def _mobile(number: int, country: str) -> str:
    """Returns a mobile number of a country that no other customer has."""
    example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    if not example:
        raise LookupError(f"there is no example of a mobile number of {country}")
    start = str(example.national_number)
    digits = f"{number:05}"
    parsed = phonenumbers.PhoneNumber(
        country_code=example.country_code, national_number=int(start[: -len(digits)] + digits)
    )
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)


def write(path: Path, count: int) -> None:
    """Writes customers as JSON Lines, and shows how many on standard error."""
    console = Console(stderr=True)
    made = track(customers(count), f"making {count:,} customers", count, console=console)
    with path.open("w", encoding="utf-8") as file:
        for customer in made:
            file.write(json.dumps(customer, ensure_ascii=False) + "\n")


def _token(settings: Settings, tenant: str) -> str:
    """Returns the token to import with. Exits if there is none."""
    if given := os.environ.get("TWC_TOKEN"):
        return given
    if not settings.development:
        sys.exit("a token is needed where DEVELOPMENT is not true: set TWC_TOKEN")
    issuer = DevelopmentIssuer(settings.development_folder)
    return issuer.token(tenant, settings.audience, settings.tenant_claim)


def _check_is_served(address: str) -> None:
    """Exits if nothing listens on an address."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        sys.exit(
            f"no service answers on {address} ({error.strerror or error}): start `make run` in "
            "another terminal first, with the same settings"
        )


def main() -> None:
    """Imports the customers with the command line of the product."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description=__doc__)
    parser.add_argument("--tenant", default=os.environ.get("TENANT") or "demo")
    parser.add_argument("--customers", type=int, default=_CUSTOMERS)
    args = parser.parse_args()
    if not is_tenant(args.tenant):
        sys.exit("a tenant's name has 1 to 64 letters, digits, '.', '_' or '-'")
    try:
        settings = load(GatewaySettings).settings
    except InvalidSettingsError as error:
        sys.exit(str(error))
    server = os.environ.get("TWC_SERVER") or settings.native_address
    _check_is_served(server)
    client = Path(sys.executable).with_name("twc-customers")
    environment = os.environ | {
        "TWC_SERVER": server,
        "TWC_TENANT": args.tenant,
        "TWC_TOKEN": _token(settings, args.tenant),
    }
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        file = Path(folder) / "customers.jsonl"
        try:
            write(file, args.customers)
            command = [str(client), "import", str(file), "--on-conflict", "skip"]
            ended = subprocess.run(command, env=environment, check=False)
        except KeyboardInterrupt:
            sys.exit("interrupted; the same command resumes")
    if ended.returncode:
        sys.exit(ended.returncode)
    gateway = f"{settings.host}:{settings.gateway_port}"
    scheme = "https" if settings.tls_certificate else "http"
    shown = {"tenant": args.tenant, "server": server, "client": client, "scheme": scheme}
    print(_NEXT.format(gateway=gateway, **shown), end="")


if __name__ == "__main__":
    main()
