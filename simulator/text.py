"""Text files of others, and names for others to read.

Programs write UTF-8 with and without a byte order mark, PowerShell UTF-16, and lines end in LF or CRLF.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

WIDE_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
"""Byte order marks of encodings with more than one byte a letter; the longer come first, since they begin alike."""


def decode(raw: bytes, errors: str = "strict") -> str:
    """Text by its byte order mark, and as UTF-8 without one; line ends are kept. Raises UnicodeDecodeError."""
    for mark, encoding in WIDE_MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, errors)
    return raw.decode("utf-8-sig", errors)


def read_text(path: Path) -> str:
    """A whole file, `decode`d, with LF for line ends. Raises OSError and UnicodeDecodeError."""
    return decode(path.read_bytes()).replace("\r\n", "\n")


def raw_lines(path: Path, longest: int) -> Iterator[bytes]:
    """The lines of a file as UTF-8, ends included and without a byte order mark, in memory that does not grow.

    A line of more than `longest` bytes comes in part, without its end, and is the last. Files in UTF-16 or UTF-32 are
    read whole. Raises OSError.
    """
    with path.open("rb") as opened:
        file: IO[bytes] = opened
        start = file.read(len(codecs.BOM_UTF32_LE))
        if any(start.startswith(mark) for mark, _ in WIDE_MARKS):
            file = io.BytesIO(decode(start + file.read(), "replace").encode("utf-8", "replace"))
        else:
            file.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
        while raw := file.readline(longest + 1):
            yield raw
            if len(raw) > longest:
                return


def printable(text: object) -> str:
    """`text` with escapes for what is no character, such as the bytes of a file's name that are not UTF-8."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")
