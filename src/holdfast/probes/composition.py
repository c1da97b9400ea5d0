"""Texts that a model writes without a question: whole documents, and questions with their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import ids_of_prompts
from holdfast.probes.generation import UNCUT, answered, context_of, continued, generate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

Show = Callable[[int, int], None]
"""Called with the number done and the total."""

HERE = "\ue000"
"""A placeholder for the user's words, which no text contains: it shows where a chat template puts them."""


def ids_of(model: nn.Module, tokenizer: Tokenizer | None) -> tuple[int, int]:
    """Returns the tokens that begin and end a document; if only one exists it serves as both, as in GPT-2.

    Raises:
        HoldfastError: Neither the model nor the tokenizer names such a token.
    """
    config: Any = getattr(model, "generation_config", None) or getattr(model, "config", None)
    ids = []
    for name in ("bos_token_id", "eos_token_id"):
        for value in (getattr(tokenizer, name, None), getattr(config, name, None)):
            if value is not None:
                ids.append(int(value[0] if isinstance(value, (list, tuple)) else value))
                break
    if not ids:
        raise HoldfastError(
            f"{type(model).__name__} has no token that begins or ends a document, so it cannot write one; set"
            " bos_token or eos_token on its tokenizer."
        )
    return ids[0], ids[-1]


def documents(
    model: nn.Module,
    tokenizer: Tokenizer | None,
    count: int,
    *,
    max_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    progress: Show | None = None,
) -> list[list[int]]:
    """Returns documents that a causal language model writes, given only the token that begins a document.

    Args:
        model: The model; unchanged afterwards.
        tokenizer: Its tokenizer, for the tokens that begin and end a document; without it, those of the configuration.
        count: Number of documents.
        max_tokens: Most tokens of a document, its first and last included; longer ones are cut, as are those that are
            longer than the model's context.
        temperature: Divisor of the logits before a token is drawn.
        top_p: Least probability of the set of likeliest tokens from which one is drawn.
        seed: Seed of the draws.
        progress: Called with the number of documents done and their total.

    Returns:
        Token ids, with the first token, and with the last if the model wrote it.
    """
    begin, end = ids_of(model, tokenizer)
    max_tokens = min(max_tokens, context_of(model) or UNCUT)  # what the context cuts has not ended
    continuations = continued(
        model,
        [[begin]] * count,
        ends={end},
        max_new_tokens=max_tokens - 1,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        progress=progress,
    )
    return [[begin, *ids, *([end] if len(ids) < max_tokens - 1 else [])] for ids in continuations]


def chats(
    model: nn.Module,
    tokenizer: Tokenizer,
    count: int,
    *,
    max_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    progress: Show | None = None,
) -> list[Row]:
    """Returns conversations of one turn each: the model writes the user's question, and then answers it.

    The model draws the question behind the header of a user's turn, up to the first special token or line break; the
    answer is greedy. Conversations with an empty question or answer, or without room for an answer, are left out, so
    the result may hold fewer than `count`.

    Args:
        model: The model; unchanged afterwards.
        tokenizer: Its tokenizer, which has a chat template.
        count: Number of attempts.
        max_tokens: Most tokens of a question and of an answer.
        temperature: Temperature of the question.
        top_p: Nucleus of the question.
        seed: Seed of the draws.
        progress: Called with the number of conversations done and their total; the questions count as half.

    Raises:
        HoldfastError: The template changes the user's words.

    Reference:
        Xu et al., Magpie: Alignment Data Synthesis from Scratch by Prompting Aligned LLMs with Nothing, 2024, arXiv
        2406.08464.
    """
    shown = str(tokenizer.apply_chat_template([{"role": "user", "content": HERE}], tokenize=False))
    before, marker, _ = shown.partition(HERE)
    if not marker:
        raise HoldfastError("The chat template rewrites the user's words; let the model write text (form='text').")
    # Tokenizers join a space to the next word, so a prefix that ends with one would exclude most first words.
    prefix = tokenizer(before.rstrip(" "), add_special_tokens=False)["input_ids"] or [ids_of(model, tokenizer)[0]]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = special | set(tokenizer.all_special_ids) | set(tokenizer("\n", add_special_tokens=False)["input_ids"])
    drawn = {"temperature": temperature, "top_p": top_p, "seed": seed}
    questions = continued(
        model,
        [prefix] * count,
        ends=ends,
        max_new_tokens=max_tokens,
        progress=None if progress is None else lambda done, whole: progress(done * count // (2 * whole), count),
        **drawn,  # type: ignore[arg-type]
    )
    # Many vocabularies have tokens with a line break in them ("?\n\n"), which end no question above.
    texts = [
        str(tokenizer.decode(ids, skip_special_tokens=True)).strip().partition("\n")[0].rstrip() for ids in questions
    ]
    asked = _leaving_room(texts, tokenizer, context_of(model) or UNCUT)
    rest = None if progress is None else lambda done, all: progress(count - (all - done) * count // (2 * all), count)
    answers = generate(model, tokenizer, asked, max_new_tokens=max_tokens, progress=rest) if asked else []
    return [
        Row(turns=(*turns, Turn("assistant", answer))) for turns, answer in zip(asked, answers, strict=True) if answer
    ]


def _leaving_room(texts: Sequence[str], tokenizer: Tokenizer, context: int) -> list[tuple[Turn]]:
    """Returns the questions that are not empty and leave room for an answer."""
    asked = [(Turn("user", text),) for text in texts if text]
    ids = ids_of_prompts([answered(turns, "A", "question") for turns in asked], tokenizer)
    return [turns for turns, prompt in zip(asked, ids, strict=True) if len(prompt) < context]
