"""Names what a file is in, if that is not text in UTF-8, and recodes other text to UTF-8."""

import codecs
import io
from typing import BinaryIO

from twc_customer_client.command_errors import InputFileError

_UTF8 = "utf-8"
_CHUNK_BYTES = 64 * 1024

# The longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: _UTF8,
}

_WORKBOOK = "save it as CSV in the spreadsheet"
_COMPRESSED = "unpack it first"
_EXPORT = "export CSV or JSON instead"
_SIGNATURES = {
    b"\x1f\x8b": ("compressed by gzip", _COMPRESSED),
    b"BZh": ("compressed by bzip2", _COMPRESSED),
    b"\xfd7zXZ": ("compressed by xz", _COMPRESSED),
    b"\x28\xb5\x2f\xfd": ("compressed by Zstandard", _COMPRESSED),
    b"7z\xbc\xaf": ("a 7-Zip archive", _COMPRESSED),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook (.xls)", _WORKBOOK),
    b"%PDF": ("a PDF", _EXPORT),
    b"<": ("HTML or XML", _EXPORT),
}
_ZIP = b"PK\x03\x04"
_ZIPPED = {
    b"opendocument.spreadsheet": ("an OpenDocument spreadsheet (.ods)", _WORKBOOK),
    b"[Content_Types].xml": ("an Excel workbook (.xlsx)", _WORKBOOK),
    b"docProps/": ("an Excel workbook (.xlsx)", _WORKBOOK),
    b"xl/": ("an Excel workbook (.xlsx)", _WORKBOOK),
}

# Signs of Windows-1252 that names and addresses are written with, beside letters.
_WESTERN_SIGNS = frozenset("€‚„…‘’“”•–—™«»°§®©¡¿ºª·´\xa0")  # noqa: RUF001 - these very characters

# Stands for bytes that are not text: it cannot be encoded in UTF-8 either, so
# that the line with them is found like any other that is not UTF-8.
_UNDECODABLE = "\udcff"
codecs.register_error("twc.mark", lambda error: (_UNDECODABLE, getattr(error, "end")))  # noqa: B009


def canonical_encoding(name: str) -> str:
    """Returns Python's name of an encoding of text, with or without a mark. Raises LookupError."""
    try:
        "a".encode(name)
    except UnicodeError:
        raise LookupError(name) from None
    return codecs.lookup(name).name.removesuffix("-sig")


def check_is_text(start: bytes) -> None:
    """Raises InputFileError if a file begins like a workbook, an archive or the like."""
    start = start.removeprefix(codecs.BOM_UTF8).lstrip()
    kinds = _ZIPPED if start.startswith(_ZIP) else _SIGNATURES
    for signature, (kind, advice) in kinds.items():
        if signature in start if kinds is _ZIPPED else start.startswith(signature):
            raise InputFileError("", f"the file is {kind}, not CSV or JSON: {advice}")
    if start.startswith(_ZIP):
        raise InputFileError("", f"the file is a ZIP archive, not CSV or JSON: {_COMPRESSED}")


def as_utf8(file: io.BufferedReader, encoding: str) -> io.BufferedReader:
    """Returns a file's text in UTF-8, without checking it. Raises InputFileError.

    `encoding` is a canonical name. The error tells which encoding or format the
    file has, if its beginning shows another one.
    """
    start = file.peek()
    check_is_text(start)
    found = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    found = found or _zeros_of_utf16(start)
    if found and _family(found) != _family(encoding):
        is_utf8 = found == _UTF8
        advice = "leave out --encoding" if is_utf8 else f"use --encoding {found}, or save as UTF-8"
        raise InputFileError("", f"the file is in {found.upper()}: {advice}")
    if start and not found and encoding in ("utf-16", "utf-32"):
        raise InputFileError("", f"the file is not in {encoding.upper()}: leave out --encoding")
    if _family(encoding) == _UTF8:
        return file
    return io.BufferedReader(_Recoded(file, found or encoding), _CHUNK_BYTES)


def guess_encoding(line: bytes) -> str:
    """Returns the encoding that a line which is not UTF-8 seems to be in, or `""`."""
    try:
        text = line.decode("windows-1252")
    except UnicodeDecodeError:
        return ""
    signs = [character for character in text if not character.isascii()]
    is_western = all(character.isalpha() or character in _WESTERN_SIGNS for character in signs)
    return "windows-1252" if is_western else ""


def _family(encoding: str) -> str:
    """Returns an encoding's name without its byte order."""
    return "-".join(encoding.split("-")[:2])


def _zeros_of_utf16(start: bytes) -> str | None:
    """Returns the encoding whose zero bytes a text without a byte order mark has."""
    half = len(start) // 2
    for name, zeros in (("utf-16-le", start[1::2].count(0)), ("utf-16-be", start[::2].count(0))):
        if half and zeros > half // 2:
            return name
    return None


class _Recoded(io.RawIOBase):
    """Reads a file's text in UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)("twc.mark")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # io gives a view
        is_end = False
        while not (self._ready or is_end):
            chunk = self._file.read(_CHUNK_BYTES)
            is_end = not chunk
            text = self._decoder.decode(chunk, final=is_end)
            self._ready = text.encode(errors="surrogatepass")
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
