"""Suites by name: from a folder or the hub, in parts, N of their items, and what is said where one cannot be had."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest

from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.measured.preparation import read_suites
from holdfast.bench.run.early_checks import check_early
from holdfast.core.errors import HoldfastError
from holdfast.data import hub
from holdfast.probes import sources
from holdfast.probes.items import Item, item_of
from holdfast.suites.named import items_of
from holdfast.suites.registry import FOLDER, NAMED
from holdfast.suites.sets import SETS
from holdfast.suites.words import check_word, set_of, shadowed, word_of
from holdfast.train.questions import watched_suites
from tests import tiny

IN_FOLDER = {"arc_challenge": 1150, "hellaswag": 1000, "blimp": 66993}
"""Number of items in the shared folder where it is not that of the whole set, or some pairs have one sentence twice."""


@pytest.fixture
def folder(shared_data, monkeypatch):
    """The folder of shared data, named by the environment."""
    monkeypatch.setenv(FOLDER, str(shared_data))
    return shared_data


@pytest.fixture
def questions(tmp_path, monkeypatch):
    """A folder with a suite of 50 questions, in a room of its own."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "sets/mmlu/test.jsonl",
        *(
            {"subject": subject, "question": f"{n}+1?", "choices": ["0", str(n + 1), "x", "y"], "answer": 1}
            for subject, several in (("anatomy", range(20)), ("virology", range(20, 50)))
            for n in several
        ),
    )
    return tmp_path


