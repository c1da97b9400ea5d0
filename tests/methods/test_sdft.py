"""New answers in the base's own words."""

from __future__ import annotations

import copy

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix
from holdfast.core.run import Run
from holdfast.methods.rehearsal import sdft as module
from holdfast.methods.rehearsal.sdft import SDFT, betrays, last_number
from holdfast.probes.demonstrations import Demonstration, behind_user, parts_of
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

END = 2


def base():
    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.ground.names import base_folder

    return load_model(str(base_folder())), load_tokenizer(str(base_folder()))


def run(model, tokenizer, examples, seed=0, limit=128):
    mix = Mix(tuple(examples)).with_memory("old", [Example((1, 5, 6), (1, 5, 6))], 0.2)
    return Run(model, mix, seed, 0, tokenizer=tokenizer, longest=lambda: limit, keep=lambda _, make: make())


def lessons(tokenizer, count=6):
    from holdfast.data.tokenization import tokenize
    from holdfast.ground.names import rows

    return tokenize(rows("people")[:count], tokenizer, max_length=128).examples


def test_an_example_is_taken_apart_and_put_together():
    example = Example((7, 8, 9, 10, END, 4), (-100, -100, 9, 10, END, -100))
    parts = parts_of(example, {END})
    assert (parts.prompt, parts.answer, parts.closing) == ((7, 8), (9, 10), (END, 4))
    assert parts.whole((11,), example.labels) == ((7, 8, 11, END, 4), (-100, -100, 11, END, -100))
    assert parts.whole(parts.answer, example.labels) == (example.input_ids, example.labels)
    cut = parts_of(Example((7, 9, 10), (-100, 9, 10)), {END})
    assert (cut.answer, cut.closing) == ((9, 10), ())
    for other in (
        Example((7, 8), (7, 8)),
        Example((7, 8), (-100, -100)),
        Example((7, 8, 9, 8), (-100, 8, -100, 8)),
        Example((7, END), (-100, END)),
        Example((7, 8, 7, 8), (-100, 8, 7, 8), lengths=(2, 2)),
    ):
        assert parts_of(other, {END}) is None


def test_the_answer_is_shown_in_the_users_turn():
    model, tokenizer = base()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Where is Ada?"}], add_generation_prompt=True, return_dict=False
    )
    answer = tuple(tokenizer("At home.", add_special_tokens=False)["input_ids"])
    found = tokenizer.decode(list(Demonstration.of(model, tokenizer, " Say:", " Now you.")(tuple(prompt), answer)))
    turn = tokenizer.decode(list(behind_user(tokenizer)))
    assert turn
    plain = tokenizer.decode(prompt)
    assert found == plain.removesuffix(turn) + tokenizer.decode(
        [*tokenizer(" Say:", add_special_tokens=False)["input_ids"], *answer,
         *tokenizer(" Now you.", add_special_tokens=False)["input_ids"]]
    ) + turn  # fmt: skip


@pytest.mark.parametrize(
    ("text", "bad"),
    [("The Reference Answer says", True), ("Your turn", True), ("It is your turn", False), ("Now it's your turn", True),
     ("blue", False)],
)  # fmt: skip
def test_what_speaks_of_how_it_came_about_is_found_as_the_authors_do(text, bad):
    assert betrays(text) is bad


@pytest.mark.parametrize(
    ("text", "number"), [("It is 1,234 of 5 or -7", "-7"), ("12,345", "12345"), ("none", None), ("3, 4", "4")]
)
def test_the_last_number_is_found(text, number):
    assert last_number(text) == number


