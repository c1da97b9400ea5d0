"""The tokens at which a shipped model stops: its generation_config names every token that ends an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def add_stop_tokens(model: Any, ends: Iterable[int]) -> bool:
    """Adds tokens at which `generate` stops, after those that the model already has.

    A base model ends its texts with one token, and its chat template may end a turn with another. A model fine-tuned on
    that template writes the second token, and plain `generate` would not stop there.

    Args:
        model: A model of transformers, plain or wrapped by PEFT.
        ends: Tokens that end an answer.

    Returns:
        Whether a token was added.
    """
    config: Any = getattr(model, "generation_config", None)
    if config is None:
        return False
    eos = config.eos_token_id
    known = list(eos) if isinstance(eos, (list, tuple)) else [] if eos is None else [eos]
    new = sorted(set(ends) - set(known))
    if new:
        config.eos_token_id = [*known, *new] if len(known) + len(new) > 1 else new[0]
    return bool(new)
