"""The edits that healing tries, each a path of one strength: at 0 it is the base, at 1 the tuned model.

An edit gives a method for each tensor, and the methods are those of a recipe (`WiSEFT`, `FAPM`, `TIES`,
`IntruderReduction`). Less strength keeps less of the change, so that loss and learning grow with the strength, up to
noise. Scaling the task vector by a factor from 0 to 1 is WiSE-FT, so one edit serves both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable

import torch

from holdfast.core.method import Chain, Method, State
from holdfast.core.params import layer_of
from holdfast.methods.edits.fapm import FAPM
from holdfast.methods.edits.intruder_reduction import IntruderReduction
from holdfast.methods.edits.ties import TIES
from holdfast.methods.edits.wise_ft import WiSEFT

_ATTENTION = ("attn", "attention")
_MLP = ("mlp", "ffn", "feed_forward", "expert", ".fc1", ".fc2", "dense_h_to_4h", "intermediate.dense", ".output.dense")
_FIRST = ("embed", "wte", "wpe")


@dataclasses.dataclass(frozen=True)
class Place:
    """The place of a tensor in a model.

    Attributes:
        name: Its name.
        depth: 0 in the lowest layer and in the embeddings, 1 in the highest layer, the last norm and the head.
        module: "attention", "mlp" or "other".
    """

    name: str
    depth: float
    module: str


def place_of(name: str, layers: int) -> Place:
    """Returns the place of a tensor in a model with a number of layers."""
    layer = layer_of(name)
    if layer is None:
        return Place(name, 0.0 if any(word in name for word in _FIRST) else 1.0, "other")
    module = "attention" if _has(name, _ATTENTION) else "mlp" if _has(name, _MLP) else "other"
    return Place(name, layer / (layers - 1) if layers > 1 else 1.0, module)


def layers_of(names: Iterable[str]) -> int:
    """Returns the number of layers of a model, given the names of its tensors."""
    return 1 + max((layer for name in names if (layer := layer_of(name)) is not None), default=0)


def _has(name: str, words: Collection[str]) -> bool:
    return any(word in name for word in words)


@dataclasses.dataclass(frozen=True)
class Edit:
    """One edit, with one strength.

    Attributes:
        name: Its name on the command line.
        method: Returns the method that edits a tensor, given the strength and the tensor's place.
        text: Returns the edit in words, given the strength.
        scale: Returns the factor on the change of a tensor, if the edit only scales changes; else None.
    """

    name: str
    method: Callable[[float, Place], Method]
    text: Callable[[float], str]
    scale: Callable[[float, Place], float] | None = None

    def at(self, strength: float, place: Place) -> Method:
        """Returns the method for a tensor: at strength 0 the base, at strength 1 the tuned weight, to the bit."""
        return WiSEFT(alpha=strength) if strength in (0.0, 1.0) else self.method(strength, place)


def _scaling(name: str, scale: Callable[[float, Place], float], text: Callable[[float], str]) -> Edit:
    return Edit(name, lambda strength, place: WiSEFT(alpha=scale(strength, place)), text, scale)


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))


def _first(module: str) -> Callable[[float, Place], float]:
    """Returns a scale that lets one kind of module come back first, and then everything else."""
    return lambda strength, place: _clip(2 * strength if place.module == module else 2 * strength - 1)


def _of_modules(name: str, words: str) -> Edit:
    def text(strength: float) -> str:
        inside, rest = _clip(2 * strength), _clip(2 * strength - 1)
        return f"{inside:.0%} of the change of {words}, {rest:.0%} of every other"

    return _scaling(name, _first(name), text)


def _intruders(strength: float, place: Place) -> Method:
    """Returns a method that weakens intruders down to half the strength, and then the rest of the change."""
    if strength >= 0.5:
        return IntruderReduction(scale=2 * strength - 1)
    return Chain((IntruderReduction(scale=0.0), WiSEFT(alpha=2 * strength)))


def _in_words_of_intruders(strength: float) -> str:
    if strength >= 0.5:
        return f"intruder dimensions at {2 * strength - 1:.0%} of their size"
    return f"no intruder dimensions, and {2 * strength:.0%} of the rest of the change"


EDITS: dict[str, Edit] = {
    edit.name: edit
    for edit in (
        _scaling("scale", lambda strength, _: strength, lambda strength: f"{strength:.1%} of every change"),
        _scaling(
            "upper",
            lambda strength, place: _clip(2 * strength - 1 + place.depth),
            lambda s: (
                f"{_clip(2 * s - 1):.0%} of the change of the lowest layer, rising to {_clip(2 * s):.0%} of the highest"
            ),
        ),
        _scaling(
            "lower",
            lambda strength, place: _clip(2 * strength - place.depth),
            lambda s: (
                f"{_clip(2 * s):.0%} of the change of the lowest layer, falling to {_clip(2 * s - 1):.0%} of the"
                " highest"
            ),
        ),
        _of_modules("attention", "attention"),
        _of_modules("mlp", "the MLPs"),
        Edit(
            "fapm",
            lambda strength, _: FAPM(keep=strength**2),
            lambda s: f"the {s**2:.1%} of the changes that FAPM scores highest",
        ),
        Edit(
            "ties",
            lambda strength, _: TIES(keep=strength**2),
            lambda s: f"the {s**2:.1%} of the changes that are largest",
        ),
        Edit("intruders", _intruders, _in_words_of_intruders),
    )
}
"""The edits by name. The strength of FAPM and TIES is the root of the share that they keep: a few large changes carry
most of what was learned."""


def state_of(transposed: Iterable[str]) -> State:
    """Returns the state that the methods of the edits read: the names of weights stored as `[in, out]`."""
    turned = {name: torch.tensor(True) for name in transposed}
    return {"turned": turned, "0.IntruderReduction": {"turned": turned}}  # the second is its state in a sum
