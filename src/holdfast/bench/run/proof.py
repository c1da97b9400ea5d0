"""The certificate of a model: `proof.json`, which says what was asked, what came back, and what follows from it.

It is no signature: anybody can write one. It lets anybody check the claim by asking the models again
(`holdfast verify`), and shows whether the weights beside it are those that were judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import holdfast
from holdfast.bench.given.model_files import RERANKER, folder_or_name, reranker_or_name
from holdfast.bench.machine.env import environment
from holdfast.bench.machine.files import write_json
from holdfast.bench.measured.digests import answers_of, digest_of, folder_digests, questions_of
from holdfast.bench.measured.outcome import Outcome, VerdictRow
from holdfast.bench.measured.schema import Record, Versioned, column
from holdfast.probes.score import Answers, Role
from holdfast.probes.suite import Suite

if TYPE_CHECKING:  # the extra of rerankers is not needed here
    from holdfast.rerank.suite import RerankSuite

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
        depth: Candidates of a query that BM25 found; absent if the models generate text.
        refused: What became of rows that the chat template refuses.
        preference: What became of rows that have a chosen and a rejected answer.
    """

    test: str | None = column(default=None)
    transfer: str | None = column(default=None)
    keep: tuple[str, ...]
    max_length: int
    raw: bool
    loss_on: Literal["completion", "all"]
    over_long: Literal["truncate", "drop"]
    precision: Literal["fp32", "bf16", "fp16"]
    depth: int | None = column(default=None)
    refused: Literal["error", "drop"] = column(default="error")
    preference: Literal["refuse", "chosen"] = column(default="refuse")

    def options(self) -> dict[str, Any]:
        """Returns the options of a diff that asks in the same way."""
        values = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        return values | {"task": "generate" if self.depth is None else "rerank"}


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
        record: SHA-256 of the record of the run or of the healing, which lies beside the model's folder.
        record_file: Name of its file.
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
    record_file: str = column(default="result.json")
    seal: str = column(default="")

    def sealed(self) -> ProofRecord:
        """Returns the certificate with its seal."""
        return dataclasses.replace(self, seal=seal_of(self.to_dict()))


def seal_of(content: Mapping[str, Any]) -> str:
    """Returns the seal of a certificate by what its file holds, so that fields of a later version change nothing."""
    return digest_of({key: value for key, value in content.items() if key != "seal"})


def base_digests(base: str) -> dict[str, str]:
    """Returns the digests of the weights of a base in a folder; empty for a name on the hub."""
    folder = Path(reranker_or_name(base) if base == RERANKER else folder_or_name(base)).expanduser()
    return folder_digests(folder, suffixes=WEIGHTS) if folder.is_dir() else {}


def judged_side(suites: Sequence[Suite], watched: Collection[str]) -> list[Suite]:
    """Returns the suites without the side that steered the training."""
    return [suite.side("proof") if suite.name in watched else suite for suite in suites]


@dataclasses.dataclass(frozen=True)
class Judged:
    """A suite that was judged, as a certificate knows it.

    Attributes:
        name: Its name.
        role: What it measures.
        items: Names of its judged items or queries; empty for texts.
        questions: SHA-256 of what was asked.
    """

    name: str
    role: Role
    items: tuple[str, ...]
    questions: str

    @classmethod
    def of(cls, suite: Suite) -> Judged:
        """Returns a suite of items and texts, of which the judged ones are left."""
        return cls(suite.name, suite.role, tuple(item.id for item in suite.items), questions_of(suite))

    @classmethod
    def of_queries(cls, suite: RerankSuite) -> Judged:
        """Returns a suite of queries; what is asked are their texts and those of their candidates."""
        collection = suite.collection
        asked = [
            [
                query,
                collection.queries[query].text,
                [[at, collection.documents[at].content] for at in collection.candidates.get(query, ())],
                sorted(collection.judgments[query].items()),
            ]
            for query in collection.judged
        ]
        return cls(suite.name, suite.role, tuple(collection.judged), digest_of(asked))


def asked_how(spec: Any, keep: Sequence[str], *, ranks: bool = False) -> AskedHow:
    """Returns how models were asked, from the options of a run or a healing.

    Args:
        spec: The options.
        keep: The sources of what is kept, also where the options name none.
        ranks: Whether the models rank documents.
    """
    names = {field.name for field in dataclasses.fields(AskedHow)} - {"keep", "depth"}
    values = {name: getattr(spec, name) for name in names}
    return AskedHow(keep=tuple(keep), depth=spec.depth if ranks else None, **values)


def write_proof(
    folder: Path,
    base: str,
    record: Outcome,
    record_file: str,
    asked: AskedHow,
    watched: Sequence[str],
    suites: Sequence[Judged],
    sides: tuple[Answers, Answers],
) -> ProofRecord:
    """Writes the certificate of a model into its folder, and returns it.

    Args:
        folder: Folder of the model.
        base: Name of the base.
        record: The record of the run or the healing.
        record_file: Name of its file, beside the folder of the model.
        asked: How the models were asked.
        watched: Suites of which one side steered, so that the other is judged.
        suites: The suites with what was judged of them.
        sides: The judged answers of the base and of the model.
    """
    before, after = sides
    rows = {row.name: row for row in record.suites}
    proofs = []
    for suite in suites:
        if suite.name not in rows:
            continue
        row = rows[suite.name]
        proofs.append(
            ProofSuite(
                name=suite.name,
                role=suite.role,
                again=suite.role == "retained"
                or (asked.test if suite.role == "learned" else asked.transfer) is not None,
                items=suite.items,
                questions=suite.questions,
                before=answers_of(before, suite.name),
                after=answers_of(after, suite.name),
                answers_lost=row.answers_lost,
                answers_gained=row.answers_gained,
                change=row.change,
                low=row.low,
                high=row.high,
            )
        )
    proof = ProofRecord(
        made_by=f"holdfast {holdfast.__version__}",
        packages=environment()["packages"],
        base=base,
        base_files=base_digests(base),
        files=folder_digests(folder, leave_out=OURS),
        asked=asked,
        watched=tuple(watched),
        suites=tuple(proofs),
        verdict=record.verdict,
        record=digest_of(record.to_dict()),
        record_file=record_file,
    ).sealed()
    write_json(folder / FILE, proof.to_dict())
    return proof
