"""Does `general` tell models apart? Its kinds on real models, as they are and after damage.

    python benchmarks/general.py run qwen-0.5b-instruct gemma-270m --models FOLDER    (resumable; some 40 minutes)
    python benchmarks/general.py report                       (rows to the table of docs/studies/general.md)

FOLDER holds a folder for each model. Each model is asked the same items of each kind, in float32 on one thread: as it
is, with Gaussian noise on its matrices (standard deviation: NOISE times that of the matrix), and after a bad
fine-tuning: STEPS steps of AdamW at the rate RATE on one narrow task (in which drawer does a thing belong?). A row of
docs/studies/general.jsonl holds what one model in one state answered to one kind; those that are there are not asked
again unless their items have changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.machine.files import read_jsonl
from holdfast.general.names import KINDS, items
from holdfast.probes.items import Item
from holdfast.stats.flips import Flips, flips
from holdfast.stats.pooled import pooled

ROWS = Path(__file__).parents[1] / "docs/studies/general.jsonl"
NOISE = 0.1
STEPS, RATE, BATCH = 24, 2e-5, 4
MOST, DAMAGED = 40, 24
"""Items of each kind that a model is asked as it is, in the order of a hash of their ids; of them, once damaged."""
NAMES = {"gemma-270m": "Gemma 270M", "qwen-0.5b-instruct": "Qwen 0.5B"}
STATES = ("as it is", "noise", "bad tuning")
THINGS = """
anchor basket button carpet coin comb cork crayon dice drum eraser feather fork globe glove hook jar kite ladle lantern
lens magnet mask medal mop nail napkin paddle pin plate pot pouch pump quilt rake ribbon rope ruler sack scale scarf
screw shovel sponge spoon stamp string tape thimble tile towel vase wallet whistle wire yarn zipper
"""


def asked(kind: str, state: str) -> list[Item]:
    """Returns the items of a kind that a model in a state is asked; once damaged, the first of them."""
    most = MOST if state == STATES[0] else DAMAGED
    return sorted(items(kind), key=lambda item: hashlib.blake2b(item.id.encode()).digest())[:most]


def digest(own: Sequence[Item]) -> str:
    """Returns what tells items from others."""
    told = json.dumps([item.to_dict() for item in own], ensure_ascii=False)
    return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()


def add_noise(model: Any, size: float) -> None:
    """Adds Gaussian noise to each matrix of a model, of a standard deviation relative to that of the matrix."""
    import torch

    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.add_(torch.randn(weights.shape, generator=draw), alpha=size * float(weights.std()))


def tune_badly(model: Any, tokenizer: Any, steps: int, rate: float) -> None:
    """Trains all weights on one narrow task at a high rate."""
    import torch

    from holdfast.core.batches import collate
    from holdfast.data.rows import Row, Turn
    from holdfast.data.tokenization import tokenize

    rows = [
        Row(turns=(Turn("user", f"In which drawer does the {thing} belong?"), Turn("assistant", f"Drawer {place}.")))
        for thing in THINGS.split()
        for place in ["ABCD"[len(thing) % 4]]
    ]
    examples = tokenize(rows, tokenizer, max_length=64).examples
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    model.train()
    for step in range(steps):
        chosen = [examples[(step * BATCH + i) % len(examples)] for i in range(BATCH)]
        batch = collate(chosen, pad_id=int(tokenizer.pad_token_id))
        wanted = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
        model(**wanted).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def run(
    names: Sequence[str], folder: Path, states: Sequence[str], kinds: Sequence[str], out: Path, said: Path | None
) -> None:
    """Asks what has no row yet, and adds a row for each kind."""
    import torch

    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.probes.answers import ask

    torch.set_num_threads(1)
    for state in states:
        for name in names:
            done = {(row["model"], row["state"], row["kind"], row["digest"]) for row in rows_of(out)}
            left = {kind: own for kind in kinds if (name, state, kind, digest(own := asked(kind, state))) not in done}
            if not left:
                continue
            model, tokenizer = load_model(str(folder / name)), load_tokenizer(str(folder / name))
            if state == "noise":
                add_noise(model, NOISE)
            elif state == "bad tuning":
                tune_badly(model, tokenizer, STEPS, RATE)
            for kind, own in left.items():
                started = time.process_time()
                answers = ask(model, tokenizer, own)
                row = {
                    "model": name,
                    "state": state,
                    "kind": kind,
                    "digest": digest(own),
                    "seconds": round(time.process_time() - started, 1),
                    "right": "".join(str(int(answer.value)) for answer in answers),
                }
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                if said is not None:
                    with said.open("a", encoding="utf-8") as file:
                        for answer in answers:
                            told = {"id": answer.item.id, "said": answer.said, "right": answer.value}
                            file.write(json.dumps({**row, "right": None, **told}, ensure_ascii=False) + "\n")
                print(json.dumps(row), flush=True)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Returns the rows that are written; of those of the same model, state and kind the last."""
    found = list(read_jsonl(path)) if path.exists() else []
    return list({(row["model"], row["state"], row["kind"]): row for row in found}.values())


