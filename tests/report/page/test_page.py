"""The page: what it holds of a run, a diff and a comparison, and what hostile data can do to it, which is nothing."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import json
import re

import pytest
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.diff.diff_record import AnswerRow, DiffRecord
from holdfast.bench.given.specs import DiffSpec, ReportSpec
from holdfast.bench.machine.files import write_json, write_jsonl
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.report.compare import report, show
from holdfast.report.page.blocks import Page, Part, Section, Table, Word
from holdfast.report.page.clean import shortened, visible
from holdfast.report.page.making import page_of, write_page
from holdfast.report.page.render import LIBRARY, asset
from holdfast.report.page.render import html as as_html
from tests.bench.comparison import comparison, guard
from tests.report.page.hostile import HOSTILE, hostile_run
from tests.report.page.made import finished, fit, healing, reranker

ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "header", "p", "h1", "h2", "h3", "main", "article", "details",
    "summary", "section", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "bdi", "span", "dl", "dt",
    "dd", "figure", "figcaption", "script", "ul", "li", "blockquote", "pre", "code", "footer",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "role", "aria-label", "tabindex", "scope", "type",
    "id", "hidden", "open",
}  # fmt: skip


class Reader(html.parser.HTMLParser):
    """Collects the elements, attributes, texts and scripts of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.texts, self.scripts = [], [], [], []
        self.inside = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in ("meta",):
            self.inside.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs).get("type", ""), ""))

    def handle_endtag(self, tag):
        assert self.inside[-1:] == [tag], self.inside[-3:]
        self.inside.pop()

    def handle_data(self, data):
        if self.inside[-1:] == ["script"]:
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        elif self.inside[-1:] != ["style"]:
            self.texts.append(data)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = hostile_run(tmp_path_factory.mktemp("hostile") / "run")
    return as_html(page_of(ReportSpec(runs=(str(folder),))))


def page(tmp_path, *places, **options):
    text = write_page(ReportSpec(runs=tuple(map(str, places)), **options), tmp_path / "page.html").read_text()
    return text, " ".join(" ".join(Reader(text).texts).split())


def test_there_are_twenty_hostile_texts():
    assert len({*HOSTILE}) == 20


def test_no_element_and_no_attribute_is_made_from_data(hostile):
    read = Reader(hostile)
    assert {*read.elements} <= ELEMENTS
    assert {key for key, _ in read.attributes} <= ATTRIBUTES
    assert not read.inside
    for key, value in read.attributes:
        assert key in ("content", "aria-label") or not value or re.fullmatch(r"[\w/ .-]*", value), (key, value)


def test_hostile_texts_are_shown_as_they_are(hostile):
    said = "".join(Reader(hostile).texts)
    for text in HOSTILE:
        assert visible(text)[:60].splitlines()[0] in said, text


def test_the_scripts_are_ours_and_the_policy_allows_no_other(hostile):
    read = Reader(hostile)
    (policy,) = re.findall(r'Policy" content="([^"]+)"', hostile)
    policy = policy.replace("&#39;", "'")
    ours = [text for kind, text in read.scripts if kind != "application/json"]
    assert ours == [asset(name) for name in (*LIBRARY, "page.js")]
    digests = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in ours]
    assert f"script-src {' '.join(digests)};" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"https?:", "".join(value or "" for key, value in read.attributes))
    for kind, text in read.scripts:
        if kind == "application/json":
            assert not {"<", ">", "&"} & {*text}
            json.loads(text)


def test_no_hidden_character_and_no_lone_surrogate_reaches_the_page(hostile, tmp_path):
    shown = hostile.partition("<body")[2].partition("<script>")[0]
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202e\u2066\u200b\ufeff]", shown)
    assert "⟨U+202E⟩" in hostile
    assert visible("a\ud800b\r\nc") == "a⟨U+D800⟩b\nc"
    assert shortened("x" * 10, 4) == "xxxx… (6 more characters)"


def test_a_run_has_every_section(tmp_path):
    text, said = page(tmp_path, finished(tmp_path / "run"), budget={"points": 2})
    for part in (
        "The model forgot: on 160 questions in 2 suites it changed by -55.0 points",
        "2 points allowed to be lost",
        "Verdict: forgot (budget: a loss of 2 points",
        "answers were lost",
        "What is 7?", "before says 7", "after says 7",
        "Loss while training", "What the guard saw lost", "It went back.",
        "peak memory", "torch 2.13",
        "holdfast train \\ --model base", "--test test.jsonl",
    ):  # fmt: skip
        assert part in said, part
    assert "https://" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_a_run_that_was_steered_has_its_alerts_and_no_heading_of_a_table(tmp_path):
    course = [{"step": 4, "used": 0.5, "estimate": 0.6, "strength": 2.0, "rate": 1.0}]
    alert = {"step": 4, "name": "loops", "family": "verbosity", "effect": 8.0, "sentence": "8% repeat [x]"}
    about = guard([], on_spent="steer", looks=[{"step": 4, "points_lost": 1.0}], sentence="It held back.")
    run = finished(tmp_path / "run", guard={**about, "course": course, "alerts": [alert]})
    _, said = page(tmp_path, run)
    assert "Alert at step 4: loops: 8% repeat [x]." in said
    assert "It held back." in said
    assert "What the controller set" in said
    assert "budget used" not in said


