"""A recipe on sentence-transformers' CrossEncoderTrainer, against a loop written out and the library itself."""

from __future__ import annotations

import copy

import pytest
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses

from holdfast import (
    EWC,
    FAPM,
    BaseKL,
    BaseL2,
    BaseMSE,
    Finch,
    FreezeBottom,
    HoldfastError,
    LayerwiseDecay,
    LoRA,
    MaskTheTarget,
    Rehearsal,
    Train,
    WiSEFT,
    attach,
)
from holdfast.rerank.penalties import list_kl, order_kl, pair_kl, score_mse
from tests.rerank import encoders


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def moved(before, after):
    return sum((after[name] - value).abs().sum().item() for name, value in before.items())


def trained(rows, recipe, out, loss=encoders.WideListLoss, **settings):
    model = encoders.encoder()
    trainer = encoders.trainer(model, rows, out, loss(model), **settings)
    if recipe is not None:
        attach(trainer, recipe)
    trainer.train()
    return weights(model)


def scores_of(model, row):
    pairs = [(row["query"], document) for document in row["documents"]]
    return model(model.preprocess(pairs))["scores"].view(-1)


def written_out(rows, steps, term, rate=0.05):
    """The same training as a plain loop: `steps` holds the rows of each, and `term` the penalty of one row."""
    model, base = encoders.encoder(), encoders.encoder()
    params = list(model.parameters())
    for step in steps:
        loss = torch.zeros((), dtype=torch.float64)
        for i in step:
            z, y = scores_of(model, rows[i]), torch.tensor(rows[i]["labels"])
            b = scores_of(base, rows[i]).detach()
            loss = loss + (-(z.log_softmax(0) * (y > 0)).sum() + term(z[None], b[None], (y > 0)[None])[0]) / len(step)
        grads = torch.autograd.grad(loss, params, allow_unused=True)
        grads = [torch.zeros_like(p) if g is None else g for p, g in zip(params, grads, strict=True)]
        norm = torch.stack([g.norm() for g in grads]).norm()
        with torch.no_grad():
            for p, g in zip(params, grads, strict=True):
                p -= rate * g / max(1.0, norm.item() + 1e-6)
    return weights(model)


TERMS = [
    (BaseKL(strength=2.0), lambda z, b, y: 2.0 * list_kl(z, b)),
    (BaseKL(direction="reverse"), lambda z, b, y: list_kl(z, b, "reverse")),
    (MaskTheTarget(strength=3.0), lambda z, b, y: 3.0 * order_kl(z, b, y)),
    (BaseMSE(strength=0.5), lambda z, b, y: 0.5 * score_mse(z, b)),
    (BaseKL() + BaseMSE(), lambda z, b, y: list_kl(z, b) + 0.1 * score_mse(z, b)),
]


@pytest.mark.parametrize(("recipe", "term"), TERMS, ids=[repr(recipe) for recipe, _ in TERMS])
def test_the_trainer_ends_where_a_plain_loop_ends_however_a_step_is_split(recipe, term, tmp_path):
    rows = encoders.lists(16)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(42)).tolist()  # the sampler of seed 42
    wanted = written_out(rows, [order[:8], order[8:]], term)
    for size, times in ((8, 1), (2, 4), (1, 8)):
        found = trained(
            rows, recipe, tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=times, seed=42
        )
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-10, msg=f"{size}x{times} {name}")
    plain = trained(rows, None, tmp_path, per_device_train_batch_size=8, seed=42)
    assert moved(plain, wanted) > 1e-3


def test_pairs_are_compared_by_their_probabilities_of_relevance(tmp_path):
    rows, found = encoders.pairs(8), []
    for size, times in ((8, 1), (2, 4), (1, 8)):
        split = {"per_device_train_batch_size": size, "gradient_accumulation_steps": times}
        found.append(trained(rows, BaseKL(strength=4.0), tmp_path, encoders.WidePairLoss, max_steps=2, **split))
    model, base = encoders.encoder(), encoders.encoder()
    params = list(model.parameters())
    for _ in range(2):
        asked = [(row["query"], row["document"]) for row in rows]
        z, b = (side(side.preprocess(asked))["scores"].view(-1) for side in (model, base))
        y = torch.tensor([row["label"] for row in rows], dtype=torch.float64)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y) + 4.0 * pair_kl(z, b).mean()
        grads = torch.autograd.grad(loss, params, allow_unused=True)
        norm = torch.stack([g.norm() for g in grads if g is not None]).norm()
        with torch.no_grad():
            for p, g in zip(params, grads, strict=True):
                p -= 0 if g is None else 0.05 * g / max(1.0, norm.item() + 1e-6)
    for other in found:
        for name, value in weights(model).items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-10)


LOSSES = {
    "pairs": (encoders.pairs, [losses.BinaryCrossEntropyLoss, losses.MSELoss]),
    "lists": (
        encoders.lists,
        [losses.ListNetLoss, losses.ListMLELoss, losses.PListMLELoss, losses.RankNetLoss, losses.LambdaLoss],
    ),
    "tuples": (encoders.triples, [losses.MultipleNegativesRankingLoss]),
}


