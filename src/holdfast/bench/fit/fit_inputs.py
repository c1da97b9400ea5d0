"""What a fit reads before any weight: the data, and whether there are items to steer by and to judge."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import torch

from holdfast.bench.fit.ladder import Ladder, ladder_of
from holdfast.bench.fit.price import PlainRun
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.model_files import folder_of_model, folder_or_name, is_adapter
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.measured.power import power_notes
from holdfast.bench.plan.facts import PlanInputs, read_plan_inputs
from holdfast.bench.plan.recipes import estimated
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.plan.rules.training import EPOCHS
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.precision import DTYPES, Precision

SIDES = {"watch", "proof"}
GUESSED = 0.2
"""Share of the speed of a product of large matrices at which a model is assumed to train and to answer."""
ASKED_TOKENS = 64
"""Tokens that asking an item is assumed to read and write."""


@dataclasses.dataclass(frozen=True)
class FitInputs:
    """The inputs of a fit.

    Attributes:
        spec: The options.
        plan: What a plan reads.
        parameters: Number of parameters of the model.
    """

    spec: FitSpec
    plan: PlanInputs
    parameters: int

    @property
    def examples(self) -> Sequence[Example]:
        """Returns the examples to train on."""
        return self.plan.data.train

    @property
    def rows(self) -> int:
        """Returns the number of examples to train on."""
        return len(self.examples)

    @property
    def doubts(self) -> list[str]:
        """Returns a sentence if the kept items can hardly prove the budget."""
        return power_notes(self.plan.data.suites, self.spec.allowed(), self.parameters)

    def plain(self, run: RunSpec, *, epochs: float, batch: int) -> PlainRun:
        """Returns the unit of the cost, with the old examples that the options name."""
        return PlainRun.of(run, self.plan, epochs=epochs, batch=batch)

    def ladder(self, made: PlanRecord, names: Sequence[str]) -> Ladder:
        """Returns the rungs of the pilot."""
        return ladder_of(made, names)

    @property
    def learns(self) -> bool:
        """Whether validation items measure what is learned."""
        return any(suite.role == "learned" and {*suite.splits()} == SIDES for suite in self.plan.data.suites)

    @property
    def unhealable(self) -> str:
        """Returns why no edit can heal a run of the model, as a clause; empty if one can."""
        return unhealable(self.spec.model) or (
            "is quantised, and edits need whole weights" if hasattr(self.plan.config, "quantization_config") else ""
        )

    @property
    def asked(self) -> int:
        """Returns the number of items and texts."""
        return sum(map(len, self.plan.data.suites))

    def guess(self) -> tuple[float, float]:
        """Returns a guess of the seconds of a plain run, and of asking everything once.

        It is 6 products and sums for each parameter and token that is trained, 2 for one that is read, at a share of
        the speed of a product of matrices.
        """
        tokens = EPOCHS * sum(len(example.input_ids) for example in self.examples)
        speed = GUESSED * speed_of_products(self.spec.precision)
        return 6 * self.parameters * tokens / speed, 2 * self.parameters * ASKED_TOKENS * self.asked / speed


def unhealable(model: str) -> str:
    """Returns why no edit can heal a run of a model, as a clause; empty if nothing in its folder speaks against it."""
    return "is an adapter, and edits need whole weights" if is_adapter(folder_of_model(folder_or_name(model))) else ""


def read_fit_inputs(spec: FitSpec) -> FitInputs:
    """Reads the inputs of a fit, and refuses one that nothing could judge.

    Raises:
        HoldfastError: A file is missing or malformed, the budget limits nothing, or no suite that it limits has both
            validation items and test items.
    """
    inputs = read_plan_inputs(spec.run())
    _check_sides(inputs, spec)
    return FitInputs(spec, inputs, estimated(inputs, ["Train()"])["Train()"].parameters)


def _check_sides(inputs: PlanInputs, spec: FitSpec) -> None:
    limits = spec.promise().limits
    limited = [suite for suite in inputs.data.suites if suite.role == "retained" and suite.units() & limits.keys()]
    if any({*suite.splits()} == SIDES for suite in limited):
        return
    counts = ", ".join(f"{suite.name} ({len(suite.splits())})" for suite in limited)
    raise HoldfastError(
        f"No suite to keep has both validation items, which steer, and test items, which judge: {counts}; give more"
        " items (a few dozen), or of a suite of ground: the part /cut, which has both."
    )


def speed_of_products(precision: Precision) -> float:
    """Returns the products and sums per second of a product of matrices, from the fastest in a few milliseconds."""
    device: Any = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    matrix = torch.zeros(512, 512, device=device, dtype=DTYPES[precision])
    least, until = math.inf, time.perf_counter() + 0.02
    matrix @ matrix
    while least == math.inf or time.perf_counter() < until:
        began = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        least = min(least, time.perf_counter() - began)
    return 2 * 512**3 / least
