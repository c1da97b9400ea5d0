"""The folder of a run knows the files that it was made from."""

from __future__ import annotations

import shutil

import pytest

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.measured.digests import PART, PARTS, sampled_digest
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


def test_a_run_is_not_continued_on_another_base(tmp_path):
    """Half of such a run would be trained from other weights than its answers before belong to."""
    model, data = tmp_path / "model", tmp_path / "data.jsonl"
    model.mkdir()
    (model / "model.safetensors").write_bytes(bytes(PARTS * PART + 1))
    data.write_text("rows\n")
    spec = RunSpec(model=str(model), data=str(data), recipe="LoRA()", out=str(tmp_path / "runs"), resume=True)
    folder = folder_of(spec)
    begin_folder(folder, spec, "LoRA()", {})
    assert not open_folder(folder, spec)
    (model / "README.md").write_text("what it is\n")
    shutil.copytree(model, tmp_path / "copy")
    shutil.rmtree(model)
    (tmp_path / "copy").rename(model)  # the same weights, written later
    assert not open_folder(folder, spec)
    (model / "model.safetensors").write_bytes(bytes(PARTS * PART) + b"1")
    with pytest.raises(HoldfastError, match=r"holds a run from before the model .*model was changed; delete it, or"):
        open_folder(folder, spec)


@pytest.mark.parametrize("size", [2, PART, PARTS * PART, PARTS * PART + 1, 3 * PARTS * PART])
def test_a_sampled_digest_sees_both_ends_and_the_size_of_a_file(tmp_path, size):
    zeros = bytes(size)
    contents = [zeros, b"1" + zeros[1:], zeros[:-1] + b"1", zeros + b"0"]
    digests = []
    for content in contents:
        (tmp_path / "weights").write_bytes(content)
        digests.append(sampled_digest(tmp_path / "weights"))
    assert len(set(digests)) == len(contents)
