"""The commands as Python functions: the same fields as the flags, and the record that the command line prints."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from holdfast.bench.compare import compare as _compare
from holdfast.bench.run import train
from holdfast.bench.specs import CompareSpec, RunSpec

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


def _with_fields(make: Callable[P, S], run: Callable[[S], R], name: str, doc: str) -> Callable[P, R]:
    """Returns `run` as a function called `name` of the fields that `make` puts together."""

    @functools.wraps(run)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return run(make(*args, **kwargs))

    call.__name__ = call.__qualname__ = name
    call.__module__ = __name__
    call.__doc__ = doc
    call.__signature__ = inspect.signature(make)  # type: ignore[attr-defined]
    return call


fine_tune = _with_fields(
    RunSpec,
    train,
    "fine_tune",
    """Fine-tunes a model, measures what it learned and forgot, and returns the record; `holdfast train` in Python.

    The fields are those of `RunSpec`, which are the flags of the command.

    Raises:
        HoldfastError: For anything the caller can mend, in one sentence.
    """,
)

compare = _with_fields(
    CompareSpec,
    _compare,
    "compare",
    """Trains with several recipes, doses and seeds, and returns where the runs are; `holdfast compare` in Python.

    The fields are those of `CompareSpec`, which are the flags of the command.

    Raises:
        HoldfastError: For anything the caller can mend, in one sentence.
    """,
)
