"""Spellings are what they are said to be: unlike each other, valid, and the same to the service."""

import itertools
import random

import pytest

from tests.soak import spellings
from tests.soak.races import FIELDS, Attempt
from tests.support.steps import settled
from twc_customer_server.storage.rows import unique_keys


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("number", range(len(spellings.EMAILS)))
def test_spellings(field: str, number: int) -> None:
    """A field's spellings all make valid customers, with one key."""
    name, spell = FIELDS[field]
    found = [*itertools.islice(spell(number, random.Random(number)), 500)]
    customers = [Attempt(field, it, "ada@example.com").message for it in found]

    assert len({unique_keys(settled(it, "DE"))[name] for it in customers}) == 1
    assert len(set(found)) == (1 if spell is spellings.of_reference else 500)
