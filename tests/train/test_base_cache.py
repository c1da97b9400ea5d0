"""With the base cache, a run ends where it ends without it, and the base reads each row once."""

from __future__ import annotations

import copy
import json
import logging
import shutil

import peft
import pytest
import safetensors.torch
import torch
import transformers

from holdfast.core.mix import Example
from holdfast.train import row_store
from holdfast.train.attach import attach
from holdfast.train.base import make_teacher
from holdfast.train.base_cache import base_digest
from holdfast.train.comparison import Comparison
from holdfast.train.keeping import sharing_base
from holdfast.train.row_store import RowStore
from tests import tiny
from tests.train.retrace import batches_of, furthest, trainer_for
from tests.train.test_sft_trainer import sft

MEMORY = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(7, seed=3)]


@pytest.fixture
def read(monkeypatch):
    """Counts the rows that the base reads."""
    counted = []
    features = Comparison.features

    def counting(self, call, wanted_N=None):
        counted.append(int(call.tokens.scored_BT.any(1).sum()))
        return features(self, call, wanted_N)

    monkeypatch.setattr(Comparison, "features", counting)
    return counted


def run(folder, recipe, *, model=None, backbone="llama", dtype=torch.float64, count=12, train=True, **changes):
    model = tiny.tiny(backbone, dtype=dtype) if model is None else model
    options = {"micro": 4, "num_train_epochs": 2, "learning_rate": 0.1, **changes}
    trainer = trainer_for(copy.deepcopy(model), folder, tiny.rows(count), **options)
    attach(trainer, recipe, memories={"old": MEMORY})
    if train:
        trainer.train()
    return trainer


def losses(trainer):
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def form_of(trainer):
    kept = trainer.holdfast.forward.comparison.kept
    return None if kept is None else kept.form


BOTH = ["BaseKL(strength=2.0)", "MaskTheTarget(strength=2.0, certain=0.5)"]


@pytest.mark.parametrize("penalty", BOTH)
@pytest.mark.parametrize(
    ("backbone", "tied", "form"), [("llama", False, "means"), ("llama", True, "means"), ("gpt2", True, "means")]
)
def test_a_frozen_head_tied_or_not_gives_the_same_run_from_the_means(tmp_path, read, penalty, backbone, tied, form):
    model = tiny.tiny(backbone, tie_word_embeddings=tied)
    runs = {}
    for gb in (0, 1):
        read.clear()
        runs[gb] = run(tmp_path / str(gb), f"Train(base_cache={gb}) + LoRA(rank=2) + {penalty}", model=model)
        assert sum(read) == (12 if gb else 24)
    assert form_of(runs[0]) is None
    assert form_of(runs[1]) == form
    assert furthest(runs[0].model, runs[1].model) < 1e-10
    assert losses(runs[1]) == pytest.approx(losses(runs[0]), abs=1e-10)
    assert furthest(runs[0].model, run(tmp_path / "p", "LoRA(rank=2)", model=model).model) > 1e-3


class _Biased(transformers.LlamaForCausalLM):
    """A model whose head has a bias."""

    def __init__(self, config):
        super().__init__(config)
        self.lm_head = torch.nn.Linear(config.hidden_size, config.vocab_size)


@pytest.mark.parametrize("penalty", BOTH)
def test_a_bias_of_the_head_cancels(tmp_path, penalty):
    plain = tiny.tiny()
    model = _Biased(plain.config).double()
    model.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.normal_(model.lm_head.bias, std=1.5, generator=torch.Generator().manual_seed(1))
    runs = [run(tmp_path / str(gb), f"Train(base_cache={gb}) + LoRA(rank=2) + {penalty}", model=model) for gb in (0, 1)]
    assert form_of(runs[1]) == "means"
    assert furthest(runs[0].model, runs[1].model) < 1e-10


@pytest.mark.parametrize(
    ("recipe", "form"),
    [
        ("MaskTheTarget(strength=2.0)", "states"),
        ("LoRA(rank=2) + BaseKL(direction='reverse', strength=2.0)", "states"),
        ("LoRA(rank=2) + ASFT()", "states"),
        ("FreezeBottom(share=0.5) + BaseKL(strength=2.0)", "states"),
        ("LoRA(rank=2) + BaseKL() + MaskTheTarget()", "means"),
    ],
)
def test_a_head_that_trains_or_another_comparison_takes_the_states(tmp_path, read, recipe, form):
    without = run(tmp_path / "0", f"Train(base_cache=0) + {recipe}")
    read.clear()
    kept = run(tmp_path / "1", f"Train(base_cache=1) + {recipe}")
    assert form_of(kept) == form
    assert sum(read) == 12
    assert furthest(without.model, kept.model) < 1e-10


