"""Lines of text files with columns: judgments (qrels), TREC runs, and triples; plain or compressed with gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from holdfast.core.errors import HoldfastError


def lines_of(path: Path, label: str = "") -> Iterator[tuple[str, str]]:
    """Yields the origin ("qrels.tsv:7") and the text of each line that is not blank.

    Raises:
        HoldfastError: The file cannot be read, is no complete gzip file, or a line is not UTF-8; names it.
    """
    label = label or path.name
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise HoldfastError(f"{label}:{number}: is not UTF-8; convert the file.") from error
                if text.strip():
                    yield f"{label}:{number}", text
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise HoldfastError(f"{label}: not a complete gzip file ({error}); compress or download it again.") from error
    except OSError as error:
        raise HoldfastError(f"{label}: cannot be read ({error.strerror or error}); check its permissions.") from error
