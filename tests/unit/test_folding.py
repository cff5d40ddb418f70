"""Names without accents: which become equal, and which stay apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.steps import ANY_TEXT, EXAMPLES
from twc_customer_server.storage.rows import MAX_KEY_BYTES, name_fold, name_key

FOLDED = {
    "Muller": "muller",
    "Müller": "muller",
    "Mu\u0308ller": "muller",
    "MÜLLER": "muller",
    "O'Neil": "o'neil",
    "O\u2019Neil": "o'neil",
    "O\u2018Neil": "o'neil",
    "O\u00b4Neil": "o'neil",
    "O`Neil": "o'neil",
    "O\u02bcNeil": "o'neil",
    "O\uff07Neil": "o'neil",
    "Groß": "gross",
    "GROẞ": "gross",
    "Søren": "soren",
    "Łukasz": "lukasz",
    "Đorđe": "dorde",
    "Þór": "thor",
    "Æsa Œuvre": "aesa oeuvre",
    "İpek": "ipek",
    "Iş\u0131k": "isik",
    "Nguyễn": "nguyen",
    "Anne\u2011Marie": "anne-marie",
    "Anne\u2013Marie": "anne-marie",
    "\uff2b\uff49\uff4e\uff47": "king",
    "Ёлкин": "елкин",
    "Ά\u03bd\u03bd\u03b1": "\u03b1\u03bd\u03bd\u03b1",
    "עִבְרִי": "עברי",
    "مُحَمَّد": "محمد",
}
APART = {
    "letters of kana": ("かく", "がく"),
    "letters with nukta": ("\u0915", "\u0958"),
    "a virama": ("\u0915\u094d\u0937", "\u0915\u0937"),
    "letters of Hangul": ("강", "각"),
    "a dash": ("AnneMarie", "Anne-Marie"),
    "an apostrophe": ("ONeil", "O'Neil"),
    "alphabets": ("Елена", "Elena"),
}


def fold(name: str) -> str:
    """The key of a name without accents."""
    return name_fold(name_key(name))


@pytest.mark.parametrize(("name", "folded"), FOLDED.items(), ids=FOLDED)
def test_folded_names(name: str, folded: str) -> None:
    """Accents, the case of letters and the form of apostrophes and dashes are folded."""
    assert fold(name) == folded


@pytest.mark.parametrize(("one", "other"), APART.values(), ids=APART)
def test_names_apart(one: str, other: str) -> None:
    """Names that differ in more than accents stay apart."""
    assert fold(one) != fold(other)


@EXAMPLES
@given(ANY_TEXT | st.text("aÄ\u0308ßø'\u2019\u0301\uac15", max_size=20))
def test_any_name(name: str) -> None:
    """A folded name is as short as a key, empty only for no name, and folds to itself."""
    folded = fold(name)
    assert len(folded.encode()) <= MAX_KEY_BYTES
    assert bool(folded) == bool(name_key(name))
    assert name_fold(folded) == folded
    assert "\x01" not in folded or "\x01" in name_key(name)
