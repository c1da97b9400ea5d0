"""What does every method of the catalogue hold on to, at equal learning, and what does it cost?

Every run is by one method as it comes (its defaults, and old documents where it needs them). One seed, one world: a
screen sorts out what is worth a closer look, and states no more than its intervals allow. Sums of methods, of which the
best go into the effect study, are screened on one task. Time is that of the processor, preparation included, so that a
busy machine does not change it; memory is the most that a run's process held beyond what it held before.

    python benchmarks/screen.py run [--tasks people] [--recipes plain EWC]                              (resumable)
    python benchmarks/screen.py report                                                             (needs no model)
"""

from __future__ import annotations

import argparse
import sys

import study
import tables
from study import DISTIL, OLD, SELF

from holdfast.bench.given.recipe_sets import field
from holdfast.bench.machine.files import write_atomically

REHEARSAL = f"Rehearsal(memory='{OLD}')"
FIFTH = f"Rehearsal(memory='{OLD}', ratio=0.2)"
SUMS = {
    "distil": DISTIL,
    "self-distil": SELF,
    "WSD, distil": f"WSD() + {DISTIL}",
    "LayerwiseDecay, distil": f"LayerwiseDecay() + {DISTIL}",
    "LoRA, distil": f"LoRA() + {DISTIL}",
    "FreezeBottom, distil": f"FreezeBottom() + {DISTIL}",
    "FreezeBottom, self-distil": f"FreezeBottom() + {SELF}",
    "FreezeBottom, Rehearsal": f"FreezeBottom() + {REHEARSAL}",
    "FreezeBottom, WSD": "FreezeBottom() + WSD()",
    "FreezeBottom, MaskTheTarget": "FreezeBottom() + MaskTheTarget()",
    "FreezeBottom, WSD, MaskTheTarget": "FreezeBottom() + WSD() + MaskTheTarget()",
    "FreezeBottom, WSD, distil": f"FreezeBottom() + WSD() + {DISTIL}",
    "FreezeBottom, MaskTheTarget, Rehearsal": f"FreezeBottom() + MaskTheTarget() + {FIFTH}",
    "TokenQuality, Rehearsal": f"TokenQuality() + {REHEARSAL}",
    "WiSEFT, Rehearsal": f"WiSEFT(alpha=0.8) + {REHEARSAL}",
}
MORE = {"Rehearsal 1%": f"Rehearsal(memory='{OLD}', ratio=0.01)"}
"""Settings of a method that are claimed to be enough."""
GIVEN = {"plain": "", "Rehearsal": FIFTH}
"""What is run as nothing, and with as many old tokens as SelfRehearsal has."""
ALONE = {type(one.methods[-1]).__name__: repr(one) for one in field(OLD)[0]}
RECIPES = {**ALONE, **GIVEN, **MORE, **SUMS}
RATES = {"people": (5e-4, 1e-3, 2e-3), "labels": (1e-4, 2e-4, 5e-4)}
STUDY = study.Study("screen", RECIPES, RATES, only=dict.fromkeys(SUMS, ("people",)), keeps=False)


def report(given: argparse.Namespace) -> None:
    rows = STUDY.rows(given.write)
    write_atomically(given.write / "screen-tables.md", tables.screen(rows, STUDY, {*SUMS, *MORE}))


if __name__ == "__main__":
    sys.exit(study.main(STUDY, __doc__, report=report))
