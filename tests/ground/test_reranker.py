"""The domains of the embedded reranker, what it knows of them, and its build."""

import json
import statistics

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.ground.build_reranker import build
from holdfast.ground.contracts import CLAUSES
from holdfast.ground.names import reranker_folder
from holdfast.ground.reranker_training import RerankerSettings, Training, build_model, build_tokenizer, lists, rate
from holdfast.ground.retrieval import CONTRACTS, DEPTH, DOMAINS, GENERAL, collection
from holdfast.rerank.first_stage import by_bm25
from holdfast.rerank.leaks import normalised
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.metrics import MAIN
from holdfast.rerank.sources import read_collection
from holdfast.rerank.suite import RerankSuite

SMALL = RerankerSettings(vocabulary=700, hidden=32, layers=1, intermediate=32, steps=40, until=6, lists=5, warmup=2)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_has_candidates_that_hold_all_relevant_documents(domain):
    drawn = collection(f"{domain}/cut")
    assert len(drawn.judged) == 80
    for query in drawn.judged:
        candidates = drawn.candidates[query]
        assert len({*candidates}) == len(candidates) == (len(CLAUSES) if domain == CONTRACTS else DEPTH)
        assert drawn.relevant(query) < {*candidates}
        assert all(at in drawn.documents for at in candidates)


def test_splits_share_no_query_and_are_the_same_each_time():
    splits = {split: collection(f"towns/{split}") for split in ("train", "watch", "proof")}
    texts = {name: {normalised(query.text) for query in drawn.queries.values()} for name, drawn in splits.items()}
    assert not texts["train"] & (texts["watch"] | texts["proof"])  # the wordings differ
    assert not splits["watch"].queries.keys() & splits["proof"].queries.keys()
    groups = {name: {*drawn.groups().values()} for name, drawn in splits.items()}
    assert not groups["watch"] & groups["proof"]
    collection.__globals__["_collection"].cache_clear()
    assert collection("towns/proof") == splits["proof"]
    assert collection("towns/proof@7") != splits["proof"]


def test_a_document_that_states_the_fact_is_relevant_whatever_else_it_says():
    drawn = collection("events/cut")
    several = [query for query in drawn.judged if len(drawn.relevant(query)) > 1]
    assert several
    for query in several:
        name = drawn.queries[query].group.rsplit(" ", 1)[0].removeprefix("the ")
        assert all(name in drawn.documents[at].content for at in drawn.relevant(query))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("rerank/peple", r"'ground:rerank/peple': there is no domain 'peple'; use one of .* Did you mean 'people'\?"),
        ("rerank/people/tst", r"there is no split 'tst'; use one of proof, watch, train, cut, all"),
        ("rerank/people@x", r"the seed behind '@' must be a whole number"),
    ],
)
def test_an_unknown_name_is_refused(name, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        collection(name)


def test_the_shipped_reranker_knows_the_general_domains_and_not_the_contracts():
    reranker = load_reranker(str(reranker_folder()))
    assert sum(p.numel() for p in reranker.model.parameters()) <= 3_000_000
    about = json.loads((reranker_folder() / "reranker.json").read_text())
    assert {*about["domains"]} == {*DOMAINS}
    for domain in ("people", CONTRACTS):
        suite = RerankSuite(read_collection(f"ground:rerank/{domain}/cut", []))
        found, first = (
            100 * statistics.fmean(ranked.metrics[MAIN].values())
            for ranked in (suite.ask(reranker), suite.ranked(by_bm25(suite.collection)))
        )
        assert found == pytest.approx(about["domains"][domain]["reranker"], abs=8)  # 80 queries of the 300
        assert (found > first + 10) is (domain in GENERAL)


def test_the_tokenizer_is_the_same_each_time():
    first, last = (build_tokenizer(SMALL, 1) for _ in range(2))
    assert first.get_vocab() == last.get_vocab()
    assert first.tokenize("Where does Halo live?")[:2] == ["where", "does"]


def test_a_build_continues_where_it_stopped_and_writes_what_loads(tmp_path, monkeypatch):
    known = {domain: {"reranker": 1.0, "bm25": 2.0, "ties": 3.0} for domain in DOMAINS}
    monkeypatch.setattr("holdfast.ground.build_reranker.scores", lambda folder: known)
    monkeypatch.setattr("holdfast.ground.build_reranker.build_tokenizer", lambda given: build_tokenizer(given, 1))
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / "a", 4)
    assert (tmp_path / "a.partial" / "checkpoint.safetensors").exists()
    build(tmp_path / "a", SMALL)
    build(tmp_path / "b", SMALL)
    first, last = (load_reranker(str(tmp_path / name)).model.state_dict() for name in "ab")
    assert all(torch.equal(first[name], last[name]) for name in first)
    with pytest.raises(HoldfastError, match=r"already exists"):
        build(tmp_path / "a", SMALL)
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / "c", 4)
    with pytest.raises(HoldfastError, match=r"was begun with other settings"):
        build(tmp_path / "c", SMALL, seed=1)


def _interrupted(folder, at):
    """Builds with a checkpoint at every second step, and is interrupted before step `at`."""
    patch = pytest.MonkeyPatch()
    whole = Training.step

    def step(self, number):
        if number == at:
            raise KeyboardInterrupt
        return whole(self, number)

    with patch.context() as context:
        context.setattr(Training, "step", step)
        context.setattr("holdfast.ground.build_reranker.EVERY", 2)
        build(folder, SMALL)


def test_the_rate_rises_and_falls_to_a_twentieth():
    settings = RerankerSettings(steps=100, warmup=10, lr=1.0)
    rates = [rate(settings, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[-1] == pytest.approx(0.05, abs=0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_untrained_model_reads_its_own_copies_and_leaves_the_random_state():
    tokenizer = build_tokenizer(SMALL, 1)
    state = torch.random.get_rng_state()
    model = build_model(SMALL, tokenizer, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    attention = model.bert.encoder.layer[0].attention.self
    assert torch.equal(attention.query.weight, attention.key.weight)
    query, *documents = next(lists(SMALL, 0))
    assert len({*documents}) == SMALL.documents
    assert tokenizer(query, documents[0])["token_type_ids"][-1] == 1
