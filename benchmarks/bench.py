"""All benchmarks of speed in one table: figure, peer, ratio, limit, goal, met or not.

    make bench                                   (about ten minutes on one idle core)
    python benchmarks/bench.py --parts edits start --out ""

Each part is a script of its own, which has the same lines at longer shapes; here it runs in a process of its own at
short ones. A ratio is ours by the peer's, of processor time unless it says memory: lower is better. The limit is what
arithmetic alone would leave. The table replaces that of docs/performance.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from frame import Figure, table

PARTS = ("base_cache", "penalty_term", "writing", "probes", "edits", "start", "growths")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
MARK = "bench"


def measured(part: str) -> list[Figure]:
    """Returns the lines of a part, measured in a process of its own with one thread."""
    env = dict(os.environ, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    done = subprocess.run([sys.executable, __file__, "--here", part], stdout=subprocess.PIPE, text=True, env=env)
    if done.returncode:
        sys.exit(f"benchmarks/{part}.py failed with exit code {done.returncode}; its message is above.")
    return [Figure(**line) for line in json.loads(done.stdout.splitlines()[-1])]


def here(part: str) -> None:
    """Measures a part in this process, and prints its lines as JSON."""
    import torch

    torch.set_num_threads(1)
    print(json.dumps([dataclasses.asdict(line) for line in importlib.import_module(part).figures()]))


def main() -> int:
    """Measures the parts, prints the table and writes it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", default=str(PAGE), help="page whose table is replaced; empty for none")
    parser.add_argument("--results", help="file of what is measured, so that an interrupted run continues")
    parser.add_argument("--here", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        here(given.here)
        return 0
    path = None if given.results is None else Path(given.results)
    found = {} if path is None or not path.exists() else json.loads(path.read_text(encoding="utf-8"))
    for number, part in enumerate(given.parts):
        if part in found:
            continue
        began = time.monotonic()
        print(f"{number + 1} of {len(given.parts)}: {part} ...", file=sys.stderr, flush=True)
        found[part] = [dataclasses.asdict(line) for line in measured(part)]
        if path is not None:
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    figures = [Figure(**line) for part in given.parts for line in found[part]]
    lines = table(figures)
    print("\n".join(lines))
    judged = [figure for figure in figures if figure.goal is not None]
    met = f"{sum(figure.met == 'yes' for figure in judged)} of {len(judged)} goals are met."
    print(met)
    if given.out:
        from base_cache import write

        write(Path(given.out), MARK, [*lines, "", met], f"{', '.join(given.parts)}; float32")
    return 0


if __name__ == "__main__":
    sys.exit(main())