def test_a_soft_capped_head_falls_back_with_a_sentence(tmp_path, caplog):
    recipe = "LoRA(rank=2) + MaskTheTarget()"
    with caplog.at_level(logging.WARNING, "holdfast"):
        kept = run(tmp_path / "1", f"Train(base_cache=1) + {recipe}", backbone="gemma2")
    assert "reads each row again in every epoch: the model's logits are not those of a linear head" in caplog.text
    assert form_of(kept) is None
    assert furthest(kept.model, run(tmp_path / "0", f"Train(base_cache=0) + {recipe}", backbone="gemma2").model) == 0.0


@pytest.mark.parametrize(("dtype", "worst"), [(torch.float32, 3e-5), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("penalty", BOTH)
def test_in_float32_and_bfloat16_the_runs_differ_by_rounding(tmp_path, penalty, dtype, worst):
    bf16 = dtype == torch.bfloat16
    options = {"dtype": torch.float32, "bf16": bf16, "num_train_epochs": 2, "learning_rate": 0.02}
    runs = [run(tmp_path / str(gb), f"Train(base_cache={gb}) + LoRA(rank=2) + {penalty}", **options) for gb in (0, 1)]
    assert form_of(runs[1]) == "means"
    moved = furthest(runs[0].model, run(tmp_path / "p", "LoRA(rank=2)", **options, train=False).model)
    assert 0.0 < furthest(runs[0].model, runs[1].model) < worst * moved


@pytest.mark.parametrize(("recipe", "form"), [("LoRA(rank=2) + MaskTheTarget()", "means"), ("BaseKL()", "states")])
def test_what_is_kept_has_the_precision_of_the_training(tmp_path, monkeypatch, recipe, form):
    """The trainer's autocast surrounds the model alone; weights in bfloat16 met states in float32 outside of it."""
    put, found = RowStore.put, []
    monkeypatch.setattr(RowStore, "put", lambda self, key, row: (found.append(row), put(self, key, row))[1])
    dtype = torch.bfloat16 if form == "means" else torch.float32
    kept = run(tmp_path, f"Train(base_cache=1) + {recipe}", dtype=dtype, bf16=True, num_train_epochs=2)
    assert form_of(kept) == form
    assert len(found) == 12
    if form == "states":
        assert {row["states"].dtype for row in found} == {torch.bfloat16}


@pytest.mark.parametrize("form", ["means", "states"])
def test_accumulation_old_examples_and_other_batches_change_nothing(tmp_path, read, form):
    head = "LoRA(rank=2)" if form == "means" else "FreezeBottom(share=0.5)"
    recipe = f"{head} + BaseKL(on='memory', strength=2.0) + Rehearsal('old', ratio=0.5)"
    without = run(tmp_path / "0", f"Train(base_cache=0) + {recipe}")
    read.clear()
    kept = run(tmp_path / "1", f"Train(base_cache=1) + {recipe}")
    assert furthest(without.model, kept.model) < 1e-10
    assert form_of(kept) == form
    split = run(tmp_path / "2", f"Train(base_cache=1) + {recipe}", micro=2, accumulate=2)
    assert furthest(without.model, split.model) < 1e-10


def test_packed_rows_find_their_documents_in_any_company(tmp_path, read):
    def packed(gb):
        trainer = trainer_for(tiny.tiny(), tmp_path / str(gb), tiny.rows(12), micro=4, num_train_epochs=2)
        trainer.data_collator = transformers.DataCollatorWithFlattening()
        attach(trainer, f"Train(base_cache={gb}) + LoRA(rank=2) + MaskTheTarget(strength=2.0)")
        read.clear()
        trainer.train()
        return trainer

    without = packed(0)
    assert len(read) == 6
    kept = packed(1)
    assert len(read) == 3, "three packed batches in the first epoch, and none later although the rows are shuffled"
    assert form_of(kept) == "means"
    assert furthest(without.model, kept.model) < 1e-10


class _StopAt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 4:
            control.should_training_stop = True


def test_a_resumed_run_reads_what_the_interrupted_one_has_kept_and_retraces_the_whole_one(tmp_path, read):
    recipe = "Train(base_cache=1) + LoRA(rank=2, dropout=0.2) + MaskTheTarget(strength=2.0)"
    options = {"save_strategy": "steps", "save_steps": 1, "dtype": torch.float32, "optim": "adamw_torch"}
    whole = run(tmp_path / "whole", recipe, **options)
    stopped = run(tmp_path / "parts", recipe, train=False, **options)
    stopped.add_callback(_StopAt())
    stopped.train()
    read.clear()
    resumed = run(tmp_path / "parts", recipe, train=False, **options)
    resumed.train(resume_from_checkpoint=True)
    assert not read, "the interrupted run had finished its first epoch"
    assert furthest(whole.model, resumed.model) == 0.0
    assert not list((tmp_path / "parts").rglob("base/*")), "it is deleted at the end"


@pytest.mark.parametrize(
    ("recipe", "epochs", "on"),
    [
        ("MaskTheTarget()", 1, False),
        ("MaskTheTarget()", 2, True),
        ("BaseKL(on='memory') + Rehearsal('old', ratio=0.2)", 1, False),
        ("BaseKL(on='memory') + Rehearsal('old', ratio=0.7)", 1, True),
        ("BaseKL(on='new') + Rehearsal('old', ratio=0.7)", 1, False),
    ],
)
def test_by_default_rows_are_kept_where_they_come_twice(tmp_path, recipe, epochs, on):
    trainer = run(tmp_path, f"LoRA(rank=2) + {recipe}", num_train_epochs=epochs, train=False)
    assert (form_of(trainer) is not None) == on
    note = trainer.holdfast.forward.comparison.note
    assert ("The base reads each row once: what it says is kept for later epochs, about 0.01 GB in" in note) == on


def test_a_limit_that_would_be_exceeded_is_said_first_and_the_ordinary_path_taken(tmp_path, caplog):
    recipe = "LoRA(rank=2) + MaskTheTarget()"
    with caplog.at_level(logging.WARNING, "holdfast"):
        small = run(tmp_path / "1", f"Train(base_cache=0.00001) + {recipe}")
    assert form_of(small) is None
    assert "about 1.2e-05 GB, and 1e-05 GB are allowed" in caplog.text
    assert furthest(small.model, run(tmp_path / "0", f"Train(base_cache=0) + {recipe}").model) == 0.0


def test_a_disk_that_is_full_ends_the_keeping_and_not_the_run(tmp_path, caplog, monkeypatch):
    recipe = "LoRA(rank=2) + MaskTheTarget(strength=2.0)"
    monkeypatch.setattr("holdfast.train.row_store.SEGMENT_BYTES", 1000)

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with caplog.at_level(logging.WARNING, "holdfast"):
        kept = run(tmp_path / "1", f"Train(base_cache=1) + {recipe}")
    assert caplog.text.count("keeps no more of what the base says of the rows") == 1
    assert "No space left on device" in caplog.text
    without = run(tmp_path / "0", f"Train(base_cache=0) + {recipe}")
    assert furthest(kept.model, without.model) < 1e-10


def test_rows_that_a_full_disk_does_not_take_can_still_be_read(tmp_path, monkeypatch):
    """A batch asks for what is missing first, and then for rows that a failed write would have lost."""
    store, row = RowStore(tmp_path / "rows", 10**9), {"states": torch.ones(3, 4)}
    store.put("aa" * 16, row)
    monkeypatch.setattr(row_store.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    monkeypatch.setattr(row_store, "SEGMENT_BYTES", 1)
    assert "aa" * 16 in store
    store.put("bb" * 16, row)
    assert store.full
    assert torch.equal(store.get("aa" * 16)["states"], row["states"])
    store.flush()
    monkeypatch.undo()
    store.flush()
    assert ("aa" * 16) in RowStore(tmp_path / "rows", 10**9), "the end of the run writes what it can"


def test_runs_share_a_folder_and_only_with_the_same_base(tmp_path, read):
    recipe = "LoRA(rank=2) + MaskTheTarget(strength=2.0)"
    first = tiny.tiny()
    with sharing_base(tmp_path / "shared"):
        run(tmp_path / "1", recipe, model=first, num_train_epochs=1)
        read.clear()
        second = run(tmp_path / "2", "LoRA(rank=4) + BaseKL(strength=2.0)", model=first, num_train_epochs=1)
        assert not read, "another adapter on the same base, and the same rows"
        assert form_of(second) == "means"
        moved = copy.deepcopy(first)
        with torch.no_grad():
            moved.model.layers[0].mlp.up_proj.weight[3, 5] += 1e-6
        run(tmp_path / "3", recipe, model=moved, num_train_epochs=1)
        assert sum(read) == 12
    assert len(list((tmp_path / "shared").iterdir())) == 2
    without = run(tmp_path / "4", "Train(base_cache=0) + LoRA(rank=4) + BaseKL(strength=2.0)", model=first,
                  num_train_epochs=1)  # fmt: skip
    assert furthest(second.model, without.model) < 1e-10


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_damaged_file_is_noticed_removed_and_read_again(tmp_path, read, caplog, harm):
    recipe = "LoRA(rank=2) + MaskTheTarget(strength=2.0)"
    with sharing_base(tmp_path / "shared"):
        run(tmp_path / "1", recipe, num_train_epochs=1)
        (path,) = (tmp_path / "shared").rglob("*.safetensors")
        data = bytearray(path.read_bytes())
        data[-100] ^= 1
        path.write_bytes(data[:-50] if harm == "cut" else data)
        read.clear()
        with caplog.at_level(logging.WARNING, "holdfast"):
            again = run(tmp_path / "2", recipe, num_train_epochs=1)
    assert f"{path} is damaged" in caplog.text
    assert sum(read) == 12
    assert safetensors.torch.load(path.read_bytes()), "the same rows were written again, whole"
    assert (
        furthest(again.model, run(tmp_path / "0", f"Train(base_cache=0) + {recipe}", num_train_epochs=1).model) < 1e-10
    )


def test_rows_whose_files_another_process_has_removed_are_read_again(tmp_path, read, monkeypatch):
    """A comparison deletes the folder at its end, while another in the same place still trains."""

    class Removes(transformers.TrainerCallback):
        def on_epoch_end(self, args, state, control, **_):
            shutil.rmtree(tmp_path / "shared")

    monkeypatch.setattr(row_store, "SEGMENT_BYTES", 1)
    recipe = "LoRA(rank=2) + MaskTheTarget(strength=2.0)"
    with sharing_base(tmp_path / "shared"):
        trainer = run(tmp_path / "1", recipe, train=False)
        trainer.add_callback(Removes())
        trainer.train()
    assert sum(read) == 24
    assert furthest(trainer.model, run(tmp_path / "0", f"Train(base_cache=0) + {recipe}").model) < 1e-10


def test_the_digest_of_a_base_is_the_same_before_and_after_training_and_with_any_adapter():
    base = tiny.tiny(dtype=torch.float32)
    found = set()
    for rank in (2, 4):
        model = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(r=rank, target_modules="all-linear"))
        teacher = make_teacher(model)
        found.add(base_digest(model, teacher))
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.1 if p.requires_grad else 0.0)
        found.add(base_digest(model, teacher))
    assert len(found) == 1
    full = copy.deepcopy(base)
    teacher = make_teacher(full)
    before = base_digest(full, teacher)
    with torch.no_grad():
        full.lm_head.weight.add_(1.0)
    assert base_digest(full, teacher) == before
    other = copy.deepcopy(base)
    other.config.rope_theta = 123.0
    assert base_digest(other, make_teacher(other)) != before
    assert json.dumps(before)


@pytest.mark.parametrize("packing", [False, True])
def test_an_sft_trainer_reads_the_base_once_too(tmp_path, read, packing):
    changes = {"num_train_epochs": 3} if packing else {"num_train_epochs": 3, "padding_free": True, "max_length": None}
    trainer = sft(tmp_path, tiny.tiny(), packing=packing, **changes)
    attach(trainer, "LoRA(rank=2) + BaseKL()")
    trainer.train()
    assert len(read) == sum(len(step) for step in batches_of(trainer)), "the micro-batches of the first epoch"
