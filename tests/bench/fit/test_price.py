"""The price of a training: counted batch by batch, and checked against an independent count."""

import pytest
import torch

from holdfast.bench.fit.fit_inputs import speed_of_products
from holdfast.bench.fit.price import ADAPTED, FORWARD, TRAINED, PlainRun
from holdfast.bench.fit.trials import Candidate
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example

NEW = [Example([1] * n, [-100, *[1] * (n - 1)]) for n in (4, 6, 8, 10, 12, 6, 4, 10)]
OLD = [Example([2] * 5, [-100, *[2] * 4]) for _ in range(6)]


def plain(**changes):
    return PlainRun(**{"examples": NEW, "memories": {"old": OLD}, "epochs": 2.0, "batch": 1, "rows": 1, **changes})


def price(text, **changes):
    return plain(**changes).price(Candidate.of(text))


def test_a_plain_run_costs_one_and_the_price_is_proportional_to_epochs_and_share():
    assert price("Train(lr=1e-3, epochs=2, batch=1)") == pytest.approx(1.0)
    assert price("Train(lr=1e-3, epochs=5, batch=1)") == pytest.approx(2.5)
    assert plain().price(Candidate.of("Train(lr=1e-3, epochs=2, batch=1)"), 0.1) == pytest.approx(0.1)


def test_an_adapter_costs_its_share_of_full_training():
    assert price("Train(lr=1e-3, epochs=2, batch=1) + LoRA()") == pytest.approx(ADAPTED / TRAINED)


def test_old_tokens_and_the_base_that_reads_them_cost_extra():
    """Rows of one token width and no padding: half of the learned tokens are old, so an epoch counts by hand."""
    new, old = [Example([1] * 5, [-100] + [1] * 4)] * 8, [Example([2] * 5, [-100] + [2] * 4)] * 3
    changes = {"examples": new, "memories": {"old": old}}
    rehearsed = price("Train(lr=1e-3, epochs=2, batch=1) + Rehearsal('old', ratio=0.5)", **changes)
    visits = round(rehearsed * 8)  # an epoch ends with its last new row, at most one old row more or less
    assert visits in (15, 16)
    assert rehearsed == pytest.approx(visits / 8)
    held = price("Train(lr=1e-3, epochs=2, batch=1) + BaseKL(on='memory') + Rehearsal('old', ratio=0.5)", **changes)
    assert held - rehearsed == pytest.approx((visits - 8) / 8 * FORWARD / TRAINED)
    every = price("Train(lr=1e-3, epochs=2, batch=1) + BaseKL(on='all') + Rehearsal('old', ratio=0.5)", **changes)
    assert every - rehearsed == pytest.approx(visits / 8 * FORWARD / TRAINED)
    new_alone = price("Train(lr=1e-3, epochs=2, batch=1) + MaskTheTarget()", **changes)
    assert new_alone == pytest.approx(1 + FORWARD / TRAINED)


def test_padding_counts():
    """Batches of all eight rows: each is as long as the longest, so old rows of length 5 cost as much as 12."""
    alone = price("Train(lr=1e-3, epochs=2, batch=8)", batch=8, rows=8)
    assert alone == pytest.approx(1.0)
    single = sum(len(e.input_ids) for e in NEW)
    unpadded = plain(batch=8, rows=1).price(Candidate.of("Train(lr=1e-3, epochs=2, batch=8)"))
    assert unpadded == pytest.approx(1.0)
    one_batch = PlainRun(NEW, {}, 2.0, 8, 8)._plain / TRAINED
    assert one_batch == 8 * 12
    assert PlainRun(NEW, {}, 2.0, 8, 1)._plain / TRAINED == single
    assert PlainRun(NEW, {}, 2.0, 8, 8, width=640)._plain / TRAINED == single  # such a model reads one row of them
    assert PlainRun(NEW, {}, 2.0, 8, 8, width=1)._plain / TRAINED == 8 * 12  # where attention would cost more


def test_another_gradient_beside_the_step_costs_another_step():
    assert price("Train(lr=1e-3, epochs=2, batch=1) + AGEM('old')") == pytest.approx(2.0)
    assert price("Train(lr=1e-3, epochs=2, batch=1) + BaseKL(strength=0.0)") == pytest.approx(1.0)


def test_old_examples_that_the_base_has_yet_to_write_count_at_their_greatest_length():
    """Half of the learned tokens are the base's, in documents of 5 tokens: as with given ones of that length."""
    new, old = [Example([1] * 5, [-100] + [1] * 4)] * 8, [Example([2] * 5, [2] * 5)] * 3
    changes = {"examples": new, "memories": {"old": old}}
    begin = "Train(lr=1e-3, epochs=2, batch=1) + BaseKL(on='memory')"
    given = price(f"{begin} + Rehearsal('old', ratio=0.5)", **changes)
    assert price(f"{begin} + SelfRehearsal(ratio=0.5, count=3, length=5)", **changes) == pytest.approx(given)
    refusals = price("Train(lr=1e-3, epochs=2, batch=1) + RefusalRehearsal(ratio=0.2, length=4)", **changes)
    assert refusals == pytest.approx((8 + 2 * 8 / 5) / 8)  # eight learned tokens in 32 are two answers, of 8 positions


def test_recipe_that_writes_at_every_step_is_refused():
    with pytest.raises(HoldfastError, match="OnPolicySDFT writes its batches at every step"):
        price("Train(lr=1e-3, epochs=2) + OnPolicySDFT()")


def test_the_speed_of_products_is_that_of_the_precision(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "zeros", lambda *size, **how: seen.append(how["dtype"]) or torch.ones(*size, **how))
    assert all(speed_of_products(precision) > 0 for precision in ("fp32", "bf16"))
    assert seen == [torch.float32, torch.bfloat16]
