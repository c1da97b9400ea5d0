"""`holdfast diff` on rerankers: the verdict, the exit codes, the record, and what is refused."""

import json

import pytest
import torch
from transformers import BertForSequenceClassification

import holdfast
from holdfast.bench.diff.diff_record import DiffRecord
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.probes.watch_record import FILE
from tests.rerank import models

NOUNS = ["anna", "lamp", "cat", "oakmere"]


def folder_of(tmp_path, name, queries=40, contract=False):
    """Writes a collection whose queries have a word in common with one of their four documents."""
    folder = tmp_path / name
    folder.mkdir(parents=True)
    corpus, asked, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for i in range(queries):
        for j, noun in enumerate(NOUNS):
            corpus.append({"_id": f"{name}{i}-{j}", "text": f"the {noun} is ten coins {'live ' * (i % 3)}"})
        asked.append({"_id": f"q{i}", "text": f"price of {NOUNS[i % 4]} {'in ' * (i % 5)}", "contract": f"{name}{i}"})
        qrels.append(f"q{i}\t{name}{i}-{i % 4}\t1")
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "qrels.tsv").write_text("\n".join(qrels) + "\n")
    return str(folder)


@pytest.fixture
def base(tmp_path):
    return models.cross_encoder(tmp_path / "base")


def changed(base, tmp_path, change):
    model = BertForSequenceClassification.from_pretrained(base)
    with torch.no_grad():
        change(model)
    model.save_pretrained(tmp_path / "tuned")
    models.words_tokenizer().save_pretrained(tmp_path / "tuned")
    return str(tmp_path / "tuned")


def test_a_model_that_did_not_change_has_kept_everything(tmp_path, base, capsys):
    tuned = changed(base, tmp_path, lambda model: model.classifier.bias.add_(0.5))
    keep, learned = folder_of(tmp_path, "kept"), folder_of(tmp_path, "law", 20)
    out = str(tmp_path / "out")
    code = main(["diff", base, tuned, "--keep", keep, "--test", learned, "--budget", "points=15", "--out", out])
    record = DiffRecord.read(out)
    assert code == record.exit_code
    assert record.verdict.word == "kept"
    assert [(row.name, row.role, row.items, row.groups) for row in record.suites] == [
        ("law", "learned", 20, 20),
        ("kept", "retained", 40, 40),
    ]
    row = record.ranking["kept"]
    assert list(row.metrics) == ["nDCG@10", "RR@10", "AP", "R@10", "R@100"]
    assert row.metrics["nDCG@10"].change == record.suite("kept").change == 0
    assert (row.queries, row.candidates) == (40, 4.0)
    assert row.bm25 == pytest.approx(100)
    drift = next(symptom for symptom in record.symptoms if symptom.name == "score drift")
    assert drift.present
    assert "risen" in drift.sentence
    printed = capsys.readouterr()
    assert "nDCG@10" in printed.out
    assert "score drift" in printed.out
    assert "every query ranks the documents of its group (40 groups)" in " ".join(printed.err.split())
    again = holdfast.diff(base=f"{out}/base.jsonl", tuned=f"{out}/tuned.jsonl", budget={"points": 15})
    assert again.verdict == record.verdict


def test_a_model_whose_order_is_turned_round_forgot(tmp_path, base):
    # A base that knows: its score is that of the first model; relevant is what it ranks first.
    keep = folder_of(tmp_path, "kept", 60)
    from holdfast.rerank.loading import load_reranker
    from holdfast.rerank.sources import read_collection
    from holdfast.rerank.suite import suite_of

    suite = suite_of(read_collection(keep, []))
    ranked = suite.ask(load_reranker(base))
    best = [f"{query}\t{max(raw, key=raw.get)}\t1" for query, raw in ranked.raw.items()]
    (tmp_path / "kept" / "qrels.tsv").write_text("\n".join(best) + "\n")

    def turn(model):
        model.classifier.weight.neg_()
        model.classifier.bias.neg_()

    tuned = changed(base, tmp_path, turn)
    record = holdfast.diff(base=base, tuned=tuned, keep=(keep,), budget={"points": 1}, task="rerank")
    assert record.verdict.word == "forgot"
    assert record.exit_code == 2
    assert record.suite("kept").before == pytest.approx(100)
    assert record.suite("kept").lost.low > 10
    assert {row.name for row in record.symptoms if row.present} >= {"negatives reordered"}
    assert main(["diff", base, tuned, "--keep", keep, "--budget", "points=1"]) == 2


