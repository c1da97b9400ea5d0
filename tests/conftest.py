"""What all tests share: no network, one thread, and the folder of shared data where there is one."""

from __future__ import annotations

import collections
import gc
import os
import signal
import sys
import types
import zlib
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile(
    "holdfast", deadline=None
)  # how long an example takes says more about the machine than the code
settings.load_profile("holdfast")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup, which a run of its own respects
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow, in a matrix of many cases, all but one case in so many: those that the hash of the name picks."""
    for item in items:
        matrix = item.get_closest_marker("matrix")
        if matrix and hasattr(item, "callspec") and zlib.crc32(item.nodeid.encode()) % matrix.args[0]:
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Takes what is imported out of the garbage collector, and the collector out of the start of a trainer.

    Accelerate collects at each start to free the memory of a GPU, which takes as long as a few steps of a tiny model.
    """
    gc.collect()
    gc.freeze()
    if memory := sys.modules.get("accelerate.utils.memory"):
        memory.gc = types.SimpleNamespace(collect=lambda: 0)


_before: collections.Counter[str] = collections.Counter()


def pytest_runtest_logstart(nodeid: str) -> None:
    """Freezes again at the start of a file and after every 50 tests of it: much is imported late, fixtures stay."""
    file = nodeid.partition("::")[0]
    if _before[file] % 50 == 0:
        gc.collect()
        gc.freeze()
    _before[file] += 1


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder `shared/data` beside the repository; tests that ask for it are skipped where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no folder shared/data beside the repository")
    return folder
