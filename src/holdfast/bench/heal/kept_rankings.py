"""What models made of queries, kept in files of a healing, so that an interrupted one ranks nothing twice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.bench.machine.files import write_json
from holdfast.rerank.suite import Ranked, RerankSuite

Raw = dict[str, dict[str, dict[str, float]]]
"""Raw scores: by suite, by query, by document."""


@dataclasses.dataclass(frozen=True)
class KeptRankings:
    """The files of raw scores in a folder, each with a name.

    Attributes:
        folder: The folder.
    """

    folder: Path

    def path(self, name: str) -> Path:
        """Returns the file of a name."""
        return self.folder / f"{name}.json"

    def raw(self, name: str) -> Raw:
        """Returns the raw scores of a file."""
        scores: Raw = json.loads(self.path(name).read_text(encoding="utf-8"))
        return scores

    def ranked(self, name: str, suites: Sequence[RerankSuite]) -> list[Ranked]:
        """Returns what a model made of suites, from its file."""
        raw = self.raw(name)
        return [suite.ranked(raw[suite.name]) for suite in suites]

    def once(
        self, name: str, suites: Sequence[RerankSuite], make: Callable[[], list[Ranked]], *, again: bool
    ) -> list[Ranked]:
        """Returns what `make` ranks, and keeps it.

        Args:
            name: Name of the file.
            suites: The suites that `make` ranks.
            make: Ranks them.
            again: Whether a file that is there is right still, and is read in place of ranking.
        """
        if again and self.path(name).exists():
            return self.ranked(name, suites)
        ranked = make()
        write_json(self.path(name), {suite.name: of.raw for suite, of in zip(suites, ranked, strict=True)})
        return ranked