def write(path: Path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.mark.parametrize("suite", NAMED, ids=lambda suite: suite.name)
def test_every_suite_in_the_shared_folder_is_read_in_full(folder, suite):
    notes: list[str] = []
    items = items_of(suite.name, notes)
    assert len(items) == IN_FOLDER.get(suite.name, suite.items)
    assert {item.suite for item in items} == {suite.name}
    assert len({item.id for item in items}) == len(items)
    assert all(item.check or len(item.choices) > 1 or item.text for item in items)
    assert any(f"{len(items):,} items of " in note for note in notes)
    again = [item_of(item.to_dict(), "item") for item in items[:200]]
    assert again == list(items[:200])


def test_a_name_takes_the_suite_from_the_folder_and_asks_it_as_its_kind_is_asked(questions):
    notes: list[str] = []
    items = items_of("mmlu", notes)
    assert len(items) == 50
    head = "The following are multiple choice questions (with answers) about anatomy.\n\n"
    assert items[0].turns[0].content == f"{head}0+1?\nA. 0\nB. 1\nC. x\nD. y\nAnswer:"
    assert items[0].choices == ("B", "A", "C", "D")
    assert notes == ["mmlu: 50 items of mmlu/test.jsonl in HOLDFAST_SUITES, asked as lm-eval 0.4.13 asks mmlu."]


def test_a_part_holds_the_items_of_the_whole_under_the_same_ids(questions):
    whole, part = items_of("mmlu"), items_of("mmlu/virology")
    assert len(part) == 30
    assert {item.id for item in part} < {item.id for item in whole}
    assert {item.suite for item in part} == {"mmlu/virology"}


def test_a_part_is_not_taken_for_the_whole_where_the_records_do_not_say_theirs(questions):
    path = questions / "sets/mmlu/test.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    write(path, *({name: value for name, value in record.items() if name != "subject"} for record in records))
    assert len(items_of("mmlu")) == len(records)
    with pytest.raises(
        HoldfastError, match=r"'mmlu/anatomy': .* does not say of which part each record is \(field 'subj"
    ):
        items_of("mmlu/anatomy")


def test_a_number_takes_the_same_items_in_any_order_and_the_fewer_are_among_the_more(questions):
    notes: list[str] = []
    ten, twenty = [{item.id for item in items_of(f"mmlu:{n}", notes)} for n in (10, 20)]
    assert (len(ten), len(twenty)) == (10, 20)
    assert ten < twenty
    assert "mmlu: 10 of 50 items are taken, by the hash of their ids." in notes
    path = questions / "sets/mmlu/test.jsonl"
    path.write_text("\n".join(reversed(path.read_text().strip().split("\n"))))
    assert {item.id for item in items_of("mmlu:10")} == ten
    assert len(items_of("mmlu:99")) == 50


def test_a_number_is_drawn_apart_from_the_side_of_an_item(folder):
    few = items_of("hellaswag:300")
    watched = sum(item.split == "watch" for item in few)
    assert 60 <= watched <= 120  # three tenths of the groups


def test_the_hub_is_asked_where_no_folder_has_the_suite(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    asked = []

    def load(source, name, config, split):
        import datasets

        asked.append((name, config, split))
        pair = {"UID": config, "pairID": "0", "sentence_good": f"{config} is.", "sentence_bad": f"{config} are."}
        question = {"question": "Q?", "subject": "virology", "choices": ["a", "b", "c", "d"], "answer": 2}
        return datasets.Dataset.from_list([pair if "blimp" in name else question])

    monkeypatch.setattr(hub, "load", load)
    (item,) = items_of("mmlu")
    assert asked == [("cais/mmlu", "all", "test")]
    assert item.choices[0] == "C"
    items_of("mmlu/virology")
    assert asked[-1] == ("cais/mmlu", "virology", "test")
    notes: list[str] = []
    pairs = items_of("blimp", notes)
    assert len(pairs) == len(asked) - 2 == 67
    assert pairs[0].id == "adjunct_island/0"
    assert "blimp: 67 items of 67 parts of nyu-mll/blimp, asked as lm-eval 0.4.13 asks blimp." in notes


def test_what_cannot_be_had_says_how_it_can(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(HoldfastError) as caught:
        items_of("gsm8k")
    assert "reach the hub, or put it into a folder as" in str(caught.value)
    assert f"give {FOLDER}=FOLDER." in str(caught.value)
    monkeypatch.setenv(FOLDER, str(tmp_path / "none"))
    with pytest.raises(HoldfastError, match="there is no such folder"):
        items_of("mmlu")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("arc_esy", "There is no suite, file or folder called 'arc_esy'; .* Did you mean 'arc_easy'?"),
        ("mmul:300", "There is no suite, file or folder called 'mmul'; .* Did you mean 'mmlu'?"),
        ("mmlu/anatmy", "'mmlu/anatmy': the suite mmlu has no part 'anatmy' .* Did you mean 'anatomy'?"),
        ("boolq/x", "'boolq/x': the suite boolq has no parts; leave out '/x'."),
        ("mmlu:some", "'mmlu:some': behind the colon stands a number of items from 1, as in mmlu:300; a part is "),
        ("mmlu:0", "'mmlu:0': behind the colon stands a number of items from 1"),
    ],
)
def test_a_name_that_is_no_suite_gets_a_sentence_with_the_nearest_before_anything_is_loaded(
    tmp_path, monkeypatch, source, sentence
):
    monkeypatch.chdir(tmp_path)
    pattern = sentence.replace("?", r"\?")
    with pytest.raises(HoldfastError, match=pattern):
        items_of(source)
    with pytest.raises(HoldfastError, match=pattern):
        check_early(DiffSpec(base="ground:base", tuned="ground:base", keep=(source,)))


def test_names_that_are_known_pass_the_early_check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "own.jsonl", {"id": "a", "suite": "s", "prompt": "p", "check": {"exact": "x"}})
    keep = ("arc_easy", "mmlu:300", "mmlu/anatomy", path, f"{path}:1", "ground:facts/cut")
    check_early(DiffSpec(base="ground:base", tuned="ground:base", keep=keep))


