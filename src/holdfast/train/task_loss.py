"""The loss of a trainer, and how to read the task loss if the trainer trains on another loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.adapters import active_configs
from holdfast.train.supervised import Inputs, scored_of
from holdfast.train.trainers import HostTrainer, is_known

CHUNK = 2**22
"""Number of logits for which `token_losses` computes the loss at once."""


def has_own_loss(trainer: object) -> bool:
    """Returns whether a trainer has another `compute_loss` than `transformers.Trainer` and `trl.SFTTrainer`.

    One that a plug-in knows to compute the same counts as theirs (`holdfast.train.trainers.KNOWN`).
    """
    if is_known(trainer, "loss"):
        return False
    return owner_of_loss(trainer) not in ("transformers.trainer", "trl.trainer.sft_trainer") or (
        "compute_loss" in vars(trainer)
    )


def owner_of_loss(trainer: object) -> str:
    """Returns the module of the class that defines the trainer's `compute_loss`."""
    return next(cls.__module__ for cls in type(trainer).__mro__ if "compute_loss" in vars(cls))


def is_trl(trainer: object) -> bool:
    """Returns whether the trainer's class comes from TRL."""
    return any(cls.__module__.startswith("trl.") for cls in type(trainer).__mro__)


def inner_of(model: nn.Module) -> nn.Module:
    """Returns the model inside PEFT's wrapper, or the model itself."""
    get: Callable[[], nn.Module] = getattr(model, "get_base_model", lambda: model)
    return get()


def text_config_of(model: nn.Module) -> Any:
    """Returns the text configuration of a model; None if it has no configuration."""
    config: Any = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def shifts_labels(model: nn.Module) -> bool:
    """Returns whether a model predicts a label at the position before it.

    Masked language models predict it at its position, and encoder-decoder models shift the decoder's input instead.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    encodes = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    return not encodes and type(inner_of(model)).__name__ not in MASKED.values()


def is_causal(model: nn.Module) -> bool:
    """Returns whether a model predicts each token only from the tokens before it.

    BERT and similar models read both sides, even with a causal head, unless `is_decoder` is set.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    config = getattr(model, "config", None)
    decodes = getattr(config, "is_decoder", False) or getattr(config, "causal", False)
    return shifts_labels(model) and (decodes or getattr(config, "model_type", None) not in MASKED)


def predicts_tokens(model: nn.Module) -> bool:
    """Returns whether a model has a head of output embeddings."""
    getter = getattr(model, "get_output_embeddings", None)
    try:
        return getter is not None and getter() is not None
    except AttributeError:  # some models refer to a head that their task does not have
        return False


def reads_on(model: nn.Module) -> bool:
    """Returns whether a model is a causal language model with a head: it can score and generate tokens."""
    return predicts_tokens(model) and is_causal(model)


def is_task_loss(trainer: HostTrainer) -> bool:
    """Returns whether a trainer's loss is the mean nats over the step's supervised tokens, and nothing else.

    It is not for a custom loss, label smoothing, TRL's DFT, the auxiliary loss of experts, a mean of the means of
    micro-batches (models that take no count of tokens) or of processes, and for models that we do not know.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    args, model = trainer.args, trainer.model
    changed = (
        has_own_loss(trainer)
        or trainer.compute_loss_func is not None
        or args.label_smoothing_factor > 0
        or (getattr(args, "loss_type", None) or "nll") != "nll"
        or getattr(text_config_of(model), "output_router_logits", False)
        or any(getattr(adapter, "orth_reg_weight", 0.0) for adapter in active_configs(model))
    )
    per_token = trainer.model_accepts_loss_kwargs and (args.average_tokens_across_devices or args.world_size == 1)
    return not changed and per_token and type(inner_of(model)).__name__ in CAUSAL.values()


@contextmanager
def recorded_losses(model: nn.Module, inputs: Inputs, shifted: bool) -> Iterator[list[Tensor]]:
    """Yields a list; the first call of the model in the block that predicts the labels adds the losses of the tokens.

    The list then holds one vector `[N]`. It stays empty if no call gives a prediction for each label.

    Args:
        model: The model as the trainer calls it.
        inputs: The batch; the trainer may remove its labels within the block.
        shifted: Whether the model predicts a label at the position before it.
    """
    labels_BT, mask_BT = inputs.get("labels"), inputs.get("attention_mask")
    losses: list[Tensor] = []

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        if not losses and (loss_N := token_losses(output, labels_BT, mask_BT, shifted)) is not None:
            losses.append(loss_N)

    handle = model.register_forward_hook(look)
    try:
        yield losses
    finally:
        handle.remove()


@torch.no_grad()
def token_losses(output: Any, labels_BT: Tensor | None, mask_BT: Tensor | None, shifted: bool) -> Tensor | None:
    """Returns the loss of each supervised token, `[N]` float32 nats; None if the output has no logits for the labels.

    Args:
        output: Output of the model, with `logits` (virtual tokens may come first), or with the `log_probs` of TRL's
            fused head.
        labels_BT: Unshifted labels; -100 is ignored.
        mask_BT: Attention mask; 0 at padding.
        shifted: Whether the model predicts a label at the position before it.
    """
    if getattr(output, "log_probs", None) is not None:
        loss_N: Tensor = -output.log_probs[output.label_mask].float()
        return loss_N
    logits_BTV = getattr(output, "logits", None)
    if labels_BT is None or labels_BT.dim() != 2 or not isinstance(logits_BTV, Tensor) or logits_BTV.dim() != 3:
        return None
    batch, length = labels_BT.shape
    if logits_BTV.shape[0] != batch or logits_BTV.shape[1] < length:
        return None
    logits_BTV = logits_BTV[:, -length:]
    if shifted:
        rows_N2 = scored_of(labels_BT, mask_BT).nonzero()
        labels_N = labels_BT[rows_N2[:, 0], rows_N2[:, 1] + 1]
    else:
        rows_N2 = (labels_BT != -100).nonzero()
        labels_N = labels_BT[rows_N2[:, 0], rows_N2[:, 1]]
    size = max(1, CHUNK // logits_BTV.shape[-1])
    parts = [labels_N.new_zeros(0, dtype=torch.float32)]
    for rows_C2, labels_C in zip(rows_N2.split(size), labels_N.split(size), strict=True):
        logits_CV = logits_BTV[rows_C2[:, 0], rows_C2[:, 1]]
        wide_CV = logits_CV if logits_CV.dtype == torch.float64 else logits_CV.float()
        parts.append(nn.functional.cross_entropy(wide_CV, labels_C, reduction="none").to(parts[0].dtype))
    return torch.cat(parts)
