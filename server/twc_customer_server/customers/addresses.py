"""Rules of a customer's addresses, and which of them is the default."""

from collections.abc import Container, Iterator, Sequence

import pycountry
from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.customers import text
from twc_customer_server.errors import Violation

MAX_ADDRESSES = 100

NOT_A_COUNTRY = "must be an ISO 3166-1 alpha-2 code, such as DE"
EMPTY = "must say something of the address, such as address1 or city"

_COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries)

# What does not describe an address.
_SERVER_FIELDS = ("id", "customer_id", "default_address")


def settle(
    customer: pb.Customer, default: pb.Address | None, known: Container[str]
) -> list[Violation]:
    """Checks and normalises all addresses and sets the default address.

    `known` are the ids of addresses that are stored. The default is `default`,
    which joins the list if it is not there; else the one that is marked; else
    the first.
    """
    if len(customer.addresses) > MAX_ADDRESSES:
        return [_too_many()]
    violations = [*_check_marks(customer.addresses, known)]
    for index, address in enumerate(customer.addresses):
        violations += check(address, f"addresses[{index}].")
    if default is None:
        _mark(customer, _marked(customer.addresses))
        return violations
    wrong = check(default, "defaultAddress.")
    found = _find(customer.addresses, default)
    if found is None or not _is_selector(default):
        violations += wrong
    if found is None:
        found = len(customer.addresses)
        customer.addresses.append(default)
    _mark(customer, found)
    if len(customer.addresses) > MAX_ADDRESSES:
        violations.append(_too_many())
    return violations


def check(address: pb.Address, path: str = "") -> list[Violation]:
    """Checks one address and writes its country code in upper case.

    `path` is what stands before the names of its fields.
    """
    violations = text.check(address, path)
    code = address.country_code
    if code not in _COUNTRIES and address.HasField("country_code"):
        address.country_code = code = code.strip().upper()
        if not code:
            address.ClearField("country_code")
        elif code not in _COUNTRIES:
            violations.append(Violation(f"{path}countryCode", NOT_A_COUNTRY))
    if not text.says_something(address):
        violations.append(Violation(path.removesuffix(".") or "address", EMPTY))
    return violations


def unmark(customer: pb.Customer) -> None:
    """Makes none of the addresses the default, until `settle` chooses."""
    for address in customer.addresses:
        address.default_address = False


def mark_id(customer: pb.Customer, wanted: str) -> None:
    """Marks the first address with an id as the default, if there is one."""
    for address in customer.addresses:
        if wanted and address.id == wanted:
            address.default_address = True
            return


def replace(customer: pb.Customer, edited: pb.Address) -> None:
    """Puts what an address says, if it says something, in the place of the one with its id."""
    for address in customer.addresses:
        if edited.id and address.id == edited.id and not _is_selector(edited):
            marked = address.default_address
            address.CopyFrom(edited)
            address.default_address = marked


def lists(customer: pb.Customer, wanted: str) -> bool:
    """Tells whether an address with an id is in the list."""
    return any(address.id == wanted for address in customer.addresses)


def repeats(request: pb.Customer, stored: pb.Customer, wanted: str) -> bool:
    """Tells whether a request lists the address with an id just as it is stored."""
    listed, kept = (
        [_content(address) for address in customer.addresses if address.id == wanted]
        for customer in (request, stored)
    )
    return bool(wanted) and listed == kept != []


def _too_many() -> Violation:
    return Violation("addresses", f"must hold at most {MAX_ADDRESSES} addresses")


def _check_marks(addresses: Sequence[pb.Address], known: Container[str]) -> Iterator[Violation]:
    """Finds addresses that claim to be the default, or a stored one, as an earlier one does."""
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
        if address.id in known and seen.setdefault(address.id, index) != index:
            yield Violation(
                f"addresses[{index}].id", f"must differ from that of addresses[{seen[address.id]}]"
            )


def _marked(addresses: Sequence[pb.Address]) -> int:
    return next((i for i, address in enumerate(addresses) if address.default_address), 0)


def _find(addresses: Sequence[pb.Address], wanted: pb.Address) -> int | None:
    """The index of the one address with the same id, else of one with the same content.

    Of several with that content it is the marked one, else the first.
    """
    same = [i for i, address in enumerate(addresses) if wanted.id and address.id == wanted.id]
    if len(same) == 1:
        return same[0]
    content = _content(wanted)
    alike = [i for i, address in enumerate(addresses) if _content(address) == content]
    return next((i for i in alike if addresses[i].default_address), next(iter(alike), None))


def _mark(customer: pb.Customer, default: int) -> None:
    customer.ClearField("default_address")
    for index, address in enumerate(customer.addresses):
        address.default_address = index == default
        if address.default_address:
            customer.default_address.CopyFrom(address)


def _is_selector(address: pb.Address) -> bool:
    """Tells whether an address only names one, by its id."""
    return bool(address.id) and not text.says_something(address)


def _content(address: pb.Address) -> dict[str, str]:
    return {
        field.name: value
        for field, value in address.ListFields()
        if value and field.name not in _SERVER_FIELDS
    }
