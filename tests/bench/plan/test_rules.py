"""The rules of a plan: each fires in a case and is silent in another, and its figures are those of the study."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.bench.plan.advice import advise
from holdfast.bench.plan.check.lints import LINTS
from holdfast.bench.plan.evidence import EVIDENCE, TOPICS, applying, heading
from holdfast.bench.plan.recipes import recipe_text
from holdfast.bench.plan.rules.table import RULES
from holdfast.bench.plan.rules.training import adapter_rate, full_rate, rank_for
from holdfast.bench.plan.situation import Situation
from holdfast.recipe import parse

ROOT = Path(__file__).parents[3]
TABLES = (ROOT / "docs/studies/effect-tables.md").read_text(encoding="utf-8")

SMALL = Situation(parameters=2_800_000, rows=600, tokens=9000, kind="full", old=True, kept=2000)
SMALL_ALONE = Situation(parameters=2_800_000, rows=5000, tokens=10**6)
BIG = Situation(parameters=8 * 10**9, rows=5000, tokens=10**6, kind="adapter", chat=True, per_rank=2_600_000)
NO_ROOM = {"full": 10**12, "adapter": 10**12}
TIGHT = {"full": 10**12, "adapter": 10**9}

CASES = {
    "all weights, old examples and a penalty to the base": (SMALL, BIG),
    "an adapter with the penalty on larger models": (BIG, SMALL),
    "an adapter where memory is short": (dataclasses.replace(SMALL, needed=TIGHT, free=10**10), SMALL),
    "4-bit weights where an adapter does not fit": (
        dataclasses.replace(BIG, needed=NO_ROOM, free=10**10, gpu=True),
        dataclasses.replace(BIG, needed=NO_ROOM, free=10**10),
    ),
    "nothing fits": (dataclasses.replace(BIG, needed=NO_ROOM, free=10**10), BIG),
    "an adapter is trained further": (dataclasses.replace(SMALL, is_adapter=True), SMALL),
    "LoRA first, full fine-tuning with rehearsal second, never full without": (
        SMALL,
        dataclasses.replace(SMALL, is_adapter=True),
    ),
    "LoRA forgets less than full training": (SMALL, dataclasses.replace(SMALL, is_adapter=True)),
    "a new language or style needs all weights": (BIG, SMALL),
    "Mask-the-Target holds adapters of real models": (BIG, SMALL),
    "variants of LoRA are alike once the rate is tuned": (BIG, SMALL),
    "QLoRA with clipping and dropout": (dataclasses.replace(BIG, kind="qlora"), BIG),
    "the starter": (SMALL, dataclasses.replace(SMALL, is_adapter=True)),
    "a quarter of the best plain rate": (SMALL, BIG),
    "between what is measured and what people read": (dataclasses.replace(SMALL, parameters=270 * 10**6), SMALL),
    "half of 2e-5": (dataclasses.replace(BIG, kind="full"), BIG),
    "half of 5e-6": (dataclasses.replace(BIG, kind="full", parameters=70 * 10**9), BIG),
    "an adapter takes ten times the rate": (BIG, SMALL),
    "an adapter takes ten times the rate on small models": (dataclasses.replace(SMALL, kind="adapter"), SMALL),
    "few rows, small batch": (dataclasses.replace(SMALL, rows=10), SMALL),
    "8 to 32 rows": (SMALL, dataclasses.replace(SMALL, rows=10)),
    "64 to 128 rows for large models": (dataclasses.replace(BIG, kind="full", parameters=70 * 10**9), BIG),
    "500 steps of warm-up": (SMALL, dataclasses.replace(SMALL, rows=10**6)),
    "all layers train": (SMALL, BIG),
    "an adapter on all linear layers": (BIG, SMALL),
    "freeze 80-90% of the layers": (SMALL, BIG),
    "layer-wise decay of .95-.96": (SMALL, BIG),
    "a rank that holds the data": (BIG, SMALL),
    "LoRA of rank 8 first": (BIG, SMALL),
    "the old examples that you have": (SMALL, BIG),
    "half of the tokens are old": (SMALL, BIG),
    "a tenth of the tokens are answers of the base": (BIG, dataclasses.replace(BIG, old=True)),
    "the base writes them": (SMALL_ALONE, BIG),
    "the base answers prompts": (dataclasses.replace(BIG, chat=False), SMALL_ALONE),
    "samples of the model rehearse nearly as well as real data": (BIG, SMALL),
    "own samples can hurt an instruction model": (BIG, SMALL),
    "rehearse the model's own refusals": (BIG, dataclasses.replace(SMALL, chat=True)),
    "take copies out": (dataclasses.replace(SMALL, copies=0.1), SMALL),
    "do not clean too much": (dataclasses.replace(SMALL, contradictions=0.2), SMALL),
    "15 to 22% of wrong labels are tolerable": (dataclasses.replace(SMALL, contradictions=0.2), SMALL),
    "clean the rows first": (dataclasses.replace(SMALL, conflicts=0.4, surprise=0.5), SMALL),
    "very few rows": (dataclasses.replace(SMALL, rows=10), SMALL),
    "the base knows the data already": (dataclasses.replace(SMALL, surprise=0.01), SMALL),
    "measure what may be lost": (BIG, SMALL),
    "enough items for the budget": (
        dataclasses.replace(SMALL, points=2.0, kept=100),
        dataclasses.replace(SMALL, points=2.0),
    ),
    "enough items for the budget of a larger model": (
        dataclasses.replace(BIG, points=2.0, kept=1800),
        dataclasses.replace(SMALL, points=2.0, kept=1800),
    ),
    "behaviour before facts": (BIG, SMALL),
}
"""A situation in which each rule applies, and one in which it does not."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_fires_in_a_case_and_is_silent_in_another(rule):
    if rule.when == "always":
        assert rule.name not in CASES
        assert all(rule.applies(case) for pair in CASES.values() for case in pair)
        return
    fires, silent = CASES[rule.name]
    assert rule.applies(fires)
    assert not rule.applies(silent)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_whole(rule):
    assert rule.evidence in EVIDENCE
    assert rule.topic in TOPICS
    assert rule.source
    assert ("{value}" in rule.advice) <= (rule.value is not None)
    assert rule.standing in ("followed", "not tested") or rule.because, "what confirms or contradicts it?"
    if rule.evidence == "published":
        assert re.search(r"arXiv \d{4}\.\d{5}|20\d\d", rule.source)
    if rule.evidence == "measured here":
        assert (ROOT / rule.source).is_file()


