"""The cost of a part of a run: wall time, CPU time and peak memory."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Self

import torch

from holdfast.bench.run.record import Cost

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclasses.dataclass(frozen=True)
class Meter:
    """Measures the cost of the code between `begin` and `end`; the fields hold the values at `begin`."""

    on_gpu: bool
    clock_seconds: float
    cpu_seconds: float
    memory_mib: float | None

    @classmethod
    def begin(cls) -> Self:
        """Starts the measurement, and resets the peak memory."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            return cls(True, time.monotonic(), time.process_time(), torch.cuda.memory_allocated() / 2**20)
        with contextlib.suppress(OSError):
            _RESET.write_text("5", encoding="ascii")
        return cls(False, time.monotonic(), time.process_time(), _of_process("VmRSS"))

    def end(self) -> Cost:
        """Returns the cost since `begin`; its memory is None if the system does not report it."""
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.on_gpu else _of_process("VmHWM")
        known = peak is not None and self.memory_mib is not None
        return Cost(
            device="cuda" if self.on_gpu else "cpu",
            seconds=time.monotonic() - self.clock_seconds,
            cpu_seconds=time.process_time() - self.cpu_seconds,
            memory_mib=peak if known else None,
            memory_before_mib=self.memory_mib if known else None,
        )


def _of_process(field: str) -> float | None:
    """Returns a field of /proc/self/status, in MiB; None if it is missing."""
    with contextlib.suppress(OSError, ValueError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    return None
