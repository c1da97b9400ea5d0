"""The options of `train`, `compare`, `diff`, `heal` and `report`, each a dataclass.

The flags of the command line, the keys of a YAML file and the arguments of `holdfast.fine_tune` and its siblings are
generated from these classes. This module imports the standard library only, so that the command line starts fast.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from holdfast.bench.given.limits import REACH, SEEDS, budget_of, check_reach, check_seeds
from holdfast.bench.given.options import Options, flag_of, option
from holdfast.bench.given.tasks import RankingOptions, TaskOptions, recommended, reranks
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO, Guard, budget_and_guard, steering
from holdfast.suites.default import GENERAL, default_keep

HOLDFAST = "Holdfast()"
"""The recipe of a run that names none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuringSpec(Options):
    """What to measure, how to read it, and the budget: options that all commands with a verdict share."""

    test: str | None = option("examples or items that measure what the model learns", None, metavar="FILE")
    transfer: str | None = option("examples or items of the same skill in a shifted domain", None, metavar="FILE")
    keep: tuple[str, ...] = option(
        "texts, examples or items that the model must not get worse at, or suites by name (`holdfast suites` lists "
        f"them; mmlu:300 takes 300 items), measured before and after; {GENERAL} by default where something is judged",
        (),
        metavar="FILE",
    )
    budget: dict[str, Any] = option(
        "the loss that you allow on --keep: points=2 (percent of right answers), nll=0.02 (nats per token); "
        "claim=every applies it to every suite by itself. The guard's settings during training: on_spent=rewind, "
        "steer, stop, hold or log, every=STEPS, share=0.05, items=512",
        {},
        metavar="KEY=VALUE",
    )
    max_length: int = option("longest row, in tokens", 512, metavar="TOKENS", low=2)
    raw: bool = option("use prompts and completions as they are, without the model's chat template", False)
    loss_on: Literal["completion", "all"] = option(
        "tokens of a row to learn and to score: those of the completion, or all", "completion"
    )
    over_long: Literal["truncate", "drop"] = option("what to do with rows longer than --max-length", "truncate")
    eval_batch_tokens: int | None = option(
        "most tokens of a batch during measurement, padding included (default 8192, or 2048 for texts on a CPU); "
        "Holdfast uses fewer if memory runs out",
        None,
        metavar="TOKENS",
        low=1,
    )
    precision: Literal["fp32", "bf16", "fp16", "auto"] = option(
        "number format in which models compute, in training and measurement; trained weights are float32, frozen ones "
        "keep the 16 bits of their file; auto takes bf16 where it is faster here",
        "fp32",
    )
    refused: Literal["error", "drop"] = option("what to do with rows that the chat template refuses", "error")
    preference: Literal["refuse", "chosen"] = option(
        "what to do with rows that have a chosen and a rejected answer: refuse them, or learn the chosen answer",
        "refuse",
    )

    def __post_init__(self) -> None:
        """Checks the values and the budget."""
        super().__post_init__()
        self.allowed()

    def allowed(self) -> Budget | None:
        """Returns the budget; None if the user gives none.

        Raises:
            HoldfastError: The budget is malformed or out of range.
        """
        return budget_of(self.budget)

    def _keep_by_default(self, model: str, *, always: bool = False) -> None:
        """Sets what is kept of a model if the user names nothing, and a budget limits points or `always` is true."""
        budget = self.allowed()
        if getattr(self, "reranks", False):
            return  # the run knows the collections of the reranker that the package ships
        if not self.keep and (always or (budget is not None and budget.points is not None)):
            object.__setattr__(self, "keep", (default_keep(model),))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSpec(TaskOptions, MeasuringSpec):
    """What to train on what, and how: options that all commands which train share."""

    model: str = option("model to fine-tune: a folder, a name on the hub, or ground:base", metavar="MODEL")
    data: str = option(
        "examples to learn: a .jsonl, .json, .csv, .parquet or .txt file, or a name such as ground:people",
        metavar="FILE",
    )
    held_out: float = option("share of the data to hold out as a test if --test is missing", 0.1, metavar="SHARE")
    memory: tuple[str, ...] = option("old examples, which methods ask for by name", (), metavar="NAME=FILE")
    out: str = option("folder for the folders of the runs", "runs", metavar="FOLDER")
    batch_size: int = option("most rows per device in one forward pass", 8, metavar="ROWS", low=1)
    packing: bool = option("put several short examples into one row", False)
    memory_check: Literal["refuse", "warn"] = option(
        "what to do with a run that, by an estimate before loading, needs more memory than is free", "refuse"
    )
    training: dict[str, Any] = option(
        "any other argument of transformers.TrainingArguments, passed on unchanged", {}, metavar="KEY=VALUE"
    )

    def __post_init__(self) -> None:
        """Checks every value, and turns lists into tuples."""
        super().__post_init__()
        if not 0 <= self.held_out < 1:
            raise HoldfastError(f"{flag_of('held_out')} {self.held_out!r}: give a share from 0 to below 1.")
        self.memories()

    @property
    def reranks(self) -> bool:
        """Returns whether the model ranks documents."""
        return bool(self.model) and reranks(self.task, self.model)

    def memories(self) -> dict[str, str]:
        """Returns the path of each memory, by its name.

        Raises:
            HoldfastError: An entry of `memory` is not `NAME=FILE`, or two entries have one name.
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
class RunSpec(TrainingSpec):
    """The options of a run; the metadata of each field holds its help.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    recipe: str = option(
        "methods to train with, as a sum: 'Train(lr=2e-4, epochs=3) + LoRA(rank=16) + MaskTheTarget()'; Holdfast() "
        "alone uses every --memory, and auto is the recipe that `holdfast plan` advises, held inside the --budget",
        HOLDFAST,
        metavar="SUM",
    )
    name: str | None = option("name of the run's folder (derived from the settings by default)", None, metavar="NAME")
    seed: int = option("seed of all random numbers of the run", 0, metavar="N", low=0, below=SEEDS)
    resume: bool = option("continue an interrupted run from its last checkpoint", False)

    def __post_init__(self) -> None:
        """Checks every value, and turns lists into tuples."""
        super().__post_init__()
        self.guard()
        self._keep_by_default(self.model)
        if self.recipe == AUTO and not self.budget:
            raise HoldfastError(
                "--recipe auto holds a run inside a budget, and there is none: give --budget points=2, or name a"
                " recipe."
            )
        if self.recipe == HOLDFAST:
            object.__setattr__(self, "recipe", recommended(self.model, ", ".join(self.memories()), self.reranks))
        if self.name is not None and (self.name in {"", ".", ".."} or set(self.name) & {"/", "\\", "\0"}):
            raise HoldfastError(f"{flag_of('name')} {self.name!r}: give the name of a folder, without a path.")

    def allowed(self) -> Budget | None:
        """Returns the budget, whose keys may stand beside those of the guard; None if the user gives none."""
        return budget_and_guard(self.budget)[0] if self.budget else None

    def guard(self) -> Guard:
        """Returns the settings of the guard, which watches the budget during training."""
        guard = budget_and_guard(self.budget)[1] if self.budget else Guard()
        return steering(guard) if self.recipe == AUTO else guard


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanSpec(TrainingSpec):
    """The options of a plan: a model, its data and what may be lost; or a config to check; or the sheet of all sizes.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    model: str | None = option(  # type: ignore[assignment]  # a check needs none
        "model to fine-tune: a folder, a name on the hub, or ground:base", None, metavar="MODEL"
    )
    data: str | None = option(  # type: ignore[assignment]
        "examples to learn: a .jsonl, .json, .csv, .parquet or .txt file, or a name such as ground:people",
        None,
        metavar="FILE",
    )
    steps: bool = option("time a few optimizer steps of the advised recipe and of plain training", True)
    forecast: bool = option("train a few recipes for thirty steps each, and forecast what they learn and lose", False)
    recipes: tuple[str, ...] = option(
        "recipes to forecast (by default the advised one and three others); what they do not set is as advised",
        (),
        metavar="SUM",
    )
    check: str | None = option(
        "config to check instead, of holdfast train, axolotl, LLaMA-Factory, ms-swift or TRL", None, metavar="FILE"
    )
    sizes: bool = option("show the plan for models from 0.1B to 1T parameters as well", False)
    write: str | None = option("file to write the run to, for holdfast train --config", None, metavar="FILE")
    out: str | None = option(  # type: ignore[assignment]
        "folder for plan.json (none by default)", None, metavar="FOLDER"
    )

    def __post_init__(self) -> None:
        """Checks every value, and that there is something to plan."""
        super().__post_init__()
        self._check_forecast()
        if self.check is not None and self.data:
            raise HoldfastError("--check reads the data from the config; leave out --data.")
        if self.check is not None:
            self._check_alone()
        if self.check is None and not (self.sizes and not self.model and not self.data):
            for name in ("model", "data"):
                if not getattr(self, name):
                    raise HoldfastError(f"{flag_of(name)} is missing: a plan needs a model and its data.")
        if self.write and self.check is None and not self.model:
            raise HoldfastError("--write needs a plan to write: give --model and --data, or --check.")

    def _check_alone(self) -> None:
        """Refuses options that a check of a config does not read."""
        read = ("model", "check", "write", "sizes", "task", "forecast", "recipes")
        for field in dataclasses.fields(self):
            default = {} if field.default is dataclasses.MISSING else field.default
            if field.name not in read and getattr(self, field.name) != default:
                raise HoldfastError(f"{flag_of(field.name)} has no effect with --check, which reads a config alone.")

    def _check_forecast(self) -> None:
        """Refuses options that make no forecast; a forecast keeps something, so that its loss can be stated."""
        if self.recipes and not self.forecast:
            raise HoldfastError("--recipes names what to forecast; add --forecast.")
        if not self.forecast:
            return
        if self.check is not None or not self.model:
            raise HoldfastError("--forecast trains a model on data for thirty steps: give --model and --data.")
        self._keep_by_default(self.model, always=True)

    def allowed(self) -> Budget | None:
        """Returns the budget, whose keys may stand beside those of the guard; None if the user gives none."""
        return budget_and_guard(self.budget)[0] if self.budget else None

    def run(self, **changes: Any) -> RunSpec:
        """Returns the options of a run with these options."""
        names = {field.name for field in dataclasses.fields(TrainingSpec)} - {"out"}
        return RunSpec(**{**{name: getattr(self, name) for name in names}, **changes})


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareSpec(TrainingSpec):
    """The options of a comparison: recipes, each with several doses and seeds, on one model and one data set.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    recipes: tuple[str, ...] = option(
        "recipes to compare: sums of methods, a file with one sum on each line, or a named set: classic, field",
        metavar="SUM",
    )
    settings: str = option(
        "settings of every recipe that does not set its own; alone they are plain training, which always runs",
        "Train() + Cosine()",
        metavar="SUM",
    )
    doses: tuple[float, ...] = option(
        "multipliers of the learning rate with which each recipe runs", (0.5, 1.0, 2.0), metavar="TIMES"
    )
    adapter_rate: float = option(
        "multiplier of the learning rate of --settings for recipes that train an adapter", 10.0, metavar="TIMES"
    )
    seeds: tuple[int, ...] = option("seeds with which each recipe runs", (0,), metavar="N")
    reach: float = option(
        "share of what the best plain run learns, at which the report compares methods", REACH, metavar="SHARE"
    )
    workers: int = option("number of runs at the same time", 1, metavar="N", low=1)
    out: str = option("folder for the folders of the runs", "compare", metavar="FOLDER")

    def __post_init__(self) -> None:
        """Checks every value. No guard acts in a comparison; its verdict comes after training."""
        super().__post_init__()
        check_reach(self.reach)
        if not self.recipes:
            raise HoldfastError("--recipes: name at least one recipe, or a set of them (classic, field).")
        self._keep_by_default(self.model, always=True)
        if self.test is None and self.held_out == 0:
            raise HoldfastError("--test is missing: with --held-out 0 nothing measures what the model learns.")
        if (
            not self.doses
            or len({*self.doses}) < len(self.doses)
            or not all(0 < dose < math.inf for dose in self.doses)
        ):
            raise HoldfastError(f"--doses {' '.join(map(str, self.doses))}: give numbers above 0, each once.")
        check_seeds(self.seeds)
        if not 0 < self.adapter_rate < math.inf:
            raise HoldfastError(f"--adapter-rate {self.adapter_rate}: give a number above 0.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportSpec(Options):
    """The options of a report: which runs to compare, and how.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    runs: tuple[str, ...] = option(
        "folders of runs, or folders that hold them; or folders of fits and healings; or a table of PEFT's comparison; "
        "or, with --html, the folder of a diff"
    )
    budget: dict[str, Any] = option(
        "the loss that you allow, for a verdict on each recipe: points=2, nll=0.02, claim=every",
        {},
        metavar="KEY=VALUE",
    )
    reach: float = option(
        "share of what the best plain run learns, at which the report compares methods", 0.95, metavar="SHARE"
    )
    format: Literal["table", "markdown", "csv", "json"] = option("format of the output", "table")
    out: str | None = option("folder for the tables and plots (none are written by default)", None, metavar="FOLDER")
    html: str | None = option("file for one page that holds everything and needs no network", None, metavar="FILE")
    live: bool = option("serve the page on this machine, also while the run trains, until you interrupt it", False)
    port: int = option("port of --live; 0 takes a free one", 0, metavar="N", low=0)

    def __post_init__(self) -> None:
        """Checks every value."""
        super().__post_init__()
        self.allowed()
        check_reach(self.reach)
        if self.port and not self.live:
            raise HoldfastError(f"--port {self.port}: only --live serves a page; add --live.")
        if self.live and (self.out or self.html or self.format != "table"):
            raise HoldfastError("--live serves the page and writes nothing; leave out --out, --html and --format.")

    def allowed(self) -> Budget | None:
        """Returns the budget; None if the user gives none."""
        return budget_of(self.budget)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffSpec(RankingOptions, MeasuringSpec):
    """The options of a diff: two models, and what to compare them on.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    base: str = option("model before training: a folder, a name on the hub, ground:base, or a file of saved answers")
    tuned: str = option("model after training: likewise, or an adapter on its base")
    out: str | None = option(
        "folder for the answers of both models and the result (none by default)", None, metavar="FOLDER"
    )
    ask: tuple[str, ...] = option(
        "questions to ask both models and show side by side; without --keep, --test or --transfer they are all",
        (),
        metavar="TEXT",
    )
    junit: str | None = option("file for the verdict as JUnit XML, which CI systems show", None, metavar="FILE")
    comment: str | None = option("file for the text of a comment on a merge, in Markdown", None, metavar="FILE")
    examples: int = option("number of lost and of gained answers to show", 3, metavar="N", low=0)
    data: str | None = option(
        "training data of TUNED, with which symptoms compare its answers (those of its run if TUNED lies in the folder "
        "of one)",
        None,
        metavar="FILE",
    )
    recover: int = option(
        "worked examples with which lost answers are asked again, to tell lost format from lost knowledge (0: no)",
        0,
        metavar="N",
        low=0,
    )
    recover_steps: int = option(
        "training steps on other items of a suite after which its lost answers are asked again (0: no)",
        0,
        metavar="N",
        low=0,
    )

    def __post_init__(self) -> None:
        """Checks every value, and turns lists into tuples."""
        super().__post_init__()
        if self.ask and self.reranks:
            raise HoldfastError("--ask is for models that write answers, and a reranker writes none; leave it out.")
        if self.ask and not (self.keep or self.test or self.transfer):
            if self.budget:
                raise HoldfastError("--budget judges suites, and only --ask is given: name suites with --keep.")
            return
        if not self.reranks:
            self._keep_by_default(self.base, always=not (self.test or self.transfer))
