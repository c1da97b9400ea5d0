"""What the command answers: a plan, a check of a config, a scaling sheet, or several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast.bench.given.specs import PlanSpec
from holdfast.bench.plan.check.check import Checked, check
from holdfast.bench.plan.ranking.ranking_record import RankingPlanRecord
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.plan.scaling import Sheet, sheet

Answer = PlanRecord | RankingPlanRecord | Checked | Sheet


def answers_to(spec: PlanSpec, plan: Callable[[PlanSpec], PlanRecord | RankingPlanRecord]) -> Iterator[Answer]:
    """Yields the answers that the options ask for, each as soon as it is known.

    Args:
        spec: The options.
        plan: Makes the plan; `holdfast.bench.forecast.plan.plan` makes its forecasts too.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    record = None
    if spec.check is not None:
        yield check(spec)
    elif spec.model:
        record = plan(spec)
        yield record
    if spec.sizes:
        yield sheet(record if isinstance(record, PlanRecord) else None)
