"""The attributes of trainers on which we depend: every one that we read, write, call or override.

A release of transformers or TRL may break them. `tests/train/test_trainers.py` looks for each name on
`transformers.Trainer` and `trl.SFTTrainer`, and finds attributes that `train/` uses without listing them here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainerCallback

from holdfast.core.precision import Precision

KNOWN = "holdfast_known"
"""Attribute of a trainer in which a plug-in names the parts that it knows to work as those of `transformers.Trainer`:
"loss" and "order". Without it, what another package overrides counts as another loss or order."""

Collator = Callable[[list[Any]], Mapping[str, Any]]
"""Turns rows into a batch."""


class HostArguments(Protocol):
    """`transformers.TrainingArguments`: the attributes that we read; a recipe's settings overwrite some of them."""

    auto_find_batch_size: bool
    average_tokens_across_devices: bool
    bf16: bool
    data_seed: int | None
    fp16: bool
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    label_smoothing_factor: float
    learning_rate: float
    load_best_model_at_end: bool
    lr_scheduler_type: str
    max_grad_norm: float
    max_steps: int
    num_train_epochs: float
    optim: str
    output_dir: str
    per_device_train_batch_size: int
    save_strategy: str
    seed: int
    train_sampling_strategy: str
    warmup_steps: float
    weight_decay: float

    @property
    def device(self) -> torch.device:
        """Device of this process."""

    @property
    def n_gpu(self) -> int:
        """Number of GPUs of this process; above 1 the trainer uses DataParallel."""

    @property
    def process_index(self) -> int:
        """Rank of this process."""

    @property
    def should_save(self) -> bool:
        """Whether this process writes files."""

    @property
    def train_batch_size(self) -> int:
        """Number of rows of a micro-batch of this process."""

    @property
    def world_size(self) -> int:
        """Number of processes."""

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Number of warm-up steps in a training of `num_training_steps`."""


def precision_of(args: HostArguments) -> Precision:
    """Returns the number format in which a trainer computes."""
    return "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"


def is_known(trainer: object, part: str) -> bool:
    """Returns whether a plug-in knows that a part of a trainer ("loss", "order") works as in `transformers.Trainer`."""
    return part in getattr(trainer, KNOWN, ())


class SFTArguments(HostArguments, Protocol):
    """`trl.SFTConfig` has these attributes too; we read them with `getattr`, because a plain trainer lacks them."""

    loss_type: str
    max_length: int | None
    packing: bool


class HostState(Protocol):
    """`transformers.TrainerState`."""

    epoch: float | None
    global_step: int
    max_steps: int


class HostAccelerator(Protocol):
    """`accelerate.Accelerator`: communication between processes."""

    @property
    def num_processes(self) -> int:
        """Number of processes."""

    @property
    def optimizer_step_was_skipped(self) -> bool:
        """Whether the optimizer took no step, because gradients were not finite (fp16)."""

    @property
    def sync_gradients(self) -> bool:
        """Whether this micro-batch is the step's last."""

    def autocast(self) -> AbstractContextManager[None]:
        """The precision in which the trainer computes."""

    def gather(self, tensor: Tensor) -> Tensor:
        """The concatenated tensors of all processes."""

    def gather_for_metrics(self, input_data: Tensor) -> Tensor:
        """The concatenated tensors of all processes, without the padding of the last batch."""

    def pad_across_processes(self, tensor: Tensor, dim: int = 0, pad_index: float = 0) -> Tensor:
        """The tensor, padded to the longest of all processes."""

    def reduce(self, tensor: Tensor, reduction: str = "sum") -> Tensor:
        """The sum over processes."""

    def unwrap_model(self, model: nn.Module) -> nn.Module:
        """The model inside DDP and the like."""


class HostTrainer(Protocol):
    """`transformers.Trainer`.

    The list contains the methods that an attached trainer overrides (`train`, `create_optimizer`, `_get_train_sampler`,
    `get_batch_samples`, `compute_loss`, `log`), because another moment or order of their calls would break as much as
    another name. A recipe relies on this order in a step: `get_batch_samples`, then `compute_loss` for each
    micro-batch, the backward of each before the next forward, `on_pre_optimizer_step`, the optimizer,
    `on_optimizer_step`.
    """

    accelerator: HostAccelerator
    args: HostArguments
    compute_loss_func: Callable[..., object] | None
    current_gradient_accumulation_steps: int  # the training loop sets it
    data_collator: Collator
    eval_dataset: Any
    is_deepspeed_enabled: bool
    is_fsdp_enabled: bool
    loss_is_scaled_for_ga: bool | None
    lr_scheduler: LRScheduler | None
    model: nn.Module
    model_accepts_loss_kwargs: bool
    model_init: Callable[..., nn.Module] | None
    model_wrapped: nn.Module
    optimizer: Optimizer | None
    optimizer_cls_and_kwargs: tuple[type[Optimizer], dict[str, Any]] | None
    processing_class: Any
    state: HostState
    train_dataset: Any
    _signature_columns: list[str] | None

    def add_callback(self, callback: TrainerCallback) -> None:
        """Adds a callback after the present ones."""

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: object = None
    ) -> object:
        """The loss of a micro-batch; overridden."""

    def compute_loss_context_manager(self) -> AbstractContextManager[object]:
        """The context for computing the loss: autocast."""

    def create_optimizer(self) -> Optimizer:
        """The optimizer over all trainable parameters; overridden."""

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> object:
        """The micro-batches of a step, fetched before its first forward; overridden."""

    def get_cp_size(self) -> int:
        """Number of processes of context parallelism."""

    def get_sp_size(self) -> int:
        """Number of processes of sequence parallelism."""

    def get_tp_size(self) -> int:
        """Number of processes of tensor parallelism."""

    def get_train_dataloader(self) -> object:
        """The data loader; it uses the sampler. We refuse memories for a subclass that overrides it."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Writes a line of the log; overridden."""

    def train(self, resume_from_checkpoint: str | bool | None = None) -> object:
        """Trains; overridden."""

    def _get_collator_with_removed_columns(self, data_collator: Collator, description: str | None = None) -> Collator:
        """The collator, wrapped to drop columns that the model does not take."""

    def _get_train_sampler(self, train_dataset: object = None) -> object:
        """The order of the rows; overridden."""

    def _set_signature_columns_if_needed(self) -> None:
        """Fills `_signature_columns`; we add the source of a row to them."""


class SFTHost(HostTrainer, Protocol):
    """`trl.SFTTrainer` has these attributes too; its own loss would update them."""

    router_aux_loss_coef: float
    _metrics: dict[str, dict[str, list[float]]]
    _total_train_tokens: int


class HostEvents(Protocol):
    """The moments of `transformers.TrainerCallback` at which we act."""

    def on_train_begin(self, *args: object, **kwargs: object) -> None:
        """After the trainer knows the number of steps, and has read a checkpoint's optimizer and weights."""

    def on_step_begin(self, *args: object, **kwargs: object) -> None:
        """Before a step's first forward."""

    def on_pre_optimizer_step(self, *args: object, **kwargs: object) -> None:
        """After clipping, before the optimizer."""

    def on_optimizer_step(self, *args: object, **kwargs: object) -> None:
        """After the optimizer, before the gradients are zeroed."""

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        """After the schedule's step and `global_step += 1`."""

    def on_save(self, *args: object, **kwargs: object) -> None:
        """After the trainer wrote its part of a checkpoint."""

    def on_train_end(self, *args: object, **kwargs: object) -> None:
        """After the last step, before the trainer returns."""
