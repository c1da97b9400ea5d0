"""`VerifyRecord`: whether the certificate of a model holds, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from holdfast.bench.measured.outcome import VerdictRow
from holdfast.bench.measured.schema import Record, column

Word = Literal["holds", "does not hold", "cannot tell"]
EXIT_CODES: Mapping[str, int] = {"holds": 0, "does not hold": 2, "cannot tell": 3}
"""Exit code of the command, by the word; 1 is an error."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyRecord(Record):
    """Whether the certificate of a model holds.

    Attributes:
        model: Folder of the model.
        word: "holds", "does not hold", or "cannot tell".
        reasons: What was found, in sentences; the first one decides the word.
        checked: What was compared: "files", "record", "answers".
        claimed: The verdict of the certificate; absent if it has none.
        found: The verdict of the answers that were given now; absent if nothing was asked or there is no budget.
    """

    model: str
    word: Word
    reasons: tuple[str, ...]
    checked: tuple[str, ...]
    claimed: VerdictRow | None = column(default=None)
    found: VerdictRow | None = column(default=None)

    @property
    def exit_code(self) -> int:
        """Returns 0 if the certificate holds, 2 if it does not, and 3 if that cannot be told."""
        return EXIT_CODES[self.word]
