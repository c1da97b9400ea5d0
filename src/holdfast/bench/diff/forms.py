"""Whether two models read the same: rows as the same tokens, and questions in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.bench.given.specs import DiffSpec
from holdfast.core.errors import HoldfastError
from holdfast.data.rendering import prompt_text, uses_template
from holdfast.probes.choice import name_of
from holdfast.probes.generation import answered
from holdfast.probes.items import Item
from holdfast.probes.suite import Suite


def check_tokens(suites: Sequence[Suite], tokenizer: Any, tuned_tokenizer: Any, spec: DiffSpec) -> None:
    """Refuses rows that the tuned model would read as the base's tokens although it has other ones.

    Tokens that the tuned model has beside those of the base change nothing.

    Args:
        suites: The suites to ask.
        tokenizer: The tokenizer of the base, which made the tokens of the rows.
        tuned_tokenizer: The tokenizer of the tuned model.
        spec: The options, which name the two.

    Raises:
        HoldfastError: A suite holds rows, and a token of the base is missing or another one in the tuned model.
    """
    names = [suite.name for suite in suites if suite.texts]
    if names and not tokenizer.get_vocab().items() <= tuned_tokenizer.get_vocab().items():
        raise HoldfastError(
            f"{', '.join(names)}: rows are scored token by token, and {spec.tuned} has other tokens than {spec.base}; "
            'give questions instead, or texts as items ({"id": "1", "suite": "texts", "text": "..."}).'
        )


def form_notes(suites: Sequence[Suite], tokenizer: Any, tuned_tokenizer: Any, spec: DiffSpec) -> list[str]:
    """Returns a note on questions that the two models read in other words; none if there is no such question.

    Args:
        suites: The suites to ask.
        tokenizer: The tokenizer of the base.
        tuned_tokenizer: The tokenizer of the tuned model.
        spec: The options, which name the two.

    Raises:
        HoldfastError: A chat template refuses a question.
    """
    sides = tokenizer, tuned_tokenizer
    asked = [item for suite in suites for item in suite.items if item.turns and not (spec.raw or item.raw)]
    if not any(uses_template(side, False) for side in sides):
        return []
    count = sum(_prompt(item, tokenizer) != _prompt(item, tuned_tokenizer) for item in asked)
    if not count:
        return []
    alone = [name for name, side in zip((spec.base, spec.tuned), sides, strict=True) if uses_template(side, False)]
    why = f"only {alone[0]} has a chat template" if len(alone) == 1 else "their chat templates differ"
    return [
        f"The two models read {count:,} of {len(asked):,} questions in other words, because {why}: that changes scores"
        " by itself; --raw asks both without a template."
    ]


def _prompt(item: Item, tokenizer: Any) -> str:
    """Returns a question as a model reads it."""
    asked = item.as_asked(uses_template(tokenizer, False))
    return prompt_text(answered(asked.turns, "A", name_of(item), asked.tools), tokenizer).text
