"""The calibration of a recipe: the mean over seeds of what its runs recorded, and where the report shows it."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from holdfast.bench.compare.calibration import mean_calibration
from holdfast.bench.given.specs import ReportSpec
from holdfast.bench.machine.files import write_json
from holdfast.bench.measured.calibration import calibration_of
from holdfast.bench.run.record import RunRecord
from holdfast.report.compare import report
from holdfast.report.tradeoff import as_csv, markdown
from tests.bench.comparison import write
from tests.bench.measured.test_calibration import answers


def record(shift, **sizes):
    return calibration_of(answers(1, **sizes), answers(2, shift=shift, **sizes))


def test_it_is_the_mean_of_the_changes_of_all_choices_to_keep():
    records = [record(shift, a=60, b=70) for shift in (0.1, 0.3)]
    mean = mean_calibration(records)
    assert mean.items == 130
    for name in ("ece", "brier", "overconfidence"):
        changes = [getattr(row.retained, name).change.value for row in records]
        assert getattr(mean, name) == pytest.approx(sum(changes) / 2)
    single = record(0.2, a=60)
    assert mean_calibration([single]).brier == pytest.approx(single.suites[0].brier.change.value)
    assert mean_calibration([record(0.2, a=20)]).ece is None


def test_it_is_absent_if_a_seed_lacks_it():
    assert mean_calibration([record(0.1, a=60), None]) is None
    row = record(0.1, a=60)
    lacking = dataclasses.replace(row, suites=(dataclasses.replace(row.suites[0], brier=None),))
    assert mean_calibration([row, lacking]) is None
    task = dataclasses.replace(row, suites=(dataclasses.replace(row.suites[0], role="learned"),))
    assert mean_calibration([task]) is None


def test_the_report_shows_it_in_its_markdown_and_csv(tmp_path):
    runs = {}
    for name, recipe, shift in (("a", "Train(lr=0.0001)", 0.1), ("b", "LoRA(rank=2)", 0.3)):
        write(tmp_path / name, recipe, learned=50.0, kept=10.0, items=200)
        done = RunRecord.read(tmp_path / name)
        runs[name] = dataclasses.replace(done, calibration=record(shift, a=90))
        write_json(tmp_path / name / RunRecord.FILE, runs[name].to_dict())
    (found,) = report(ReportSpec(runs=(str(tmp_path),)))
    (header,) = (line for line in markdown(found).splitlines() if line.startswith("| recipe | rate"))
    assert "| Brier | confidence |" in header
    changes = [run.calibration.suites[0] for run in runs.values()]
    for suite in changes:
        both = f"| {suite.brier.change.value:+.3f} | {suite.overconfidence.change.value:+.3f} |"
        assert both in markdown(found)
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert sorted(float(line["ece_change"]) for line in lines) == pytest.approx(
        sorted(suite.ece.change.value for suite in changes)
    )
    assert "change of the Brier score of choices to keep, lower is better" in " ".join(markdown(found).split())
