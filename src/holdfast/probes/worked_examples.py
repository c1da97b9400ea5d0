"""Items asked with worked examples before them: questions of the same suite with their right answers."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from holdfast.data.rows import Turn
from holdfast.probes.checks import fulfils
from holdfast.probes.items import Item


def right_answer(item: Item) -> str:
    """Returns a right answer of an item, or "" if it gives none that fulfils its own check."""
    answer = item.choices[0] if item.choices and not item.check else item.answer
    return answer if item.turns and answer.strip() and fulfils(answer, item.check) else ""


def examples_for(item: Item, others: Sequence[Item], count: int) -> list[Item]:
    """Returns up to `count` items of other groups that give a right answer, always the same for the same item."""
    group = item.group or item.id
    usable = [other for other in others if (other.group or other.id) != group and right_answer(other)]
    return sorted(usable, key=lambda other: hashlib.blake2b(f"{item.id} {other.id}".encode()).digest())[:count]


def with_examples(item: Item, examples: Sequence[Item]) -> Item:
    """Returns an item whose prompt begins with worked examples.

    With a chat template they are earlier turns of the conversation, behind the item's own system message. Without one
    they are prompts with their answers, between blank lines.

    Args:
        item: An item with a question.
        examples: Items with a right answer.
    """
    system = [turn for turn in item.turns if turn.role in ("system", "developer")]
    asked = [turn for turn in item.turns if turn.role not in ("system", "developer")]
    earlier: list[Turn] = []
    for example in examples:
        earlier += [turn for turn in example.turns if turn.role not in ("system", "developer")]
        earlier.append(Turn("assistant", right_answer(example), False))
    return dataclasses.replace(item, turns=(*system, *earlier, *asked), plain=_plain(item, examples))


def _plain(item: Item, examples: Sequence[Item]) -> str | None:
    """Returns the prompt without a chat template; None if some item is a conversation, which has no plain prompt."""
    prompts = [_prompt(one) for one in (*examples, item)]
    if any(prompt is None for prompt in prompts):
        return None
    worked = [f"{prompt}{_joint(prompt, right_answer(one))}" for prompt, one in zip(prompts, examples, strict=False)]
    return "\n\n".join([*worked, str(prompts[-1])])


def _prompt(item: Item) -> str | None:
    if item.plain is not None:
        return item.plain
    return item.turns[0].content if len(item.turns) == 1 else None


def _joint(prompt: str | None, answer: str) -> str:
    """Returns an answer with a blank before it, unless it or the prompt already has one."""
    return answer if (prompt or " ")[-1].isspace() or answer[0].isspace() else f" {answer}"
