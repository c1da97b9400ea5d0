"""The documentation has short lines, working links, and the words of docs/words.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRINTED = [ROOT / "docs/command-line.md", ROOT / "docs/records.md", *sorted((ROOT / "docs/methods").glob("*.md"))]
"""Pages generated from the command line, records and method cards; cells of their tables are prose too."""
PAGES = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs/decisions").glob("*.md")),
        *sorted((ROOT / "docs/studies").glob("*.md")),
    )
    if path not in PRINTED and not path.stem.endswith("-tables")
]
EVERY = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LONGEST = 120

RULED_OUT = {
    r"replay(s|ed|ing)?( buffers?)?": "rehearsal, or old examples",
    r"frontiers?": "the Pareto front",
    r"regulari[sz](er|ers|ation)": "a penalty to the base model (KL)",
    r"leash(es|ed)?": "a penalty to the base model (KL)",
    r"supervised units?": "tokens",
    r"(is|are|was|were) said": "who prints or states it",
    r"so many": "the number",
    r"that (is|are) none": "what it is not",
    r"parted by": "separated by",
    r"learned are": "subject, verb, object",
}
"""Words that docs/words.md or the house's English rule out, each with what to write."""

INTRODUCED = {"docs/which-method.md": "leash", "docs/studies/leash.md": "leash"}
"""Pages that introduce such a word, because their tables or files have it."""


def prose(text: str) -> list[str]:
    """Returns the lines of a page, with empty ones in the place of code, tables and generated blocks."""
    lines, code, generated = [], False, False
    for line in text.split("\n"):
        fence = line.lstrip().startswith("```")
        code ^= fence
        generated = line.startswith("<!-- effect:") or (generated and not line.startswith("<!-- end"))
        lines.append("" if code or fence or generated or line.startswith("|") else line)
    assert not code, "a code block has no end"
    return lines


def ruled_out(text: str, introduced: str | None = None) -> list[str]:
    """Returns the ruled-out words of a page, each with its line and what to write; names in code and addresses pass."""
    found = []
    for number, line in enumerate(prose(text), 1):
        words = re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)
        for pattern, instead in RULED_OUT.items():
            for match in re.finditer(rf"\b{pattern}\b", words, re.IGNORECASE):
                if introduced is None or not match[0].lower().startswith(introduced):
                    found.append(f"line {number}: {match[0]!r}; write {instead}")
    return found


def anchors(text: str) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_lines_are_short_but_for_tables(path):
    lines = enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
    assert not [number for number, line in lines if len(line) > LONGEST and not line.startswith("|")]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_prose_has_no_word_that_is_ruled_out(path):
    assert not ruled_out(path.read_text(encoding="utf-8"), INTRODUCED.get(name_of(path)))


@pytest.mark.parametrize("path", PRINTED, ids=name_of)
def test_text_that_commands_print_has_no_word_that_is_ruled_out(path):
    assert not ruled_out(path.read_text(encoding="utf-8").replace("|", " "))


def test_ruled_out_words_are_found_in_prose_alone():
    page = "# On the frontier\n\n`frontier.png` and [a plot](frontier.png)\n\n| leash |\n|---|\n\n```\nso many\n```\n"
    page += "<!-- effect: main -->\na leash\n<!-- end -->\n\nThe count is said.\n"
    assert ruled_out(page) == [
        "line 1: 'frontier'; write the Pareto front",
        "line 15: 'is said'; write who prints or states it",
    ]
    assert ruled_out("Two leashes.") == ["line 1: 'leashes'; write a penalty to the base model (KL)"]
    assert ruled_out("Two leashes.", "leash") == []


@pytest.mark.parametrize("word", ["replay", "frontier", "regularizer", "leash"])
def test_the_page_on_words_rules_out_what_the_test_does(word):
    columns = [line.split("|") for line in (ROOT / "docs/words.md").read_text(encoding="utf-8").splitlines()
               if line.startswith("|")]  # fmt: skip
    assert [row for row in columns if word in row[4]]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(path):
    text = "\n".join(prose(path.read_text(encoding="utf-8")))
    tables = [line for line in path.read_text(encoding="utf-8").split("\n") if line.startswith("|")]
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join([text, *tables])):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        page = path.parent / file if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), target


def test_the_readme_is_short():
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") < 150
