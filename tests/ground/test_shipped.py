"""The base that comes with the package is what its card says it is."""

import collections
import itertools
import json
from pathlib import Path

import pytest
import torch

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.ground import pretrain
from holdfast.ground.corpus import LESSONS, lessons
from holdfast.ground.names import BASE, base_folder, items
from holdfast.ground.tokenizer import build_tokenizer
from holdfast.ground.world import World
from holdfast.probes.answers import accuracy, ask


@pytest.fixture(scope="module")
def about():
    return json.loads((base_folder() / "base.json").read_text())


@pytest.fixture(scope="module")
def settings(about):
    return pretrain.Settings.from_dict(about["settings"])


def test_it_is_small(about):
    assert about["parameters"] <= 3_000_000
    assert (base_folder() / "model.safetensors").stat().st_size <= 12e6
    assert sum(path.stat().st_size for path in base_folder().iterdir()) <= 12e6


def test_it_answers_a_cut_of_each_suite_as_well_as_its_card_says(about):
    model, tokenizer = load_model(BASE), load_tokenizer(BASE)
    proof = collections.defaultdict(list)
    for item in items("suites/proof"):
        proof[item.suite].append(item)
    asked = [item for own in proof.values() for item in own[::70] if item.text is None]
    shares = accuracy(ask(model, tokenizer, asked))
    assert shares.keys() == {lesson.suite for lesson in LESSONS} - {"text"}
    for suite, share in shares.items():
        said = about["suites"][suite]
        expected = said.get("generate", said.get("choice"))["share"]
        # Fifteen items: far enough off to see a wrong template or broken weights, not to see a point.
        assert share >= expected - 0.35, suite
    overall = [said.get("generate", said.get("choice"))["share"] for said in about["suites"].values()]
    assert sum(shares.values()) / len(shares) >= sum(overall) / len(overall) - 0.06


def test_its_tokenizer_is_that_of_the_world(settings):
    made = build_tokenizer(World(0), settings.vocabulary)
    assert made.backend_tokenizer.to_str() == load_tokenizer(BASE).backend_tokenizer.to_str()


def test_a_build_begins_as_its_log_does(settings):
    log = Path(__file__).parents[2] / "benchmarks" / "ground" / "seed0" / "log.jsonl"
    logged = [json.loads(line)["loss"] for line in log.read_text().splitlines()]
    assert len(logged) == settings.steps
    world, tokenizer = World(0), load_tokenizer(BASE)
    model, losses = pretrain.build_model(settings, tokenizer, 0), []
    pretrain.train(
        model, tokenizer, lessons(world), settings, 0, until=4, progress=lambda step, total, loss: losses.append(loss)
    )
    # Other processors round otherwise; documents, first weights and rates are the same everywhere.
    assert losses == pytest.approx(logged[:4], abs=2e-3)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_every_token_of_the_vocabulary_can_be_read(settings):
    tokenizer = load_tokenizer(BASE)
    assert len(tokenizer) <= settings.vocabulary
    told = (row for _, row in itertools.islice(_documents(), 200))
    for row in told:
        for content in row.contents:
            assert tokenizer.decode(tokenizer(content, add_special_tokens=False)["input_ids"]) == content


def _documents():
    from holdfast.ground.corpus import documents
    from holdfast.ground.world import rng_of

    return documents(lessons(World(0)), rng_of(0, "shipped test"))
