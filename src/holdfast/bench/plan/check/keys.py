"""Sorts the keys of a config: read, passed on to the trainer, without effect, or unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.bench.plan.check.config import words_of

IDLE = re.compile(
    r"(logging|save|saves|hub|report|run|wandb|mlflow|comet|swanlab|dataloader|dataset_num|dataset_prepared|"
    r"preprocessing|ddp|deepspeed|fsdp|push_to|overwrite|output|plot|debug|cache|local|tf32|flash|xformers|sdp|sdpa|"
    r"attn|eager|include|use_cpu|use_mps|tokenizer_type|model_type|special_tokens|trust_remote|group_by|pad_to|eval|"
    r"evals|do_eval|evaluation|per_device_eval|val_micro|early_stopping|resume|auto_resume|disable_tqdm|device_map|"
    r"device|lora_on_cpu|strict|is_|streaming|s2|unsloth|liger|use_liger|plugins|"
    r"gradient_checkpointing|use_reentrant|log|bench|datasets_proc|tensorboard|project|metric_for|greater_is|"
    r"load_best|do_train|do_predict|predict|num_proc|lazy|acc_|torch_dtype|dtype|model_revision|hf_|use_hf|"
    r"model_author|model_name$|add_version|create_checkpoint|tuner_backend|load_from_cache|remove_unused|split_batches|"
    r"torch_compile|gpu_memory|max_memory|bos|pad_token|attention_implementation)"
)
"""Beginnings of keys that change logs, saving, speed or memory, and not what a model learns from its rows."""

PASSED = frozenset(
    words_of(
        "adam_beta1 adam_beta2 adam_epsilon lr_scheduler_kwargs optim optim_args neftune_noise_alpha "
        "label_smoothing_factor max_grad_norm full_determinism"
    )
)
"""Arguments of transformers.TrainingArguments that change what is learned and are passed on as they are."""


def sorted_keys(values: Mapping[str, Any], read: Iterable[str]) -> dict[str, Any]:
    """Returns the fields `passed`, `idle` and `unknown` of a config, from the keys that its reader did not read.

    A key without a value counts as without effect, because trainers take their default for it.
    """
    rest = {key: value for key, value in values.items() if key not in set(read)}
    kinds = {key: _kind(key, value) for key, value in rest.items()}
    names = {kind: sorted(key for key in rest if kinds[key] == kind) for kind in ("passed", "idle", "unknown")}
    passed = {key: rest[key] for key in names["passed"]}
    return {"passed": passed, "idle": tuple(names["idle"]), "unknown": tuple(names["unknown"])}


def _kind(key: str, value: Any) -> str:
    """Returns what becomes of a key that is not read."""
    if value is None or value in ("", [], {}, False):
        return "idle"
    if key in PASSED:
        return "passed"
    return "idle" if IDLE.match(key) else "unknown"
