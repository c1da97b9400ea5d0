"""What a model writes when nobody asks it anything: documents from their beginning, and questions with its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import prompt_ids
from holdfast.probes.generation import UNCUT, answered, context_of, continued, generate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

Show = Callable[[int, int], None]
"""Told how many are done, and of how many."""

HERE = "\ue000"
"""Stands for what the user says, to find where a chat template puts it; no text has it."""


def ids_of(model: nn.Module, tokenizer: Tokenizer | None) -> tuple[int, int]:
    """Returns the tokens that begin and end a document; where there is only one, it does both, as in GPT-2.

    Raises:
        HoldfastError: Neither model nor tokenizer names one.
    """
    config: Any = getattr(model, "generation_config", None) or getattr(model, "config", None)
    found = []
    for name in ("bos_token_id", "eos_token_id"):
        for value in (getattr(tokenizer, name, None), getattr(config, name, None)):
            if value is not None:
                found.append(int(value[0] if isinstance(value, (list, tuple)) else value))
                break
    if not found:
        raise HoldfastError(
            f"{type(model).__name__} has no token that begins or ends a document, so that it cannot be let write from"
            " the beginning; set bos_token or eos_token on its tokenizer."
        )
    return found[0], found[-1]


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
    """Returns documents that a causal language model writes from nothing but the token that begins one.

    Args:
        model: The model; left as it was found.
        tokenizer: Its tokenizer, for the tokens that begin and end a document; its configuration's if absent.
        count: How many.
        max_tokens: Most tokens of each, the first and the last included; longer ones are cut.
        temperature: What the logits are divided by before a token is drawn.
        top_p: Least probability of the set of likeliest tokens that one is drawn from.
        seed: Seed of what is drawn.
        progress: Told the number of documents done and their total.

    Returns:
        Token ids, the beginning included, and the end where the model came to one.
    """
    begin, end = ids_of(model, tokenizer)
    said = continued(
        model,
        [[begin]] * count,
        ends={end},
        max_new_tokens=max_tokens - 1,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        progress=progress,
    )
    return [[begin, *ids, *([end] if len(ids) < max_tokens - 1 else [])] for ids in said]


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

    The question is drawn behind what the chat template writes before a user's turn, up to the first special token or
    line break; the answer is the likeliest, as at any other time. What is empty on either side is left out, and a
    question that leaves no room for an answer, so that there may be fewer than asked for.

    Args:
        model: The model; left as it was found.
        tokenizer: Its tokenizer, which has a chat template.
        count: How many are tried.
        max_tokens: Most tokens of a question and of an answer.
        temperature: For the question.
        top_p: For the question.
        seed: Seed of what is drawn.
        progress: Told the number of conversations done and their total; the questions are half of the work.

    Raises:
        HoldfastError: The template does not write the user's words as they are.

    Reference:
        Xu et al., Magpie: Alignment Data Synthesis from Scratch by Prompting Aligned LLMs with Nothing, 2024, arXiv
        2406.08464.
    """
    shown = str(tokenizer.apply_chat_template([{"role": "user", "content": HERE}], tokenize=False))
    before, found, _ = shown.partition(HERE)
    if not found:
        raise HoldfastError("The chat template rewrites what the user says; let the model write text (form='text').")
    # A space belongs to the word behind it: written out, it would leave only words that follow none.
    prefix = tokenizer(before.rstrip(" "), add_special_tokens=False)["input_ids"] or [ids_of(model, tokenizer)[0]]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = special | set(tokenizer.all_special_ids) | set(tokenizer("\n", add_special_tokens=False)["input_ids"])
    drawn = {"temperature": temperature, "top_p": top_p, "seed": seed}
    said = continued(
        model,
        [prefix] * count,
        ends=ends,
        max_new_tokens=max_tokens,
        progress=None if progress is None else lambda done, whole: progress(done * count // (2 * whole), count),
        **drawn,  # type: ignore[arg-type]
    )
    texts = [str(tokenizer.decode(ids, skip_special_tokens=True)).strip() for ids in said]
    asked = _leaving_room(texts, tokenizer, context_of(model) or UNCUT)
    rest = None if progress is None else lambda done, all: progress(count - (all - done) * count // (2 * all), count)
    answers = generate(model, tokenizer, asked, max_new_tokens=max_tokens, progress=rest) if asked else []
    return [
        Row(turns=(*turns, Turn("assistant", answer))) for turns, answer in zip(asked, answers, strict=True) if answer
    ]


def _leaving_room(texts: Sequence[str], tokenizer: Tokenizer, context: int) -> list[tuple[Turn]]:
    """Returns the questions that are not empty and leave room for an answer."""
    return [
        turns
        for turns in ((Turn("user", text),) for text in texts if text)
        if len(prompt_ids(answered(turns, "A", "question"), tokenizer, raw=False)) < context
    ]
