"""What a bug report needs: versions, machine, accelerators, and the variables that change how libraries behave."""

from __future__ import annotations

import os
from collections.abc import Iterator

VARIABLES = (
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HOLDFAST_SUITES",
    "HOLDFAST_WRITTEN",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TOKENIZERS_PARALLELISM",
)


def lines() -> Iterator[str]:
    """Yields a line for each fact; it imports torch, which alone knows accelerators and threads."""
    import torch

    from holdfast.bench.machine.env import environment

    values = environment()
    packages = values.pop("packages")
    for name, version in packages.items():
        if name != "holdfast":
            yield f"{name} {version}"
    for name, value in values.items():
        yield f"{name.replace('_', ' ')}: {_said(value)}"
    yield f"cuda: {torch.version.cuda or 'not built in'}"
    for name in VARIABLES:
        if name in os.environ:
            yield f"{name}={os.environ[name]}"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={entry}" for key, entry in value.items()) or "none"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
