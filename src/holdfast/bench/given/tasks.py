"""What a model does: generate text, or rank documents. Importing this module imports nothing heavy."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from holdfast.bench.given.model_files import RERANKER, is_adapter
from holdfast.bench.given.model_size import model_size
from holdfast.bench.given.options import Options, default_of, flag_of, option
from holdfast.core.errors import HoldfastError

DEPTH = 100
"""Number of candidates of a query, as usual in the field; `holdfast.rerank.first_stage` repeats it."""
OF_RERANKERS = ("depth", "loss", "negatives", "easy")
"""Options that say how a reranker trains and what it orders."""
Task = Literal["auto", "generate", "rerank"]
"""What a command measures: generated text, ranked documents, or what the model is made for (auto)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingOptions(Options):
    """What a model does, and which documents a reranker orders."""

    task: Task = option(
        "what the model does: generate text, or rank documents, where --data, --test, --keep and --memory name"
        " collections of queries and judged documents; auto recognises rerankers by their config",
        "auto",
    )
    depth: int = option("candidates of a query that BM25 finds for a reranker", DEPTH, metavar="N", low=2)

    def __post_init__(self) -> None:
        """Refuses options of rerankers where nothing is ranked."""
        super().__post_init__()
        for field in dataclasses.fields(self):
            usual = field.name not in OF_RERANKERS or getattr(self, field.name) in (None, default_of(field))
            if not usual and not self.reranks:
                raise HoldfastError(
                    f"{flag_of(field.name)} is for rerankers; leave it out, or name them with --task rerank."
                )

    @property
    def reranks(self) -> bool:
        """Returns whether the models rank documents."""
        return reranks(self.task, str(getattr(self, "base", "")))


def reranks(task: str, model: str) -> bool:
    """Returns whether a command ranks documents with a model: it is told to, or recognises a reranker.

    Args:
        task: A `Task`; "auto" recognises cross-encoders with one output and bi-encoders by their config files. A causal
            reranker looks like any other causal model.
        model: Folder or name of the model.
    """
    if task != "auto":
        return task == "rerank"
    from holdfast.rerank.recognition import is_reranker  # here, so that other commands do not look for it

    return model == RERANKER or is_reranker(model)


def recommended(model: str, memories: str, ranks: bool) -> str:
    """Returns the recipe of a run that names none, as text.

    A model of the size that we studied trains an adapter, at the rate that a plan advises for its size. A reranker
    writes no old examples, and its penalty reads no other rows than those of the training: without old ones
    the penalty alone holds it.

    Args:
        model: Folder or name of the model.
        memories: Names of old examples, separated by commas; empty without any.
        ranks: Whether the model ranks documents.
    """
    if ranks:
        return "BaseKL()" + (f" + Rehearsal({memories!r}, ratio=0.2)" if memories else "")
    from holdfast.train.rates import REAL, adapter_rate  # here, because that room imports more

    size, given = model_size(model), [f"memory={memories!r}"] if memories else []
    if size < REAL:
        return f"Holdfast({', '.join(given)})"
    given += [*([] if is_adapter(Path(model).expanduser()) else ["adapter=True"]), "prompts=True"]
    return f"Train(lr={adapter_rate(size):g}) + Holdfast({', '.join(given)})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOptions(RankingOptions):
    """How a reranker is trained."""

    loss: Literal["listnet", "listmle", "ranknet", "lambda", "bce"] = option(
        "loss of a reranker, of sentence-transformers: over a query's list, over its pairs of documents, or over single"
        " documents (bce)",
        "listnet",
    )
    negatives: int = option("hard negatives of a query in a reranker's training, by its first stage", 3, low=1)
    easy: int = option("easy negatives besides: random documents of other queries", 1, low=0)
