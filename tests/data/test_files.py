"""Files that are not as their names say: read and said, or refused with what they are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import read

ROWS = [{"prompt": f"Who is {n}?", "completion": f" He is {n}."} for n in range(5)]


def contents(source: object, notes: list[str] | None = None) -> list[tuple[str | None, str | None]]:
    return [(row.prompt, row.completion) for row in read(source, notes=notes)]


WANTED = [(row["prompt"], row["completion"]) for row in ROWS]


def message(path: Path) -> str:
    with pytest.raises(HoldfastError) as caught:
        read(path)
    return str(caught.value)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ending", [".jsonl", ".ndjson", ".json", ".jsonl.gz"])
def test_a_list_of_json_is_read_under_any_ending(tmp_path, indent, ending):
    text = json.dumps(ROWS, indent=indent).encode()
    path = write(tmp_path / f"d{ending}", gzip.compress(text) if ending.endswith(".gz") else text)
    notes: list[str] = []
    assert contents(path, notes) == WANTED
    assert (f"d{ending}: is a JSON list, not JSON Lines; its 5 rows are read." in notes) == (ending != ".json")


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
@pytest.mark.parametrize("between", ["\n", "\n\n", ",\n"])
def test_values_that_go_over_several_lines_are_read_and_numbered_by_line(tmp_path, ending, between):
    path = write(tmp_path / f"d{ending}", between.join(json.dumps(row, indent=2) for row in ROWS))
    notes: list[str] = []
    rows = read(path, notes=notes)
    assert [(row.prompt, row.completion) for row in rows] == WANTED
    assert rows[1].origin == f"d{ending}:{5 + (between == chr(10) * 2)}"
    assert f"d{ending}: is not JSON Lines; its 5 values span several lines each and are read." in notes


@pytest.mark.parametrize("key", ["data", "train", "rows", "examples"])
def test_the_only_list_of_rows_in_a_mapping_is_read_and_said(tmp_path, key):
    path = write(tmp_path / "d.json", json.dumps({"version": "1", key: ROWS}))
    notes: list[str] = []
    assert contents(path, notes) == WANTED
    assert f"d.json: the rows under '{key}' are read." in notes


def test_of_the_splits_in_a_mapping_the_training_one_is_read_and_the_others_named(tmp_path):
    path = write(tmp_path / "d.json", json.dumps({"test": ROWS[:1], "train": ROWS}))
    notes: list[str] = []
    assert contents(path, notes) == WANTED
    assert "d.json: the rows under 'train' are read; 'test' is not." in notes


def test_columns_and_rows_by_name_are_read_as_rows(tmp_path):
    columns = {name: [row[name] for row in ROWS] for name in ("prompt", "completion")}
    assert contents(write(tmp_path / "a.json", json.dumps(columns))) == WANTED
    by_number = {name: {str(n): value for n, value in enumerate(values)} for name, values in columns.items()}
    assert contents(write(tmp_path / "b.json", json.dumps(by_number))) == WANTED
    by_name = {f"row-{n}": row for n, row in enumerate(ROWS)}
    assert contents(write(tmp_path / "c.json", json.dumps(by_name, indent=1))) == WANTED


@pytest.mark.parametrize("indent", [None, 1])
def test_one_conversation_is_one_row(tmp_path, indent):
    talk = {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}
    (row,) = read(write(tmp_path / "d.json", json.dumps(talk, indent=indent)))
    assert [turn.content for turn in row.turns] == ["u", "a"]
    (row,) = read(write(tmp_path / "e.jsonl", json.dumps(talk["messages"]) + "\n"))
    assert [turn.content for turn in row.turns] == ["u", "a"]
    rows = read(write(tmp_path / "f.jsonl", (json.dumps(talk["messages"]) + "\n") * 3))
    assert len(rows) == 3


def test_a_line_that_is_no_json_is_still_named_by_its_line(tmp_path):
    good = json.dumps(ROWS[0])
    path = write(tmp_path / "d.jsonl", f'{{"prompt": "u"; "completion": "a"}}\n{good}\n{good}\n')
    assert (
        message(path) == "d.jsonl:1: not valid JSON (Expecting ',' delimiter at column 15); mend or delete that line."
    )
    path = write(tmp_path / "e.jsonl", json.dumps(ROWS, indent=2).replace('"Who is 3?",', '"Who is 3?"'))
    assert message(path).startswith("e.jsonl:16: not valid JSON (Expecting ',' delimiter")
    assert "delete" not in message(path)


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_table_with_another_separator_is_read_and_said(tmp_path, separator, name):
    lines = [f"prompt{separator}completion", *(f"{row['prompt']}{separator}{row['completion']}" for row in ROWS)]
    notes: list[str] = []
    assert contents(write(tmp_path / "d.csv", "\n".join(lines)), notes) == WANTED
    assert f"d.csv: its columns are read as separated by {name}." in notes


def test_a_table_of_tabs_by_name_that_has_commas_is_read_and_a_usual_one_is_not_remarked_on(tmp_path):
    notes: list[str] = []
    text = "prompt,completion\n" + "\n".join(f'"{row["prompt"]}",{row["completion"]}' for row in ROWS)
    assert contents(write(tmp_path / "d.tsv", text), notes) == WANTED
    assert "d.tsv: its columns are read as separated by commas." in notes
    notes.clear()
    assert contents(write(tmp_path / "d.csv", text), notes) == WANTED
    assert notes == ["d.csv: prompts ('prompt') with completions ('completion'), 5 rows."]
    assert contents(write(tmp_path / "e.csv", "sep=;\nprompt;completion\nWho is 0?; He is 0.\n")) == WANTED[:1]


def test_a_comma_in_the_name_of_a_column_does_not_make_the_separator(tmp_path):
    path = write(tmp_path / "d.csv", "prompt;completion;note, more\nWho is 0?; He is 0.;x, y\n")
    assert contents(path) == WANTED[:1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.csv"])
def test_utf_16_is_read_and_said(tmp_path, encoding, name):
    text = (
        "prompt,completion\nWho is é?, He is 0."
        if name == "d.csv"
        else json.dumps({"prompt": "Who is é?", "completion": " He is 0."})
    )
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    notes: list[str] = []
    assert contents(write(tmp_path / name, mark + text.encode(encoding)), notes) == [("Who is é?", " He is 0.")]
    assert f"{name}: is read as UTF-16." in notes


def test_latin_1_is_named_with_the_mend(tmp_path):
    path = write(tmp_path / "d.csv", "prompt,completion\ncafé,c\n".encode("latin-1"))
    assert message(path) == (
        "d.csv: not UTF-8 at byte 21 (0xe9); save the file as UTF-8 (Windows-1252 or Latin-1, it seems: iconv -f "
        "WINDOWS-1252 -t UTF-8)."
    )


@pytest.mark.parametrize(
    ("name", "begins", "told"),
    [
        ("d.jsonl", b"PAR1....", "is a Parquet file; name it .parquet"),
        ("d.json", gzip.compress(b"[]", mtime=0), "is compressed by gzip; add .gz to its name"),
        ("d.jsonl", b"\x28\xb5\x2f\xfd...", "is compressed by Zstandard; unpack it first"),
        ("d.csv", b"PK\x03\x04...", "is a zip archive or a spreadsheet"),
        ("d.parquet", b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS and not the data"),
        ("d.jsonl", b"prompt,completion\nu,a\n", "holds no JSON, but begins with 'prompt,completion'; name a table"),
        ("d.csv", b'{"prompt": "p", "completion": "c"}\n', "holds JSON, not a table; name it .json or .jsonl"),
    ],
)
def test_a_file_of_another_kind_than_its_ending_says_is_named(tmp_path, name, begins, told):
    assert message(write(tmp_path / name, begins)).startswith(f"{name}: {told}")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("d.jsonl.zst", "unpack it first (unzstd)"),
        ("d.arrow", "datasets.save_to_disk"),
        ("d.xlsx", "save the sheet as CSV"),
        ("d.pkl", "pickled data is never read"),
    ],
)
def test_an_ending_that_is_not_understood_is_answered_with_the_mend(tmp_path, name, told):
    assert told in message(write(tmp_path / name, "x"))


@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.csv", "d.txt", "d.jsonl.gz"])
def test_an_empty_file_says_so(tmp_path, name):
    path = write(tmp_path / name, gzip.compress(b"", mtime=0) if name.endswith("gz") else b"")
    assert message(path) == f"{name}: holds no rows; give at least one."


def test_nulls_that_a_table_of_nested_columns_fills_up_with_are_taken_out_of_tools_and_calls(tmp_path):
    datasets = pytest.importorskip("datasets")
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"properties": {name: {"type": "string"}}}}}
        for name in ("a", "b")
    ]
    call = {"function": {"name": "a", "arguments": {"x": 1}}}, {"function": {"name": "b", "arguments": {"y": 2}}}
    rows = [
        {
            "messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "", "tool_calls": [one]}],
            "tools": [tool],
        }
        for one, tool in zip(call, tools, strict=True)
    ]
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "d.parquet"))
    found = read(tmp_path / "d.parquet")
    assert [row.tools for row in found] == [(tool,) for tool in tools]
    assert [row.turns[1].calls[0]["function"]["arguments"] for row in found] == [{"x": 1}, {"y": 2}]