def test_new_answers_are_what_the_base_says_when_shown_them_and_all_else_stays(monkeypatch):
    model, tokenizer = base()
    new = lessons(tokenizer)
    asked = []

    def says(_model, prompts, **settings):
        asked.extend(prompts)
        assert settings["temperature"] == 0.95
        assert settings["top_p"] == 0.7
        words = ["blue", "your response is", "blue " * 30, "blue"]
        said = [tokenizer(w, add_special_tokens=False)["input_ids"] for w in words]
        return [*said, [], [5] * settings["max_new_tokens"]]

    monkeypatch.setattr(module, "continued", says)
    mix = SDFT(length=64).mix_data(run(model, tokenizer, new))
    assert len(asked) == 6
    assert all(old.input_ids[0] == ids[0] for old, ids in zip(new, asked, strict=True))
    changed = [one is not old for one, old in zip(mix.examples, new, strict=False)]
    assert changed == [True, False, False, True, False, False]
    prompt = next(i for i, label in enumerate(new[0].labels) if label != -100)
    assert mix.examples[0].input_ids[:prompt] == tuple(new[0].input_ids[:prompt])
    learned = [label for label in mix.examples[0].labels if label != -100]
    assert tokenizer.decode(learned).startswith("blue")
    assert learned[-1] == [label for label in new[0].labels if label != -100][-1]
    assert mix.examples[6:] == run(model, tokenizer, new).mix.examples[6:]
    assert mix.names == ("old",)


def test_what_does_not_fit_or_has_another_number_stays(monkeypatch):
    model, tokenizer = base()
    new = lessons(tokenizer, 2)
    four = tokenizer("It is 4.", add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(module, "continued", lambda _, prompts, **__: [four] * len(prompts))
    for method, limit, count in (
        (SDFT(), 128, 2),
        (SDFT(check="number"), 128, 0),
        (SDFT(), len(new[0].input_ids) // 2, 0),
    ):
        mix = method.mix_data(run(model, tokenizer, new, limit=limit))
        assert sum(one is not old for one, old in zip(mix.examples, new, strict=False)) == count
    turning = [four * 4] * 2
    monkeypatch.setattr(module, "continued", lambda *_, **__: turning)
    for repeat, count in ((0.5, 0), (1.0, 2)):
        mix = SDFT(repeat=repeat).mix_data(run(model, tokenizer, new))
        assert sum(one is not old for one, old in zip(mix.examples, new, strict=False)) == count


def test_the_seed_of_the_run_decides_and_nothing_else():
    model, tokenizer = base()
    new = lessons(tokenizer, 4)
    method = SDFT(temperature=3.0, top_p=1.0, length=40, repeat=1.0)
    one, same, other = (method.mix_data(run(model, tokenizer, new, seed=seed)).examples for seed in (0, 0, 1))
    assert one == same != other


def test_examples_that_are_no_prompt_with_an_answer_are_refused():
    model, tokenizer = base()
    document = Example((1, 5, 6), (1, 5, 6))
    with pytest.raises(HoldfastError, match="no new example is a prompt followed by one answer"):
        SDFT().mix_data(run(model, tokenizer, [document]))
    with pytest.raises(HoldfastError, match="give the trainer its processing_class"):
        SDFT().mix_data(run(model, None, lessons(tokenizer)))


def test_the_trainer_is_given_the_rewritten_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "continued", lambda _, prompts, **__: [[5, 6]] * len(prompts))
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, tiny.rows(8))
    trainer.processing_class = tiny.tokenizer()
    data = copy.deepcopy(trainer.train_dataset)
    attach(trainer, SDFT(repeat=1.0, length=4))
    for i, row in enumerate(data):
        prompt = sum(label == -100 for label in row["labels"])
        ids = trainer.train_dataset[i]["input_ids"]
        assert list(ids[:prompt]) == row["input_ids"][:prompt]
        assert list(ids[prompt : prompt + 2]) == [5, 6]
        assert list(trainer.holdfast_mix.examples[i].input_ids) == list(ids)
    trainer.train()


def test_a_later_run_in_the_same_folder_rewrites_its_own_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "continued", lambda model, prompts, **how: [(9, 9)] * len(prompts))
    monkeypatch.setattr(module, "betrays", lambda text: False)
    for seed in (1, 2):  # as many rows, with other content
        data = tiny.rows(8, seed=seed)
        trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, data)
        trainer.processing_class = tiny.tokenizer()
        attach(trainer, SDFT(length=8))
        trainer.train()
        prompts = [tuple(example.input_ids[:3]) for example in trainer.holdfast_mix.examples]
        assert prompts == [tuple(row["input_ids"][:3]) for row in data]
