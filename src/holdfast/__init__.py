"""Fine-tune language models without forgetting.

The public names are spelled out below. Each is imported when it is first asked for, so that `import holdfast` (and with
it the command line's help) costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.bench.calls import compare, diff, fine_tune
    from holdfast.bench.diff_record import DiffRecord
    from holdfast.bench.record import RunRecord
    from holdfast.bench.specs import CompareSpec, DiffSpec, ReportSpec, RunSpec
    from holdfast.bench.tradeoff_record import TradeOff
    from holdfast.core.budget import Budget
    from holdfast.core.errors import HoldfastError
    from holdfast.core.method import Method
    from holdfast.methods.edits.dare import DARE
    from holdfast.methods.edits.ema import EMA
    from holdfast.methods.edits.fapm import FAPM
    from holdfast.methods.edits.intruder_reduction import IntruderReduction
    from holdfast.methods.edits.soup import Soup
    from holdfast.methods.edits.task_vector import TaskVector
    from holdfast.methods.edits.ties import TIES
    from holdfast.methods.edits.wise_ft import WiSEFT
    from holdfast.methods.gradients.agem import AGEM
    from holdfast.methods.gradients.conflict_decay import ConflictDecay
    from holdfast.methods.gradients.mofo import MoFO
    from holdfast.methods.gradients.orthogonal_projection import OrthogonalProjection
    from holdfast.methods.holdfast import Holdfast
    from holdfast.methods.losses.base_kl import BaseKL
    from holdfast.methods.losses.base_l2 import BaseL2
    from holdfast.methods.losses.ewc import EWC
    from holdfast.methods.losses.mask_the_target import MaskTheTarget
    from holdfast.methods.rehearsal.on_policy_sdft import OnPolicySDFT
    from holdfast.methods.rehearsal.rehearsal import Rehearsal
    from holdfast.methods.rehearsal.sdft import SDFT
    from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
    from holdfast.methods.schedules.cosine import Cosine
    from holdfast.methods.schedules.finch import Finch
    from holdfast.methods.schedules.layerwise_decay import LayerwiseDecay
    from holdfast.methods.schedules.lora_plus import LoRAPlus
    from holdfast.methods.schedules.token_quality import TokenQuality
    from holdfast.methods.schedules.train import Train
    from holdfast.methods.schedules.warmup import Warmup
    from holdfast.methods.schedules.wsd import WSD
    from holdfast.methods.selection.adalora import AdaLoRA
    from holdfast.methods.selection.corda import CorDA
    from holdfast.methods.selection.dora import DoRA
    from holdfast.methods.selection.freeze_bottom import FreezeBottom
    from holdfast.methods.selection.hft import HFT
    from holdfast.methods.selection.lisa import LISA
    from holdfast.methods.selection.lora import LoRA
    from holdfast.methods.selection.lora_null import LoRANull
    from holdfast.methods.selection.oft import OFT
    from holdfast.methods.selection.osf import OSF
    from holdfast.methods.selection.qlora import QLoRA
    from holdfast.methods.selection.vera import VeRA
    from holdfast.methods.tokens.asft import ASFT
    from holdfast.methods.tokens.dft import DFT
    from holdfast.methods.tokens.eaft import EAFT
    from holdfast.methods.tokens.flow import FLOW
    from holdfast.methods.tokens.low_perplexity import LowPerplexity
    from holdfast.methods.tokens.talr import TALR
    from holdfast.methods.tokens.token_forgetting import TokenForgetting
    from holdfast.recipe import parse
    from holdfast.report import report
    from holdfast.train.attach import attach

__version__ = "0.1.0"

__all__ = [
    "attach",
    "Budget",
    "fine_tune",
    "compare",
    "diff",
    "report",
    "parse",
    "Method",
    "RunSpec",
    "CompareSpec",
    "DiffSpec",
    "ReportSpec",
    "RunRecord",
    "DiffRecord",
    "TradeOff",
    "HoldfastError",
    "Holdfast",
    "Train",
    "Cosine",
    "Warmup",
    "Finch",
    "WSD",
    "TokenQuality",
    "LayerwiseDecay",
    "LoRAPlus",
    "DFT",
    "EAFT",
    "ASFT",
    "FLOW",
    "TALR",
    "LowPerplexity",
    "TokenForgetting",
    "MoFO",
    "OrthogonalProjection",
    "ConflictDecay",
    "AGEM",
    "DARE",
    "TIES",
    "Soup",
    "IntruderReduction",
    "FAPM",
    "TaskVector",
    "WiSEFT",
    "EMA",
    "MaskTheTarget",
    "BaseKL",
    "BaseL2",
    "EWC",
    "LoRA",
    "DoRA",
    "VeRA",
    "OFT",
    "AdaLoRA",
    "QLoRA",
    "LoRANull",
    "CorDA",
    "OSF",
    "FreezeBottom",
    "HFT",
    "LISA",
    "Rehearsal",
    "SelfRehearsal",
    "SDFT",
    "OnPolicySDFT",
]

_HOME = {
    "attach": "holdfast.train.attach",
    "Budget": "holdfast.core.budget",
    "fine_tune": "holdfast.bench.calls",
    "compare": "holdfast.bench.calls",
    "diff": "holdfast.bench.calls",
    "report": "holdfast.report",
    "parse": "holdfast.recipe",
    "Method": "holdfast.core.method",
    "RunSpec": "holdfast.bench.specs",
    "CompareSpec": "holdfast.bench.specs",
    "DiffSpec": "holdfast.bench.specs",
    "ReportSpec": "holdfast.bench.specs",
    "RunRecord": "holdfast.bench.record",
    "DiffRecord": "holdfast.bench.diff_record",
    "TradeOff": "holdfast.bench.tradeoff_record",
    "HoldfastError": "holdfast.core.errors",
    "Train": "holdfast.methods.schedules.train",
    "Cosine": "holdfast.methods.schedules.cosine",
    "Warmup": "holdfast.methods.schedules.warmup",
    "Finch": "holdfast.methods.schedules.finch",
    "DARE": "holdfast.methods.edits.dare",
    "TIES": "holdfast.methods.edits.ties",
    "Soup": "holdfast.methods.edits.soup",
    "IntruderReduction": "holdfast.methods.edits.intruder_reduction",
    "FAPM": "holdfast.methods.edits.fapm",
    "TaskVector": "holdfast.methods.edits.task_vector",
    "WiSEFT": "holdfast.methods.edits.wise_ft",
    "EMA": "holdfast.methods.edits.ema",
    "EAFT": "holdfast.methods.tokens.eaft",
    "DFT": "holdfast.methods.tokens.dft",
    "ASFT": "holdfast.methods.tokens.asft",
    "FLOW": "holdfast.methods.tokens.flow",
    "TALR": "holdfast.methods.tokens.talr",
    "LowPerplexity": "holdfast.methods.tokens.low_perplexity",
    "TokenForgetting": "holdfast.methods.tokens.token_forgetting",
    "MoFO": "holdfast.methods.gradients.mofo",
    "OrthogonalProjection": "holdfast.methods.gradients.orthogonal_projection",
    "ConflictDecay": "holdfast.methods.gradients.conflict_decay",
    "AGEM": "holdfast.methods.gradients.agem",
    "WSD": "holdfast.methods.schedules.wsd",
    "TokenQuality": "holdfast.methods.schedules.token_quality",
    "LoRAPlus": "holdfast.methods.schedules.lora_plus",
    "LayerwiseDecay": "holdfast.methods.schedules.layerwise_decay",
    "Holdfast": "holdfast.methods.holdfast",
    "MaskTheTarget": "holdfast.methods.losses.mask_the_target",
    "BaseKL": "holdfast.methods.losses.base_kl",
    "BaseL2": "holdfast.methods.losses.base_l2",
    "EWC": "holdfast.methods.losses.ewc",
    "LoRA": "holdfast.methods.selection.lora",
    "FreezeBottom": "holdfast.methods.selection.freeze_bottom",
    "HFT": "holdfast.methods.selection.hft",
    "LISA": "holdfast.methods.selection.lisa",
    "OFT": "holdfast.methods.selection.oft",
    "VeRA": "holdfast.methods.selection.vera",
    "QLoRA": "holdfast.methods.selection.qlora",
    "AdaLoRA": "holdfast.methods.selection.adalora",
    "DoRA": "holdfast.methods.selection.dora",
    "LoRANull": "holdfast.methods.selection.lora_null",
    "CorDA": "holdfast.methods.selection.corda",
    "OSF": "holdfast.methods.selection.osf",
    "Rehearsal": "holdfast.methods.rehearsal.rehearsal",
    "SelfRehearsal": "holdfast.methods.rehearsal.self_rehearsal",
    "SDFT": "holdfast.methods.rehearsal.sdft",
    "OnPolicySDFT": "holdfast.methods.rehearsal.on_policy_sdft",
}


def __getattr__(name: str) -> Any:
    """Returns a public name, importing the module that it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
