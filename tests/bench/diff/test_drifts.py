"""What is read for the drift: items of every suite, as they are asked, with what the base answered."""

from __future__ import annotations

import pytest

from holdfast.bench.diff.drifts import READ, to_read
from holdfast.bench.given.specs import DiffSpec
from holdfast.data.rows import Turn
from holdfast.probes.items import Item
from holdfast.probes.score import Said
from holdfast.probes.suite import Suite
from holdfast.symptoms.wording import evenly
from tests import tiny


@pytest.mark.parametrize("count", [1, READ, READ + 1, 399, 900])
def test_what_is_read_reaches_from_the_first_to_the_last(count):
    chosen = evenly(range(count), READ)
    assert len(chosen) == len(set(chosen)) == min(count, READ)
    assert chosen[0] == 0
    assert chosen[-1] >= count - max(1, count / READ + 1)


def item(name, suite, **more):
    return Item(name, suite, turns=(Turn("user", "t20 t21"),), check={"lacks": "none"}, **more)


@pytest.mark.parametrize("template", ["", "{% for m in messages %}t4 {{ m.content }} t5 {% endfor %}"])
def test_items_are_read_as_they_are_asked_and_apart_from_those_of_other_suites(template):
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template or None
    items = [item("1", "a", plain="t25"), item("1", "b", raw=True), item("2", "b")]
    suites = [Suite(name, "retained", tuple(one for one in items if one.suite == name)) for name in ("a", "b")]
    said = [Said(one.suite, one.id, "", "t40", "") for one in items]
    examples = to_read(suites, said, tokenizer, DiffSpec(base="base", tuned="tuned"))
    read = {example.origin: str(tokenizer.decode(example.input_ids, skip_special_tokens=False)) for example in examples}
    assert sorted(read) == ["a/1", "b/1", "b/2"]
    assert all("t40" in text for text in read.values())
    assert ("t25" in read["a/1"]) == (not template)
    assert ("t4" in read["b/2"].split()) == bool(template)
    assert "t4" not in read["b/1"].split()
