"""Sets and files of recipes."""

from __future__ import annotations

import importlib.util

import pytest

from holdfast.bench.given.recipe_sets import NOT_ALONE, recipes_of
from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.methods.holdfast import Holdfast
from holdfast.methods.table import METHODS

HAS_BITS = importlib.util.find_spec("bitsandbytes") is not None


def names(found):
    return {type(method).__name__ for recipe in found for method in recipe.methods}


def test_the_classic_set_is_what_practitioners_reach_for():
    found, notes = recipes_of(["classic"], "old")
    usual = {"LoRA", "FAPM", "TokenForgetting", "LayerwiseDecay", "FreezeBottom", "Rehearsal"}
    own = [Holdfast("old"), Holdfast(), Holdfast("old", adapter=True), Holdfast(adapter=True)]
    assert found[:4] == [chain(recipe) for recipe in own]
    assert names(found[4:]) == usual | ({"QLoRA"} if HAS_BITS else set())
    assert bool(notes) is not HAS_BITS
    assert "Rehearsal(memory='old')" in map(repr, found)


def test_the_field_is_every_method_that_stands_alone():
    found, _ = recipes_of(["field"], "old")
    left = {cls.__name__ for cls in NOT_ALONE} | (set() if HAS_BITS else {"QLoRA"})
    assert names(found[4:]) == {cls.__name__ for cls in METHODS} - left
    assert found[:2] == [chain(Holdfast("old")), chain(Holdfast())]
    assert "LoRA() + LoRAPlus()" in map(repr, found)


def test_without_a_memory_what_needs_one_is_left_out_and_named():
    found, notes = recipes_of(["field"], None)
    assert not names(found) & {"Rehearsal", "CorDA", "LoRANull", "AGEM", "OrthogonalProjection", "EWC"}
    assert "ConflictDecay" in names(found)
    assert sum("name some with --memory" in note for note in notes) == 6


def test_a_file_has_a_recipe_on_each_line(tmp_path):
    (tmp_path / "mine.txt").write_text("# ours\nLoRA(rank=2) + Finch()\n\nMoFO()\n")
    found, _ = recipes_of([str(tmp_path / "mine.txt"), "DFT()"], None)
    assert list(map(repr, found)) == ["LoRA(rank=2) + Finch()", "MoFO()", "DFT()"]


def test_a_file_of_an_editor_on_windows_is_read(tmp_path):
    (tmp_path / "mine.txt").write_bytes(b"\xef\xbb\xbf# ours\r\nMoFO()\r\n")
    assert [repr(recipe) for recipe in recipes_of([str(tmp_path / "mine.txt")], None)[0]] == ["MoFO()"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("MoFO()\nMoFo()\n", r"mine.txt:2: .*Did you mean 'MoFO'"), ("# nothing\n", "the file has no")],
)
def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "mine.txt").write_text(text)
    with pytest.raises(HoldfastError, match=message):
        recipes_of([str(tmp_path / "mine.txt")], None)
