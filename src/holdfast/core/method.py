"""Method: frozen settings, and hooks that are named after the moment at which they act. Read this file first.

A run calls the hooks in this order. The second column is the law by which the hooks of several methods compose:

    before training   mix_data      in turn    the examples to train on, and their shares
                      shape_model   in turn    the parts of the model that train (adapters, freezing)
                      group_params  multiply   learning-rate factor of each parameter
                      init_state    separate   the state of this run
    per step, first   renew_batches in turn    the batches to train on instead of the step's
    per chunk         weigh_tokens  multiply   factors on the task loss of each token
                      token_loss    add        nats to add to each token
    per step          penalty       add        a scalar of the weights alone
                      edit_grads    in turn    after clipping, before the optimizer
                      scale_lr      multiply   step statistics -> factor on the learning rate
                      edit_update   in turn    after the optimizer: old and new weight -> weight
                      after_step    in turn    before the gradients are zeroed
    after training    edit_weights  in turn    weights -> weights, tensor by tensor

A method never holds state: `init_state` returns it, and the trainer keeps it, writes it into checkpoints and passes it
to the hooks, so one frozen object serves many runs. A method never reduces over tokens: it returns one number per
token, and the trainer divides the sum over the step by the number of the step's supervised tokens (over all
micro-batches and ranks), so its strength does not depend on the split of a batch.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from holdfast.core.mix import Mix
from holdfast.core.needs import Ask, Needs
from holdfast.core.run import Batch, Run, Step
from holdfast.core.settings import check_settings, parted, settings_of, value_of
from holdfast.core.sums import facts_of, refuse_pairs, text_of
from holdfast.core.tokens import Tokens

State = dict[str, Any]
"""State of one method in one run: tensors by name (nested for a sum of methods)."""

On = Literal["new", "memory", "all"]
"""Which tokens: those of the new examples, those of the memories, or all."""

HOOKS = (
    "mix_data",
    "shape_model",
    "group_params",
    "init_state",
    "renew_batches",
    "weigh_tokens",
    "token_loss",
    "penalty",
    "edit_grads",
    "scale_lr",
    "edit_update",
    "after_step",
    "edit_weights",
)


@dataclasses.dataclass(frozen=True)
class Method:
    """Base class of all methods. Subclasses are frozen dataclasses; their fields are the settings.

    A method declares in class attributes what other code must know of it; no code keeps lists of methods by name.

    Class attributes:
        reads: Fields of `Tokens` that its token hooks read and that the trainer must prepare: fields of the base
            (`base_*`), `token_N` and `document_N`. Every other field needs no declaration.
        means: Fields of `Tokens` whose mean over the step's new tokens it reads as `step.means[field]`.
        sees: Fields of `Tokens` whose values at the step's new tokens it reads as `step.values[field]`; also
            "document_nll", the mean loss of each document.
        asks: Its other requests to the trainer, see `holdfast.core.needs.Ask`.
        on_parameters: True: `edit_weights` sees raw parameters, adapter matrices included, and runs first. False: it
            sees whole weights, with the adapter merged in, by their names in a model without adapters.
        freezes: `shape_model` only freezes parameters, so it runs after the methods that add parameters.
        confines: `edit_grads` or `edit_update` keeps a step out of directions, so it runs after what chooses entries.
        averages: `after_step` averages the weights, so it runs after the methods that change them.
        holds: Its loss terms are penalties to the base model, so a spent budget may raise them.
        state_per_parameter: Numbers of its state per trained parameter, for the estimate of memory.
        slot: The place that it takes in a recipe, where only one method fits (see `SLOTS`); "" for none.
        once: Why a recipe may contain this method only once; "" if it may contain it twice.
        excludes: What makes no sense together with this method, each with the reason: the name of a method, or a fact
            (see `facts`) such as "weigh_tokens" or "base_*", which excludes every method with this fact.
        quick: Settings with which it acts within a few steps at low cost; `example` uses them.
    """

    reads: ClassVar[frozenset[str]] = frozenset()
    means: ClassVar[frozenset[str]] = frozenset()
    sees: ClassVar[frozenset[str]] = frozenset()
    asks: ClassVar[frozenset[Ask]] = frozenset()
    on_parameters: ClassVar[bool] = False
    freezes: ClassVar[bool] = False
    confines: ClassVar[bool] = False
    averages: ClassVar[bool] = False
    holds: ClassVar[bool] = True
    state_per_parameter: ClassVar[int] = 0
    slot: ClassVar[str] = ""
    once: ClassVar[str] = ""
    excludes: ClassVar[Mapping[str, str]] = {}
    quick: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        """Checks every setting against its declared range; raises `HoldfastError` for a value outside."""
        check_settings(self)

    def __add__(self, other: Method) -> Chain:
        """Returns the sum of two methods, itself a method."""
        return chain(self, other)

    def __repr__(self) -> str:
        """Returns the Python text of this method for `holdfast.parse`, without settings at their default."""
        return text_of(self)

    @classmethod
    def facts(cls) -> frozenset[str]:
        """Returns the facts that the `excludes` of another method may name.

        They are its class name, the hooks at which it acts, the fields in `reads`, `means` and `sees`, its `asks`, and
        "base_*" if one of the fields belongs to the base.
        """
        hooks = {hook for hook in HOOKS if getattr(cls, hook) is not getattr(Method, hook)}
        return facts_of(cls.__name__, hooks, cls.reads | cls.means | cls.sees, cls.asks)

    @classmethod
    def example(cls, **settings: Any) -> Self:
        """Returns an instance that acts within a few steps: with its `quick` settings, and "old" as the memory.

        Args:
            settings: Settings that override these.
        """
        memory = {name: "old" for name, about in settings_of(cls).items() if about.role == "memory"}
        return cls(**{**memory, **cls.quick, **settings})

    @property
    def off(self) -> bool:
        """True if the strength is 0, so that the method does nothing; the trainer then leaves it out at no cost."""
        return bool(value_of(self, "strength") == 0)

    @property
    def acts_on(self) -> On:
        """The tokens that its token hooks receive: the value of its setting with the role "tokens", else all."""
        on: On = value_of(self, "tokens", "all")
        return on

    @property
    def sources(self) -> tuple[str, ...]:
        """Names, paths or hub ids of the old examples that this method requests (its "memory"), in order."""
        return parted(value_of(self, "memory", ""))

    @property
    def needs(self) -> Needs:
        """Its declared needs, which the trainer must prepare."""
        return Needs(self.reads, self.means, self.sees, self.asks)

    def uses(self, hook: str) -> bool:
        """Returns whether this method acts at `hook` (one of `HOOKS`)."""
        return getattr(type(self), hook) is not getattr(Method, hook)

    def parts(self) -> tuple[Method, ...]:
        """Returns the methods of this sum; a method that is not a sum returns itself alone."""
        return (self,)

    # Before training.

    def mix_data(self, run: Run) -> Mix:
        """Returns the examples to train on."""
        return run.mix

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the model to train: wrapped, or with changed `requires_grad` of its parameters."""
        return run.model

    def group_params(self, params: Mapping[str, nn.Parameter]) -> dict[str, float]:
        """Returns factors on the learning rate, by parameter name; a parameter without a factor has 1."""
        return {}

    def init_state(self, run: Run) -> State:
        """Returns the state of this method for the run: tensors by name."""
        return {}

    # At the start of an optimizer step.

    def renew_batches(self, state: State, step: Step, batches: Sequence[Batch]) -> Sequence[Mapping[str, Any]]:
        """Returns the micro-batches to train on instead of the step's micro-batches of this process.

        Each must have the columns of the one that it replaces. A column `SHOWN` holds the batch that the base reads
        instead.
        """
        return batches

    # Per chunk of supervised tokens.

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns factors on the task loss of each token, `[N]`; no gradient flows through them."""
        return torch.ones_like(tok.nll_N)

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Returns nats to add to the loss of each token, `[N]`."""
        return torch.zeros_like(tok.nll_N)

    # Per optimizer step.

    def penalty(self, state: State, step: Step) -> Tensor | float:
        """Returns a scalar in nats to add to the loss once per step; its gradient flows to the weights."""
        return 0.0

    def edit_grads(self, state: State, step: Step) -> None:
        """Changes `p.grad` of `step.params` in place, after clipping; None keeps a parameter from moving.

        `p.grad` is None if another method set it so.
        """

    def scale_lr(self, state: State, step: Step) -> float:
        """Returns the factor on the learning rate for this step."""
        return 1.0

    def edit_update(self, state: State, step: Step, name: str, before: Tensor, after: Tensor) -> Tensor:
        """Returns the new value of a trained tensor, from its values before and after `optimizer.step`."""
        return after

    def after_step(self, state: State, step: Step) -> None:
        """Acts after the update, before the gradients are zeroed."""

    # After training.

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the value to ship of one tensor, from its values in the base and in the tuned model."""
        return tuned


@dataclasses.dataclass(frozen=True)
class Chain(Method):
    """The sum of methods: each hook composes the hooks of `methods` by its law (see the table of the module)."""

    methods: tuple[Method, ...] = ()

    def __post_init__(self) -> None:
        """Raises `HoldfastError` with the reason if a pair of the methods makes no sense."""
        refuse_pairs(self.methods)

    def __repr__(self) -> str:
        """Returns `A() + B()`."""
        return " + ".join(map(repr, self.methods))

    @property
    def off(self) -> bool:
        """True when every part is off."""
        return all(method.off for method in self.methods)

    def uses(self, hook: str) -> bool:
        """Returns whether any part acts at `hook`."""
        return any(method.uses(hook) for method in self.methods)

    def parts(self) -> tuple[Method, ...]:
        """Returns the methods of this sum, in order."""
        return self.methods

    def active(self) -> Chain:
        """Returns this sum without the methods that are off."""
        return Chain(tuple(method for method in self.methods if not method.off))

    @property
    def needs(self) -> Needs:
        """The union of the needs of all parts."""
        return functools.reduce(operator.or_, (method.needs for method in self.methods), Needs())

    @property
    def compares_on(self) -> On:
        """The tokens whose base fields are needed: the common `acts_on` of the parts that read the base, else "all"."""
        tokens = {method.acts_on for method in self.methods if method.needs.base}
        return tokens.pop() if len(tokens) == 1 else "all"

    def keyed(self, hook: str, last: str = "") -> list[tuple[str, Method]]:
        """Returns the methods that act at a hook, and the keys of their states; those that declare `last` come last."""
        acting = ((f"{i}.{type(part).__name__}", part) for i, part in enumerate(self.methods) if part.uses(hook))
        return sorted(acting, key=lambda keyed: bool(last) and getattr(keyed[1], last))

    def mix_data(self, run: Run) -> Mix:
        """In turn."""
        for _, method in self.keyed("mix_data"):
            run = dataclasses.replace(run, mix=method.mix_data(run))
        return run.mix

    def shape_model(self, run: Run) -> nn.Module:
        """In turn; methods that only freeze come after those that add parameters."""
        return list(self.shapes(run))[-1]

    def shapes(self, run: Run) -> Iterator[nn.Module]:
        """Yields the model before shaping, and then the model that each `shape_model` returns."""
        yield run.model
        for _, method in self.keyed("shape_model", last="freezes"):
            run = dataclasses.replace(run, model=method.shape_model(run))
            yield run.model

    def group_params(self, params: Mapping[str, nn.Parameter]) -> dict[str, float]:
        """Multiplied."""
        factors: dict[str, float] = {}
        for _, method in self.keyed("group_params"):
            for name, factor in method.group_params(params).items():
                factors[name] = factors.get(name, 1.0) * factor
        return factors

    def init_state(self, run: Run) -> State:
        """Separate; each state has the key `<position>.<name>`."""
        return {key: method.init_state(run) for key, method in self.keyed("init_state")}

    def renew_batches(self, state: State, step: Step, batches: Sequence[Batch]) -> Sequence[Mapping[str, Any]]:
        """In turn."""
        for key, method in self.keyed("renew_batches"):
            batches = method.renew_batches(state.get(key, {}), step, batches)
        return batches

    def per_token_loss(self, state: State, tok: Tokens, hold: float = 1.0) -> Tensor:
        """Returns the loss of each token, `[N]` nats: the weighted task loss, plus `hold` times the added terms.

        It replaces a loss with weight 0 by 0 instead of multiplying, because 0 * inf is NaN.
        """
        loss_N: Tensor = tok.nll_N
        if self.uses("weigh_tokens"):
            with torch.no_grad():
                factors_N = self.weigh_tokens(state, tok)
            loss_N = torch.where(factors_N == 0, torch.zeros_like(loss_N), loss_N) * factors_N
        if hold and self.uses("token_loss"):
            loss_N = loss_N + hold * self.token_loss(state, tok)
        return loss_N

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Multiplied; a method receives only the tokens that it is `on`, and the others get 1."""
        return functools.reduce(operator.mul, self._of_tokens("weigh_tokens", state, tok, 1.0))

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Added; a method receives only the tokens that it is `on`, and the others get 0."""
        return functools.reduce(operator.add, self._of_tokens("token_loss", state, tok, 0.0))

    def _of_tokens(self, hook: str, state: State, tok: Tokens, others: float) -> Iterator[Tensor]:
        """Yields `others` `[N]`, and what each method returns at a token hook, with `others` where it is not on."""
        plain_N = torch.full_like(tok.nll_N, others)
        yield plain_N
        for key, method in self.keyed(hook):
            part = tok.only(method.acts_on)
            if part is not None:
                part_N = getattr(method, hook)(state.get(key, {}), part)
                yield part_N if part is tok else _placed(plain_N, tok.is_on(method.acts_on), part_N)

    def penalty(self, state: State, step: Step) -> Tensor | float:
        """Added."""
        return sum((method.penalty(state.get(key, {}), step) for key, method in self.keyed("penalty")), 0.0)

    def edit_grads(self, state: State, step: Step) -> None:
        """In turn; methods that confine the step come last."""
        for key, method in self.keyed("edit_grads", last="confines"):
            method.edit_grads(state.get(key, {}), step)

    def scale_lr(self, state: State, step: Step) -> float:
        """Multiplied."""
        factor = 1.0
        for key, method in self.keyed("scale_lr"):
            factor *= method.scale_lr(state.get(key, {}), step)
        return factor

    def edit_update(self, state: State, step: Step, name: str, before: Tensor, after: Tensor) -> Tensor:
        """In turn; methods that confine the weight come last."""
        for key, method in self.keyed("edit_update", last="confines"):
            after = method.edit_update(state.get(key, {}), step, name, before, after)
        return after

    def after_step(self, state: State, step: Step) -> None:
        """In turn; methods that average the weights come last."""
        for key, method in self.keyed("after_step", last="averages"):
            method.after_step(state.get(key, {}), step)

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """In turn."""
        for key, method in self.keyed("edit_weights"):
            tuned = method.edit_weights(state.get(key, {}), name, base, tuned)
        return tuned


def chain(*methods: Method) -> Chain:
    """Returns the flat sum of `methods`: the parts of a sum replace it.

    Raises:
        HoldfastError: Two of the methods make no sense together.
    """
    return Chain(tuple(part for method in methods for part in method.parts()))


def _placed(plain_N: Tensor, on_N: Tensor, values: Tensor) -> Tensor:
    """Returns `[N]`: the `values` of the tokens in the mask `on_N`, and those of `plain_N` for the others."""
    values_M = values.to(plain_N.dtype).expand(int(on_N.sum()))
    return plain_N.masked_scatter(on_N, values_M)
