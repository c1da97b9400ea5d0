"""The plug-in for axolotl: a line under `plugins:`, and a block `holdfast:` in the same config.

```yaml
plugins:
  - holdfast.plugins.axolotl.HoldfastPlugin
holdfast:
  recipe: MaskTheTarget() + Rehearsal('old.jsonl', ratio=0.05)
  budget: {points: 2}
  keep: [general:300]
```

Written for axolotl 0.19: a plug-in is a class without arguments, named by its path. axolotl asks it for the name of a
pydantic class, whose fields become keys of the config, and calls `post_trainer_create` before training.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sized
from typing import Any, cast

from axolotl.integrations.base import BasePlugin
from pydantic import BaseModel, Field, field_validator
from transformers import Trainer

from holdfast.core.errors import HoldfastError
from holdfast.plugins.options import PluginOptions, attach_to
from holdfast.train.attach import Attached
from holdfast.train.task_loss import owner_of_loss
from holdfast.train.trainers import HostArguments

logger = logging.getLogger("holdfast")

BASE = "axolotl.core.trainers.base"
"""The module of the trainer whose loss ends in that of `transformers.Trainer`."""
ANOTHER_LOSS = ("orpo_alpha",)
"""Arguments with which its loss is another."""
ANOTHER_ORDER = ("sample_packing", "curriculum_sampling", "group_by_length")
"""Arguments with which its sampler is another."""

SCALED = "loss_is_scaled_for_ga"
"""Attribute of trainers since transformers 5.17; axolotl 0.19 pins 5.16.1, which scales by another attribute."""


class HoldfastArgs(BaseModel):
    """The key that the plug-in adds to a config of axolotl.

    Attributes:
        holdfast: The options of the plug-in (`holdfast.plugins.options.PluginOptions`).
    """

    holdfast: dict[str, Any] | None = Field(default=None, validate_default=True)

    @field_validator("holdfast")
    @classmethod
    def check(cls, values: dict[str, Any] | None) -> dict[str, Any] | None:
        """Reads the options, so that a mistake ends the command before anything is loaded."""
        _options(values)
        return values


class HoldfastPlugin(BasePlugin):  # type: ignore[misc]  # axolotl is not installed where types are checked
    """Attaches the recipe and the budget of a config to the trainer that axolotl built."""

    def get_input_args(self) -> str:
        """Returns the path of the class whose fields become keys of the config."""
        return f"{HoldfastArgs.__module__}.{HoldfastArgs.__qualname__}"

    def post_trainer_create(self, cfg: Any, trainer: Trainer) -> None:
        """Attaches to the trainer, before it trains.

        Args:
            cfg: The config, with attributes for keys.
            trainer: The trainer.

        Raises:
            HoldfastError: The config has no block `holdfast`, or its recipe does not fit the trainer.
        """
        if not hasattr(trainer, SCALED):
            setattr(trainer, SCALED, None)
        with _counting_rows(trainer, cfg):
            attach_to(trainer, _options(cfg.holdfast), known_parts(trainer))
        attached = cast(Attached, trainer)
        if attached.holdfast.owns_forward:
            _give_up_loss(trainer)
        if attached.holdfast_mix is not None:
            attached.train_dataset.column_names = None  # type: ignore[union-attr]  # its loader asks every dataset


def known_parts(trainer: Trainer) -> set[str]:
    """Returns which parts of a trainer of axolotl work as those of `transformers.Trainer` under its arguments."""
    if owner_of_loss(trainer) != BASE:
        return set()
    changed = {
        "loss": [name for name in ANOTHER_LOSS if getattr(trainer.args, name, None)],
        "order": [name for name in ANOTHER_ORDER if getattr(trainer.args, name, None)],
    }
    return {part for part, names in changed.items() if not names}


@contextlib.contextmanager
def _counting_rows(trainer: Trainer, cfg: Any) -> Iterator[None]:
    """Lets a trainer count its steps anew if the block adds old examples, or changes the epochs or the batch.

    axolotl counts the steps from its own rows and writes them as `max_steps`, so that a run with old examples would end
    before it has seen all new ones. A `max_steps` of the config stays, and so does the count if nothing changed.
    """
    args, counts = cast(HostArguments, trainer.args), ("num_train_epochs", "gradient_accumulation_steps")
    if cfg.max_steps or not isinstance(trainer.train_dataset, Sized):
        yield
        return
    steps, before = args.max_steps, [getattr(args, name) for name in counts]
    args.max_steps = -1
    try:
        yield
    except BaseException:
        args.max_steps = steps  # a refused recipe leaves the trainer as it was
        raise
    if cast(Attached, trainer).holdfast_mix is None and before == [getattr(args, name) for name in counts]:
        args.max_steps = steps


def _give_up_loss(trainer: Any) -> None:
    """Tells a trainer of axolotl that the recipe computes the loss, over the tokens of the whole step."""
    trainer.model_accepts_loss_kwargs = True  # else transformers 5.16.1 would divide by the micro-batches once more
    if getattr(trainer.args, "include_tkps", False):
        trainer.args.include_tkps = False  # its own loss counts the tokens
        logger.warning("The recipe computes the loss, so axolotl does not log tokens per second (include_tkps).")


def _options(values: Any) -> PluginOptions:
    if not values:
        raise HoldfastError(
            "The config names the plug-in of Holdfast and has no block holdfast: add one with a recipe, a budget (and"
            " keep), or both."
        )
    return PluginOptions.from_dict(_plain(values), "the block holdfast")


def _plain(value: Any) -> Any:
    """Returns nested mappings and lists of another package's config as plain ones."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
