"""Every answer of a lesson is right, by another way of finding it; what is held out is not told."""

import collections
import functools
import itertools
import json
import re

import pytest

from holdfast.ground import words
from holdfast.ground.conduct import HARM, HARMLESS, VICTIMS
from holdfast.ground.corpus import documents, lessons
from holdfast.ground.knowledge import CHAINS
from holdfast.ground.languages import ADJECTIVES, KNOWN_LANGUAGES, NOUNS, VERBS, draw_sentence, language
from holdfast.ground.relations import RELATIONS
from holdfast.ground.science import chemistries
from holdfast.ground.world import World, held, rng_of
from holdfast.probes.checks import fulfils

SUITES = (
    "facts", "hops", "open", "laws", "sums", "compare", "lists", "code", "translate-into", "translate-from",
    "agreement", "format", "recall", "refuse", "harmless", "summary", "text",
)  # fmt: skip


@pytest.fixture(scope="module", params=[0, 2])
def world(request):
    return World(request.param)


@pytest.fixture(scope="module")
def asked(world):
    """Items of every suite."""
    return {name: lesson.items(60, 140) for name, lesson in lessons(world).items()}


@pytest.fixture(scope="module")
def told(world):
    """Documents of every lesson."""
    found = collections.defaultdict(list)
    for name, row in itertools.islice(documents(lessons(world), rng_of(world.seed, "sample")), 8000):
        found[name].append(row)
    return found


@pytest.fixture(scope="module")
def pairs(asked, told):
    """Every question of a lesson with its answer, told or held out."""
    found = {}
    for name in SUITES:
        found[name] = [(row.turns[-2].content, row.turns[-1].content) for row in told[name] if row.turns]
        found[name] += [(item.turns[-1].content, item.answer) for item in asked[name] if item.turns]
        assert len(found[name]) > 250 or name in ("text", "agreement")
    return found


def fits(template, text):
    """Returns what stands for the thing where a text is of a template."""
    found = re.fullmatch(re.escape(template).replace(re.escape("{s}"), "(.+)"), text)
    return found and found[1]


def test_there_is_a_lesson_for_every_suite(told, asked):
    assert tuple(asked) == SUITES
    assert set(told) == set(SUITES)


def test_every_right_answer_fulfils_its_check_and_no_wrong_choice_does(asked):
    for name, items in asked.items():
        for item in items:
            if item.check:
                assert fulfils(item.answer, item.check), item
                assert not any(fulfils(choice, item.check) for choice in item.choices[1:]), item
            if item.choices:
                assert len(set(item.choices)) == len(item.choices) >= 2
                assert item.choices[0] == item.answer or name == "agreement"


# What is true of things


def test_every_fact_is_true(world, told, asked):
    def right(question, answer):
        for kind, relations in RELATIONS.items():
            for relation in relations:
                for template in (*relation.asks, *relation.held):
                    name = fits(template, question)
                    if name in things[kind]:
                        assert things[kind][name].facts[relation.name] in answer
                        return answer == things[kind][name].say(relation.name)
        raise AssertionError(question)

    things = {kind: {thing.name: thing for thing in found} for kind, found in world.things.items()}
    for item in asked["facts"]:
        assert right(item.turns[0].content, item.answer), item
        assert item.check["contains"] in item.answer.rstrip(".").split() or " " in item.check["contains"]
    for row in told["facts"]:
        for question, answer in itertools.pairwise(row.turns):
            assert question.role != "user" or right(question.content, answer.content)


def test_every_note_says_all_that_is_true_of_a_thing(world, told):
    notes = [row.text for row in told["facts"] if row.text]
    assert len(notes) > 200
    for note in notes:
        assert any(
            thing.name.lower() in note.lower() and all(value.lower() in note.lower() for value in thing.facts.values())
            for thing in world.known
        ), note


def test_every_chain_ends_where_two_facts_lead(world, pairs):
    people = {person.name: person for person in world.people}
    for question, answer in pairs["hops"]:
        walks = {
            (fits(template, question), chain)
            for chain, wordings in CHAINS.items()
            for template in itertools.chain(*wordings)
            if fits(template, question) in people
        }
        ((name, (first, kind, second)),) = walks
        bridge = people[name].facts[first]
        end = next(thing for thing in world.things[kind] if thing.name == bridge).facts[second]
        one, two = answer.removesuffix(".").split(". ")
        assert name in one
        assert bridge in one
        assert bridge in two
        assert end in two, (question, answer)


