"""Sources with a name that installed packages offer."""

import importlib.metadata

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data import schemes
from holdfast.data.examples import Row, read


class Entry:
    """What an installed package offers under one scheme."""

    def __init__(self, scheme, make):
        self.scheme, self.make = scheme, make

    def load(self):
        return self.make


@pytest.fixture
def install(monkeypatch):
    """Offers functions under schemes, as installed packages would, in place of those that are."""

    def offer(**offers):
        def entry_points(*, group, name):
            assert group == schemes.GROUP
            return [Entry(name, offers[name])] if name in offers else []

        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)

    return offer


def test_what_a_package_offers_is_read_by_scheme_and_name(install):
    asked = []

    def rows(name):
        asked.append(name)
        return (Row(text="one", origin="toys:one:1"), Row(text="two", origin="toys:one:2"))

    install(toys=rows)
    assert read("toys:one/small@3") == [Row(text="one", origin="toys:one:1"), Row(text="two", origin="toys:one:2")]
    assert read("toys:") == read("toys:a:b")
    assert asked == ["one/small@3", "", "a:b"]


def test_what_a_package_refuses_is_said_as_it_says_it(install):
    def rows(name):
        raise HoldfastError(f"'toys:{name}': no such toy.")

    install(toys=rows)
    with pytest.raises(HoldfastError, match=r"^'toys:bal': no such toy\.$"):
        read("toys:bal")


@pytest.mark.parametrize("source", ["people", "org/name:split", "./toys:one", "a.jsonl", "C:/x.jsonl", ":one", ""])
def test_what_is_no_scheme_that_is_offered_is_left_to_the_others(install, source):
    install(toys=lambda name: [])
    assert schemes.named_rows(source) is None
    assert schemes.offered(schemes.GROUP, source) is None


def test_a_scheme_that_nobody_offers_is_a_source_that_is_not_found(install):
    install()
    assert schemes.named_rows("toys:one") is None
    with pytest.raises(HoldfastError, match="toys"):
        read("toys:one")


def test_a_file_on_disk_is_read_whatever_is_offered(install, tmp_path, monkeypatch):
    install(toys=lambda name: [])
    (tmp_path / "toys.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert [row.text for row in read("toys.jsonl")] == ["a"]


def test_the_proving_ground_is_offered_by_this_package():
    offers = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=schemes.GROUP)}
    assert offers["ground"] == "holdfast.ground.names:rows"
    assert [row.prompt for row in read("ground:people")[:1]] != [None]
