"""What does plain fine-tuning forget? Eight tasks of the proving ground, each at three learning rates.

The best rate of a task is chosen on its validation questions; what was learned is stated on its test, what was lost on
proof items of each suite. The recipe `held` is run the same way, and the two are set side by side.

    python benchmarks/ground.py run --recipes plain                                                      (resumable)
    python benchmarks/ground.py run --recipes plain held --tasks people --seeds 0 1
    python benchmarks/ground.py report                                                             (needs no model)
"""

from __future__ import annotations

import argparse
import sys

import study
import tables

from holdfast.bench.machine.files import write_atomically
from holdfast.ground.tasks import TASKS

RECIPES = {"plain": "", "held": f"MaskTheTarget() + Rehearsal('{study.OLD}', ratio=0.2)"}
STUDY = study.Study("ground", RECIPES, dict.fromkeys(TASKS, (2e-4, 5e-4, 1e-3)), watched=0)


def report(given: argparse.Namespace) -> None:
    write_atomically(given.write / "ground-tables.md", tables.ground(STUDY.rows(given.write), STUDY))


if __name__ == "__main__":
    sys.exit(study.main(STUDY, __doc__, report=report))
