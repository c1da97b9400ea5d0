"""The card, the certificate and the recipe beside a run's model, and what `verify` says when something changes."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from rich.console import Console
from safetensors.torch import load_file, save_file

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.given.verify_spec import VerifySpec
from holdfast.bench.machine.files import write_json
from holdfast.bench.measured.digests import file_digest
from holdfast.bench.run.adapter_metadata import ADAPTER, add_metadata, metadata_of
from holdfast.bench.run.model_card import license_of, plain_text
from holdfast.bench.run.proof import ProofRecord, seal_of
from holdfast.bench.run.run import train
from holdfast.bench.verify.verify import verify
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse
from holdfast.report.verify import show
from tests import tiny

RECIPE = "Train(lr=0.01, epochs=2) + LoRA(rank=2) + MaskTheTarget()"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run of an adapter on a tiny base that has a license, with items to keep and to learn."""
    room = tmp_path_factory.mktemp("room")
    tiny.tiny("llama", seed=0).float().save_pretrained(room / "base")
    tiny.tokenizer().save_pretrained(room / "base")
    (room / "base" / "README.md").write_text("---\nlicense: mit\n---\n# A base\n")
    rows = [{"prompt": f"t{n} t{n + 1} ", "completion": "t15"} for n in range(20, 28)]
    new = [{"id": f"n{n}", "suite": "new", "prompt": f"t{n} t{n}", "check": {"exact": "t15"}} for n in range(30, 40)]
    kept = [
        {"id": f"k{n}", "suite": "old|new", "prompt": f"t{n} t40", "check": {"lacks": "t15"}} for n in range(20, 60)
    ]
    kept += [{"id": f"x{n}", "suite": "texts", "text": f"t{n} t61 t62"} for n in range(20, 40)]
    for name, records in (("rows", rows), ("new", new), ("kept", kept)):
        (room / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    spec = RunSpec(
        model=str(room / "base"), data=str(room / "rows.jsonl"), test=str(room / "new.jsonl"), name="run",
        keep=(str(room / "kept.jsonl"),), recipe=RECIPE, out=str(room / "runs"),
        budget={"points": 100, "on_spent": "log"},
    )  # fmt: skip
    return train(spec, Console(quiet=True))


@pytest.fixture
def model(done, tmp_path):
    """A copy of the run, whose model a test may change."""
    shutil.copytree(done.folder, tmp_path / "run")
    return tmp_path / "run" / "model"


def checked(model, **options):
    return verify(VerifySpec(model=str(model), **options), Console(quiet=True))


def test_an_untouched_model_holds_and_gives_the_same_answers(model):
    record = checked(model)
    assert (record.word, record.exit_code) == ("holds", 0)
    assert record.checked == ("files", "record", "answers")
    assert record.reasons[0].startswith("Both models gave the answers of the certificate in all 3 suites")
    assert record.claimed == record.found
    out = io.StringIO()
    show(record, Console(file=out, width=200))
    assert "The certificate holds" in out.getvalue()
    assert "kept; asked again: kept" in out.getvalue()


def test_a_changed_weight_does_not_hold_and_nothing_is_asked(model):
    tensors = load_file(model / ADAPTER)
    name = next(iter(tensors))
    tensors[name] += 0.5
    save_file(tensors, model / ADAPTER, metadata=metadata_of(model / ADAPTER))
    for quick in (True, False):
        record = checked(model, quick=quick)
        assert (record.word, record.exit_code) == ("does not hold", 2)
        assert record.reasons == (f"{ADAPTER} of the model was changed.",)


def test_an_added_chat_template_does_not_hold_and_added_notes_do(model):
    (model / "notes.txt").write_text("to whom it may concern")
    assert checked(model, quick=True).word == "holds"
    (model / "chat_template.jinja").write_text("{{ messages }}")
    record = checked(model, quick=True)
    assert (record.word, record.reasons) == ("does not hold", ("chat_template.jinja of the model was added.",))


def test_weights_with_new_digests_are_judged_by_their_answers(model):
    """A certificate can be forged; the answers cannot."""
    tensors = load_file(model / ADAPTER)
    save_file({name: tensor + 3.0 for name, tensor in tensors.items()}, model / ADAPTER)
    proof = ProofRecord.read(model)
    forged = json.loads((model / ProofRecord.FILE).read_text())
    forged["files"][ADAPTER] = file_digest(model / ADAPTER)
    forged["verdict"]["budget"] = {"points": 1.0}
    write_json(model / ProofRecord.FILE, ProofRecord.from_dict(forged).sealed().to_dict())
    assert checked(model, quick=True).word == "holds"
    record = checked(model)
    assert record.word != "holds"
    assert "are not those of the certificate" in record.reasons[0]
    assert proof.verdict.word == "kept"


def test_the_seal_is_that_of_the_file_whatever_fields_a_later_version_adds(model):
    path = model / ProofRecord.FILE
    older = {key: value for key, value in json.loads(path.read_text()).items() if key != "record_file"}
    write_json(path, {**older, "seal": seal_of(older)})
    assert checked(model, quick=True).word == "holds"


def test_a_changed_certificate_record_or_base_does_not_hold(model, done, tmp_path):
    path = model / ProofRecord.FILE
    values = json.loads(path.read_text())
    values["verdict"]["word"] = "forgot"
    write_json(path, values)
    assert "its seal does not fit" in checked(model, quick=True).reasons[0]
    shutil.copy(done.folder / "model" / ProofRecord.FILE, path)
    result = json.loads((model.parent / "result.json").read_text())
    write_json(model.parent / "result.json", {**result, "steps": 5})
    assert "is not the record that the certificate was made from" in checked(model, quick=True).reasons[0]
    (model.parent / "result.json").unlink()
    record = checked(model, quick=True)
    assert (record.word, record.checked) == ("holds", ("files",))
    assert "was not compared" in record.reasons[1]
    other = tmp_path / "other"
    shutil.copytree(values["base"], other)
    save_file({k: v + 1 for k, v in load_file(other / "model.safetensors").items()}, other / "model.safetensors")
    assert "of the base" in checked(model, quick=True, base=str(other)).reasons[0]


def test_other_questions_cannot_be_told(model, done):
    path = Path(done.spec.keep[0])
    text = path.read_text()
    try:
        path.write_text(text.replace(" t40", " t41"))
        record = checked(model)
    finally:
        path.write_text(text)
    assert (record.word, record.exit_code) == ("cannot tell", 3)
    assert "The questions of old|new are not those of the certificate" in record.reasons[0]


def test_the_command_has_the_exit_codes_and_speaks_json(model, capsys):
    assert main(["verify", str(model), "--quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["word"] == "holds"
    (model / "config.json").write_text("{}")
    assert main(["verify", str(model), "--quick"]) == 2
    assert "config.json of the model was added" in capsys.readouterr().out
    assert main(["verify", str(model.parent)]) == 1
    assert f"did you mean {model}?" in capsys.readouterr().err


def test_the_card_is_read_by_hub_tools_and_has_every_result(done):
    card = ModelCard.load(done.folder / "model" / "README.md")
    assert card.data.license == "mit"
    assert card.data.library_name == "peft"
    assert "verdict:kept" in card.data.tags
    results = {result.dataset_name: result for result in card.data.eval_results}
    assert set(results) == {"task (to learn)", "old|new (to keep)", "texts (to keep)"}
    rows = {row.name: row for row in done.record.suites}
    assert results["task (to learn)"].metric_value == pytest.approx(rows["task"].after, abs=1e-4)
    assert results["texts (to keep)"].metric_type == "loss"
    text = card.text
    for part in (
        "**Verdict: kept**, under a budget of 100 points.", "noise floor: a loss below", "| old\\|new | to keep |",
        repr(parse(RECIPE)), "(license: mit)", "SHA-256 begins with", "AutoPeftModelForCausalLM", "holdfast verify .",
        "- MaskTheTarget: ", "- LoRA: ",
    ):  # fmt: skip
        assert part in text, part
    assert plain_text("a|b <script> `x`\n# y") == "a\\|b \\<script\\> \\`x\\` \\# y"


def test_the_license_of_a_base_is_read_or_not_known(tmp_path):
    assert license_of("ground:base") == "apache-2.0"
    assert license_of(str(tmp_path)) is None
    assert license_of("somebody/something") is None
    (tmp_path / "README.md").write_bytes(b"\xef\xbb\xbf---\r\nlicense: MIT\r\n---\r\n")
    assert license_of(str(tmp_path)) == "mit"


def test_an_adapter_carries_its_recipe_and_loads_with_every_bit(done, tmp_path):
    path = done.folder / "model" / ADAPTER
    values = metadata_of(path)
    assert parse(values["holdfast.recipe"]) == parse(RECIPE)
    assert values["holdfast.base"] == done.spec.model
    assert values["format"] == "pt"
    copy = tmp_path / ADAPTER
    shutil.copy(path, copy)
    add_metadata(copy, {"more": "ü" * 1001})
    assert metadata_of(copy)["more"] == "ü" * 1001
    before, after = load_file(path), load_file(copy)
    assert all((before[name] == after[name]).all() for name in before)
    assert before.keys() == after.keys()
    copy.write_bytes(b"no header at all")
    with pytest.raises(HoldfastError, match="is not a safetensors file"):
        metadata_of(copy)
