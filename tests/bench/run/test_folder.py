"""The folder of a run knows the files that it was made from."""

from __future__ import annotations

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.folder import digests_of


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
