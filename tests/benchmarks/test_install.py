"""The script that installs the wheel finds the commands of the first pages, and gives them files and models."""

from __future__ import annotations

import os
import shlex

from benchmarks import install
from holdfast.bench.machine.files import write_json
from holdfast.cli.commands import build_parser
from holdfast.data.sources import open_source
from holdfast.probes.items import read_items


def words_of(line):
    return shlex.split(line, comments=True)


def test_it_runs_every_command_of_the_code_blocks_and_all_are_understood(tmp_path):
    lines = list(install.lines_of(install.PAGES))
    pages = "".join((install.ROOT / page).read_text() for page in install.PAGES)
    assert len(lines) == sum(line.startswith("holdfast ") for line in pages.splitlines())
    assert {"fit", "plan", "train", "diff", "report", "verify"} <= {words_of(line)[1] for line in lines}
    assert all("\\" not in words_of(line) for line in lines)  # lines that go on are one command
    for line in lines:
        build_parser().parse_args(words_of(line)[1:])


def test_the_newest_run_stands_for_the_tuned_model(tmp_path):
    room = install.Room(tmp_path)
    assert install.names(room) == install.MODELS
    for name, age in (("old", 100), ("new", 50)):
        write_json(tmp_path / "room/runs" / name / "result.json", {})
        os.utime(tmp_path / "room/runs" / name / "result.json", (10**9 - age, 10**9 - age))
    assert install.names(room)["TUNED"] == "runs/new/model"


def test_the_files_that_commands_name_can_be_read(tmp_path):
    install.files(tmp_path)
    for name in ("new.jsonl", "old.jsonl"):
        ((_, records),) = open_source(str(tmp_path / name))
        assert len(list(records)) == install.ROWS
    for name in ("questions.jsonl", "old-task.jsonl"):
        assert len(read_items(tmp_path / name)) == install.ROWS
    assert (tmp_path / "general.txt").read_text().count("\n\n") == install.ROWS - 1