def test_names_are_unique_and_every_case_is_of_a_rule():
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    assert set(CASES) <= set(names)


@pytest.mark.parametrize("read", [
    "2e-5", "1e-6 to 5e-5", "13B", "8 to 32", "64 to 128", "3 to 5", "beyond 7", "500 steps", "80 to 90%", "rank 8",
    ".95 to .96", "5 to 20%", "15 to 22%", "LoRA first", "10% of the data", "4 epochs", "1% old", "within 1-2%",
    "ten times",
])  # fmt: skip
def test_the_rules_that_people_read_are_there(read):
    assert any(read in rule.advice or read in rule.because for rule in RULES)


FIGURES = sorted({figure for part in (*RULES, *LINTS) for figure in part.figures}, key=repr)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.words())
def test_a_figure_is_that_of_the_study(figure):
    if figure.rate is not None:
        section = TABLES.partition(f"\n## {figure.task}, world {figure.world}\n")[2].partition("\n## ")[0]
        cells = re.search(rf"^\| {re.escape(figure.recipe)} \| .*{figure.rate:g}: .*$", section, re.MULTILINE)[0]
        cell = next(cell for cell in cells.split(" | ") if f"{figure.rate:g}: " in cell).partition(": ")[2]
    else:
        section = TABLES.partition(f"\n## All tasks, world {figure.world}\n")[2].partition("\n## ")[0]
        head = next(line for line in section.split("\n") if line.startswith("| learned / lost"))
        row = next(line for line in section.split("\n") if line.startswith(f"| {figure.recipe} |"))
        cell = row.split("|")[[name.strip() for name in head.split("|")].index(figure.task)]
    learned, lost = re.match(r" ?([\d.]+)\*? / ([\d.-]+)", cell).groups()
    assert (float(learned), float(lost)) == (figure.learned, figure.lost)


SITUATIONS = st.builds(
    Situation,
    parameters=st.integers(10**5, 2 * 10**12),
    rows=st.integers(1, 10**6),
    tokens=st.integers(1, 10**9),
    is_adapter=st.booleans(),
    chat=st.booleans(),
    old=st.booleans(),
    vocabulary=st.sampled_from([1536, 262_144]),
    divergence=st.none() | st.floats(0, 1),
    conflicts=st.none() | st.floats(0, 1),
    kept=st.integers(0, 3000),
    points=st.none() | st.floats(0.1, 10),
    needed=st.dictionaries(st.sampled_from(["full", "adapter", "qlora"]), st.integers(1, 10**13)),
    free=st.integers(1, 10**13),
    gpu=st.booleans(),
    per_rank=st.integers(1, 10**8),
)


