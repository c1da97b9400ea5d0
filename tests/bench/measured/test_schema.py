"""Records: what is written is read back, what is wrong is named, and the page says what every field is."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.bench.compare.tradeoff_record import TradeOff
from holdfast.bench.diff.diff_record import DiffRecord
from holdfast.bench.measured.outcome import SuiteRow, UnitAmount
from holdfast.bench.measured.schema import Record, hints_of, key_of
from holdfast.bench.run.record import Cost, LookRow, RunRecord
from holdfast.core.errors import HoldfastError
from holdfast.report.records import meanings, page, parts_of

TOP = (RunRecord, DiffRecord, TradeOff)
EVERY = sorted({part for record in TOP for part in parts_of(record)}, key=lambda cls: cls.__name__)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = {str: st.text(max_size=5), int: st.integers(), float: FLOATS, bool: st.booleans()}


def values(hint):
    """Values of a field's type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.none() | values(arguments[0])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=5), values(arguments[1]), max_size=2)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    return PLAIN[hint] if hint in PLAIN else records(hint)


def records(cls):
    """Records of a class, of this version."""
    fields = [field for field in dataclasses.fields(cls) if field.name != "version"]
    given = {field.name: values(hints_of(cls)[field.name]) for field in fields}
    for field in fields:
        if field.metadata.get("null") == "infinite":
            given[field.name] |= st.just(math.inf)
    return st.builds(cls, **given)


def full(hint):
    """The JSON of a type, with every key that there can be."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return full(arguments[0])
    if origin is tuple:
        return [full(arguments[0])]
    if origin is Mapping:
        return {"facts": full(arguments[1])}
    if origin is typing.Literal:
        return arguments[0]
    if hint in PLAIN:
        return {str: "text", int: 1, float: 0.5, bool: True}[hint]
    return {key_of(field): full(hints_of(hint)[field.name]) for field in dataclasses.fields(hint)}


def places(value, path=""):
    """Every key below a value, as the message names it, with what holds it."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inside:
        own = f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}" if path else key
        yield own, value, key
        yield from places(below, own)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_what_is_written_is_read_back(cls):
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(records(cls))
    def check(record):
        written = json.loads(json.dumps(record.to_dict(), allow_nan=False))
        assert cls.from_dict(written) == record

    check()


def refusal(cls, values):
    """What is said against a record that holds these values; None if nothing."""
    try:
        cls.from_dict(values, f"runs/a/{cls.FILE}")
    except HoldfastError as error:
        return str(error)
    return None


@pytest.mark.parametrize("cls", TOP, ids=lambda cls: cls.__name__)
def test_a_key_that_is_missing_or_of_another_type_is_named_with_its_file(cls):
    whole = full(cls)
    assert cls.from_dict(whole).to_dict() == whole
    missing = []
    for place, (path, _, _) in enumerate(places(whole)):
        wrong = copy.deepcopy(whole)
        _, inside, key = list(places(wrong))[place]
        before = inside[key]
        inside[key] = b"no JSON has bytes"
        start = f"runs/a/{cls.FILE}: the key '{path}' is"
        assert refusal(cls, wrong).startswith(f"{start} b'no JSON has bytes', and must be ")
        inside[key] = before
        if isinstance(inside, dict):
            del inside[key]
            missing += [said] if (said := refusal(cls, wrong)) else []
            assert not said or said == f"{start} missing; make it again."
    assert len(missing) > 10


def test_truth_values_are_no_numbers_and_whole_numbers_are():
    suite = full(SuiteRow)
    assert SuiteRow.from_dict({**suite, "before": 3}).before == 3
    for name, value, words in (
        ("before", True, "a number"),
        ("items", 1.5, "a whole number"),
        ("name", None, "a text"),
    ):
        with pytest.raises(HoldfastError, match=f"the key '{name}' is {value}, and must be {words}"):
            SuiteRow.from_dict({**suite, name: value})
    with pytest.raises(HoldfastError, match="the key 'role' is 'other', and must be one of 'learned', 'transfer'"):
        SuiteRow.from_dict({**suite, "role": "other"})


