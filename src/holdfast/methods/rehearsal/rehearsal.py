"""Rehearsal: mix old examples into the new ones at a fixed share of the supervised tokens."""

from __future__ import annotations

import dataclasses

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.mix import Mix
from holdfast.core.run import Run
from holdfast.core.settings import setting


@dataclasses.dataclass(frozen=True, repr=False)
class Rehearsal(Method):
    """Mixes old examples into the new ones.

    They make up a fixed share of the supervised tokens.

        loss = (1 - ratio) * CE_new + ratio * CE_memory      in expectation, per token of the step

    Error diffusion over the order of examples keeps the share: at every point of the run, the old examples' share of
    the tokens so far is off by at most one example. For several memories, use several `Rehearsal`s, or one with several
    sources.

    Args:
        memory: Path, hub id or name of the old examples; several, separated by commas, share `ratio` evenly. Use the
            examples that the model learned from, a general set of instructions, or texts of the domain.
        ratio: Share of old examples in the supervised tokens.
        near: How near the memory is to the measured suites (--keep): the "same" kinds of examples, "near" (the same
            skills in other forms), "none", or "unsaid". The result records and shows this, because a skill that is kept
            by rehearsing it says little about other skills.

    Reference:
        Robins, Catastrophic Forgetting, Rehearsal and Pseudorehearsal, 1995; for the share: Bethune et al. 2025, arXiv
        2502.06042 (1% of pretraining data), and 5-20% among practitioners.

    Confidence:
        text: The idea is simple; the shares in the sources range from 1% to 50%.

    Cost:
        The share of old tokens. At a ratio of 0.5 a pass takes twice as long.

    Departs:
        The share counts supervised tokens, not examples, and is exact, not random.
    """

    memory: str = setting("", unit="path, hub id or name", role="memory")
    ratio: float = setting(0.05, unit="share of supervised tokens", low=0.0, high=0.95, search=(0.01, 0.5), log=True)
    near: str = setting("unsaid", unit="nearness to the suites", choices=("unsaid", "same", "near", "none"))

    def __post_init__(self) -> None:
        """Checks the settings; a memory is required."""
        super().__post_init__()
        if not self.sources:
            raise HoldfastError("Rehearsal() needs a memory: Rehearsal(memory='old.jsonl', ratio=0.05).")

    @property
    def off(self) -> bool:
        """Whether the model rehearses nothing."""
        return self.ratio == 0.0

    def mix_data(self, run: Run) -> Mix:
        """Returns the mix with each memory added at its share."""
        mix = run.mix
        mix.check_room(self, self.ratio)
        for name in self.sources:
            examples = [example for example in run.memory(name) if example.supervised]
            if not examples:
                raise HoldfastError(f"{self!r}: memory {name!r} has no example with a supervised token.")
            mix = mix.with_memory(name, examples, self.ratio / len(self.sources), self.near)
        return mix
