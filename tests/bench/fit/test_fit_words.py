"""What a fit says of a loss that lies in single suites."""

from __future__ import annotations

import dataclasses

from holdfast.bench.fit.fit_record import FitRecord
from holdfast.bench.fit.fit_words import sentence_of
from tests.report.page import made


def test_a_suite_that_forgot_alone_is_named_and_a_wider_budget_is_no_advice_for_it(tmp_path):
    record = FitRecord.read(made.fit(tmp_path))
    assert record.verdict is not None
    name, suite = next(iter(record.verdict.suites.items()))
    (mean,) = record.verdict.means
    forgot = dataclasses.replace(suite, word="forgot", most=21.0)
    for word, said in (
        ("kept", f"in the mean, but one suite certainly lost more: {name} ("),
        ("forgot", "allowed. This"),
    ):
        verdict = dataclasses.replace(
            record.verdict,
            word="forgot",
            suites={**record.verdict.suites, name: forgot},
            means=(dataclasses.replace(mean, word=word, most=1.5),),
        )
        sentence = sentence_of(dataclasses.replace(record, verdict=verdict))
        assert said in sentence
        assert ("allow --budget points=1.5," in sentence) == (word == "forgot")
        assert ("leave it out of --keep." in sentence) == (word == "kept")
