"""What a shipped model stops at: its generation_config names every token that ends an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def add_stop_tokens(model: Any, ends: Iterable[int]) -> bool:
    """Adds tokens to those at which `generate` stops, after the ones that are there already.

    A base model ends its texts with one token, and its chat template may end a turn with another; fine-tuned on that
    template it writes the other, and plain `generate` would go on behind it.

    Args:
        model: A model of transformers, plain or wrapped by PEFT.
        ends: Tokens that end an answer.

    Returns:
        Whether any was added.
    """
    config: Any = getattr(model, "generation_config", None)
    if config is None:
        return False
    given = config.eos_token_id
    there = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
    new = sorted(set(ends) - set(there))
    if new:
        config.eos_token_id = [*there, *new] if len(there) + len(new) > 1 else new[0]
    return bool(new)
