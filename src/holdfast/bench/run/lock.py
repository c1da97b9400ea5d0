"""One process at a time writes a run's folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from holdfast.bench.machine.verbosity import is_main_process
from holdfast.core.errors import HoldfastError


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds a run's folder, so that no other process of this machine and user writes to it.

    The lock lies among the temporary files and is let go when the process ends, however it ends. Of the processes of
    one distributed run the first holds it.

    Raises:
        HoldfastError: Another process holds it.
    """
    if not is_main_process():
        yield
        return
    user = getattr(os, "getuid", int)()  # where there is none, each user's temporary files are apart
    told = hashlib.sha256(f"{user} {folder.absolute()}".encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"holdfast-{told}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HoldfastError(
            f"{folder} is being written by another process; wait for it, or choose another folder with --name."
        ) from None
    try:
        yield
    finally:
        lock.release()
