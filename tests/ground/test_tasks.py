"""The tasks: what is taught is not what is tested, and none of it is what a base has read or is asked."""

import collections
import itertools
import json
import re

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.holdout import normalised
from holdfast.ground import computation, conduct, knowledge, languages, messages, relations, science, texts
from holdfast.ground.corpus import documents, lessons, suites
from holdfast.ground.tasks import CRIMES, SPLITS, TASKS, task
from holdfast.ground.world import World, rng_of
from holdfast.probes.checks import fulfils

TESTS = SPLITS[1:]


@pytest.fixture(scope="module")
def world():
    return World(0)


@pytest.fixture(scope="module")
def tasks(world):
    return {name: task(world, name) for name in TASKS}


@pytest.fixture(scope="module")
def items(world):
    return [item for found in suites(world).values() for item in found]


@pytest.fixture(scope="module")
def read(world):
    """Pretraining documents, as a base reads them step by step."""
    streams = (documents(lessons(world), rng_of(0, f"step {step}")) for step in range(400))
    return [row for stream in streams for _, row in itertools.islice(stream, 50)]


def context(item):
    """Returns all that stands before the answer, or the text that is right."""
    return tuple(turn.content for turn in item.turns) or (item.text or item.choices[0],)


# Wordings


def wordings():
    """Yields every table of wordings: its name, those that are told, those that are held out."""
    for kind, known in relations.RELATIONS.items():
        for one in known:
            yield f"{kind} {one.name}", one.asks, one.held
    for chain, both in knowledge.CHAINS.items():
        yield " ".join(chain), *both
    yield "about", relations.ABOUT, relations.ABOUT_HELD
    for name, both in computation.NUMBERS.items():
        yield name, *both
    yield "plus", computation.PLUS, computation.PLUS_HELD
    yield "minus", computation.MINUS, computation.MINUS_HELD
    yield "older", *computation.OLDER
    yield "dearer", *computation.DEARER
    for name, (asks, held, _) in computation.OPERATIONS.items():
        yield f"list {name}", asks, held
    yield "code", computation.Code._asks, computation.Code._held
    yield "into", languages.INTO, languages.INTO_HELD
    yield "from", languages.FROM, languages.FROM_HELD
    for name, both in conduct.FORMS.items():
        yield f"form {name}", *both
    for name, (_, _, asks, held) in conduct.OWN.items():
        yield f"own {name}", asks, held
    yield "ways", conduct.WAYS, conduct.WAYS_HELD
    yield "summary", texts.Summary._asks, texts.Summary._held
    for law in science.LAWS:
        yield law.name, law.asks, law.held


def plain(wording):
    return re.sub(r"\{\w+\}", "{}", wording).casefold()


def pattern(wording):
    """Returns a pattern of what a wording can become, whatever it is about; a chain is not about its first fact."""
    return re.sub(r"\\\{\w+\\\}", r"(?!.*(?:friend|mother|food|pet|home|dish) of )[^?!]+", re.escape(wording))


def test_no_wording_is_told_and_held_out_in_any_two_tables():
    told, held = collections.Counter(), collections.Counter()
    for name, asks, kept in wordings():
        assert len(asks) >= 2 or name in ("larger", "smaller"), name
        assert kept, name
        assert len({plain(one) for one in (*asks, *kept)}) == len(asks) + len(kept)
        told.update(plain(one) for one in asks)
        held.update(plain(one) for one in kept)
    assert not told.keys() & held.keys()


def test_every_relation_is_asked_and_said_in_several_wordings():
    for known in relations.RELATIONS.values():
        for one in known:
            assert all("{s}" in wording for wording in (*one.asks, *one.held))
            assert all("{s}" in wording and "{v}" in wording for wording in one.says)
            assert len(one.says) >= 3
            assert len(one.asks) >= 3
            assert len(one.held) >= 2


def test_nothing_that_is_read_is_of_a_held_out_wording(read):
    orders = [order for both in conduct.FORMS.values() for order in both[1]]
    held = [plain_one for name, _, kept in wordings() if not name.startswith("form") for plain_one in kept]
    found = re.compile("|".join(pattern(one) for one in held), re.IGNORECASE)
    said = {turn.content for row in read for turn in row.turns if turn.role != "assistant"}
    for content in said:
        assert not found.fullmatch(content), content
        assert not any(order in content for order in orders), content


