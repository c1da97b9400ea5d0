"""What tells one content from another, whatever file it stands in, in which form, and under which name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def digest_of(contents: Iterable[str]) -> str:
    """Returns 16 hexadecimal digits of the hash of some strings, one behind the other.

    Case and white space do not count, nor who says what: a text is the same in a file of its own and as an answer that
    follows nothing. So `holdfast.data.holdout` tells rows apart.
    """
    text = " ".join(" ".join(contents).casefold().split())
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
