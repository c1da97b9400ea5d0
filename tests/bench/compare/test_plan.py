"""What a comparison will run, and what it refuses before anything runs."""

from __future__ import annotations

import pytest

from holdfast.bench.compare.plan import plan, with_dose, with_settings
from holdfast.bench.given.specs import CompareSpec
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse


def spec(*recipes, **changes):
    return CompareSpec(**{"model": "m", "data": "d.jsonl", "keep": ("k.txt",), "recipes": recipes, **changes})


def texts(found, dose=1.0, seed=0):
    return [one.spec.recipe for one in found.runs if (one.dose, one.spec.seed) == (dose, seed)]


def test_every_recipe_is_run_at_every_dose_with_every_seed_and_plain_training_always():
    found = plan(spec("Finch()", "MaskTheTarget()", doses=(0.5, 2.0), seeds=(3, 4), settings="Train(lr=1e-4)"))
    assert len(found.runs) == 3 * 2 * 2
    assert {one.spec.seed for one in found.runs} == {3, 4}
    assert texts(found, 0.5, 3) == ["Train(lr=5e-05)", "Train(lr=5e-05) + Finch()", "Train(lr=5e-05) + MaskTheTarget()"]
    assert len({one.spec.to_dict()["recipe"] for one in found.runs if one.dose == 2.0}) == 3


def test_a_run_is_taken_up_again_and_judged_later():
    found = plan(spec("Finch()", budget={"points": 2}))
    assert all(one.spec.resume and not one.spec.budget for one in found.runs)


@pytest.mark.parametrize(
    ("recipe", "settings", "expected"),
    [
        ("Finch()", "Train() + Cosine()", "Train(lr=2e-05) + Finch()"),
        ("WSD()", "Train(lr=1e-3, epochs=2) + Cosine()", "Train(lr=0.001, epochs=2) + WSD()"),
        ("Cosine(floor=0.5)", "Train() + Cosine()", "Train(lr=2e-05) + Cosine(floor=0.5)"),
        ("LoRA()", "Train(lr=1e-3) + Cosine()", "Train(lr=0.01) + Cosine() + LoRA()"),
        ("LoRA()", "Train()", "Train(lr=0.0002) + LoRA()"),
        ("Train(lr=3e-3) + LoRA()", "Train(lr=1e-3, epochs=2)", "Train(lr=0.003, epochs=2) + LoRA()"),
        ("Train(epochs=5) + Finch()", "Train(lr=1e-3, batch=8)", "Train(lr=0.001, epochs=5, batch=8) + Finch()"),
        ("OSF()", "Train(lr=1e-3)", "Train(lr=0.001) + OSF()"),
        ("OnPolicySDFT()", "Train() + BaseKL()", "Train(lr=2e-05) + OnPolicySDFT()"),
    ],
)
def test_settings_are_what_a_recipe_does_not_say_itself(recipe, settings, expected):
    found = with_settings(parse(recipe), parse(settings), adapter_rate=10.0)
    assert repr(found) == expected


def test_a_dose_multiplies_the_rate_and_reads_well():
    assert repr(with_dose(parse("Train(lr=0.0001) + Finch()"), 3.0)) == "Train(lr=0.0003) + Finch()"


def test_runs_that_differ_in_edits_alone_share_a_training():
    found = plan(spec("WiSEFT()", "FAPM()", "LoRA(rank=2) + FAPM()", "EMA()", doses=(1.0,), settings="Train(lr=1e-3)"))
    trunks = {one.spec.recipe: one.trunk and one.trunk.recipe for one in found.runs}
    assert trunks == {
        "Train(lr=0.001)": None,
        "Train(lr=0.001) + WiSEFT()": "Train(lr=0.001)",
        "Train(lr=0.001) + FAPM()": "Train(lr=0.001)",
        "Train(lr=0.01) + LoRA(rank=2)": None,
        "Train(lr=0.01) + LoRA(rank=2) + FAPM()": "Train(lr=0.01) + LoRA(rank=2)",
        "Train(lr=0.001) + EMA()": None,  # it acts at every step
    }


def test_an_adapter_that_is_shipped_otherwise_than_it_was_trained_trains_for_itself():
    recipes = ("LoRA(rank=2, init='pissa') + FAPM()", "DoRA(rank=2) + Train(ship='merged') + FAPM()")
    assert all(one.trunk is None for one in plan(spec(*recipes)).runs)
    (merged,) = (
        one for one in plan(spec("LoRA() + Train(ship='merged') + FAPM()", doses=(1.0,))).runs if one.trunk is not None
    )
    assert "ship" not in merged.trunk.recipe


def test_a_recipe_named_twice_is_run_once():
    assert len(plan(spec("Finch()", "Finch()", "Train() + Cosine()", doses=(1.0,))).runs) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipes": ("Finhc()",)}, "Did you mean 'Finch'"),
        ({"recipes": ("clasic",)}, "Did you mean 'classic'"),
        ({"recipes": ("LoRA(rnk=2)",)}, "Did you mean 'rank'"),
        ({"recipes": ("LoRA() + DoRA()",)}, "LoRA"),
        ({"recipes": ()}, "name at least one recipe"),
        ({"held_out": 0.0}, "--test is missing"),
        ({"doses": (float("inf"),)}, "--doses inf"),
        ({"doses": (1.0, float("nan"))}, "--doses 1.0 nan: give numbers above 0"),
        ({"doses": (0.0, 1.0)}, "--doses 0.0 1.0: give numbers above 0, each once"),
        ({"doses": (1.0, 1.0)}, "each once"),
        ({"doses": ("fast",)}, "give a list of numbers"),
        ({"seeds": ()}, "--seeds"),
        ({"seeds": (-1,)}, "--seeds -1: give whole numbers from 0"),
        ({"reach": 0.0}, "--reach 0.0: give a share"),
        ({"workers": 0}, "--workers 0"),
        ({"adapter_rate": 0.0}, "--adapter-rate 0.0"),
        ({"adapter_rate": float("inf")}, "--adapter-rate inf"),
        ({"budget": {"points": 2, "on_spent": "stop"}}, "--budget on_spent: acts only during training"),
        ({"training": {"learning_rte": 1}}, "learning_rate"),
        ({"memory": ("old",)}, "give NAME=FILE"),
    ],
)
def test_typos_stop_before_anything_runs(changes, message):
    with pytest.raises(HoldfastError, match=message):
        plan(spec(**{"recipes": ("Finch()",), **changes}))


def test_adapters_learn_at_as_many_times_the_rate_as_is_said():
    for times, rate in ((10.0, "0.001"), (5.0, "0.0005")):
        found = plan(spec("LoRA()", settings="Train(lr=1e-4)", adapter_rate=times, doses=(1.0,)))
        assert texts(found)[1] == f"Train(lr={rate}) + LoRA()"
    # The rate of settings that train an adapter is that adapter's.
    found = plan(spec("MoFO()", settings="Train(lr=1e-3) + LoRA()", doses=(1.0,)))
    assert texts(found) == ["Train(lr=0.001) + LoRA()", "Train(lr=0.001) + LoRA() + MoFO()"]
    assert texts(plan(spec("MoFO()", settings="LoRA()", doses=(1.0,))))[0] == "Train(lr=0.0002) + LoRA()"
