"""The options of `heal`, as those of the other commands in `specs.py`; the standard library alone."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from holdfast.bench.given.options import default_of, option, option_of_run
from holdfast.bench.given.specs import MeasuringSpec, RunSpec
from holdfast.bench.given.tasks import RankingOptions
from holdfast.core.errors import HoldfastError, nearest

SELF = "self"
"""In place of a file of old examples: the base writes them."""

EDITS = ("scale", "fapm", "ties", "mlp", "upper", "attention", "intruders", "lower")
"""Names of the edits that `heal` tries, in this order if few evaluations do not suffice for all."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealSpec(RankingOptions, MeasuringSpec):
    """The options of a healing: a base, its fine-tune, what to keep, and what the search may cost.

    Options that a run supplies are None until `resolved` is called; their types are those that they have then.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    base: str = option("model before training: a folder, a name on the hub, or ground:base")
    tuned: str = option(
        "model after training: a folder, a name on the hub, an adapter on its base, or the folder of a finished run, "
        "which also supplies --data, --test, --keep, --budget and the reading of rows"
    )
    out: str = option("folder for the healed model and the record", "healed", metavar="FOLDER")
    evaluations: int = option(
        "most evaluations of the search; one asks a model all validation items once", 12, metavar="N", low=3
    )
    edits: tuple[str, ...] = option(f"edits to try, of {', '.join(EDITS)}", EDITS, metavar="EDIT")
    memory: tuple[str, ...] = option(
        "old examples (NAME=FILE), or `self` to let the base write some: a short retraining with them and with --data "
        "follows if the edits keep less than 90% of the learning",
        (),
        metavar="NAME=FILE",
    )
    data: str | None = option("examples that the fine-tune learned, for the retraining", None, metavar="FILE")
    recipe: str | None = option(
        "recipe of the retraining (by default one epoch at a small rate, with the old examples and a penalty to the "
        "base on them)",
        None,
        metavar="SUM",
    )

    max_length: int = option_of_run(MeasuringSpec, "max_length")
    raw: bool = option_of_run(MeasuringSpec, "raw")
    loss_on: Literal["completion", "all"] = option_of_run(MeasuringSpec, "loss_on")
    over_long: Literal["truncate", "drop"] = option_of_run(MeasuringSpec, "over_long")
    precision: Literal["fp32", "bf16", "fp16", "auto"] = option_of_run(MeasuringSpec, "precision")
    refused: Literal["error", "drop"] = option_of_run(MeasuringSpec, "refused")
    preference: Literal["refuse", "chosen"] = option_of_run(MeasuringSpec, "preference")
    depth: int = option_of_run(RankingOptions, "depth")

    def resolved(self, run: RunSpec | None = None, **changes: Any) -> HealSpec:
        """Returns the options with changes; what is not given is that of the run, or the default without one."""
        fields = [field for field in dataclasses.fields(self) if "otherwise" in field.metadata]
        open_ = [field for field in fields if getattr(self, field.name) is None]
        values = {field.name: default_of(field) if run is None else getattr(run, field.name) for field in open_}
        return dataclasses.replace(self, **values, **changes)

    def __post_init__(self) -> None:
        """Checks every value."""
        super().__post_init__()
        if self.reranks and self.memory == (SELF,):
            raise HoldfastError(
                "--memory self: a reranker writes no old lists; give NAME=SOURCE, as in old=general.jsonl, or leave it"
                " out."
            )
        for name in self.edits:
            if name not in EDITS:
                raise HoldfastError(f"--edits {name!r}: give {', '.join(EDITS)}.{nearest(name, EDITS)}")
        if not self.edits or len({*self.edits}) < len(self.edits):
            raise HoldfastError(f"--edits {' '.join(self.edits)}: name at least one edit, each once.")
        if self.memory != (SELF,):
            for entry in self.memory:
                name, equals, path = entry.partition("=")
                if not (name and equals and path):
                    raise HoldfastError(f"--memory {entry!r}: give NAME=FILE, as in old=general.jsonl, or self alone.")
        if self.recipe is not None and not self.memory:
            raise HoldfastError("--recipe is that of the retraining, which needs old examples: give --memory too.")
