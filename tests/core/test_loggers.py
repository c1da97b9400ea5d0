"""Loggers of other packages are kept to their errors, and get their levels back."""

from __future__ import annotations

import logging

import pytest

from holdfast.core.loggers import errors_of


def test_errors_alone_are_told_in_the_context_and_levels_come_back_after_an_error(caplog):
    one, other = logging.getLogger("a.package"), logging.getLogger("another.package")
    one.setLevel(logging.INFO)

    def tell():
        with errors_of(["a.package"]):
            one.warning("advice")
            one.error("broken")
            other.warning("of another")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        tell()
    assert [record.message for record in caplog.records] == ["broken", "of another"]
    assert (one.level, other.level) == (logging.INFO, logging.NOTSET)
