"""Context manager that limits the loggers of other packages to errors."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def errors_of(names: Iterable[str]) -> Iterator[None]:
    """Sets the loggers of these names to the level ERROR for a block, and restores their levels."""
    levels = {name: logging.getLogger(name).level for name in names}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