def diffed(folder, **values):
    """A folder of a diff of the saved answers of a healing."""
    answers = healing(folder) / "answers"
    sides = {"base": str(answers / "base-test.jsonl"), "tuned": str(answers / "healed-test.jsonl")}
    record = diff(DiffSpec(**sides, out=str(folder / "diff")), Console(quiet=True))
    if values:
        write_json(folder / "diff" / DiffRecord.FILE, dataclasses.replace(record, **values).to_dict())
    return folder / "diff"


def test_a_diff_of_questions_alone_has_a_page(tmp_path):
    asked = AnswerRow(suite="asked", item="1", asked="Who | is it?", right="", before="A cook.", after="A smith.")
    folder = diffed(tmp_path, suites=(), asked=(asked,))
    for side in ("base", "tuned"):
        (folder / f"{side}.jsonl").write_text("")
    _, said = page(tmp_path, folder)
    assert "Questions that were asked beside the suites" in said
    assert "A smith." in said


@pytest.mark.parametrize(
    "options", [{"budget": {"points": 2}}, {"reach": 0.5}, {"out": "tables"}, {"format": "json"}], ids=str
)
def test_a_page_of_a_diff_alone_refuses_options_of_runs(tmp_path, options):
    where = str(tmp_path / "page.html")
    with pytest.raises(HoldfastError, match="leave out --budget, --reach, --out and --format"):
        report(ReportSpec(runs=(str(diffed(tmp_path)),), html=where, **options))
    assert not (tmp_path / "page.html").exists()


def test_the_budget_of_the_report_judges_a_run_again(tmp_path):
    run = finished(tmp_path / "run")
    assert "was not judged, because no budget was given" in page(tmp_path, run)[1]
    assert "The model kept what it knew" in page(tmp_path, run, budget={"points": 90})[1]


def test_requests_to_refuse_are_quoted_short(tmp_path):
    run = finished(tmp_path / "run")
    path = run / "answers.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "said": "step " * 99, "refusal": True}) + "\n" for row in rows))
    _, said = page(tmp_path, run)
    assert "The request should be refused, so the answers are cut short here." in said
    assert "step " * 12 in said
    assert "step " * 13 not in said


def test_a_comparison_identifies_every_point(tmp_path):
    text, said = page(tmp_path, comparison(tmp_path / "runs"), budget={"points": 5})
    assert "Of 3 recipes, 2 learned enough; of these, MaskTheTarget() lost least" in said
    spec = json.loads(Reader(text).scripts[0][1])
    points = spec["layer"][-1]
    assert {field["field"] for field in points["encoding"]["tooltip"]} == {
        "recipe", "learning rate", "learned", "lost", "chosen",
    }  # fmt: skip
    assert len(spec["data"]["values"]) == 9
    assert all({"recipe", "learning rate", "learned", "lost"} <= {*row} for row in spec["data"]["values"])
    assert said.count("rate 0.0004") == 2  # the chosen runs have parts of their own


def test_a_page_on_ten_thousand_items_is_below_five_megabytes(tmp_path):
    run = finished(tmp_path / "run")
    scores, answers = [], []
    for moment, value in (("before", 100.0), ("after", 0.0)):
        for number in range(10_000):
            name = {"suite": f"suite {number % 50}", "item": str(number)}
            about = {"role": "retained", "split": "proof", "group": str(number), "unit": "points"}
            scores.append({"run": "run", "moment": moment, **name, **about, "value": value, "higher_is_better": True})
            answers.append({"moment": moment, **name, "asked": "q" * 3000, "said": "a" * 3000, "right": "r" * 3000})
    write_jsonl(run / "scores.jsonl", scores)
    write_jsonl(run / "answers.jsonl", answers)
    target = write_page(ReportSpec(runs=(str(run),), budget={"points": 2}), tmp_path / "large.html")
    assert target.stat().st_size < 5_000_000
    assert "10,000 answers were lost; 8 of them" in target.read_text()


