"""Whether two models read the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.bench.given.specs import DiffSpec
from holdfast.core.errors import HoldfastError
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