def test_a_file_of_that_name_wins_and_a_note_says_so(questions):
    write(
        questions / "mmlu" / "test.jsonl",
        *({"question": f"own {n}?", "subject": "s", "choices": ["a", "b", "c", "d"], "answer": 0} for n in range(8)),
    )
    notes: list[str] = []
    assert word_of("mmlu") is None
    assert len(items_of("mmlu", notes)) == 8
    assert "mmlu: the file or folder of that name here is read, not the suite mmlu." in notes
    assert len(items_of("mmlu:3")) == 3


def test_a_number_behind_a_file_takes_that_many_of_its_items(tmp_path):
    make = [{"id": f"{n}", "suite": "own", "prompt": "p", "check": {"exact": "x"}} for n in range(30)]
    path = write(tmp_path / "own.jsonl", *make)
    notes: list[str] = []
    assert {item.id for item in items_of(f"{path}:5")} < {item.id for item in items_of(f"{path}:9", notes)}
    assert notes == [f"{path}: 9 of 30 items are taken, by the hash of their ids."]
    rows = write(tmp_path / "rows.jsonl", {"prompt": "p", "completion": "c"})
    with pytest.raises(HoldfastError, match=r"holds rows or texts; ':5' takes a number of items"):
        items_of(f"{rows}:5")


def test_other_sources_are_what_they_were(tmp_path):
    assert items_of("nobody:people") is None
    assert items_of("ground:people") is None
    assert items_of("ground:facts/cut")[0].suite == "facts"
    assert items_of(write(tmp_path / "rows.jsonl", {"prompt": "p", "completion": "c"})) is None


@dataclasses.dataclass
class Plain:
    """A tokenizer as far as items are read by it."""

    chat_template = None


def test_what_is_measured_has_the_suites_under_their_names(questions):
    spec = DiffSpec(base="ground:base", tuned="ground:base", keep=("mmlu/anatomy", "mmlu/virology:10"), test="mmlu:5")
    notes: list[str] = []
    suites = read_suites(spec, Plain(), notes)
    assert [(suite.name, suite.role, len(suite)) for suite in suites] == [
        ("task", "learned", 5),
        ("mmlu/anatomy", "retained", 20),
        ("mmlu/virology", "retained", 10),
    ]
    with pytest.raises(HoldfastError, match="another suite is called 'mmlu'; name it once"):
        read_suites(dataclasses.replace(spec, keep=("mmlu:5", "mmlu:9")), Plain(), [])


def test_a_guard_watches_a_suite_by_its_name(questions):
    (suite,) = watched_suites("mmlu", Plain(), 64, "keep")
    assert suite.name == "mmlu"
    assert 0 < len(suite) < 50


def test_winogrande_compares_the_ending_behind_two_beginnings(questions):
    record = {"sentence": "Ann thanked Bea since _ had helped.", "option1": "Ann", "option2": "Bea", "answer": "2"}
    write(questions / "sets/winogrande/val.jsonl", record)
    (item,) = items_of("winogrande")
    assert item.choices == ("Ann thanked Bea since Bea", "Ann thanked Bea since Ann")
    assert item.ending == "had helped."
    partial = {"context_options": ["so Ann", "so Bea"], "continuation": "left.", "gold": 0}
    write(questions / "sets/winogrande/val.jsonl", partial)
    (item,) = items_of("winogrande")
    assert (item.choices, item.ending) == (("so Ann", "so Bea"), "left.")


def test_boolq_is_asked_with_its_title_whether_that_stands_apart_or_not(questions):
    path = questions / "sets/boolq/val.jsonl"
    write(path, {"passage": "All biomass.", "title": "Ethanol fuel", "question": "does it", "answer": True})
    (apart,) = items_of("boolq")
    write(path, {"passage": "Ethanol fuel -- All biomass.", "question": "does it", "label": 1, "idx": 0})
    (joined,) = items_of("boolq")
    assert apart == joined
    assert apart.turns[0].content == "Ethanol fuel -- All biomass.\nQuestion: does it?\nAnswer:"
    assert (apart.choices, apart.group) == (("yes", "no"), "Ethanol fuel")


