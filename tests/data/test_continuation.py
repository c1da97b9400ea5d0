"""Where an answer stands among the tokens of a prompt and the answer."""

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.continuation import continuation
from holdfast.data.rows import Row, Turn
from tests.data import conftest as templates


def asked(prompt, answer):
    return Row(turns=(Turn("user", prompt, False), Turn("assistant", answer)), origin="a:1")


def parts(row, tokenizer, **options):
    found = continuation(row, tokenizer, **options)
    return tokenizer.decode(found.ids[: found.start]), tokenizer.decode(found.ids[found.start :])


def test_nothing_stands_behind_the_answer(make_tokenizer):
    for eos_by_habit in (False, True):
        plain = make_tokenizer(bos=True, eos_by_habit=eos_by_habit)
        assert parts(asked("Hi:", "yes"), plain) == ("<s>Hi:", " yes")
        assert parts(Row(text="Hi yes"), plain) == ("<s>", "Hi yes")
        assert parts(Row(prompt="Hi:", completion="yes"), plain) == ("<s>Hi:", "yes")
        assert parts(Row(prompt="Hi", completion="yes", joint="\n"), plain) == ("<s>Hi", "\nyes")
    chatml = make_tokenizer(templates.CHATML)
    given = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert parts(asked("Hi", "yes"), chatml) == (given, "yes")
    assert parts(asked("Hi", "yes"), chatml, raw=True) == ("Hi", " yes")
    assert parts(Row(text="Hi yes"), chatml) == ("", "Hi yes")


def test_white_space_at_the_end_of_a_prompt_belongs_to_the_answer_without_a_template(make_tokenizer):
    plain = make_tokenizer()
    assert parts(asked("Hi: ", "yes"), plain) == ("Hi:", " yes")
    assert parts(asked("Hi:\n\n", "yes"), plain) == ("Hi:", "\n\nyes")
    assert parts(asked("Hi:", " yes"), plain) == ("Hi:", " yes")
    assert parts(asked("", "yes"), plain) == ("", "yes")


def test_the_last_answer_of_a_conversation_is_meant(make_tokenizer):
    turns = (Turn("user", "u"), Turn("assistant", "yes", False), Turn("user", "v"), Turn("assistant", "yes"))
    row = Row(turns=turns, origin="a:1")
    assert parts(row, make_tokenizer()) == ("user: u\nassistant: yes\nuser: v\nassistant:", " yes")
    given, said = parts(row, make_tokenizer(templates.CHATML))
    assert given.endswith("v<|im_end|>\n<|im_start|>assistant\n")
    assert said == "yes"


def test_an_answer_in_other_words_is_named(make_tokenizer):
    tokenizer = make_tokenizer("{% for m in messages %}{{ m.content | replace('oh', 'ah') }} {% endfor %}")
    with pytest.raises(HoldfastError, match=r"^a:1: the chat template changes the words of the answer 'oh yes'"):
        continuation(asked("Hi", "oh yes"), tokenizer)
