"""Pretraining: the same seed gives the same weights, bit for bit, interrupted or not."""

import dataclasses
import itertools
import json
import re

import pytest
import torch
from torch.nn import functional as F

from holdfast.ground import pretrain
from holdfast.ground.corpus import documents, lessons
from holdfast.ground.lesson import Lesson, talk
from holdfast.ground.pretrain import Course
from holdfast.ground.tokenizer import build_tokenizer, encode
from holdfast.ground.world import World, rng_of

SMALL = pretrain.Settings(
    vocabulary=480,
    hidden=32,
    layers=1,
    heads=2,
    intermediate=64,
    batch=4,
    courses=(Course(70, 2e-3, 10, 30), Course(30, 1e-3, 5, 20, {"lists": 40.0})),
)


@pytest.fixture(scope="module")
def known():
    return lessons(World(0))


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(World(0), SMALL.vocabulary, sample=1500)


@pytest.fixture(scope="module")
def trained(known, tokenizer):
    """A model after all steps, and the loss of each."""
    return run(known, tokenizer)


def run(known, tokenizer, settings=SMALL, unrelated=1, **given):
    losses = []
    torch.manual_seed(unrelated)
    model = pretrain.build_model(settings, tokenizer, 0)

    def progress(step, total, loss):
        assert total == settings.steps
        losses.append((step, loss))

    pretrain.train(model, tokenizer, known, settings, 0, progress=progress, **given)
    return model, losses


def equal(one, other):
    pairs = zip(one.named_parameters(), other.named_parameters(), strict=True)
    return all(name == same and torch.equal(p, q) for (name, p), (same, q) in pairs)


