import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from holdfast.core.errors import HoldfastError
from holdfast.ground import build as module
from holdfast.ground.build import build
from holdfast.ground.pretrain import Course, Settings

SMALL = Settings(
    vocabulary=420,
    hidden=16,
    layers=1,
    heads=2,
    intermediate=32,
    window=112,
    batch=2,
    courses=(Course(6, 2e-3, 2, 4), Course(8, 1e-3, 1, 4, {"lists": 50.0})),
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    told = []
    folder = build(
        tmp_path_factory.mktemp("ground") / "base", 3, SMALL, watch=1, proof=2, every=5,
        tell=lambda *said: told.append(said),
    )  # fmt: skip
    return folder, told


def test_a_base_is_a_model_with_its_log_its_scores_and_its_card(built):
    folder, told = built
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "base.json", "chat_template.jinja", "config.json", "generation_config.json", "log.jsonl",
        "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "<s><|user|> Hi"
    about = json.loads((folder / "base.json").read_text())
    assert about["seed"] == 3
    assert Settings.from_dict(about["settings"]) == SMALL
    assert about["suites"]["facts"]["generate"]["items"] == 2
    assert about["suites"]["agreement"].keys() == {"choice"}
    assert about["calibration"]["choices"] >= 8
    assert about["text"]["text"]["nats_per_token"] > 1
    card = (folder / "README.md").read_text()
    assert "seed 3" in card
    assert "| facts | facts, asked in wordings never read |" in card
    assert "user: " in card
    assert len((folder / "log.jsonl").read_text().splitlines()) == 14
    assert {what.split(",")[0] for what, _, _ in told} == {"training", "asking suites"}


@pytest.mark.slow
def test_an_interrupted_build_goes_on_to_the_same_base(built, tmp_path):
    def stop(what, done, total):
        if what.startswith("training") and done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "base", 3, SMALL, watch=1, proof=2, every=5, tell=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["base.partial"]
    steps = []
    build(
        tmp_path / "base", 3, SMALL, watch=1, proof=2, every=5,
        tell=lambda what, done, total: steps.append(done) if what.startswith("training") else None,
    )  # fmt: skip
    assert steps[0] == 6
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
    for name in ("log.jsonl", "tokenizer.json"):
        assert (tmp_path / "base" / name).read_text() == (built[0] / name).read_text()
    once, again = load_file(built[0] / "model.safetensors"), load_file(tmp_path / "base" / "model.safetensors")
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_a_build_that_was_begun_with_other_settings_is_left_alone(tmp_path):
    def stop(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "base", 3, SMALL, tell=stop)
    with pytest.raises(HoldfastError, match=r"base\.partial: was begun with another seed; "):
        build(tmp_path / "base", 4, SMALL)


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "base").mkdir()
    with pytest.raises(HoldfastError, match="already exists"):
        build(tmp_path / "base", 3, SMALL)
    (tmp_path / "other.partial").mkdir()
    (tmp_path / "other.partial" / "thesis.txt").write_text("years of work")
    with pytest.raises(HoldfastError, match="holds files that are not from a build"):
        build(tmp_path / "other", 3, SMALL)


def test_the_command_passes_its_flags_on_and_says_errors_in_a_sentence(monkeypatch, tmp_path, capsys):
    asked = []

    def fake(folder, seed, tell):
        asked.append((folder, seed))
        tell("training", 1, 2)
        return tmp_path

    monkeypatch.setattr(module, "build", fake)
    assert module.main(["--seed", "7", "--out", "there"]) == 0
    assert module.main([]) == 0
    assert asked == [("there", 7), ("ground-0", 0)]
    monkeypatch.undo()
    assert module.main(["--out", str(tmp_path)]) == 1
    assert "already exists" in capsys.readouterr().err
