"""Healing of small rerankers: what is searched, what is judged, what is written, and what is refused."""

from __future__ import annotations

import io
import json
import random

import peft
import pytest
import torch
from rich.console import Console
from sentence_transformers import CrossEncoder

from holdfast.bench.diff.diff import diff
from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import DiffSpec, ReportSpec
from holdfast.bench.heal.candidates import EDITS, layers_of, place_of
from holdfast.bench.heal.edits import Editor
from holdfast.bench.heal.heal import heal
from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.heal.inputs import inputs_of
from holdfast.bench.heal.ranking_asking import RankingAsking
from holdfast.bench.heal.ranking_glances import Nats, divergence, glanced_queries, surprise
from holdfast.core.errors import HoldfastError
from holdfast.probes.watch_record import WatchRecord
from holdfast.report.compare import show as report
from holdfast.report.heal import show
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.sources import read_collection
from holdfast.rerank.suite import suite_of
from tests.rerank import encoders, models

QUIET = Console(quiet=True)


def lists(path, model, count, seed):
    """Queries with five documents, of which the model's own favourite is relevant."""
    draw = random.Random(seed)
    rows = [
        {
            "id": f"{path.stem}-{i}",
            "query": f"{path.stem}{i} {encoders.text(draw)}",
            "documents": [encoders.text(draw) for _ in range(5)],
        }
        for i in range(count)
    ]
    scores = load_reranker(model).score([(row["query"], text) for row in rows for text in row["documents"]])
    for row, of in zip(rows, scores.reshape(count, 5), strict=True):
        row["labels"] = [float(place == of.argmax()) for place in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A base, a fine-tune that orders otherwise, an adapter, and collections on which each of the two is right."""
    room = tmp_path_factory.mktemp("heal")
    base, other = encoders.encoder(double=False), encoders.encoder(seed=1, double=False)
    base.save_pretrained(str(room / "base"))
    with torch.no_grad():
        for p, q in zip(base.parameters(), other.parameters(), strict=True):
            p.lerp_(q, 0.2)
    base.save_pretrained(str(room / "tuned"))
    inner = encoders.encoder(double=False)[0].model
    config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"], modules_to_save=[])
    adapted = peft.get_peft_model(inner, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(2))
    adapted.save_pretrained(str(room / "adapter"))
    lists(room / "keep.jsonl", str(room / "base"), 160, 0)
    lists(room / "test.jsonl", str(room / "tuned"), 120, 1)
    lists(room / "rows.jsonl", str(room / "tuned"), 40, 5)
    lists(room / "old.jsonl", str(room / "base"), 40, 6)
    return room


def spec(room, out, **changes):
    given = {
        "base": str(room / "base"),
        "tuned": str(room / "tuned"),
        "keep": (str(room / "keep.jsonl"),),
        "test": str(room / "test.jsonl"),
        "budget": {"points": 12},
        "edits": ("scale", "attention"),
        "evaluations": 8,
        "max_length": 48,
        "out": str(out),
    }
    return HealSpec(**{**given, **changes})


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "healed"


@pytest.fixture(scope="module")
def healed(room, out):
    return heal(spec(room, out), QUIET)


def test_the_healed_reranker_lost_less_and_keeps_some_learning(healed, out):
    before, after = ({row.name: row for row in rows} for rows in (healed.before.suites, healed.suites))
    assert before["keep"].before == pytest.approx(100.0), "the base is right on what is kept"
    assert after["keep"].change > before["keep"].change + 2
    inside = [point for point in healed.search.points if point.spent is not None and point.spent <= 1]
    best = max(inside, key=lambda point: point.gain)
    assert (healed.edit.name, healed.edit.strength) == (best.edit, best.strength)
    gains = [after["test"].change, before["test"].change]
    assert healed.learning_left == pytest.approx(gains[0] / gains[1])
    assert healed.search.items == 280 - sum(row.items for row in healed.suites)
    assert healed.form == "whole"
    assert healed.ranking["keep"].metrics["nDCG@10"].after == pytest.approx(after["keep"].after)
    assert {row.name for row in healed.symptoms} >= {"score collapse", "length bias"}
    assert HealRecord.read(out) == healed
    shown = io.StringIO()
    show(healed, Console(file=shown, width=80))
    assert "nDCG@10 times 100" in shown.getvalue()
    assert "MRR@10" in shown.getvalue()
    assert healed.retraining is None
    advised = "A short retraining with old lists may keep more: give --memory and --data."
    assert (advised in healed.sentence) == (healed.learning_left < 0.5)


def test_the_shipped_weights_are_the_edit_and_load_as_a_cross_encoder(healed, room, out):
    models_of = [CrossEncoder(str(folder), device="cpu") for folder in (room / "base", room / "tuned", out / "model")]
    base, tuned, shipped = (dict(model.named_parameters()) for model in models_of)
    layers = layers_of(base)
    for name, value in shipped.items():
        edit = EDITS[healed.edit.name].scale(healed.edit.strength, place_of(name, layers))
        assert torch.allclose(value, base[name] + edit * (tuned[name] - base[name]), atol=1e-6)
    assert models_of[2].predict([("w1 w2", "w3")], activation_fn=torch.nn.Identity()).shape == (1,)


def test_a_later_diff_leaves_out_what_steered_and_judges_alike(healed, room, out):
    watched = WatchRecord.read(out / "model" / "holdfast_watched.json")
    assert {entry.use for entry in watched.things} == {"keep", "learn"}
    given = {"keep": (str(room / "keep.jsonl"),), "test": str(room / "test.jsonl"), "max_length": 48}
    judged = diff(DiffSpec(base=str(room / "base"), tuned=healed.model, budget={"points": 12}, **given), QUIET)
    assert judged.steered is not None
    assert [row.after for row in judged.suites] == pytest.approx([row.after for row in healed.suites])
    assert judged.verdict == healed.verdict


def test_a_finished_healing_is_read_and_another_budget_is_refused(healed, room, out, monkeypatch):
    monkeypatch.setattr(Editor, "write", lambda *words: pytest.fail("nothing runs"))
    assert heal(spec(room, out), QUIET) == healed
    with pytest.raises(HoldfastError, match="another budget"):
        heal(spec(room, out, budget={"points": 13}), QUIET)


def test_an_adapter_is_merged_because_it_also_has_the_head(room, tmp_path):
    lists(tmp_path / "test.jsonl", str(room / "adapter"), 60, 3)
    changes = {"tuned": str(room / "adapter"), "test": str(tmp_path / "test.jsonl"), "edits": ("scale",)}
    shown = io.StringIO()
    record = heal(
        spec(room, tmp_path / "out", budget={"points": 6}, evaluations=4, **changes), Console(file=shown, width=200)
    )
    assert record.form == "whole"
    assert "is not a plain LoRA" in shown.getvalue()
    base, tuned = (load_reranker(str(room / name), str(room / "base")).model for name in ("base", "adapter"))
    for name, value in load_reranker(record.model).model.named_parameters():
        first, last = (dict(model.named_parameters())[name] for model in (base, tuned))
        assert torch.allclose(value, first + record.edit.strength * (last - first), atol=1e-5)


def test_an_adapter_is_merged_in_float32_under_bf16(room, tmp_path):
    given = spec(room, tmp_path / "out", tuned=str(room / "adapter"), precision="bf16")
    asking = RankingAsking.of(inputs_of(given), tmp_path / "out", QUIET, [])
    editor = asking.editor(tmp_path / "work", [])
    whole = dict(load_reranker(str(room / "adapter"), str(room / "base")).model[0].model.named_parameters())
    for name in editor.tuned.shapes:
        assert editor.tuned.read(name).dtype == torch.float32
        assert torch.equal(editor.tuned.read(name), whole[name])
    assert asking._loaded(str(room / "adapter")).model.dtype == torch.bfloat16, "asking stays in the precision"


def test_a_causal_reranker_keeps_its_words_for_yes_and_no(tmp_path):
    base, tuned = (CrossEncoder(models.causal(tmp_path / f"raw{seed}", seed), device="cpu") for seed in (0, 1))
    base.save_pretrained(str(tmp_path / "base"))
    with torch.no_grad():
        for p, q in zip(tuned.parameters(), base.parameters(), strict=True):
            p.lerp_(q, 0.7)
    tuned.save_pretrained(str(tmp_path / "tuned"))
    draw = random.Random(0)
    rows = [
        {"query": draw.choice(models.WORDS[4:]), "documents": draw.sample(models.WORDS[4:], 4), "labels": [1, 0, 0, 0]}
        for _ in range(40)
    ]
    (tmp_path / "keep.jsonl").write_text(
        "".join(json.dumps({"id": str(i), **row}) + "\n" for i, row in enumerate(rows))
    )
    given = {"task": "rerank", "test": None, "keep": (str(tmp_path / "keep.jsonl"),), "budget": {"points": 0.2}}
    record = heal(spec(tmp_path, tmp_path / "out", edits=("scale",), evaluations=3, **given), QUIET)
    assert record.form in ("whole", "unchanged")
    if record.form == "whole":
        assert load_reranker(record.model).score([("cat", "lamp")]).shape == (1,)


def test_the_nats_of_a_glance_are_those_of_torch(room):
    base, tuned = ({str(i): float(value) for i, value in enumerate(torch.randn(5, dtype=torch.float64))} for _ in "ab")
    first, last = (torch.tensor(list(scores.values()), dtype=torch.float64) for scores in (base, tuned))
    wanted = torch.nn.functional.kl_div(last.log_softmax(0), first.softmax(0), reduction="sum")
    assert divergence(base, tuned) == pytest.approx(wanted.item())
    wanted = torch.nn.functional.cross_entropy(last, torch.tensor([0.5, 0, 0.5, 0, 0], dtype=torch.float64))
    assert surprise(tuned, {"0", "2"}) == pytest.approx(wanted.item())
    assert surprise(tuned, {"9"}) is None


def test_a_glance_ranks_a_quarter_and_puts_the_base_at_0(room):
    suites = [suite_of(read_collection(str(room / name), []), role) for name, role in
              (("keep.jsonl", "retained"), ("test.jsonl", "learned"))]  # fmt: skip
    quarter = glanced_queries(suites)
    assert [len(part) for part in quarter] == [40, 30]
    base, tuned = (load_reranker(str(room / name)) for name in ("base", "tuned"))
    nats = Nats(quarter, {suite.name: suite.ask(base).raw for suite in suites})
    (of_base, learned_of_base), (of_tuned, learned_of_tuned) = nats.of(base), nats.of(tuned)
    assert of_base == pytest.approx(0.0, abs=1e-12)
    assert of_tuned > 0.01
    assert learned_of_tuned < learned_of_base


def test_a_retraining_begins_at_the_edited_weights_and_is_judged_like_an_edit(room, tmp_path):
    (tmp_path / "old.jsonl").write_text(
        (room / "old.jsonl").read_text() + (room / "keep.jsonl").read_text().partition("\n")[0] + "\n"
    )
    memory = {"memory": (f"old={tmp_path / 'old.jsonl'}",), "data": str(room / "rows.jsonl"), "edits": ("scale",)}
    said = io.StringIO()
    still = "Train(lr=0.0, epochs=1, batch=8) + BaseKL(on='memory') + Rehearsal('old', ratio=0.5)"
    idle = heal(spec(room, tmp_path / "idle", recipe=still, **memory), Console(file=said, width=200))
    assert "old.jsonl: 1 of 160 keep queries are also trained on" in said.getvalue()
    assert idle.retraining.steps == 10, "40 new lists and as many old ones, in steps of 8"
    assert not idle.retraining.taken
    points = [point for point in idle.search.points if point.edit == idle.edit.name and point.gain is not None]
    chosen = next(point for point in points if point.strength == idle.edit.strength)
    assert (idle.retraining.gain, idle.retraining.spent) == (pytest.approx(chosen.gain), pytest.approx(chosen.spent))
    trained, shipped = (load_reranker(path).model for path in (f"{idle.retraining.folder}/model", idle.model))
    for mine, theirs in zip(trained.parameters(), shipped.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert "A retraining did not help" in idle.sentence

    usual = heal(spec(room, tmp_path / "usual", evaluations=4, **memory), QUIET)
    assert usual.retraining.recipe == (
        "Train(lr=1e-05, epochs=1, batch=16) + Cosine() + BaseKL(strength=3.0, on='memory')"
        " + Rehearsal(memory='old', ratio=0.5)"
    )
    again = heal(spec(room, tmp_path / "usual", evaluations=4, **memory), QUIET)
    assert again == usual == HealRecord.read(tmp_path / "usual")


def test_a_retraining_that_learns_more_inside_the_budget_ships(room, tmp_path):
    """It may even learn what it is asked, so that it is sure to be better than the edit."""
    fast = "Train(lr=0.005, epochs=6, batch=8) + BaseKL(strength=3.0, on='memory') + Rehearsal('old', ratio=0.6)"
    memory = {"memory": (f"old={room / 'keep.jsonl'}",), "data": str(room / "test.jsonl"), "edits": ("scale",)}
    made = heal(spec(room, tmp_path / "out", recipe=fast, budget={"points": 20}, **memory), QUIET)
    chosen = next(p for p in made.search.points if (p.edit, p.strength) == (made.edit.name, made.edit.strength))
    assert made.retraining.gain > chosen.gain
    assert made.retraining.spent <= 1.0
    assert made.retraining.taken
    assert made.form == "whole"
    shipped, trained = (load_reranker(path).model for path in (made.model, f"{made.retraining.folder}/model"))
    assert all(map(torch.equal, shipped.parameters(), trained.parameters()))
    assert f"was retrained for {made.retraining.steps:,} steps" in made.sentence
    assert WatchRecord.read(tmp_path / "out/model/holdfast_watched.json").things


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"memory": ("old=old.jsonl",)}, "also needs what the fine-tune learned"),
        ({"memory": ("self",), "data": "rows.jsonl"}, "a reranker writes no old lists"),
        ({"memory": ("old=old.jsonl",), "data": "rows.jsonl", "recipe": "LoRA()"}, "an adapter cannot hold"),
        ({"keep": ()}, "--keep is missing: name collections"),
        ({"budget": {"nll": 0.1}}, "nll"),
        ({"budget": {}}, "--budget is missing"),
        ({"tuned": "base"}, "nothing to heal"),
    ],
    ids=["no data", "self", "adapter", "no keep", "nats", "no budget", "equal models"],
)
def test_what_cannot_be_healed_is_refused(room, tmp_path, changes, sentence):
    if changes.get("tuned"):
        changes = {"tuned": str(room / changes["tuned"])}
    with pytest.raises(HoldfastError, match=sentence):
        heal(spec(room, tmp_path / "out", **changes), QUIET)


def test_a_bi_encoder_and_a_depth_of_language_models_are_refused(room, tmp_path):
    bi = models.bi_encoder(tmp_path / "bi")
    with pytest.raises(HoldfastError, match=r"bi-encoder|weights"):
        heal(spec(room, tmp_path / "out", base=bi, tuned=bi), QUIET)
    with pytest.raises(HoldfastError, match="--depth is for rerankers"):
        HealSpec(base="ground:base", tuned="x", budget={"points": 1}, depth=10)
    assert HealSpec(base="x", tuned="y", budget={"points": 1}, task="rerank", depth=10).reranks


def test_a_report_shows_the_folder_of_a_healing(healed, out, room):
    shown = io.StringIO()
    report(ReportSpec(runs=(str(out),)), Console(file=shown, width=100))
    assert "nDCG@10 times 100" in shown.getvalue()
    assert healed.edit.text in " ".join(shown.getvalue().split())
    asked = io.StringIO()
    report(ReportSpec(runs=(str(out),), format="json"), Console(file=asked, width=100))
    assert json.loads(asked.getvalue()) == [healed.to_dict()]
    with pytest.raises(HoldfastError, match="--out and --live are for runs"):
        report(ReportSpec(runs=(str(out),), out=str(room / "report")))
    with pytest.raises(HoldfastError, match="no folder of a fit or a healing"):
        report(ReportSpec(runs=(str(out), str(room))))
