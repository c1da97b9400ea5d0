"""What `ground:NAME` stands for, wherever rows or items are read."""

import itertools
import re

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import read
from holdfast.data.holdout import normalised
from holdfast.ground import names
from holdfast.ground.corpus import LESSONS, PROOF, WATCH
from holdfast.ground.tasks import SPLITS, TASKS, task
from holdfast.ground.world import World
from holdfast.probes.items import row_of

SUITES = [lesson.suite for lesson in LESSONS]
OF_SUITES = ("watch", "proof", "cut")


def test_no_two_things_have_one_name():
    everything = [names.GENERAL, *TASKS, *names.SUITES]
    assert len(set(everything)) == len(everything) == 1 + 8 + 18


@pytest.mark.parametrize("name", TASKS)
def test_every_split_of_every_task_is_read(name):
    made = task(World(0), name)
    for split in SPLITS:
        rows = read(f"ground:{name}/{split}")
        assert len(rows) == len(getattr(made, split))
        assert rows[0].origin == f"ground:{name}/{split}:1"
        assert {row.kind for row in rows} == {"completion" if split == "train" else "messages"}
    assert [row.contents for row in read(f"ground:{name}")] == [row.contents for row in made.train]
    sides = [{normalised(row) for row in read(f"ground:{name}/{split}")} for split in SPLITS]
    assert not any(one & other for one, other in itertools.combinations(sides, 2))


@pytest.mark.parametrize("name", SUITES)
def test_every_split_of_every_suite_is_read(name):
    counts = {split: len(read(f"ground:{name}/{split}")) for split in OF_SUITES}
    assert counts == {"watch": WATCH, "proof": PROOF, "cut": names.CUT + names.CUT_PROOF}
    sides = [read(f"ground:{name}/{split}") for split in ("watch", "proof")]
    watch, proof = ({row.contents[:-1] or row.contents for row in side} for side in sides)
    assert not watch & proof
    rows = read(f"ground:{name}")
    assert [row.contents for row in rows] == [row.contents for row in read(f"ground:{name}/watch")]
    for split, most in (("watch", names.CUT), ("proof", names.CUT_PROOF)):
        cut = [row_of(item).contents for item in names.items(f"{name}/cut") if item.split == split]
        assert cut == [row.contents for row in read(f"ground:{name}/{split}")[:most]]
    assert rows[0].turns or name in ("agreement", "text")
    assert not rows[0].turns or rows[0].turns[-1].learned


def test_all_suites_together_are_the_suites():
    for split, count in (("watch", WATCH), ("proof", PROOF), ("cut", names.CUT + names.CUT_PROOF)):
        found = names.items(f"suites/{split}")
        assert [item.suite for item in found] == [name for name in SUITES for _ in range(count)]
        assert len({item.id for item in found}) == len(found)


def test_items_and_rows_of_a_name_are_the_same_questions():
    for name in ("hops/cut", "people/test", "safety/transfer", "text/cut"):
        items, rows = names.items(name), names.rows(name)
        assert [row_of(item).contents for item in items] == [row.contents for row in rows]
    for name in ("people", "people/train", "general", "general/test", "instructions", "facts/memory"):
        assert names.items(name) is None


def test_no_two_splits_of_general_share_a_document_and_all_lessons_are_in_each():
    splits = {split: read(f"ground:general/{split}") for split in names.DOCUMENTS}
    assert {split: len(rows) for split, rows in splits.items()} == names.DOCUMENTS
    contents = [{row.contents for row in rows} for rows in splits.values()]
    assert not any(one & other for one, other in itertools.combinations(contents, 2))
    assert [len(one) for one in contents] == [len(rows) for rows in splits.values()]
    assert [row.contents for row in read("ground:general")] == [row.contents for row in splits["train"]]
    for rows in splits.values():
        said = "\n".join(row.contents[0] for row in rows)
        for word in ("print", "Velish", "list", "JSON", "plus", "My name is", "lives in"):
            assert word in said


def test_general_asks_nothing_that_a_suite_asks():
    items = names.items("suites/proof")
    asked = {tuple(turn.content for turn in item.turns) or (item.text or item.choices[0],) for item in items}
    for split in names.DOCUMENTS:
        for row in read(f"ground:general/{split}"):
            assert row.contents not in asked
            assert row.contents[:-1] not in asked


