"""What it takes to begin: `import holdfast`, `--help`, and `train` up to its first line, against fixed times.

    python benchmarks/start.py

Each is a process of its own; its processor seconds (user and system, the best of three) are divided by the time that it
may take. The limit of `train` is what importing torch and the Trainer of transformers takes, of the others the start
of Python.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from frame import Figure, table

GOALS = {"import holdfast": 0.3, "holdfast --help": 0.2, "holdfast train, to its first line": 3.0}
LOADED = "holdfast train, to its second line, libraries loaded"


def spent(words: Sequence[str], lines: int = 0, times: int = 3) -> float:
    """Returns the processor seconds of a command, the least of some, up to its end or to one of its first lines."""
    found = []
    for _ in range(times):
        if lines:
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
                assert process.stdout is not None
                line = [process.stdout.readline() for _ in range(lines)][-1]
                stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
                fields = stat.rpartition(")")[2].split()
                found.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
                process.terminate()
            if line.startswith((b"usage", b"holdfast:", b"Traceback")) or not line:
                sys.exit(f"{' '.join(words)}: {line.decode()}")
            continue
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def figures() -> list[Figure]:
    """Returns the lines of starting."""
    python = [sys.executable]
    with tempfile.TemporaryDirectory() as folder:
        train = [
            *python,
            "-m",
            "holdfast",
            "train",
            "--model",
            "ground:base",
            "--data",
            "ground:people",
            "--recipe",
            "LoRA()",
        ]
        train += ["--out", f"{folder}/run"]
        taken = {
            "import holdfast": spent([*python, "-c", "import holdfast"]),
            "holdfast --help": spent([*python, "-m", "holdfast", "--help"]),
            "holdfast train, to its first line": spent(train, lines=1, times=2),
            LOADED: spent(train, lines=2, times=2),
        }
    bare = spent([*python, "-c", "pass"])
    heavy = spent([*python, "-c", "import torch, transformers.trainer"], times=2)
    lines = [Figure(name, f"{goal:g} s", taken[name] / goal, 1.0, bare / goal) for name, goal in GOALS.items()]
    return [*lines, Figure(LOADED, "3 s", taken[LOADED] / 3, None, heavy / 3)]


if __name__ == "__main__":
    print("\n".join(table(figures())))
