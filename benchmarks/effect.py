"""Which method holds on to what, on four tasks, in two worlds, with three seeds: the effect study.

The best methods of the screen, the best sums and plain training. A row holds the answers of a run, a bit for each item,
so that its tables are those of `holdfast report`. Those of docs/which-method.md are written into it.

    python benchmarks/effect.py run [--worlds 0 1] [--seeds 0] [--tasks people]                         (resumable)
    python benchmarks/effect.py run --seeds 1 2 --chosen       (further seeds, at the dose alone that was chosen)
    python benchmarks/effect.py report                                                             (needs no model)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import study
import tables
from study import DISTIL, OLD, SELF

from holdfast.bench.machine.files import write_atomically
from holdfast.report.frontier import draw

RATES = {
    "people": (5e-4, 1e-3, 2e-3),
    "language": (5e-4, 1e-3, 2e-3),
    "science": (2e-4, 5e-4, 1e-3),
    "labels": (1e-4, 2e-4, 5e-4),
    "noisy": (5e-4, 1e-3, 2e-3),
}
"""The four tasks, and `people` again with a fifth of the answers wrong, on which few recipes are run."""
METHODS = {
    "plain": "",
    "SelfRehearsal": "SelfRehearsal()",
    "Rehearsal": f"Rehearsal(memory='{OLD}', ratio=0.2)",
    "LayerwiseDecay": "LayerwiseDecay()",
    "TokenQuality": "TokenQuality()",
    "FreezeBottom": "FreezeBottom()",
    "AGEM": f"AGEM(memory='{OLD}')",
    "MaskTheTarget": "MaskTheTarget()",
    "BaseL2": "BaseL2()",
}
"""The eight with the best mean place in the screen; of three that share the eighth, the cheapest."""
LEASH = f"BaseKL(on='memory') + Rehearsal(memory='{OLD}', ratio=0.5)"
SELF_LEASH = "BaseKL(on='memory') + SelfRehearsal(ratio=0.5)"
HALF = "Train(lr=0.5) + WSD()"
"""WSD keeps its learning rate high until the end, and Finch raises it as the loss falls: theirs are lower."""
SUMS = {
    "FreezeBottom, WSD, distil": f"FreezeBottom() + WSD() + {DISTIL}",
    "FreezeBottom, distil": f"FreezeBottom() + {DISTIL}",
    "FreezeBottom, WSD, MaskTheTarget": "FreezeBottom() + WSD() + MaskTheTarget()",
    "LayerwiseDecay, distil": f"LayerwiseDecay() + {DISTIL}",
    "WSD, distil": f"{HALF} + {DISTIL}",
}
"""The five best sums of the screen."""
MORE = {
    "distil": DISTIL,
    "self-distil": SELF,
    "WSD, leash": f"{HALF} + {LEASH}",
    "WSD, self-leash": f"{HALF} + {SELF_LEASH}",
}
"""The leash on old documents alone, given or written by the base, which three of the five have in common, and a weaker
one, which did better where a small real model learned Shakespeare (docs/studies/shakespeare.md)."""
ADAPTERS = {
    "LoRA": "LoRA()",
    "LoRA, WSD, MaskTheTarget": "LoRA() + WSD() + MaskTheTarget()",
    "LoRA, WSD, leash": f"LoRA() + WSD() + {LEASH}",
    "LoRA, WSD, self-leash": f"LoRA() + WSD() + {SELF_LEASH}",
}
"""For who can train nothing but an adapter."""
CLAIMED = {
    "Finch": "Train(lr=0.2) + Finch()",
    "WSD": HALF,
    "Rehearsal 1%": f"Rehearsal(memory='{OLD}', ratio=0.01)",
    "EAFT": "EAFT()",
    "LowPerplexity": "LowPerplexity()",
}
"""What is claimed to be enough, on the tasks too where the screen did not have it; and WSD, which is another rate than
the cosine's as Finch is."""
REPAIRS = {
    "WiSEFT 0.9": "WiSEFT(alpha=0.9)",
    "WiSEFT 0.8": "WiSEFT(alpha=0.8)",
    "WiSEFT 0.65": "WiSEFT(alpha=0.65)",
    "FAPM 0.5": "FAPM(keep=0.5)",
    "FAPM 0.3": "FAPM(keep=0.3)",
    "TIES 0.5": "TIES(keep=0.5)",
}
"""Edits of what plain training made, more cautious than at their defaults, which take most of the learning away."""
RECIPES = {**METHODS, **SUMS, **MORE, **ADAPTERS, **CLAIMED, **REPAIRS}

