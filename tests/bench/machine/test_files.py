"""Files are either whole or not there."""

import errno
import json
import os

import pytest

from holdfast.bench.machine import files
from holdfast.core.errors import HoldfastError


@pytest.fixture
def full_disk(monkeypatch):
    """Lets the first bytes of each write through and then reports that the disk is full."""
    calls = []
    write = os.write

    def full(descriptor, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:3])

    monkeypatch.setattr(os, "write", full)
    return calls


def test_text_arrives_whole_and_folders_are_made(tmp_path):
    path = tmp_path / "runs" / "a" / "spec.json"
    files.write_atomically(path, "größer\n" * 1000)
    assert path.read_text(encoding="utf-8") == "größer\n" * 1000
    assert os.listdir(path.parent) == ["spec.json"]


def test_a_folder_in_place_of_a_file_is_said(tmp_path):
    with pytest.raises(HoldfastError, match="it is a folder; give the name of a file"):
        files.write_atomically(tmp_path, "x")
    assert not list(tmp_path.iterdir())


def test_short_writes_of_the_system_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    files.write_atomically(tmp_path / "f", "0123456789" * 20)
    assert (tmp_path / "f").read_text() == "0123456789" * 20


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, full_disk):
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(HoldfastError, match=r"Cannot write .*result\.json: No space left on device; free some space"):
        files.write_atomically(path, "new and longer")
    assert len(full_disk) == 2
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_full_disk_leaves_no_new_file(tmp_path, full_disk):
    with pytest.raises(HoldfastError):
        files.write_atomically(tmp_path / "result.json", "new and longer")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_after_the_writing_leaves_no_temporary_file(tmp_path, monkeypatch, failing):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(HoldfastError, match="Cannot write"):
        files.write_atomically(tmp_path / "result.json", "new")
    assert os.listdir(tmp_path) == []


def test_being_interrupted_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "result.json", "new")
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(HoldfastError, match="Cannot write .*runs"):
        files.write_atomically(tmp_path / "runs" / "a.json", "x")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_number_for_is_refused_before_anything_is_written(tmp_path, value):
    for write in (files.write_json, files.append_jsonl, lambda p, v: files.write_jsonl(p, [v])):
        with pytest.raises(HoldfastError, match="leave a missing measurement out"):
            write(tmp_path / "x", {"value": value})
    assert os.listdir(tmp_path) == []


def test_lines_written_are_the_lines_read(tmp_path):
    records = [{"step": 1, "text": "a\nb\u2028c"}, {"step": 2, "text": "ß"}]
    files.write_jsonl(tmp_path / "log.jsonl", records)
    files.append_jsonl(tmp_path / "log.jsonl", {"step": 3})
    assert files.read_jsonl(tmp_path / "log.jsonl") == [*records, {"step": 3}]
    assert len((tmp_path / "log.jsonl").read_bytes().split(b"\n")) == 4


def test_an_empty_list_of_records_is_an_empty_file(tmp_path):
    files.write_jsonl(tmp_path / "log.jsonl", [])
    assert files.read_jsonl(tmp_path / "log.jsonl") == []


@pytest.mark.parametrize("torn", [b'{"step": 2, "lo', '{"step": "ß'.encode()[:-1]])
def test_a_line_torn_by_a_kill_is_not_read_and_is_cut_off_by_the_next_append(tmp_path, torn):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n' + torn)
    assert files.read_jsonl(path) == [{"step": 1}]
    files.append_jsonl(path, {"step": 2})
    assert files.read_jsonl(path) == [{"step": 1}, {"step": 2}]


def test_the_end_of_the_last_line_is_found_across_blocks(tmp_path):
    path = tmp_path / "log.jsonl"
    for head, torn in ((b"", b"x" * 100), (b"a\n", b"x" * 100), (b"a\nb\n", b""), (b"\n", b"xyz")):
        path.write_bytes(head + torn)
        with open(path, "rb") as file:
            assert files._end_of_last_line(file.fileno(), block=3) == len(head)


def test_a_full_disk_takes_an_appended_line_back(tmp_path, full_disk):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n')
    with pytest.raises(HoldfastError, match="No space left"):
        files.append_jsonl(path, {"step": 2})
    assert path.read_bytes() == b'{"step": 1}\n'


@pytest.mark.parametrize(
    ("line", "reason"), [("{", "is not JSON"), ("\udcff", "is not JSON"), ("[1]", "is not a JSON object")]
)
def test_a_broken_line_is_named_by_file_and_number(tmp_path, line, reason):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 1}) + "\n" + line + "\n", errors="surrogateescape")
    with pytest.raises(HoldfastError, match=rf"log\.jsonl:2 {reason}"):
        files.read_jsonl(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(HoldfastError, match=r"Cannot read .*none\.jsonl: No such file"):
        files.read_jsonl(tmp_path / "none.jsonl")
