"""What is asked twice, under two names, is one thing: it counts as one group, and stands on one side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.probes.watched import group_of, of_item

if TYPE_CHECKING:
    from holdfast.probes.suite import Suite


def merge_duplicates(suites: Sequence[Suite]) -> tuple[list[Suite], int]:
    """Returns suites in which all that has the same content has the same group, and how many items got another.

    Groups that have an item in common become one, and so all that is asked of them. A text keeps the digest of its
    content for a group, and gives it to the items that are the same text.

    Args:
        suites: All that is measured.
    """
    groups = _Groups(suites)
    made, moved = [], 0
    for suite in suites:
        items = tuple(dataclasses.replace(item, group=groups.root(item.group or item.id)) for item in suite.items)
        moved += sum(now.group != (was.group or was.id) for now, was in zip(items, suite.items, strict=True))
        made.append(dataclasses.replace(suite, items=items))
    return made, moved


class _Groups:
    """The groups of all that is measured, of which those that have something in common are one."""

    def __init__(self, suites: Sequence[Suite]) -> None:
        self._parent: dict[str, str] = {}
        self._texts = {group_of(example) for suite in suites for example in suite.texts}
        first = {text: text for text in self._texts}
        for suite in suites:
            for item in suite.items:
                group = item.group or item.id
                self._join(first.setdefault(of_item(item)[0], group), group)

    def root(self, name: str) -> str:
        """Returns the name of the group that a group is part of."""
        while (above := self._parent.setdefault(name, name)) != name:
            name = above
        return name

    def _join(self, one: str, other: str) -> None:
        """Makes two groups one, which has the name of a text if one of them is."""
        one, other = self.root(one), self.root(other)
        if one != other:
            self._parent[one if other in self._texts else other] = other if other in self._texts else one
