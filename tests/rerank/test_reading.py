"""Collections and training lists from files, and one clear sentence for each thing that can be wrong with them."""

import gzip
import json

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.rerank.collection import CandidateList, collection_of
from holdfast.rerank.lists import read_rows
from holdfast.rerank.named import named_folders, nano_collection
from holdfast.rerank.sources import read_collection, read_lists
from holdfast.rerank.suite import suite_of
from holdfast.rerank.trec import read_run

DOCUMENTS = [
    {"_id": "d1", "title": "Cats", "text": "Cats sleep all day."},
    {"_id": "d2", "title": "", "text": "Dogs bark at night."},
    {"_id": "d3", "title": "", "text": "A cat and a dog sleep."},
]
QUERIES = [{"_id": "q1", "text": "When do cats sleep?"}, {"_id": "q2", "text": "Who will bark at night?"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t1\nq2\td2\t1\n"


def write(folder, documents=DOCUMENTS, queries=QUERIES, qrels=QRELS, zipped=False, at="qrels.tsv"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus.jsonl", documents), ("queries.jsonl", queries)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    (folder / at).parent.mkdir(exist_ok=True)
    (folder / at).write_text(qrels)
    return folder


@pytest.mark.parametrize(("zipped", "at"), [(False, "qrels.tsv"), (True, "qrels/test.tsv")])
def test_a_folder_in_the_layout_of_beir_is_read(tmp_path, zipped, at):
    notes = []
    read = read_collection(str(write(tmp_path / "pets", zipped=zipped, at=at)), notes)
    assert (read.name, notes) == ("pets", [])
    assert read.documents["d1"].content == "Cats Cats sleep all day."
    assert read.documents["d2"].content == "Dogs bark at night."
    assert read.judgments == {"q1": {"d1": 2, "d3": 1}, "q2": {"d2": 1}}
    assert read.relevant("q1") == {"d1", "d3"}


def test_another_split_of_the_judgments_is_named_behind_the_folder(tmp_path):
    folder = write(tmp_path / "pets", at="qrels/train.tsv")
    with pytest.raises(HoldfastError, match=r"has no qrels/test.tsv; choose one of .*pets/train"):
        read_collection(str(folder), [])
    read = read_collection(f"{folder}/train", [])
    assert (read.name, len(read.judged)) == ("pets/train", 2)


def test_judgments_of_trec_have_four_columns_and_no_header(tmp_path):
    folder = write(tmp_path / "pets", qrels="q1 0 d1 2\nq1 0 d3 1\nq2 0 d2 1\n")
    assert read_collection(str(folder), []).judgments["q1"] == {"d1": 2, "d3": 1}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"qrels": "query-id\tcorpus-id\tscore\n"}, r"pets/qrels.tsv: holds no judgments"),
        ({"qrels": QRELS + "q9\td1\t1\n"}, r"pets/qrels.tsv:5: names the query 'q9', which is not among the 2 queries"),
        ({"qrels": QRELS + "q1\td9\t1\n"}, r"pets/qrels.tsv:5: names the document 'd9'.*the 3 documents"),
        ({"qrels": QRELS + "q1\td1\t0\n"}, r"qrels.tsv:5: gives document 'd1' the grade 0 .* a line before it gives 2"),
        ({"qrels": QRELS + "q1\td1\thigh\n"}, r"qrels.tsv:5: the grade 'high' is no whole number"),
        ({"qrels": QRELS + "q1\td1\n"}, r"qrels.tsv:5: has 2 columns"),
        ({"qrels": "q1\td1\t0\nq2\td2\t-1\n"}, r"pets: no query has a relevant document"),
        (
            {"documents": [*DOCUMENTS, DOCUMENTS[0]]},
            r"corpus.jsonl:4: the id 'd1' stands at pets/corpus.jsonl:1 already",
        ),
        ({"documents": [*DOCUMENTS, {"text": "x"}]}, r"corpus.jsonl:4: has no '_id'"),
        ({"documents": [*DOCUMENTS, {"_id": "d4"}]}, r"corpus.jsonl:4: the field 'text' must be a text"),
        ({"queries": [*QUERIES, {"_id": "q3", "text": " "}]}, r"queries.jsonl:3: the query 'q3' is empty"),
        ({"queries": []}, r"pets/queries.jsonl: holds no query"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_with_file_and_line(tmp_path, changed, sentence):
    folder = write(tmp_path / "pets", **changed)
    with pytest.raises(HoldfastError, match=sentence):
        read_collection(str(folder), [])


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(HoldfastError, match=r"there is no such file or folder; give a folder in BEIR's layout"):
        read_collection(str(tmp_path / "none"), [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(HoldfastError, match=r"is no folder in BEIR's layout"):
        read_collection(str(tmp_path / "empty"), [])
    (tmp_path / "empty" / "corpus.jsonl").write_text("")
    with pytest.raises(HoldfastError, match=r"is no folder in BEIR's layout"):
        read_collection(str(tmp_path / "empty"), [])


def test_copies_and_queries_without_a_relevant_document_are_counted(tmp_path):
    documents = [*DOCUMENTS, {"_id": "d4", "title": "cats", "text": "Cats sleep all day."}]
    notes = []
    read = read_collection(str(write(tmp_path / "pets", documents, qrels="q1\td1\t1\nq2\td2\t0\n")), notes)
    assert read.judged == ("q1",)
    assert notes == [
        "pets: 1 of 2 judged queries have no relevant document and are left out (first: q2).",
        "pets: 1 documents repeat the text of others (first: d4); 1 of these are copies of relevant documents and count"
        " as not relevant.",
    ]


def test_queries_of_a_contract_rank_its_documents_alone(tmp_path):
    documents = [{"_id": f"c{i}-{j}", "text": f"clause {'abc'[j] * 3} of {i}"} for i in range(2) for j in range(3)]
    queries = [{"_id": f"q{i}", "text": "clause bbb", "contract": f"c{i}"} for i in range(2)]
    notes = []
    read = read_collection(str(write(tmp_path / "law", documents, queries, "q0\tc0-1\t1\nq1\tc1-1\t1\n")), notes)
    assert notes == ["law: every query ranks the documents of its group (2 groups)."]
    suite = suite_of(read)
    assert {query: set(of) for query, of in suite.collection.candidates.items()} == {
        "q0": {"c0-0", "c0-1", "c0-2"},
        "q1": {"c1-0", "c1-1", "c1-2"},
    }
    assert suite.collection.candidates["q0"][0] == "c0-1"
    assert read.groups() == {"q0": "c0", "q1": "c1"}


def test_a_relevant_document_of_another_contract_is_refused(tmp_path):
    documents = [{"_id": f"c{i}-{j}", "text": "x"} for i in range(2) for j in range(2)]
    queries = [{"_id": "q", "text": "x", "contract": "c0"}, {"_id": "r", "text": "y", "contract": "c1"}]
    with pytest.raises(HoldfastError, match=r"queries.jsonl:1: the query 'q' is of group 'c0', .* 'c1-1' of 'c1'"):
        read_collection(str(write(tmp_path / "law", documents, queries, "q\tc1-1\t1\n")), [])


def test_queries_that_share_a_relevant_document_are_one_group(tmp_path):
    queries = [{"_id": f"q{i}", "text": f"text {i}"} for i in range(4)]
    read = read_collection(
        str(write(tmp_path / "x", queries=queries, qrels="q0\td1\t1\nq1\td1\t1\nq1\td2\t1\nq2\td2\t1\nq3\td3\t1\n")), []
    )
    assert read.groups() == {"q0": "d1", "q1": "d1", "q2": "d1", "q3": "d3"}


def test_a_split_keeps_groups_together_and_few_queries_are_the_same_each_time():
    lists = [CandidateList(f"query {i}", ("a", "b"), (1, 0), group=f"g{i // 4}") for i in range(80)]
    whole = collection_of(lists, "x")
    train, held = whole.split(0.3)
    assert len(train.queries) + len(held.queries) == 80
    assert not {*train.groups().values()} & {*held.groups().values()}
    assert whole.first(7).judged == whole.first(7).judged
    assert set(whole.first(3).judged) < set(whole.first(7).judged)
    with pytest.raises(HoldfastError, match=r"share=1: give a number above 0 and below 1"):
        whole.split(1)


def rows(tmp_path, lines, name="rows.jsonl"):
    path = tmp_path / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_pairs_with_one_query_are_one_list_and_a_repeated_document_counts_once(tmp_path):
    notes = []
    lines = [
        {"query": "q", "document": "a", "label": 1},
        {"query": "q", "document": "b", "label": 0, "source": "web"},
        {"query": "q", "document": "b", "label": 1},
        {"query": "r", "passage": "c", "label": 0},
    ]
    read = read_rows(rows(tmp_path, lines), notes)
    assert [(entry.query, entry.documents, entry.labels) for entry in read] == [
        ("q", ("a", "b"), (1.0, 1.0)),
        ("r", ("c",), (0.0,)),
    ]
    assert notes == [
        "rows.jsonl: fields that are not read: 'source' (1).",
        "rows.jsonl: 1 documents stand twice for one query and count once, with the higher label.",
        "rows.jsonl: 1 of 2 queries have no relevant document (first: rows.jsonl:4).",
    ]


@pytest.mark.parametrize(
    "line",
    [
        {"query": "q", "documents": ["a", {"title": "T", "text": "b"}], "labels": [1, 0]},
        {"question": "q", "positive": "a", "negative_1": "T b"},
        {"anchor": "q", "pos": ["a"], "neg": ["T b"]},
        {"question": "q", "positive_ctxs": [{"text": "a"}], "hard_negative_ctxs": [{"title": "T", "text": "b"}]},
    ],
)
def test_lists_of_several_tools_are_read_alike(tmp_path, line):
    (entry,) = read_rows(rows(tmp_path, [line]), [])
    assert (entry.query, entry.documents, entry.labels) == ("q", ("a", "T b"), (1.0, 0.0))
    assert entry.positives == (0,)


def test_triples_of_ms_marco_are_joined_by_query(tmp_path):
    (entry,) = read_rows(rows(tmp_path, ["q\ta\tb", "q\ta\tc"], "triples.tsv"), [])
    assert (entry.documents, entry.labels) == (("a", "b", "c"), (1.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("line", "name", "sentence"),
    [
        ("q\ta", "t.tsv", r"t.tsv:1: has 2 filled columns"),
        ("1\t2\t3", "t.tsv", r"t.tsv:1: holds ids in place of texts"),
        ({"document": "a", "label": 1}, "r.jsonl", r"r.jsonl:1: has no query"),
        ({"query": "q", "label": 1}, "r.jsonl", r"r.jsonl:1: has no document"),
        ({"query": "q", "document": "a"}, "r.jsonl", r"r.jsonl:1: the label is None; give a number"),
        ({"query": "q", "document": "a", "label": "yes"}, "r.jsonl", r"r.jsonl:1: the label is 'yes'"),
        ({"query": "q", "documents": ["a", "b"], "labels": [1]}, "r.jsonl", r"has 2 documents and 1 labels"),
        ({"query": "q", "documents": ["a", 3], "labels": [1, 0]}, "r.jsonl", r"r.jsonl:1: a document is 3"),
        (
            {"query": "q", "question": "r", "document": "a", "label": 1},
            "r.jsonl",
            r"'query' and 'question', which mean",
        ),
        ({"query": "q", "documents": "a", "labels": [1]}, "r.jsonl", r"the documents must be a list"),
        (["q"], "r.jsonl", r"r.jsonl:1: is no JSON object"),
        ("{broken", "r.jsonl", r"r.jsonl"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_file_and_line(tmp_path, line, name, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        read_rows(rows(tmp_path, [line], name), [])


def test_lists_can_be_measured_if_their_labels_are_grades(tmp_path):
    path = rows(tmp_path, [{"query": "q", "documents": ["a", "b"], "labels": [0, 2]}])
    read = read_collection(str(path), [])
    assert (read.judgments, read.candidates) == ({"q1": {"d1": 0, "d2": 2}}, {"q1": ("d1", "d2")})
    path = rows(tmp_path, [{"query": "q", "documents": ["a", "b"], "labels": [0, 0.7]}])
    with pytest.raises(HoldfastError, match=r"rows.jsonl:1: the label 0.7 is no grade"):
        read_collection(str(path), [])
    assert read_lists(str(path), [])[0].labels == (0.0, 0.7)


def test_a_run_gives_the_candidates_in_the_order_of_its_scores(tmp_path):
    read, notes = read_collection(str(write(tmp_path / "pets")), []), []
    run = rows(tmp_path, ["q1 Q0 d2 1 0.5 x", "q1 Q0 d1 2 0.9 x", "q1 Q0 d3 3 0.5 x"], "bm25.run")
    assert read_run(run, read, notes).candidates == {"q1": ("d1", "d2", "d3")}
    assert notes == ["bm25.run: 1 of 2 judged queries have no line, so nothing is found for them (first: q2)."]
    (tmp_path / "pets" / "run.trec").write_bytes(run.read_bytes())
    notes = []
    again = read_collection(str(tmp_path / "pets"), notes)
    assert again.candidates == {"q1": ("d1", "d2", "d3")}
    assert notes[-1] == "pets: the candidates are those of run.trec."
    for line, sentence in (
        ("q9 Q0 d1 1 1 x", r"bm25.run:1: names the query 'q9'"),
        ("q1 Q0 d9 1 1 x", r"bm25.run:1: names the document 'd9'"),
        ("q1 d1 1", r"bm25.run:1: has 3 columns; a run has six"),
        ("q1 Q0 d1 1 high x", r"rank '1' or score 'high' is no number"),
    ):
        with pytest.raises(HoldfastError, match=sentence):
            read_run(rows(tmp_path, [line], "bm25.run"), read, [])
    with pytest.raises(HoldfastError, match=r"bm25.run:2: document 'd1' stands twice"):
        read_run(rows(tmp_path, ["q1 Q0 d1 1 1 x", "q1 Q0 d1 2 1 x"], "bm25.run"), read, [])


def test_a_collection_gives_training_lists_by_its_first_stage(tmp_path):
    notes = []
    lists = read_lists(str(write(tmp_path / "pets")), notes, negatives=1)
    assert notes == ["pets: 100.0% of the relevant documents are among the first 100 of BM25."]
    assert [(entry.query_id, entry.document_ids, entry.labels) for entry in lists] == [
        ("q1", ("d1", "d3"), (2.0, 1.0)),
        ("q2", ("d2",), (1.0,)),
    ]


def test_queries_with_one_document_and_queries_without_an_order_are_left_out(tmp_path):
    lists = [
        CandidateList("one", ("a",), (1,)),
        CandidateList("all", ("a", "b"), (1, 1)),
        CandidateList("two", ("a", "b"), (1, 0)),
        CandidateList("none found", ("c", "d"), (0, 0)),
    ]
    notes = []
    suite = suite_of(collection_of(lists, "x"), notes=notes)
    assert suite.collection.judged == ("q3",)
    assert notes == [
        "x: 1 of 3 queries have a single candidate, so any order is right; they are left out (first: q1).",
        "x: 1 of 3 queries have relevant candidates alone, so any order is right; they are left out (first: q2).",
    ]
    with pytest.raises(HoldfastError, match=r"x: no query has candidates to order \(of 1, 1 have one document\)"):
        suite_of(collection_of(lists[:1], "x"))


def test_too_few_queries_are_refused_as_a_number(tmp_path):
    folder = write(tmp_path / "pets")
    assert len(read_collection(f"{folder}:1", []).judged) == 1
    with pytest.raises(HoldfastError, match=r"behind the last colon stands a number of queries from 1"):
        read_collection(f"{folder}:0", [])


def test_folders_of_the_suites_and_sets_of_the_hub_have_names(tmp_path, monkeypatch):
    write(tmp_path / "rerank" / "pets")
    (tmp_path / "rerank" / "other").mkdir()
    monkeypatch.setenv("HOLDFAST_SUITES", str(tmp_path))
    assert list(named_folders()) == ["pets"]
    assert len(read_collection("pets:1", []).judged) == 1
    with pytest.raises(HoldfastError, match=r"pet: there is no such file or folder.* Did you mean 'pets'\?"):
        read_collection("pet", [])
    monkeypatch.delenv("HOLDFAST_SUITES")
    assert named_folders() == {}


def test_a_set_of_nano_beir_is_its_four_tables():
    parts = {
        "corpus": [{"_id": "1", "text": "a"}, {"_id": "2", "text": "b"}],
        "queries": [{"_id": "q", "text": "x"}],
        "qrels": [{"query-id": "q", "corpus-id": "2"}],
        "bm25": [{"query-id": "q", "corpus-ids": ["1", "2"]}],
    }
    read = nano_collection("NanoX", parts)
    assert (read.judgments, read.candidates) == ({"q": {"2": 1}}, {"q": ("1", "2")})
    with pytest.raises(HoldfastError, match=r"NanoX: a table of NanoBEIR has no column 'corpus-ids'"):
        nano_collection("NanoX", {**parts, "bm25": [{"query-id": "q"}]})


def test_a_hub_that_cannot_be_reached_is_said_in_a_sentence(monkeypatch):
    import datasets

    def unreachable(*arguments, **settings):
        raise ConnectionError("Couldn't reach the hub\nwith a trace")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(HoldfastError, match=r"NanoNQ: the set of NanoBEIR .* cannot be loaded from the hub \(Couldn't"):
        read_collection("NanoNQ", [])


def test_ids_that_number_the_pairs_do_not_part_a_query(tmp_path):
    lines = [{"id": i, "query": "q", "document": text, "label": int(i == 0)} for i, text in enumerate("abc")]
    (entry,) = read_rows(rows(tmp_path, lines), [])
    assert (entry.documents, entry.labels, entry.query_id) == (("a", "b", "c"), (1.0, 0.0, 0.0), "0")
    apart = [{**line, "query_id": f"q{line['id'] % 2}"} for line in lines]
    notes = []
    assert [entry.query_id for entry in read_rows(rows(tmp_path, apart), notes)] == ["q0", "q1"]
    assert notes[0] == "rows.jsonl: fields that are not read: 'id' (3)."


@pytest.mark.parametrize(
    ("line", "unread"),
    [
        ({"query": "q", "positive": "a", "documents": ["b", "c"], "labels": [1, 0]}, "'documents' (1), 'labels' (1)"),
        ({"query": "q", "positive": "a", "negative": "b", "score": 3.5}, "'score' (1)"),
        ({"query": "q", "text": "a", "docs": ["a", "b"], "labels": [1, 0], "label": 1}, "'text' (1), 'label' (1)"),
        ({"query": "q", "document": "a", "label": 1, "score": 0.3}, "'score' (1)"),
    ],
)
def test_a_field_of_another_form_is_counted_as_not_read(tmp_path, line, unread):
    notes = []
    read_rows(rows(tmp_path, [line]), notes)
    assert notes == [f"rows.jsonl: fields that are not read: {unread}."]


def test_a_table_with_tabs_and_a_header_holds_named_fields(tmp_path):
    lines = ["query\tdocument\tlabel", "q\ta\t1", "q\tb\t0"]
    (entry,) = read_rows(rows(tmp_path, lines, "pairs.tsv"), [])
    assert (entry.documents, entry.labels) == (("a", "b"), (1.0, 0.0))
    (entry,) = read_rows(rows(tmp_path, ["query\tpositive\tnegative", "q\ta\tb"], "named.tsv"), [])
    assert (entry.documents, entry.labels) == (("a", "b"), (1.0, 0.0))
    with pytest.raises(HoldfastError, match=r"bare.tsv:1: has the number 1 where a triple has its second document"):
        read_rows(rows(tmp_path, lines[1:], "bare.tsv"), [])
    (entry,) = read_rows(rows(tmp_path, ["six times seven\t42\t43"], "sums.tsv"), [])
    assert entry.documents == ("42", "43")


@pytest.mark.parametrize("label", ["NaN", "Infinity"])
def test_a_label_that_is_not_finite_is_refused(tmp_path, label):
    path = rows(tmp_path, ['{"query": "q", "document": "a", "label": ' + label + "}"])
    with pytest.raises(HoldfastError, match=r"rows.jsonl:1: the label is (nan|inf); give a number"):
        read_lists(str(path), [])


def test_few_lists_of_a_file_are_those_of_its_collection(tmp_path):
    lines = [{"query": f"q{i}", "documents": ["a", "b"], "labels": [1, 0]} for i in range(20)]
    path = rows(tmp_path, [{"query": "none", "documents": ["a", "b"], "labels": [0, 0]}, *lines])
    few = [entry.query for entry in read_lists(f"{path}:4", [])]
    assert few == [query.text for query in read_collection(f"{path}:4", []).queries.values()]
    assert few != ["q0", "q1", "q2", "q3"]


def test_a_copy_of_a_relevant_document_is_no_negative_of_a_training_list(tmp_path):
    documents = [*DOCUMENTS, {"_id": "d4", "text": "dogs bark at night."}, {"_id": "d5", "text": "Owls bark at night."}]
    folder, notes = str(write(tmp_path / "pets", documents=documents)), []
    (entry,) = (entry for entry in read_lists(folder, notes, negatives=1) if entry.query_id == "q2")
    assert entry.document_ids == ("d2", "d5")
    assert notes[-1] == "pets: 1 candidates have the text of a relevant document and are left out."