def test_instructions_are_conversations_and_a_suites_memory_is_of_that_one_thing():
    chats = read("ground:instructions/memory")
    assert len(chats) == names.DOCUMENTS["memory"]
    assert {row.kind for row in chats} == {"messages"}
    others = {row.contents for row in read("ground:instructions/test")}
    assert not others & {row.contents for row in chats}
    for suite, word in (("translate-into", "Velish"), ("facts", "lives"), ("sums", "plus")):
        rows = read(f"ground:{suite}/memory")
        assert len({row.contents for row in rows}) == len(rows) == names.ANCHOR
        assert word in "\n".join(row.contents[0] for row in rows)
    assert "Velish" not in "\n".join(row.contents[0] for row in read("ground:facts/memory"))


def test_a_suites_memory_asks_nothing_that_the_suite_asks():
    for suite in ("facts", "laws", "refuse"):
        items = names.items(f"{suite}/proof")
        asked = {tuple(turn.content for turn in item.turns) or (item.text or item.choices[0],) for item in items}
        for row in read(f"ground:{suite}/memory"):
            assert row.contents not in asked
            assert row.contents[:-1] not in asked


@pytest.mark.parametrize("name", ["people", "noisy/test", "facts/cut", "general", "instructions", "facts/memory"])
def test_a_number_behind_the_name_chooses_another_world(name):
    one, same, other = (read(f"ground:{name}{world}") for world in ("", "@0", "@1"))
    assert [row.contents for row in one] == [row.contents for row in same]
    assert len({row.contents for row in one} & {row.contents for row in other}) < 0.1 * len(one)
    assert other[0].origin == f"ground:{name}@1:1"


def test_the_same_name_gives_the_same_rows_again():
    one = read("ground:language")
    names._task.cache_clear()
    assert read("ground:language") == one
    one.clear()
    assert len(read("ground:language")) == 1500


WRONG = {
    "peple": r"'ground:peple': .* use one of general, .*, people, .*Did you mean 'people'\?$",
    "generl/train": r"nothing of that name; .*Did you mean 'general'\?$",
    "translat-into": r"Did you mean 'translate-into'\?$",
    "people/tests": r"'ground:people/tests': .*no split 'tests'; use one of train, .*Did you mean 'test'\?$",
    "facts/train": r"'ground:facts/train': .*no split 'train'; use one of watch, proof, cut, sample, memory\.",
    "suites/memory": r"'ground:suites/memory': .*no split 'memory'; use one of watch, proof, cut, sample\.",
    "general/proof": r"'ground:general/proof': .*no split 'proof'; use one of train, memory, test\.",
    "people/": r"'ground:people/': .*no split ''; use one of train",
    "": r"'ground:': there is nothing of that name; use one of general, instructions, people",
    "people@one": r"'ground:people@one': the seed behind '@' must be a whole number\.$",
    "people@-1": r"'ground:people@-1': the seed behind '@' must be a whole number\.$",
    "people@": r"'ground:people@': the seed behind '@' must be a whole number\.$",
    "people@1/test": r"'ground:people@1/test': the seed behind '@' must be a whole number\.$",
    "people@²": r"the seed behind '@' must be a whole number\.$",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_name_is_one_clear_sentence(name):
    for find in (names.rows, names.items, lambda name: read(f"ground:{name}")):
        with pytest.raises(HoldfastError) as error:
            find(name)
        assert re.search(WRONG[name], str(error.value))
        assert "\n" not in str(error.value)


def test_a_sample_is_the_first_items_of_the_proof_of_each_suite():
    for name in ("hops", "text"):
        assert names.items(f"{name}/sample") == names.items(f"{name}/proof")[: names.SAMPLE]
    assert len(names.items("suites/sample")) == names.SAMPLE * len(SUITES)


def test_few_people_are_told_of_and_asked_about_alone():
    rows, items = names.rows("people/few"), names.items("people/few-test")
    who = {item.group for item in items}
    assert len(who) == names.FEW
    everybody = {item.group for item in names.items("people/test")}
    assert all(len({*re.findall(r"\w+", row.prompt)} & everybody & who) == 1 for row in rows)
    assert len(rows) == len(names.rows("people")) * names.FEW // len(everybody)
    assert {item.id for item in items} < {item.id for item in names.items("people/test")}
    assert names.items("people/few") is None
    with pytest.raises(HoldfastError, match="has no split 'few'"):
        names.rows("language/few")
