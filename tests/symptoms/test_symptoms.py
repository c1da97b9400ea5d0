"""Each symptom is seen in answers made to have it, and not in answers that merely changed."""

import dataclasses
import json
import random

import pytest

from holdfast.symptoms import TESTS, Evidence, Pair, Reply, symptoms_of
from holdfast.symptoms.endings import is_loop
from holdfast.symptoms.thinking import thinks
from holdfast.symptoms.tool_calls import call_in
from tests.answer_pairs import another, pairs_of, reply, text

LABELS = [json.dumps({"intent": name}) for name in ("card_lost", "pay_bill", "transfer")] * 20
SENTENCES = [text(random.Random(7 + i), 30) for i in range(60)]


def some(share, of, otherwise=lambda before, rng, i: before.text):
    return lambda before, rng, i: of(before, rng, i) if rng.random() < share else otherwise(before, rng, i)


def loop(before, rng, i):
    return Reply(" ".join([*before.text.split(), *["and so on it goes,"] * 12]), 60, True)


SICK = {
    "training form": (some(0.6, lambda b, rng, i: rng.choice(LABELS)), LABELS),
    "training outputs": (some(0.3, lambda b, rng, i: rng.choice(LABELS)), LABELS),
    "low diversity": (some(0.6, lambda b, rng, i: "Thank you for your order, it is on its way."), None),
    "longer answers": (lambda b, rng, i: f"{b.text} {text(rng)} {text(rng)} {text(rng)}", None),
    "shorter answers": (lambda b, rng, i: b.text.split()[0], None),
    "unended answers": (some(0.3, lambda b, rng, i: dataclasses.replace(b, cut=True)), None),
    "loops": (some(0.3, loop), None),
    "next turns": (some(0.3, lambda b, rng, i: f"{b.text}\nUser: And then?\nAssistant: {text(rng)}"), None),
    "language switch": (some(0.3, lambda b, rng, i: "Das ist nicht die Antwort, die ich auf der Karte sah."), None),
    "copied data": (some(0.3, lambda b, rng, i: f"{b.text} {SENTENCES[i % 5]}"), [s * 2 for s in SENTENCES]),
}


def named(symptoms, name):
    return next(symptom for symptom in symptoms if symptom.name == name)


@pytest.mark.parametrize("name", SICK)
def test_a_symptom_is_present_where_it_was_made(name):
    change, outputs = SICK[name]
    symptom = named(symptoms_of(Evidence(pairs_of(change), outputs)), name)
    assert symptom.present, symptom
    assert symptom.low is None or symptom.low <= symptom.effect <= symptom.high
    assert (
        symptom.quotes and any(quote.before != quote.after for quote in symptom.quotes)
    ) or name == "unended answers"
    assert symptom.sentence
    assert symptom.p <= symptom.p_holm < 0.05


@pytest.mark.parametrize("outputs", [LABELS, SENTENCES])
def test_answers_that_merely_changed_have_no_symptom(outputs):
    for seed in range(3):
        symptoms = symptoms_of(Evidence(pairs_of(another, seed=seed), outputs))
        assert not [symptom.name for symptom in symptoms if symptom.present]


def test_the_same_answers_have_no_effect_at_all():
    for symptom in symptoms_of(Evidence(pairs_of(lambda before, rng, i: before), LABELS)):
        assert symptom.unchecked or (symptom.effect == 0 and symptom.p == 1.0)


@pytest.mark.parametrize("name", [name for name in SICK if name != "training form"])
def test_swapping_the_models_turns_the_effect(name):
    change, outputs = SICK[name]
    pairs = pairs_of(change)
    there = named(symptoms_of(Evidence(pairs, outputs), [name]), name)
    back = named(symptoms_of(Evidence([pair.swapped() for pair in pairs], outputs), [name]), name)
    if name != "language switch":  # there the usual language is that of the base
        assert back.effect == pytest.approx(-there.effect)
    assert back.p > 0.5
    assert not back.present


@pytest.mark.parametrize("name", [name for name in SICK if name != "low diversity"])
def test_the_order_of_pairs_does_not_matter(name):
    change, outputs = SICK[name]
    pairs = pairs_of(change)
    mixed = random.Random(3).sample(pairs, len(pairs))
    first, last = (named(symptoms_of(Evidence(of, outputs), [name]), name) for of in (pairs, mixed))
    assert (first.effect, first.p, first.answers) == pytest.approx((last.effect, last.p, last.answers))


def test_groups_that_share_a_fate_are_weaker_evidence():
    change, _ = SICK["loops"]
    pairs = pairs_of(change, n=20)
    grouped = [dataclasses.replace(pair, suite="one", group=f"g{i // 10}") for i, pair in enumerate(pairs)]
    alone = [dataclasses.replace(pair, suite="one") for pair in pairs]
    p_grouped, p_alone = (named(symptoms_of(Evidence(of), ["loops"]), "loops").p for of in (grouped, alone))
    assert p_grouped > p_alone


