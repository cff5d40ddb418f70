"""Entity tags: when they differ, and what If-Match and If-None-Match say of them."""

import re

import pytest

from twc_customer_server.api.selectors import etag, matches, require_match
from twc_customer_server.errors import EtagMismatch

TAG = etag(b"ada")

# Conditions, and whether they name the tag.
CONDITIONS = {
    TAG: True,
    f"  {TAG} ": True,
    f"W/{TAG}": True,
    f'"other", {TAG}': True,
    f'"other",W/{TAG},"more"': True,
    "*": True,
    " * ": True,
    '"*"': False,
    '"other"': False,
    'W/"other"': False,
    '"one", "two"': False,
    TAG.strip('"'): False,
    TAG.upper(): False,
    f'"x{TAG[1:]}': False,
    '""': False,
    "": False,
    "null": False,
}


def test_syntax_of_tag() -> None:
    """A tag is a quoted text of characters that every client takes."""
    assert re.fullmatch(r'"[0-9a-f]{24}"', TAG)


def test_tags_of_different_customers() -> None:
    """The same bytes have the same tag, and others another."""
    assert etag(b"ada") == TAG
    assert len({etag(b"%d" % number) for number in range(10_000)}) == 10_000


@pytest.mark.parametrize(("condition", "names"), CONDITIONS.items())
def test_tag_in_condition(condition: str, *, names: bool) -> None:
    """A condition names a tag by itself, in a list, as a weak tag, or by a star for any."""
    assert matches(condition, TAG) is names


@pytest.mark.parametrize(("condition", "names"), CONDITIONS.items())
def test_change_on_condition(condition: str, *, names: bool) -> None:
    """A change passes if the condition names the tag; an empty one names none."""
    if names:
        require_match(condition, b"ada")
    else:
        with pytest.raises(EtagMismatch, match="was changed since it was read"):
            require_match(condition, b"ada")
