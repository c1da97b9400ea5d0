"""Verifies the certificate of a model: compares digests, then asks both models the same questions again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.asked import load_asked
from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.given.verify_spec import VerifySpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.measured.digests import answers_of
from holdfast.bench.measured.measurement import asker_of, measure
from holdfast.bench.measured.outcome import VerdictRow
from holdfast.bench.measured.preparation import read_suites
from holdfast.bench.measured.verdict import verdict
from holdfast.bench.run.proof import Judged, ProofRecord, ProofSuite, judged_side
from holdfast.bench.verify.files import read_proof, wrong_base, wrong_files, wrong_record
from holdfast.bench.verify.ranking import Again, Ranking
from holdfast.bench.verify.verify_record import VerifyRecord, Word
from holdfast.core.budget import Budget
from holdfast.probes.changes import changes
from holdfast.probes.score import Answers
from holdfast.probes.suite import Suite


@quiet_libraries()
def verify(spec: VerifySpec, console: Console | None = None) -> VerifyRecord:
    """Returns whether the certificate of a model holds.

    It does not hold if a file of the model, the base or the record differs from its digest, or if the answers that are
    given now lead to another verdict. It cannot be told if the questions are not those of the certificate, or the
    answers given now settle no verdict.

    Args:
        spec: The options.
        console: Console for progress; stderr by default.

    Raises:
        HoldfastError: The model has no certificate, or a model or file is missing.
    """
    console = console or Console(stderr=True)
    folder = Path(spec.model).expanduser()
    proof = read_proof(folder)
    base = spec.base or proof.base
    record_reasons, has_record = wrong_record(folder, proof)
    reasons = [*wrong_files(folder, proof), *wrong_base(proof, base), *record_reasons]
    checked = ("files", *(("record",) if has_record else ()))
    if reasons:
        return _record(folder, proof, "does not hold", reasons, checked)
    if spec.quick:
        known = [f"All {len(proof.files)} files of the model are those of the certificate; nothing was asked."]
        known += [] if has_record else ["The record of the run does not lie beside the folder, and was not compared."]
        return _record(folder, proof, "holds", known, checked)
    return _asked(spec, folder, proof, base, checked, console)


def _record(
    folder: Path,
    proof: ProofRecord,
    word: Word,
    reasons: Sequence[str],
    checked: Sequence[str],
    found: VerdictRow | None = None,
) -> VerifyRecord:
    return VerifyRecord(
        model=str(folder),
        word=word,
        reasons=tuple(reasons),
        checked=tuple(checked),
        claimed=proof.verdict,
        found=found,
    )


def _asked(
    spec: VerifySpec, folder: Path, proof: ProofRecord, base: str, checked: Sequence[str], console: Console
) -> VerifyRecord:
    """Asks both models what the certificate says was asked, and compares answers and verdict."""
    asking = DiffSpec(base=base, tuned=str(folder), eval_batch_tokens=spec.eval_batch_tokens, **proof.asked.options())
    notes: list[str] = []
    again: Again = Ranking.of(asking, proof, notes) if asking.reranks else _Asking.of(asking, proof, notes)
    by_name = {claim.name: claim for claim in proof.suites if claim.again}
    others = by_name.keys() - {suite.name for suite in again.judged}
    others |= {suite.name for suite in again.judged if suite.questions != by_name[suite.name].questions}
    if others:
        text = f"The questions of {', '.join(sorted(others))} are not those of the certificate, so nothing was asked."
        return _record(folder, proof, "cannot tell", [text, *notes], checked)
    for note in notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    with Progress(console) as progress:
        sides = again.ask(progress)
    return _compared(folder, proof, [by_name[suite.name] for suite in again.judged], sides, checked)


@dataclasses.dataclass(frozen=True)
class _Asking:
    """Language models that are asked again (`Again`)."""

    spec: DiffSpec
    tokenizer: Any
    suites: Sequence[Suite]

    @classmethod
    def of(cls, spec: DiffSpec, proof: ProofRecord, notes: list[str]) -> _Asking:
        """Reads the suites of a certificate."""
        tokenizer = load_tokenizer(spec.base)
        return cls(spec, tokenizer, _suites(spec, proof, tokenizer, notes))

    @property
    def judged(self) -> list[Judged]:
        """Returns the suites as a certificate knows them."""
        return list(map(Judged.of, self.suites))

    def ask(self, progress: Progress) -> tuple[Answers, Answers]:
        """Returns the answers of the base and of the model."""
        base, tuned = self.spec.base, self.spec.tuned
        before = measure(
            load_asked(base), self.suites, asker_of(self.spec, self.tokenizer), "before", progress.measuring
        )
        asker = asker_of(self.spec, load_tokenizer(tuned, base=base))
        return before, measure(load_asked(tuned, base=base), self.suites, asker, "after", progress.measuring)


def _suites(asking: DiffSpec, proof: ProofRecord, tokenizer: object, notes: list[str]) -> list[Suite]:
    """Returns the judged suites that can be asked again, with the items that the certificate names."""
    claims = {claim.name: claim for claim in proof.suites if claim.again}
    suites = [suite for suite in read_suites(asking, tokenizer, notes) if suite.name in claims]
    chosen = []
    for suite in judged_side(suites, proof.watched):
        names = {*claims[suite.name].items}
        chosen.append(dataclasses.replace(suite, items=tuple(item for item in suite.items if item.id in names)))
    return chosen


def _compared(
    folder: Path,
    proof: ProofRecord,
    claims: Sequence[ProofSuite],
    sides: tuple[Answers, Answers],
    checked: Sequence[str],
) -> VerifyRecord:
    """Returns the word on the answers: equal ones hold, others are judged again."""
    before, after = sides
    differ = [
        claim.name
        for claim in claims
        if (answers_of(before, claim.name), answers_of(after, claim.name)) != (claim.before, claim.after)
    ]
    checked, count = (*checked, "answers"), len(claims)
    budget = None if proof.verdict is None else _budget(proof.verdict)
    found = None if budget is None else verdict(changes(before.scores, after.scores), budget)
    held_out = [claim.name for claim in proof.suites if not claim.again]
    notes = [f"{name} was held out of the data, and was not asked again." for name in held_out]
    if not differ:
        where = f"all {count} suites" if count > 1 else "the one suite that was asked"
        reasons = [f"Both models gave the answers of the certificate in {where}.", *notes]
        return _record(folder, proof, "holds", reasons, checked, found)
    said = f"The answers in {', '.join(differ)} are not those of the certificate"
    if found is None or proof.verdict is None:
        return _record(folder, proof, "cannot tell", [f"{said}, and it claims no verdict to compare.", *notes], checked)
    if found.word == proof.verdict.word:
        reasons = [f"{said} (another machine or other versions), but the verdict is the same: {found.word}.", *notes]
        return _record(folder, proof, "holds", reasons, checked, found)
    word: Word = "cannot tell" if found.word == "not enough evidence" else "does not hold"
    reasons = [f"{said}: the verdict is {found.word} now, and the certificate says {proof.verdict.word}.", *notes]
    return _record(folder, proof, word, reasons, checked, found)


def _budget(judged: VerdictRow) -> Budget:
    return Budget(points=judged.limits.get("points"), nll=judged.limits.get("nats"), claim=judged.claim)