@pytest.mark.parametrize("cls", TOP, ids=lambda cls: cls.__name__)
def test_a_record_without_a_version_is_the_first_and_a_newer_one_is_refused(cls):
    whole = full(cls)
    without = {key: value for key, value in whole.items() if key != "version"}
    assert cls.from_dict(without) == cls.from_dict(whole)
    assert cls.from_dict(without).version == 1
    newer = {**whole, "version": 2, "suites": "of another form"}
    with pytest.raises(HoldfastError) as said:
        cls.from_dict(newer, cls.FILE)
    assert str(said.value) == (
        f"{cls.FILE} has version 2, and this Holdfast reads versions up to 1; install a newer Holdfast."
    )
    assert cls.from_dict({**whole, "more": 1}) == cls.from_dict(whole), "a key that a later version adds is passed over"


def test_a_record_is_read_from_its_file_or_its_folder(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(full(RunRecord)))
    assert RunRecord.read(tmp_path) == RunRecord.read(tmp_path / "result.json") == RunRecord.from_dict(full(RunRecord))
    for text, message in (
        ("{", "is not JSON"),
        ("[]", r"holds \[\], which is not a record: it must be keys and values"),
    ):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(HoldfastError, match=rf"result\.json {message}"):
            RunRecord.read(tmp_path)
    with pytest.raises(HoldfastError, match=r"none/result\.json cannot be read|none cannot be read"):
        RunRecord.read(tmp_path / "none")


def test_a_look_that_was_no_number_is_null_in_the_file_and_infinite_here():
    look = LookRow(step=9, points_lost=math.inf)
    assert look.to_dict() == {"step": 9, "points_lost": None, "beyond": False}
    assert LookRow.from_dict(look.to_dict()) == look


def test_what_a_suite_lost_is_in_its_unit_and_positive_where_it_is_worse():
    about = {"name": "facts", "role": "retained", "groups": 9, "items": 9, "before": 0.0, "after": 0.0}
    facts = SuiteRow(**about, unit="points", change=-3.0, low=-5.0, high=-1.0)
    assert facts.lost == UnitAmount(unit="points", value=3.0, low=1.0, high=5.0)
    assert (facts.lost.points, facts.gained.points, facts.gained.low) == (3.0, -3.0, -5.0)
    stories = SuiteRow(**about, unit="nats", change=0.2)
    assert (stories.lost.nats, stories.gained.nats, stories.lost.low) == (0.2, -0.2, None)
    with pytest.raises(HoldfastError, match=r"measured in nats and not in points: read \.nats, or \.value"):
        _ = stories.lost.points


def test_a_suite_is_found_by_its_name():
    record = RunRecord.from_dict(full(RunRecord))
    assert record.suite("text") is record.suites[0]
    with pytest.raises(HoldfastError, match="No suite is called 'txt'. Did you mean 'text'"):
        record.suite("txt")


def test_costs_add_up_and_memory_that_one_does_not_know_is_not_known():
    one = Cost(device="cpu", seconds=1.0, cpu_seconds=2.0, memory_mib=300.0, memory_before_mib=100.0)
    other = Cost(device="cpu", seconds=3.0, cpu_seconds=4.0, memory_mib=250.0, memory_before_mib=200.0)
    both = one.plus(other)
    assert (both.seconds, both.cpu_seconds, both.memory_mib, both.memory_before_mib) == (4.0, 6.0, 300.0, 100.0)
    assert (both.work_seconds, both.own_memory_mib) == (6.0, 200.0)
    assert one.plus(Cost(device="cpu", seconds=1.0, cpu_seconds=1.0)).own_memory_mib is None
    on_gpu = dataclasses.replace(both, device="cuda")
    assert (on_gpu.work_seconds, on_gpu.own_memory_mib) == (4.0, 300.0)


def test_the_page_is_up_to_date_and_says_what_every_field_is():
    text = page()
    assert (Path(__file__).parents[3] / "docs/records.md").read_text(encoding="utf-8") == text, "run `make docs`"
    for cls in EVERY:
        assert issubclass(cls, Record)
        said = meanings(cls)
        assert set(said) == {field.name for field in dataclasses.fields(cls)}, cls.__name__
        section = text.split(f"# {cls.__name__}\n")[1].split("\n#")[0]
        for field in dataclasses.fields(cls):
            assert f"- **`{field.name}`** (" in section, f"{cls.__name__}.{field.name}"
            assert key_of(field) == field.name or f"(key `{key_of(field)}`," in section