@pytest.mark.parametrize(
    ("form", "kind"),
    [(form, kind) for form, (_, kinds) in LOSSES.items() for kind in kinds],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_it_works_beside_every_loss_of_the_library(form, kind, tmp_path):
    model = encoders.encoder(double=False, dropout=0.1)
    trainer = encoders.trainer(model, LOSSES[form][0](8), tmp_path, kind(model))
    attach(trainer, BaseKL(strength=5.0))
    before = weights(model)
    trainer.train()
    assert moved(before, weights(model)) > 0
    assert "preprocess" not in vars(model)


def test_a_loss_that_repeats_its_forward_is_refused_in_a_sentence(tmp_path):
    model = encoders.encoder(double=False)
    trainer = attach(
        encoders.trainer(model, encoders.triples(8), tmp_path, losses.CachedMultipleNegativesRankingLoss(model)),
        BaseKL(),
    )
    with pytest.raises(HoldfastError, match="CachedMultipleNegativesRankingLoss scores its pairs without a graph"):
        trainer.train()


def test_the_base_consumes_no_random_numbers(tmp_path):
    found = []
    for recipe in (None, BaseKL(strength=1e-30)):
        model = encoders.encoder(dropout=0.3)
        trainer = encoders.trainer(model, encoders.lists(8), tmp_path, encoders.WideListLoss(model), seed=3)
        if recipe is not None:
            attach(trainer, recipe)
        trainer.train()
        found.append(weights(model))
    assert moved(*found) < 1e-12


def test_an_adapter_trains_beside_its_head_ships_and_loads(tmp_path):
    rows = encoders.lists(8)
    model = encoders.encoder(double=False)
    start = weights(model)
    trainer = encoders.trainer(model, rows, tmp_path / "run", losses.ListNetLoss(model), learning_rate=0.5)
    attach(trainer, LoRA(rank=2, targets="query,value") + MaskTheTarget())
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert any("lora_A" in name for name in names)
    assert any("classifier" in name for name in names)
    trainer.train()
    frozen = weights(model)
    for name, value in start.items():
        if "classifier" not in name and name in frozen:
            assert torch.equal(frozen[name], value), name
    model.save_pretrained(str(tmp_path / "saved"))
    asked = [(row["query"], row["documents"][0]) for row in rows]
    again = CrossEncoder(str(tmp_path / "saved"), device="cpu")
    torch.testing.assert_close(again.predict(asked), model.predict(asked), rtol=1e-5, atol=1e-6)
    base = encoders.encoder(double=False)
    assert abs(torch.tensor(base.predict(asked)) - torch.tensor(model.predict(asked))).max() > 1e-4


def test_a_merged_adapter_ships_whole_weights(tmp_path):
    rows = encoders.lists(8)
    model = encoders.encoder(double=False)
    trainer = encoders.trainer(model, rows, tmp_path / "run", losses.ListNetLoss(model), learning_rate=0.5)
    attach(trainer, LoRA(rank=2, targets="query,value") + Train(ship="merged") + WiSEFT(alpha=0.5))
    trainer.train()
    model.save_pretrained(str(tmp_path / "saved"))
    assert not (tmp_path / "saved" / "adapter_config.json").exists()
    asked = [(row["query"], row["documents"][0]) for row in rows]
    again = CrossEncoder(str(tmp_path / "saved"), device="cpu")
    torch.testing.assert_close(again.predict(asked), model.predict(asked), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "recipe",
    [
        BaseL2(strength=5.0),
        Finch(),
        LayerwiseDecay(),
        FreezeBottom(share=0.5),
        WiSEFT(alpha=0.3),
        FAPM(),
        EWC(memory="old", strength=50.0),
        Rehearsal("old", ratio=0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_methods_on_weights_schedules_and_old_rows_act(recipe, tmp_path):
    rows, found = encoders.lists(12), []
    for used in (None, recipe):
        model = encoders.encoder()
        trainer = encoders.trainer(
            model, rows, tmp_path, encoders.WideListLoss(model), num_train_epochs=2, learning_rate=0.2
        )
        if used is not None:
            attach(trainer, used, memories={"old": encoders.lists(6, seed=5)})
        trainer.train()
        found.append(weights(model))
    assert moved(*found) > 1e-4
    if isinstance(recipe, FreezeBottom):
        start = weights(encoders.encoder())
        still = [name for name, value in start.items() if torch.equal(value, found[1][name])]
        assert any(".layer.0." in name for name in still)
        assert not any(".layer.1." in name for name in still)


def test_half_of_the_rows_are_old_ones_and_finch_reads_the_new_ones_alone(tmp_path):
    model = encoders.encoder()
    trainer = encoders.trainer(model, encoders.lists(12), tmp_path, encoders.WideListLoss(model))
    attach(trainer, Rehearsal("old", ratio=0.5) + Finch(), memories={"old": encoders.lists(6, seed=5)})
    seen = []
    counted = trainer.holdfast.count_tokens
    trainer.holdfast.count_tokens = lambda batches: (seen.extend(batches), counted(batches))
    trainer.train()
    sources = torch.cat([pair[:, 1] for _, pair in seen])
    assert (sources == 0).sum() == 12
    assert (sources == 1).sum() == 11  # the stream ends with a new row
    logged = [entry for entry in trainer.state.log_history if "memory_share" in entry]
    assert [entry["memory_share"] for entry in logged[:5]] == pytest.approx([0.5] * 5)


def test_the_model_is_left_as_found_when_a_recipe_is_refused(tmp_path):
    model = encoders.encoder()
    trainer = encoders.trainer(model, encoders.lists(8), tmp_path, encoders.WideListLoss(model))
    before, names = dict(vars(trainer)), set(weights(model))
    with pytest.raises(HoldfastError, match="Memory 'none.jsonl'|none.jsonl"):
        attach(trainer, LoRA(rank=2, targets="query") + EWC(memory="none.jsonl") + Rehearsal("none.jsonl"))
    assert set(weights(model)) == names
    assert all(vars(trainer)[name] is value for name, value in before.items())
    assert copy.copy(trainer).__class__ is trainer.__class__
