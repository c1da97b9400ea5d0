"""What pyproject.toml promises is there."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from holdfast.ground.names import base_folder, reranker_folder

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMPORTED_AS = {"pyyaml": "yaml"}
SHIPPED = (
    "README.md", "base.json", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
    "tokenizer.json", "tokenizer_config.json",
)  # fmt: skip


SHIPPED_RERANKER = ("README.md", "config.json", "model.safetensors", "reranker.json", "tokenizer.json",
                    "tokenizer_config.json")  # fmt: skip


def imports(*folders):
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.split(".")[0])
    return found


def names(requirements):
    named = [requirement.split(">")[0].split("[")[0] for requirement in requirements]
    return {IMPORTED_AS.get(name, name) for name in named}


def test_every_package_that_is_needed_is_imported_and_every_import_is_declared():
    needed = names(PROJECT["project"]["dependencies"])
    assert needed <= imports("src")
    extras = PROJECT["project"]["optional-dependencies"]
    optional = {name for extra in extras.keys() - {"dev", "docs"} for name in names(extras[extra])}
    others = {"sentence-transformers", "ir-measures", "pytrec-eval-terrier", "bm25s", "mlflow-skinny"}
    assert optional == {"trl", "bitsandbytes", "tensorboard", "wandb", "trackio", "lm_eval", "ray", *others}
    assert "trl" not in imports("src")
    assert "trl" in imports("examples", "tests")


def test_the_rooms_of_the_import_rules_exist():
    contract = next(one for one in PROJECT["tool"]["importlinter"]["contracts"] if one["id"] == "rooms")
    for room in contract["layers"]:
        name = ROOT / "src" / "holdfast" / room.strip("()")
        assert name.is_dir() or name.with_suffix(".py").is_file(), room


def test_what_mypy_is_told_of_is_imported():
    (override,) = PROJECT["tool"]["mypy"]["overrides"]
    assert {name.removesuffix(".*") for name in override["module"]} <= imports("src")


def test_the_base_that_is_shipped_holds_what_loading_it_needs_and_no_log():
    assert sorted(path.name for path in base_folder().iterdir()) == sorted(SHIPPED)
    assert sorted(path.name for path in reranker_folder().iterdir()) == sorted(SHIPPED_RERANKER)


@pytest.mark.parametrize("extra", ["trackers", "gpu", "trl", "harness", "ray", "rerank"])
def test_an_extra_that_is_offered_is_named_in_the_docs(extra):
    said = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert f"holdfast[{extra}]" in said
