"""What a model says: answers to conversations, the likeliest or drawn, the model left as found."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.head import Head
from holdfast.core.teacher import evaluating
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenize import prompt_ids, tokenize
from holdfast.probes.fitting import fitting, tokens_of
from holdfast.probes.sampling import Sampling, drawn, numbered, source_of
from holdfast.probes.stops import Ended, Reader, Stop, usual

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

UNCUT = 2**30
"""A length, in tokens, that no text reaches."""
NEXT_LOGITS = 2**24
"""Most logits of the next tokens of a batch: its rows times the vocabulary."""


@dataclasses.dataclass(frozen=True)
class _Prompt:
    """A conversation as token ids, with the most tokens that may follow it and what they are drawn for."""

    number: int
    name: str
    ids: Sequence[int]
    limit: int
    key: Hashable
    reader: Reader | None = None


def generate(
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
) -> list[str]:
    """Returns the answer of a causal language model to each conversation, token by token the likeliest or drawn.

    A conversation is written out as the data room writes it for training, up to where the assistant's turn begins;
    without a chat template a single question is the prompt as it is. An answer ends before the first token that ends a
    turn: the end-of-sequence tokens of the model and of the tokenizer, and the special token that the chat template
    writes behind an assistant's turn; before a string that ends it (`stops`); after `max_new_tokens`, or where the
    model's context is full. Special tokens and outer white space are not part of it.

    With a `temperature` above 0 each token is drawn (see `drawn`), for each conversation with random numbers of its
    own, which depend on the seed, the conversation's name (on the conversation itself if there are no names), and how
    many of the same are before it: asked again, it gets the same answer, and given twice, two.

    Conversations are batched by length and padded on the left; a row leaves its batch when it ends. What is said does
    not depend on the batch, up to rounding where two tokens are equally likely or what was drawn lies between them. The
    model computes in its own precision, and is left as it was found: the mode of every module, gradients, torch's
    random state and the configurations.

    Args:
        model: A causal language model whose output has `logits` `[B, T, V]`, plain or wrapped by PEFT.
        tokenizer: Its tokenizer.
        conversations: The turns up to each answer.
        max_new_tokens: Most tokens of an answer, of all or of each.
        batch_tokens: Most tokens of a batch, padding and room for the answers included (8192 if absent); a
            longer conversation makes a batch of its own.
        temperature: What the logits are divided by before a token is drawn; 0 takes the likeliest.
        top_p: Least probability of the set of likeliest tokens that one is drawn from; 1 for all tokens.
        seed: Seed of what is drawn.
        raw: Whether to leave the chat template unused.
        stops: What ends each answer beside its tokens; None for what is usual: nothing through a chat template, and
            without one the end of the line (or, in a conversation of several turns, where another turn begins).
        tools: The tools that the chat template is given with each conversation.
        names: What to call the conversations in messages.
        progress: Told the number of conversations done and their total, as they are.

    Returns:
        One answer per conversation, in their order.

    Raises:
        HoldfastError: If a conversation is empty, ends with the assistant, is refused by the chat template or leaves no
            room for an answer in the model's context, or if the model's logits are not finite; names the conversation.
            If `temperature`, `top_p` or `seed` is outside its range.
        ValueError: If `max_new_tokens` or `batch_tokens` is not positive.
    """
    count = len(conversations)
    given = [max_new_tokens] if isinstance(max_new_tokens, int) else list(max_new_tokens)
    if least := [limit for limit in given if limit < 1]:
        raise ValueError(f"max_new_tokens {least[0]}: give a positive number of tokens")
    limits = given * count if isinstance(max_new_tokens, int) else given
    tokens = tokens_of(model, batch_tokens, writes=True)
    sampling = Sampling(temperature, top_p, seed)
    called = names
    if names is None:
        names = [f"conversation {number + 1}" for number in range(count)]
    rows = [
        answered(turns, "A", name, own)
        for turns, name, own in zip(conversations, names, tools or [()] * count, strict=True)
    ]
    context = context_of(model)
    prompts = []
    read = [prompt_ids(row, tokenizer, raw=raw) for row in rows]
    keys = numbered(map(tuple, read) if called is None else called)
    for number, (row, ids, stop) in enumerate(zip(rows, read, stops or [None] * count, strict=True)):
        limit = limits[number] if context is None else min(limits[number], context - len(ids))
        if limit < 1 or not ids:
            raise HoldfastError(
                f"{row.origin}: has {len(ids)} tokens, and the model needs at least one and reads {context} with its "
                "answer; shorten the conversation or leave it out."
            )
        stop = usual(row, tokenizer, raw) if stop is None else stop
        reader = Reader(stop or Stop(), tokenizer)
        prompts.append(_Prompt(number, row.origin, ids, limit, keys[number], reader))
    ends = _ends(model, tokenizer, rows[0], raw) if rows else set()
    said = _said(model, prompts, ends, int(tokenizer.pad_token_id or 0), sampling, tokens, progress)
    readers = (prompt.reader or Reader(Stop(), tokenizer) for prompt in prompts)
    return [reader.text(ids).strip() for reader, ids in zip(readers, said, strict=True)]


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
    """Returns the token ids that a causal language model puts behind each prompt; see `generate`, which this is below.

    Args:
        model: A causal language model.
        prompts: Token ids, at least one each; given twice, a prompt gets two answers.
        ends: Tokens that end what is put behind; none of them is part of it.
        max_new_tokens: Most tokens behind a prompt; what is shorter ended.
        batch_tokens: Most tokens of a batch; 8192 if absent.
        temperature: What the logits are divided by before a token is drawn; 0 takes the likeliest.
        top_p: Least probability of the set of likeliest tokens that one is drawn from.
        seed: Seed of what is drawn.
        progress: Told the number of prompts done and their total, as they are.

    Raises:
        HoldfastError: A prompt is empty or leaves no room in the model's context, or the logits are not finite.
    """
    context = context_of(model)
    limit = max_new_tokens if context is None else min(max_new_tokens, context - max(map(len, prompts), default=0))
    if limit < 1 or not all(prompts):
        raise HoldfastError(f"A prompt is empty or leaves no room for a token in the model's context of {context}.")
    asked = [
        _Prompt(number, f"prompt {number + 1}", ids, limit, key)
        for number, (ids, key) in enumerate(zip(prompts, numbered(map(tuple, prompts)), strict=True))
    ]
    tokens = tokens_of(model, batch_tokens, writes=True)
    return _said(model, asked, set(ends), 0, Sampling(temperature, top_p, seed), tokens, progress)


def _said(
    model: nn.Module,
    prompts: Sequence[_Prompt],
    ends: set[int],
    pad_id: int,
    sampling: Sampling,
    batch_tokens: int,
    progress: Callable[[int, int], None] | None,
) -> list[list[int]]:
    """Returns what the model puts behind each prompt, in batches of prompts of a length."""
    device = next(model.parameters()).device
    said: list[list[int]] = [[] for _ in prompts]
    over = set[int]()

    def ended(number: int) -> None:
        if number not in over:  # one that is asked again, for want of memory, ends again
            over.add(number)
            if progress is not None:
                progress(len(over), len(prompts))

    rows = max(1, NEXT_LOGITS // Head(model).size)

    def cut(left: Sequence[_Prompt], most: int) -> Iterator[list[_Prompt]]:
        return _batches(left, most, rows)

    with evaluating(model), torch.random.fork_rng([device] if device.type == "cuda" else []):
        found = fitting(
            model,
            prompts,
            cut,
            _size_of,
            lambda batch: _continued(model, batch, ends, pad_id, device, sampling, ended),
            1 if learns_prompts(model) else batch_tokens,
        )
        for batch, answers in found:
            for prompt, ids in zip(batch, answers, strict=True):
                said[prompt.number] = ids
    return said


def answered(turns: Sequence[Turn], answer: str, name: str, tools: Sequence[Mapping[str, Any]] = ()) -> Row:
    """Returns the conversation with an answer behind it, of which the answer alone is learned.

    Raises:
        HoldfastError: If there is no turn, or the last is the assistant's already.
    """
    if not turns or turns[-1].role == "assistant":
        lack = "ends with the assistant's turn" if turns else "has no turns"
        raise HoldfastError(f"{name}: the conversation {lack}; end it with what the assistant is to answer.")
    given = (dataclasses.replace(turn, learned=False) for turn in turns)
    return Row(turns=(*given, Turn("assistant", answer)), origin=name, tools=tuple(tools))


def context_of(model: nn.Module) -> int | None:
    """Returns the most tokens that a model reads, as far as its configuration says."""
    config: Any = getattr(model, "config", None)
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def learns_prompts(model: nn.Module) -> bool:
    """Returns whether the model is wrapped by an adapter of virtual tokens, which knows neither padding nor cache."""
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def parameters_of(model: nn.Module) -> frozenset[str]:
    """Returns the names of what the model's own forward takes, below PEFT's."""
    wrapped: Any = model
    base = wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else wrapped
    return frozenset(inspect.signature(base.forward).parameters)


def _ends(model: nn.Module, tokenizer: Tokenizer, row: Row, raw: bool) -> set[int]:
    """Returns the tokens that end an answer."""
    config: Any = getattr(model, "generation_config", None)
    ends: set[int] = set()
    for found in (getattr(config, "eos_token_id", None), tokenizer.eos_token_id):
        ends.update(found if isinstance(found, (list, tuple)) else () if found is None else (found,))
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special} | set(
        tokenizer.all_special_ids
    )
    # The template's end of a turn need not be the tokenizer's end of a sequence (ChatML on a base model).
    for example in tokenize([row], tokenizer, max_length=UNCUT, raw=raw).examples:
        # Behind it there may be a line break that is not learned.
        ends.update({next(label for label in reversed(example.labels) if label != -100)} & special)
    return ends


def _batches(prompts: Sequence[_Prompt], batch_tokens: int, rows: int) -> Iterator[list[_Prompt]]:
    """Yields the prompts from the longest to the shortest, as many at a time as fit with their answers."""
    batch: list[_Prompt] = []
    for prompt in sorted(prompts, key=lambda prompt: -len(prompt.ids)):
        grown = [*batch, prompt]
        if batch and (_size_of(grown) > batch_tokens or len(grown) > rows):
            yield batch
            grown = [prompt]
        batch = grown
    if batch:
        yield batch


def _size_of(batch: Sequence[_Prompt]) -> int:
    """Returns the number of tokens of a batch with its answers, padding included."""
    # Where the context leaves less room for the answer, a shorter prompt may need more of it.
    return len(batch) * max(len(prompt.ids) + prompt.limit for prompt in batch)


def _continued(
    model: nn.Module,
    batch: Sequence[_Prompt],
    ends: set[int],
    pad_id: int,
    device: torch.device,
    sampling: Sampling,
    ended: Ended,
) -> list[list[int]]:
    """Returns the ids that the model puts behind each prompt, without the one that ends them."""
    width = max(len(prompt.ids) for prompt in batch)
    ids_BT = torch.full((len(batch), width), pad_id)
    mask_BT = torch.zeros_like(ids_BT)
    for row, prompt in enumerate(batch):
        ids_BT[row, width - len(prompt.ids) :] = torch.as_tensor(prompt.ids)
        mask_BT[row, width - len(prompt.ids) :] = 1
    ids_BT, mask_BT = ids_BT.to(device), mask_BT.to(device)
    cached = not learns_prompts(model)
    takes = parameters_of(model) if cached else frozenset[str]()
    # Router logits would be balanced over the rows of a cache that are not there.
    wanted = {"logits_to_keep": 1, "output_router_logits": False}
    options: dict[str, Any] = {name: value for name, value in wanted.items() if name in takes}
    sources = [source_of(sampling.seed, prompt.key) for prompt in batch] if sampling.temperature > 0 else []
    said: list[list[int]] = [[] for _ in batch]
    going = list(range(len(batch)))
    cache: Any = None
    seen = 0
    while True:
        if "position_ids" in takes:
            options["position_ids"] = (mask_BT.cumsum(1) - 1).clamp(min=0)[:, seen:]
        output: Any = model(
            input_ids=ids_BT[:, seen:], attention_mask=mask_BT, past_key_values=cache, use_cache=cached, **options
        )
        next_B, found = _greedy(output.logits[:, -1])
        if not found:
            raise HoldfastError(
                f"The model's logits behind {batch[going[0]].name} or a conversation beside it are not finite: its "
                "weights are broken or overflow in this precision; try float32, or a lower learning rate if it was "
                "just trained."
            )
        if sampling.temperature > 0:
            next_B = drawn(output.logits[:, -1], sampling, [sources[row] for row in going])
        kept = []
        for row, token in enumerate(next_B.tolist()):
            prompt, own = batch[going[row]], said[going[row]]
            if token not in ends:
                own.append(token)
                if len(own) < prompt.limit and not (prompt.reader is not None and prompt.reader.ended(own)):
                    kept.append(row)
                    continue
            ended(prompt.number)
        if not kept:
            return said
        cache = output.past_key_values if cached else None
        seen = 0 if cache is None else ids_BT.shape[1]
        ids_BT = torch.cat([ids_BT, next_B[:, None]], 1)
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(going), 1)], 1)
        if len(kept) < len(going):  # What has ended would cost as much as what goes on.
            kept_B = torch.tensor(kept, device=device)
            going = [going[row] for row in kept]
            ids_BT, mask_BT = ids_BT[kept_B], mask_BT[kept_B]
            if cache is not None:
                cache.reorder_cache(kept_B)


def _greedy(logits_BV: Tensor) -> tuple[Tensor, bool]:
    """Returns the likeliest token of each row, `[B]`, the first if there are several, and whether all are finite."""
    top_B, next_B = logits_BV.max(-1)
    return next_B, bool(top_B.isfinite().all())
