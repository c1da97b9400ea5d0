"""Rows of a run's record that come from its trainer: the guard, the old examples, the shipped adapter."""

from __future__ import annotations

from collections.abc import Collection

from holdfast.bench.run.record import GuardRow, MemoryRow, ShippedRow
from holdfast.train.attach import Attached


def guard_row(trainer: Attached, watched: Collection[str]) -> GuardRow | None:
    """Returns the record of the guard; None without one.

    Args:
        trainer: The trainer.
        watched: Names of the suites with a watched side.
    """
    guard = trainer.holdfast_guard
    return None if guard is None else GuardRow.from_dict({**guard.summary(), "watched": sorted(watched)})


def rehearsed(trainer: Attached) -> tuple[MemoryRow, ...]:
    """Returns the rehearsed old examples: their share of the tokens and their declared similarity to the suites."""
    mix = trainer.holdfast_mix
    rows = () if mix is None else zip(mix.names, mix.ratios, mix.nears, strict=True)
    return tuple(MemoryRow.from_dict({"name": name, "share": share, "near": near}) for name, share, near in rows)


def shipped_row(trainer: Attached) -> ShippedRow | None:
    """Returns the adapter that was computed from edited weights; None without one."""
    shipped = trainer.holdfast_shipped
    return ShippedRow(rank=int(shipped["rank"]), error=shipped["error"]) if shipped else None
