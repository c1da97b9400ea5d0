# Written by `python -m holdfast.report.stubs src/holdfast`; do not edit.
from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal

from holdfast.methods.edits.dare import dare as dare
from holdfast.methods.edits.ema import ema as ema
from holdfast.methods.edits.ema import warm_decay as warm_decay
from holdfast.methods.edits.fapm import fapm as fapm
from holdfast.methods.edits.fapm import fapm_score as fapm_score
from holdfast.methods.edits.intruder_reduction import intruders as intruders
from holdfast.methods.edits.intruder_reduction import reduce_intruders as reduce_intruders
from holdfast.methods.edits.soup import greedy_soup as greedy_soup
from holdfast.methods.edits.soup import uniform_soup as uniform_soup
from holdfast.methods.edits.task_vector import task_vector as task_vector
from holdfast.methods.edits.ties import ties as ties
from holdfast.methods.edits.ties import trim as trim
from holdfast.methods.edits.wise_ft import wise_ft as wise_ft
from holdfast.methods.gradients.agem import agem_share as agem_share
from holdfast.methods.gradients.conflict_decay import conflict_decay as conflict_decay
from holdfast.methods.gradients.conflict_decay import contradiction as contradiction
from holdfast.methods.gradients.mofo import mofo as mofo
from holdfast.methods.gradients.orthogonal_projection import leading_basis as leading_basis
from holdfast.methods.gradients.orthogonal_projection import project_out as project_out
from holdfast.methods.losses.base_kl import base_kl as base_kl
from holdfast.methods.losses.base_kl import base_kl_units as base_kl_units
from holdfast.methods.losses.base_l2 import low_rank_half_square as low_rank_half_square
from holdfast.methods.losses.base_mse import base_mse as base_mse
from holdfast.methods.losses.base_mse import base_mse_units as base_mse_units
from holdfast.methods.losses.ewc import diagonal_fisher as diagonal_fisher
from holdfast.methods.losses.ewc import drawn_nll as drawn_nll
from holdfast.methods.losses.mask_the_target import mask_the_target as mask_the_target
from holdfast.methods.losses.mask_the_target import non_target_kl as non_target_kl
from holdfast.methods.rehearsal.sdft import betrays as betrays
from holdfast.methods.rehearsal.sdft import last_number as last_number
from holdfast.methods.rehearsal.self_rehearsal import sieved as sieved
from holdfast.methods.schedules.cosine import cosine as cosine
from holdfast.methods.schedules.finch import finch as finch
from holdfast.methods.schedules.layerwise_decay import layerwise_decay as layerwise_decay
from holdfast.methods.schedules.lora_plus import lora_plus as lora_plus
from holdfast.methods.schedules.token_quality import token_quality as token_quality
from holdfast.methods.schedules.warmup import warmup as warmup
from holdfast.methods.schedules.wsd import wsd as wsd
from holdfast.methods.selection.adalora import adalora_budget as adalora_budget
from holdfast.methods.selection.adalora import kept_triplets as kept_triplets
from holdfast.methods.selection.adalora import not_orthogonal as not_orthogonal
from holdfast.methods.selection.adalora import triplet_scores as triplet_scores
from holdfast.methods.selection.corda import least_part as least_part
from holdfast.methods.selection.freeze_bottom import freeze_bottom as freeze_bottom
from holdfast.methods.selection.hft import category_of as category_of
from holdfast.methods.selection.hft import hft as hft
from holdfast.methods.selection.lisa import lisa as lisa
from holdfast.methods.selection.lora import olora as olora
from holdfast.methods.selection.lora import orthogonal as orthogonal
from holdfast.methods.selection.lora import pissa as pissa
from holdfast.methods.selection.lora_null import least_directions as least_directions
from holdfast.methods.selection.oft import cayley as cayley
from holdfast.methods.selection.osf import osf as osf
from holdfast.methods.tokens.dft import dft as dft
from holdfast.methods.tokens.eaft import eaft as eaft
from holdfast.methods.tokens.flow import flow as flow
from holdfast.methods.tokens.low_perplexity import low_perplexity as low_perplexity
from holdfast.methods.tokens.talr import talr as talr
from holdfast.methods.tokens.token_forgetting import ascent as ascent
from holdfast.methods.tokens.token_forgetting import token_forgetting as token_forgetting

Shape = Literal["per position", "per token", "per weight", "plain"]
FUNCTIONS: dict[str, FunctionType]
__all__: list[str]

def shape_of(function: Callable[..., Any]) -> Shape: ...