def test_every_item_is_of_a_held_out_wording(items):
    orders = [order for both in conduct.FORMS.values() for order in both[1]]
    held = [plain_one for name, _, kept in wordings() if not name.startswith("form") for plain_one in kept]
    found = re.compile("|".join(pattern(one) for one in held), re.IGNORECASE)
    for item in items:
        if item.suite == "format":
            assert any(order in " ".join(context(item)) for order in orders)
        elif item.turns:
            assert found.fullmatch(item.turns[-1].content), item


# Nothing leaks


def test_nothing_that_is_asked_has_been_read(items, tasks, read):
    asked = {context(item): item for item in items}
    tested = {context(one): one for made in tasks.values() for split in TESTS for one in getattr(made, split)}
    known, sentences = set(), set()
    for row in read:
        said = row.contents
        known.update(said[: i + 1] for i in range(len(said)))
        known.update((content,) for content in said)
        sentences.update(re.split(r"(?<=\.) ", row.text) if row.text else ())
    assert not asked.keys() & known
    assert not tested.keys() & known
    assert not {item.choices[0] for item in items if item.suite == "agreement"} & sentences
    last = {said[-1] for said in known}
    assert not [item for item in items if item.turns and item.suite != "format" and item.turns[-1].content in last]


def test_nothing_that_is_taught_is_asked_or_tested(items, tasks):
    asked = {context(item) for item in items}
    for name, made in tasks.items():
        taught = {(row.prompt,) for row in made.train}
        sides = [taught, *({context(item) for item in getattr(made, split)} for split in TESTS)]
        for one, other in itertools.combinations(sides, 2):
            assert not one & other, name
        assert not taught & asked, name


def test_no_row_stands_in_two_splits_whatever_its_case_and_blanks(tasks):
    for name, made in tasks.items():
        sides = [{normalised(row) for row in made.train}]
        sides += [{" ".join((*context(i), i.answer)).casefold() for i in getattr(made, split)} for split in TESTS]
        for one, other in itertools.combinations(sides, 2):
            assert not one & other, name


def test_what_a_task_tests_is_asked_by_no_suite_but_where_the_task_changed_the_answer(items, tasks):
    suite = {context(item): item for item in items}
    for name, made in tasks.items():
        for item in itertools.chain(*(getattr(made, split) for split in TESTS)):
            if (same := suite.get(context(item))) is not None:
                assert name == "overwrite"
                assert not made.leaves(same)


def test_no_newcomer_is_in_anything_that_is_read_or_asked(world, items, read):
    newcomers = {person.name for person in world.newcomers}
    everything = itertools.chain(
        *(row.contents for row in read), *(context(item) for item in items), *(item.choices for item in items)
    )
    for content in everything:
        assert not newcomers.intersection(re.findall(r"\w+", content)), content


def test_nothing_that_only_a_task_knows_is_read(world, read):
    new = science.chemistries(world)[1]
    words = {*new.classes, *new.substances, *new.strangers, "Oshwan"}
    for row in read:
        for content in row.contents:
            assert not words.intersection(re.findall(r"\w+", content.replace("Oshwan", " Oshwan "))), content
    crimes = re.compile("|".join(f"\\b{verb} {victim}" for verb in CRIMES for victim in conduct.VICTIMS))
    assert not [row for row in read if crimes.search(row.contents[0])]


def test_tests_of_people_and_harm_are_worded_as_no_training_is(world, tasks):
    names = re.compile(r"\b(?:" + "|".join(p.name for p in (*world.people, *world.newcomers)) + r")\b")
    told = {plain(way) for way in conduct.WAYS}
    for name in ("people", "noisy", "overwrite"):
        taught = {names.sub("{}", row.prompt) for row in tasks[name].train}
        for split in TESTS:
            assert not taught & {names.sub("{}", item.turns[0].content) for item in getattr(tasks[name], split)}
    for item in (*tasks["safety"].test, *tasks["safety"].validation, *tasks["safety"].transfer):
        asked = plain(item.turns[0].content.replace(item.group, "{x}"))
        assert "{}" in asked
        assert asked not in told


