"""`attach` on a trainer of sentence-transformers: the same recipe, on a cross-encoder.

`holdfast.attach` calls `attach_reranker` for such a trainer. Its loss stays the user's own. What differs from a
language model is where the units are (`units.py`), how their scores are found (`recorder.py`), and whose parameters
methods see: those of the transformer inside the cross-encoder, under the names that they have in transformers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler
from transformers import Trainer

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO, Guard
from holdfast.core.method import Chain, Method
from holdfast.core.run import SOURCE
from holdfast.core.teacher import Teacher
from holdfast.probes.watch_record import WatchRecord
from holdfast.rerank.forward import ScoreForward
from holdfast.rerank.host import RerankHost
from holdfast.rerank.questions import RerankQuestions
from holdfast.rerank.refusals import refuse_reranker
from holdfast.rerank.rows import RowBatches
from holdfast.rerank.session import RerankSession
from holdfast.rerank.transformer import inner_of, put_inner
from holdfast.rerank.units import NOT_TEXT, rows_of
from holdfast.rerank.view import ListOptions, RerankView
from holdfast.train.attach import Attached, put_on
from holdfast.train.attaching import as_found_if_refused, parts_of, watching_of
from holdfast.train.base import make_teacher
from holdfast.train.guard import GuardCallback
from holdfast.train.mixing import sampler_of
from holdfast.train.recording import record, steering
from holdfast.train.settings import train_of
from holdfast.train.setup import apply_settings
from holdfast.train.shipping import Shipping
from holdfast.train.tally import Tally
from holdfast.train.trainer_parts import gather, start_of
from holdfast.train.trainers import HostTrainer, precision_of

T = TypeVar("T", bound=Trainer)


def attach_reranker(
    trainer: T,
    recipe: Method | str | None = None,
    budget: Budget | None = None,
    *,
    keep: Any = None,
    learn: Any = None,
    guard: Guard | None = None,
    memories: Mapping[str, Any] | None = None,
    chunked_loss: bool = False,
    lists: ListOptions | None = None,
    batch_tokens: int | None = None,
) -> T:
    """Puts a recipe, a budget or both on a built `CrossEncoderTrainer`; the arguments of `holdfast.attach`, and two.

    Args:
        trainer: A `sentence_transformers.CrossEncoderTrainer` before training, with any of the library's losses.
        recipe: As for `holdfast.attach`; methods that make no sense on scores of documents are refused.
        budget: The allowed loss, in points (nDCG@10) over queries.
        keep: What the guard watches: a source of queries (`holdfast.rerank.sources.read_collection`), a `Collection` or
            a `RerankSuite`, or several. It asks only queries on the watched side.
        learn: What shows how much is learned, in the same forms.
        guard: As for `holdfast.attach`; `items` counts queries.
        memories: Old rows by the name that `Rehearsal` and `EWC` use: a source, `CandidateList`s, or rows with the
            columns of the train dataset. Other names count as sources.
        chunked_loss: Not for a reranker, which has no logits of a vocabulary.
        lists: How the sources of `memories` become lists; about as long as the rows of the trainer, with one document
            of another query, if None.
        batch_tokens: Most tokens of a batch of the guard, padding included; 8192 if None.

    Raises:
        HoldfastError: The trainer's settings and the recipe do not fit together. The trainer and its model stay as they
            were.
    """
    theirs, encoder = cast(HostTrainer, trainer), cast(Any, trainer.model)
    if isinstance(recipe, str) and recipe == AUTO:
        raise HoldfastError(
            "The recipe 'auto' follows a plan for language models; give a reranker's recipe, such as"
            " Train(lr=2e-5, epochs=1) + BaseKL()."
        )
    if chunked_loss:
        raise HoldfastError(
            "chunked_loss=True is for the loss over a vocabulary, and a reranker has none; leave it out."
        )
    parts, inner = parts_of(recipe), inner_of(encoder)
    view = RerankView(theirs, dict(memories or {}), encoder, encoder if inner is None else inner, lists=lists)
    with as_found_if_refused(theirs, lambda: view.model):
        watching = watching_of(budget, guard, keep, learn)
        refuse_reranker(theirs, parts, watching, inner)
        asked = None
        if budget is not None and watching is not None:
            asked = RerankQuestions.of(theirs, budget, watching, keep, learn, batch_tokens)
        session, teacher = _session(view, parts)
        shipping = Shipping(session.model, session.recipe, train_of(parts).ship)
        watched = steering(theirs, WatchRecord() if asked is None else asked.watched)
        facts = {"recipe": repr(parts), "starting model": start_of(session.model, teacher)}
    host = RerankHost(theirs, session, cast(Any, view), shipping, facts)
    looking = None
    if budget is not None and watching is not None and asked is not None:
        looking = GuardCallback(host, budget, watching, cast(Any, asked))
    put_on(trainer, AttachedReranker, parts, host, teacher, looking)
    cast(Attached, trainer).holdfast_watched = watched
    record(theirs, watched)
    return trainer


def _session(view: RerankView, recipe: Chain) -> tuple[RerankSession, Teacher | None]:
    """Returns the session of the recipe on the trainer's model, and the base; in the order of `holdfast.attach`."""
    trainer, settings, active = view.trainer, train_of(recipe), recipe.active()
    apply_settings(recipe, trainer)
    if active.uses("mix_data"):
        view.mix_rows(active)
    for shaped in active.shapes(view.run()):
        view.model = shaped
        put_inner(view.encoder, shaped)
    if trainer.args.gradient_checkpointing and hasattr(view.model, "peft_config"):
        cast(Any, view.model).enable_input_require_grads()  # else a checkpointed block has no input with a gradient
    teacher = make_teacher(view.model, settings.teacher, settings.reference) if active.needs.base else None
    loss: Any = getattr(trainer, "loss", None)
    prompt = getattr(trainer.args, "prompts", None)
    view.forward = ScoreForward(
        view.encoder,
        view.model,
        active,
        teacher,
        loss=type(loss).__name__,
        prompt=prompt if isinstance(prompt, str) else None,
    )
    reduce = functools.partial(trainer.accelerator.reduce, reduction="sum")
    tally = Tally(reduce, functools.partial(gather, trainer.accelerator))
    how: dict[str, Any] = {"scores": view.forward, "tally": tally, "precision": precision_of(trainer.args)}
    return RerankSession(view.model, active, mixes=view.mix is not None, **how), teacher


