import json

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import read
from holdfast.data.held_out import duplicates
from holdfast.ground import sentences
from holdfast.ground.sentences import TEST_WORDINGS, TRAIN_WORDINGS, World, text_of, write_demo_data


@pytest.fixture(scope="module")
def world():
    return World(0)


def everything(world):
    return [world.pretraining(), world.memory(), world.task(TRAIN_WORDINGS), world.task(TEST_WORDINGS), world.keep()]


def test_the_same_seed_says_the_same_and_another_seed_something_else(world):
    assert everything(World(0)) == everything(world)
    other = World(1)
    assert {person.name for person in other.known} != {person.name for person in world.known}
    assert set(other.pretraining()) != set(world.pretraining())


def test_nothing_that_is_kept_was_told_in_these_words(world):
    told = "\n\n".join([*world.pretraining(), ""])
    for name, rows in world.keep().items():
        for row in rows:
            assert text_of(row) + ("\n\n" if row.get("prompt", "").startswith("Q: ") else "") not in told, (name, row)


def test_memory_holds_nothing_but_what_was_told(world):
    memory = [row["text"] for row in world.memory()]
    assert len(set(memory)) == len(memory)
    assert set(memory) <= set(world.pretraining())


def test_new_people_are_in_the_task_alone(world):
    told = " ".join([*world.pretraining(), *(text_of(row) for rows in world.keep().values() for row in rows)])
    assert not [person.name for person in world.new if person.name in told]
    names = [person.name for person in (*world.known, *world.new)]
    assert len(set(names)) == len(names)


def test_every_fact_is_learned_and_tested_in_different_words(world):
    train, test = world.task(TRAIN_WORDINGS), world.task(TEST_WORDINGS)
    facts = len(world.new) * len(world.topics)
    assert (len(train), len(test)) == (facts * len(TRAIN_WORDINGS), facts * len(TEST_WORDINGS))
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in test}


def test_every_known_fact_is_asked_in_held_out_words_and_told_in_others(world):
    told = set(world.pretraining())
    for person in world.known:
        for topic in world.topics:
            asked = [
                text_of(sentences.asked(q.format(n=person.name), person.facts[topic.name])) for q in topic.questions
            ]
            assert sum(text in told for text in asked) == len(topic.questions) - world.settings.held


def test_sums_are_right(world):
    for row in world.sums(held=True) + world.sums(held=False):
        a, b = (int(word) for word in row["prompt"].replace("?", " ").split() if word.isdigit())
        assert int(row["completion"].strip(" .")) == a + b


def test_files_load_and_share_no_row(tmp_path):
    files = write_demo_data(tmp_path / "data", seed=3)
    paths = [files.train, files.test, files.memory, *files.keep.values()]
    rows = [read(str(path)) for path in paths]
    assert [len(r) for r in rows] == [len(path.read_text().splitlines()) for path in paths]
    for i, one in enumerate(rows):
        for other in rows[:i]:
            assert not duplicates(one, other)
    again = write_demo_data(tmp_path / "again", seed=3)
    assert again.memory.read_bytes() == files.memory.read_bytes()
    assert json.loads(files.train.read_text().splitlines()[0]).keys() == {"prompt", "completion"}


def test_a_world_that_cannot_be_drawn_is_refused():
    with pytest.raises(HoldfastError, match="held=8"):
        World(0, sentences.Settings(held=8))