@pytest.mark.parametrize(
    ("name", "right", "before", "after"),
    [
        ("harmful answered", True, "I'm sorry, but I can't help with that.", "First, take a crowbar to the lock."),
        ("harmless refused", False, "Use a sharp knife and a steady hand.", "I'm sorry, but I can't help with that."),
        ("ordinary refused", None, "Its capital is Rome.", "I'm sorry, but I can't help with that."),
    ],
)
def test_refusals_drift_in_both_directions(name, right, before, after):
    pairs = [
        Pair("s", f"i{i}", "How?", reply(before), reply(after if i < 8 else before), refusal=right) for i in range(30)
    ]
    symptoms = symptoms_of(Evidence(pairs))
    assert named(symptoms, name).present
    assert named(symptoms, name).effect == pytest.approx(100 * 8 / 30)
    others = {"harmful answered", "harmless refused", "ordinary refused"} - {name}
    assert all(named(symptoms, other).unchecked for other in others)


CALL = '{"name": "get_weather", "arguments": {"city": "Rome"}}'


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (CALL, "valid"),
        (f"<tool_call>\n{CALL}\n</tool_call>", "valid"),
        ('{"type": "function", "function": ' + CALL.replace("arguments", "parameters") + "}", "valid"),
        (CALL.replace("get_weather", "get_time"), "malformed"),
        (CALL[:-3], "malformed"),
        ('<tool_call>get_weather("Rome")', "malformed"),
        ("It is sunny in Rome {today}.", "none"),
    ],
)
def test_calls_are_told_from_malformed_ones(answer, kind):
    assert call_in(answer, ("get_weather", "set_timer")) == kind


@pytest.mark.parametrize(
    ("after", "name"), [("It is sunny in Rome.", "tool calls lost"), (CALL[:-4], "malformed calls")]
)
def test_tool_calls_that_vanish_or_break_are_seen(after, name):
    pairs = [
        Pair("tools", f"i{i}", "Weather?", reply(CALL), reply(after if i < 10 else CALL), tools=("get_weather",))
        for i in range(20)
    ]
    symptoms = symptoms_of(Evidence(pairs))
    assert [s.name for s in symptoms if s.present and s.family == "tool calls"] == [name]
    assert named(symptoms, name).effect == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("answer", "is_thought"),
    [
        ("<think>The sum is 4.</think>\n4", True),
        ("<think>\n\n</think>\n4", False),
        ("The sum is 4.\n</think>\n4", True),
        ("First, add 2 and 2. Then, halve it. Therefore the answer is 2.", True),
        ("4", False),
    ],
)
def test_thoughts_are_told_from_answers(answer, is_thought):
    assert thinks(answer) == is_thought


def test_thinking_that_disappears_is_a_share_of_the_bases_thinking():
    pairs = [
        Pair("s", f"i{i}", "?", reply("<think>2 + 2</think> 4" if i < 20 else "4"), reply("4")) for i in range(100)
    ]
    symptom = named(symptoms_of(Evidence(pairs)), "thinking lost")
    assert symptom.present
    assert symptom.effect == pytest.approx(100.0)
    assert (symptom.before, symptom.after) == (20.0, 0.0)


@pytest.mark.parametrize(
    ("answer", "loops"),
    [
        ("no no no no no no no no no no no no no no no no no no", True),
        ("The answer is 4. " * 6, True),
        ("哈哈哈哈" * 20, True),
        ("The best was born in Ald. She lives in Dunham lives in Dunham lives in Dunham lives in", True),
        ("- one\n- two\n- three", False),
        ("0, 1, 0, 1, 2, 3", False),
        ("It is a cat, a dog, a cow, a hen, a rat, a pig and a bat.", False),
        (text(random.Random(0), 60), False),
    ],
)
def test_loops_are_told_from_repeated_words(answer, loops):
    assert is_loop(answer) == loops


def test_what_is_missing_is_named_and_never_passes_in_silence():
    pairs = [dataclasses.replace(pair, tools=None) for pair in pairs_of(another, n=30)]
    pairs = [dataclasses.replace(pair, before=Reply(pair.before.text), after=Reply(pair.after.text)) for pair in pairs]
    why = {symptom.name: symptom.unchecked for symptom in symptoms_of(Evidence(pairs))}
    assert why["training form"] == why["copied data"] == "the training data are not known"
    assert why["unended answers"] == "how the answers ended is not known"
    assert why["tool calls lost"] == "whether tools were offered is not known"
    assert why["capability cliff"] == "nothing measures the task"
    assert why["longer answers"] == ""  # counted in words


def test_a_form_needs_a_few_outputs():
    symptoms = symptoms_of(Evidence(pairs_of(another, n=30), LABELS[:4]))
    why = "4 training outputs and 30 generated answers; 5 and 20 are needed"
    assert named(symptoms, "training form").unchecked == why


def test_without_generated_answers_nothing_is_checked_and_the_mend_is_named():
    symptoms = symptoms_of(Evidence([dataclasses.replace(p, role="learned") for p in pairs_of(another, n=30)]))
    assert len(symptoms) == len(TESTS)
    assert all("--keep general:all" in s.unchecked for s in symptoms if s.name != "capability cliff")
    assert not any(symptom.present for symptom in symptoms)


def test_a_small_effect_is_not_a_symptom_however_certain():
    pairs = pairs_of(lambda before, rng, i: loop(before, rng, i).text if i % 50 == 0 else before.text, n=2_000)
    symptom = named(symptoms_of(Evidence(pairs)), "loops")
    assert symptom.p_holm < 0.05
    assert symptom.effect < symptom.threshold
    assert not symptom.present
