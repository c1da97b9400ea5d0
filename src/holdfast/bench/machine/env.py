"""The environment of a run: versions, machine, revision. Every run folder holds it as env.json."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "holdfast",
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
)


def environment() -> dict[str, Any]:
    """Returns versions, platform, processors, threads and revision, as plain JSON values.

    This imports nothing heavy: versions come from the metadata of the installed packages, and values that only torch
    knows (threads, accelerators) are present only if torch is already loaded. Unknown values are absent.
    """
    values: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ}
    if threads:
        values["threads_asked_for"] = threads
    torch = sys.modules.get("torch")
    if torch is not None:
        values["torch_threads"] = torch.get_num_threads()
        values["accelerators"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    revision = _revision()
    if revision is not None:
        values["revision"] = revision
    return values


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Returns the git revision of this package's source, with "+" if files differ; None outside a checkout."""
    here = Path(__file__).resolve().parents[1]
    try:
        tracked = _git(here, "ls-files", "--error-unmatch", "__init__.py")
        if not tracked:
            return None
        revision = _git(here, "rev-parse", "HEAD")
        return revision + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True)
    return result.stdout.strip()
