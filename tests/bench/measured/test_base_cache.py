"""The cache of the base's answers: which questions share a file."""

from __future__ import annotations

from holdfast.bench.measured.base_cache import questions_digest
from holdfast.probes.items import Item
from holdfast.probes.suite import Suite

SUITES = [Suite("a", "retained", (Item(id="1", suite="a", choices=("yes", "no")),))]


def test_answers_in_another_precision_or_form_are_others():
    digests = {questions_digest(SUITES, raw, precision) for raw in (False, True) for precision in ("fp32", "bf16")}
    assert len(digests) == 4
    assert questions_digest(SUITES, False) == questions_digest(SUITES, False, "fp32")
