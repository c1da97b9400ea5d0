"""Items that stand in several suites or under several names form one group, so that they stand on one side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.probes.watch_record import group_of, of_item

if TYPE_CHECKING:
    from holdfast.probes.suite import Suite


def merge_duplicates(suites: Sequence[Suite]) -> tuple[list[Suite], int]:
    """Returns suites in which equal content has equal groups, and the number of items whose group changed.

    Groups that share an item are merged. The group of a text is the digest of its content, and items with the same text
    take that group.

    Args:
        suites: All suites of a run.
    """
    groups = _Groups(suites)
    merged, moved = [], 0
    for suite in suites:
        items = tuple(dataclasses.replace(item, group=groups.root(item.group or item.id)) for item in suite.items)
        moved += sum(now.group != (was.group or was.id) for now, was in zip(items, suite.items, strict=True))
        merged.append(dataclasses.replace(suite, items=items))
    return merged, moved


class _Groups:
    """The groups of all suites, as a disjoint-set forest: groups that share content have one root."""

    def __init__(self, suites: Sequence[Suite]) -> None:
        self._parent: dict[str, str] = {}
        self._texts = {group_of(example) for suite in suites for example in suite.texts}
        first = {text: text for text in self._texts}
        for suite in suites:
            for item in suite.items:
                group = item.group or item.id
                self._join(first.setdefault(of_item(item)[0], group), group)

    def root(self, name: str) -> str:
        """Returns the name of the merged group that contains a group."""
        while (above := self._parent.setdefault(name, name)) != name:
            name = above
        return name

    def _join(self, first: str, second: str) -> None:
        """Merges two groups; the name of a text wins."""
        first, second = self.root(first), self.root(second)
        if first != second:
            self._parent[first if second in self._texts else second] = second if second in self._texts else first
