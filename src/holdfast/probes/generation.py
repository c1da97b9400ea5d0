"""Generation: the answers of a model to conversations, greedy or sampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.head import Head
from holdfast.core.teacher import evaluating
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import ids_of_prompts, tokenize
from holdfast.probes.batching import halved, tokens_of, want_of_memory
from holdfast.probes.parts import learns_prompts
from holdfast.probes.sampling import Sampling, numbered
from holdfast.probes.stops import Reader, Stop, usual
from holdfast.probes.writing import Prompt, Writer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

UNCUT = 2**30
"""A length, in tokens, that no text reaches."""
NEXT_LOGITS = 2**24
"""Most logits of the next tokens of a batch: its rows times the vocabulary."""


@dataclasses.dataclass(frozen=True)
class Generated:
    """A generated answer.

    Attributes:
        text: The answer, without special tokens and outer white space.
        tokens: Number of generated tokens, those of a string that ended it included, the end of the turn not.
        cut: Whether it reached the most tokens that it may have before it ended.
        written: The answer with its outer white space.
    """

    text: str
    tokens: int
    cut: bool
    written: str = ""


def generate(
    model: nn.Module, tokenizer: Tokenizer, conversations: Sequence[Sequence[Turn]], **options: Any
) -> list[str]:
    """Returns the text of each answer; `generate_counted` has the arguments and says how answers are generated."""
    return [answer.text for answer in generate_counted(model, tokenizer, conversations, **options)]


def generate_counted(
    model: nn.Module,
    tokenizer: Tokenizer,
    conversations: Sequence[Sequence[Turn]],
    *,
    max_new_tokens: int | Sequence[int],
    batch_tokens: int | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    raw: bool = False,
    stops: Sequence[Stop | None] | None = None,
    tools: Sequence[Sequence[Mapping[str, Any]]] | None = None,
    names: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Generated]:
    """Returns the answer of a causal language model to each conversation, greedy or sampled, and how it ended.

    The prompt has the form of the training data, up to the beginning of the assistant's turn; without a chat template a
    single question is the prompt as it is. An answer ends before the first token that ends a turn (the end-of-sequence
    tokens of model and tokenizer, and the added token that the chat template writes behind an assistant's turn),
    before a string of `stops`, after `max_new_tokens`, or at the end of the model's context. It contains no special
    tokens and no outer white space.

    With a `temperature` above 0 each token is sampled (see `drawn`). Each conversation has its own random numbers. They
    depend on the seed, the name of the conversation (its tokens, without names), and the number of equal ones before
    it. The same conversation thus gets the same answer in another call, and two different answers within one call.

    Conversations are batched by length and padded on the left; rows leave their batch when they end, and others join
    it. An answer does not depend on its batch, up to rounding between tokens of equal probability. The model computes
    in its own precision. It is unchanged afterwards: the mode of every module, gradients, torch's random state and the
    configurations.

    Args:
        model: A causal language model whose output has `logits` `[B, T, V]`, plain or wrapped by PEFT.
        tokenizer: Its tokenizer.
        conversations: The turns up to each answer.
        max_new_tokens: Most tokens of an answer, one number for all or one for each.
        batch_tokens: Most tokens of a batch, with padding and room for the answers (8192 if absent); a longer
            conversation has its own batch.
        temperature: Divisor of the logits before a token is drawn; 0 takes the likeliest.
        top_p: Least probability of the set of likeliest tokens from which one is drawn; 1 for all tokens.
        seed: Seed of the draws.
        raw: Whether to leave the chat template unused.
        stops: Strings that end each answer; None for the usual ones: none with a chat template, else the end of the
            line (or, in a conversation of several turns, the beginning of another turn).
        tools: Tools of each conversation, for the chat template.
        names: Names of the conversations in messages.
        progress: Called with the number of conversations done and their total whenever one ends.

    Returns:
        One answer per conversation, in their order.

    Raises:
        HoldfastError: A conversation is empty, ends with the assistant, is refused by the chat template or leaves no
            room for an answer in the model's context, or the logits are not finite; names the conversation. Or
            `temperature`, `top_p` or `seed` is outside its range.
        ValueError: `max_new_tokens` or `batch_tokens` is not positive.
    """
    count = len(conversations)
    limits = _limits(max_new_tokens, count)
    tokens = tokens_of(model, batch_tokens, writes=True)
    sampling = Sampling(temperature, top_p, seed)
    called = [f"conversation {number + 1}" for number in range(count)] if names is None else names
    rows = [
        answered(turns, "A", name, item_tools)
        for turns, name, item_tools in zip(conversations, called, tools or [()] * count, strict=True)
    ]
    prompt_ids = ids_of_prompts(rows, tokenizer, raw=raw)
    keys = numbered(map(tuple, prompt_ids) if names is None else names)
    readers = [_reader(row, stop, tokenizer, raw) for row, stop in zip(rows, stops or [None] * count, strict=True)]
    context = context_of(model)
    prompts = [
        Prompt(number, row.origin, ids, _room(limits[number], ids, context, row.origin), keys[number], readers[number])
        for number, (row, ids) in enumerate(zip(rows, prompt_ids, strict=True))
    ]
    ends = _ends(model, tokenizer, rows[0], raw) if rows else set()
    continuations = _continuations(model, prompts, ends, int(tokenizer.pad_token_id or 0), sampling, tokens, progress)
    return [
        Generated(text.strip(), len(ids), len(ids) >= prompt.limit and not reader.ended(ids), text)
        for reader, prompt, ids in zip(readers, prompts, continuations, strict=True)
        for text in [reader.text(ids)]
    ]


def _limits(max_new_tokens: int | Sequence[int], count: int) -> list[int]:
    """Returns the most tokens of each answer.

    Raises:
        ValueError: A limit is not positive.
    """
    given = [max_new_tokens] if isinstance(max_new_tokens, int) else list(max_new_tokens)
    if least := [limit for limit in given if limit < 1]:
        raise ValueError(f"max_new_tokens {least[0]}: give a positive number of tokens")
    return given * count if isinstance(max_new_tokens, int) else given


def _reader(row: Row, stop: Stop | None, tokenizer: Tokenizer, raw: bool) -> Reader:
    stop = usual(row, tokenizer, raw) if stop is None else stop
    return Reader(stop or Stop(), tokenizer)


def _room(limit: int, ids: Sequence[int], context: int | None, name: str) -> int:
    """Returns the most tokens of an answer that fit into the model's context.

    Raises:
        HoldfastError: No token fits, or the prompt is empty.
    """
    limit = limit if context is None else min(limit, context - len(ids))
    if limit < 1 or not ids:
        raise HoldfastError(
            f"{name}: has {len(ids)} tokens, and the model needs at least one and reads {context} with its answer; "
            "shorten the conversation or leave it out."
        )
    return limit


def continued(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    ends: Collection[int],
    max_new_tokens: int,
    batch_tokens: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """Returns the token ids with which a causal language model continues each prompt, the lower layer of `generate`.

    Args:
        model: A causal language model.
        prompts: Token ids, at least one each; equal prompts are sampled separately.
        ends: Tokens that end a continuation, which does not contain them.
        max_new_tokens: Most tokens of a continuation; a shorter one has ended.
        batch_tokens: Most tokens of a batch; 8192 if absent.
        temperature: Divisor of the logits before a token is drawn; 0 takes the likeliest.
        top_p: Least probability of the set of likeliest tokens from which one is drawn.
        seed: Seed of the draws.
        progress: Called with the number of prompts done and their total whenever one ends.

    Raises:
        HoldfastError: A prompt is empty or leaves no room in the model's context, or the logits are not finite.
    """
    context = context_of(model)
    limit = max_new_tokens if context is None else min(max_new_tokens, context - max(map(len, prompts), default=0))
    if limit < 1 or not all(prompts):
        raise HoldfastError(f"A prompt is empty or leaves no room for a token in the model's context of {context}.")
    asked = [
        Prompt(number, f"prompt {number + 1}", ids, limit, key)
        for number, (ids, key) in enumerate(zip(prompts, numbered(map(tuple, prompts)), strict=True))
    ]
    tokens = tokens_of(model, batch_tokens, writes=True)
    return _continuations(model, asked, set(ends), 0, Sampling(temperature, top_p, seed), tokens, progress)


def _continuations(
    model: nn.Module,
    prompts: Sequence[Prompt],
    ends: set[int],
    pad_id: int,
    sampling: Sampling,
    batch_tokens: int,
    progress: Callable[[int, int], None] | None,
) -> list[list[int]]:
    """Returns the continuation of each prompt; see `Writer`."""
    device = next(model.parameters()).device
    continuations: dict[int, list[int]] = {}

    def over(prompt: Prompt, ids: list[int]) -> None:
        continuations[prompt.number] = ids
        if progress is not None:
            progress(len(continuations), len(prompts))

    rows = max(1, NEXT_LOGITS // Head(model).size)
    most = 1 if learns_prompts(model) else batch_tokens
    with evaluating(model), torch.random.fork_rng([device] if device.type == "cuda" else []):
        while left := [prompt for prompt in prompts if prompt.number not in continuations]:
            # A prompt in progress when memory runs out begins again, with the same random numbers.
            want = _want(Writer(model, pad_id, ends, sampling, (most, rows), over), left)
            most = most if want is None else halved(model, *want)
    return [continuations[prompt.number] for prompt in prompts]


def _want(writer: Writer, prompts: Sequence[Prompt]) -> tuple[int, int, str] | None:
    """Continues prompts; returns the tokens and the rows for which there was no memory, and what was said of it."""
    try:
        writer.write(prompts)
    except (MemoryError, RuntimeError) as raised:
        said = want_of_memory(raised)
        return (*writer.in_flight(), said)
    return None


def answered(turns: Sequence[Turn], answer: str, name: str, tools: Sequence[Mapping[str, Any]] = ()) -> Row:
    """Returns the conversation with an answer behind it, in which only the answer is learned.

    Raises:
        HoldfastError: There is no turn, or the last one is the assistant's.
    """
    if not turns or turns[-1].role == "assistant":
        lack = "ends with the assistant's turn" if turns else "has no turns"
        raise HoldfastError(f"{name}: the conversation {lack}; end it with a question to the assistant.")
    given = (dataclasses.replace(turn, learned=False) for turn in turns)
    return Row(turns=(*given, Turn("assistant", answer)), origin=name, tools=tuple(tools))


def context_of(model: nn.Module) -> int | None:
    """Returns the context of a model in tokens; None if its configuration does not give it."""
    config: Any = getattr(model, "config", None)
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _ends(model: nn.Module, tokenizer: Tokenizer, row: Row, raw: bool) -> set[int]:
    """Returns the tokens that end an answer."""
    config: Any = getattr(model, "generation_config", None)
    ends: set[int] = set()
    for eos in (getattr(config, "eos_token_id", None), tokenizer.eos_token_id):
        ends.update(eos if isinstance(eos, (list, tuple)) else () if eos is None else (eos,))
    # The template's end of a turn need not be the tokenizer's end of a sequence (ChatML on a base model), nor special.
    added = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
    for example in tokenize([row], tokenizer, max_length=UNCUT, raw=raw).examples:
        written = (label for label in reversed(example.labels) if label != -100)
        # Line breaks behind it, which some vocabularies add too, end no turn.
        ends |= {next((label for label in written if str(tokenizer.decode([label])).strip()), -1)} & added
    return ends
