"""What the commands are given: the options of `train`, `compare`, `diff` and `report`, each a record.

They are the only place where the options are written: the flags of the command line, the keys of a YAML file and the
fields of `holdfast.fine_tune` and its like are read off them. Standard library only, so that the command line is quick.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from holdfast.bench.given.options import Options, flag_of, option
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import FLAT, Guard, budget_and_guard

HOLDFAST = "Holdfast()"
"""What is trained with where no recipe is given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured(Options):
    """What is measured, how it is read, and what may be lost: the part that all commands with a verdict share."""

    test: str | None = option("examples or items that measure what was learned", None, metavar="FILE")
    transfer: str | None = option("examples or items of the same skill in a shifted domain", None, metavar="FILE")
    keep: tuple[str, ...] = option(
        "files of texts, examples or items that the model must not get worse at, or suites by name (`holdfast "
        "suites` lists them; mmlu:300 takes 300 items); measured before and after",
        (),
        metavar="FILE",
    )
    budget: dict[str, Any] = option(
        "what may be lost of what is kept: points=2 (percent of right answers), nll=0.02 (nats per token); with "
        "claim=every of every suite by itself; and what is done about it while training: on_spent=rewind, stop, hold "
        "or log, every=STEPS, share=0.05, items=512",
        {},
        metavar="KEY=VALUE",
    )
    max_length: int = option("longest row, in tokens", 512, metavar="TOKENS", low=2)
    raw: bool = option("leave prompts and completions as they are, without the model's chat template", False)
    loss_on: Literal["completion", "all"] = option(
        "tokens of a row that are learned and scored: those of the completion, or all", "completion"
    )
    over_long: Literal["truncate", "drop"] = option("what becomes of rows longer than --max-length", "truncate")
    eval_batch_tokens: int | None = option(
        "most tokens of a batch while measuring, padding included (8192 if not given, 2048 for texts on a processor); "
        "fewer are taken where memory runs out",
        None,
        metavar="TOKENS",
        low=1,
    )
    refused: Literal["error", "drop"] = option("what becomes of rows that the chat template refuses", "error")
    preference: Literal["refuse", "chosen"] = option(
        "what becomes of rows with a chosen and a rejected answer: they are refused, or the chosen one is learned",
        "refuse",
    )

    def __post_init__(self) -> None:
        """Checks the values, and that the budget can be held."""
        super().__post_init__()
        self.allowed()

    def allowed(self) -> Budget | None:
        """Returns the budget; None if none is given.

        Raises:
            HoldfastError: If it cannot be held.
        """
        return budget_of(self.budget)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained(Measured):
    """What is trained on what, and how the trainer goes about it: the part that all commands which train share."""

    model: str = option("model to fine-tune: a folder, a name on the hub, or ground:base", metavar="MODEL")
    data: str = option(
        "examples to learn: a .jsonl, .json, .csv, .parquet or .txt file, or a name such as ground:people",
        metavar="FILE",
    )
    held_out: float = option("share of the data held out as a test when --test is not given", 0.1, metavar="SHARE")
    memory: tuple[str, ...] = option("old examples that methods may ask for by name", (), metavar="NAME=FILE")
    out: str = option("folder in which each run gets a folder of its own", "runs", metavar="FOLDER")
    batch_size: int = option("most rows per device in one forward pass", 8, metavar="ROWS", low=1)
    packing: bool = option("put several short examples into one row", False)
    precision: Literal["fp32", "bf16", "fp16"] = option(
        "number format of the forward pass; trained weights are float32, frozen ones stay in the 16 bits of their file",
        "fp32",
    )
    memory_check: Literal["refuse", "warn"] = option(
        "what is done about a run that needs more memory than is free, as estimated before anything is loaded", "refuse"
    )
    training: dict[str, Any] = option(
        "anything else, passed untouched to transformers.TrainingArguments", {}, metavar="KEY=VALUE"
    )

    def __post_init__(self) -> None:
        """Checks every value and makes lists of words into tuples."""
        super().__post_init__()
        if not 0 <= self.held_out < 1:
            raise HoldfastError(f"{flag_of('held_out')} {self.held_out!r}: give a share from 0 to below 1.")
        self.memories()

    def memories(self) -> dict[str, str]:
        """Returns the path of each memory, by its name.

        Raises:
            HoldfastError: If an entry of `memory` is not `NAME=FILE`, or a name is given twice.
        """
        paths: dict[str, str] = {}
        for entry in self.memory:
            name, equals, path = entry.partition("=")
            if not (name and equals and path):
                raise HoldfastError(f"{flag_of('memory')} {entry!r}: give NAME=FILE, as in old=general.jsonl.")
            if name in paths:
                raise HoldfastError(f"{flag_of('memory')} {entry!r}: the name {name!r} is taken; choose another.")
            paths[name] = path
        return paths


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSpec(Trained):
    """Everything that makes a run what it is; the help of each option stands in the field's metadata.

    Raises:
        HoldfastError: If a value is of the wrong kind or out of range; names the option and what is accepted.
    """

    recipe: str = option(
        "methods to train with, as a sum: 'Train(lr=2e-4, epochs=3) + LoRA(rank=16) + MaskTheTarget()'; Holdfast() "
        "alone takes every --memory",
        HOLDFAST,
        metavar="SUM",
    )
    name: str | None = option("name of the run's folder; chosen from the settings if not given", None, metavar="NAME")
    seed: int = option("seed of everything random in the run", 0, metavar="N", low=0)
    resume: bool = option("go on with a run that was interrupted, from its last checkpoint", False)

    def __post_init__(self) -> None:
        """Checks every value and makes lists of words into tuples."""
        super().__post_init__()
        self.guard()
        if self.recipe == HOLDFAST and (memories := ", ".join(self.memories())):
            object.__setattr__(self, "recipe", f"Holdfast(memory={memories!r})")
        if self.name is not None and (self.name in {"", ".", ".."} or set(self.name) & {"/", "\\", "\0"}):
            raise HoldfastError(f"{flag_of('name')} {self.name!r}: give the name of a folder, without a path.")

    def allowed(self) -> Budget | None:
        """Returns the budget, whose keys may stand beside those of the guard; None if none is given."""
        return budget_and_guard(self.budget)[0] if self.budget else None

    def guard(self) -> Guard:
        """Returns how the guard watches the budget while the model trains."""
        return budget_and_guard(self.budget)[1] if self.budget else Guard()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareSpec(Trained):
    """What is compared: recipes, each at several doses and with several seeds, on one model and one set of data.

    Raises:
        HoldfastError: If a value is of the wrong kind or out of range; names the option and what is accepted.
    """

    recipes: tuple[str, ...] = option(
        "what is compared: sums of methods, a file with one on each line, or a set of them: classic, field",
        metavar="SUM",
    )
    settings: str = option(
        "what every recipe is trained with unless it says otherwise; alone, it is plain training, which is always run",
        "Train() + Cosine()",
        metavar="SUM",
    )
    doses: tuple[float, ...] = option(
        "times the learning rate at which each recipe is run", (0.5, 1.0, 2.0), metavar="TIMES"
    )
    adapter_rate: float = option(
        "times the learning rate of --settings for recipes that train an adapter", 10.0, metavar="TIMES"
    )
    seeds: tuple[int, ...] = option("seeds with which each is run", (0,), metavar="N")
    reach: float = option(
        "share of what the best plain run learns at which methods are compared", 0.95, metavar="SHARE"
    )
    workers: int = option("runs at the same time", 1, metavar="N", low=1)
    out: str = option("folder in which each run gets a folder of its own", "compare", metavar="FOLDER")

    def __post_init__(self) -> None:
        """Checks every value; a comparison is judged when it is done, and no guard acts in it."""
        super().__post_init__()
        check_reach(self.reach)
        if not self.recipes:
            raise HoldfastError("--recipes: name at least one recipe, or a set of them (classic, field).")
        if not self.keep:
            raise HoldfastError("--keep is missing: name what the model must not get worse at.")
        if self.test is None and self.held_out == 0:
            raise HoldfastError("--test is missing: with --held-out 0 nothing measures what is learned.")
        if (
            not self.doses
            or len({*self.doses}) < len(self.doses)
            or not 0 < min(self.doses) <= max(self.doses) < math.inf
        ):
            raise HoldfastError(f"--doses {' '.join(map(str, self.doses))}: give numbers above 0, each once.")
        if not self.seeds or len({*self.seeds}) < len(self.seeds) or min(self.seeds) < 0:
            raise HoldfastError(f"--seeds {' '.join(map(str, self.seeds))}: give whole numbers from 0, each once.")
        if not self.adapter_rate > 0:
            raise HoldfastError(f"--adapter-rate {self.adapter_rate}: give a number above 0.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportSpec(Options):
    """Which runs are set side by side, and how.

    Raises:
        HoldfastError: If a value is of the wrong kind or out of range; names the option and what is accepted.
    """

    runs: tuple[str, ...] = option("folders of runs, or folders in which they are; or a table of PEFT's comparison")
    budget: dict[str, Any] = option(
        "what may be lost, by which each is judged: points=2, nll=0.02, claim=every", {}, metavar="KEY=VALUE"
    )
    reach: float = option(
        "share of what the best plain run learns at which methods are compared", 0.95, metavar="SHARE"
    )
    format: Literal["table", "markdown", "csv", "json"] = option("what is printed", "table")
    out: str | None = option("folder for the tables and plots; none are written if not given", None, metavar="FOLDER")

    def __post_init__(self) -> None:
        """Checks every value."""
        super().__post_init__()
        self.allowed()
        check_reach(self.reach)

    def allowed(self) -> Budget | None:
        """Returns the budget; None if none is given."""
        return budget_of(self.budget)


def check_reach(reach: float) -> None:
    """Raises `HoldfastError` for a share that is none."""
    if not 0 < reach <= 1:
        raise HoldfastError(f"--reach {reach}: give a share above 0 and at most 1.")


def budget_of(values: Mapping[str, Any]) -> Budget | None:
    """Returns the budget by which a finished model is judged; None if none is given.

    Raises:
        HoldfastError: A key is the guard's, which acts while a model is trained, or the budget is out of range.
    """
    for name in values:
        if name in FLAT:
            raise HoldfastError(f"--budget {name}: acts while a model is trained; give points, nll and claim here.")
    return Budget.from_dict(values) if values else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffSpec(Measured):
    """What is compared, and by what.

    Raises:
        HoldfastError: If a value is of the wrong kind or out of range; names the option and what is accepted.
    """

    base: str = option("model before: a folder, a name on the hub, ground:base, or a file of saved answers")
    tuned: str = option("model after: likewise, or an adapter on its base")
    out: str | None = option(
        "folder for the answers of both models and the result; none if not given", None, metavar="FOLDER"
    )
    examples: int = option("lost and gained answers that are shown, of each", 3, metavar="N", low=0)
