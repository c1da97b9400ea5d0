"""TRL's training metrics, for runs in which the recipe computes the loss instead of TRL's trainer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from holdfast.train.supervised import Inputs
from holdfast.train.trainers import SFTHost


def keep_metrics(trainer: SFTHost, inputs: Inputs, stats: Mapping[str, Tensor], aux: Tensor | None) -> None:
    """Stores the metrics of a micro-batch under TRL's names, as its trainer would.

    Args:
        trainer: The trainer; its next line of the log shows their means.
        inputs: The micro-batch.
        stats: Its sums over tokens: "tokens", "entropy" and "top1".
        aux: The unweighted auxiliary loss of experts; None without one.
    """
    gather = trainer.accelerator.gather_for_metrics
    metrics = trainer._metrics["train"]
    tokens, entropy, top1 = (float(gather(stats[name]).sum()) for name in ("tokens", "entropy", "top1"))
    metrics["entropy"].append(entropy / tokens if tokens else 0.0)
    metrics["mean_token_accuracy"].append(top1 / tokens if tokens else 0.0)
    seen = (
        inputs["attention_mask"].sum()
        if "attention_mask" in inputs
        else torch.tensor(inputs["position_ids"].size(1), device=inputs["position_ids"].device)
    )
    trainer._total_train_tokens += int(gather(seen).sum())
    metrics["num_tokens"] = [trainer._total_train_tokens]
    if aux is not None:
        metrics["aux_loss"].append(float(gather(aux.detach()).mean()))
