"""The old examples that a method reads itself, with or without rehearsing them."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.mix import Example
from holdfast.core.rows import drawn
from holdfast.core.run import Run


def need_memory(method: Method) -> None:
    """Raises `HoldfastError` where a method's setting `memory` is empty."""
    if not method.sources:
        name = type(method).__name__
        raise HoldfastError(f"{name}() needs a memory of old examples: {name}(memory='old.jsonl').")


def old_examples(run: Run, method: Method, samples: int | None = None) -> list[Example]:
    """Returns the examples of a method's memories that have a supervised token, in order; none of them is packed.

    Args:
        run: The run.
        method: The method, whose setting `memory` names them.
        samples: Number of examples to draw; all if absent or if there are fewer.

    Raises:
        HoldfastError: A memory has no such example.
    """
    chosen: list[Example] = []
    for name in method.sources:
        examples = _documents(run.memory(name))
        if not examples:
            raise HoldfastError(f"{method!r}: memory {name!r} has no example with a supervised token.")
        chosen += examples
    return some(run, chosen, samples)


def new_examples(run: Run, method: Method, samples: int | None = None) -> list[Example]:
    """Returns the new examples that have a supervised token, in order; at most `samples` of them, drawn at random.

    None of them is packed.
    """
    chosen = _documents(run.examples("new"))
    if not chosen:
        raise HoldfastError(f"{method!r}: the training data has no example with a supervised token.")
    return some(run, chosen, samples)


def _documents(rows: Iterable[Example]) -> list[Example]:
    """Returns the documents with a supervised token: an example is one text, also where the trainer packs its rows."""
    return [document for row in rows for document in row.documents if document.supervised]


def some(run: Run, examples: list[Example], samples: int | None) -> list[Example]:
    """Returns `samples` examples, drawn by the run's seed, in their order; all if it is None or there are fewer."""
    if samples is None or samples >= len(examples):
        return examples
    return [examples[row] for row in sorted(drawn(len(examples), samples, run.seed, 0))]
