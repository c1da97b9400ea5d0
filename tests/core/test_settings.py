"""What a setting accepts, and what it says when it does not."""

from __future__ import annotations

import dataclasses
import math

import pytest

from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Method
from holdfast.core.settings import Setting, setting, settings_of


@dataclasses.dataclass(frozen=True, repr=False)
class Some(Method):
    share: float = setting(0.5, unit="share", low=0.0, high=1.0, search=(0.1, 0.9), log=True)
    above: float = setting(1.0, unit="nats", low=0.0)
    below: float = setting(-1.0, unit="nats", high=0.0)
    count: int = setting(3, unit="rows", low=1, integer=True)
    word: str = setting("a", unit="kind", choices=("a", "b"))
    text: str = setting("x", unit="path")
    absent: float | None = setting(None, unit="1", low=0.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 1.5}, r"Some\(share=1.5\): give a number from 0 to 1 \(share\)\."),
        ({"share": -0.1}, "give a number from 0 to 1"),
        ({"share": math.nan}, r"Some\(share=nan\): give a number from 0 to 1"),
        ({"share": "half"}, r"Some\(share='half'\): give a number from 0 to 1"),
        ({"share": None}, r"Some\(share=None\): give a number from 0 to 1"),
        ({"share": True}, r"Some\(share=True\): give a number from 0 to 1"),
        ({"above": -1}, r"give a number of at least 0 \(nats\)\."),
        ({"above": math.inf}, r"Some\(above=inf\): give a number of at least 0"),
        ({"below": 0.1}, r"give a number of at most 0 \(nats\)\."),
        ({"count": 0}, r"Some\(count=0\): give a whole number of at least 1 \(rows\)\."),
        ({"count": 2.0}, r"Some\(count=2.0\): give a whole number"),
        ({"word": "c"}, r"Some\(word='c'\): choose one of 'a', 'b'\."),
        ({"word": None}, "choose one of 'a', 'b'"),
        ({"text": 3}, r"Some\(text=3\): give text \(path\)\."),
        ({"text": None}, r"Some\(text=None\): give text \(path\)\."),
        ({"absent": -1.0}, r"Some\(absent=-1.0\): give a number of at least 0\."),
    ],
)
def test_a_value_outside_its_range_is_refused_with_the_range_and_the_unit(given, message):
    with pytest.raises(HoldfastError, match=message):
        Some(**given)


@pytest.mark.parametrize(
    "given",
    [{"share": 0}, {"share": 1.0}, {"above": 10**400}, {"below": -5}, {"count": 1}, {"word": "b"}, {"absent": None}],
)
def test_the_ends_of_a_range_are_inside_it_and_a_default_of_none_may_be_given(given):
    assert dataclasses.asdict(Some(**given)).items() >= given.items()


def test_the_unit_is_mandatory():
    with pytest.raises(TypeError, match="unit"):
        setting(1.0)


def test_settings_of_a_class_are_found_by_field():
    about = settings_of(Some)
    assert list(about) == ["share", "above", "below", "count", "word", "text", "absent"]
    assert about["share"] == Setting("share", 0.0, 1.0, (), (0.1, 0.9), True, False)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("MaskTarget", " Did you mean 'MaskTheTarget'?"),
        ("lora", " Did you mean 'LoRA'?"),
        ("LORa", " Did you mean 'LoRA'?"),
        ("finhc", " Did you mean 'Finch'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_nearest_names_the_closest_in_any_case_or_nothing(name, answer):
    assert nearest(name, ["LoRA", "Finch", "MaskTheTarget"]) == answer


def test_nearest_of_nothing_is_nothing():
    assert nearest("LoRA", []) == ""
