import json

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.probes.sources import items_of


def test_a_file_of_items_is_told_from_a_file_of_rows(tmp_path):
    items, rows = tmp_path / "items.jsonl", tmp_path / "rows.jsonl"
    items.write_text("\n" + json.dumps({"id": "a", "suite": "s", "text": "So it is."}) + "\n")
    rows.write_text(json.dumps({"id": "a", "text": "So it is."}) + "\n")
    assert [item.id for item in items_of(str(items))] == ["a"]
    assert items_of(str(rows)) is None
    assert items_of(str(tmp_path / "absent.jsonl")) is None
    assert items_of("org/name") is None
    (tmp_path / "text.txt").write_text(items.read_text())
    assert items_of(str(tmp_path / "text.txt")) is None


def test_what_is_no_json_is_left_to_the_reader_of_rows(tmp_path):
    (tmp_path / "broken.jsonl").write_text("{")
    (tmp_path / "empty.jsonl").write_text("")
    assert items_of(str(tmp_path / "broken.jsonl")) is None
    assert items_of(str(tmp_path / "empty.jsonl")) is None


def test_names_that_a_package_offers_are_items_where_it_has_items():
    assert {item.suite for item in items_of("ground:facts/cut")} == {"facts"}
    assert items_of("ground:people") is None
    assert items_of("nobody:people") is None
    with pytest.raises(HoldfastError, match="Did you mean 'facts'"):
        items_of("ground:fatcs")
