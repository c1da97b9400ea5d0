"""The memory that is free for a process: on the GPU, or in the machine under the limits of its container."""

from __future__ import annotations

from pathlib import Path

import torch


def free_memory() -> tuple[int, str]:
    """Returns the free bytes for a process, and where: on the GPU, or in memory under the limits of the container."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0]), "on the GPU"
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, int(Path(limit).read_text(encoding="ascii")) - int(Path(used).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no limit ("max")
            continue
    return max(free, 0), "in memory"
