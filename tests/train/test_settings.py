"""The settings of a recipe: found, changed, left out, and written into a trainer's arguments."""

from __future__ import annotations

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.schedules.finch import Finch
from holdfast.methods.schedules.train import Train
from holdfast.recipe import parse
from holdfast.train.settings import DEFAULTS, SET_BY, train_of, with_train, without_train, write_settings
from tests.train.retrace import arguments

RECIPE = parse("BaseKL() + Train(lr=1e-3, batch=8) + Finch()")


def test_the_settings_of_a_recipe_are_its_train_and_the_defaults_without_one():
    assert train_of(RECIPE) == Train(lr=1e-3, batch=8)
    assert train_of(Train(epochs=2)) == Train(epochs=2)
    assert train_of(parse("BaseKL()")) == train_of(BaseKL()) == DEFAULTS == Train()


def test_what_is_beside_the_settings_keeps_its_order():
    assert without_train(RECIPE) == (BaseKL(), Finch())
    assert without_train(Train()) == ()


def test_settings_change_in_their_place():
    assert with_train(RECIPE, lr=None, ship="merged") == parse("BaseKL() + Train(batch=8, ship='merged') + Finch()")
    assert with_train(parse("BaseKL()"), lr=1.0) == parse("BaseKL()")


def test_what_a_recipe_gives_is_written_and_the_rest_stays(tmp_path):
    args = arguments(tmp_path, accumulate=3, weight_decay=0.25, learning_rate=0.5)
    write_settings(Train(lr=1e-3, epochs=2.5, batch=32, clip=0.0), args, micro=8)
    assert (args.learning_rate, args.num_train_epochs, args.gradient_accumulation_steps) == (1e-3, 2.5, 4)
    assert (args.max_grad_norm, args.weight_decay) == (0.0, 0.25)
    untouched = arguments(tmp_path, accumulate=3)
    before = dict(vars(untouched))
    write_settings(DEFAULTS, untouched, micro=8)
    assert vars(untouched) == before


def test_a_batch_that_cannot_be_divided_is_refused_and_nothing_is_written(tmp_path):
    args = arguments(tmp_path)
    before = dict(vars(args))
    with pytest.raises(HoldfastError, match=r"Train\(batch=12\) is not a multiple of 8, the rows of one forward"):
        write_settings(Train(lr=1e-3, batch=12), args, micro=8)
    assert vars(args) == before


@pytest.mark.parametrize(("argument", "field"), SET_BY.items())
def test_an_argument_that_a_recipe_sets_is_one_of_the_trainer(tmp_path, argument, field):
    assert hasattr(arguments(tmp_path), argument)
    assert hasattr(DEFAULTS, field)
