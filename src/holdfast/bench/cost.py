"""What a piece of a run costs: seconds by the clock and of the processor, and the most memory that it held."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any, Self

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclasses.dataclass
class Cost:
    """The cost of what lies between `begin` and `end`.

    Attributes:
        device: "cuda" where a GPU did the work, else "cpu".
        seconds: By the clock.
        cpu: Seconds of this process's processors.
        held: MiB held at the beginning: by tensors on the GPU, or by the process; None where that is not to be had.
        most: MiB held at most; None likewise.
    """

    device: str
    seconds: float
    cpu: float
    held: float | None
    most: float | None = None

    @classmethod
    def begin(cls) -> Self:
        """Begins to count; what was held at most is forgotten."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            return cls("cuda", time.monotonic(), time.process_time(), torch.cuda.memory_allocated() / 2**20)
        with contextlib.suppress(OSError):
            _RESET.write_text("5", encoding="ascii")
        return cls("cpu", time.monotonic(), time.process_time(), _of_process("VmRSS"))

    def end(self) -> Self:
        """Ends the counting, and returns it."""
        on_gpu = self.device == "cuda"
        self.most = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else _of_process("VmHWM")
        self.seconds, self.cpu = time.monotonic() - self.seconds, time.process_time() - self.cpu
        return self

    def plus(self, other: Self) -> Self:
        """Returns the cost of both, one after the other."""
        most = None if self.most is None or other.most is None else max(self.most, other.most)
        seconds, cpu = self.seconds + other.seconds, self.cpu + other.cpu
        return dataclasses.replace(self, seconds=seconds, cpu=cpu, most=most)

    def to_dict(self) -> dict[str, Any]:
        """Returns what result.json says of it: without memory where that is not to be had."""
        found: dict[str, Any] = {"device": self.device, "seconds": self.seconds, "cpu": self.cpu}
        return found if self.held is None or self.most is None else {**found, "memory": self.most, "before": self.held}


def _of_process(field: str) -> float | None:
    """Returns a line of what the system says of this process, in MiB; None where it says nothing."""
    with contextlib.suppress(OSError, ValueError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    return None