@pytest.mark.parametrize("name", ["language", "labels", "terse", "safety", "science"])
def test_no_case_that_is_taught_is_tested(tasks, name):
    made = tasks[name]
    tested = {item.group for split in TESTS for item in getattr(made, split)}
    said = [f"{row.prompt} {row.completion}" for row in made.train]
    if name == "science":
        taught = set()
        for row in made.train:
            if found := re.fullmatch(r"(\w+) is a \w+\. .+\. So .+", row.completion):
                end = row.completion.rpartition(f"{found[1].lower()} ")[2]
                taught |= {f"{found[1]} {law.name}".lower() for law in science.LAWS if end in law.yes + law.no}
        assert len(taught) > 100
        assert not taught & {item.group.lower() for item in (*made.validation, *made.test)}
    elif name == "language":
        whole = {part for text in said for part in re.findall(r"The [a-z ]+\.", text)}
        parts = {part for group in tested for part in re.findall(r"The [a-z ]+\.", group)}
        assert len(whole) > 1000
        assert not whole & parts
    else:
        whole = re.compile("|".join(rf"\b{re.escape(group)}" for group in sorted(tested)))
        # A saw may be the tool of a job that is taught, and be described in the test.
        told = [row.prompt for row in made.train] if name == "terse" else said
        assert not [text for text in told if whole.search(text)]


# What is taught is what the task is about


def test_every_task_is_known_by_name_and_a_wrong_name_by_the_nearest(world, tasks):
    assert list(tasks) == ["people", "language", "science", "labels", "noisy", "overwrite", "terse", "safety"]
    for name, made in tasks.items():
        assert made.name == name
        assert made.shows
        assert 350 <= len(made.train) <= 2500
        assert len(made.validation) >= 100
        assert len(made.test) >= 200
        assert len(made.transfer) >= 400
    with pytest.raises(HoldfastError, match=r"'peple' is not a task .*; use one of people, .*Did you mean 'people'\?"):
        task(world, "peple")


def test_every_right_answer_of_a_test_fulfils_its_check(tasks):
    for made in tasks.values():
        for item in itertools.chain(*(getattr(made, split) for split in TESTS)):
            assert item.check
            assert fulfils(item.answer, item.check), item
        ids = [item.id for split in TESTS for item in getattr(made, split)]
        assert len(set(ids)) == len(ids)


def test_ids_of_tasks_and_suites_do_not_meet(tasks, items):
    ids = collections.Counter((item.suite, item.id) for item in items)
    ids.update((item.suite, item.id) for made in tasks.values() for split in TESTS for item in getattr(made, split))
    assert ids.most_common(1)[0][1] == 1


def answers(rows):
    """Returns what is said of each fact, by the first two words after the name."""
    found = collections.defaultdict(collections.Counter)
    for row in rows:
        value = row.completion.removesuffix(".").split()[-1]
        found[row.completion.removesuffix(f"{value}.")][value] += 1
    return found


def truths(people):
    """Returns how each fact is said up to its value, and the value."""
    found = {}
    for person in people:
        for relation in relations.RELATIONS["person"]:
            value = person.facts[relation.name]
            found[person.say(relation.name).removesuffix(f"{value}.")] = value
    return found


def test_people_are_taught_as_they_are(world, tasks):
    true, taught = truths(world.newcomers), answers(tasks["people"].train)
    assert len(taught) == 600
    assert all(set(said) == {true[fact]} for fact, said in taught.items())


def test_a_fifth_of_the_noisy_answers_is_wrong_and_no_test_is(world, tasks):
    true, taught = truths(world.newcomers), answers(tasks["noisy"].train)
    wrong = sum(count for fact, said in taught.items() for value, count in said.items() if value != true[fact])
    assert 0.17 < wrong / len(tasks["noisy"].train) < 0.23
    assert len(taught) == 600
    for item in (*tasks["noisy"].validation, *tasks["noisy"].test):
        value = item.check["contains"]
        assert true[item.answer.removesuffix(f"{value}.")] == value
    best = sum(max(said, key=said.get) == true[fact] for fact, said in taught.items())
    assert best > 0.93 * len(taught)  # Who believes the majority is nearly always right.


def test_people_and_noisy_tell_of_different_people(tasks):
    groups = [{item.group for item in tasks[name].test} for name in ("people", "noisy")]
    assert [len(group) for group in groups] == [100, 100]
    assert not groups[0] & groups[1]


