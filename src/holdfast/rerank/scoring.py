"""Rerankers under one interface: what scores pairs of query and document.

A `CrossEncoderReranker` reads both together: cross-encoders, and causal rerankers by their logit of "yes" less that of
"no". A `BiEncoderReranker` embeds them apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from holdfast.core.errors import HoldfastError

Pair = tuple[str, str]
"""A query and the content of a document."""
Progress = Callable[[int, int], None]
"""Receives the number of pairs done and their total."""
BATCH_TOKENS = 8192
"""Most tokens of a batch, padding included."""


class Reranker(Protocol):
    """What scores pairs of query and document.

    Attributes:
        cut: Number of pairs of the last call of `score` that were longer than the model reads.
    """

    cut: int

    def score(self, pairs: Sequence[Pair], progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Returns one raw score for each pair, `[n]`, in the given order; a higher one is more relevant.

        The score of a cross-encoder is its logit, whose sigmoid is the probability that the document is relevant. That
        of a bi-encoder is a similarity.
        """


class CrossEncoderReranker:
    """A `sentence_transformers.CrossEncoder` with one output: a cross-encoder or a causal reranker.

    Pairs are scored in batches sorted by their number of tokens, with as many pairs in each as fit `batch_tokens`, so
    that little of a batch is padding. The scores are those of `CrossEncoder.predict` without an activation.

    Attributes:
        model: The model; in eval mode while it scores, and otherwise unchanged.
        batch_tokens: Most tokens of a batch, padding included.
        cut: Number of pairs of the last call of `score` that were cut; of a causal reranker, those whose query and
            document alone are longer than it reads, without its prompt.
    """

    def __init__(self, model: Any, batch_tokens: int | None = None) -> None:
        """Checks that the model gives one score.

        Raises:
            HoldfastError: The model has several outputs.
        """
        if model.num_labels != 1:
            raise HoldfastError(
                f"The model has {model.num_labels} outputs for each pair; a reranker has one score (num_labels 1)."
            )
        self.model, self.batch_tokens, self.cut = model, batch_tokens or BATCH_TOKENS, 0

    def score(self, pairs: Sequence[Pair], progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Returns the logit of each pair, `[n]`; pairs longer than the model reads are cut by its tokenizer.

        Raises:
            HoldfastError: A score is not finite; names the pair.
        """
        scores = np.empty(len(pairs))
        done = self.cut = 0
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                for places, logits in self._batches(pairs):
                    scores[places] = logits.float().cpu().numpy().reshape(len(places))
                    done += len(places)
                    if progress is not None:
                        progress(done, len(pairs))
        finally:
            self.model.train(was_training)
        check_finite(scores, pairs)
        return scores

    def _batches(self, pairs: Sequence[Pair]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yields the places of the pairs of each batch, and their logits."""
        if not pairs:
            return
        if self.model[0].__class__.__name__ != "Transformer" or len(self.model) != 1 or _has_template(self.model):
            # Causal rerankers write prompts of their own; sentence-transformers prepares them.
            texts = [f"{query} {document}" for query, document in pairs]
            self.cut = _too_long(self.model.tokenizer, texts, self.model.max_seq_length)
            for places in _by_length([len(query) + len(document) for query, document in pairs], 4 * self.batch_tokens):
                chosen = [list(pairs[place]) for place in places]
                yield places, self._forward(self.model.preprocess(chosen, prompt=default_prompt(self.model)))
            return
        encoded = self._encoded(pairs)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        for places in _by_length(lengths, self.batch_tokens):
            rows = {name: [values[place] for place in places] for name, values in encoded.items()}
            yield places, self._forward(dict(self.model.tokenizer.pad(rows, return_tensors="pt", verbose=False)))

    def _encoded(self, pairs: Sequence[Pair]) -> Mapping[str, list[list[int]]]:
        """Returns the tokens of all pairs, as the model's own preprocessing makes them."""
        tokenizer, most = self.model.tokenizer, self.model.max_seq_length
        sides = [[text.strip() for text in side] for side in zip(*pairs, strict=True)]
        encoded: dict[str, list[list[int]]] = dict(tokenizer(*sides, padding=False, truncation=False, verbose=False))
        over = [place for place, ids in enumerate(encoded["input_ids"]) if most and len(ids) > most]
        self.cut = len(over)
        if over:
            few = [[side[place] for place in over] for side in sides]
            shorter = tokenizer(*few, padding=False, truncation="longest_first", max_length=most)
            for name, values in encoded.items():
                for place, value in zip(over, shorter[name], strict=True):
                    values[place] = value
        return encoded

    def _forward(self, features: Mapping[str, Any]) -> torch.Tensor:
        on_device = {
            name: value.to(self.model.device) if torch.is_tensor(value) else value for name, value in features.items()
        }
        scores: torch.Tensor = self.model(on_device)["scores"]
        return scores


class BiEncoderReranker:
    """A `sentence_transformers.SentenceTransformer`: the score is the similarity of two embeddings.

    Each query and each document is embedded once, however many pairs it stands in.

    Attributes:
        model: The model.
        batch_tokens: Most tokens of a batch, padding included.
        cut: Number of pairs of the last call of `score` of which a side was cut.
    """

    def __init__(self, model: Any, batch_tokens: int | None = None) -> None:
        """Keeps the model."""
        self.model, self.batch_tokens, self.cut = model, batch_tokens or BATCH_TOKENS, 0

    def score(self, pairs: Sequence[Pair], progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Returns the similarity of each pair, `[n]`, by the similarity function of the model.

        Raises:
            HoldfastError: A score is not finite; names the pair.
        """
        self.cut = 0
        if not pairs:
            return np.empty(0)
        everything, most = list(dict.fromkeys(itertools.chain(*pairs))), self.model.max_seq_length
        lengths = dict(zip(everything, _lengths(self.model.tokenizer, everything), strict=True))
        over = {text for text, length in lengths.items() if most is not None and length > most}
        self.cut = sum(not over.isdisjoint(pair) for pair in pairs) if over else 0
        sides = []
        for side, encode in ((0, self.model.encode_query), (1, self.model.encode_document)):
            texts = list(dict.fromkeys(pair[side] for pair in pairs))
            embedded = self._embedded(encode, texts, [min(lengths[text], most or lengths[text]) for text in texts])
            sides.append(torch.stack([embedded[pair[side]] for pair in pairs]))
            if progress is not None:
                progress(len(pairs) // 2 if side == 0 else len(pairs), len(pairs))
        scores: npt.NDArray[np.float64] = (
            self.model.similarity_pairwise(*sides).float().cpu().numpy().astype(np.float64)
        )
        check_finite(scores, pairs)
        return scores

    def _embedded(
        self, encode: Callable[..., torch.Tensor], texts: Sequence[str], lengths: Sequence[int]
    ) -> dict[str, torch.Tensor]:
        """Returns the embedding of each text, made in batches of at most `batch_tokens`."""
        embedded: dict[str, torch.Tensor] = {}
        for places in _by_length(lengths, self.batch_tokens):
            batch = [texts[place] for place in places]
            made = encode(batch, batch_size=len(batch), convert_to_tensor=True, show_progress_bar=False)
            embedded |= zip(batch, made, strict=True)
        return embedded


def _too_long(tokenizer: Any, texts: Sequence[str], most: int | None) -> int:
    """Returns the number of texts with more than `most` tokens; 0 without a limit."""
    if most is None:
        return 0
    return sum(length > most for length in _lengths(tokenizer, texts))


def _lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Returns the number of tokens of each text."""
    return [len(ids) for ids in tokenizer(list(texts), padding=False, truncation=False, verbose=False)["input_ids"]]


def check_finite(scores: npt.NDArray[np.float64], pairs: Sequence[Pair]) -> None:
    """Raises `HoldfastError` for a score that is not finite; names the pair."""
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        query, document = pairs[int(wrong[0])]
        raise HoldfastError(
            f"The score of {query!r:.60} with {document!r:.60} is {scores[wrong[0]]}, as of {wrong.size:,} of"
            f" {scores.size:,} pairs; the weights or the precision of the model are broken."
        )


def _by_length(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yields the places of each batch, longest first; the longest times their number is at most `most`."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    start = 0
    while start < len(order):
        count = max(1, most // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count


def _has_template(model: Any) -> bool:
    """Returns whether the model writes pairs into a prompt or a chat template."""
    return bool(default_prompt(model)) or bool(getattr(model.tokenizer, "chat_template", None))


def default_prompt(model: Any) -> str | None:
    """Returns the prompt that `CrossEncoder.predict` puts before each pair if it is given none; None without one."""
    name = getattr(model, "default_prompt_name", None)
    prompt: str | None = None if name is None else model.prompts.get(name)
    return prompt or None
