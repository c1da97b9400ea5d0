"""The folder of a run knows the files that it was made from."""

from __future__ import annotations

import json
import os

import pytest

from holdfast.bench.given.model_content import BLOCK, BLOCKS, content_of, model_content, model_digest
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.folder import begin_folder, digests_of, folder_of, open_folder
from holdfast.core.errors import HoldfastError


def test_a_part_of_a_file_has_the_digest_of_the_file(tmp_path):
    """The answers of an interrupted run are not those to the items of a file that was changed since."""
    kept, data = tmp_path / "kept.jsonl", tmp_path / "data.jsonl"
    kept.write_text("one\n")
    data.write_text("rows\n")
    spec = RunSpec(model="ground:base", data=str(data), keep=(f"{kept}:50", str(kept), "mmlu:300"), recipe="LoRA()")
    first = digests_of(spec)
    assert set(first) == {str(data), f"{kept}:50", str(kept)}
    assert first[f"{kept}:50"] == first[str(kept)]
    kept.write_text("another\n")
    assert digests_of(spec)[f"{kept}:50"] != first[f"{kept}:50"]


def model(folder, byte=b"a", base=None):
    """A folder that looks like a model or, with a base, like an adapter, with one byte again and again as weights."""
    folder.mkdir(exist_ok=True)
    (folder / ("config.json" if base is None else "adapter_config.json")).write_text(
        json.dumps({"base_model_name_or_path": None if base is None else str(base)})
    )
    name = "model.safetensors" if base is None else "adapter_model.safetensors"
    (folder / name).write_bytes(byte * (2 * BLOCK * BLOCKS))
    return folder


def change_model(room):
    model(room / "model", b"b")


def change_base(room):
    model(room / "base", b"b")


def change_soup(room):
    model(room / "soup", b"b")


def change_rows(room):
    (room / "rows" / "more.jsonl").write_text("{}\n")


def change_old(room):
    (room / "old.jsonl").write_text("other\n")


@pytest.mark.parametrize("change", [change_model, change_base, change_soup, change_rows, change_old])
def test_a_run_is_not_that_of_another_model_folder_or_recipe_of_old_rows(tmp_path, change):
    room = tmp_path
    model(model(room / "model").parent / "soup")
    model(room / "base")
    model(room / "adapter", base=room / "base")
    (room / "rows").mkdir()
    for place in ("rows/data.jsonl", "old.jsonl"):
        (room / place).write_text("rows\n")
    trained = "adapter" if change is change_base else "model"
    recipe = f"Rehearsal('{room}/old.jsonl') + Soup(models='{room}/soup')"
    spec = RunSpec(
        model=str(room / trained), data=str(room / "rows"), recipe=recipe, out=str(room / "out"), resume=True
    )
    begin_folder(folder_of(spec), spec, None, {})
    (folder_of(spec) / "result.json").write_text("{}")
    for path in room.rglob("*.safetensors"):
        os.utime(path, (0, 0))
    assert open_folder(folder_of(spec), spec), "a model that was downloaded again is the same"
    change(room)
    with pytest.raises(HoldfastError, match="holds a run from before .* was changed"):
        open_folder(folder_of(spec), spec)


def test_a_run_of_an_older_version_is_still_known(tmp_path):
    model(tmp_path / "model")
    (tmp_path / "data.jsonl").write_text("rows\n")
    spec = RunSpec(model=str(tmp_path / "model"), data=str(tmp_path / "data.jsonl"), recipe="LoRA()", out=str(tmp_path))
    begin_folder(folder_of(spec), spec, None, {})
    (folder_of(spec) / "result.json").write_text("{}")
    about = folder_of(spec) / "spec.json"
    about.write_text(json.dumps({k: v for k, v in json.loads(about.read_text()).items() if k != "inputs"}))
    model(tmp_path / "model", b"b")
    assert open_folder(folder_of(spec), spec)


def test_a_name_on_a_hub_has_no_content_and_a_small_change_of_all_weights_is_seen(tmp_path):
    assert model_content("somebody/model") is None
    assert model_content("ground:base")
    first = model_content(str(model(tmp_path / "one")))
    assert first == model_content(str(model(tmp_path / "two")))
    path = tmp_path / "two" / "model.safetensors"
    path.write_bytes(b"a" * (path.stat().st_size - 1) + b"b")
    assert first != model_content(str(tmp_path / "two"))


def test_copies_of_a_model_share_a_digest_and_names_on_a_hub_have_their_own(tmp_path):
    one, two = (str(model(tmp_path / name)) for name in ("one", "two"))
    assert model_digest(one) == model_digest(two) != model_digest("somebody/model") != model_digest("somebody/other")


@pytest.mark.parametrize("name", ["generation_config.json", "merges.txt", "special_tokens_map.json", "modules.json"])
def test_every_file_that_a_model_is_loaded_from_counts_and_a_description_does_not(tmp_path, name):
    """The tokens at which a model stops stand in generation_config.json, and change what it answers."""
    folder = model(tmp_path / "model")
    first = model_digest(str(folder))
    (folder / "README.md").write_text("what it is")
    assert model_digest(str(folder)) == first
    (folder / name).write_text("{}")
    assert model_digest(str(folder)) != first


def test_any_byte_of_rows_or_of_a_tokenizer_counts(tmp_path):
    path = tmp_path / "old.jsonl"
    path.write_bytes(b"a" * (4 * BLOCK * BLOCKS))
    first = content_of([path])
    for place in (0, BLOCK, 3 * BLOCK * BLOCKS + 7, 4 * BLOCK * BLOCKS - 1):
        content = bytearray(b"a" * (4 * BLOCK * BLOCKS))
        content[place] = ord("b")
        path.write_bytes(content)
        assert content_of([path]) != first
