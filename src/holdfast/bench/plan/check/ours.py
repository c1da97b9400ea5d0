"""Reads a config of `holdfast train`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from holdfast.bench.given.specs import HOLDFAST, RunSpec
from holdfast.bench.plan.check.config import Format, TrainingConfig, Tuning, words_of
from holdfast.core.method import Method
from holdfast.methods.adapter import Adapter
from holdfast.methods.edits.wise_ft import WiSEFT
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.schedules.warmup import Warmup
from holdfast.methods.schedules.wsd import WSD
from holdfast.methods.selection.freeze_bottom import FreezeBottom
from holdfast.methods.selection.lora import LoRA
from holdfast.methods.selection.qlora import QLoRA
from holdfast.recipe import parse
from holdfast.train.settings import train_of

FIELDS = frozenset(field.name for field in dataclasses.fields(RunSpec))
NONE = "none"
"""What stands for a model or data that the config does not name, while its other options are checked."""
HOLDS = (BaseKL, MaskTheTarget, WiSEFT)
"""Methods that hold a model to its base."""


def read(values: dict[str, Any]) -> TrainingConfig:
    """Returns the training that a config of ours describes; unknown keys are named."""
    given = {key.replace("-", "_"): value for key, value in values.items()}
    unknown = tuple(sorted(key for key in given if key not in FIELDS))
    known = {key: value for key, value in given.items() if key in FIELDS}
    spec = RunSpec.from_dict({"model": NONE, "data": NONE, **known}, "the config")
    recipe = parse(spec.recipe if "recipe" in known or not spec.memory else HOLDFAST)
    train, parts = train_of(recipe), recipe.active().parts()
    adapter = _first(parts, LoRA) or _first(parts, QLoRA)
    frozen = _first(parts, FreezeBottom)
    rate = spec.training.get("learning_rate") if train.lr is None else train.lr
    warm = _first(parts, WSD) or _first(parts, Warmup)
    return TrainingConfig(
        "holdfast train",
        model="" if spec.model == NONE else spec.model,
        data=() if spec.data == NONE else (spec.data,),
        test=spec.test,
        tuning=_tuning(parts),
        lr=rate,
        epochs=train.epochs,
        rows=train.batch,
        warmup_share=getattr(warm, "warmup", getattr(warm, "ratio", None)),
        rank=getattr(adapter, "rank", None),
        alpha=getattr(adapter, "alpha", None),
        dropout=getattr(adapter, "dropout", None),
        targets=getattr(adapter, "targets", None),
        frozen=getattr(frozen, "share", None),
        clip=train.clip,
        max_length=spec.max_length,
        loss_on=spec.loss_on,
        recipe=spec.recipe,
        keeps=bool(spec.keep),
        rehearses=any(part.uses("mix_data") or isinstance(part, HOLDS) for part in parts),
        options=known,
        unknown=unknown,
    )


def _first(parts: Iterable[Method], kind: type[Method]) -> Any:
    return next((part for part in parts if isinstance(part, kind)), None)


def _tuning(parts: Iterable[Method]) -> Tuning:
    for part in parts:
        if isinstance(part, QLoRA):
            return "qlora"
        if isinstance(part, Adapter) and part.small:
            return "lora"
        if isinstance(part, FreezeBottom) and part.share:
            return "freeze"
    return "full"


FORMAT = Format(
    "holdfast train",
    read,
    frozenset(words_of("recipe keep budget memory held_out loss_on over_long batch_size memory_check training")),
    frozenset({"model", "data"}),
)
