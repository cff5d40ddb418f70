"""Values for the parameters of statements that PostgreSQL is to explain."""

import re


def parameters(sql: str, tenant: str) -> dict[str, object]:
    """Returns a value for each parameter of a statement, in the order in which they come."""
    # Text of a type that is not known, which fits all columns.
    values: dict[str, object] = dict.fromkeys(re.findall(r"%\((\w+)\)s", sql), "1")
    return values | {"tenant": tenant}
