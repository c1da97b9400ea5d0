"""Digests of the contents of a model's files: two copies of a model have the same one.

Weights are large, so that a few blocks of each file stand for it. Times do not count: a model that is downloaded again
is the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from holdfast.bench.given.model_files import TOKENIZER_FILES, base_of, folder_or_name, is_adapter, weight_files
from holdfast.core.errors import HoldfastError

BLOCK, BLOCKS = 1 << 14, 64
"""Bytes of a block, and most blocks of a file that are read."""
_OF_MODEL = ("config.json", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", *TOKENIZER_FILES)


def model_digest(name: str) -> str:
    """Returns a digest of a model: of its files, or of its name on a hub."""
    return hashlib.sha256((model_content(name) or name).encode()).hexdigest()[:16]


def model_content(name: str) -> str | None:
    """Returns a digest of a model's files, and of those of its base if it is an adapter; None for a name on a hub."""
    folder = Path(folder_or_name(name)).expanduser()
    if not folder.is_dir():
        return None
    files = [*weight_files(folder), *(path for file in _OF_MODEL if (path := folder / file).exists())]
    own = content_of(sorted(set(files)))
    try:
        return f"{own} {model_content(base_of(folder))}" if is_adapter(folder) else own
    except HoldfastError:  # it names no base, which loading it says
        return own


def content_of(files: Iterable[Path]) -> str:
    """Returns a digest of the names, sizes and some evenly spaced blocks of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        for block in _blocks(path):
            digest.update(block)
    return digest.hexdigest()[:16]


def _blocks(path: Path) -> Iterator[bytes]:
    """Yields the blocks of a file that count: all of a small one, else the first, the last, and some between."""
    size = path.stat().st_size
    last = max(0, size - BLOCK)
    steps = min(BLOCKS - 1, -(-last // BLOCK))
    with path.open("rb") as file:
        for number in range(steps + 1):
            file.seek(last * number // max(1, steps))
            yield file.read(BLOCK)