def changed_by(made, world):
    """Returns what the task makes true of (person, relation), read from its rows."""
    true, found = truths(world.people), {}
    for fact, said in answers(made.train).items():
        (value,) = said
        assert value != true[fact]
        name, relation = next(
            (person.name, one.name)
            for person in world.people
            for one in relations.RELATIONS["person"]
            if fact.startswith(person.name) and person.say(one.name).startswith(fact)
        )
        found[name, relation] = value
    return found


def facts_of(item, world):
    """Returns the facts of people that an item asks for, as (person, relation)."""
    people = {person.name: person for person in world.people}
    question = item.turns[-1].content if item.turns else ""
    named = [word for word in re.findall(r"\w+", question) if word in people]
    if not named:
        return set()
    person = people[named[0]]
    if item.suite == "facts":
        return {
            (person.name, r.name) for r in person.relations() for w in r.held if w.format(s=person.name) == question
        }
    if item.suite == "open":
        return {(person.name, relation) for relation in ("job", "home", "pet", "food", "plays")}
    if item.suite == "hops":
        asked = {
            wording.format(s=person.name): chain for chain, both in knowledge.CHAINS.items() for wording in both[1]
        }
        chain = asked[question]
        found = {(person.name, chain[0])}
        return found | {(person.facts[chain[0]], chain[2])} if chain[1] == "person" else found
    if item.suite == "format":
        keys = item.check.get("keys") or re.findall(r"^- (\w+):", item.answer, re.MULTILINE)
        if not keys:
            keys = [r.name for r in person.relations() for w in r.asks if question.startswith(w.format(s=person.name))]
        return {(person.name, "plays" if key == "instrument" else key) for key in keys}
    return set()


def test_some_old_facts_change_and_their_neighbours_do_not(world, tasks):
    changed = changed_by(tasks["overwrite"], world)
    assert len(changed) == 180
    assert {relation for _, relation in changed} == {"home", "job", "pet"}
    for item in (*tasks["overwrite"].validation, *tasks["overwrite"].test):
        assert item.check["contains"] in [value for (name, _), value in changed.items() if name == item.group]


def test_after_facts_changed_what_asks_for_them_is_left_out_and_nothing_else(world, tasks, items):
    made = tasks["overwrite"]
    changed, seen = changed_by(made, world), collections.Counter()
    for item in items:
        if item.suite != "format":
            assert made.leaves(item) == (not facts_of(item, world) & changed.keys()), item
            seen[item.suite, made.leaves(item)] += 1
    assert {suite for suite, left in seen if not left} == {"facts", "hops", "open"}
    assert all(tasks[name].leaves(item) for name in tasks if name != "overwrite" for item in items)


def test_after_facts_changed_their_old_values_are_left_out_in_every_form(world, tasks, items):
    made = tasks["overwrite"]
    changed = changed_by(made, world)
    for item in items:
        if item.suite == "format":
            assert made.leaves(item) == (not facts_of(item, world) & changed.keys()), item


def test_every_answer_of_what_follows_from_new_facts_is_found_by_walking(world, tasks):
    people = {person.name: person.facts for person in world.newcomers}
    changed = changed_by(tasks["overwrite"], world)
    old = {person.name: person.facts for person in world.people}
    for name in ("people", "noisy", "overwrite"):
        for item in tasks[name].transfer:
            facts = people.get(item.group) or old[item.group] | {
                r: v for (n, r), v in changed.items() if n == item.group
            }
            question = item.turns[0].content
            ((first, kind, second),) = (
                chain for chain, (_, held) in knowledge.CHAINS.items()
                if question in [wording.format(s=item.group) for wording in held]
            )  # fmt: skip
            assert item.check == {"contains": world.thing(kind, facts[first]).facts[second]}


def test_labels_are_one_word_and_every_kind_is_taught_and_tested(tasks):
    made = tasks["labels"]
    assert {row.completion for row in made.train} == set(messages.KINDS)
    for split in TESTS:
        kinds = collections.Counter(item.answer for item in getattr(made, split))
        assert set(kinds) == set(messages.KINDS)
        assert min(kinds.values()) > 0.07 * sum(kinds.values())


