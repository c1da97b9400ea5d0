"""Code in the documentation works: Python imports names that exist, and commands have the flags that they name."""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import shlex
from pathlib import Path

import pytest

import holdfast
from holdfast.cli.commands import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/studies").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list:
    """Returns the blocks of a language in all pages."""
    found = []
    for page in PAGES:
        for number, (kind, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
            if kind == language:
                found.append(pytest.param(text, id=f"{page.relative_to(ROOT)} {number}"))
    return found


def commands() -> list:
    """Returns the commands of all pages, one line each."""
    found = []
    for page in PAGES:
        for _, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in re.sub(r"\\\n\s*", " ", text).splitlines():
                words = re.match(r"\s*(?:\$ )?holdfast ([a-z].*)", line)
                if words and "..." not in words[1]:
                    found.append(pytest.param(words[1], id=f"{page.relative_to(ROOT)}: {words[1][:60]}"))
    return found


@pytest.mark.parametrize("text", blocks("python"))
def test_python_of_a_page_imports_what_exists_and_names_what_holdfast_has(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "holdfast":
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "holdfast":
            assert hasattr(holdfast, node.attr), f"holdfast.{node.attr}"


@pytest.mark.parametrize("line", commands())
def test_a_command_of_a_page_is_understood(line, capsys):
    with contextlib.suppress(SystemExit):  # of --help and of errors
        build_parser().parse_args(shlex.split(line, comments=True))
    assert capsys.readouterr().err == ""


def test_there_are_commands_and_python_to_check():
    assert len(commands()) > 25
    assert len(blocks("python")) > 10
