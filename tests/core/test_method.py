"""The laws of composition: by each hook's law, in any grouping, on the tokens that a method is on."""

from __future__ import annotations

import dataclasses
import inspect
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import HOOKS, Chain, Method, chain
from holdfast.core.mix import Example, Mix
from holdfast.core.needs import Needs
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens

EXAMPLE = Example([1, 2, 3], [1, 2, 3])


@dataclasses.dataclass(frozen=True, repr=False)
class Every(Method):
    """Acts at every hook, in ways whose order shows wherever hooks act in turn."""

    k: float = setting(2.0, unit="1")
    on: str = setting("all", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    means: ClassVar[frozenset[str]] = frozenset({"nll_N"})

    def mix_data(self, run):
        return run.mix.with_memory(f"m{self.k:g}", [EXAMPLE], 0.1)

    def shape_model(self, run):
        return nn.Sequential(run.model, nn.Threshold(0.0, self.k))

    def group_params(self, params):
        return dict.fromkeys(params, self.k)

    def init_state(self, run):
        return {"k": torch.tensor(self.k)}

    def renew_batches(self, state, step, batches):
        return [self.k * batch + 1.0 for batch in batches]

    def weigh_tokens(self, state, tok):
        return float(state["k"]) * torch.ones_like(tok.nll_N)

    def token_loss(self, state, tok):
        return float(state["k"]) * tok.nll_N

    def penalty(self, state, step):
        return state["k"] * step.params["w"].sum()

    def edit_grads(self, state, step):
        step.params["w"].grad.mul_(self.k).add_(1.0)

    def scale_lr(self, state, step):
        return float(state["k"])

    def edit_update(self, state, step, name, before, after):
        return self.k * after + before

    def after_step(self, state, step):
        state["k"] = state["k"] * 10
        step.params["w"].data.mul_(self.k).add_(1.0)

    def edit_weights(self, state, name, base, tuned):
        return self.k * tuned + base


@dataclasses.dataclass(frozen=True, repr=False)
class Alone(Method):
    excludes: ClassVar[dict[str, str]] = {"Every": "the two would fight."}


@dataclasses.dataclass(frozen=True)
class Needing(Method):
    read: frozenset = frozenset()
    asked: frozenset = frozenset()

    @property
    def needs(self):
        return Needs(reads=self.read, asks=self.asked)


def tokens(sources=(0, 1, 0, 2)):
    logits = torch.randn(len(sources), 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    count = len(sources)
    return Tokens(logits, torch.arange(count) % 5, torch.tensor(sources), torch.zeros(count))


def effect(method, state=None):
    """What a method does at every hook, as plain values."""
    run = Run(nn.Identity(), Mix((EXAMPLE,)), 0, 5, None, None)
    state = method.init_state(run) if state is None else state
    w = nn.Parameter(torch.tensor([1.0, 3.0], dtype=torch.float64))
    w.grad = torch.tensor([0.5, -1.0], dtype=torch.float64)
    step = Step(1, 5, {"nll_N": 2.0}, {"w": w}, None)
    one, two = torch.tensor([1.0, 2.0]), torch.tensor([5.0, 7.0])
    found = {
        "mix_data": method.mix_data(run).names,
        "shape_model": repr([m for m in method.shape_model(run).modules() if isinstance(m, nn.Threshold)]),
        "group_params": method.group_params({"w": w}),
        "init_state": sorted(float(own["k"]) for own in state.values()),
        "renew_batches": [float(batch) for batch in method.renew_batches(state, step, [0.0, 1.0])],
        "weigh_tokens": method.weigh_tokens(state, tokens()).tolist(),
        "token_loss": method.token_loss(state, tokens()).tolist(),
        "penalty": float(torch.as_tensor(method.penalty(state, step)).detach()),
        "scale_lr": method.scale_lr(state, step),
        "edit_update": method.edit_update(state, step, "w", one, two).tolist(),
        "edit_weights": method.edit_weights(state, "w", one, two).tolist(),
    }
    method.edit_grads(state, step)
    found["edit_grads"] = w.grad.tolist()
    method.after_step(state, step)
    found["after_step"] = [w.tolist(), sorted(float(own["k"]) for own in state.values())]
    return found


def test_every_hook_of_the_table_is_a_hook_of_method_composed_by_chain_and_none_is_missing():
    doc = inspect.getdoc(__import__("holdfast.core.method", fromlist=["x"]))
    laws = {}
    for line in doc.splitlines():
        words = line.split()
        at = next((i for i, word in enumerate(words) if word in HOOKS), None)
        if line.startswith("    ") and at is not None:
            laws[words[at]] = words[at + 1]
    assert tuple(laws) == HOOKS
    public = {name for name, what in vars(Method).items() if inspect.isfunction(what) and not name.startswith("_")}
    assert public - {"uses", "parts"} == set(HOOKS)
    begins = {"in": "In turn", "multiply": "Multiplied", "add": "Added", "separate": "Separate"}
    for hook, law in laws.items():
        assert hook in vars(Chain)
        assert inspect.getdoc(getattr(Chain, hook)).startswith(begins[law])
    assert set(effect(chain(Every()))) == set(HOOKS)


def test_each_hook_composes_by_its_law():
    found = effect(Every(2.0) + Every(3.0))
    nll = tokens().nll_N
    assert found["mix_data"] == ("m2", "m3")
    assert [x for x in found["shape_model"] if x in "23"] == ["2", "3"]
    assert found["group_params"] == {"w": 6.0}
    assert found["init_state"] == [2.0, 3.0]
    assert found["renew_batches"] == [3 * 1 + 1, 3 * (2 + 1) + 1]
    assert found["weigh_tokens"] == [6.0] * 4
    assert found["token_loss"] == pytest.approx((5.0 * nll).tolist())
    assert found["penalty"] == 5.0 * 4.0
    assert found["scale_lr"] == 6.0
    assert found["edit_grads"] == [3 * (2 * 0.5 + 1) + 1, 3 * (2 * -1.0 + 1) + 1]
    assert found["edit_update"] == [3 * (2 * 5 + 1) + 1, 3 * (2 * 7 + 2) + 2]
    assert found["edit_weights"] == found["edit_update"]
    assert found["after_step"] == [[3 * (2 * 1 + 1) + 1, 3 * (2 * 3 + 1) + 1], [20.0, 30.0]]


@given(st.lists(st.sampled_from([2.0, 3.0, 0.5, 7.0]), min_size=3, max_size=4))
def test_a_sum_does_not_depend_on_how_it_is_grouped(ks):
    a, b, *rest = (Every(k) for k in ks)
    left, right = a + b, b
    for other in rest:
        left, right = left + other, right + other
    right = a + right
    assert left == right == chain(*map(Every, ks))
    assert repr(left) == repr(right)
    assert effect(left) == effect(right)


@given(st.sampled_from([2.0, 3.0]), st.sampled_from([0.5, 7.0]))
def test_multiplied_and_added_hooks_do_not_depend_on_order_and_hooks_in_turn_do(k, other):
    one, two = effect(Every(k) + Every(other)), effect(Every(other) + Every(k))
    for hook in ("group_params", "init_state", "weigh_tokens", "token_loss", "penalty", "scale_lr"):
        assert one[hook] == two[hook]
    for hook in (
        "mix_data",
        "shape_model",
        "renew_batches",
        "edit_grads",
        "edit_update",
        "after_step",
        "edit_weights",
    ):
        assert one[hook] != two[hook]


@dataclasses.dataclass(frozen=True, repr=False)
class Last(Every):
    """Confines the step, and averages the weights."""

    confines: ClassVar[bool] = True
    averages: ClassVar[bool] = True


def test_what_confines_a_step_or_averages_the_weights_comes_last_wherever_it_stands():
    one, two = effect(Last(2.0) + Every(3.0)), effect(Every(3.0) + Last(2.0))
    for hook in ("edit_grads", "edit_update"):
        assert one[hook] == two[hook]
    assert one["after_step"][0] == two["after_step"][0]
    assert one["edit_weights"] != two["edit_weights"]


def test_a_method_that_acts_nowhere_changes_nothing_wherever_it_stands():
    for idle in (Method(), chain()):
        assert effect(idle + Every()) == effect(Every() + idle) == effect(chain(Every()))
    nothing = effect(chain(), {})
    assert nothing["weigh_tokens"] == [1.0] * 4
    assert nothing["token_loss"] == [0.0] * 4
    assert (nothing["penalty"], nothing["scale_lr"], nothing["group_params"]) == (0.0, 1.0, {})
    assert nothing["edit_update"] == [5.0, 7.0]


@pytest.mark.parametrize(("on", "mask"), [("new", [1, 0, 1, 0]), ("memory", [0, 1, 0, 1]), ("all", [1, 1, 1, 1])])
def test_token_hooks_act_on_the_tokens_they_are_on_and_are_neutral_elsewhere(on, mask):
    method, tok = chain(Every(3.0, on=on)), tokens()
    state = method.init_state(None)
    assert method.weigh_tokens(state, tok).tolist() == [3.0 if m else 1.0 for m in mask]
    assert method.token_loss(state, tok).tolist() == (3.0 * torch.tensor(mask) * tok.nll_N).tolist()


def test_methods_on_different_tokens_share_a_chunk():
    both, tok = Every(3.0, on="new") + Every(5.0, on="memory"), tokens()
    assert both.weigh_tokens(both.init_state(None), tok).tolist() == [3.0, 5.0, 3.0, 5.0]


def test_two_of_one_kind_keep_separate_states():
    both = Every(2.0) + Every(3.0)
    state = both.init_state(None)
    assert list(state) == ["0.Every", "1.Every"]
    both.methods[1].after_step(state["1.Every"], Step(0, 1, {}, {"w": nn.Parameter(torch.ones(1))}, None))
    assert (float(state["0.Every"]["k"]), float(state["1.Every"]["k"])) == (2.0, 30.0)


@pytest.mark.parametrize("pair", [(Alone(), Every()), (Every(), Alone())])
def test_an_excluded_pair_is_refused_in_either_order_with_both_names_and_the_reason(pair):
    with pytest.raises(HoldfastError, match=r"Alone\(\) \+ Every\(\): the two would fight\."):
        chain(*pair)
    with pytest.raises(HoldfastError, match="the two would fight"):
        Method() + pair[0] + (Method() + pair[1])


def test_an_excluded_pair_of_one_kind_is_refused():
    from holdfast.methods.selection.lora import LoRA

    with pytest.raises(HoldfastError, match=r"LoRA\(rank=2\) \+ LoRA\(\): a model takes one adapter at a time"):
        LoRA(rank=2) + LoRA()


def test_a_sum_knows_what_its_parts_use_and_need():
    both = chain(Every(), Method())
    assert all(both.uses(hook) for hook in HOOKS)
    assert not any(chain(Method()).uses(hook) for hook in HOOKS)
    assert both.needs == Needs(means=frozenset({"nll_N"}))
    assert not both.needs.base
    assert chain().needs == Needs()


def test_a_sum_needs_the_base_where_a_part_reads_it_or_asks_for_its_gradient():
    fields = chain(Needing(frozenset({"base_nll_N"})))
    gradient = chain(Needing(asked=frozenset({"gradient", "base_gradient"})))
    assert (fields.needs.base_fields, fields.needs.base) == (True, True)
    assert (gradient.needs.base_fields, gradient.needs.base) == (False, True)
    both = (fields + gradient).needs
    assert both.fields == {"base_nll_N"}
    assert both.asks == {"gradient", "base_gradient"}


def test_parts_that_are_off_are_left_out_of_the_active_sum():
    from holdfast.methods.losses.mask_the_target import MaskTheTarget

    recipe = Every() + MaskTheTarget(strength=0.0)
    assert recipe.active() == chain(Every())
    assert not recipe.off
    assert chain(MaskTheTarget(strength=0.0)).off
    assert repr(recipe) == "Every() + MaskTheTarget(strength=0.0)"


def test_a_method_is_frozen_and_compares_by_its_settings():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Every().k = 3.0
    assert Every(3.0) == Every(3.0) != Every(4.0)
    assert len({Every(3.0), Every(3.0)}) == 1


def test_progress_is_the_share_of_the_run_that_is_done():
    assert [Step(i, 4, {}, {}, None).progress for i in range(4)] == [0.0, 0.25, 0.5, 0.75]
    assert Step(0, 0, {}, {}, None).progress == 0.0


def test_what_only_freezes_shapes_the_model_after_what_adds_to_it():
    @dataclasses.dataclass(frozen=True, repr=False)
    class Adds(Method):
        def shape_model(self, run):
            return nn.Sequential(run.model, nn.Linear(1, 1))

    @dataclasses.dataclass(frozen=True, repr=False)
    class Freezes(Method):
        freezes = True

        def shape_model(self, run):
            return run.model.requires_grad_(False)

    for recipe in (chain(Adds(), Freezes()), chain(Freezes(), Adds())):
        shapes = list(recipe.shapes(Run(nn.Linear(1, 1), None, 0, 0)))
        assert [len(list(model.parameters())) for model in shapes] == [2, 4, 4]
        assert not any(p.requires_grad for p in shapes[-1].parameters())