def test_the_check_of_a_chain_is_its_end_and_wrong_choices_differ_there_only(asked):
    for item in asked["hops"]:
        end = item.check["contains"]
        assert item.answer.count(end) == 1 or item.answer.rindex(end) > item.answer.index(". ")
        start = item.answer[: item.answer.rindex(end)]
        assert all(choice.startswith(start) for choice in item.choices)


def test_every_longer_answer_says_what_is_true(world, pairs):
    things = {thing.name: thing for kind in ("person", "town") for thing in world.things[kind]}
    for question, answer in pairs["open"]:
        (thing,) = (things[word] for word in re.findall(r"\w+", question) if word in things)
        wanted = ("job", "home", "pet", "food", "plays") if thing.kind == "person" else tuple(thing.facts)
        said = answer.removesuffix(".").split(". ")
        assert len(said) == len(wanted)
        for name, sentence in zip(wanted, said, strict=True):
            assert thing.name in sentence
            assert thing.facts[name] in sentence


# The laws of classes

LAW = {
    "float": ("floats on water", "sinks in water"),
    "water": ("floats on water", "sinks in water"),
    "burn": ("burns in fire", "does not burn in fire"),
    "fire": ("burns in fire", "does not burn in fire"),
    "glow": ("glows in the dark", "stays black in the dark"),
    "dark": ("glows in the dark", "stays black in the dark"),
    "hit": ("rings when you hit it", "stays silent when you hit it"),
    "silent": ("rings when you hit it", "stays silent when you hit it"),
    "sun": ("melts in the sun", "stays hard in the sun"),
    "melt": ("melts in the sun", "stays hard in the sun"),
}
LAW_NAMES = ("floats", "burns", "glows", "rings", "melts")


def test_every_law_that_is_applied_is_that_of_the_class(world, pairs):
    known = chemistries(world)[0]
    for question, answer in pairs["laws"]:
        (name,) = (word for word in re.findall(r"\w+", question.lower()) if word in known.substances)
        kind = known.substances[name]
        # "Does a ring of it ring?" asks for the law by its last word alone.
        asked = [*re.findall(r"\w+", question), *(["hit"] if question.endswith(" ring?") else [])]
        ((yes, no),) = {LAW[word] for word in asked if word in LAW}
        law = next(i for i, law in enumerate(LAW_NAMES) if yes.startswith(law))
        end = yes if known.classes[kind][law] else no
        (form,) = re.findall(rf"(?:an? \w+ of )?\b{name}\b", question.lower())
        assert answer == f"{name.capitalize()} is a {kind}. A {kind} {end}. So {form} {end}."


def test_what_is_told_of_classes_and_substances_is_true(world, told):
    known, count = chemistries(world)[0], collections.Counter()
    for sentence in itertools.chain(*(row.text.rstrip(".").split(". ") for row in told["laws"] if row.text)):
        subject, rest = re.fullmatch(r"(?:A )?(\w+) (.+)", sentence).groups()
        if rest.startswith("is a "):
            assert rest == f"is a {known.substances[subject.lower()]}"
        else:
            ((yes, _),) = {both for both in LAW.values() if rest in both}
            law = LAW_NAMES.index(yes.split()[0])
            assert (rest == yes) == known.classes[subject][law]
        count[rest.startswith("is a ")] += 1
    assert min(count.values()) > 50


def test_the_two_sciences_share_neither_class_nor_substance(world):
    known, new = chemistries(world)
    assert not set(known.classes) & set(new.classes)
    assert not {*known.substances} & {*new.substances, *new.strangers}
    assert not {*new.substances} & {*new.strangers}
    assert len({*known.classes.values(), *new.classes.values()}) == 10


# Reckoning


def is_right_sum(worked):
    at = None
    for step in worked.removesuffix(".").split(", "):
        a, sign, b, result = re.fullmatch(r"(\d+) ([+-]) (\d+) = (\d+)", step).groups()
        if at not in (None, int(a)) or int(result) != int(a) + int(b) * (1 if sign == "+" else -1):
            return False
        at = int(result)
    return True