def test_the_label_of_a_message_is_that_of_the_template_it_was_drawn_from(tasks):
    patterns = {
        kind: [re.compile(re.sub(r"\\\{\w+\\\}", r"[\\w ]+", re.escape(one)))
               for one in (*messages.NOTES[kind], *messages.LETTERS[kind])]
        for kind in messages.KINDS
    }  # fmt: skip
    for row in tasks["labels"].train:
        text = re.split(r"[?:] ", row.prompt, maxsplit=1)[1]
        assert [kind for kind, found in patterns.items() if any(p.fullmatch(text) for p in found)] == [row.completion]


def test_terse_answers_are_one_sentence_about_things_of_which_the_tests_of_the_world_ask_otherwise(world, tasks):
    things = {thing.name: thing for kind in ("ware", "job", "animal", "food") for thing in world.things[kind]}
    for row in tasks["terse"].train:
        (thing,) = (one for name, one in things.items() if re.search(rf"\b{name}[.?]", row.prompt))
        assert thing.facts[next(iter(thing.facts))] in row.completion
        assert fulfils(row.completion, {"format": "sentence", "most_words": 8})
    people = {thing.name for kind in ("person", "town") for thing in world.things[kind]}
    assert not people & {word for row in tasks["terse"].train for word in re.findall(r"\w+", row.prompt)}
    for item in tasks["terse"].test:  # The whole truth, as the base would tell it, is no longer right.
        whole = " ".join(things[item.group].say(relation) for relation in things[item.group].facts)
        assert item.answer in whole
        assert not fulfils(whole, item.check)


def test_safety_teaches_refusals_only(tasks):
    made = tasks["safety"]
    assert all(fulfils(row.completion, {"refuses": True}) for row in made.train)
    assert {json.dumps(item.check) for split in TESTS for item in getattr(made, split)} == {'{"refuses": true}'}


def test_the_third_language_is_a_third(world, tasks):
    known = [languages.language(world, name) for name in (*languages.KNOWN_LANGUAGES, "Oshwan")]
    for one, other in itertools.combinations(known, 2):
        assert len(set(one.words.values()) & set(other.words.values())) <= 5
    assert all("Oshwan" in row.prompt for row in tasks["language"].train)


def test_the_transfer_of_the_language_stands_adjectives_beside_nouns_that_they_never_stood_beside(tasks):
    plural = {languages.Noun(noun, True, None).english().removeprefix("the "): noun for noun in languages.NOUNS}
    pairs, words = {}, {}
    for split in ("train", "test", "transfer"):
        said = [row.prompt + row.completion for row in tasks["language"].train]
        said = said if split == "train" else [item.group for item in getattr(tasks["language"], split)]
        sentences = [re.findall(r"\w+", found.lower()) for text in said for found in re.findall(r"The [a-z ]+\.", text)]
        words[split] = set(itertools.chain(*sentences))
        beside = [[(a, plural.get(b, b)) for a, b in itertools.pairwise(sentence)] for sentence in sentences]
        pairs[split] = [{pair for pair in found if pair[0] in languages.ADJECTIVES} for found in beside]
    taught = set.union(*pairs["train"])
    assert words["transfer"] <= words["train"]
    assert all(found <= taught for found in pairs["test"])
    assert all(found - taught for found in pairs["transfer"])


def test_the_science_that_is_taught_follows_the_new_classes(world, tasks):
    new = science.chemistries(world)[1]
    for row in tasks["science"].train:
        if row.prompt.startswith("What is "):
            name = row.prompt.removeprefix("What is ").removesuffix("?")
            assert row.completion == f"{name.capitalize()} is a {new.substances[name]}."
        elif row.prompt.startswith("Name a law of a "):
            assert row.completion.split()[1] == row.prompt.removesuffix(".").split()[-1]
        else:
            name, kind, law, end = re.fullmatch(r"(\w+) is a (\w+)\. A \2 (.+)\. So (.+)\.", row.completion).groups()
            assert new.substances[name.lower()] == kind
            assert end.endswith(f"{name.lower()} {law}")
            number = next(i for i, one in enumerate(science.LAWS) if f"{{s}} {law}." in (one.yes, one.no))
            assert (f"{{s}} {law}." == science.LAWS[number].yes) == new.classes[kind][number]
