"""What a base wrote in earlier runs: examples in a folder that a variable names, by the digest of the model."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.params import sums_of
from holdfast.core.rows import to_examples, to_tensors
from holdfast.core.run import Run

logger = logging.getLogger("holdfast")

FOLDER = "HOLDFAST_WRITTEN"
"""Variable that names the folder; without it nothing is kept beyond a run."""


def written_once(run: Run, asked: object, make: Callable[[], Sequence[Example]]) -> Sequence[Example]:
    """Returns the examples of `make`, or those that an earlier run has kept of the same model and the same wish.

    The file's name is a digest of all weights, the configuration, the tokenizer and `asked`, so a change of any of them
    writes anew. A log line names the file in both cases.

    What is read has no origin.

    Args:
        run: The run, for its model and tokenizer.
        asked: What else decides the examples; anything with a `repr`.
        make: Writes the examples.

    Raises:
        HoldfastError: The folder cannot be written, or a file in it is damaged.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return make()
    path = Path(folder) / f"{_digest(run, asked)}.safetensors"
    if path.exists():
        before = _read(path)
        logger.info("The base has written these %d old examples before; they are read from %s.", len(before), path)
        return before
    examples = make()
    apart = path.with_suffix(f".{os.getpid()}.part")  # another process may write the same
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(to_tensors(examples), apart)
        os.replace(apart, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise HoldfastError(
            f"{FOLDER}={folder}: old examples cannot be kept there ({error}); name another folder, or unset the"
            " variable."
        ) from error
    logger.info("The %d old examples that the base wrote are kept for later runs in %s.", len(examples), path)
    return examples


def _read(path: Path) -> list[Example]:
    try:
        return to_examples(safetensors.torch.load_file(path))
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise HoldfastError(f"{path}: holds no old examples ({type(error).__name__}); delete the file.") from error


def _digest(run: Run, asked: object) -> str:
    config: Any = getattr(run.model, "config", None)
    about = config.to_dict() if hasattr(config, "to_dict") else {}
    about = {name: value for name, value in about.items() if name not in ("use_cache", "_name_or_path")}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    backend: Any = getattr(run.tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else repr(run.tokenizer)
    digest.update(repr((asked, getattr(run.tokenizer, "chat_template", None), words)).encode())
    for name, tensor in (*run.model.named_parameters(), *run.model.named_buffers()):
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape), *sums_of(tensor))).encode())
    return digest.hexdigest()[:32]
