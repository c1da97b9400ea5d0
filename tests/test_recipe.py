"""Recipes are text, the text is Python, and every mistake in it is answered with one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.core.settings import settings_of
from holdfast.core.sums import clash
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.schedules.finch import Finch
from holdfast.methods.schedules.train import Train
from holdfast.methods.selection.lora import LoRA
from holdfast.methods.table import METHODS
from holdfast.recipe import parse

NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters=","), min_size=1, max_size=8)


def values(about, default):
    """Any value that a setting accepts."""
    if about.choices:
        return st.sampled_from(about.choices)
    if about.low is None and about.high is None:
        return NAMES.filter(str.strip)
    if about.integer:
        numbers = st.integers(int(about.low or 0), int(about.high) if about.high is not None else 10**6)
    else:
        numbers = st.floats(about.low, about.high, allow_nan=False, allow_infinity=False)
        least, most = math.ceil(about.low or 0), int(min(about.high or 1000, 1000))
        numbers = numbers | st.integers(least, most) if least <= most else numbers
    return numbers | st.none() if default is None else numbers


@st.composite
def methods(draw, cls=None):
    cls = cls or draw(st.sampled_from(METHODS))
    given_ = {}
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    for name, about in settings_of(cls).items():
        if defaults[name] == "" or draw(st.booleans()):
            given_[name] = draw(values(about, defaults[name]))
    try:
        return cls(**given_)
    except HoldfastError as error:  # settings that each are in range, and not together (the shares of a schedule)
        assume("together" not in str(error))
        raise


@st.composite
def recipes(draw):
    made = draw(st.lists(methods(), min_size=1, max_size=4))
    kept = []
    for method in made:
        if not any(clash(type(method), type(other)) for other in kept):
            kept.append(method)
    return chain(*kept)


@given(recipes())
def test_a_recipe_is_read_back_from_its_text(recipe):
    assert parse(repr(recipe)) == recipe
    assert repr(parse(repr(recipe))) == repr(recipe)


@given(st.sampled_from(METHODS).flatmap(lambda cls: methods(cls)))
def test_a_method_is_read_back_from_its_text(method):
    (read,) = parse(repr(method)).parts()
    assert read == method
    assert type(read) is type(method)


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("Finch()", chain(Finch())),
        ("  LoRA( rank = 8 )+Finch()  ", LoRA(rank=8) + Finch()),
        ("(LoRA(rank=8) + Finch()) + MaskTheTarget()", LoRA(rank=8) + Finch() + MaskTheTarget()),
        ("LoRA(rank=8) + (Finch() + MaskTheTarget())", LoRA(rank=8) + Finch() + MaskTheTarget()),
        ("Rehearsal('old.jsonl', 0.1)", chain(Rehearsal("old.jsonl", 0.1))),
        ('Rehearsal(memory="it\'s, new", ratio=.5)', chain(Rehearsal("it's, new", 0.5))),
        ("Train(lr=2e-4, epochs=None)", chain(Train(lr=2e-4))),
        ("LoRA(8, alpha=16)", chain(LoRA(8, 16))),
        ("LoRA(\n  rank=8,\n)", chain(LoRA(rank=8))),
    ],
)
def test_text_is_read_as_python_reads_it(text, recipe):
    assert parse(text) == recipe


def test_the_text_of_a_recipe_shows_only_what_is_off_its_default():
    recipe = Train(lr=2e-4) + LoRA(rank=16, dropout=0.1) + MaskTheTarget()
    assert repr(recipe) == "Train(lr=0.0002) + LoRA(dropout=0.1) + MaskTheTarget()"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MaskTarget()", r"there is no method 'MaskTarget'\. Did you mean 'MaskTheTarget'\?"),
        ("lora()", r"there is no method 'lora'\. Did you mean 'LoRA'\?"),
        ("Xyzzy()", r"there is no method 'Xyzzy'\. Known: Holdfast, Train, Cosine, .*LoRA, .*\."),
        ("LoRA(rnak=8)", r"LoRA has no setting 'rnak'\. Did you mean 'rank'\?"),
        ("Warmup(zzz=8)", r"Warmup has no setting 'zzz'\. It takes ratio\."),
        ("LoRA(lr=1e-4)", r"has no setting 'lr'\. It is a setting of Train: add Train\(lr=\.\.\.\) to the recipe\."),
        ("LoRA(**{'rank': 8})", "LoRA has no setting"),
        ("LoRA", r"write LoRA\(\), with brackets\."),
        ("LoRA(rank=8) + Finch", r"write Finch\(\), with brackets\."),
        ("'LoRA()'", r"is not a method; write methods joined by \+"),
        ("LoRA() - Finch()", r"'LoRA\(\) - Finch\(\)' is not a method"),
        ("2 * LoRA()", r"'2 \* LoRA\(\)' is not a method"),
        ("holdfast.LoRA()", r"'holdfast.LoRA\(\)' is not a method"),
        ("LoRA()()", r"'LoRA\(\)\(\)' is not a method"),
        ("[LoRA()]", "is not a method"),
        ("-Finch()", "is not a method"),
        ("LoRA(rank=2*8)", r"LoRA\(rank=2 \* 8\) must be a plain number, text or None\."),
        ("LoRA(rank=r)", r"LoRA\(rank=r\) must be a plain number"),
        ("LoRA(targets=open('x'))", r"LoRA\(targets=open\('x'\)\) must be a plain number"),
        ("Warmup(0.1, 0.2)", r"Warmup takes 1 settings \(ratio\)\."),
        ("LoRA(*[8])", "must be a plain number"),
        ("LoRA(8, rank=8)", "LoRA is given 'rank' twice"),
        ("LoRA(rank=8, rank=9)", "LoRA is given 'rank' twice|cannot be read"),
        ("LoRA(rank=8", r"cannot be read at column \d+; write it like"),
        ("LoRA() + ", "cannot be read"),
        ("LoRA(targets={[1]})", r"LoRA\(targets=\{\[1\]\}\) must be a plain number"),
        ("LoRA() Finch()", r"cannot be read at column \d+"),
        ("", "cannot be read"),
        ("x = LoRA()", "cannot be read"),
        ("LoRA(); Finch()", "cannot be read"),
        ("LoRA(rank=0)", r"LoRA\(rank=0\): give a whole number of at least 1"),
        ("LoRA(rank=[8])", r"LoRA\(rank=\[8\]\): give a whole number"),
        ("BaseKL(direction='up')", r"BaseKL\(direction='up'\): choose one of 'forward', 'reverse'"),
        ("BaseKL(direction=['forward'])", r"choose one of 'forward', 'reverse'"),
        ("MaskTheTarget(strength=1e999)", "give a number of at least 0"),
        ("MaskTheTarget(strength=None)", "give a number of at least 0"),
        ("Rehearsal()", r"Rehearsal\(\) needs a memory"),
        ("Rehearsal(memory=3)", r"Rehearsal\(memory=3\): give text"),
        (
            "LoRA() + LoRA(rank=2)",
            r"LoRA\(\) \+ LoRA\(rank=2\): a model takes one adapter at a time; give one of them",
        ),
        ("Cosine() + LoRA() + Finch()", r"Cosine\(\) \+ Finch\(\): Finch replaces the cosine"),
        ("Finch() + Cosine()", "Finch replaces the cosine"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(text, message):
    with pytest.raises(HoldfastError, match=message) as error:
        parse(text)
    assert "\n" not in str(error.value)


@given(st.text(max_size=30))
def test_no_text_at_all_gets_another_kind_of_error(text):
    with contextlib.suppress(HoldfastError):
        parse(text)


@pytest.mark.parametrize(
    "text", ["(" * 5000 + "LoRA()" + ")" * 5000, "LoRA()\x00", "LoRA(" + "9" * 5000 + ")", "+".join(["Finch()"] * 5000)]
)
def test_absurd_text_gets_no_other_kind_of_error_either(text):
    with pytest.raises(HoldfastError):
        parse(text)


def test_nothing_in_a_recipe_is_run(tmp_path):
    target = tmp_path / "made"
    for text in (f"open({str(target)!r}, 'w')", f"LoRA(targets=open({str(target)!r}, 'w').name)"):
        with pytest.raises(HoldfastError):
            parse(text)
    assert not target.exists()
