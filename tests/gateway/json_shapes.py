"""JSON bodies of any size that are hard to read, each for one reason."""

from collections.abc import Callable, Iterator
from itertools import count

# Makes a body of about a size, in bytes.
Shape = Callable[[int], bytes]

CUSTOMER = b"""{"email": "ada@example.com", "firstName": "Ada", "lastName": "Lovelace",
 "phone": "+442071234567", "active": true, "accepts_marketing": false,
 "marketing_preferences_updated_at": "2024-05-28T10:11:12Z", "customer_state": "enabled",
 "note": "Likes \\"quotes\\",\\nand lines.", "taxExemptions": ["CA_BC_RESELLER_EXEMPTION"],
 "addresses": [{"address1": "12 St James's Square", "city": "London", "countryCode": "GB"}],
 "attributeGroups": {"loyalty": {"attributes": {
  "points": {"attribute_value": "1200", "value_type": "INTEGER"}}}}}"""


def _many(start: bytes, item: bytes, end: bytes, separator: bytes = b",") -> Shape:
    """Returns the shape of an item that is there often."""

    def make(size: int) -> bytes:
        room = size - len(start) - len(end) + len(separator)
        number = max(room // (len(item) + len(separator)), 1)
        return start + separator.join([item] * number) + end

    return make


def _long(start: bytes, character: bytes, end: bytes) -> Shape:
    return _many(start, character, end, separator=b"")


def _numbered(start: bytes, item: bytes, end: bytes) -> Shape:
    """Returns the shape of many items that differ by the number in each."""

    def items(size: int) -> Iterator[bytes]:
        for number in count():
            made = item % number
            size -= len(made) + 1
            if size < 0:
                return
            yield made

    return lambda size: start + b",".join(items(size - len(start) - len(end))) + end


def _deep(start: bytes, item: bytes, end: bytes) -> Shape:
    """Returns the shape of nested values, as deep as the size allows."""

    def make(size: int) -> bytes:
        depth = max((size - len(item)) // (len(start) + len(end)), 1)
        return start * depth + item + end * depth

    return make


def _in_long_name(size: int) -> bytes:
    """Wrong members of an object whose own name is long."""
    start = b'{"attributeGroups":{"' + b"K" * (size // 2) + b'":{"attributes":{'
    return _numbered(start, b'"%d":1', b"}}}}")(size)


def _with_long_names(size: int) -> bytes:
    """Wrong members whose own names are long."""
    name = b'"%d' + b"K" * (size // 40) + b'":1'
    return _numbered(b'{"attributeGroups":{', name, b"}}")(size)


def _beside_text(shape: Shape, percent: int) -> Shape:
    """Returns the shape of an object with a long text, of which another shape has a part."""

    def make(size: int) -> bytes:
        part = shape(size * percent // 100)
        text = b"a" * (size - len(part) - len(b',"note":""'))
        return part[:-1] + b',"note":"%b"}' % text

    return make


# What stands in a member that customers do not have.
OPEN, CLOSE = b'{"x":[', b"]}"

SHAPES: dict[str, Shape] = {
    "customers": _many(OPEN, CUSTOMER, CLOSE),
    "spaces": _long(b'{"x":', b" ", b"1}"),
    "a space by each value": _many(OPEN, b" 1 ", CLOSE),
    "a line for each value": _many(OPEN, b"\n        1", CLOSE),
    "numbers": _many(OPEN, b"1", CLOSE),
    "numbers with all parts": _many(OPEN, b"-1.5e+3", CLOSE),
    "numbers of 20 digits": _many(OPEN, b"1" * 20, CLOSE),
    "digits": _long(b'{"x":', b"1", b"}"),
    "digits of a fraction": _long(b'{"x":1.', b"1", b"}"),
    "digits of an exponent": _long(b'{"x":1e', b"0", b"1}"),
    "exponents": _long(b'{"x":1', b"e1", b"}"),
    "zeros": _long(b'{"x":', b"0", b"}"),
    "nulls": _many(OPEN, b"null", CLOSE),
    "booleans": _many(OPEN, b"true", CLOSE),
    "empty texts": _many(OPEN, b'""', CLOSE),
    "one text": _long(b'{"x":"', b"a", b'"}'),
    "one text without an end": _long(b'{"x":"', b"a", b""),
    "one text of two-byte characters": _long(b'{"x":"', "ü".encode(), b'"}'),
    "bytes that are no UTF-8": _long(b'{"x":"', b"\xff", b'"}'),
    "delete characters": _long(b'{"x":"', b"\x7f", b'"}'),
    "escapes": _long(b'{"x":"', b"\\n", b'"}'),
    "escapes of quotes": _long(b'{"x":"', b'\\"', b'"}'),
    "escapes between characters": _long(b'{"x":"', b"\\na", b'"}'),
    "escapes of characters": _long(b'{"x":"', b"\\u00e4", b'"}'),
    "texts of one escape": _many(OPEN, b'"\\n"', CLOSE),
    "empty arrays": _many(OPEN, b"[]", CLOSE),
    "empty objects": _many(OPEN, b"{}", CLOSE),
    "objects of one member": _many(OPEN, b'{"":1}', CLOSE),
    "objects of two members": _many(OPEN, b'{"a":1,"b":1}', CLOSE),
    "arrays in arrays": _many(OPEN, b"[[[[[[[[]]]]]]]]", CLOSE),
    "objects in objects": _many(OPEN, b'{"":{"":{"":{}}}}', CLOSE),
    "deep arrays": _deep(b"[", b"", b"]"),
    "deep objects": _deep(b'{"":', b"1", b"}"),
    "one long name": _long(b'{"', b"a", b'":1}'),
    "one long name of escapes": _long(b'{"x":{"', b"\\n", b'":1}}'),
    "many names": _numbered(b"{", b'"%x":1', b"}"),
    "many names of escapes": _numbered(b'{"x":{', b'"\\n%x":1', b"}}"),
    # LuaJIT's hash takes a few bytes of each name, and these differ in others.
    "many names that collide": _numbered(
        b'{"x":{', b'"' + b"a" * 30 + b"%08x" + b"a" * 60 + b'":1', b"}}"
    ),
    "many groups": _numbered(b'{"attributeGroups":{', b'"%x":{}', b"}}"),
    # As many as a body may have, so that it reaches the transcoder.
    "as many arrays as allowed": _beside_text(_many(OPEN, b"[]", CLOSE), 27),
    "as many numbers as allowed": _beside_text(_many(OPEN, b"1.5", CLOSE), 36),
    "as many names as allowed": _beside_text(_numbered(b"{", b'"%x":1', b"}"), 70),
    "as many groups as allowed": _beside_text(
        _numbered(b'{"attributeGroups":{', b'"%x":{}', b"}}"), 40
    ),
    "as many addresses as allowed": _beside_text(_many(b'{"addresses":[', b"{}", b"]}"), 27),
    "one name many times": _many(b"{", b'"a":1', b"}"),
    "one deep name many times": _many(b'{"":' * 48 + b"{", b'"a":1', b"}" * 49),
    "wrong members": _many(b"{", b'"email":1', b"}"),
    "wrong members with long names": _with_long_names,
    "wrong members with names that are no UTF-8": _numbered(
        b'{"attributeGroups":{', b'"%x' + b"\xff" * 500 + b'":1', b"}}"
    ),
    "wrong members in a long name": _in_long_name,
    "addresses that are null": _many(b'{"addresses":[', b"null", b"]}"),
    "empty addresses": _many(b'{"addresses":[', b"{}", b"]}"),
    "a time of many digits": _long(
        b'{"marketing_preferences_updated_at":"2001-01-01T00:00:00.', b"1", b'x"}'
    ),
    "a state of many digits": _long(b'{"customer_state":"', b"1", b'x"}'),
    "tax exemptions": _many(b'{"taxExemptions":[', b'""', b"]}"),
}

# What uploads can have beside one customer of each of those shapes.
LISTS: dict[str, Shape] = {
    "many customers": _many(b"[", CUSTOMER, b"]"),
    "many nulls": _many(b"[", b"null", b"]"),
    "many empty customers": _many(b"[", b"{}", b"]"),
    "many states": _many(b"[", b'{"customer_state":"1"}', b"]"),
    "many times": _many(
        b"[", b'{"marketing_preferences_updated_at":"2001-01-01T00:00:00.123Z"}', b"]"
    ),
}


def in_list(shape: Shape) -> Shape:
    """Returns the shape of an upload of one customer."""
    return lambda size: b"[" + shape(size - 2) + b"]"
