"""What we depend on in other people's trainers: every attribute that is read, written, called or overridden.

This is the list of what may break with the next release of transformers or TRL. `tests/train/test_trainers.py` looks
for each name on `transformers.Trainer` and `trl.SFTTrainer`, and finds what `train/` uses without listing it here.
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

Collator = Callable[[list[Any]], Mapping[str, Any]]
"""Rows -> a batch."""


class HostArguments(Protocol):
    """`transformers.TrainingArguments`: what is read of it; a recipe's settings are written into it."""

    auto_find_batch_size: bool
    average_tokens_across_devices: bool
    data_seed: int | None
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
        """Where this process computes."""

    @property
    def n_gpu(self) -> int:
        """GPUs of this process; above 1 is DataParallel."""

    @property
    def process_index(self) -> int:
        """Rank of this process."""

    @property
    def should_save(self) -> bool:
        """Whether this process writes."""

    @property
    def train_batch_size(self) -> int:
        """Rows of a micro-batch of this process."""

    @property
    def world_size(self) -> int:
        """Number of processes."""

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Steps of warm-up among so many."""


class SFTArguments(HostArguments, Protocol):
    """`trl.SFTConfig` beside that, always asked for by `getattr`: a plain trainer has none of these."""

    loss_type: str
    max_length: int | None
    packing: bool


class HostState(Protocol):
    """`transformers.TrainerState`."""

    epoch: float | None
    global_step: int
    max_steps: int


class HostAccelerator(Protocol):
    """`accelerate.Accelerator`: how processes meet."""

    @property
    def num_processes(self) -> int:
        """Number of processes."""

    @property
    def optimizer_step_was_skipped(self) -> bool:
        """Whether the optimizer took no step, as gradients were no numbers (fp16)."""

    @property
    def sync_gradients(self) -> bool:
        """Whether this micro-batch is the step's last."""

    def autocast(self) -> AbstractContextManager[None]:
        """The precision that the trainer computes in."""

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes as one."""

    def gather_for_metrics(self, input_data: Tensor) -> Tensor:
        """The same, without what padded the last batch."""

    def pad_across_processes(self, tensor: Tensor, dim: int = 0, pad_index: float = 0) -> Tensor:
        """A tensor as long as the longest of all processes."""

    def reduce(self, tensor: Tensor, reduction: str = "sum") -> Tensor:
        """The sum over processes."""

    def unwrap_model(self, model: nn.Module) -> nn.Module:
        """The model inside DDP and the like."""


class HostTrainer(Protocol):
    """`transformers.Trainer`.

    What is overridden in an attached trainer (`train`, `create_optimizer`, `_get_train_sampler`, `get_batch_samples`,
    `compute_loss`, `log`) is listed here too: another moment or order of these calls would break as much as another
    name. A recipe relies on this order in a step: `get_batch_samples`, then `compute_loss` of each micro-batch, the
    backward of each before the next forward, `on_pre_optimizer_step`, the optimizer, `on_optimizer_step`.
    """

    accelerator: HostAccelerator
    args: HostArguments
    compute_loss_func: Callable[..., object] | None
    current_gradient_accumulation_steps: int  # set by the training loop
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
        """Adds a callback behind those that are there."""

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: object = None
    ) -> object:
        """A micro-batch's loss; overridden."""

    def compute_loss_context_manager(self) -> AbstractContextManager[object]:
        """What the loss is computed under: autocast."""

    def create_optimizer(self) -> Optimizer:
        """The optimizer over all trainable parameters; overridden."""

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> object:
        """A step's micro-batches, fetched before its first forward; overridden."""

    def get_cp_size(self) -> int:
        """Processes of context parallelism."""

    def get_sp_size(self) -> int:
        """Processes of sequence parallelism."""

    def get_tp_size(self) -> int:
        """Processes of tensor parallelism."""

    def get_train_dataloader(self) -> object:
        """Where the sampler is used; a subclass that has its own is refused a memory."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Writes a line of the log; overridden."""

    def train(self, resume_from_checkpoint: str | bool | None = None) -> object:
        """Trains; overridden."""

    def _get_collator_with_removed_columns(self, data_collator: Collator, description: str | None = None) -> Collator:
        """The collator without the columns that the model does not read."""

    def _get_train_sampler(self, train_dataset: object = None) -> object:
        """The order of the rows; overridden."""

    def _set_signature_columns_if_needed(self) -> None:
        """Fills `_signature_columns`, to which the source of a row is added."""


class SFTHost(HostTrainer, Protocol):
    """`trl.SFTTrainer` beside that: what its own loss would have left behind."""

    router_aux_loss_coef: float
    _metrics: dict[str, dict[str, list[float]]]
    _total_train_tokens: int


class HostEvents(Protocol):
    """The moments of `transformers.TrainerCallback` at which something is done."""

    def on_train_begin(self, *args: object, **kwargs: object) -> None:
        """The number of steps is known, and a checkpoint's optimizer and weights are read."""

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