PLAIN = {"plain": "plain"}
STRONG = "BaseKL(strength=3.0, on='memory') + Rehearsal(memory='old', ratio=0.5)"
MAIN = {
    **PLAIN,
    "Holdfast(memory='old')": '`Holdfast("old.jsonl")`',
    "Holdfast()": "`Holdfast()`",
    "SelfRehearsal()": "`SelfRehearsal()`, a fifth of the tokens",
    "Rehearsal(memory='old', ratio=0.2)": '`Rehearsal("old.jsonl", ratio=0.2)`',
    "FreezeBottom() + WSD() + MaskTheTarget()": "`FreezeBottom() + WSD() + MaskTheTarget()`",
}
ALONE = {
    **PLAIN,
    "Finch()": "`Finch()`, a fifth of the rates",
    "WSD()": "`WSD()`, half of the rates",
    "Rehearsal(memory='old', ratio=0.01)": '`Rehearsal("old.jsonl", ratio=0.01)`',
    "MaskTheTarget()": "`MaskTheTarget()`",
    "EAFT()": "`EAFT()`",
    "LowPerplexity()": "`LowPerplexity()` (STM)",
    "TokenQuality()": "`TokenQuality()`",
    "FreezeBottom()": "`FreezeBottom()`",
    "LayerwiseDecay()": "`LayerwiseDecay()`",
    "AGEM(memory='old')": '`AGEM("old.jsonl")`',
    "BaseL2()": "`BaseL2()`",
}
EDITS = {
    **PLAIN,
    "WiSEFT(alpha=0.9)": "`WiSEFT(0.9)`",
    "WiSEFT(alpha=0.8)": "`WiSEFT(0.8)`",
    "WiSEFT(alpha=0.65)": "`WiSEFT(0.65)`",
    "FAPM(keep=0.5)": "`FAPM(0.5)`",
    "FAPM(keep=0.3)": "`FAPM(0.3)`",
    "TIES(keep=0.5)": "`TIES(keep=0.5)`",
}
ADVICE = {
    "main": MAIN,
    "other-world": MAIN,
    "sums": {
        "Holdfast(memory='old')": '`Holdfast("old.jsonl")`, whose leash has strength 1',
        f"WSD() + {STRONG}": "`WSD()` + a leash of strength 3",
        f"FreezeBottom() + WSD() + {STRONG}": "`FreezeBottom() + WSD()` + a leash of strength 3",
        f"FreezeBottom() + {STRONG}": "`FreezeBottom()` + a leash of strength 3",
        f"LayerwiseDecay() + {STRONG}": "`LayerwiseDecay()` + a leash of strength 3",
        STRONG: "a leash of strength 3",
        "BaseKL(strength=3.0, on='memory') + SelfRehearsal(ratio=0.5)": "a leash of strength 3 on what the base wrote",
    },
    "adapters": {
        **PLAIN,
        "LoRA()": "`LoRA()`",
        "Holdfast(memory='old', adapter=True)": '`Holdfast("old.jsonl", adapter=True)`',
        "Holdfast(adapter=True)": "`Holdfast(adapter=True)`",
    },
    "repairs": EDITS,
    "alone": ALONE,
    "noisy": {**MAIN, **ALONE, **EDITS},
}
"""The tables of docs/which-method.md: what each recipe is called there, by what `holdfast report` calls it."""
PAGE = Path("docs/which-method.md")


def chosen(rows: Sequence[study.Row], world: int, task: str) -> dict[str, float]:
    """Returns the dose of each recipe that `holdfast report` chooses, by its name."""
    runs = tables.runs_of(rows, STUDY, world, task)
    names = {repr(run.recipe_without_rate): run.folder.name for run in runs}
    rates = {names[row["text"]]: row["rate"] for row in tables.recipes(tables.tradeoff(runs))} if runs else {}
    return {r["recipe"]: r["dose"] for r in rows if r["recipe"] in rates and r["rate"] == rates[r["recipe"]]}


STUDY = study.Study("effect", RECIPES, RATES, keeps=False, answers=True, chosen=chosen)


def report(given: argparse.Namespace) -> None:
    rows = STUDY.rows(given.write)
    found = tables.tradeoffs(rows, STUDY)
    agree = tables.agreement(found, RATES)
    cost = [f"{len(rows)} rows; the trainings took {sum(row.get('cpu', 0.0) for row in rows) / 3600:.1f} hours of one"]
    cost = [f"{cost[0]} processor."]
    write_atomically(given.write / "effect-tables.md", tables.effect(found, agree, cost))
    for (world, task), one in found.items():
        draw(one, given.write, f"effect-{task}-world{world}")
    if PAGE.exists():
        columns = {
            name: [(task, int(name == "other-world"), task) for task in RATES if (task == "noisy") == (name == "noisy")]
            for name in ADVICE
        }
        shown = {name: tables.beside(found, columns[name], names) for name, names in ADVICE.items()}
        write_atomically(PAGE, tables.filled(PAGE.read_text(), {**shown, "agree": agree, "cost": cost}))


if __name__ == "__main__":
    sys.exit(study.main(STUDY, __doc__, report=report))
