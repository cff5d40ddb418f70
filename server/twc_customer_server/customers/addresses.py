"""Rules of a customer's addresses, and the choice of the default address."""

from collections.abc import Container, Iterator, Sequence
from functools import cache

import pycountry
from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.customers import emails, fields
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.errors import Violation

MAX_ADDRESSES = 100

NOT_A_COUNTRY = "must be an ISO 3166-1 alpha-2 code, such as DE"
EMPTY = "must set a field that describes the address, such as address1 or city"

# Kosovo, Ascension Island and Tristan da Cunha have codes that ISO 3166-1 leaves to its users, or
# keeps for others, and which post and phone numbers use.
_COUNTRIES = frozenset({country.alpha_2 for country in pycountry.countries} | {"XK", "AC", "TA"})

# The right codes of countries by others that people write: of languages, of the European Union,
# of the internet, of the past, and of parts of a country; and by everyday names.
_MEANT_COUNTRIES = {
    "UK": "GB",
    "EN": "GB",
    "EL": "GR",
    "JA": "JP",
    "KO": "KR",
    "CS": "CZ",
    "DA": "DK",
    "FX": "FR",
    "CP": "FR",
    "IC": "ES",
    "EA": "ES",
    "DD": "DE",
    "SU": "RU",
    "YU": "RS",
    "TP": "TL",
    "BU": "MM",
    "ZR": "CD",
    "KV": "XK",
    "RKS": "XK",
    "XKX": "XK",
    "ROM": "RO",
    "UAE": "AE",
    **dict.fromkeys(("ENGLAND", "SCOTLAND", "WALES", "NORTHERN IRELAND", "GREAT BRITAIN"), "GB"),
    **dict.fromkeys(("HOLLAND", "THE NETHERLANDS"), "NL"),
    **dict.fromkeys(("IVORY COAST", "COTE D'IVOIRE"), "CI"),
    "BURMA": "MM",
    "CAPE VERDE": "CV",
    "KOSOVO": "XK",
    "MACEDONIA": "MK",
    "PALESTINE": "PS",
    "RUSSIA": "RU",
    "SWAZILAND": "SZ",
    "TURKEY": "TR",
}

# Fields that do not describe an address.
_SERVER_FIELDS = ("id", "customer_id", "default_address")


def normalize_and_validate(
    customer: pb.Customer, default: pb.Address | None, context: ValidationContext
) -> Iterator[Violation]:
    """Checks and normalises all addresses, and sets the default address.

    The default is `default`, which joins the list if it is not in it; else the marked one;
    else the first.
    """
    if len(customer.addresses) > MAX_ADDRESSES:
        yield _too_many()
        return
    yield from _check_marks(customer.addresses, context.known_ids)
    for index, address in enumerate(customer.addresses):
        yield from check(address, context, f"addresses[{index}].")
    if default is None:
        _set_default(customer, _marked(customer.addresses))
        return
    problems = check(default, context, "defaultAddress.")
    found = _find(customer.addresses, default)
    if found is None or not _is_selector(default):
        yield from problems
    if found is None:
        found = len(customer.addresses)
        customer.addresses.append(default)
    _set_default(customer, found)
    if len(customer.addresses) > MAX_ADDRESSES:
        yield _too_many()


def check(address: pb.Address, context: ValidationContext, path: str = "") -> list[Violation]:
    """Checks one address, trims its e-mail address and converts its country code to upper case.

    `path` precedes the names of the fields.
    """
    violations = fields.check_texts(address, path)
    code = address.country_code
    if code not in _COUNTRIES and address.HasField("country_code"):
        if len(code) <= fields.MAX_TEXT_LENGTH:
            address.country_code = code = code.strip().upper()
        if not code:
            address.ClearField("country_code")
        elif code not in _COUNTRIES:
            violations.append(Violation(f"{path}countryCode", _country_problem(code)))
    email = address.email
    if email not in context.known_emails and (email or address.HasField("email")):
        if (trimmed := fields.trim(email)) != email:
            address.email = email = trimmed
        if not email:
            address.ClearField("email")
        elif problem := emails.problem(email, accept_dots=context.accept_email_dots):
            violations.append(Violation(f"{path}email", problem))
    if not fields.has_text(address):
        violations.append(Violation(path.removesuffix(".") or "address", EMPTY))
    return violations


def _country_problem(code: str) -> str:
    """Returns what is wrong with a country code in upper case, with the one that it stands for."""
    plain = code.replace(".", "")
    meant = _MEANT_COUNTRIES.get(plain) or _other_codes().get(plain)
    return f"{NOT_A_COUNTRY}; that of {code} is {meant}" if meant else NOT_A_COUNTRY