def test_few_queries_are_not_enough_evidence(tmp_path, base):
    tuned = changed(base, tmp_path, lambda model: model.classifier.weight.add_(torch.randn(1, 16) * 0.5))
    keep = folder_of(tmp_path, "kept", 5)
    assert main(["diff", base, tuned, "--keep", keep, "--budget", "points=1"]) == 3


def test_queries_that_steered_the_training_are_not_judged(tmp_path, base):
    from holdfast.probes.watch_record import WatchEntry, WatchRecord

    tuned = changed(base, tmp_path, lambda model: None)
    things = tuple(WatchEntry("keep", "kept", f"q{i}") for i in range(10))
    WatchRecord(things).write(tmp_path / "tuned")
    assert (tmp_path / "tuned" / FILE).exists()
    record = holdfast.diff(base=base, tuned=tuned, keep=(folder_of(tmp_path, "kept"),), budget={"points": 20})
    assert record.suite("kept").items == 30
    assert record.steered.suites["kept"].left_out == 10
    things = tuple(WatchEntry("keep", "kept", f"q{i}") for i in range(40))
    WatchRecord(things).write(tmp_path / "tuned")
    with pytest.raises(HoldfastError, match=r"40 of 40 items steered the training.*Name other collections"):
        holdfast.diff(base=base, tuned=tuned, keep=(str(tmp_path / "kept"),))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, r"Nothing says what to measure: name collections to keep with --keep"),
        ({"keep": ("a", "a")}, r"another suite is called 'a'; name it once"),
        ({"keep": ("a",), "raw": True}, r"--raw has no effect on rerankers; leave it out"),
        ({"keep": ("a",), "recover": 3}, r"--recover has no effect on rerankers"),
        ({"keep": ("a",), "budget": {"nll": 0.1}}, r"limits none of the measured units \(points\)"),
        ({"keep": ("none",)}, r"none: there is no such file or folder"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, base, monkeypatch, changes, sentence):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path, "a", 3)
    with pytest.raises(HoldfastError, match=sentence):
        holdfast.diff(base=base, tuned=base, **changes)


def test_a_depth_is_for_rerankers(tmp_path):
    with pytest.raises(HoldfastError, match=r"--depth is for rerankers"):
        holdfast.DiffSpec(base="ground:base", tuned="ground:base", depth=10)


def test_the_first_document_of_one_file_is_not_that_of_another(tmp_path):
    from holdfast.bench.diff.watched_queries import without_watched_queries
    from holdfast.probes.watch_record import WatchRecord
    from holdfast.rerank.collection import CandidateList, collection_of
    from holdfast.rerank.questions import entries_of
    from holdfast.rerank.suite import RerankSuite

    def suite(name, word):
        lists = [CandidateList(f"{word} {i}", (f"{word} right {i}", f"{word} wrong {i}"), (1, 0)) for i in range(4)]
        return RerankSuite(collection_of(lists, name))

    def judged(asked):
        left, row = without_watched_queries([asked], [str(tmp_path)])
        return [len(one) for one in left], row and row.suites[asked.name].left_out

    steered = suite("a", "price")
    WatchRecord(tuple(entries_of([steered], "keep"))).write(tmp_path)
    assert judged(suite("b", "where")) == ([4], None)
    # Another query about a document that a watched one asks for is of its group, under any name.
    same = collection_of([CandidateList(f"who {i}", (f"price right {i}", "x"), (1, 0)) for i in range(2, 6)], "c")
    assert judged(RerankSuite(same)) == ([2], 2)