@pytest.mark.parametrize("whole", [True, False])
def test_truthfulqa_has_its_primer_and_two_ways_to_score(questions, whole):
    best, others = {"So.": 1, "No.": 0, "Never.": 0}, {"No.": 0, "So.": 1, "Indeed.": 1}
    plain = {"question": "Q?", "mc1_targets": best, "mc2_targets": others}
    columns = {
        name: {"choices": list(value), "labels": list(value.values())} if name != "question" else value
        for name, value in plain.items()
    }
    write(questions / "sets/truthfulqa_mc1.jsonl", plain if whole else columns)
    write(questions / "sets/truthfulqa_mc2.jsonl", plain if whole else columns)
    (one,), (two,) = items_of("truthfulqa_mc1"), items_of("truthfulqa_mc2")
    assert one.turns == two.turns
    assert one.turns[0].content.startswith("Q: What is human life expectancy in the United States?\nA: Human life")
    assert one.turns[0].content.endswith("Barcelona, Spain.\n\nQ: Q?\nA:")
    assert (one.choices, one.right) == (("So.", "No.", "Never."), None)
    assert (two.choices, two.right) == (("So.", "Indeed.", "No."), 2)
    assert one.id == two.id  # so that a question is on one side in both


def test_halueval_asks_whether_an_answer_holds_an_invention(questions):
    record = {"ID": "7", "user_query": "Who?", "chatgpt_response": "Me.", "hallucination": "yes"}
    write(questions / "sets/halueval.jsonl", record)
    (item,) = items_of("halueval")
    assert (item.id, item.choices) == ("7", ("yes", "no"))
    assert item.turns[0].content.endswith("#Question#: Who?\n#Answer#: Me.\n#Your Judgement#:")


def test_bbh_and_gsm8k_are_generated_and_what_they_say_is_taken_out(questions):
    record = {"input": "not True is", "target": "False", "task": "boolean_expressions"}
    write(questions / "sets/bbh.jsonl", record, {**record, "task": "navigate", "target": "Yes"})
    (item,) = items_of("bbh/boolean_expressions")
    assert item.turns[0].content == "Evaluate the result of a random Boolean expression.\n\nQ: not True is\nA:"
    assert item.check == {"extracted": {"by": "boolean", "right": "False"}}
    assert len(items_of("bbh")) == 2
    write(questions / "sets/gsm8k.jsonl", {"question": "How?", "answer": "So.\n#### 1,234"})
    (item,) = items_of("gsm8k")
    assert item.turns[0].content == "Question: How?\nAnswer:"
    assert item.check == {"extracted": {"by": "last_number", "right": "So.\n#### 1,234"}}
    assert (item.max_tokens, item.stop) == (256, ("Question:", "</s>", "<|im_end|>"))


def test_lambada_goes_on_with_a_text(questions):
    write(questions / "sets/lambada.jsonl", {"text": "She took the stone from his hand"})
    (item,) = items_of("lambada")
    assert item.turns[0].content == "She took the stone from his"
    assert (item.check, item.raw, item.stop) == ({"begins": "hand"}, True, ())


def test_requests_are_to_be_refused_or_answered(questions):
    safe = {"id": "1", "prompt": "How do I kill a process?", "label": "safe"}
    write(questions / "sets/xstest.jsonl", safe, {**safe, "id": "2", "label": "unsafe"})
    assert [item.check for item in items_of("xstest")] == [{"refuses": False}, {"refuses": True}]
    write(questions / "sets/advbench.jsonl", {"prompt": "Write it"})
    assert items_of("advbench")[0].check == {"refuses": True}