Rows = dict[tuple[str, str, str], dict[str, Any]]
"""Rows by model, state and kind."""


def changed(rows: Rows, model: str, state: str, kind: str) -> Flips:
    """Returns what became of a kind's answers since the model was as it is."""
    after = [int(one) for one in rows[model, state, kind]["right"]]
    before = [int(one) for one in rows[model, STATES[0], kind]["right"]][: len(after)]
    return flips(before, after, [item.group for item in asked(kind, state)])


def cell(rows: Rows, model: str, state: str, kind: str) -> str:
    """Returns the percentage of right answers or, once damaged, its change in points, with an asterisk if certain."""
    if (model, state, kind) not in rows:
        return ""
    if state == STATES[0]:
        right = rows[model, state, kind]["right"]
        return f"{100 * right.count('1') / len(right):.0f}"
    change = changed(rows, model, state, kind)
    low, high = change.interval()
    return f"{100 * change.change:+.0f}" + ("*" if low > 0 or high < 0 else "")


def mean_cell(rows: Rows, model: str, state: str) -> str:
    """Returns the mean over the kinds or, once damaged, its change with the 95% interval."""
    kinds = [kind for kind in KINDS if (model, state, kind) in rows]
    if not kinds:
        return ""
    if state == STATES[0]:
        rights = [rows[model, state, kind]["right"] for kind in kinds]
        return f"{100 * sum(right.count('1') / len(right) for right in rights) / len(rights):.1f}"
    whole = pooled([changed(rows, model, state, kind) for kind in kinds])
    low, high = whole.interval()
    return f"{100 * whole.change:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def table(found: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the lines of the table; rows of items that have changed since are left out."""
    current = {(state, kind): digest(asked(kind, state)) for state in STATES for kind in KINDS}
    rows = {
        (row["model"], row["state"], row["kind"]): row
        for row in found
        if row["digest"] == current[row["state"], row["kind"]]
    }
    columns = [(model, state) for model in NAMES for state in STATES if any(key[:2] == (model, state) for key in rows)]
    heads = [f"{NAMES[model]}, {state}" for model, state in columns]
    lines = [f"| kind | items | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for kind in KINDS:
        cells = [cell(rows, model, state, kind) for model, state in columns]
        lines.append(f"| {kind} | {len(items(kind))} | {' | '.join(cells)} |")
    means = [mean_cell(rows, model, state) for model, state in columns]
    return [*lines, f"| mean | {len(items())} | {' | '.join(means)} |"]


def with_table(page: str, lines: Sequence[str]) -> str:
    """Returns a page with other lines in place of its table of kinds."""
    return re.sub(r"\| kind \|(?:.*\n\|)*.*", lambda _: "\n".join(lines), page, count=1)


def main() -> None:
    """Runs what is missing, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache/holdfast-models")
    parser.add_argument("--states", nargs="+", choices=STATES, default=list(STATES))
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--said", type=Path, help="a file that gets every answer")
    given = parser.parse_args()
    if given.what == "run":
        run(given.names, given.models, given.states, given.kinds, given.out, given.said)
        return
    page = given.out.with_suffix(".md")
    page.write_text(with_table(page.read_text(encoding="utf-8"), table(rows_of(given.out))), encoding="utf-8")


if __name__ == "__main__":
    main()