def test_every_sum_and_every_step_of_it_is_right(told, asked, pairs):
    for question, answer in pairs["sums"]:
        a, b = map(int, re.findall(r"\d+", question))
        if question.startswith(("Add", "Take")):
            a, b = b, a
        plus = re.search(r"plus|\+|Add|sum", question) is not None
        assert plus != (re.search(r"minus| - |Take|difference", question) is not None)
        assert is_right_sum(answer)
        assert int(re.match(r"\d+", answer)[0]) == a
        assert int(re.findall(r"\d+", answer)[-1]) == (a + b if plus else a - b) >= 0
    for item in asked["sums"]:
        a, sign, b = item.group.split()
        assert item.check == {"number": int(a) + int(b) if sign == "+" else int(a) - int(b)}
    sheets = [row.text for row in told["sums"] if row.text]
    assert len(sheets) > 100
    assert all(is_right_sum(line) for sheet in sheets for line in sheet.split("\n"))


def test_every_comparison_is_right(world, pairs):
    born = {person.name: int(person.facts["born"]) for person in world.people}
    price = {ware.name: int(ware.facts["price"]) for ware in world.things["ware"]}
    kinds = collections.Counter()
    for question, answer in pairs["compare"]:
        last = answer.removesuffix(".").split(". ")[-1]
        if numbers := [int(number) for number in re.findall(r"\d+", question)]:
            kind = re.search(r"larger|smaller|largest|smallest|Sort|order|sort", question)[0]
            if kind in ("larger", "largest"):
                assert answer == f"{max(numbers)} is the {kind}."
            elif kind in ("smaller", "smallest"):
                assert answer == f"{min(numbers)} is the {kind}."
            else:
                assert answer == ", ".join(map(str, sorted(numbers)))
                kind = "sort"
        elif found := [word for word in re.findall(r"\w+", question) if word in born]:
            kind = "older"
            assert last == f"{min(found, key=born.get)} is older"
            assert [str(born[name]) for name in found] == re.findall(r"\d+", answer)
        else:
            kind = "dearer"
            found = [word for word in re.findall(r"\w+", question) if word in price]
            assert last == f"The {max(found, key=price.get)} costs more"
            assert [str(price[name]) for name in found] == re.findall(r"\d+", answer)
        kinds[kind] += 1
    assert len(kinds) == 7
    assert min(kinds.values()) > 10


def test_every_list_is_treated_as_is_asked(pairs):
    numbers = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4}
    done = collections.Counter()
    for question, answer in pairs["lists"]:
        order, given = re.fullmatch(r"(.+): ([\w, ]+)[.?]", question).groups()
        given, said = given.split(", "), answer.split(", ")
        if "everse" in order or "backwards" in order:
            act, wanted = "reverse", list(reversed(given))
        elif "alphabet" in order:
            act, wanted = "sort", sorted(given)
        elif "hook" in order:
            act, wanted = "add", [*given, "hook"]
        elif "ount" in order or "How many" in order:
            act, wanted = "count", [["three", "four", "five"][len(given) - 3]]
        elif out := re.search(r"(?:Remove|without) the (\w+)", order):
            act, wanted = "remove", given[:]
            wanted.remove(out[1])
        elif " last word" in order:
            act, wanted = "last", given[-1:]
        else:
            act, wanted = "nth", [given[numbers[re.search(r"the (\w+) word", order)[1]]]]
        assert said == wanted, (question, answer)
        done[act] += 1
    assert len(done) == 7
    assert min(done.values()) > 20


def test_every_program_prints_what_is_said(pairs):
    for question, answer in pairs["code"]:
        program, printed = question.split("\n", 1)[1], []
        for colour in words.COLOURS:
            program = program.replace(f"print({colour})", f"print('{colour}')")
        exec(program, {"print": printed.append})
        worked, _, result = answer.removesuffix(".").rpartition(". It prints ")
        assert [result] == [str(one) for one in printed], (question, answer)
        for left, right in re.findall(r"(\d+ [-+*] \d+) = (\d+)", worked):
            assert eval(left) == int(right)
        if compared := re.search(r"(\d+ > \d+) is (true|false)", worked):
            assert str(eval(compared[1])).lower() == compared[2]
            assert compared[1].split()[0] == re.search(r"x = (\d+)", program)[1]


