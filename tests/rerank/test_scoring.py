"""Scores of rerankers are those of sentence-transformers, in the order of the pairs."""

import json

import numpy as np
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.recognition import is_reranker, kind_of_model
from holdfast.rerank.scoring import BiEncoderReranker, CrossEncoderReranker
from tests.rerank import models

PAIRS = [
    ("where does anna live", "anna live in oakmere"),
    ("the price of a lamp", "a lamp is ten coins " * 9),
    ("cat", "sleeps"),
    ("where does anna live", "the cat sleeps"),
    ("where does anna live in the oakmere", ""),
]


def test_a_cross_encoder_scores_as_predict_does(tmp_path):
    reranker = load_reranker(models.cross_encoder(tmp_path), batch_tokens=60)
    expected = reranker.model.predict(PAIRS, activation_fn=torch.nn.Identity())
    done = []
    scores = reranker.score(PAIRS, lambda now, total: done.append((now, total)))
    assert np.allclose(scores, expected, atol=1e-6)
    assert scores.std() > 0.05
    assert done[-1] == (5, 5)
    assert len(done) > 1
    assert reranker.score([]).shape == (0,)


def test_pairs_beyond_the_limit_are_cut_as_predict_cuts_them(tmp_path):
    reranker = load_reranker(models.cross_encoder(tmp_path), max_length=12)
    expected = reranker.model.predict(PAIRS, activation_fn=torch.nn.Identity())
    assert np.allclose(reranker.score(PAIRS), expected, atol=1e-6)
    assert reranker.cut == 1
    whole = load_reranker(models.cross_encoder(tmp_path))
    assert not np.allclose(whole.score(PAIRS), expected, atol=1e-4)
    assert whole.cut == 1  # the second pair has more than the 40 tokens of the model
    whole.score(PAIRS[2:])
    assert whole.cut == 0
    assert load_reranker(models.cross_encoder(tmp_path), max_length=999).model.max_seq_length == 40


def test_scoring_leaves_the_model_as_it_was(tmp_path):
    reranker = load_reranker(models.cross_encoder(tmp_path))
    first = reranker.score(PAIRS)
    reranker.model.train()
    assert np.allclose(reranker.score(PAIRS), first, atol=1e-6)  # without dropout
    assert reranker.model.training


def test_a_causal_reranker_scores_by_yes_less_no(tmp_path):
    pairs = [PAIRS[0], *PAIRS[2:4]]  # none is cut
    reranker = load_reranker(models.causal(tmp_path), batch_tokens=50)
    assert isinstance(reranker, CrossEncoderReranker)
    scores = reranker.score(pairs)
    assert np.allclose(scores, reranker.model.predict(pairs, activation_fn=torch.nn.Identity()), atol=1e-5)
    tokenizer, transformer = reranker.model.tokenizer, reranker.model[0].model
    texts = [f"query {query} document {document} is the lamp yes or no " for query, document in pairs]
    for text, score in zip(texts, scores, strict=True):
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            logits = transformer(**ids).logits[0, -1]
        assert score == pytest.approx(float(logits[4] - logits[5]), abs=1e-5)


def test_a_bi_encoder_scores_by_the_similarity_of_embeddings(tmp_path):
    name = models.bi_encoder(tmp_path)
    reranker = load_reranker(name)
    assert isinstance(reranker, BiEncoderReranker)
    first = reranker.model.encode([query for query, _ in PAIRS[:4]])
    last = reranker.model.encode([document for _, document in PAIRS[:4]])
    cosine = (first * last).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(last, axis=-1)
    assert np.allclose(reranker.score(PAIRS[:4]), cosine, atol=1e-5)
    assert reranker.cut == 1


def test_an_adapter_is_merged_into_its_base(tmp_path):
    import peft

    base = models.cross_encoder(tmp_path / "base")
    reranker = load_reranker(base)
    plain = reranker.score(PAIRS)
    torch.manual_seed(1)
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], init_lora_weights=False)
    adapted = peft.get_peft_model(reranker.model[0].model, config)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    expected = reranker.score(PAIRS)
    notes = []
    merged = load_reranker(str(tmp_path / "adapter"), base, notes)
    assert np.allclose(merged.score(PAIRS), expected, atol=1e-5)
    assert not np.allclose(plain, expected, atol=1e-3)
    assert notes == [f"{tmp_path / 'adapter'}: the adapter is merged into {base}."]
    assert kind_of_model(str(tmp_path / "adapter")) == "cross-encoder"


def test_models_are_recognised_by_their_config(tmp_path):
    assert kind_of_model(models.cross_encoder(tmp_path / "a")) == "cross-encoder"
    assert kind_of_model(models.cross_encoder(tmp_path / "b", labels=3)) == "other"
    assert kind_of_model(models.bi_encoder(tmp_path / "c")) == "bi-encoder"
    assert kind_of_model(models.causal(tmp_path / "d")) == "causal"
    load_reranker(str(tmp_path / "d")).model.save(str(tmp_path / "saved"))
    assert kind_of_model(str(tmp_path / "saved")) == "cross-encoder"
    assert [is_reranker(str(tmp_path / name)) for name in "abd"] == [True, False, False]
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "config.json").write_text("[broken")
    assert kind_of_model(str(tmp_path / "e")) == "other"
    assert kind_of_model("nobody/has-this") == "other"


