"""Soup: ship the mean of the weights of several runs from one base."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from holdfast.core.blocks import wide
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, State
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods import other_runs


def uniform_soup(weights: Sequence[Tensor]) -> Tensor:
    """Returns the mean of one weight over several models, computed in float32 or wider, in the dtype of the first."""
    return torch.stack(wide(*weights)).mean(0).to(weights[0].dtype)


def greedy_soup(
    models: Sequence[Mapping[str, Tensor]], score: Callable[[dict[str, Tensor]], float]
) -> tuple[dict[str, Tensor], list[int]]:
    """Returns the mean of the models that do not make it worse, and their numbers in the order of joining.

    Models are tried from the best to the worst. A model joins if the mean with it scores at least as high as the mean
    without it. A NaN counts as the lowest score.

    Args:
        models: Weights by name, the same names and shapes in all; at least one.
        score: Scores weights on held-out examples; higher is better.

    Raises:
        HoldfastError: There is no model, or their names differ.
    """
    if not models or any(model.keys() != models[0].keys() for model in models):
        raise HoldfastError("greedy_soup: give at least one model, and the same names of weights in all of them.")

    def mean(chosen: Sequence[int]) -> dict[str, Tensor]:
        return {name: uniform_soup([models[i][name] for i in chosen]) for name in models[0]}

    def scored(weights: dict[str, Tensor]) -> float:
        value = float(score(weights))
        return -math.inf if math.isnan(value) else value

    alone = [scored(dict(model)) for model in models]
    first, *rest = sorted(range(len(models)), key=lambda i: -alone[i])
    chosen, best = [first], alone[first]
    for i in rest:
        value = scored(mean([*chosen, i]))
        if value >= best and value > -math.inf:
            chosen, best = [*chosen, i], value
    return mean(chosen), chosen


@dataclasses.dataclass(frozen=True, repr=False)
class Soup(Method):
    """Ships the mean of several runs' weights.

    Ships the mean of this run's weights and those of other runs from the same base.

        theta = (theta_1 + ... + theta_n) / n

    theta_1 are the weights of this run; the others are in the folders `models`. Chance changes of single runs average
    out, and changes that all runs share stay.

    Args:
        models: Folders of models that were saved whole, separated by commas, from runs with other seeds, orders of the
            examples or learning rates.

    Reference:
        Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves accuracy without
        increasing inference time, 2022, arXiv 2203.05482, section 2 (uniform soup).

    Confidence:
        memory: The mean is simple; the greedy recipe is from memory.

    Cost:
        The other runs. Also one pass over their files after training.

    Departs:
        The soup is uniform. The greedy soup, which the paper prefers, needs held-out scores; use the function
        `greedy_soup`. Only weights that this run trained are averaged; frozen weights stay those of the base. A mix of
        two fine-tuned language models does not always keep the skills of each (arXiv 2510.17776), so measure the
        result.
    """

    models: str = setting("", unit="folders")

    def __post_init__(self) -> None:
        """Checks the settings; a soup needs at least one other run."""
        super().__post_init__()
        if not other_runs.folders(self.models):
            raise HoldfastError("Soup() needs other runs: Soup(models='runs/seed-1, runs/seed-2').")

    def init_state(self, run: Run) -> State:
        """Checks that the folders have the weights; returns an empty state.

        Raises:
            HoldfastError: A folder does not have them.
        """
        other_runs.check(repr(self), other_runs.folders(self.models), run.model)
        return {}

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the mean of the weight over all runs."""
        (like,) = wide(tuned)
        weights = [other_runs.weight(repr(self), folder, name, like) for folder in other_runs.folders(self.models)]
        return uniform_soup([like, *weights]).to(tuned.dtype)