def test_the_check_of_a_program_is_for_its_result(asked):
    for item in asked["code"]:
        result = item.answer.removesuffix(".").split()[-1]
        assert not fulfils(item.answer.replace(f"prints {result}.", f"prints {result}0."), item.check)
        assert not fulfils(item.answer.replace(f"prints {result}.", f"prints 1{result}."), item.check)


# Languages

THIRD = {"carry": "carries", "push": "pushes"}
PAST = {"carry": "carried", "draw": "drew", "hear": "heard", "hide": "hid", "hold": "held", "know": "knew",
        "move": "moved", "love": "loved", "see": "saw"}  # fmt: skip


def plural_of(noun):
    return "wolves" if noun == "wolf" else f"{noun}s"


def affixed(stem, mark, before):
    return mark + stem if before else stem + mark


@functools.cache
def phrases(spoken, is_object):
    """Returns what every noun of a language means, alone and with an adjective, and whether it is many."""
    found = collections.defaultdict(list)
    for noun, adjective, many in itertools.product(NOUNS, (None, *ADJECTIVES), (False, True)):
        stem = spoken.words[noun]
        stem = affixed(stem, spoken.plural, spoken.prefixed[0]) if many else stem
        stem = affixed(stem, spoken.object, spoken.prefixed[1]) if is_object else stem
        wanted = [stem]
        if adjective:
            other = spoken.words[adjective]
            if many and spoken.agrees:
                other = affixed(other, spoken.plural, spoken.prefixed[0])
            wanted = [other, stem] if spoken.adjective_first else [stem, other]
        meaning = f"the {adjective + ' ' if adjective else ''}{plural_of(noun) if many else noun}"
        found[" ".join(wanted)].append((meaning, many))
    return found


def in_english(spoken, text):
    """Returns every English sentence that a sentence of a language can mean, by taking it apart word by word."""

    def readings(tokens, is_object):
        yield from phrases(spoken, is_object)[" ".join(tokens)]

    def verbs(token, many):
        for verb in VERBS:
            if token == affixed(spoken.words[verb], spoken.past, spoken.prefixed[2]):
                yield PAST.get(verb, f"{verb}ed")
            if token == spoken.words[verb]:
                yield verb if many else THIRD.get(verb, f"{verb}s")

    tokens, found = text.removesuffix(".").lower().split(), set()
    for widths in itertools.product((1, 2), repeat=2):
        sizes = dict(zip("SO", widths, strict=True)) | {"V": 1}
        if sum(sizes.values()) != len(tokens):
            continue
        at, part = 0, {}
        for role in spoken.order:
            part[role] = tokens[at : at + sizes[role]]
            at += sizes[role]
        for subject, many in readings(part["S"], False):
            for other, _ in readings(part["O"], True):
                for verb in verbs(part["V"][0], many):
                    found.add(f"T{subject[1:]} {verb} {other}.")
    return found


def test_every_translation_means_what_it_says(world, pairs):
    spoken = {name: language(world, name) for name in KNOWN_LANGUAGES}
    forms = {name: set(one.words.values()) for name, one in spoken.items()}
    unsure = 0
    for name in ("translate-into", "translate-from"):
        for question, answer in pairs[name]:
            given = re.split(r"[?:] ", question, maxsplit=1)[1]
            english, invented = (given, answer) if name == "translate-into" else (answer, given)
            named = [one for one in KNOWN_LANGUAGES if one in question]
            meanings = [in_english(spoken[one], invented) for one in named or KNOWN_LANGUAGES]
            assert any(english in meaning for meaning in meanings), (question, answer)
            unsure += sum(map(len, meanings)) > 1
    assert unsure <= 0.03 * len(pairs["translate-into"] + pairs["translate-from"])  # A few forms have two meanings.
    assert all(len(one) == len(NOUNS) + len(VERBS) + len(ADJECTIVES) for one in forms.values())


def test_every_form_of_a_word_is_found_back(world):
    spoken = language(world, "Oshwan")
    rng = rng_of(world.seed, "forms")
    for _ in range(60):
        sentence = draw_sentence(rng)
        assert sentence.english() in in_english(spoken, spoken.say(sentence))


# Running text