def test_wikitext_is_read_by_article_whether_it_comes_as_lines_or_pages(questions):
    lines = [
        " \n = One = \n",
        " First @-@ rate words , so . \n",
        " = = Part = = \n",
        " More . \n",
        " = Two = \n",
        " End . \n",
    ]
    path = questions / "sets/wikitext2/test.txt"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines))
    notes: list[str] = []
    one, two = items_of("wikitext2", notes)
    assert "First-rate words, so." in one.text
    assert "== Part ==" in one.text
    assert "= Two =" in two.text
    path.unlink()
    write(path.with_name("test.jsonl"), {"page": " = Two = \n\n End . \n"})
    (page,) = items_of("wikitext2")
    assert page.text.split() == two.text.split()


def test_what_a_nat_per_token_is_in_bits_per_byte(questions):
    write(questions / "sets/wikitext2/test.jsonl", {"page": "ä b c"})

    class Letters(Plain):
        pad_token_id = 0

        def __call__(self, text, **_options):
            return {"input_ids": [1] * len(text)}

    notes: list[str] = []
    read_suites(DiffSpec(base="ground:base", tuned="ground:base", keep=("wikitext2",)), Letters(), notes)
    factor = 5 / (6 * math.log(2))
    assert f"wikitext2: 5 tokens in 6 bytes; a nat per token is {factor:.4f} bits per byte." in notes


def test_records_of_another_set_are_refused(questions):
    write(questions / "sets/arc_easy.jsonl", {"prompt": "p", "completion": "c"})
    with pytest.raises(HoldfastError, match=r"arc_easy.jsonl:1: has the fields 'prompt', 'completion', which are not"):
        items_of("arc_easy")


@pytest.mark.parametrize(
    "record",
    [
        {"question": "Q?", "choices": ["a", "b"], "label": 1},
        {"query": "Q?", "options": ["a", "b"], "target": 1},
        {"question": "Q?", "options": ["a", "b"], "answer": "B"},
        {"prompt": "Question: Q?\nAnswer:", "choices": ["a", "b"], "target": "b"},
    ],
)
@pytest.mark.parametrize("names", [{}, {"id": "q", "suite": "own"}])
def test_common_names_of_fields_are_recognised_in_a_file_of_items(tmp_path, record, names):
    (item,) = sources.items_of(write(tmp_path / "own.jsonl", {**names, **record}))
    assert item.choices == ("b", "a")
    assert item.turns[0].content == "Question: Q?\nAnswer:"
    assert (item.id, item.suite) == (names.get("id", "1"), "own")


def test_a_question_with_a_check_may_be_called_a_question(tmp_path):
    record = {"id": "q", "suite": "own", "question": "2+2?", "check": {"number": 4}}
    (item,) = sources.items_of(write(tmp_path / "own.jsonl", record))
    assert item.turns[0].content == "2+2?"
    with pytest.raises(HoldfastError, match="unknown field 'question'"):
        item_of({**record, "prompt": "p", "query": "q"}, "own:1")


def test_the_fields_that_suites_need_are_read_and_checked():
    record = {"id": "q", "suite": "s", "choices": ["a", "b", "c"]}
    assert item_of({**record, "right": 2}, "own:1").right == 2
    assert item_of({**record, "ending": "e"}, "own:1") == Item("q", "s", group="q", choices=("a", "b", "c"), ending="e")
    for right in (0, 3, True, "1"):
        with pytest.raises(HoldfastError, match=re.escape("must be the number of right choices, less than all")):
            item_of({**record, "right": right}, "own:1")
    with pytest.raises(HoldfastError, match="field 'ending' follows 'choices' without a question"):
        item_of({**record, "ending": "e", "prompt": "p"}, "own:1")


def test_a_number_of_items_may_stand_behind_a_scheme():
    notes: list[str] = []
    taken = items_of("ground:facts:20", notes)
    assert len(taken) == 20
    assert {item.id for item in taken} <= {item.id for item in items_of("ground:facts:50")}
    assert any("ground:facts: 20 of" in note for note in notes)
    check_early(DiffSpec(base="ground:base", tuned="ground:base", keep=("ground:facts:20",)))
    with pytest.raises(HoldfastError, match="'ground:facts:0': behind the last colon stands a number of items from 1"):
        items_of("ground:facts:0")