def test_what_gives_no_single_score_is_refused(tmp_path):
    with pytest.raises(HoldfastError, match=r"has 3 outputs for each pair; a reranker has one score"):
        load_reranker(models.cross_encoder(tmp_path / "a", labels=3))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(HoldfastError, match=r"Reranker '.*b' cannot be loaded"):
        load_reranker(str(tmp_path / "b"))


def test_a_score_that_is_no_number_names_its_pair(tmp_path):
    reranker = load_reranker(models.cross_encoder(tmp_path))
    with torch.no_grad():
        reranker.model[0].model.classifier.bias.fill_(float("nan"))
    with pytest.raises(HoldfastError, match=r"The score of 'where does anna live' .* is nan, as of 5 of 5 pairs"):
        reranker.score(PAIRS)


def test_a_missing_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(HoldfastError, match=r'Rerankers need sentence-transformers.*pip install "holdfast\[rerank\]"'):
        load_reranker("anything")


def test_an_adapter_is_loaded_on_its_own_base_and_on_the_given_one_only_without_it(tmp_path):
    import peft

    own, other = models.cross_encoder(tmp_path / "own"), models.cross_encoder(tmp_path / "other", seed=5)
    reranker, name = load_reranker(own), str(tmp_path / "adapter")
    config = peft.LoraConfig(target_modules=["query", "value"])
    peft.get_peft_model(reranker.model[0].model, config).save_pretrained(name)  # it changes nothing yet
    assert np.allclose(load_reranker(name, other).score(PAIRS), load_reranker(own).score(PAIRS), atol=1e-5)
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(file.read_text().replace(own, f"{own}-gone"))
    notes = []
    on_other = load_reranker(name, other, notes)
    assert np.allclose(on_other.score(PAIRS), load_reranker(other).score(PAIRS), atol=1e-5)
    assert notes[0] == f"{name} was made on '{own}-gone', which is not available here; it is loaded on {other}."
    with pytest.raises(HoldfastError, match="own-gone' cannot be loaded"):
        load_reranker(name)


def test_a_bi_encoder_embeds_as_many_tokens_at_once_as_it_is_given(tmp_path):
    name, read = models.bi_encoder(tmp_path), []
    whole = load_reranker(name)
    few = load_reranker(name, batch_tokens=16)
    few.model[0].register_forward_pre_hook(lambda _module, given: read.append(given[0]["input_ids"].shape))
    assert np.allclose(few.score(PAIRS), whole.score(PAIRS), atol=1e-5)
    assert max(rows * length for rows, length in read if rows > 1) <= 16
    assert whole.batch_tokens == 8192


def test_the_prompt_of_a_model_stands_before_each_pair_as_in_predict(tmp_path):
    reranker = load_reranker(models.cross_encoder(tmp_path))
    plain = reranker.score(PAIRS)
    reranker.model.prompts, reranker.model.default_prompt_name = {"coins": "ten coins "}, "coins"
    expected = reranker.model.predict(PAIRS, activation_fn=torch.nn.Identity())
    assert np.allclose(reranker.score(PAIRS), expected, atol=1e-6)
    assert not np.allclose(plain, expected, atol=1e-3)


def test_a_model_without_a_head_is_no_reranker_unless_an_adapter_has_its_head(tmp_path):
    import peft
    from transformers import BertForSequenceClassification, BertModel

    config = BertForSequenceClassification.from_pretrained(models.cross_encoder(tmp_path / "a")).config
    bare = BertModel(config)
    bare.save_pretrained(tmp_path / "bare")
    models.words_tokenizer().save_pretrained(tmp_path / "bare")
    with pytest.raises(
        HoldfastError, match=r"bare' has no head that scores pairs, and a new one would score at random"
    ):
        load_reranker(str(tmp_path / "bare"))

    whole = BertForSequenceClassification.from_pretrained(tmp_path / "bare", num_labels=1)
    for name, heads in (("with", ["classifier"]), ("without", None)):
        how = {"r": 2, "target_modules": ["query"], "modules_to_save": heads}
        adapted = peft.get_peft_model(whole, peft.LoraConfig(**how))
        adapted.save_pretrained(tmp_path / name)
        whole = adapted.unload()
    scores = [load_reranker(str(tmp_path / "with")).score(PAIRS) for _ in range(2)]
    assert np.allclose(*scores, atol=1e-6)
    with pytest.raises(HoldfastError, match=r"bare' has no head that scores pairs"):
        load_reranker(str(tmp_path / "without"))


def test_a_bi_encoder_that_only_loading_downloads_is_recognised(tmp_path, monkeypatch):
    from holdfast.rerank import loading

    name = models.bi_encoder(tmp_path)
    kinds = iter(["other", "bi-encoder"])  # its files are in the cache of the hub from the first loading on
    monkeypatch.setattr(loading, "kind_of_model", lambda _: next(kinds))
    assert isinstance(load_reranker(name), BiEncoderReranker)