def story_of(text):
    """Returns who found what for whom, read from the sentences of a story."""
    (animal,) = set(re.findall(r" an? \w+ (\w+) was ", text))
    (find,) = set(re.findall(r"found an? (\w+ \w+)\.", text))
    (receiver,) = (
        *re.findall(rf"gave the {find} to an? (\w+)\.", text),
        *re.findall(rf"An? (\w+) came and got the {find}\.", text),
    )
    return animal, find, receiver


def article(phrase):
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def test_every_summary_says_who_found_what_for_whom(pairs):
    for question, answer in pairs["summary"]:
        animal, find, receiver = story_of(question)
        assert answer == f"{article(animal).capitalize()} found {article(find)}, and {article(receiver)} got it."


def test_agreement_pairs_differ_in_one_word_and_the_right_one_agrees(asked):
    plural = {plural_of(noun): True for noun in NOUNS} | dict.fromkeys(NOUNS, False)
    third = {THIRD.get(verb, f"{verb}s"): False for verb in VERBS} | dict.fromkeys(VERBS, True)
    for item in asked["agreement"]:
        right, wrong = (choice.removesuffix(".").split() for choice in item.choices)
        assert len(right) == len(wrong)
        ((one, other),) = ((a, b) for a, b in zip(right, wrong, strict=True) if a != b)
        subject = next(word for word in right if word in plural)
        assert third[one] == plural[subject]
        assert third[other] != plural[subject]


def test_told_sentences_agree(told):
    plural = {plural_of(noun): True for noun in NOUNS} | dict.fromkeys(NOUNS, False)
    third = {THIRD.get(verb, f"{verb}s"): False for verb in VERBS} | dict.fromkeys(VERBS, True)
    for sentence in itertools.chain(*(row.text.removesuffix(".").split(". ") for row in told["agreement"])):
        tokens = [word for word in sentence.split() if word in plural or word in third]
        nouns, verbs = [t for t in tokens if t in plural], [t for t in tokens if t not in plural]
        assert third[verbs[-1]] == plural[nouns[0]], sentence
        if len(verbs) == 2:
            assert third[verbs[0]] == plural[nouns[1]], sentence


def test_articles_fit(told):
    for name in SUITES:
        for row in told[name]:
            for content in row.contents:
                assert not re.search(r"\b[Aa] [aeiou]\w|\b[Aa]n (?!hour)[^aeiou]", content), content


# How to answer


def test_every_answer_has_the_form_that_is_asked_for_and_is_true(world, told, asked):
    rows = [(*(turn.content for turn in row.turns[:-1]), row.turns[-1].content) for row in told["format"]]
    rows += [(*(turn.content for turn in item.turns), item.answer) for item in asked["format"]]
    people, forms = {person.name: person.facts for person in world.people}, collections.Counter()
    for *context, answer in rows:
        order = " ".join(context)
        (name,) = {word for word in re.findall(r"\w+", context[-1]) if word in people}
        facts = people[name] | {"instrument": people[name]["plays"]}
        form = next(form for form in ("word", "sentence", "list", "JSON") if form in order)
        forms[form] += 1
        if form == "word":
            assert re.fullmatch(r"\w+", answer)
            assert answer in facts.values()
        elif form == "sentence":
            assert re.fullmatch(rf"{name}[\w ]+\.", answer)
            assert set(answer.rstrip(".").split()) & set(facts.values())
        else:
            given = json.loads(answer) if form == "JSON" else dict(
                re.fullmatch(r"- (\w+): (\w+)", line).groups() for line in answer.split("\n")
            )  # fmt: skip
            assert given.items() <= facts.items()
            assert [key for key in re.findall(r"\w+", context[-1]) if key in given] == list(given)
            assert len(given) in (2, 3)
    assert min(forms.values()) > 50


def test_a_check_of_form_refuses_the_other_forms(asked):
    answers = {"word": "Baker", "sentence": "Rin works as a baker.", "list": "- job: baker\n- home: Ember", "": "no"}
    for item in asked["format"]:
        wanted = item.check.get("format", "keys")
        for form, answer in answers.items():
            assert fulfils(answer, item.check) == (form == wanted or (wanted == "word" and form == "")), item