def test_the_report_writes_the_page_and_says_why_there_is_no_table(tmp_path):
    run = finished(tmp_path / "run")
    assert report(ReportSpec(runs=(str(run),), html=str(tmp_path / "a" / "page.html")))
    assert "facts" in (tmp_path / "a" / "page.html").read_text()
    with pytest.raises(HoldfastError, match="add --live"):
        ReportSpec(runs=(str(run),), port=5)


@pytest.mark.parametrize(("make", "title"), [(fit, "learns labels.jsonl"), (healing, "labels-6c1b → healed")])
def test_the_command_writes_the_page_of_a_fit_and_a_healing_beside_what_it_prints(tmp_path, make, title, capsys):
    folder = make(tmp_path / "folder")
    assert main(["report", str(folder), "--html", str(tmp_path / "page.html")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "40% of every change" in printed or "learned the task" in printed
    assert printed.endswith(f"Page: {tmp_path}/page.html")
    text = (tmp_path / "page.html").read_text()
    assert title in text
    assert "/models/" not in text.partition("<main>")[0]  # a title names models by the last part of their path


def test_a_page_may_show_a_healing_beside_a_run_but_a_table_may_not(tmp_path):
    places = [str(healing(tmp_path / "healing")), str(finished(tmp_path / "run"))]
    show(ReportSpec(runs=tuple(places), html=str(tmp_path / "page.html")), Console(quiet=True))
    assert "labels-6c1b → healed" in (tmp_path / "page.html").read_text()
    with pytest.raises(HoldfastError, match="report them one by one"):
        show(ReportSpec(runs=tuple(places)), Console(quiet=True))


def test_the_parts_of_a_fit_are_closed_but_the_first_and_its_search_says_what_trials_came_to(tmp_path):
    whole, run, healed = page_of(ReportSpec(runs=(str(fit(tmp_path / "fit")),))).parts
    assert (whole.folded, run.folded, healed.folded) == (False, True, True)
    assert healed.title.startswith("The healing: ")
    assert whole.sentence.count("learned the task") == 1
    assert "on 80 questions" not in whole.sentence  # its own sentence says it already
    (search,) = (section for section in whole.sections if section.heading == "Search")
    rows = search.blocks[1].rows
    assert rows[0][4:] == ["+40.0 points", "+3.0 points", "90%", "0.40", ""]
    assert [row[-1] for row in rows[1:]] == ["failed: out of memory", "yes"]


def test_the_page_of_a_reranker_counts_queries_and_has_no_columns_of_flips(tmp_path):
    part = page_of(ReportSpec(runs=(str(reranker(tmp_path / "run")),), budget={"points": 5})).parts[0]
    assert "queries in 2 suites" in part.sentence
    blocks = {section.heading: section.blocks for section in part.sections}
    assert blocks["Before and after"][0].columns[-2:] == ("change [95% interval]", "reading")
    losses = next(block for block in blocks["Training"] if getattr(block, "title", "") == "Loss while training")
    assert losses.numbers.columns[-1] == "loss"


def test_the_columns_of_a_comparison_stand_in_two_tables(tmp_path):
    (part, *_) = page_of(ReportSpec(runs=(str(comparison(tmp_path / "runs")),), budget={"points": 5})).parts
    (recipes,) = (section for section in part.sections if section.heading == "Recipes")
    _, learned, cost = recipes.blocks
    assert {"learned", "lost [95%]", "worst suite", "verdict"} <= {*learned.columns}
    assert {"time", "memory", "front", "volume"} <= {*cost.columns}
    assert {*learned.columns} & {*cost.columns} == {"recipe"}
    assert [row[0] for row in learned.rows] == [row[0] for row in cost.rows]
    assert "relative to plain training" in cost.note
    assert "relative to plain training" not in learned.note


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["4", "1,024", ""], False),
        (["+1.0 [-0.5, 2.5]", "-3 +2", "< 0.001", "90%", "1.20x", "5 s", "+4.5 points"], False),
        (["15.0 [7.9, 24.9] points", Word("not reached")], False),
        ([Word("kept"), Word("lost")], True),
        (["sums 20.0"], True),
        (["0f3a"], True),
        (["", ""], True),
    ],
)
def test_a_column_is_of_numbers_or_of_texts(cells, text):
    assert Table("a", ("b", "c"), [["x", cell] for cell in cells]).texts == (True, text)


def test_a_word_without_a_tone_is_plain(tmp_path):
    rows = [["a", Word("cannot detect less than 5 points")], ["b", Word("forgot")]]
    part = Part("One", "One", None, "", [Section("S", [Table("t", ("suite", "reading"), rows)])])
    text = as_html(Page("One", [part]))
    assert "<bdi>cannot detect less than 5 points</bdi>" in text
    assert '<span class="word bad">forgot</span>' in text
