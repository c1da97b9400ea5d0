"""All glances of a healing: two numbers for each model, in a file, read as a place between base and tuned model.

The numbers are nats: one that rises as a model leaves the base on what is to be kept, and one that falls as it learns
the task.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from holdfast.bench.heal.search import Glance
from holdfast.bench.machine.files import append_jsonl, read_jsonl


@dataclasses.dataclass
class GlanceBook:
    """The glances so far.

    Attributes:
        path: File of the glances, from which an interrupted search continues.
        nats: By edit and strength ("base" at 0 and "tuned" at 1 for the two models): the nats on what is to be kept,
            those on the task, and the length of the change that is left, as a share of that of the tuned model.
    """

    path: Path
    nats: dict[tuple[str, float], tuple[float, float, float]] = dataclasses.field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Reads the glances that the file has."""
        for row in read_jsonl(self.path) if self.path.exists() else ():
            self.nats[row["edit"], row["strength"]] = row["kept"], row["learned"], row["left"]

    def has(self, edit: str, strength: float) -> bool:
        """Returns whether a glance is known."""
        return (edit, strength) in self.nats

    def keep(self, edit: str, strength: float, kept: float, learned: float, left: float) -> None:
        """Keeps a glance, in the file too."""
        self.nats[edit, strength] = kept, learned, left
        append_jsonl(self.path, {"edit": edit, "strength": strength, "kept": kept, "learned": learned, "left": left})

    def glance(self, edit: str, strength: float) -> Glance:
        """Returns a glance, measured between the base and the tuned model.

        Where the tuned model is no further from the base on what is to be kept, or no nearer to the task, the change
        that is left stands in.
        """
        kept, learned, left = self.nats[edit, strength]
        (kept_of_base, learned_of_base, _), (kept_of_tuned, learned_of_tuned, _) = (
            self.nats["base", 0.0],
            self.nats["tuned", 1.0],
        )
        drift, way = kept_of_tuned - kept_of_base, learned_of_base - learned_of_tuned
        return Glance(
            drift=(kept - kept_of_base) / drift if drift > 0 else left**2,
            way=(learned_of_base - learned) / way if way > 0 else left,
        )
