"""What `--keep` stands for where it is not given: the suite `general`, or the suites of the proving ground."""

from __future__ import annotations

from pathlib import Path

PER_KIND = 60
"""Items of each kind of `general` that the word alone takes. With 15 kinds, the side that a verdict judges beside a
guard then proves a loss of at most 2 points in the mean of the kinds (docs/general.md has the table)."""
COUNT = 15 * PER_KIND
GENERAL = f"general:{COUNT}"
"""What `general` alone stands for."""
GROUND = "ground:suites/cut"
"""What is kept of `ground:base`, which knows an invented world and not plain English."""
_GROUND_BASE = Path(__file__).parents[1] / "ground" / "base"


def is_ground_base(model: str) -> bool:
    """Returns whether a model is the base of the proving ground, by its name or its folder."""
    return model == "ground:base" or (bool(model) and Path(model).expanduser().resolve() == _GROUND_BASE)


def default_keep(model: str) -> str:
    """Returns the source that is kept of a model where the user names none.

    Args:
        model: Its folder, its name on the hub, or "ground:base".
    """
    return GROUND if is_ground_base(model) else GENERAL


def default_note(model: str, keep: object, other: str = "--keep FILE") -> str:
    """Returns a sentence that says what is measured by default; empty if something else is kept.

    Args:
        model: As for `default_keep`.
        keep: The sources that are kept.
        other: How the user names others.
    """
    if keep != (default_keep(model),):
        return ""
    if is_ground_base(model):
        return f"{GROUND} is kept by default of ground:base; {other} names others."
    return (
        f"{GENERAL} is kept by default: {PER_KIND} plain questions in English of each of 15 kinds. general:all asks "
        f"2,146, and {other} names others, as a model needs that does not know English."
    )