class AttachedReranker(Attached):
    """The mixin of an attached trainer of a cross-encoder."""

    holdfast: RerankSession

    def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, **kwargs: Any) -> BatchSampler | None:
        """Returns the trainer's batches of a dataset, or those that keep the share of old rows in the training."""
        if self.holdfast_mix is None or dataset is not self.train_dataset:
            made: BatchSampler | None = super().get_batch_sampler(dataset, batch_size, drop_last, **kwargs)  # type: ignore[misc]
            return made
        return RowBatches(sampler_of(cast(HostTrainer, self), self.holdfast_mix), batch_size, drop_last)

    def _count_tokens(self, batches: list[Any]) -> None:
        """Counts the rows of the step: a row is a unit."""
        if not self.holdfast.adds and self.holdfast_mix is None:
            return
        counted = []
        for batch in batches:
            count = len(next(values for name, values in batch.items() if name not in NOT_TEXT))
            sources = batch.get(SOURCE)
            pair = None if sources is None else torch.stack([sources, sources], 1)
            counted.append((torch.ones(count, 1 if pair is None else 2, dtype=torch.bool), pair))
        self.holdfast.count_tokens([_one_unit(*part) for part in counted])

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Returns the user's loss of a micro-batch with the recipe's terms; sets the rate before a step's backward."""
        source_B = inputs.pop(SOURCE, None)
        own = super(Attached, self).compute_loss  # the trainer's
        if not model.training:
            return own(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)
        session, divisor = self.holdfast, self._loss_divisor(num_items_in_batch)
        if session.adds:
            rows = rows_of(inputs)
            with session.scores.recorder.recording():
                loss = cast(Tensor, own(model, inputs, num_items_in_batch=num_items_in_batch))
            # DDP averages gradients over the processes, but the divisor already counts the rows of all of them.
            added = session.added(rows, source_B) * int(self.accelerator.num_processes)
            if not session.reads:
                session.observe(loss.detach() / divisor)
            loss = loss + added * divisor
        else:
            loss = cast(Tensor, own(model, inputs, num_items_in_batch=num_items_in_batch))
            session.observe(loss.detach() / divisor)
        loss = self._with_penalty(loss, num_items_in_batch)
        return (loss, {}) if return_outputs else loss


def _one_unit(scored_BT: Tensor, source_BT: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Returns the mask and the sources of a micro-batch in the form of tokens: the second position is the unit."""
    if source_BT is None:
        return scored_BT, None
    scored_BT[:, 1] = False
    return scored_BT, source_BT
