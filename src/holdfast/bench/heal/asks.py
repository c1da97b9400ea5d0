"""What a healing asks of models, whatever these do: one class for language models (`asking.py`), one for rerankers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol

from holdfast.bench.diff.diff_record import SteeredRow
from holdfast.bench.heal.documents import Judgement
from holdfast.bench.heal.edits import Editor
from holdfast.bench.heal.glance_book import GlanceBook
from holdfast.bench.heal.heal_record import BeforeHealing
from holdfast.bench.heal.search import Glance
from holdfast.bench.heal.validation import Validated
from holdfast.bench.machine.progress import Progress
from holdfast.probes.score import Score
from holdfast.probes.watch_record import WatchRecord

HEALED = "healed"
"""Name of the healed model among the answers to the test items."""
TUNED = "tuned"
"""Name of the tuned model among the answers of the search."""
Show = Callable[[str, int], Callable[[int, int], None]]
"""Takes the name of a task and its size, and returns a function `(done, total)` that moves its progress bar."""


@dataclasses.dataclass(frozen=True)
class AskedBase:
    """What the base was asked.

    Attributes:
        validation: Its scores on the validation items.
        test: Its scores on the test items.
        transposed: Names of its weights that are stored as `[in, out]`.
        seconds: Time for one item.
    """

    validation: Sequence[Score]
    test: Sequence[Score]
    transposed: tuple[str, ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class ModelGlances:
    """Glances at models in folders.

    Attributes:
        book: The glances so far.
        size: Number of items that a glance reads.
        take: Glances at a model: its name or folder, the edit, its strength, and the change that it leaves.
    """

    book: GlanceBook
    size: int
    take: Callable[[str, str, float, float], None]

    def at(self, edit: str, strength: float) -> Glance:
        """Returns a glance that was taken."""
        return self.book.glance(edit, strength)


class Asks(Protocol):
    """How a healing asks its models."""

    @property
    def questions(self) -> str:
        """A digest of all questions."""

    @property
    def validation(self) -> Sequence[Validated]:
        """The suites of the search, with validation items alone."""

    @property
    def steered(self) -> SteeredRow | None:
        """What steered a training and is not judged; None without any."""

    def editor(self, work: Path, notes: list[str]) -> Editor:
        """Returns the editor of the two models, after a check that they are of one kind."""

    def base(self, names: Sequence[str], notes: list[str]) -> AskedBase:
        """Asks the base everything, or reads its answers of an interrupted healing."""

    def scores(self, model: str, name: str, show: Show) -> Sequence[Score]:
        """Asks a model the validation items."""

    def glances(self) -> ModelGlances:
        """Returns the glances at models; asks nothing."""

    def complete(self, folder: Path) -> None:
        """Adds to an edited model what it needs besides its weights."""

    def record(self) -> WatchRecord:
        """Returns the record of what steers the healing."""

    def judged(self, model: str, name: str, *, again: bool = False) -> BeforeHealing:
        """Asks a model the test items, and returns the changes from the base and the verdict.

        Args:
            model: The model.
            name: Its name in the progress and in the file of its answers.
            again: Whether answers in that file are right still.
        """

    def judgement(self) -> Judgement:
        """Returns what the verdict on the healed model rests on, after it was judged."""

    def more(self) -> dict[str, Any]:
        """Returns further fields of the record, on the model that was judged last."""


def counting(progress: Progress, name: str, suites: Iterable[Iterable[Sized]], times: int = 1) -> Show:
    """Returns a `Show` that moves one bar over all suites, asked so many times."""
    whole = times * sum(len(suite) for of in suites for suite in of)
    advance, done = progress.task(name, whole), [0]

    def show(_name: str, total: int) -> Callable[[int, int], None]:
        start = done[0]
        done[0] += total
        return lambda now, _whole: advance(min(start + now, whole - 1))  # a glance is of about a quarter

    return show
