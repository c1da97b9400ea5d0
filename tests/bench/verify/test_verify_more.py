"""Cards and certificates of healed models and of rerankers, and what `verify` says of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from rich.console import Console
from safetensors.torch import load_file, save_file

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import DiffSpec, ReportSpec, RunSpec
from holdfast.bench.given.verify_spec import VerifySpec
from holdfast.bench.heal.heal import heal
from holdfast.bench.run.adapter_metadata import ADAPTER, metadata_of
from holdfast.bench.run.proof import ProofRecord, asked_how
from holdfast.bench.run.run import train
from holdfast.bench.verify.verify import verify
from holdfast.core.errors import HoldfastError
from holdfast.report.compare import report
from holdfast.report.page.making import page_of, write_page
from tests import tiny
from tests.bench.heal.test_heal import answered, written
from tests.bench.run.test_rerankers import written as written_lists
from tests.rerank import encoders

QUIET = Console(quiet=True)


def checked(model, **options):
    return verify(VerifySpec(model=str(model), **options), QUIET)


def moved(model, name="model.safetensors"):
    """Moves the weights of a model a little, with new digests nowhere."""
    tensors = load_file(model / name)
    save_file({key: value + 0.5 for key, value in tensors.items()}, model / name, metadata=metadata_of(model / name))


@pytest.fixture(scope="module")
def healed(tmp_path_factory):
    """A healing that brings a fine-tune back inside its budget."""
    room = tmp_path_factory.mktemp("healed")
    models, tokenizer = [tiny.tiny("llama", seed=seed).float() for seed in (0, 1)], tiny.tokenizer()
    models[0].save_pretrained(room / "base")
    with torch.no_grad():
        base = tiny.tiny("llama", seed=0).float()
        for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
            p.lerp_(q, 0.4)
    models[0].save_pretrained(room / "tuned")
    for name in ("base", "tuned"):
        tokenizer.save_pretrained(room / name)
    (room / "base" / "README.md").write_text("---\nlicense: mit\n---\n# A base\n")
    spec = HealSpec(
        base=str(room / "base"), tuned=str(room / "tuned"), out=str(room / "out"), budget={"points": 5},
        keep=(written(room / "keep.jsonl", answered("old", base, tokenizer)),),
        test=written(room / "test.jsonl", answered("new", models[0], tokenizer)), edits=("scale",), evaluations=4,
    )  # fmt: skip
    return heal(spec, QUIET)


@pytest.fixture(scope="module")
def reranker(tmp_path_factory):
    """A run of a reranker with collections to keep and to learn."""
    pytest.importorskip("sentence_transformers")
    room = tmp_path_factory.mktemp("reranker")
    files = {name: written_lists(room / f"{name}.jsonl", 40, i) for i, name in enumerate(("legal", "other", "general"))}
    spec = RunSpec(
        model=encoders.folder(), data=files["legal"], test=files["other"], keep=(files["general"],), name="run",
        recipe="Train(lr=0.01, epochs=1, batch=8) + BaseKL()", budget={"points": 90, "on_spent": "log"},
        max_length=48, out=str(room / "runs"),
    )  # fmt: skip
    return train(spec, QUIET)


@pytest.fixture
def copied(request, tmp_path):
    """A copy of the folder of a healing or a run, whose model a test may change."""

    def copy(folder):
        shutil.copytree(folder, tmp_path / "copy")
        return tmp_path / "copy" / "model"

    return copy


def test_a_healed_model_has_a_card_that_says_what_was_done(healed):
    assert healed.form == "whole"
    card = ModelCard.load(Path(healed.model) / "README.md")
    assert (card.data.license, card.data.library_name) == ("mit", "transformers")
    rows = {row.name: row for row in healed.suites}
    results = {result.dataset_name: result.metric_value for result in card.data.eval_results}
    assert results["old (to keep)"] == pytest.approx(rows["old"].after, abs=1e-4)
    for part in (healed.edit.text.split("|")[0][:20], f"**Verdict: {healed.verdict.word}**", "## Healing", "Fine-tune"):
        assert part in card.text, part


def test_a_healing_has_a_page_of_its_own(healed, tmp_path):
    folder = str(Path(healed.model).parent)
    (part,) = page_of(ReportSpec(runs=(folder,))).parts
    assert (part.kind, part.word.text) == ("A healing", healed.verdict.word)
    assert healed.sentence in part.sentence
    headings = [section.heading for section in part.sections]
    assert headings[:2] == ["Before and after the healing", "Verdict"]
    assert {"What was lost and gained", "The search", "Run it again"} <= {*headings}
    (table,) = part.sections[0].blocks
    assert [row[0] for row in table.rows] == [*(row.name for row in healed.suites), "verdict"]
    tuned = {row.name: row.after for row in healed.before.suites}
    assert all(f"{tuned[row.name]:.1f}" == cells[3] for row, cells in zip(healed.suites, table.rows, strict=False))
    page = write_page(ReportSpec(runs=(folder,)), tmp_path / "page.html").read_text()
    assert "holdfast heal" in page
    with pytest.raises(HoldfastError, match="holds a healing, not a run: write its page with --html"):
        report(ReportSpec(runs=(folder,)))


def test_an_untouched_healed_model_holds_and_a_changed_one_does_not(healed, copied):
    model = copied(Path(healed.model).parent)
    record = checked(model)
    assert (record.word, record.checked) == ("holds", ("files", "record", "answers"))
    assert record.claimed == record.found == healed.verdict
    proof = ProofRecord.read(model)
    assert {suite.name for suite in proof.suites} == {"old", "task"}
    assert all(suite.again for suite in proof.suites)
    assert proof.record_file == "heal.json"
    values = json.loads((model.parent / "heal.json").read_text())
    (model.parent / "heal.json").write_text(json.dumps({**values, "seconds": 1e6}))
    assert "is not the record that the certificate was made from" in checked(model, quick=True).reasons[0]
    moved(model)
    assert checked(model).word == "does not hold"


def test_a_healing_of_an_adapter_names_its_edit_in_the_file(healed, tmp_path):
    peft = pytest.importorskip("peft")
    from holdfast.bench.given.loading import load_model

    adapted = peft.get_peft_model(load_model(healed.base), peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(2))
    adapted.save_pretrained(tmp_path / "adapter")
    spec = HealSpec(
        base=healed.base, tuned=str(tmp_path / "adapter"), out=str(tmp_path / "out"), budget={"points": 5},
        keep=(str(Path(healed.base).parent / "keep.jsonl"),), edits=("scale",), evaluations=3,
    )  # fmt: skip
    record = heal(spec, QUIET)
    assert record.form == "adapter"
    values = metadata_of(Path(record.model) / ADAPTER)
    assert values["holdfast.base"] == healed.base
    assert values["holdfast.edit"] == f"scale {record.edit.strength:g}"
    assert checked(record.model).word == "holds"


def test_a_reranker_has_a_card_with_its_metric(reranker):
    card = ModelCard.load(reranker.folder / "model" / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("sentence-transformers", "text-ranking")
    assert {result.metric_type for result in card.data.eval_results} == {"ndcg_at_10"}
    for part in ("nDCG@10 in percent", "CrossEncoder(folder)", "Loss: listnet", "**Verdict: kept**", "- BaseKL: "):
        assert part in card.text, part


def test_an_untouched_reranker_holds_and_a_changed_one_does_not(reranker, copied):
    model = copied(reranker.folder)
    record = checked(model)
    assert (record.word, record.checked) == ("holds", ("files", "record", "answers"))
    assert record.reasons[0].startswith("Both models gave the answers of the certificate in all 2 suites")
    assert record.claimed == record.found
    assert ProofRecord.read(model).asked.depth == 100
    moved(model)
    assert checked(model).reasons == ("model.safetensors of the model was changed.",)


def test_other_documents_of_a_collection_cannot_be_told(reranker):
    path = Path(reranker.spec.keep[0])
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    lines[0]["negative"] = [f"{one} more" for one in lines[0]["negative"]]
    lines = [{**line, "negative": [f"{one} w1" for one in line["negative"]]} for line in lines]
    try:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        record = checked(reranker.folder / "model")
    finally:
        path.write_text(text)
    assert record.word == "cannot tell"
    assert "The questions of general are not those of the certificate" in record.reasons[0]


def test_a_certificate_knows_what_became_of_refused_rows_and_of_preferences():
    given = RunSpec(model="m", data="d.jsonl", recipe="LoRA()", keep=("k.jsonl",), preference="chosen", refused="drop")
    again = DiffSpec(base="m", tuned="t", **asked_how(given, given.keep).options())
    assert (again.preference, again.refused) == ("chosen", "drop")
