"""Folders: clones of hub sets, splits, sets within a set; never a test among what is learned, in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import read


def put(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            datasets = pytest.importorskip("datasets")
            datasets.Dataset.from_list([{"text": name}]).to_parquet(str(path))
        elif name.endswith(".jsonl"):
            path.write_text(json.dumps({"text": name}) + "\n")
        else:
            path.write_text("{}" if name.endswith("json") else "nothing to learn")
    return folder


def texts(source: object, **options: object) -> list[str | None]:
    return [row.text for row in read(source, **options)]


def test_the_training_split_of_a_clone_is_read_and_the_others_named(tmp_path):
    folder = put(
        tmp_path / "set",
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet",
        "README.md",
        ".gitattributes",
        "dataset_infos.json",
        "set.py",
    )
    notes: list[str] = []
    assert texts(folder, notes=notes) == [f"data/train-0000{n}-of-00002.parquet" for n in (0, 1)]
    assert "set: the split 'train' is read; 'test' is not." in notes
    assert texts(f"{folder}:test") == ["data/test-00000-of-00001.parquet"]
    assert texts(folder, splits=("test", "train")) == ["data/test-00000-of-00001.parquet"]
    assert read(folder)[0].origin == "set/data/train-00000-of-00002.parquet:1"


@pytest.mark.parametrize(
    "names",
    [
        ("train.jsonl", "validation.jsonl", "test.jsonl"),
        ("my_train.jsonl", "my_dev.jsonl", "my_test.jsonl"),
        ("train/0000.jsonl", "test/0000.jsonl"),
        ("data/train/part-0.jsonl", "data/valid/part-0.jsonl"),
    ],
)
def test_splits_are_known_by_the_names_of_files_and_folders(tmp_path, names):
    assert texts(put(tmp_path / "set", *names)) == [names[0]]


def test_only_a_test_split_is_read_where_there_is_no_other(tmp_path):
    assert texts(put(tmp_path / "set", "data/test-00000-of-00001.jsonl")) == ["data/test-00000-of-00001.jsonl"]


def test_of_several_sets_one_is_to_be_named(tmp_path):
    folder = put(tmp_path / "set", "en/train.jsonl", "en/test.jsonl", "fr/train.jsonl")
    with pytest.raises(HoldfastError, match=r"^set: holds several sets; name one of them: set/en, set/fr\.$"):
        read(folder)
    assert texts(folder / "fr") == ["fr/train.jsonl"] or texts(folder / "fr") == ["train.jsonl"]


def test_what_the_readme_of_a_clone_says_of_its_files_holds(tmp_path):
    folder = put(tmp_path / "set", "a.jsonl", "b.jsonl", "c.jsonl", "old.jsonl")
    (folder / "README.md").write_text(
        "---\nlicense: mit\nconfigs:\n- config_name: main\n  data_files:\n  - split: train\n    path: a.jsonl\n"
        "  - split: test\n    path: b.jsonl\n- config_name: other\n  data_files: c.jsonl\n---\n# A set\n"
    )
    with pytest.raises(HoldfastError, match="holds several sets; name one of them: set/main, set/other"):
        read(folder)
    assert texts(f"{folder}/main") == ["a.jsonl"]
    assert texts(f"{folder}/main:test") == ["b.jsonl"]
    assert texts(f"{folder}/other") == ["c.jsonl"]


def test_several_splits_without_a_training_one_are_named(tmp_path):
    folder = put(tmp_path / "set", "data/dev.jsonl", "data/test.jsonl")
    with pytest.raises(HoldfastError, match="has several splits, none called 'train'; choose one of validation, test"):
        read(folder)
    assert texts(f"{folder}:dev") == ["data/dev.jsonl"]


def test_files_below_a_folder_with_files_are_named_as_not_read(tmp_path):
    folder = put(tmp_path / "set", "a.jsonl", "more/b.jsonl")
    notes: list[str] = []
    assert texts(folder, notes=notes) == ["a.jsonl"]
    assert "set: 1 data files in subfolders are not read (first: more/b.jsonl)." in notes


def test_the_splits_of_a_saved_set_that_are_not_read_are_named(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list([{"text": "t"}])
    datasets.DatasetDict(train=made, test=made).save_to_disk(str(tmp_path / "d"))
    notes: list[str] = []
    read(tmp_path / "d", notes=notes)
    assert notes[0] == "d: the split 'train' is read; 'test' is not."