@cache
def _other_codes() -> dict[str, str]:
    """Returns the right codes of countries by other codes, names and parts, in upper case."""
    others = ("alpha_3", "numeric", "name", "common_name", "official_name")
    codes = {
        str(getattr(country, attribute)).upper(): country.alpha_2
        for country in pycountry.countries
        for attribute in others
        if hasattr(country, attribute)
    }
    return codes | {part.code: part.country_code for part in pycountry.subdivisions}


def clear_marks(customer: pb.Customer) -> None:
    """Marks no address as the default, so that `normalize_and_validate` chooses one."""
    for address in customer.addresses:
        address.default_address = False


def mark(customer: pb.Customer, wanted_id: str) -> None:
    """Marks the first address with an id, if there is one, as the default."""
    for address in customer.addresses:
        if wanted_id and address.id == wanted_id:
            address.default_address = True
            return


def replace(customer: pb.Customer, edited: pb.Address) -> None:
    """Replaces the address with the same id, unless `edited` only names it."""
    for address in customer.addresses:
        if edited.id and address.id == edited.id and not _is_selector(edited):
            marked = address.default_address
            address.CopyFrom(edited)
            address.default_address = marked


def contains(customer: pb.Customer, wanted_id: str) -> bool:
    """Tells whether the list has an address with an id."""
    return any(address.id == wanted_id for address in customer.addresses)


def repeats(request: pb.Customer, stored: pb.Customer, wanted_id: str) -> bool:
    """Tells whether a request lists the address with an id as it is stored."""
    requested, existing = (
        [address for address in customer.addresses if address.id == wanted_id]
        for customer in (request, stored)
    )
    if not wanted_id or not existing:
        return False
    # Mostly they are the same in every field, and comparing messages is cheap.
    return requested == existing or [*map(_content, requested)] == [*map(_content, existing)]


def unite(kept: pb.Customer, other: pb.Customer, *, takes_default: bool) -> None:
    """Adds the addresses of another customer, each content once.

    The default address stays, unless there is none or the other's is taken.
    """
    takes_default = takes_default or not kept.addresses
    ids = {address.id for address in kept.addresses}
    contents = {_hashable(address) for address in kept.addresses}
    for address in other.addresses:
        content = _hashable(address)
        if content not in contents:
            contents.add(content)
            added = kept.addresses.add()
            added.CopyFrom(address)
            added.default_address = False
            if added.id in ids:
                added.ClearField("id")
    if takes_default and other.HasField("default_address"):
        default = _hashable(other.default_address)
        clear_marks(kept)
        for address in kept.addresses:
            if _hashable(address) == default:
                address.default_address = True
                return


def _too_many() -> Violation:
    return Violation("addresses", f"must hold at most {MAX_ADDRESSES} addresses")


def _check_marks(addresses: Sequence[pb.Address], known_ids: Container[str]) -> Iterator[Violation]:
    """Finds addresses that repeat an earlier one's mark as the default, or its stored id."""
    default = None
    seen: dict[str, int] = {}
    for index, address in enumerate(addresses):
        if address.default_address:
            if default is not None:
                yield Violation(
                    f"addresses[{index}].defaultAddress",
                    f"must not be true, because that of addresses[{default}] is",
                )
            default = index
        if address.id in known_ids and seen.setdefault(address.id, index) != index:
            yield Violation(
                f"addresses[{index}].id", f"must differ from that of addresses[{seen[address.id]}]"
            )


def _marked(addresses: Sequence[pb.Address]) -> int:
    return next((i for i, address in enumerate(addresses) if address.default_address), 0)


def _find(addresses: Sequence[pb.Address], wanted: pb.Address) -> int | None:
    """Returns the index of the one address with the same id, else with the same content.

    Of several with that content it is the marked one, else the first.
    """
    same = [i for i, address in enumerate(addresses) if wanted.id and address.id == wanted.id]
    if len(same) == 1:
        return same[0]
    content = _content(wanted)
    alike = [i for i, address in enumerate(addresses) if _content(address) == content]
    return next((i for i in alike if addresses[i].default_address), next(iter(alike), None))


def _set_default(customer: pb.Customer, default: int) -> None:
    customer.ClearField("default_address")
    for index, address in enumerate(customer.addresses):
        address.default_address = index == default
        if address.default_address:
            customer.default_address.CopyFrom(address)


def _is_selector(address: pb.Address) -> bool:
    """Tells whether an address only selects one by its id."""
    return bool(address.id) and not fields.has_text(address)


def _hashable(address: pb.Address) -> frozenset[tuple[str, str]]:
    """Returns the content of an address, for sets."""
    return frozenset(_content(address).items())


def _content(address: pb.Address) -> dict[str, str]:
    return {
        field.name: value
        for field, value in address.ListFields()
        if value and field.name not in _SERVER_FIELDS
    }