@given(SITUATIONS)
def test_every_situation_gets_one_recipe_and_one_value_of_each_setting(case):
    advice = advise(case)
    setting = [rule for rule in applying(RULES, case, "recipe") if rule.value is not None]
    assert len(setting) == 1
    for topic in ("rate", "batch", "epochs", "warm-up", "rehearsal", "old examples"):
        assert topic in advice.values
    assert ("rank" in advice.values) == (advice.kind in ("adapter", "qlora"))
    assert 0 < advice.values["rate"] < 0.01
    assert 1 <= advice.values["batch"] <= 64
    assert all(row.advice and "{" not in row.advice for row in advice.rows)
    text = advice.recipe(("old",) if case.old else ())
    assert (text == "") == (advice.kind == "none")
    if text:
        assert parse(text) == parse(repr(parse(text)))
    parse(advice.plain())


@given(SITUATIONS)
def test_an_advised_kind_fits_into_memory(case):
    advice = advise(case)
    if advice.kind in ("full", "adapter") and not case.is_adapter:
        assert case.fits(advice.kind)


def test_the_strongest_rule_sets_the_value():
    chosen = heading(RULES, SMALL, "rate")
    assert chosen.evidence == "measured here"
    kinds = [EVIDENCE.index(rule.evidence) for rule in applying(RULES, SMALL)]
    assert kinds == sorted(kinds)


def test_rates_follow_the_size():
    assert full_rate(2_800_000) == 2.5e-4
    assert full_rate(8 * 10**9) == 1e-5
    assert full_rate(70 * 10**9) == 2.5e-6
    rates = [full_rate(size) for size in (10**7, 10**8, 5 * 10**8, 10**9, 10**12)]
    assert rates == sorted(rates, reverse=True)
    assert adapter_rate(8 * 10**9) == pytest.approx(1e-4)


def test_the_rank_grows_with_the_data():
    assert rank_for(dataclasses.replace(BIG, tokens=10**6)) == 16
    assert rank_for(dataclasses.replace(BIG, tokens=10**8)) == 64
    assert rank_for(dataclasses.replace(BIG, tokens=10**12)) == 256


def test_the_rank_fits_into_memory_beside_the_rest_of_the_training():
    much = dataclasses.replace(BIG, tokens=10**12, needed={"adapter": 40 * 10**9, "qlora": 12 * 10**9})
    assert rank_for(dataclasses.replace(much, free=60 * 10**9)) == 256
    assert rank_for(dataclasses.replace(much, free=50 * 10**9)) == 128
    assert rank_for(dataclasses.replace(much, free=45 * 10**9)) == 16
    assert rank_for(dataclasses.replace(much, free=24 * 10**9)) == 16, "the rule on the recipe says what does not fit"
    assert rank_for(dataclasses.replace(much, free=24 * 10**9, kind="qlora")) == 128


def test_far_data_needs_all_weights_unless_the_vocabulary_is_too_large_to_tell():
    far = dataclasses.replace(BIG, divergence=0.6, vocabulary=1536)
    assert advise(far).kind == "full"
    assert advise(dataclasses.replace(far, divergence=0.4)).kind == "adapter"
    assert advise(dataclasses.replace(far, vocabulary=262_144)).kind == "adapter"


def test_the_rule_that_sets_a_value_comes_first():
    for case in (SMALL, BIG, dataclasses.replace(SMALL, parameters=270 * 10**6)):
        rows = [row for row in advise(case).rows if row.topic == "rate"]
        assert rows[0].advice[0].isdigit()


def test_a_real_model_rehearses_its_own_answers_and_a_chat_model_its_refusals_too():
    assert advise(BIG).recipe([]).endswith("prompts=True)")
    assert advise(BIG).recipe(["mine"]).endswith("prompts=True)")
    assert advise(dataclasses.replace(BIG, chat=False)).recipe([]) == advise(BIG).recipe([])
    assert advise(dataclasses.replace(BIG, chat=False)).values["rehearsal"] == 0.1
    by_topic = {topic: [r for r in advise(BIG).rows if r.topic == topic] for topic in ("rehearsal", "old examples")}
    assert by_topic["rehearsal"][0].advice.startswith("a share of 0.15 of the learned tokens")
    assert by_topic["old examples"][0].advice.startswith("the base answers 100 everyday prompts")
    assert advise(dataclasses.replace(BIG, old=True)).values["rehearsal"] == 0.5
    wide = recipe_text("adapter", rank=64, prompts=True)
    assert wide == "LoRA(rank=64) + WSD() + BaseKL(on='memory') + PromptRehearsal() + RefusalRehearsal()"
    assert "PromptRehearsal" not in recipe_text("adapter", ["mine"], rank=64, prompts=True)
    assert "prompts" not in advise(dataclasses.replace(SMALL, chat=True)).recipe([])
