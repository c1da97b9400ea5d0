"""The one table of methods: a line here enrols a method in the recipe parser, the catalogue and the contract tests.

Sums with a name stand in a table of their own: a recipe has their parts in their place.
"""

from __future__ import annotations

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

SUMS: tuple[type[Method], ...] = (Holdfast,)

METHODS: tuple[type[Method], ...] = (
    Train,
    Cosine,
    Warmup,
    WSD,
    Finch,
    TokenQuality,
    LayerwiseDecay,
    LoRAPlus,
    DFT,
    EAFT,
    ASFT,
    FLOW,
    TALR,
    LowPerplexity,
    TokenForgetting,
    MaskTheTarget,
    BaseKL,
    BaseL2,
    EWC,
    Rehearsal,
    SelfRehearsal,
    SDFT,
    OnPolicySDFT,
    LoRA,
    DoRA,
    VeRA,
    OFT,
    AdaLoRA,
    QLoRA,
    LoRANull,
    CorDA,
    OSF,
    FreezeBottom,
    HFT,
    LISA,
    MoFO,
    OrthogonalProjection,
    ConflictDecay,
    AGEM,
    WiSEFT,
    TaskVector,
    FAPM,
    TIES,
    Soup,
    IntruderReduction,
    DARE,
    EMA,
)
