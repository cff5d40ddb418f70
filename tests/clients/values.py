"""The customer that every client creates, of values in many scripts, and what comes back."""

from typing import Any

# Of the pages that browsers' clients are on.
ORIGIN = "https://shop.example"

# The one that TWC's SDK may put before its paths.
PATH_PREFIX = "/services/customerservice"

VALUES: dict[str, Any] = {
    "ref": "Réf/№ 7%",
    "email": "zofia+1@bücher.example",
    "firstName": "Żofia 🦊",
    "lastName": "Zoe\u0308 O’Brien-王",  # noqa: RUF001 - as people write it
    "mobile": "+49 170 1234567",
    "city": "İstanbul",
    "country": "tr",
    "group": "größe",
    "attribute": "schuh\u202f№",
    "newName": "שלום 👩\u200d👧",
    "upload": ["first@example.com", "none"],
}

CREATED = {name: VALUES[name] for name in ("ref", "email", "firstName", "lastName", "city")} | {
    "mobile": "+491701234567",
    "state": "invited",
    "country": "TR",
    "attribute": "42",
}

UPDATED = CREATED | {"lastName": VALUES["newName"], "state": "enabled"}

# The codes of the errors of customers that are invalid.
UPLOADED = ["first@example.com", 3]
