"""A lock on the folder of a run, so that one process at a time writes it."""

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
    """Locks the folder of a run against other processes of this machine and user.

    The lock lies among the temporary files, and the system releases it when the process ends. In a distributed run the
    main process holds it.

    Raises:
        HoldfastError: Another process holds the lock.
    """
    if not is_main_process():
        yield
        return
    user = getattr(os, "getuid", int)()  # systems without user ids have a temporary folder for each user
    digest = hashlib.sha256(f"{user} {folder.absolute()}".encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"holdfast-{digest}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HoldfastError(
            f"{folder} is in use by another process; wait for it, or choose another folder with --out."
        ) from None
    try:
        yield
    finally:
        lock.release()
