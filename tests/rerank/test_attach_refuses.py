"""What makes no sense on a reranker is refused, with the reason and the way out."""

from __future__ import annotations

import pytest
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses

import holdfast
from holdfast import Budget, Guard, HoldfastError, attach, parse
from holdfast.rerank.collection import CandidateList, collection_of
from tests.rerank import encoders

SENTENCES = {
    "DFT()": "weighs the loss of single tokens",
    "ASFT()": "weighs the loss of single tokens",
    "TALR()": "weighs the loss of single tokens",
    "BaseKL(task_loss='dropped')": "weighs the loss of single tokens",
    "TokenQuality()": r"predicts for each token \(base_typicality_N, typicality_N\)",
    "SelfRehearsal()": "a reranker writes none",
    "SDFT()": "a reranker writes none",
    "OnPolicySDFT()": "weighs the loss of single tokens",
    "RefusalRehearsal()": "a reranker writes none",
    "PromptRehearsal()": "a reranker writes none",
    "AGEM('old')": "stored token sequences",
    "ConflictDecay('old')": "stored token sequences",
    "OrthogonalProjection('old')": "activations of tokenised examples",
    "CorDA('old')": "activations of tokenised examples",
    "LoRANull('old')": "activations of tokenised examples",
    "QLoRA()": "its scores would move",
    "Train(base_cache=1.0) + BaseKL()": "reads its pairs at each visit",
    "Train(teacher='cache') + BaseKL()": "stores the base's states of tokens",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    model = encoders.encoder(double=False)
    return encoders.trainer(model, encoders.pairs(8), tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("recipe", SENTENCES)
def test_the_sentence_names_the_method_and_the_reason(recipe, built):
    before = dict(vars(built))
    with pytest.raises(HoldfastError, match=SENTENCES[recipe]):
        attach(built, parse(recipe), memories={"old": encoders.pairs(2)})
    assert dict(vars(built)) == before


def test_the_other_refusals(built, tmp_path):
    with pytest.raises(HoldfastError, match="rows of single pairs have no other documents"):
        attach(built, "MaskTheTarget()")
    with pytest.raises(HoldfastError, match="follows a plan for language models"):
        attach(built, "auto")
    with pytest.raises(HoldfastError, match="chunked_loss=True"):
        attach(built, "BaseKL()", chunked_loss=True)
    with pytest.raises(HoldfastError, match=r"limit their nDCG@10 by Budget\(points=1\)"):
        attach(built, "BaseKL()", Budget(nll=0.02), keep=collection_of([CandidateList("q", ("a", "b"), (1, 0))], "one"))
    with pytest.raises(HoldfastError, match="give a source of queries, a Collection or a RerankSuite, not int"):
        attach(built, "BaseKL()", Budget(points=1), keep=[3])
    with pytest.raises(HoldfastError, match="do not have the same columns"):
        attach(built, "Rehearsal('old')", memories={"old": encoders.lists(2)})
    with pytest.raises(HoldfastError, match="weighs old tokens against new ones"):
        attach(built, "BaseKL()", Budget(points=1), keep=[], guard=Guard(on_spent="steer"))
    several = CrossEncoder(
        encoders.folder(), device="cpu", num_labels=3, model_kwargs={"ignore_mismatched_sizes": True}
    )
    rows = [{**row, "label": int(row["label"])} for row in encoders.pairs(4)]
    with pytest.raises(HoldfastError, match="this model has 3 labels"):
        attach(encoders.trainer(several, rows, tmp_path), "BaseKL()")
    attach(encoders.trainer(several, rows, tmp_path), "BaseL2()")


def test_a_trainer_is_attached_once(tmp_path):
    model = encoders.encoder(double=False)
    trainer = attach(encoders.trainer(model, encoders.lists(4), tmp_path, losses.ListNetLoss(model)), "BaseKL()")
    with pytest.raises(HoldfastError, match="has a recipe already"):
        attach(trainer, "BaseL2()")


def test_every_method_either_attaches_or_says_why_not(tmp_path, monkeypatch):
    refused = {name.partition("(")[0] for name in SENTENCES} - {"BaseKL", "Train"}
    others = {"TIES": {"models": "x"}, "Soup": {"models": "x"}}  # need folders of other runs
    for name in holdfast.methods.names.METHODS:
        kind = getattr(holdfast, name)
        if name in others:
            continue
        model = encoders.encoder(double=False)
        trainer = encoders.trainer(model, encoders.lists(4), tmp_path, losses.ListNetLoss(model))
        recipe = kind.example()
        if hasattr(recipe, "targets"):
            recipe = kind.example(targets="query,value")
        if name == "LoRAPlus":
            recipe = recipe + holdfast.LoRA(rank=2, targets="query")
        if kind in map(type, recipe.parts()) and (recipe.uses("weigh_tokens") and name != "BaseKL"):
            refused.add(name)
        if name in refused:
            with pytest.raises(HoldfastError):
                attach(trainer, recipe, memories={"old": encoders.lists(2)})
        else:
            attach(trainer, recipe, memories={"old": encoders.lists(2)})
