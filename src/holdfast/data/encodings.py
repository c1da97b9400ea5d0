"""Decodes bytes to text: UTF-8, or UTF-16 with a byte order mark. The error names any other kind it recognises."""

from __future__ import annotations

from holdfast.core.errors import HoldfastError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_OTHER = {
    b"PAR1": "is a Parquet file; name it .parquet",
    b"\x1f\x8b": "is compressed by gzip; add .gz to its name",
    b"\x28\xb5\x2f\xfd": "is compressed by Zstandard; unpack it first (unzstd FILE)",
    b"BZh": "is compressed by bzip2; unpack it first (bunzip2 FILE)",
    b"\xfd7zXZ": "is compressed by xz; unpack it first (unxz FILE)",
    b"PK\x03\x04": "is a zip archive or a spreadsheet; unpack it, or save the sheet as CSV",
    b"ARROW1": "is an Arrow file; name the folder that datasets.save_to_disk wrote, or save it as Parquet",
    b"version https://git-lfs": "is a pointer of Git LFS and not the data; fetch it (git lfs pull)",
}


def check_kind(head: bytes, label: str, expected: bytes = b"") -> None:
    """Refuses a file whose first bytes are those of another kind than its ending.

    Args:
        head: The first bytes of the file.
        label: The name of the file in messages.
        expected: The first bytes that the ending calls for.

    Raises:
        HoldfastError: The file is of another kind; the message names the kind and what to do.
    """
    for magic, what in _OTHER.items():
        if head.startswith(magic) and magic != expected:
            raise HoldfastError(f"{label}: {what}.")


def is_utf16(head: bytes) -> bool:
    """Returns whether bytes begin with a byte order mark of UTF-16."""
    return head[:2] in _UTF16


def decoded(data: bytes, label: str, notes: list[str] | None = None, *, start: int = 0) -> str:
    """Returns the text that bytes hold.

    Args:
        data: The bytes of a file, or of a part of it.
        label: The place of the bytes in messages.
        notes: Receives a sentence if the bytes are UTF-16.
        start: Offset of the bytes in the file.

    Raises:
        HoldfastError: The bytes are neither UTF-8 nor UTF-16 with a byte order mark; names the byte.
    """
    if start == 0 and is_utf16(data):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise HoldfastError(f"{label}: not UTF-16 at byte {error.start}; save the file as UTF-8.") from error
        if notes is not None:
            notes.append(f"{label}: is read as UTF-16.")
        return text
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        guess = " (Windows-1252 or Latin-1, it seems: iconv -f WINDOWS-1252 -t UTF-8)" if _is_latin(data, error) else ""
        raise HoldfastError(
            f"{label}: not UTF-8 at byte {start + error.start} (0x{byte:02x}); save the file as UTF-8{guess}."
        ) from error


def _is_latin(data: bytes, error: UnicodeDecodeError) -> bool:
    """Returns whether the wrong byte looks like an accented letter or a quotation mark between ASCII bytes."""
    byte, around = data[error.start], data[max(0, error.start - 1) : error.start + 2]
    plain = sum(other < 0x80 and other != 0 for other in around)
    return byte >= 0x80 and byte not in (0xFE, 0xFF) and plain >= len(around) - 1
