"""The search space: declared ranges, one form for one recipe, points and candidates in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given as draws
from hypothesis import settings
from hypothesis import strategies as st

from holdfast.bench.fit.space import Dimension, space_of
from holdfast.bench.fit.trials import Candidate
from holdfast.core.errors import HoldfastError
from holdfast.core.settings import settings_of
from holdfast.methods.losses.mask_the_target import MaskTheTarget

FULL = Candidate.of("Train(lr=2e-5, epochs=3) + MaskTheTarget(strength=2.0) + WSD()")
ADAPTER = Candidate.of("Train(lr=2.34567e-4, epochs=2) + LoRA(rank=8) + MaskTheTarget()")


def dimensions(space):
    return {dimension.name: dimension for dimension in space.dimensions}


class TestSpace:
    def test_ranges_are_the_declared_ones(self):
        space = dimensions(space_of([FULL, ADAPTER]))
        about = settings_of(MaskTheTarget)["strength"]
        strength = space["MaskTheTarget.strength"]
        assert (strength.low, strength.high, strength.log) == (*about.search, about.log)
        assert (space["LoRA.rank"].low, space["LoRA.rank"].high, space["LoRA.rank"].integer) == (4, 256, True)
        assert (space["Train.epochs"].low, space["Train.epochs"].high) == (1, 5)

    def test_ranges_include_given_values(self):
        space = dimensions(space_of([Candidate.of("Train(epochs=0.5, lr=1e-5) + MaskTheTarget(strength=50.0)")]))
        assert (space["Train.epochs"].low, space["MaskTheTarget.strength"].high) == (0.5, 50.0)

    def test_rate_stays_near_the_given_one_and_in_the_declared_range(self):
        space = space_of([Candidate.of("Train(lr=5e-3)")])
        rates = [space.candidate({"rate": rate}).train.lr for rate in (0.1, 1.0, 10.0)]
        assert rates == [5e-4, 5e-3, 1e-2]

    def test_few_trials_search_the_most_important_settings_and_name_the_others(self):
        whole, few = space_of([FULL, ADAPTER]), space_of([FULL, ADAPTER], 9)
        assert [dimension.name for dimension in few.dimensions] == ["rate", "MaskTheTarget.strength"]
        assert {*few.held} == {d.name for d in whole.dimensions} - {"rate", "MaskTheTarget.strength"}
        assert whole.held == ()

    def test_candidates_that_differ_in_searched_settings_alone_are_one_recipe(self):
        other = Candidate.of("Train(lr=4e-5, epochs=3) + MaskTheTarget(strength=0.5) + WSD()")
        assert space_of([FULL, other], 9).given == (FULL,)
        longer = Candidate.of("Train(lr=4e-5, epochs=5) + MaskTheTarget(strength=0.5) + WSD()")
        assert space_of([FULL, longer], 9).given == (FULL, longer)
        assert space_of([FULL, longer]).given == (FULL,)

    def test_given_candidates_are_in_the_space(self):
        space = space_of([FULL, ADAPTER])
        for number, candidate in enumerate((FULL, ADAPTER)):
            point = space.point(candidate)
            assert point["recipe"] == number
            assert space.candidate(point) == candidate

    def test_other_recipes_and_far_values_are_not(self):
        space = space_of([FULL, ADAPTER], 9)
        assert space.point(Candidate.of("Train(lr=2e-5) + BaseKL()")) is None
        assert space.point(Candidate.of("Train(lr=2e-3, epochs=3) + MaskTheTarget(strength=2.0) + WSD()")) is None

    def test_without_a_candidate_there_is_no_space(self):
        with pytest.raises(HoldfastError, match="at least one recipe"):
            space_of([])

    @draws(st.lists(st.floats(0, 1), min_size=20, max_size=20), st.booleans())
    @settings(max_examples=30, deadline=None)
    def test_every_point_is_a_candidate_with_that_point(self, places, second):
        space = space_of([FULL, ADAPTER])
        point = {d.name: d.at(place) for d, place in zip(space.dimensions, places, strict=False)}
        candidate = space.candidate({**point, "recipe": int(second)})
        again = space.point(candidate)
        assert again is not None
        assert space.candidate(again) == candidate
        assert Candidate.of(candidate.text) == candidate


@pytest.mark.parametrize("log", [False, True])
def test_places_are_on_the_scale_of_the_dimension(log):
    dimension = Dimension("x", 0.1, 10.0, log=log)
    assert dimension.at(0.0) == 0.1
    assert dimension.at(1.0) == 10.0
    assert dimension.at(0.5) == pytest.approx(1.0 if log else 5.05)
    assert dimension.place(dimension.at(0.25)) == pytest.approx(0.25, abs=1e-3)
