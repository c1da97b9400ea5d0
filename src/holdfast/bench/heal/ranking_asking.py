"""Asks rerankers: the base everything once, edits the validation queries, and a finished model the test queries."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from holdfast.bench.diff.diff_record import SteeredRow
from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.given.model_files import folder_of_model, folder_or_name, reranker_or_name
from holdfast.bench.heal.asks import AskedBase, ModelGlances, Show, counting
from holdfast.bench.heal.documents import Judgement
from holdfast.bench.heal.edits import Editor
from holdfast.bench.heal.glance_book import GlanceBook
from holdfast.bench.heal.heal_record import BeforeHealing
from holdfast.bench.heal.inputs import HealInputs
from holdfast.bench.heal.kept_rankings import KeptRankings
from holdfast.bench.heal.ranking_glances import Nats, glanced_queries
from holdfast.bench.heal.ranking_suites import RankingSuites, questions_digest, ranking_suites_of
from holdfast.bench.heal.sides import check_tokens, editor_of, transposed_in, with_tokenizer
from holdfast.bench.heal.steering import records_beside
from holdfast.bench.machine.progress import Progress
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import row_of
from holdfast.bench.measured.ranking import named_sources, rank, ranking_rows
from holdfast.bench.measured.symptom_record import rows_of
from holdfast.bench.measured.verdict import verdict
from holdfast.bench.run.documents import ranked_answers
from holdfast.bench.run.proof import Judged
from holdfast.core.errors import HoldfastError
from holdfast.core.precision import Precision
from holdfast.probes.changes import changes
from holdfast.probes.score import Score
from holdfast.probes.watch_record import WatchRecord
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.questions import entries_of
from holdfast.rerank.scoring import BiEncoderReranker, CrossEncoderReranker
from holdfast.rerank.suite import Ranked, RerankSuite
from holdfast.rerank.symptoms.evidence import evidence_of
from holdfast.rerank.symptoms.names import symptoms_of


@dataclasses.dataclass
class RankingAsking:
    """How rerankers are asked (`Asks`).

    Attributes:
        inputs: The inputs of the healing.
        suites: The suites.
        folder: The folder of the healing.
        console: Console for progress.
        last: What the model that was judged last made of the test queries; None before any.
    """

    inputs: HealInputs
    suites: RankingSuites
    folder: Path
    console: Console
    last: list[Ranked] | None = None

    @classmethod
    def of(cls, inputs: HealInputs, folder: Path, console: Console, notes: list[str]) -> Self:
        """Reads the suites.

        Raises:
            HoldfastError: As `ranking_suites_of` does.
        """
        return cls(inputs, ranking_suites_of(inputs, notes), folder, console)

    @property
    def questions(self) -> str:
        """Returns a digest of all queries, their judgments and the contents of their candidates."""
        return questions_digest(self.suites, self.inputs.spec.max_length, self.inputs.spec.precision)

    @property
    def validation(self) -> tuple[RerankSuite, ...]:
        """Returns the suites of the search."""
        return self.suites.validation

    @property
    def steered(self) -> SteeredRow | None:
        """Returns what steered a training and is not judged; None without any."""
        return self.suites.steered

    def editor(self, work: Path, notes: list[str]) -> Editor:
        """Returns the editor of the two models, after a check that they are of one kind.

        Raises:
            HoldfastError: They are not, or one of them is no cross-encoder.
        """
        base, tuned = self.inputs.spec.base, self.inputs.tuned
        editor = editor_of(base, tuned, work, notes, lambda name, _, more: self._loaded(name, more, "fp32").model)
        check_tokens(base, tuned, load_tokenizer(base), load_tokenizer(tuned, base=base))
        return editor

    def base(self, names: Sequence[str], notes: list[str]) -> AskedBase:
        """Ranks all validation and test queries with the base, or reads what an interrupted healing kept of it.

        Args:
            names: Names of the weights, as the files have them.
            notes: List that receives notes for the user.

        Raises:
            HoldfastError: The base cannot be loaded, or is a bi-encoder.
        """
        with Progress(self.console) as progress, progress.phase(f"loading {self.inputs.spec.base}"):
            model = self._loaded(self.inputs.spec.base, notes)
        began = time.monotonic()
        ranked = self._kept(lambda: model, "base-validation", self.suites.validation, again=True)
        test = self._kept(lambda: model, "base-test", self.suites.test, again=True)
        count = sum(len(suite) for suite in (*self.suites.validation, *self.suites.test))
        return AskedBase(
            validation=_scores(ranked),
            test=_scores(test),
            transposed=tuple(transposed_in(model.model, list(names))),
            seconds=(time.monotonic() - began) / max(1, count) if test else 0.0,
        )

    def scores(self, model: str, name: str, show: Show) -> Sequence[Score]:
        """Ranks the validation queries with a model."""
        return _scores(rank(self._loaded(model), self.suites.validation, name, _by_queries(show, self.validation)))

    def glances(self) -> ModelGlances:
        """Returns the glances at models; asks nothing."""
        quarter = glanced_queries(self.suites.validation)
        nats = Nats(quarter, self._rankings.raw("base-validation"))
        book = GlanceBook(self.folder / "glances.jsonl")

        def take(model: str, edit: str, strength: float, left: float) -> None:
            book.keep(edit, strength, *nats.of(self._loaded(model)), left)

        return ModelGlances(book, sum(map(len, quarter)), take)

    def complete(self, folder: Path) -> None:
        """Adds to an edited model its tokenizer, and the folders of the modules that its base has beside the weights.

        A causal reranker has such a folder, in which its words for yes and no stand.
        """
        base = folder_of_model(folder_or_name(self.inputs.spec.base))
        tuned = Path(self.inputs.tuned).expanduser()
        for place in (tuned, base):
            for path in sorted(place.iterdir()) if place is not None and place.is_dir() else ():
                if path.is_dir() and (path / "config.json").exists() and not (folder / path.name).exists():
                    shutil.copytree(path, folder / path.name)
        with_tokenizer(folder, load_tokenizer(self.inputs.spec.base))

    def record(self) -> WatchRecord:
        """Returns the record of the queries that steer the healing, with those of the models that it heals."""
        entries = (
            entry
            for suite in self.suites.validation
            for entry in entries_of([suite], "keep" if suite.role == "retained" else "learn")
        )
        return WatchRecord(tuple(entries)) | records_beside(
            map(reranker_or_name, (self.inputs.spec.base, self.inputs.tuned))
        )

    def judged(self, model: str, name: str, *, again: bool = False) -> BeforeHealing:
        """Ranks the test queries with a model, and returns the changes from the base and the verdict.

        Args:
            model: The model.
            name: Its name in the progress and in the file of its scores.
            again: Whether scores in that file are right still.
        """
        self.last = self._kept(lambda: self._loaded(model), f"{name}-test", self.suites.test, again=again)
        moved = changes(_scores(self._of_base()), _scores(self.last))
        return BeforeHealing(
            suites=tuple(map(row_of, moved)), learned=learning_of(moved), verdict=verdict(moved, self.inputs.budget)
        )

    def judgement(self) -> Judgement:
        """Returns what the verdict on the healed model rests on, after it was judged."""
        assert self.last is not None
        test = self.suites.test
        sides = (ranked_answers(test, self._of_base()), ranked_answers(test, self.last))
        watched = [suite.name for suite in test if any(item.split == "proof" for item in suite.items())]
        spec = self.inputs.run or self.inputs.spec
        named = named_sources(spec, self.inputs.spec.base, steers=True)
        kept = [source for role, source in named if role == "retained"]
        return Judgement(list(map(Judged.of_queries, test)), sides, watched, kept)

    def more(self) -> dict[str, Any]:
        """Returns the metrics and the symptoms of the model that was judged last."""
        assert self.last is not None
        before = self._of_base()
        return {
            "ranking": ranking_rows(self.suites.test, before, self.last),
            "symptoms": rows_of(symptoms_of(evidence_of(self.suites.test, before, self.last))),
        }

    def _loaded(
        self, name: str, notes: list[str] | None = None, precision: Precision | None = None
    ) -> CrossEncoderReranker:
        """Returns a model, an adapter merged into its base; in the precision of the options if none is given."""
        spec = self.inputs.spec
        model = load_reranker(
            reranker_or_name(name),
            None if name == spec.base else reranker_or_name(spec.base),
            notes,
            batch_tokens=spec.eval_batch_tokens,
            precision=precision or spec.precision,
            max_length=spec.max_length,
        )
        if isinstance(model, BiEncoderReranker):
            raise HoldfastError(
                f"{name} embeds queries and documents apart (a bi-encoder); holdfast heal edits cross-encoders, and"
                " holdfast diff measures both."
            )
        return model

    def _of_base(self) -> list[Ranked]:
        """Returns what the base made of the test queries."""
        return self._rankings.ranked("base-test", self.suites.test)

    @property
    def _rankings(self) -> KeptRankings:
        return KeptRankings(self.folder / "answers")

    def _kept(
        self, load: Callable[[], CrossEncoderReranker], name: str, suites: Sequence[RerankSuite], *, again: bool
    ) -> list[Ranked]:
        """Returns what a model makes of suites; keeps it in a file, or reads that file again."""

        def make() -> list[Ranked]:
            model = load()
            with Progress(self.console) as progress:
                show = _by_queries(counting(progress, f"ranking {name.replace('-', ': ')}", [suites]), suites)
                return rank(model, suites, name, show)

        return self._rankings.once(name, suites, make, again=again)


def _scores(ranked: Sequence[Ranked]) -> list[Score]:
    return list(itertools.chain.from_iterable(of.scores for of in ranked))


def _by_queries(show: Show, suites: Sequence[RerankSuite]) -> Show:
    """Returns a `Show` that counts queries where pairs are scored."""
    sizes = iter([len(suite) for suite in suites])

    def shown(name: str, _pairs: int) -> Any:
        size = next(sizes)
        moved = show(name, size)
        return lambda done, whole: moved(size * done // max(1, whole), size)

    return shown
