"""What a healing says of the learning that is left."""

from __future__ import annotations

import dataclasses

import pytest

from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.heal.words import sentence_of
from tests.report.page import made


@pytest.mark.parametrize(
    ("left", "said"), [(0.944, "keeps 94% of"), (0.004, "keeps nothing of"), (-0.01, "nothing of")]
)
def test_the_share_of_the_learning_is_never_below_nothing(tmp_path, left, said):
    record = HealRecord.read(made.healing(tmp_path))
    assert said in sentence_of(dataclasses.replace(record, learning_left=left))
