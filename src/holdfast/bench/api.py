"""The commands as Python functions: they take the flags as arguments and return what the command line prints."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from holdfast.bench.compare.compare import compare as _compare
from holdfast.bench.diff.diff import diff as _diff
from holdfast.bench.fit.fit import fit as _fit
from holdfast.bench.forecast.plan import plan as _plan
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import CompareSpec, DiffSpec, PlanSpec, RunSpec
from holdfast.bench.given.verify_spec import VerifySpec
from holdfast.bench.heal.heal import heal as _heal
from holdfast.bench.plan.auto import train_planned
from holdfast.bench.verify.verify import verify as _verify

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


def with_fields(make: Callable[P, S], run: Callable[[S], R], name: str, module: str, doc: str) -> Callable[P, R]:
    """Returns `run` as a function of the fields of `make`.

    Args:
        make: The class of the command's options.
        run: The function that takes such options.
        name: Name of the returned function.
        module: Its module.
        doc: Its docstring.
    """

    @functools.wraps(run)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return run(make(*args, **kwargs))

    call.__name__ = call.__qualname__ = name
    call.__module__ = module
    call.__doc__ = doc
    call.__signature__ = inspect.signature(make)  # type: ignore[attr-defined]
    return call


fine_tune = with_fields(
    RunSpec,
    train_planned,
    "fine_tune",
    __name__,
    """Fine-tunes a model, measures what it learned and forgot, and returns the run; `holdfast train` in Python.

    The fields are those of `RunSpec`, which are the flags of the command. The result's `.record` is a
    `holdfast.RunRecord`.

    Raises:
        HoldfastError: For anything that the caller can mend, in one sentence.
    """,
)

fit = with_fields(
    FitSpec,
    _fit,
    "fit",
    __name__,
    """Fine-tunes a model inside a budget at a stated cost, as `holdfast fit` does; returns a `holdfast.FitRecord`.

    The fields are those of `FitSpec`, which are the flags of the command.

    Raises:
        HoldfastError: For anything that the caller can mend, in one sentence.
    """,
)

compare = with_fields(
    CompareSpec,
    _compare,
    "compare",
    __name__,
    """Trains with several recipes, doses and seeds, and returns where the runs are; `holdfast compare` in Python.

    The fields are those of `CompareSpec`, which are the flags of the command.

    Raises:
        HoldfastError: For anything that the caller can mend, in one sentence.
    """,
)

diff = with_fields(
    DiffSpec,
    _diff,
    "diff",
    __name__,
    """Asks two models the same items, and returns a `holdfast.DiffRecord` of what changed; `holdfast diff` in Python.

    The fields are those of `DiffSpec`, which are the flags of the command.

    Raises:
        HoldfastError: For anything that the caller can mend, in one sentence.
    """,
)

plan = with_fields(
    PlanSpec,
    _plan,
    "plan",
    __name__,
    """Returns a `holdfast.PlanRecord`: facts about a model and its data, and advice; `holdfast plan` in Python.

    The fields are those of `PlanSpec`, which are the flags of the command. It needs a model and data; configs are
    checked by the command alone.

    Raises:
        HoldfastError: For anything that the caller can mend, in one sentence.
    """,
)

heal = with_fields(
    HealSpec,
    _heal,
    "heal",
    __name__,
    """Brings a finished fine-tune inside a budget, and returns a `holdfast.HealRecord`; `holdfast heal` in Python.

    The fields are those of `HealSpec`, which are the flags of the command.

    Raises:
        HoldfastError: For anything that the caller can mend, in one sentence.
    """,
)

verify = with_fields(
    VerifySpec,
    _verify,
    "verify",
    __name__,
    """Checks whether the certificate of a model holds; returns a `holdfast.VerifyRecord`; `holdfast verify` in Python.

    The fields are those of `VerifySpec`, which are the flags of the command.

    Raises:
        HoldfastError: For anything that the caller can mend, in one sentence.
    """,
)