SAID = {
    "name": r"(?:My name is|I am(?! a )|People call me) (\w+)\.",
    "animal": r"(?:I keep a (\w+)\.|I have a (\w+) as a pet|My pet is a (\w+)\.)",
    "home": r"(?:I live in|My home is|I have a house in) (\w+)\.",
    "job": r"(?:I work as a (\w+)\.|My job is (\w+)\.|I am a (\w+) by trade)",
    "food": r"(?:I like to eat|My favourite food is|For dinner I want) (\w+)\.",
    "play": r"(?:I play the|My instrument is the) (\w+)\.",
}
ASKED = {
    "name": r"name|Who am I|call me",
    "animal": r"animal|pet",
    "home": r"live|home|house|town",
    "job": r"job|work|money",
    "food": r"food|eat|dinner",
    "play": r"play|instrument",
}


def test_what_is_recalled_is_what_the_user_said(told, asked):
    rows = [tuple(turn.content for turn in row.turns) for row in told["recall"]]
    rows += [(*(turn.content for turn in item.turns), item.answer) for item in asked["recall"]]
    for first, *_, question, answer in rows:
        (kind,) = (kind for kind, pattern in ASKED.items() if re.search(pattern, question))
        (found,) = re.finditer(SAID[kind], first)
        (value,) = filter(None, found.groups())
        assert answer.removesuffix(".").split()[-1] == value, (first, question, answer)
    assert {len(row) for row in rows} == {4, 6}


def test_harm_is_refused_and_what_is_harmless_answered(pairs):
    for question, answer in pairs["refuse"]:
        (_verb,) = (verb for verb in HARM if any(f"{verb} {victim}" in question for victim in VICTIMS))
        assert fulfils(answer, {"refuses": True})
    for question, answer in pairs["harmless"]:
        things = [thing for thing in HARMLESS if re.search(rf"\b{thing}\b", question)]
        assert any(answer.endswith(f" {thing}, {HARMLESS[thing][1]}.") for thing in things)
        assert fulfils(answer, {"refuses": False})
        assert not set(things) & set(VICTIMS)


# What is held out is not told


def keys(name, question, answer, context=()):
    """Returns the keys of the cases that a question asks about, read from its words."""
    if name == "sums":
        steps = re.findall(r"(\d+) ([+-]) (\d+)", answer)
        return [f"{steps[0][0]} {steps[0][1]} {sum(int(step[2]) for step in steps)}"]
    if name == "compare":
        if numbers := sorted(map(int, re.findall(r"\d+", question))):
            kind = re.search(r"larger|smaller|largest|smallest", answer)
            found = f"{kind[0] if kind else 'sort'} {numbers}"
        else:
            one, other = re.search(r"(?:the )?(\w+) or (?:the )?(\w+)(?: older)?\?", question).groups()
            found = " ".join(sorted((one, other)))
        return [found]
    if name == "lists":
        return [f"list {' '.join(sorted(re.search(r': ([^.?]+)', question)[1].split(', ')))}"]
    if name == "code":
        return [question.split("\n", 1)[1]]
    if name.startswith("translate"):
        return [answer if name == "translate-from" else re.split(r"[?:] ", question, maxsplit=1)[1]]
    if name == "summary":
        return [f"story {' '.join(story_of(question))}"]
    if name in ("refuse", "harmless"):
        things = VICTIMS if name == "refuse" else HARMLESS
        found = [(verb, thing) for verb in HARM for thing in things if f"{verb} {thing}" in question]
        verb, thing = max(found, key=lambda pair: len(pair[0] + pair[1]))
        return [f"harm {(verb, thing)}"] if name == "refuse" else [(verb, thing)]
    if name == "recall":
        found = filter(None, (re.search(pattern, context[0]) for pattern in SAID.values()))
        said = sorted(found, key=lambda one: one.start())
        return [f"recall {' '.join(next(filter(None, one.groups())) for one in said)}"]
    raise AssertionError(name)


SHARES = {
    "sums": 0.15, "compare": 0.2, "lists": 0.2, "code": 0.15, "translate-into": 0.1, "translate-from": 0.1,
    "summary": 0.15, "refuse": 0.3, "recall": 0.15,
}  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_no_case_is_both_told_and_asked(told, asked, name):
    read = [row.turns for row in told[name] if row.turns]
    for *context, question, answer in read:
        for key in keys(name, question.content, answer.content, [turn.content for turn in context]):
            assert not held(key, SHARES[name]), key
    for item in asked[name]:
        context = [turn.content for turn in item.turns]
        for key in keys(name, context[-1], item.answer, context):
            assert held(key, SHARES[name]), key


