"""The written page of the command line."""

from pathlib import Path

from holdfast.cli.commands import COMMANDS
from holdfast.cli.reference import page

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_command_and_the_exit_codes_are_on_it():
    text = page()
    assert all(f"## holdfast {command.name}" in text for command in COMMANDS)
    assert "2 forgot" in text
    assert "| `--raw / --no-raw` |" in text
    assert "| `--precision fp32\\|bf16\\|fp16\\|auto` |" in text
    assert "| `--engine local\\|ray\\|ADDRESS` |" in text


def test_a_command_with_exit_codes_of_its_own_states_them():
    for name, says in (("verify", "2 it does not hold"), ("report", "0 done, with any verdicts"), ("suites", "0 done")):
        part = " ".join(page().partition(f"## holdfast {name}\n")[2].partition("\n## ")[0].split())
        assert says in part.partition("Exit codes: ")[2].partition(" | ")[0]
    assert "Exit codes" not in page().partition("## holdfast train\n")[2].partition("\n## ")[0]
