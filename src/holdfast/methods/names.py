"""The names of all methods, each with its module: one line here adds a method.

The public names of the package, the recipe parser, the catalogue and the contract tests follow from this map. A method
of another package does not appear here: its package declares it as an entry point (`holdfast.methods.plugins`).
"""

from __future__ import annotations

SUMS = {"Holdfast": "holdfast"}
"""Named sums of methods; a recipe contains their parts in their place."""

METHODS = {
    "Train": "schedules.train",
    "Cosine": "schedules.cosine",
    "Warmup": "schedules.warmup",
    "WSD": "schedules.wsd",
    "Finch": "schedules.finch",
    "TokenQuality": "schedules.token_quality",
    "LayerwiseDecay": "schedules.layerwise_decay",
    "LoRAPlus": "schedules.lora_plus",
    "DFT": "tokens.dft",
    "EAFT": "tokens.eaft",
    "ASFT": "tokens.asft",
    "FLOW": "tokens.flow",
    "TALR": "tokens.talr",
    "LowPerplexity": "tokens.low_perplexity",
    "TokenForgetting": "tokens.token_forgetting",
    "MaskTheTarget": "losses.mask_the_target",
    "BaseKL": "losses.base_kl",
    "BaseMSE": "losses.base_mse",
    "BaseL2": "losses.base_l2",
    "EWC": "losses.ewc",
    "Rehearsal": "rehearsal.rehearsal",
    "SelfRehearsal": "rehearsal.self_rehearsal",
    "RefusalRehearsal": "rehearsal.refusal_rehearsal",
    "PromptRehearsal": "rehearsal.prompt_rehearsal",
    "SDFT": "rehearsal.sdft",
    "OnPolicySDFT": "rehearsal.on_policy_sdft",
    "LoRA": "selection.lora",
    "DoRA": "selection.dora",
    "VeRA": "selection.vera",
    "OFT": "selection.oft",
    "AdaLoRA": "selection.adalora",
    "QLoRA": "selection.qlora",
    "LoRANull": "selection.lora_null",
    "CorDA": "selection.corda",
    "OSF": "selection.osf",
    "FreezeBottom": "selection.freeze_bottom",
    "HFT": "selection.hft",
    "LISA": "selection.lisa",
    "MoFO": "gradients.mofo",
    "OrthogonalProjection": "gradients.orthogonal_projection",
    "ConflictDecay": "gradients.conflict_decay",
    "AGEM": "gradients.agem",
    "WiSEFT": "edits.wise_ft",
    "TaskVector": "edits.task_vector",
    "FAPM": "edits.fapm",
    "TIES": "edits.ties",
    "Soup": "edits.soup",
    "IntruderReduction": "edits.intruder_reduction",
    "DARE": "edits.dare",
    "EMA": "edits.ema",
}
"""All methods of this package, in the order of the tables, with their modules below `holdfast.methods`."""


def home_of(name: str) -> str:
    """Returns the full name of the module of a method or sum of this package."""
    return f"holdfast.methods.{(SUMS | METHODS)[name]}"
