"""Method: frozen settings plus hooks named for the moment they act. Read this file first.

The hooks in the order in which a run meets them, and the law by which those of several methods compose:

    before training   mix_data      in turn    which examples are trained on, and in which shares
                      shape_model   in turn    what of the model is trained (adapters, freezing)
                      group_params  multiply   learning-rate factor of each parameter
                      init_state    each own   what this run must remember
    per step, first   renew_batches in turn    what is trained on in the place of the step's batches
    per chunk         weigh_tokens  multiply   factors on the task loss of each token
                      token_loss    add        nats to add to each token
    per step          penalty       add        a scalar of the weights alone
                      edit_grads    in turn    after clipping, before the optimizer
                      scale_lr      multiply   step statistics -> factor on the learning rate
                      edit_update   in turn    after the optimizer: the weight to keep
                      after_step    in turn    before the gradients are zeroed
    after training    edit_weights  in turn    weights -> weights, tensor by tensor

A method never holds state: `init_state` returns it, the trainer keeps it, checkpoints it and hands it back, so one
frozen object serves many runs. A method never reduces over tokens: it returns one number per token, and the trainer
divides the sum over the step by the step's supervised tokens (over all micro-batches and ranks), so that strength
does not depend on how a batch is split.
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
"""What one run remembers of one method: tensors by name (nested for a sum of methods)."""

On = Literal["new", "memory", "all"]
"""Tokens of the new examples, of the memories', or all."""

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
    """Base of all methods. Subclasses are frozen dataclasses whose fields are their settings.

    What else others must know of a method, it declares in class attributes. Nobody keeps lists of methods by name.

    Class attributes:
        reads: Fields of `Tokens` that its token hooks read and that the trainer must prepare: fields of the base
            (`base_*`), `token_N` and `document_N`. Every other field is there without being asked for.
        means: Fields of `Tokens` whose mean over the step's new tokens it reads as `step.means[field]`.
        sees: Fields of `Tokens` whose value at each of the step's new tokens it reads as `step.values[field]`;
            "document_nll" is the mean loss of each document.
        asks: What else it requests from the trainer, see `holdfast.core.needs.Ask`.
        on_parameters: True: `edit_weights` sees raw parameters, adapter matrices included, and runs first. False: it
            sees whole weights, with the adapter merged in, by their names in a model without adapters.
        freezes: `shape_model` only freezes parameters, so it runs after the methods that add some.
        confines: `edit_update` keeps the weight out of some directions, so it runs after the methods that choose which
            entries move; their choice would undo it.
        holds: What it adds to the loss holds the model to the base, so a spent budget may raise it.
        slot: The place in a recipe that it takes, of which there is one (see `SLOTS`); "" for none.
        once: Why a recipe takes this method only once; "" where it may stand twice.
        excludes: What makes no sense beside this method, each with the reason: a method by its name, or every method
            with a fact (see `facts`), as "weigh_tokens" or "base_*".
        quick: Settings with which it acts within a few steps and costs little; `example` uses them.
    """

    reads: ClassVar[frozenset[str]] = frozenset()
    means: ClassVar[frozenset[str]] = frozenset()
    sees: ClassVar[frozenset[str]] = frozenset()
    asks: ClassVar[frozenset[Ask]] = frozenset()
    on_parameters: ClassVar[bool] = False
    freezes: ClassVar[bool] = False
    confines: ClassVar[bool] = False
    holds: ClassVar[bool] = True
    slot: ClassVar[str] = ""
    once: ClassVar[str] = ""
    excludes: ClassVar[Mapping[str, str]] = {}
    quick: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        """Checks every setting against its declared range."""
        check_settings(self)

    def __add__(self, other: Method) -> Chain:
        """Returns the sum of two methods, itself a method."""
        return chain(self, other)

    def __repr__(self) -> str:
        """Returns the Python text of this method, as `holdfast.parse` reads it: only settings off their default."""
        return text_of(self)

    @classmethod
    def facts(cls) -> frozenset[str]:
        """Returns what the `excludes` of another method may name.

        Its class name, the hooks at which it acts, the fields that it reads, takes means of or sees, what it asks for,
        and "base_*" if one of the fields is of the base.
        """
        hooks = {hook for hook in HOOKS if getattr(cls, hook) is not getattr(Method, hook)}
        return facts_of(cls.__name__, hooks, cls.reads | cls.means | cls.sees, cls.asks)

    @classmethod
    def example(cls, **settings: Any) -> Self:
        """Returns an instance that acts within a few steps: its `quick` settings, and "old" for a memory.

        Args:
            settings: Settings that it is to have instead.
        """
        memory = {name: "old" for name, about in settings_of(cls).items() if about.role == "memory"}
        return cls(**{**memory, **cls.quick, **settings})

    @property
    def off(self) -> bool:
        """True when the settings make this method do nothing: its strength is 0. It is then left out, at no cost."""
        return bool(value_of(self, "strength") == 0)

    @property
    def acts_on(self) -> On:
        """The tokens that its token hooks are given: those that its setting with the role "tokens" names, else all."""
        on: On = value_of(self, "tokens", "all")
        return on

    @property
    def sources(self) -> tuple[str, ...]:
        """Names, paths or hub ids of the old examples that this method asks for (its "memory"), in order."""
        return parted(value_of(self, "memory", ""))

    @property
    def needs(self) -> Needs:
        """What it declares that the trainer must prepare."""
        return Needs(self.reads, self.means, self.sees, self.asks)

    def uses(self, hook: str) -> bool:
        """Returns whether this method acts at `hook` (one of `HOOKS`)."""
        return getattr(type(self), hook) is not getattr(Method, hook)

    def parts(self) -> tuple[Method, ...]:
        """Returns the methods this one is the sum of; itself alone when it is not a sum."""
        return (self,)

    # Before training.

    def mix_data(self, run: Run) -> Mix:
        """Returns the examples to train on."""
        return run.mix

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the model to train: wrapped, or with other parameters set to require gradients."""
        return run.model

    def group_params(self, params: Mapping[str, nn.Parameter]) -> dict[str, float]:
        """Returns a factor on the learning rate for each parameter it wants slower or faster; absent means 1."""
        return {}

    def init_state(self, run: Run) -> State:
        """Returns what this method remembers during the run: tensors by name."""
        return {}

    # At the start of an optimizer step.

    def renew_batches(self, state: State, step: Step, batches: Sequence[Batch]) -> Sequence[Mapping[str, Any]]:
        """Returns what is trained on in the place of the step's micro-batches on this process.

        Each has the columns it had; with `SHOWN` among them, that is what the base reads instead.
        """
        return batches

    # Per chunk of supervised tokens.

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns factors on the task loss, `[N]`; no gradient flows through them."""
        return torch.ones_like(tok.nll_N)

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Returns nats to add to the loss of each token, `[N]`."""
        return torch.zeros_like(tok.nll_N)

    # Per optimizer step.

    def penalty(self, state: State, step: Step) -> Tensor | float:
        """Returns nats to add once per step, a scalar with a gradient to the weights."""
        return 0.0

    def edit_grads(self, state: State, step: Step) -> None:
        """Changes `p.grad` of `step.params` in place, or sets it to None where one is to stand still; after clipping.

        It is None where another method did so.
        """

    def scale_lr(self, state: State, step: Step) -> float:
        """Returns the factor on the learning rate for this step."""
        return 1.0

    def edit_update(self, state: State, step: Step, name: str, before: Tensor, after: Tensor) -> Tensor:
        """Returns the weight to keep, given it before and after `optimizer.step`; called per trained tensor."""
        return after

    def after_step(self, state: State, step: Step) -> None:
        """Called after the update, while the gradients are still there."""

    # After training.

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the weight to ship, given that of the base and the tuned one; called tensor by tensor."""
        return tuned


