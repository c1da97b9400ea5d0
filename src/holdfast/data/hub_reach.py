"""Whether the Hugging Face hub answers: asked once, so that a hub out of reach costs seconds, not half a minute a file.

The library of the hub asks for every file on its own, and asks five times more if nobody answers.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

NO_NETWORK = "(it is not in the cache, and there is no network); check the name and network, or give a folder"
REMEMBERED = 60.0
"""Seconds for which a hub that did not answer is not asked again."""
CONFIGS = ("config.json", "adapter_config.json")
_silent_until: dict[str, float] = {}
"""By the address of a hub: until when, on the monotonic clock, it is not asked again; negative once it answered."""
_QUICK = 2.0
"""Seconds within which a failure is worth a second try: a refused connection, unlike a silent one."""


def is_hub_name(name: str) -> bool:
    """Returns whether a model's name can only be one on the hub: two words with a slash, and no folder."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).is_dir()


@contextlib.contextmanager
def without_waiting(name: str) -> Iterator[None]:
    """Makes the loading of a model or a file read the hub's cache alone, for its time, if the hub does not answer.

    It changes nothing for a folder, for a hub that answers, and where the user chose to work offline.

    Args:
        name: Folder, or name on the hub.
    """
    if not is_hub_name(name):
        yield
        return
    from huggingface_hub import constants  # here, because only names on the hub need it

    if constants.HF_HUB_OFFLINE or _answers(name):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def is_out_of_reach(name: str) -> bool:
    """Returns whether a model is on the hub, the hub does not answer, and its cache has no config of the model.

    It is False where the user chose to work offline: that has a message of its own.

    Args:
        name: Folder, or name on the hub.
    """
    if not is_hub_name(name):
        return False
    from huggingface_hub import constants, try_to_load_from_cache

    if constants.HF_HUB_OFFLINE or _answers(name):
        return False
    return not any(isinstance(try_to_load_from_cache(name, file), str) for file in CONFIGS)


def _answers(name: str) -> bool:
    """Returns whether the hub answers, in any way; asks for a file of the model if that is not known."""
    from huggingface_hub import constants

    address = constants.ENDPOINT
    until = _silent_until.get(address)
    if until is None or 0 < until <= time.monotonic():
        until = -1.0 if _asks(f"{address}/{name}/resolve/main/config.json") else time.monotonic() + REMEMBERED
        _silent_until[address] = until
    return until < 0


def _asks(url: str) -> bool:
    """Returns whether an address answers within the time that the user gives metadata (`HF_HUB_ETAG_TIMEOUT`)."""
    from huggingface_hub import constants, get_session

    for last in (False, True):
        start = time.monotonic()
        try:
            get_session().head(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except Exception:  # the errors are those of httpx or of its successor, by the version of the library
            if last or time.monotonic() - start > _QUICK:
                return False
            time.sleep(1.0)
        else:
            return True
    return False