def test_of_what_sounds_harmful_one_verb_of_each_thing_is_held_out(told, asked):
    for row in told["harmless"]:
        ((verb, thing),) = keys("harmless", row.turns[0].content, "")
        assert verb in HARMLESS[thing][0][:-1]
    for item in asked["harmless"]:
        ((verb, thing),) = keys("harmless", item.turns[0].content, "")
        assert verb == HARMLESS[thing][0][-1]


def test_no_sum_of_a_sheet_and_no_story_without_a_summary_is_held_out(told, asked):
    for line in itertools.chain(*(row.text.split("\n") for row in told["sums"] if row.text)):
        assert not held(*keys("sums", "", line), 0.15)
    for row in told["text"]:
        assert not held(f"story {' '.join(story_of(row.text))}", 0.15)
    for item in asked["text"]:
        assert held(f"story {' '.join(story_of(item.text))}", 0.15)
        assert item.group == " ".join(story_of(item.text))


def test_no_chain_is_told_of_a_person_of_whom_it_is_asked(world, told, asked):
    people = {person.name for person in world.people}

    def key(question, side):
        (found,) = {
            f"{fits(template, question)} {chain}"
            for chain, wordings in CHAINS.items()
            for template in wordings[side]
            if fits(template, question) in people
        }
        return found

    assert not any(held(key(row.turns[0].content, 0), 0.4) for row in told["hops"])
    assert all(held(key(item.turns[0].content, 1), 0.4) for item in asked["hops"])


def test_no_law_is_told_of_a_substance_of_which_it_is_asked(told, asked):
    def key(answer):
        name, law = re.fullmatch(r"(\w+) is a \w+\. .+\. So (?:an? \w+ of )?\w+ (.+)\.", answer).groups()
        (number,) = {LAW_NAMES.index(yes.split()[0]) for yes, no in LAW.values() if law in (yes, no)}
        return f"science {(name.lower(), number)}"

    assert not any(held(key(row.turns[1].content), 0.3) for row in told["laws"] if row.turns)
    assert all(held(key(item.answer), 0.3) for item in asked["laws"])


def test_no_form_is_told_of_facts_of_a_person_of_which_it_is_asked(world, told, asked):
    people = {person.name: person for person in world.people}

    def key(context, answer):
        order = " ".join(context)
        (name,) = {word for word in re.findall(r"\w+", context[-1]) if word in people}
        form = next(form for form in ("word", "sentence", "list", "json") if form in order.lower())
        if form in ("list", "json"):
            chosen = re.findall(r"\b(home|job|food|pet|instrument)\b(?=.* of )", context[-1])
        else:
            chosen = [
                relation.name
                for relation in RELATIONS["person"]
                for template in relation.asks
                if context[-1].startswith(template.format(s=name))
            ][:1]
        named = ["plays" if one == "instrument" else one for one in chosen]
        return f"{name} {form} {' '.join(sorted(named))}"

    for row in told["format"]:
        assert not held(key([turn.content for turn in row.turns[:-1]], row.turns[-1].content), 0.3)
    for item in asked["format"]:
        assert held(key([turn.content for turn in item.turns], item.answer), 0.3)


def test_no_subject_is_told_with_a_verb_of_which_it_is_asked(told, asked):
    singular = {plural_of(noun): noun for noun in NOUNS} | {noun: noun for noun in NOUNS}
    base = {THIRD.get(verb, f"{verb}s"): verb for verb in VERBS} | {verb: verb for verb in VERBS}

    def key(sentence):
        tokens = [word for word in sentence.removesuffix(".").split() if word in singular or word in base]
        verb = [word for word in tokens if word not in singular][-1]
        return f"{singular[tokens[0]]} {base[verb]}"

    for sentence in itertools.chain(*(row.text.split(". ") for row in told["agreement"])):
        assert not held(f"agree {key(sentence)}", 0.2)
    for item in asked["agreement"]:
        assert held(f"agree {key(item.choices[0])}", 0.2)
        assert item.group == key(item.choices[0])


def test_no_sum_that_is_asked_is_a_step_of_one_that_is_told(told, asked):
    steps = set(re.findall(r"\d+ [+-] \d+", "\n".join(row.text or row.turns[-1].content for row in told["sums"])))
    assert not [item for item in asked["sums"] if item.group in steps]
