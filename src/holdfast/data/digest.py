"""A digest of content, the same in any file, in any format and under any name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def digest_of(contents: Iterable[str]) -> str:
    """Returns 16 hexadecimal digits of the hash of `contents`, joined.

    The digest ignores case, white space and roles: a text has the same digest in its own file and as an answer without
    a question. `holdfast.data.holdout` compares rows by the same rule.
    """
    text = " ".join(" ".join(contents).casefold().split())
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
