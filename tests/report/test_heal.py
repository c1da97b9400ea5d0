"""The output of a healing: both models in a table that a terminal holds."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from holdfast.bench.heal.heal_record import HealRecord
from holdfast.report.heal import show
from holdfast.report.page.sentence import sentence
from tests.report.page import made


def of_two_units(folder):
    """A healing that keeps questions and a text, of which one suite of questions forgot."""
    record = HealRecord.read(made.healing(folder))
    about = {"unit": "nats", "tokens": 900.0, "before": 3.1, "after": 3.2, "change": 0.1, "low": 0.05, "high": 0.15}
    text = dataclasses.replace(record.suites[1], name="wiki", **about)
    mean = dataclasses.replace(record.verdict.means[0], unit="nats", suite_count=1, change=0.1, low=0.05, high=0.15)
    words = {**record.verdict.suites, "wiki": record.verdict.suites["facts"]}
    words["facts"] = dataclasses.replace(words["facts"], word="forgot")
    verdict = dataclasses.replace(
        record.verdict, word="forgot", limits={"points": 5.0, "nats": 0.02}, means=(*record.verdict.means, mean),
        suites=words,
    )  # fmt: skip
    unit = dataclasses.replace(record.learned.units[0], unit="nats", suites=("text",), gain=1.5)
    learned = dataclasses.replace(record.learned, units=(*record.learned.units, unit))
    before = dataclasses.replace(record.before, verdict=verdict, learned=learned, suites=(*record.before.suites, text))
    return dataclasses.replace(record, suites=(*record.suites, text), verdict=verdict, learned=learned, before=before)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_two_units_leave_room_for_the_models_and_the_verdicts(tmp_path, width):
    console = Console(width=width, file=io.StringIO())
    show(of_two_units(tmp_path), console)
    table = console.file.getvalue().partition("suite ")[0]
    assert "…" not in table
    for word in ("tuned", "healed", "forgot", "+70.0 points", "+1.500 nats", "[-4.9, 4.9]", "0.150]"):
        assert word in table


def test_a_suite_that_forgot_is_named_beside_the_mean_of_its_own_unit(tmp_path):
    said = sentence(of_two_units(tmp_path), "the model")
    assert said.count("certainly too much was lost in facts") == 1
    assert "allowed to be lost; certainly too much was lost in facts; on 80 texts" in said
