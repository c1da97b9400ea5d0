"""The certificate of a model: `proof.json`, which says what was asked, what came back, and what follows from it.

It is no signature: anybody can write one. It lets anybody check the claim by asking the models again
(`holdfast verify`), and shows whether the weights beside it are those that were judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import holdfast
from holdfast.bench.given.model_files import folder_or_name
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.env import environment
from holdfast.bench.machine.files import write_json
from holdfast.bench.measured.digests import answers_of, digest_of, folder_digests, questions_of
from holdfast.bench.measured.outcome import VerdictRow
from holdfast.bench.measured.schema import Record, Versioned, column
from holdfast.bench.run.record import RunRecord
from holdfast.probes.score import Answers
from holdfast.probes.suite import Suite

CARD = "README.md"
FILE = "proof.json"
OURS = (CARD, FILE)
"""Files beside the model that the certificate does not cover: the card, which anybody may edit, and itself."""
WEIGHTS = (".safetensors",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AskedHow(Record):
    """How the models were asked: the options with which `holdfast verify` asks them again.

    Attributes:
        test: Examples or items that measure learning; absent if rows of the data were held out.
        transfer: Examples or items of the same skill in a shifted domain; absent without any.
        keep: What the model must not get worse at.
        max_length: Longest row, in tokens.
        raw: Whether prompts were used without the chat template.
        loss_on: The tokens that were scored.
        over_long: What became of longer rows.
        precision: Number format of the computation.
    """

    test: str | None = column(default=None)
    transfer: str | None = column(default=None)
    keep: tuple[str, ...]
    max_length: int
    raw: bool
    loss_on: Literal["completion", "all"]
    over_long: Literal["truncate", "drop"]
    precision: Literal["fp32", "bf16", "fp16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProofSuite(Record):
    """One suite that was asked of both models.

    Attributes:
        name: Its name.
        role: What the suite measures: "learned", "transfer" or "retained".
        again: Whether the options name its items, so that they can be asked again; rows that were held out of the data
            cannot.
        items: Names of its judged items; empty for texts.
        questions: SHA-256 of the judged items and texts.
        before: SHA-256 of the base's answers and scores.
        after: SHA-256 of the tuned model's answers and scores.
        answers_lost: Answers that were right before and are wrong after; absent for texts.
        answers_gained: Answers that were wrong before and are right after; absent likewise.
        change: Change of the score, in the suite's unit.
        low: Lower end of its 95% interval; absent for a single group.
        high: Upper end.
    """

    name: str
    role: Literal["learned", "transfer", "retained"]
    again: bool
    items: tuple[str, ...] = column(default=())
    questions: str
    before: str
    after: str
    answers_lost: int | None = column(default=None)
    answers_gained: int | None = column(default=None)
    change: float
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProofRecord(Versioned):
    """The certificate of a model, stored as proof.json beside it. All digests are SHA-256 over canonical JSON or files.

    Attributes:
        made_by: The version of Holdfast that wrote it.
        packages: Versions of the packages that asked the models.
        base: Name of the model before training.
        base_files: SHA-256 of the base's weights by file, if its folder is known.
        files: SHA-256 of every file of the model by name, without the card and the certificate.
        asked: How the models were asked.
        watched: Suites of which one side steered the training; the verdict is on the other side.
        suites: What was asked and came back, suite by suite.
        verdict: The verdict with its bounds; absent without a budget.
        record: SHA-256 of the record of the run, which lies beside the model's folder.
        seal: SHA-256 of everything above, which shows an accidental change of this file.
    """

    FILE: ClassVar[str] = FILE

    made_by: str
    packages: Mapping[str, str]
    base: str
    base_files: Mapping[str, str]
    files: Mapping[str, str]
    asked: AskedHow
    watched: tuple[str, ...]
    suites: tuple[ProofSuite, ...]
    verdict: VerdictRow | None = column(default=None)
    record: str
    seal: str = column(default="")

    def sealed(self) -> ProofRecord:
        """Returns the certificate with its seal."""
        return dataclasses.replace(self, seal=self.computed_seal())

    def computed_seal(self) -> str:
        """Returns the seal that its content has."""
        return digest_of({key: value for key, value in self.to_dict().items() if key != "seal"})


def base_digests(base: str) -> dict[str, str]:
    """Returns the digests of the weights of a base in a folder; empty for a name on the hub."""
    folder = Path(folder_or_name(base)).expanduser()
    return folder_digests(folder, suffixes=WEIGHTS) if folder.is_dir() else {}


def judged_side(suites: Sequence[Suite], watched: Sequence[str]) -> list[Suite]:
    """Returns the suites without the side that steered the training."""
    return [suite.side("proof") if suite.name in watched else suite for suite in suites]


def write_proof(
    folder: Path,
    spec: RunSpec,
    record: RunRecord,
    suites: Sequence[Suite],
    sides: tuple[Answers, Answers],
) -> ProofRecord:
    """Writes the certificate of a run's model into its folder, and returns it.

    Args:
        folder: Folder of the model.
        spec: The options of the run.
        record: Its record.
        suites: The suites that were asked, both sides.
        sides: The judged answers of the base and of the tuned model.
    """
    watched = () if record.guard is None else record.guard.watched
    before, after = sides
    rows = {row.name: row for row in record.suites}
    proofs = []
    for suite in judged_side(suites, watched):
        if suite.name not in rows:
            continue
        row = rows[suite.name]
        proofs.append(
            ProofSuite(
                name=suite.name,
                role=suite.role,
                again=suite.role == "retained" or (spec.test if suite.role == "learned" else spec.transfer) is not None,
                items=tuple(item.id for item in suite.items),
                questions=questions_of(suite),
                before=answers_of(before, suite.name),
                after=answers_of(after, suite.name),
                answers_lost=row.answers_lost,
                answers_gained=row.answers_gained,
                change=row.change,
                low=row.low,
                high=row.high,
            )
        )
    names = [field.name for field in dataclasses.fields(AskedHow)]
    proof = ProofRecord(
        made_by=f"holdfast {holdfast.__version__}",
        packages=environment()["packages"],
        base=spec.model,
        base_files=base_digests(spec.model),
        files=folder_digests(folder, leave_out=OURS),
        asked=AskedHow(**{name: getattr(spec, name) for name in names}),
        watched=tuple(watched),
        suites=tuple(proofs),
        verdict=record.verdict,
        record=digest_of(record.to_dict()),
    ).sealed()
    write_json(folder / FILE, proof.to_dict())
    return proof