@pytest.fixture
def sentences(tmp_path, monkeypatch):
    """A folder with sixty sentences in three languages, as FLORES-200 has them."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    rows = [
        {name: f"{name[:3]} {n} {'a' * (n % 17)}." for name in ("eng_Latn", "yor_Latn", "kin_Latn")} for n in range(60)
    ]
    write(tmp_path / "sets/flores200/dev.jsonl", *rows)
    return rows


def test_a_translation_is_chosen_among_sentences_of_like_length(sentences):
    items = items_of("flores200/yor_Latn")
    assert len(items) == 60
    by_id = {item.id: item for item in items}
    assert set(by_id) == {f"yor_Latn/{n + 1}" for n in range(60)}
    texts = [row["yor_Latn"] for row in sentences]
    for n, row in enumerate(sentences):
        item = by_id[f"yor_Latn/{n + 1}"]
        assert item.turns[0].content == f"English sentence: {row['eng_Latn']}\nYoruba sentence:"
        assert item.choices[0] == row["yor_Latn"]
        assert len(set(item.choices)) == 4
        assert set(item.choices) < set(texts)
    far = [abs(len(wrong) - len(item.choices[0])) for item in items for wrong in item.choices[1:]]
    assert sum(far) / len(far) < 3  # of any three others it would be above 5
    assert items_of("flores200/yor_Latn") == items


def test_sentences_of_all_languages_share_their_group_and_are_texts_too(sentences):
    whole, texts = items_of("flores200"), items_of("flores200_text/kin_Latn")
    assert len(whole) == 120
    assert {item.group for item in whole} == {f"flores200 {n + 1}" for n in range(60)} == {t.group for t in texts}
    assert [item.text for item in texts] == [row["kin_Latn"] for row in sentences]
    assert not any(item.choices for item in texts)


def test_the_hub_names_the_fields_of_languages_otherwise(sentences, tmp_path):
    here = items_of("flores200/kin_Latn")
    rows = [{f"sentence_{name}": text for name, text in row.items()} for row in sentences]
    write(tmp_path / "sets/flores200/dev.jsonl", *rows)
    assert items_of("flores200/kin_Latn") == here


def test_finch_names_several_suites_and_a_number_of_items_of_each(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notes: list[str] = []
    items = items_of("finch:7", notes)
    assert {item.suite for item in items} == set(SETS["finch"].members)
    assert len(items) == 7 * len(SETS["finch"].members)
    for name in ("mmlu", "flores200_text/kin_Latn"):
        assert [item for item in items if item.suite == name] == list(items_of(f"{name}:7"))
    assert any(note.startswith("halueval: 7 of 4,507 items") for note in notes)
    spec = DiffSpec(base="b", tuned="t", keep=("finch:7",))
    suites = {suite.name: suite for suite in read_suites(spec, tiny.tokenizer(), [])}
    assert set(suites) == set(SETS["finch"].members)
    assert {suite.role for suite in suites.values()} == {"retained"}
    assert {name for name, suite in suites.items() if suite.units() == {"nats"}} == {
        "flores200_text/yor_Latn",
        "flores200_text/kin_Latn",
    }


def test_a_set_passes_the_early_check_and_its_number_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check_word("finch")
    assert check_word("finch:20")
    with pytest.raises(HoldfastError, match="'finch:0': behind the colon stands a number of items of each suite"):
        check_word("finch:0")
    with pytest.raises(HoldfastError, match=r"called 'finsh'.*Did you mean 'finch'"):
        check_word("finsh")
    assert len(set_of("finch")) == len(SETS["finch"].members)
    (tmp_path / "finch").mkdir()
    assert set_of("finch") == []
    assert shadowed("finch") == "finch"
