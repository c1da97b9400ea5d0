"""The one table of methods: a line here enrols a method in the recipe parser, the catalogue and the contract tests."""

from __future__ import annotations

from holdfast.core.method import Method
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.schedules.cosine import Cosine
from holdfast.methods.schedules.finch import Finch
from holdfast.methods.schedules.train import Train
from holdfast.methods.schedules.warmup import Warmup
from holdfast.methods.selection.lora import LoRA

METHODS: tuple[type[Method], ...] = (
    Train,
    Cosine,
    Warmup,
    Finch,
    MaskTheTarget,
    BaseKL,
    Rehearsal,
    LoRA,
)
