"""Digests of the contents of a model's files, and of others: two copies of a model have the same one.

Weights are large, and a training changes them nearly everywhere, so that a few blocks of each file of weights stand for
it; other files count whole. Times do not count: a model that is downloaded again is the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from holdfast.bench.given.model_files import LOADED, WORDS, base_of, folder_or_name, is_adapter
from holdfast.core.errors import HoldfastError

BLOCK, BLOCKS = 1 << 14, 64
"""Bytes of a block, and most blocks of a file of weights that are read."""
_WEIGHTS = (".safetensors", ".bin")


def model_digest(name: str) -> str:
    """Returns a digest of a model: of its files, or of its name on a hub."""
    return hashlib.sha256((model_content(name) or name).encode()).hexdigest()[:16]


def model_content(name: str) -> str | None:
    """Returns a digest of what a model is loaded from, and its base if it is an adapter; None for a name on a hub."""
    folder = Path(folder_or_name(name)).expanduser()
    if not folder.is_dir():
        return None
    files = sorted(path for path in folder.iterdir() if path.is_file())
    own = content_of(path for path in files if path.name.endswith(LOADED) or path.name in WORDS)
    try:
        return f"{own} {model_content(base_of(folder))}" if is_adapter(folder) else own
    except HoldfastError:  # it names no base, which loading it says
        return own


def content_of(files: Iterable[Path]) -> str:
    """Returns a digest of the names, sizes and contents of files; of weights, some evenly spaced blocks count."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        for block in _blocks(path):
            digest.update(block)
    return digest.hexdigest()[:16]


def _blocks(path: Path) -> Iterator[bytes]:
    """Yields the blocks of a file that count: of large weights the first, the last and some between, else all."""
    size = path.stat().st_size
    last = max(0, size - BLOCK)
    steps = -(-last // BLOCK)
    if path.suffix in _WEIGHTS:
        steps = min(BLOCKS - 1, steps)
    with path.open("rb") as file:
        for number in range(steps + 1):
            file.seek(last * number // max(1, steps))
            yield file.read(BLOCK)
