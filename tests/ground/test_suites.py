"""The suites of a world: enough items, each once, each on one side, and the same when written and read."""

import collections
import json

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.ground.corpus import LESSONS, PROOF, WATCH, lessons, suites
from holdfast.ground.lesson import Lesson, Question, talk
from holdfast.ground.world import World
from holdfast.probes.items import read_items

NAMES = [lesson.suite for lesson in LESSONS]
REPEATS = ("facts", "hops", "refuse", "translate-into", "translate-from")
"""Suites that ask a question again if the wrong choices drawn for it are others."""


@pytest.fixture(scope="module", params=[0, 1])
def made(request):
    return suites(World(request.param))


def question(item):
    """Returns what is asked, without the choices that are offered."""
    return item.turns or item.text or item.choices[0]


def test_there_are_enough_proof_items_to_tell_small_changes(made):
    assert list(made) == NAMES
    assert len(set(NAMES)) == 17
    for items in made.values():
        sides = collections.Counter(item.split for item in items)
        assert sides == {"watch": WATCH, "proof": PROOF}
        assert sides["proof"] >= 1000


def test_every_id_stands_once_in_all_suites_together(made):
    ids = [item.id for items in made.values() for item in items]
    assert len(set(ids)) == len(ids)
    for name, items in made.items():
        assert {item.suite for item in items} == {name}


def test_no_group_is_on_both_sides_and_no_question_is_watched_and_proof(made):
    for items in made.values():
        watch = [item for item in items if item.split == "watch"]
        proof = [item for item in items if item.split == "proof"]
        assert all(item.group for item in items)
        assert not {item.group for item in watch} & {item.group for item in proof}
        assert not {question(item) for item in watch} & {question(item) for item in proof}


def test_no_question_is_asked_twice(made):
    for name, items in made.items():
        asked = collections.Counter(question(item) for item in items)
        assert name in REPEATS or len(asked) == len(items), asked.most_common(3)


def test_a_question_with_other_wrong_choices_is_no_other_question(made):
    repeated = {name: len(items) - len({question(item) for item in items}) for name, items in made.items()}
    assert not any(repeated.values()), repeated


def test_every_item_asks_for_an_answer_a_choice_or_a_likelihood(made):
    for items in made.values():
        for item in items:
            assert bool(item.turns) == bool(item.check) == bool(item.answer)
            assert item.check or item.choices or item.text
            assert not any(turn.learned for turn in item.turns)
            assert item.turns == () or item.turns[-1].role == "user"


def test_suites_are_read_as_they_were_written(made, tmp_path):
    path = tmp_path / "suites.jsonl"
    everything = [item for items in made.values() for item in items[::5]]
    path.write_text(
        "".join(json.dumps(item.to_dict(), ensure_ascii=False) + "\n" for item in everything), encoding="utf-8"
    )
    found = read_items(path)
    assert found == everything
    assert [item.split for item in found] == [item.split for item in everything]


@pytest.mark.parametrize("name", NAMES)
def test_a_suite_is_the_same_again_and_a_cut_of_it_as_well(name):
    lesson = next(one for one in LESSONS if one.suite == name)(World(0))
    cut = lesson.items(8, 12)
    assert cut == lesson.items(8, 12)
    assert collections.Counter(item.split for item in cut) == {"watch": 8, "proof": 12}


def test_two_worlds_do_not_ask_the_same_of_people():
    one, other = (lessons(World(seed))["facts"].items(20, 40) for seed in (0, 1))
    assert len({item.group for item in one} & {item.group for item in other}) < 30
    assert one != other


def test_a_suite_that_is_asked_for_too_many_items_says_so():
    class Poor(Lesson):
        suite, shows, share = "poor", "one question", 1.0

        def tell(self, rng):
            return talk("Who?", "Me.")

        def ask(self, rng):
            return Question("one", "Who?", "Me.", {"exact": "Me."})

    side = Poor(World(0)).ask(None).item("poor", "poor-0000").split
    assert len(Poor(World(0)).items(int(side == "watch"), int(side == "proof"))) == 1
    with pytest.raises(HoldfastError, match=r"Suite 'poor' does not have 2 watch and 3 proof items .* ask for fewer"):
        Poor(World(0)).items(2, 3)
