"""The tokenizer of a world: what pretraining reads is what the chat template writes."""

import itertools
import re

import pytest

from holdfast.data.tokenization import tokenize
from holdfast.ground.corpus import documents, lessons
from holdfast.ground.lesson import talk
from holdfast.ground.tokenizer import BOS, EOS, PAD, ROLES, build_tokenizer, encode
from holdfast.ground.world import World, rng_of


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(World(0), 512, sample=1500)


@pytest.fixture(scope="module")
def rows():
    return [row for _, row in itertools.islice(documents(lessons(World(0)), rng_of(0, "x")), 300)]


def messages(row, count=None):
    return [{"role": turn.role, "content": turn.content} for turn in row.turns[:count]]


def test_what_is_encoded_is_what_the_template_writes_and_the_assistant_says(tokenizer, rows):
    talks = [row for row in rows if row.turns]
    assert len(talks) > 150
    assert any(row.turns[0].role == "system" for row in talks)
    assert any(len(row.turns) > 3 for row in talks)
    for row, (ids, said) in zip(talks, encode(tokenizer, talks), strict=True):
        made = tokenizer.apply_chat_template(
            messages(row), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        assert made["input_ids"] == ids
        assert [bool(one) for one in made["assistant_masks"]] == said


def test_talks_and_documents_come_back_in_their_order(tokenizer, rows):
    alone = [encode(tokenizer, [row])[0] for row in rows]
    assert encode(tokenizer, rows) == alone
    assert encode(tokenizer, []) == []
    assert {bool(row.turns) for row in rows[:20]} == {True, False}


def test_a_document_begins_and_ends_and_is_learned_whole(tokenizer, rows):
    for row in rows:
        if row.text:
            ((ids, said),) = encode(tokenizer, [row])
            assert ids == [tokenizer.bos_token_id, *tokenizer(row.text, add_special_tokens=False)["input_ids"],
                           tokenizer.eos_token_id]  # fmt: skip
            assert said == [False] + [True] * (len(ids) - 1)
            assert tokenizer(row.text)["input_ids"] == ids[:-1]


def test_fine_tuning_reads_rows_as_pretraining_did(tokenizer, rows):
    prepared = tokenize(rows[:60], tokenizer, max_length=512)
    for example, (ids, said) in zip(prepared.examples, encode(tokenizer, rows[:60]), strict=True):
        assert list(example.input_ids) == ids
        assert [label >= 0 for label in example.labels][1:] == said[1:]


def test_the_prompt_alone_is_the_beginning_of_the_whole(tokenizer, rows):
    for row in rows:
        if row.turns:
            ((ids, said),) = encode(tokenizer, [row])
            start = tokenizer.apply_chat_template(
                messages(row, -1), tokenize=True, return_dict=True, add_generation_prompt=True
            )["input_ids"]
            assert ids[: len(start)] == start
            assert start[-1] == tokenizer.convert_tokens_to_ids(ROLES["assistant"])
            assert all(said[len(start) :])
            assert len(ids) > len(start) + 1


def test_every_digit_stands_alone(tokenizer):
    found = tokenizer.convert_ids_to_tokens(tokenizer(" 1907 + 48 = 1955.", add_special_tokens=False)["input_ids"])
    assert [token for token in found if re.search(r"\d", token)] == list("1907481955")
    assert not [token for token in tokenizer.get_vocab() if re.search(r"\d", token) and not re.fullmatch(r"\d", token)]


def test_what_is_encoded_can_be_read_again(tokenizer, rows):
    for row in rows:
        ((ids, _),) = encode(tokenizer, [row])
        text = tokenizer.decode(ids, skip_special_tokens=True)
        assert text == (row.text or " " + " ".join(row.contents))
    for text in ("Wörter, die nie gelesen wurden: 日本", "a\tb\n\n  c", '{"x": [1]}'):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_special_tokens_are_one_token_each_and_of_their_roles(tokenizer):
    assert [tokenizer.convert_tokens_to_ids(token) for token in (PAD, BOS, EOS, *ROLES.values())] == list(range(6))
    assert (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token) == (PAD, BOS, EOS)
    ((ids, said),) = encode(tokenizer, [talk("Who?", "Me.", "And?", "You.", system="Be brief.")])
    heads = [ids.index(tokenizer.convert_tokens_to_ids(ROLES[role])) for role in ("system", "user", "assistant")]
    assert heads[0] == 1
    assert heads == sorted(heads)
    assert sum(said) == len([i for i in ids if i == tokenizer.eos_token_id]) + sum(
        len(tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]) for answer in ("Me.", "You.")
    )


def test_another_role_is_refused(tokenizer):
    with pytest.raises(Exception, match="the roles are system, user and assistant"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_the_same_world_gives_the_same_tokenizer_and_another_world_another(tokenizer):
    again, other = (build_tokenizer(World(seed), 512, sample=1500) for seed in (0, 1))
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert other.backend_tokenizer.to_str() != tokenizer.backend_tokenizer.to_str()
    assert len(tokenizer) == len(other) == 512


def test_a_word_is_the_same_token_where_an_answer_begins_and_in_the_middle(tokenizer):
    ((ids, said),) = encode(tokenizer, [talk("Who?", "The fox saw The fox")])
    words = tokenizer.convert_ids_to_tokens([i for i, own in zip(ids, said, strict=True) if own])
    assert words[0] == words[words.index("ĠThe", 1)] == "ĠThe"
