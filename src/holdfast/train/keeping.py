"""Decides whether a run keeps what its base says, in which form and where (`holdfast.train.base_cache`)."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.exact import is_exact
from holdfast.core.method import Chain
from holdfast.core.mix import Example
from holdfast.core.teacher import Teacher
from holdfast.core.tokens import is_on
from holdfast.train.base_cache import BaseCache, Form, base_digest
from holdfast.train.forward import Forward
from holdfast.train.head import LossHead
from holdfast.train.mixing import as_trained, has_rows, orders_of
from holdfast.train.row_store import RowStore
from holdfast.train.settings import train_of
from holdfast.train.trainer_view import TrainerView
from holdfast.train.trainers import precision_of

logger = logging.getLogger("holdfast")

LIMIT = 16e9
"""The most bytes that a cache takes without `Train(base_cache=)`; half of the free disk is a limit in any case."""

OF_MEANS = frozenset({"base_kl_N", "base_rest_kl_N", "base_rest_N", "base_nll_N"})
"""Fields of the base that follow from the means."""

SAMPLED = 256
"""Rows of the trainer's dataset from which the size of the cache is estimated."""

_SHARED: contextvars.ContextVar[Path | None] = contextvars.ContextVar("shared base cache", default=None)


@contextlib.contextmanager
def sharing_base(folder: Path | None) -> Iterator[None]:
    """Shares the caches of runs inside the context through a folder, which its owner deletes; None shares none."""
    token = _SHARED.set(folder)
    try:
        yield
    finally:
        _SHARED.reset(token)


def keep_base(view: TrainerView, forward: Forward, recipe: Chain) -> None:
    """Gives the forward of a run the cache of its base, if the run has one, and logs one sentence on it.

    Args:
        view: The trainer, with the data of the run and the recipe's adapters on its model.
        forward: The forward of the training.
        recipe: The whole recipe, with its settings.
    """
    comparison = forward.comparison
    if comparison.teacher is None or comparison.cache is not None or not forward.needs_base:
        return
    given, comparison.precision = train_of(recipe).base_cache, view.trainer.accelerator.autocast
    comparison.kept, comparison.note = base_cache(view, recipe.active(), given, comparison.teacher, forward.head)
    if comparison.note:
        loud = comparison.kept is None and given is not None
        logger.log(logging.WARNING if loud else logging.INFO, comparison.note)


def base_cache(
    view: TrainerView, recipe: Chain, given: float | None, teacher: Teacher, head: LossHead
) -> tuple[BaseCache | None, str]:
    """Returns the cache of a run and one sentence on it; None if the base reads each row whenever the run does.

    The rule: without a setting, a run has a cache if its compared rows come twice or more on average, or if
    it shares the cache with other runs. Writing the means of a row costs one product with the head, which is less than
    a forward of the base. `base_cache=0` keeps nothing; another number keeps up to as many GB whatever the rule says.

    Args:
        view: The trainer, with the data of the run.
        recipe: The active methods, which compare with the base.
        given: The setting `base_cache`.
        teacher: The base.
        head: The head of the model.
    """
    trainer, shared = view.trainer, _SHARED.get()
    if given == 0:
        return None, ""
    visits, tokens = _visits(view, recipe)
    if given is None and visits < 2 and shared is None:
        return None, ""
    if why := _cannot(view, head):
        return None, f"The base reads each row again in every epoch: {why}."
    assert head.linear is not None
    form = _form(recipe, teacher, trainer.model, head.linear)
    width = head.linear.weight.shape[1]
    root = shared or Path(str(trainer.args.output_dir)) / "holdfast" / "base"
    size = tokens * _bytes_per_token(form, width, precision_of(trainer.args), head.linear.weight.dtype)
    limit = min(LIMIT if given is None else given * 1e9, _free(root) / 2)
    if size > limit:
        return None, (
            f"The base reads each row again in every epoch: what it says of them would take about {size / 1e9:.2g} GB,"
            f" and {limit / 1e9:.2g} GB are allowed (Train(base_cache=GB), and half of the free disk)."
        )
    folder = root / base_digest(trainer.model, teacher, (form, precision_of(trainer.args)))
    return BaseCache(form, RowStore(folder, int(limit)), shared is not None), (
        f"The base reads each row once: what it says is kept for later epochs, about {max(size / 1e9, 0.01):.2g} GB in"
        f" {folder}{'' if shared else ', until the training ends'}."
    )


def _cannot(view: TrainerView, head: LossHead) -> str:
    """Returns why a run cannot have a cache; "" if it can."""
    trainer = view.trainer
    if not head.plain:
        return "the model's logits are not those of a linear head"
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return "processes hold parts of its weights"
    return ""


def _form(recipe: Chain, teacher: Teacher, model: nn.Module, linear: nn.Linear) -> Form:
    """Returns the form of a cache: the means if they say all that the recipe reads, else the states."""
    trains = linear.weight.requires_grad or (linear.bias is not None and linear.bias.requires_grad)
    moved = {id(p) for name, p in model.named_parameters() if name in teacher.values}
    kept = not trains and id(linear.weight) not in moved and id(linear.bias) not in moved
    needed = {field for field in recipe.needs.fields if field.startswith("base_")}
    exact = is_exact(linear.weight.device)  # the means are float64
    return "means" if kept and exact and needed <= OF_MEANS else "states"


def _bytes_per_token(form: Form, width: int, precision: str, dtype: torch.dtype) -> int:
    if form == "means":
        return (8 if dtype == torch.float64 else 2) * width + 32
    return width * (8 if dtype == torch.float64 else 4 if precision == "fp32" else 2)


def _visits(view: TrainerView, recipe: Chain) -> tuple[float, int]:
    """Returns how often a compared row comes on average, and the number of compared tokens of distinct rows."""
    trainer, args = view.trainer, view.trainer.args
    if view.mix is not None:
        seen = torch.zeros(len(view.mix.examples), dtype=torch.int64)
        for order in orders_of(trainer, view.mix):
            seen += torch.bincount(torch.tensor(order), minlength=len(seen))
        sources = torch.tensor([example.source for example in view.mix.examples])
        places = (is_on(sources, recipe.compares_on) & (seen > 0)).nonzero()[:, 0].tolist()
        return float(seen[places].sum()) / max(len(places), 1), _tokens([view.mix.examples[i] for i in places])
    rows = trainer.train_dataset
    if not has_rows(rows) or not len(rows):
        return 0.0, 0
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    epochs = args.max_steps * per_step / len(rows) if args.max_steps > 0 else float(args.num_train_epochs)
    sampled = range(0, len(rows), max(1, len(rows) // SAMPLED))
    try:
        some = as_trained([rows[i] for i in sampled], view.collate())
    except HoldfastError:  # rows that the collator makes into tokens, perhaps other ones each time
        return 0.0, 0
    return epochs, round(_tokens(some) / len(some) * len(rows))


def _tokens(examples: Sequence[Example]) -> int:
    return sum(example.supervised for example in examples)


def _free(folder: Path) -> int:
    """Returns the free bytes of the disk that holds, or will hold, a folder."""
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path.cwd())
    return shutil.disk_usage(there).free