@dataclasses.dataclass(frozen=True)
class Chain(Method):
    """The sum of methods: each hook composes those of `methods` by its law (see the module's table)."""

    methods: tuple[Method, ...] = ()

    def __post_init__(self) -> None:
        """Refuses pairs that make no sense, with the reason."""
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
        """Returns this sum without the parts that are off."""
        return Chain(tuple(method for method in self.methods if not method.off))

    @property
    def needs(self) -> Needs:
        """What all parts need together."""
        return functools.reduce(operator.or_, (method.needs for method in self.methods), Needs())

    @property
    def compares_on(self) -> On:
        """Which tokens are compared with the base: those that all parts which compare have in common, else "all"."""
        tokens = {method.acts_on for method in self.methods if method.needs.base}
        return tokens.pop() if len(tokens) == 1 else "all"

    def keyed(self, hook: str) -> Iterator[tuple[str, Method]]:
        """Yields the methods that act at a hook, each with the key of its state."""
        for i, method in enumerate(self.methods):
            if method.uses(hook):
                yield f"{i}.{type(method).__name__}", method

    def mix_data(self, run: Run) -> Mix:
        """In turn."""
        for _, method in self.keyed("mix_data"):
            run = dataclasses.replace(run, mix=method.mix_data(run))
        return run.mix

    def shape_model(self, run: Run) -> nn.Module:
        """In turn, those that only freeze after those that add parameters."""
        return list(self.shapes(run))[-1]

    def shapes(self, run: Run) -> Iterator[nn.Module]:
        """Yields the model as it is, and what each method that shapes it makes of the last."""
        yield run.model
        for _, method in sorted(self.keyed("shape_model"), key=lambda keyed: keyed[1].freezes):
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
        """Each its own, under the key `<position>.<name>`."""
        return {key: method.init_state(run) for key, method in self.keyed("init_state")}

    def renew_batches(self, state: State, step: Step, batches: Sequence[Batch]) -> Sequence[Mapping[str, Any]]:
        """In turn."""
        for key, method in self.keyed("renew_batches"):
            batches = method.renew_batches(state.get(key, {}), step, batches)
        return batches

    def per_token_loss(self, state: State, tok: Tokens, hold: float = 1.0) -> Tensor:
        """Returns the loss of each token, `[N]`: its weighed task loss, and `hold` times what is added.

        What has the weight 0 is left out, not multiplied: 0 * inf is no number.
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
        """Multiplied; 1 where a method is not `on`, which is not shown those tokens."""
        factors_N = torch.ones_like(tok.nll_N)
        for key, method in self.keyed("weigh_tokens"):
            part = tok.only(method.acts_on)
            if part is not None:
                on_N = tok.is_on(method.acts_on)
                own = method.weigh_tokens(state.get(key, {}), part)
                factors_N = factors_N * (own if part is tok else _placed(1.0, factors_N, on_N, own))
        return factors_N

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Added; 0 where a method is not `on`, which is not shown those tokens."""
        nats_N = torch.zeros_like(tok.nll_N)
        for key, method in self.keyed("token_loss"):
            part = tok.only(method.acts_on)
            if part is not None:
                on_N = tok.is_on(method.acts_on)
                own = method.token_loss(state.get(key, {}), part)
                nats_N = nats_N + (own if part is tok else _placed(0.0, nats_N, on_N, own))
        return nats_N

    def penalty(self, state: State, step: Step) -> Tensor | float:
        """Added."""
        return sum((method.penalty(state.get(key, {}), step) for key, method in self.keyed("penalty")), 0.0)

    def edit_grads(self, state: State, step: Step) -> None:
        """In turn."""
        for key, method in self.keyed("edit_grads"):
            method.edit_grads(state.get(key, {}), step)

    def scale_lr(self, state: State, step: Step) -> float:
        """Multiplied."""
        factor = 1.0
        for key, method in self.keyed("scale_lr"):
            factor *= method.scale_lr(state.get(key, {}), step)
        return factor

    def edit_update(self, state: State, step: Step, name: str, before: Tensor, after: Tensor) -> Tensor:
        """In turn, those that confine the weight last."""
        for key, method in sorted(self.keyed("edit_update"), key=lambda keyed: keyed[1].confines):
            after = method.edit_update(state.get(key, {}), step, name, before, after)
        return after

    def after_step(self, state: State, step: Step) -> None:
        """In turn."""
        for key, method in self.keyed("after_step"):
            method.after_step(state.get(key, {}), step)

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """In turn."""
        for key, method in self.keyed("edit_weights"):
            tuned = method.edit_weights(state.get(key, {}), name, base, tuned)
        return tuned


def chain(*methods: Method) -> Chain:
    """Returns the sum of `methods`, flat: a sum inside a sum is opened.

    Raises:
        HoldfastError: Two of them make no sense together.
    """
    return Chain(tuple(part for method in methods for part in method.parts()))


def _placed(fill: float, like_N: Tensor, on_N: Tensor, own: Tensor) -> Tensor:
    """Returns `own`, one number for each token that is on, among as many `fill` as there are others."""
    own_M = own.to(like_N.dtype).expand(int(on_N.sum()))
    return torch.full_like(like_N, fill).masked_scatter(on_N, own_M)
