"""What a model does: generate text, or rank documents. Importing this module imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from holdfast.bench.given.model_files import RERANKER

Task = Literal["auto", "generate", "rerank"]
"""What a command measures: generated text, ranked documents, or what the model is made for (auto)."""


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
