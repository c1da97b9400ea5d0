"""The examples run, and stay short."""

from __future__ import annotations

import collections
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import CompareSpec, RunSpec
from holdfast.cli.commands import build_parser
from holdfast.cli.config import spec_from
from holdfast.core.method import Method
from holdfast.core.needs import Ask
from holdfast.core.settings import Role
from holdfast.probes.answers import ask
from holdfast.probes.checks import fulfils
from holdfast.probes.items import read_items
from holdfast.recipe import parse
from tests import tiny
from tests.warm import run_warm

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


LONG = ("compare", "proving_ground", "on_a_budget", "on_trl", "real")
ARGUMENTS = {
    "real": (
        "ground:base",
        "--data",
        "ground:people/few",
        "--test",
        "ground:people/few-test",
        "--keep",
        "ground:sums/cut",
    )
}
"""What the command line of an example gets; nothing for the others."""


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in LONG else ()) for path in EXAMPLES],
    ids=lambda path: path.stem,
)
def test_an_example_runs_and_is_under_forty_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40
    done = run_warm(path, *ARGUMENTS.get(path.stem, ()), env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert any(word in done.stdout for word in ("step", "Finch", "learned 1", "held: learned "))


def test_the_lamps_are_asked_in_words_that_no_example_has_and_every_answer_is_taught_twice():
    rows, items = (
        [json.loads(line) for line in (ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()]
        for name in ("lamps.jsonl", "lamps-test.jsonl")
    )
    assert (len(rows), len(items)) == (160, 80)
    asked = {row["prompt"] for row in rows}
    taught = collections.Counter(row["completion"] for row in rows)
    assert len(asked) == len(rows)
    assert not asked & {item["prompt"] for item in items}
    assert taught == dict.fromkeys((item["answer"] for item in items), 2)
    assert all(fulfils(item["answer"], item["check"]) for item in items)
    right = collections.Counter(str(item["check"]) for item in items)
    assert max(right.values()) <= 3  # no answer is right often enough to be worth saying always


def test_the_page_on_writing_a_method_shows_the_example_that_runs():
    page = (ROOT / "docs" / "write-a-method.md").read_text(encoding="utf-8")
    assert f"```python\n{(ROOT / 'examples' / 'a_method.py').read_text(encoding='utf-8')}```" in page


def test_the_page_on_writing_a_method_names_all_that_a_method_declares():
    page = (ROOT / "docs" / "write-a-method.md").read_text(encoding="utf-8")
    declared = [name for name, kind in vars(Method)["__annotations__"].items() if str(kind).startswith("ClassVar")]
    assert declared
    assert all(f"`{name}`" in page for name in declared)
    assert all(f'"{ask}"' in page for ask in get_args(Ask))
    assert all(f'"{role}"' in page for role in get_args(Role) if role)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository as the action finds it: a base, two fine-tuned models, and a suite of what the base answers."""
    room = tmp_path_factory.mktemp("repository")
    for name, seed in (("base", 0), ("kept", 0), ("forgot", 1)):
        tiny.tiny("llama", seed=seed).float().save_pretrained(room / name)
        tiny.tokenizer().save_pretrained(room / name)
    asked = [
        {"id": f"{n}", "suite": "general", "prompt": f"t{20 + n // 40} t{20 + n % 40}", "check": {"lacks": "nothing"}}
        for n in range(200)
    ]
    (room / "asked.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    said = ask(load_model(str(room / "base")), load_tokenizer(str(room / "base")), read_items(room / "asked.jsonl"))
    (room / "suites").mkdir()
    with (room / "suites" / "general.jsonl").open("w") as file:
        for one, answer in zip(asked, said, strict=True):
            if answer.said:  # one that ends at once has nothing to compare with
                file.write(json.dumps({**one, "check": {"exact": answer.said}}) + "\n")
    return room


@pytest.mark.parametrize(("model", "code"), [pytest.param("kept", 0, marks=pytest.mark.slow), ("forgot", 2)])
def test_the_action_fails_where_the_model_forgot(repository, tmp_path, model, code):
    action = yaml.safe_load((ROOT / "examples" / "forgetting.yml").read_text(encoding="utf-8"))
    steps = action["jobs"]["diff"]["steps"]
    (step,) = (step for step in steps if "holdfast diff" in step.get("run", ""))
    assert step["shell"] == "bash"
    for name in ("base", "suites"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "model").symlink_to(repository / model)
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr[-2000:]
    assert f"Verdict: {'kept' if code == 0 else 'forgot'}" in (tmp_path / "summary.md").read_text()
    assert (tmp_path / "answers" / "diff.json").exists()
    assert (tmp_path / "answers" / "page.html").exists()
    assert (tmp_path / "comment.md").read_text().startswith(f"### Holdfast: {'kept' if code == 0 else 'forgot'}")
    assert f'failures="{0 if code == 0 else 2}"' in (tmp_path / "forgetting.xml").read_text()
    assert f"::{'notice' if code == 0 else 'error'} title=Holdfast::" in done.stdout


SETTINGS = sorted((ROOT / "examples" / "yaml").glob("*.yaml"))


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_a_file_of_settings_begins_with_its_command_and_is_understood(path):
    text = path.read_text(encoding="utf-8")
    (words,) = (
        line[1:].split() for line in text.splitlines() if line.startswith("#   holdfast") and "--config" in line
    )
    assert words[3] == str(path.relative_to(ROOT))
    arguments = build_parser().parse_args([*words[1:3], str(path)])
    spec = spec_from(arguments, CompareSpec if words[1] == "compare" else RunSpec)
    for recipe in [spec.settings, *spec.recipes] if words[1] == "compare" else [spec.recipe]:
        assert recipe == "auto" or parse(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_a_file_of_settings_runs(path, tmp_path):
    verb = "compare" if path.stem == "compare" else "train"
    short = ["--doses", "1"] if verb == "compare" else []
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", verb, "--config", str(path), "--out", str(tmp_path), *short],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 2, 3), done.stderr[-2000:]
    assert list(tmp_path.glob("*/result.json"))


def test_the_gitlab_job_asks_what_the_action_asks():
    job = yaml.safe_load((ROOT / "examples" / "forgetting.gitlab-ci.yml").read_text(encoding="utf-8"))["forgetting"]
    (line,) = (line for line in job["script"] if line.startswith("holdfast diff"))
    arguments = build_parser().parse_args(shlex.split(line)[1:])
    assert arguments.junit == job["artifacts"]["reports"]["junit"]
    assert {arguments.out, arguments.comment} == {*job["artifacts"]["paths"]}
    assert job["allow_failure"]["exit_codes"] == 3  # the exit code of "not enough evidence"
