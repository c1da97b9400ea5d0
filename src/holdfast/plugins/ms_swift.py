"""The plug-in for ms-swift: a file for `--external_plugins` that calls `register()`, and the options in `HOLDFAST`.

```python
from holdfast.plugins.ms_swift import register

register()
```

Written for ms-swift 4.6. `--external_plugins` imports the file before anything else happens. ms-swift writes the keys
of `--model_kwargs '{"holdfast": {...}}'`, and those under `ENV:` in a YAML file, into the environment, in upper case;
the options are read from there. `TrainerFactory.get_trainer_cls` then names the class of the trainer, and we return a
subclass that attaches itself when it is built.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
from typing import TYPE_CHECKING, Any

from transformers import Trainer

from holdfast.core.errors import HoldfastError
from holdfast.plugins.options import PluginOptions, attach_to
from holdfast.train.task_loss import owner_of_loss

if TYPE_CHECKING:
    _Base = Trainer
else:
    _Base = object

VARIABLE = "HOLDFAST"
"""Environment variable with the options, as JSON or as the text of a Python dictionary."""
BASE = "swift.trainers.seq2seq_trainer"
"""The module of the trainer whose loss, under plain settings, is the mean over the supervised tokens."""
ANOTHER_LOSS = ("enable_dft_loss", "enable_channel_loss")
"""Arguments with which its loss is another."""
THEIRS = ("compute_loss_func", "text_position_ids", "channel", "loss_scale")
"""Entries of a batch that its own loss takes out before the model sees it."""


def register() -> None:
    """Makes ms-swift build trainers that attach Holdfast; call it in the file of `--external_plugins`.

    Raises:
        HoldfastError: The variable `HOLDFAST` is missing or malformed, or its recipe is; if ms-swift has not written it
            yet (`--model_kwargs` follows the import), when the trainer is built.
    """
    if VARIABLE in os.environ:
        options()
    factory: Any = importlib.import_module("swift.trainers").TrainerFactory
    named = factory.get_trainer_cls
    if not getattr(named, "holdfast", False):

        def get_trainer_cls(args: Any) -> type[Trainer]:
            kind = named(args)
            return type(f"Holdfast{kind.__name__}", (WithHoldfast, kind), {})

        get_trainer_cls.holdfast = True  # type: ignore[attr-defined]
        factory.get_trainer_cls = staticmethod(get_trainer_cls)


def options() -> PluginOptions:
    """Returns the options in the environment.

    Raises:
        HoldfastError: They are missing or malformed.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        raise HoldfastError(
            f"--external_plugins names the plug-in of Holdfast, and {VARIABLE} is not set: give --model_kwargs"
            ' \'{"holdfast": {"recipe": "MaskTheTarget()"}}\', or ENV: in the YAML file.'
        )
    try:
        values = json.loads(text)
    except ValueError:
        try:
            values = ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise HoldfastError(f"{VARIABLE}={text!r} is no mapping: give JSON with a recipe, a budget ...") from error
    if not isinstance(values, dict):
        raise HoldfastError(f"{VARIABLE}={text!r} is no mapping: give JSON with a recipe, a budget ...")
    return PluginOptions.from_dict(values, VARIABLE)


class WithHoldfast(_Base):
    """A mixin for trainers of ms-swift that attaches itself at the end of their construction."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Builds the trainer, and attaches to it what the environment says."""
        super().__init__(*args, **kwargs)
        parts = known_parts(self)
        if "loss" in parts:
            self.args.use_logits_to_keep = False  # type: ignore[attr-defined]  # it would cut the labels before us
        attach_to(self, options(), parts)

    def _prepare_inputs(self, inputs: Any) -> Any:
        """Returns the batch; without what only the trainer's own loss reads, if the recipe computes the loss."""
        batch = super()._prepare_inputs(inputs)
        model: Any = self.model
        if model.training and getattr(getattr(self, "holdfast", None), "owns_forward", False):
            for name in THEIRS:
                batch.pop(name, None)
        return batch

    def get_train_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the loader of ms-swift; that of transformers if old examples stand among the rows."""
        if getattr(self, "holdfast_mix", None) is None:
            return super().get_train_dataloader(*args, **kwargs)
        return Trainer.get_train_dataloader(self)


def known_parts(trainer: Any) -> set[str]:
    """Returns which parts of a trainer of ms-swift work as those of `transformers.Trainer` under its arguments."""
    if owner_of_loss(trainer) != BASE:
        return set()
    args, template = trainer.args, trainer.template
    plain_template = template.sequence_parallel_size == 1 and not (template.padding_free or template.packing)
    loss = plain_template and template.loss_scale.is_binary_loss_scale and not trainer.model_info.is_moe_model
    changed = any(getattr(args, name, None) for name in ANOTHER_LOSS)
    shuffles = getattr(args, "train_dataloader_shuffle", True) and not getattr(args, "group_by_length", False)
    parts = {"loss": loss and not changed, "order": plain_template and shuffles}
    return {part for part, plain in parts.items() if plain}
