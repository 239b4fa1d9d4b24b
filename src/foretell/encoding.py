"""What text is written in, told from bytes that are not UTF-8."""

from __future__ import annotations

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_REMEDY = "save the file as UTF-8"
IS_UTF_16 = f"UTF-16, not UTF-8; {_REMEDY}, as iconv -f UTF-16 -t UTF-8 does"


def not_utf8(error: UnicodeDecodeError, place: str, *, line: int | None = None) -> str:
    """Say where bytes are not UTF-8, what they look like and what to do.

    `error.object` holds the text from its first line, or the one `line` alone whose number is given.
    """
    content = bytes(error.object)
    number = line if line is not None else content.count(b"\n", 0, error.start) + 1
    if content.startswith(UTF_16):
        return f"{place} is {IS_UTF_16}"
    if content.count(0) > len(content) // 100:
        return f"line {number} of {place} is not UTF-8 but binary; give a file of text"
    if error.reason == "unexpected end of data" and error.end >= len(content):
        return f"line {number} of {place} is not UTF-8: it ends within a character; it may be cut off: write it anew"
    told = f"line {number} of {place} is not UTF-8 (byte 0x{content[error.start]:02X})"
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return f"{told} but in some other encoding; find out which, and {_REMEDY}"
    return f"{told}: it looks like Windows-1252 or Latin-1; {_REMEDY}, as iconv -f WINDOWS-1252 -t UTF-8 does"