def test_the_first_hundred_steps_are_the_same_bits_for_the_same_seed(known, tokenizer, trained):
    model, losses = run(known, tokenizer, unrelated=2)
    assert losses == trained[1]
    assert [step for step, _ in losses] == list(range(1, 101))
    assert equal(model, trained[0])
    assert losses[-1][1] < losses[0][1] - 1
    assert not model.training


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bits_and_the_same_log(known, tokenizer, trained, tmp_path):
    run(known, tokenizer, folder=tmp_path, every=20, until=45)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 45
    model, losses = run(known, tokenizer, unrelated=3, folder=tmp_path, every=20)
    assert losses == trained[1][40:]
    assert equal(model, trained[0])
    said = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert said == [{"step": step, "loss": round(loss, 5)} for step, loss in trained[1]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.safetensors", "log.jsonl"]


def test_a_finished_run_is_not_trained_further(known, tokenizer, tmp_path):
    settings = dataclasses.replace(SMALL, courses=(Course(2, 2e-3, 1, 1), Course(2, 1e-3, 1, 1)))
    one, _ = run(known, tokenizer, settings, folder=tmp_path, every=2)
    again, losses = run(known, tokenizer, settings, folder=tmp_path, every=2)
    assert losses == []
    assert equal(one, again)


def test_another_seed_gives_another_model(tokenizer):
    one, other = (pretrain.build_model(SMALL, tokenizer, seed) for seed in (0, 1))
    assert not equal(one, other)
    assert {p.dtype for p in one.parameters()} == {torch.float32}


def test_building_a_model_leaves_the_random_state_as_it_was(tokenizer):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    pretrain.build_model(SMALL, tokenizer, 0)
    assert torch.equal(torch.rand(3), wanted)


def test_the_rows_of_a_step_depend_on_seed_and_step_only(known, tokenizer):
    def rows(seed, step):
        return pretrain.rows(lessons(World(0)), tokenizer, SMALL, seed, step)

    first = rows(0, 7)
    rows(0, 8)
    for one, again in zip(first, pretrain.rows(known, tokenizer, SMALL, 0, 7), strict=True):
        assert torch.equal(one, again)
    assert not torch.equal(first[0], rows(0, 8)[0])
    assert not torch.equal(first[0], rows(1, 7)[0])
    assert (first[0].dtype, first[1].dtype) == (torch.int64, torch.float32)
    assert first[0].shape == first[1].shape == (SMALL.batch, SMALL.window)


def test_no_document_is_cut_and_nothing_else_stands_in_the_rows(known, tokenizer):
    for step in range(6):
        stream = itertools.islice(documents(known, rng_of(0, f"step {step}")), 200)
        made = [ids for ids, _ in encode(tokenizer, [row for _, row in stream])]
        ids_BT, weights_BT = pretrain.rows(known, tokenizer, SMALL, 0, step)
        at = 0
        for ids, weights in zip(ids_BT.tolist(), weights_BT.tolist(), strict=True):
            found = ids[: max((i + 1 for i, one in enumerate(ids) if one != tokenizer.pad_token_id), default=0)]
            starts = [i for i, one in enumerate(found) if one == tokenizer.bos_token_id] + [len(found)]
            assert starts[0] == 0
            for start, end in itertools.pairwise(starts):
                assert found[start:end] in made
                assert weights[start] == 0
                at += 1
            assert not any(weights[len(found) :])
        assert at > 5
        share = (ids_BT != tokenizer.pad_token_id).float().mean()
        assert share > 0.7


def test_what_the_assistant_says_weighs_one_and_what_it_is_told_a_tenth(tokenizer):
    class One(Lesson):
        suite, shows, share = "one", "one", 1.0

        def tell(self, rng):
            return talk("Who is there?", "A small fox.", system="Be brief.")

        def ask(self, rng):
            raise NotImplementedError

    settings = dataclasses.replace(SMALL, batch=2)
    one = One(World(0))
    ids_BT, weights_BT = pretrain.rows({"one": one}, tokenizer, settings, 0, 0)
    ((ids, said),) = encode(tokenizer, [one.tell(None)])
    wanted = [0.0] + [1.0 if own else 0.1 for own in said[1:]]
    copies = settings.window // len(ids)
    assert copies >= 2
    for row, weights in zip(ids_BT.tolist(), weights_BT.tolist(), strict=True):
        assert row[: copies * len(ids)] == ids * copies
        assert weights[: copies * len(ids)] == pytest.approx(wanted * copies)
        assert set(row[copies * len(ids) :]) <= {tokenizer.pad_token_id}
        assert not any(weights[copies * len(ids) :])


def test_the_loss_is_the_weighted_mean_over_the_tokens_of_a_step(known, tokenizer, trained):
    model = pretrain.build_model(SMALL, tokenizer, 0)
    ids_BT, weights_BT = pretrain.rows(known, tokenizer, SMALL, 0, 0)
    total = weight = 0.0
    with torch.no_grad():
        logits_BTV = model(input_ids=ids_BT).logits.double()
    for row in range(SMALL.batch):
        for at in range(1, SMALL.window):
            share = weights_BT[row, at].item()
            if share:
                total -= share * F.log_softmax(logits_BTV[row, at - 1], -1)[ids_BT[row, at]].item()
                weight += share
    assert trained[1][0][1] == pytest.approx(total / weight, abs=1e-4)


def test_the_rate_rises_stays_and_falls_in_straight_lines():
    settings = pretrain.Settings(courses=(Course(100, 1.0, 10, 20), Course(10, 0.5, 2, 5)))
    rates = [pretrain.rate(settings, step) for step in range(settings.steps)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[9:81] == [1.0] * 72
    assert rates[81:84] == pytest.approx([0.95, 0.9, 0.85])
    assert rates[99] == pytest.approx(0.05)
    assert rates[100:] == pytest.approx([0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert pretrain.rate(pretrain.Settings(courses=(Course(9, 1.0, 0, 0),)), 0) == 1.0
    assert pretrain.rate(pretrain.Settings(courses=(Course(9, 1.0, 0, 0),)), 8) == 1.0
    with pytest.raises(ValueError, match="only 110 steps"):
        pretrain.rate(settings, 110)


def test_a_course_may_have_shares_of_its_own(known, tokenizer):
    def lists(course):
        settings = dataclasses.replace(SMALL, batch=64, courses=(course,))
        ids_BT, _ = pretrain.rows(known, tokenizer, settings, 0, 0)
        return tokenizer.decode(ids_BT.flatten()).count("this list")

    assert lists(Course(1, 1e-3, 0, 0, {"lists": 500.0})) > 3 * lists(Course(1, 1e-3, 0, 0))
    assert lists(Course(1, 1e-3, 0, 0, {"lists": 0.0})) == 0


def test_settings_come_back_from_json():
    said = json.loads(json.dumps(dataclasses.asdict(SMALL)))
    assert pretrain.Settings.from_dict(said) == SMALL
    assert (
        pretrain.Settings.from_dict(json.loads(json.dumps(dataclasses.asdict(pretrain.Settings()))))
        == pretrain.Settings()
    )


def test_the_model_is_of_the_shape_that_is_asked_for(tokenizer):
    model = pretrain.build_model(SMALL, tokenizer, 0)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes["model.embed_tokens.weight"] == (480, 32)
    assert not [name for name in shapes if re.search("lm_head|bias", name)]
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert pretrain.build_model(dataclasses.replace(SMALL, layers=2), tokenizer, 0).num_parameters() > (
        model.num_parameters()
    )
