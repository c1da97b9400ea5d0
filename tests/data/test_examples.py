"""Reading: every format comes out the same, every malformed row is named with its line and field."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import datasets
import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import Row, Turn, read

PAIRS = [{"prompt": "Capital of France?", "completion": " Paris"}, {"prompt": "2+2=", "completion": "4"}]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def message(source: object, **options: object) -> str:
    with pytest.raises(HoldfastError) as caught:
        read(source, **options)
    return str(caught.value)


def contents(rows: list[Row]) -> list[tuple[str | None, str | None]]:
    return [(row.prompt, row.completion) for row in rows]


WANTED = [("Capital of France?", " Paris"), ("2+2=", "4")]


def test_json_lines_are_numbered_by_line_and_blank_lines_are_skipped(tmp_path):
    path = write(tmp_path / "facts.jsonl", json.dumps(PAIRS[0]), "", json.dumps(PAIRS[1]))
    rows = read(path)
    assert contents(rows) == WANTED
    assert [row.origin for row in rows] == ["facts.jsonl:1", "facts.jsonl:3"]
    assert {row.kind for row in rows} == {"completion"}


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson", ".json"])
def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path, ending):
    path = tmp_path / f"facts{ending}"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(json.dumps(row) for row in PAIRS).encode())
    assert contents(read(path)) == WANTED


def test_every_file_format_gives_the_same_rows(tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in PAIRS)
    (tmp_path / "a.json").write_text(json.dumps(PAIRS))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name, delimiter in (("c.csv", ","), ("d.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            table = csv.DictWriter(file, ["prompt", "completion"], delimiter=delimiter)
            table.writeheader()
            table.writerows(PAIRS)
    (tmp_path / "e.csv.gz").write_bytes(gzip.compress((tmp_path / "c.csv").read_bytes()))
    made = datasets.Dataset.from_list(PAIRS)
    made.to_parquet(str(tmp_path / "f.parquet"))
    made.save_to_disk(str(tmp_path / "g"))
    datasets.DatasetDict(train=made, test=made.select([0])).save_to_disk(str(tmp_path / "h"))
    for entry in sorted(tmp_path.iterdir()):
        rows = read(entry)
        assert contents(rows) == WANTED, entry.name
        assert [row.origin for row in rows] == [f"{entry.name}:1", f"{entry.name}:2"]
    assert contents(read(made)) == contents(read(made.with_format("numpy"))) == contents(read(PAIRS)) == WANTED
    assert contents(read(made.to_iterable_dataset())) == WANTED
    assert [row.origin for row in read(PAIRS, name="mine")] == ["mine:1", "mine:2"]
    assert contents(read(f"{tmp_path / 'h'}:test")) == WANTED[:1]
    assert contents(read(datasets.DatasetDict(train=made))) == WANTED


def test_rows_come_back_as_given():
    rows = read(PAIRS)
    assert read(rows) == rows


def test_a_text_file_is_split_at_its_blank_lines_and_numbered_by_line(tmp_path):
    path = tmp_path / "tales.txt"
    path.write_text("\nOnce upon\na time.\n \n\n\nThe end.\n", encoding="utf-8", newline="\r\n")
    rows = read(path)
    assert [(row.text, row.origin) for row in rows] == [
        ("Once upon\na time.", "tales.txt:2"),
        ("The end.", "tales.txt:7"),
    ]
    assert rows[0].kind == "text"


def test_a_text_file_without_blank_lines_is_one_document(tmp_path):
    rows = read(write(tmp_path / "tale.txt", "Once", "upon"))
    assert [row.text for row in rows] == ["Once\nupon"]


def test_a_folder_is_read_file_by_file_and_its_readme_is_not(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder / "a.jsonl", json.dumps({"text": "one"}))
    write(folder / "b.txt", "two")
    for name in ("README.md", "LICENSE.txt", ".hidden"):
        write(folder / name, "not data")
    assert [(row.text, row.origin) for row in read(folder)] == [("one", "mine/a.jsonl:1"), ("two", "mine/b.txt:1")]


def test_messages_and_sharegpt_conversations_give_the_same_turns():
    ours = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}
    ours["messages"].append({"role": "assistant", "content": [{"type": "text", "text": "a"}]})
    theirs = {"conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}], "system": "s"}
    wanted = [("system", "s"), ("user", "u"), ("assistant", "a")]
    for row in (*read([ours]), *read([theirs])):
        assert [(turn.role, turn.content) for turn in row.turns] == wanted
        assert row.kind == "messages"


def test_a_message_of_weight_0_is_not_learned():
    said = [{"role": "assistant", "content": "a", "weight": 0}, {"role": "assistant", "content": "b", "weight": 1}]
    (row,) = read([{"messages": said}])
    assert [turn.learned for turn in row.turns] == [False, True]


def test_a_prompt_of_messages_is_context():
    prompt = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}]
    (row,) = read([{"prompt": prompt, "completion": [{"role": "assistant", "content": "b"}]}])
    assert row.turns[1] == Turn("assistant", "a", learned=False)
    assert row.turns[3] == Turn("assistant", "b", learned=True)


def test_alpaca_rows_append_their_input_after_a_blank_line():
    rows = read(
        [
            {"instruction": "Translate.", "input": "chat", "output": "cat"},
            {"instruction": "Sing.", "input": "", "output": "la"},
            {"instruction": "Hum.", "output": "mm"},
        ]
    )
    assert contents(rows) == [("Translate.\n\nchat", "cat"), ("Sing.", "la"), ("Hum.", "mm")]


@pytest.mark.parametrize("prompt", ["prompt", "question", "query", "inputs", "input"])
@pytest.mark.parametrize("completion", ["completion", "response", "answer", "output", "targets"])
def test_other_names_for_prompt_and_completion_are_joined_by_a_newline(prompt, completion):
    (row,) = read([{"id": 1, prompt: "p", completion: "c"}])
    assert (row.prompt, row.completion) == ("p", "c")
    assert row.joint == ("" if (prompt, completion) == ("prompt", "completion") else "\n")


def test_a_system_column_becomes_the_first_message():
    (row,) = read([{"system": "s", "prompt": "p", "completion": "c"}])
    assert [(turn.role, turn.content) for turn in row.turns] == [("system", "s"), ("user", "p"), ("assistant", "c")]


GOOD = json.dumps(PAIRS[0])
TURN = '{"messages": [{"role": "user", "content": "u"}, '


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            '{"prompt": "u"; "completion": "a"}',
            "facts.jsonl:2: not valid JSON (Expecting ',' delimiter at column 15); mend or delete that line.",
        ),
        (
            '{"prompt": "u"}',
            "facts.jsonl:2: field 'completion' is missing; every row needs the fields of the first one "
            "(prompt, completion).",
        ),
        (
            '{"prompt": "u", "completion": 4}',
            "facts.jsonl:2: field 'completion' is a number, but must be a string; mend or delete that row.",
        ),
        (
            '{"prompt": null, "completion": "a"}',
            "facts.jsonl:2: field 'prompt' is null, but must be a string; mend or delete that row.",
        ),
        (
            '{"prompt": [{"role": "user", "content": "u"}], "completion": "a"}',
            "facts.jsonl:2: field 'prompt' is a list but 'completion' is a string; give both as strings or both as "
            "lists of messages.",
        ),
        (
            '{"prompt": "\\ud83d", "completion": "a"}',
            "facts.jsonl:2: field 'prompt' holds half of a surrogate pair (\\ud83d at character 0), which no tokenizer "
            "can read; mend or delete that row.",
        ),
        ("[1]", "facts.jsonl:2: is a list, but every row must be a mapping of named fields."),
    ],
)
def test_a_malformed_row_is_named_with_line_and_field(tmp_path, bad, said):
    assert message(write(tmp_path / "facts.jsonl", GOOD, bad)) == said


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            TURN + '{"role": "asistant", "content": "a"}]}',
            "chat.jsonl:1: field 'messages[1].role' is 'asistant', which is not a role; use one of system, developer, "
            "user, assistant, tool. Did you mean 'assistant'?",
        ),
        (
            TURN + '{"role": "assistant"}]}',
            "chat.jsonl:1: field 'messages[1].content' is missing; every message needs role and content.",
        ),
        (
            TURN + '"hello"]}',
            "chat.jsonl:1: field 'messages[1]' is a string, but must hold role and content.",
        ),
        (
            TURN + '{"role": "assistant", "content": "", "tool_calls": [{"type": "function"}]}]}',
            "chat.jsonl:1: field 'messages[1].tool_calls[0]' is not a tool call; give "
            '{"function": {"name": ..., "arguments": ...}}.',
        ),
        (
            TURN + '{"role": "assistant", "content": "a", "train_detail": [{"train": false}]}]}',
            "chat.jsonl:1: field 'messages[1].train_detail' marks parts of a turn, which is learned whole or not at "
            "all; give 'train' for the turn, or 'segments' of texts.",
        ),
        (
            TURN + '{"role": "assistant", "content": [{"type": "image"}]}]}',
            "chat.jsonl:1: field 'messages[1].content[0]' is not a text part; only text can be trained on.",
        ),
        (
            TURN + '{"role": "assistant", "content": "a", "weight": 0.5}]}',
            "chat.jsonl:1: field 'messages[1].weight' is 0.5, but must be 0 or 1.",
        ),
        (
            '{"messages": []}',
            "chat.jsonl:1: field 'messages' is an empty list; give at least one message or delete the row.",
        ),
        (
            '{"messages": "u"}',
            "chat.jsonl:1: field 'messages' is a string, but must be a list of messages with role and content.",
        ),
    ],
)
def test_a_malformed_conversation_is_named_with_its_message(tmp_path, bad, said):
    assert message(write(tmp_path / "chat.jsonl", bad)) == said


def test_unknown_columns_are_listed_beside_those_accepted():
    assert message([{"texts": "t", "id": 1}]) == (
        "rows:1: the columns ('texts', 'id') fit no accepted format: 'messages', 'conversations', 'prompt' "
        "(or 'question', 'query', 'inputs', 'input') with 'completion' (or 'response', 'answer', 'output', 'targets'), "
        "'instruction' with 'output', or 'text'. Did you mean 'text'?"
    )


def test_a_file_that_is_not_utf_8_is_named_with_the_byte(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + '{"prompt": "é"}'.encode("latin-1"))
    at = len(GOOD) + 1 + len('{"prompt": "')
    assert message(path) == (
        f"facts.jsonl:2: not UTF-8 at byte {at} (0xe9); save the file as UTF-8 (Windows-1252 or Latin-1, it seems: "
        "iconv -f WINDOWS-1252 -t UTF-8)."
    )
    (tmp_path / "t.txt").write_bytes(b"ab\xff")
    assert message(tmp_path / "t.txt") == "t.txt: not UTF-8 at byte 2 (0xff); save the file as UTF-8."


@pytest.mark.parametrize("name", ["facts.jsonl", "facts.json", "facts.csv", "facts.txt"])
def test_an_empty_file_says_so(tmp_path, name):
    (tmp_path / name).write_text(" \n" if not name.endswith("csv") else "prompt,completion\n")
    assert message(tmp_path / name) == f"{name}: holds no rows; give at least one."
    assert message([]) == "rows: holds no rows; give at least one."


def test_a_missing_file_is_answered_with_the_nearest_name(tmp_path):
    write(tmp_path / "facts.jsonl", GOOD)
    assert message(tmp_path / "fact.jsonl") == (
        f"no such file: '{tmp_path / 'fact.jsonl'}'; check the path. Did you mean 'facts.jsonl'?"
    )
    gone = tmp_path / "nowhere" / "facts.jsonl"
    assert message(gone) == (
        f"no such file: '{gone}' (nor is there a folder '{tmp_path / 'nowhere'}'); check the path."
    )


def test_an_unknown_ending_is_answered_with_those_understood(tmp_path):
    endings = ".jsonl, .ndjson, .json, .csv, .tsv, .parquet, .txt"
    assert message(write(tmp_path / "a.xlsx", "x")) == (
        "a.xlsx: files with this ending cannot be read; save the sheet as CSV."
    )
    assert message(write(tmp_path / "a.foo", "x")) == f"a.foo: files with this ending cannot be read; use {endings}."
    (tmp_path / "a.foo").unlink()
    folder = tmp_path.rename(tmp_path.with_name("mixed"))
    assert message(folder) == (
        "mixed/a.xlsx: files with this ending cannot be read; save the sheet as CSV; or move it out of the folder, "
        "or name one file."
    )


def test_a_folder_with_a_test_file_beside_unnamed_ones_is_refused(tmp_path):
    write(tmp_path / "facts.jsonl", GOOD)
    write(tmp_path / "test-00000.jsonl", GOOD)
    assert message(tmp_path) == (
        f"'{tmp_path}': holds 'test-00000.jsonl' beside other files, and training on both would spoil the test; name "
        "one file."
    )


def test_a_folder_without_data_says_so(tmp_path):
    assert message(tmp_path).startswith(f"'{tmp_path}': holds no file that ends in .jsonl, ")
    assert message(f"{tmp_path}:train") == f"'{tmp_path}:train': the folder has no splits; leave out ':train'."


def test_a_missing_split_is_answered_with_those_there_are(tmp_path):
    made = datasets.Dataset.from_list(PAIRS)
    datasets.DatasetDict(validation=made, test=made).save_to_disk(str(tmp_path / "d"))
    assert message(tmp_path / "d") == "d: has several splits, none called 'train'; choose one of validation, test."
    assert message(f"{tmp_path / 'd'}:tests") == (
        "d: has no split 'tests'; choose one of validation, test. Did you mean 'test'?"
    )


def test_a_hub_id_that_cannot_be_loaded_says_so_in_one_sentence():
    said = message("holdfast-nobody/no-such-data:train")
    assert said.startswith(
        "'holdfast-nobody/no-such-data:train' is not a file or folder here and could not be loaded from the "
        "Hugging Face hub ("
    )
    assert said.endswith("check the name, unset that, or give a local file."), "as the tests run without the hub"
    assert "\n" not in said


def test_a_hub_id_loads_config_and_split(monkeypatch):
    asked = []

    def load(name, config, *, split):
        asked.append((name, config, split))
        return datasets.Dataset.from_list(PAIRS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert read("org/name")[0].origin == "org/name:1"
    read("org/name:test")
    read("org/name/main:train[:10%]")
    assert asked == [("org/name", None, "train"), ("org/name", None, "test"), ("org/name", "main", "train[:10%]")]


def test_a_table_row_with_too_many_fields_is_named(tmp_path):
    path = write(tmp_path / "facts.csv", "prompt,completion", "u,a", "Where, now?,here")
    assert message(path) == (
        "facts.csv:2: has 3 fields but the header has 2; quote fields that hold the separator, or mend that row."
    )


def test_a_table_with_an_open_quote_or_a_repeated_column_is_named(tmp_path):
    path = write(tmp_path / "facts.csv", "prompt,completion", 'u,"a')
    assert message(path) == "facts.csv:1: not a valid row (unexpected end of data); mend its quotes."
    path = write(tmp_path / "facts.csv", "prompt,prompt", "u,a")
    assert message(path) == "facts.csv: the header names 'prompt' twice; rename one of the columns."


def test_a_table_field_may_be_long_and_hold_newlines(tmp_path):
    long = "x\n" * 100_000
    write(tmp_path / "facts.csv", "prompt,completion", f'u,"{long}"')
    limit = csv.field_size_limit()
    assert read(tmp_path / "facts.csv")[0].completion == long
    assert csv.field_size_limit() == limit


def test_broken_containers_say_so(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(GOOD.encode() * 50)[:-12])
    assert message(tmp_path / "a.jsonl.gz").startswith("a.jsonl.gz: not a complete gzip file (")
    write(tmp_path / "b.jsonl.gz", GOOD)
    assert message(tmp_path / "b.jsonl.gz") == (
        "b.jsonl.gz: not a complete gzip file (Not a gzipped file (b'{\"')); compress or download it again."
    )
    write(tmp_path / "c.parquet", GOOD)
    assert message(tmp_path / "c.parquet").startswith("c.parquet: not a complete Parquet file (")
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "state.json", "{")
    assert message(tmp_path / "d").startswith("d: not a complete saved data set (")


def test_a_json_file_must_hold_a_list(tmp_path):
    write(tmp_path / "a.json", "{", '"data": []}')
    assert message(tmp_path / "a.json") == (
        "a.json: holds no list of rows at its top level; write [row, row, ...] or JSON Lines."
    )
    write(tmp_path / "a.json", "[", "{]")
    assert message(tmp_path / "a.json").startswith("a.json:2: not valid JSON (")


def test_what_is_no_source_says_so():
    assert message(7) == (
        "rows cannot be read from an object of type int; give a path, a hub id, a datasets.Dataset or a list of "
        "mappings."
    )


def test_shared_rows_are_read(shared_data):
    rows = read(shared_data / "tinystories" / "tinystories_1000.jsonl.gz")
    assert len(rows) == 1000
    assert {row.kind for row in rows} == {"text"}
    assert read(shared_data / "instruct" / "dolly_sample_151.jsonl")[0].prompt.endswith("### Response:")
