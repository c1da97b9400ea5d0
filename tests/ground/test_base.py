import dataclasses
import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from holdfast.core.errors import HoldfastError
from holdfast.ground import base, sentences
from holdfast.ground.ask import ask
from holdfast.ground.sentences import World, text_of

SMALL = base.Settings(
    world=sentences.Settings(known=6, new=3, stories=20, held_stories=5, largest=3),
    vocabulary=400, hidden=32, layers=2, heads=2, intermediate=64, batch=4, steps=12, scored=16,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world():
    return World(0)


@pytest.fixture(scope="module")
def tokenizer(world):
    return base.build_tokenizer(world.pretraining(), base.Settings().vocabulary)


def test_the_first_twenty_steps_are_the_same_bits_for_the_same_seed(world, tokenizer):
    settings = base.Settings(batch=4, window=32)
    documents = base.encode(tokenizer, world.pretraining())
    models, losses = [], []
    for unrelated in (1, 2):
        torch.manual_seed(unrelated)
        models.append(base.build_model(settings, tokenizer, 0))
        said = []
        base.train(models[-1], documents, settings, 0, lambda step, total, loss, to=said: to.append(loss), until=20)
        losses.append(said)
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0] - 1
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_same_texts_give_the_same_tokens(world, tokenizer):
    again = base.build_tokenizer(World(0).pretraining(), base.Settings().vocabulary)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_the_demo_base_stays_small(tokenizer):
    assert base.build_model(base.Settings(), tokenizer, 0).num_parameters() <= 1_000_000


def test_tokens_give_the_text_back_and_digits_stand_alone(tokenizer):
    for text in ("Q: What is 12 plus 7?\nA: 19", "Zürich, naïve — 東京", "  two  blanks\n"):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text
    assert not [token for token in tokenizer.get_vocab() if len(token) > 1 and any(c.isdigit() for c in token)]


def test_a_prompt_and_its_completion_are_tokenised_apart_as_together(world, tokenizer):
    for row in world.task((0, 3))[::2] + world.keep()["statements"][::4] + world.keep()["sums"]:
        apart = tokenizer(row["prompt"])["input_ids"]
        apart += tokenizer(row["completion"], add_special_tokens=False)["input_ids"]
        assert tokenizer(row["prompt"] + row["completion"])["input_ids"] == apart


def test_a_base_is_built_once_and_loads(tmp_path):
    steps = []
    folder = base.load_or_build(tmp_path / "deep" / "base", 0, lambda *step: steps.append(step), SMALL)
    assert [step[:2] for step in steps] == [(i + 1, 12) for i in range(12)]
    about = json.loads((folder / "base.json").read_text())
    assert about["seed"] == 0
    assert set(about["held_out"]) == {"facts", "statements", "sums", "stories", "new"}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    assert base.scores(model.float(), tokenizer, World(0, SMALL.world), SMALL.scored) == about["held_out"]
    assert base.load_or_build(folder, 0, lambda *step: steps.append(step), SMALL) == folder
    assert len(steps) == 12
    base.load_or_build(folder, 1, lambda *step: steps.append(step), SMALL)
    assert len(steps) == 24
    assert [path.name for path in folder.parent.iterdir()] == ["base"]


def test_an_interrupted_build_leaves_nothing(tmp_path):
    def stop(step, total, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        base.load_or_build(tmp_path / "base", 0, stop, SMALL)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(HoldfastError, match="not a base of the demo"):
        base.load_or_build(tmp_path, 0, None, SMALL)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_other_settings_or_seeds_have_other_fingerprints():
    other = dataclasses.replace(SMALL, lr=1e-3)
    assert len({base.fingerprint(SMALL, 0), base.fingerprint(SMALL, 1), base.fingerprint(other, 0)}) == 3
    assert base.fingerprint(SMALL, 0) == base.fingerprint(dataclasses.replace(SMALL), 0)


def test_exact_means_that_greedy_decoding_says_it_and_stops(tokenizer):
    settings = dataclasses.replace(SMALL, steps=150, lr=1e-2)
    world = World(0, settings.world)
    model = base.build_model(settings, tokenizer, 0)
    base.train(model, base.encode(tokenizer, [text_of(row) for row in world.known_rows()]), settings, 0)
    rows = world.known_rows()[::3] + world.keep()["facts"][:10]
    answers, said = ask(model, tokenizer, rows), []
    for row in rows:
        ids = torch.tensor([tokenizer(row["prompt"])["input_ids"]])
        wanted = [*tokenizer(row["completion"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        mask = torch.ones_like(ids)
        out = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=len(wanted))
        said.append(out[0, ids.shape[1] :].tolist() == wanted)
    assert list(answers.exact) == said
    assert 0 < answers.exact_match < 1
    assert ask(model, tokenizer, rows, batch=1).nats == pytest.approx(answers.nats, abs=1e-4)
