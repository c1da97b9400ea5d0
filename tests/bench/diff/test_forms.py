"""Two models that do not read the same: other tokens, or another chat template."""

from __future__ import annotations

import json

import pytest
import tokenizers
import transformers
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.given.specs import DiffSpec
from holdfast.core.errors import HoldfastError
from tests import tiny

WORDS = [f"t{n}" for n in range(20, 40)]


def saved(folder, tokenizer, vocabulary=tiny.VOCABULARY):
    tiny.tiny("llama", vocab_size=vocabulary).float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def with_vocabulary(change):
    """The usual tokenizer with other tokens."""
    usual = tiny.tokenizer()
    content = json.loads(usual.backend_tokenizer.to_str())
    content["model"]["vocab"] = change(content["model"]["vocab"])
    made = tokenizers.Tokenizer.from_str(json.dumps(content))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **usual.special_tokens_map)


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture
def base(tmp_path):
    return saved(tmp_path / "base", tiny.tokenizer())


def test_rows_are_not_read_as_the_tokens_of_another_model(tmp_path, base):
    """Of equal weights with other words for them, nothing is lost token by token, and everything in words."""
    moved = with_vocabulary(
        lambda words: {w: n if n < 10 else 10 + (n - 3) % (len(words) - 10) for w, n in words.items()}
    )
    tuned = saved(tmp_path / "tuned", moved)
    rows = lines(tmp_path / "rows.jsonl", [{"prompt": word, "completion": "t50 t51"} for word in WORDS])
    with pytest.raises(
        HoldfastError, match=r"^rows: rows are scored token by token, and .*tuned has other tokens than"
    ):
        diff(DiffSpec(base=base, tuned=tuned, keep=(rows,)), Console(quiet=True))
    texts = lines(
        tmp_path / "texts.jsonl", [{"id": word, "suite": "texts", "text": f"{word} t50 t51"} for word in WORDS]
    )
    (row,) = diff(DiffSpec(base=base, tuned=tuned, keep=(texts,)), Console(quiet=True)).suites
    assert row.change != 0.0


def test_added_tokens_change_no_row(tmp_path, base):
    tuned = saved(tmp_path / "tuned", with_vocabulary(lambda words: {**words, "more": len(words)}), 62)
    rows = lines(tmp_path / "rows.jsonl", [{"prompt": word, "completion": "t50 t51"} for word in WORDS])
    assert diff(DiffSpec(base=base, tuned=tuned, keep=(rows,)), Console(quiet=True)).suites[0].items == len(WORDS)


TEMPLATE = (
    "{% for m in messages %}t1 {{ m.content }} t2 {% endfor %}{% if add_generation_prompt %}t3 {% endif %}"  # markers
)


@pytest.mark.parametrize(
    ("templates", "raw", "said"),
    [
        (("", TEMPLATE), False, "20 of 20 questions in other words, because only TUNED has a chat template"),
        ((TEMPLATE, TEMPLATE.replace("t1", "t4")), False, "because their chat templates differ"),
        ((TEMPLATE, TEMPLATE.replace("}t1", "}{# the same #}t1")), False, ""),
        (("", TEMPLATE), True, ""),
        (("", ""), False, ""),
    ],
)
def test_questions_in_two_forms_are_said(tmp_path, capsys, templates, raw, said):
    models = []
    for name, template in zip(("BASE", "TUNED"), templates, strict=True):
        tokenizer = tiny.tokenizer()
        tokenizer.chat_template = template or None
        models.append(saved(tmp_path / name, tokenizer))
    items = [
        {"id": word, "suite": "old", "prompt": word, "check": {"lacks": "none"}, "max_tokens": 2} for word in WORDS
    ]
    kept = lines(tmp_path / "kept.jsonl", items)
    diff(DiffSpec(base=models[0], tuned=models[1], keep=(kept,), raw=raw), Console(stderr=True, width=10_000))
    err = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert ("The two models read" in err) == bool(said)
    assert said in err
