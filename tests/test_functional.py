"""Every pure function of the methods: its shape, that it is pure, and that nothing but its own tokens count."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

import holdfast
from holdfast import functional
from holdfast.methods import names

B, T, N, V = 2, 5, 6, 7
PLAIN = {"per position", "per token", "per weight", "plain"}

MADE = {
    "labels_BT": lambda: torch.tensor([[-100, 1, 2, 3, 4], [-100, -100, 5, 6, -100]]),
    "labels_N": lambda: torch.arange(N) % V,
    "names": lambda: ["wte.weight", "h.0.attn.weight", "h.0.mlp.weight", "h.1.attn.lora_B.weight", "ln_f.weight"],
    "blocks": lambda: ["h.0.attn.q", "h.0.attn.k", "h.1.attn.q", "h.1.attn.k"],
    "layers": lambda: [0, 1, 2, 3],
    "generator": lambda: torch.Generator().manual_seed(0),
    "grads": lambda: {"a": weight(1), "b": weight(2)},
    "reference": lambda: {"a": weight(3), "b": weight(4)},
    "scores": lambda: {"a": weight(1)[0], "b": weight(2)[0]},
    "models": lambda: [{"w": weight(1)}, {"w": weight(2)}],
    "score": lambda: lambda weights: -float(weights["w"].square().sum()),
    "e": lambda: weight(1)[:, :1],
    "entries_NK": lambda: weight(1)[:, :1],
    "moment": lambda: weight(1) @ weight(1).T,
    "basis": lambda: torch.linalg.qr(weight(1)[:, :2])[0],
    "high": lambda: torch.linalg.qr(weight(1)[:, :2])[0],
    "shape": lambda: "linear",
    "direction": lambda: "forward",
    "scale": lambda: 0.5,
    "vocabulary": lambda: V,
    "written": lambda: iter(()),
    "known": lambda: [],
    "total": lambda: 10,
    "last": lambda: 4,
    "first": lambda: 8,
    "end": lambda: 6,
}
"""Arguments that a function is tried with, by their name; others by their type."""
OF_ONE_FUNCTION = {
    ("diagonal_fisher", "grads"): lambda: [({"w": weight(1)}, 3), ({"w": weight(2)}, 2)],
    ("eaft", "scale"): lambda: "ln K",
    ("eaft", "top"): lambda: 3,
}


def weight(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*(shape or (4, 4)), generator=generator, dtype=torch.float64)


def argument(function, parameter, at):
    name, kind = parameter.name, str(parameter.annotation)
    made = OF_ONE_FUNCTION.get((function.__name__, name)) or MADE.get(name)
    if made is not None:
        return made()
    for ending, shape in (("_BTV", (B, T, V)), ("_BT", (B, T)), ("_NV", (N, V)), ("_N", (N,))):
        if name.endswith(ending):
            drawn = weight(at, *shape)
            return drawn.abs() if ending == "_N" else drawn
    if "Sequence[Tensor]" in kind:
        return [weight(at), weight(at + 7)]
    if "Tensor" in kind:
        return weight(at)
    plain = {"float": 0.5, "int": 2, "str": "h.0.attn.q", "bool": True}
    return plain[kind.split(" |")[0]]


def call(function):
    """Arguments for a function, by name."""
    return {
        parameter.name: argument(function, parameter, at)
        for at, parameter in enumerate(inspect.signature(function).parameters.values(), 1)
    }


def tensors(value):
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    return [t for one in value for t in tensors(one)] if isinstance(value, (list, tuple, type({}.values()))) else []


def of_shape(*shapes):
    found = [function for function in functional.FUNCTIONS.values() if functional.shape_of(function) in shapes]
    return pytest.mark.parametrize("function", found, ids=lambda function: function.__name__)


def test_every_shape_has_functions_and_every_function_a_shape():
    assert {functional.shape_of(function) for function in functional.FUNCTIONS.values()} == PLAIN
    assert holdfast.functional is functional
    assert {"Method", "parse"}.isdisjoint(functional.FUNCTIONS)
    for shape in PLAIN:
        assert shape in inspect.getdoc(functional)


def test_the_functions_are_all_that_the_files_of_methods_hold():
    homes = {function.__module__ for function in functional.FUNCTIONS.values()}
    assert homes <= {names.home_of(name) for name in names.METHODS}
    assert set(functional.__all__) - {"FUNCTIONS", "Shape", "shape_of"} == set(functional.FUNCTIONS)
    for name, function in functional.FUNCTIONS.items():
        assert getattr(functional, name) is function


@of_shape(*PLAIN)
def test_it_says_what_it_returns_leaves_its_arguments_alone_and_gives_the_same_again(function):
    assert inspect.getdoc(function).startswith(("Returns ", "Yields "))
    given, same = call(function), call(function)
    once = function(**given)
    for before, after in zip(tensors(list(same.values())), tensors(list(given.values())), strict=True):
        assert torch.equal(before, after)
    again = function(**call(function))
    assert len(tensors(once)) == len(tensors(again))
    assert all(torch.equal(one, other) for one, other in zip(tensors(once), tensors(again), strict=True))
    if not tensors(once) and not inspect.isgeneratorfunction(function):
        assert once == again


@of_shape("per position")
def test_per_position_it_gives_nats_where_something_is_supervised_and_gradients_to_the_model_alone(function):
    given = call(function)
    given["logits_BTV"].requires_grad_()
    given["base_logits_BTV"].requires_grad_()
    out_BT = function(**given)
    scored_BT = torch.zeros(B, T, dtype=torch.bool)
    scored_BT[:, :-1] = given["labels_BT"][:, 1:] != -100
    assert out_BT.shape == (B, T)
    assert not out_BT[~scored_BT].any()
    assert bool((out_BT[scored_BT] > 0).all())
    out_BT.sum().backward()
    assert given["logits_BTV"].grad[scored_BT].any()
    assert not given["logits_BTV"].grad[~scored_BT].any()
    assert given["base_logits_BTV"].grad is None


@of_shape("per token")
def test_per_token_it_gives_one_number_for_each_token(function):
    out_N = function(**call(function))
    assert out_N.shape == (N,)
    assert bool(out_N.isfinite().all())


@of_shape("per weight")
def test_per_weight_it_is_finite(function):
    assert all(bool(out.isfinite().all()) for out in tensors(function(**call(function))))
