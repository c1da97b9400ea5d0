"""Edits that are streamed from files into files, against the same edits of tensors in memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import peft
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

import holdfast.functional as F
from holdfast.bench.given.heal_spec import EDITS as NAMES
from holdfast.bench.given.loading import load_model
from holdfast.bench.heal.candidates import EDITS, Place, layers_of, place_of
from holdfast.bench.heal.edits import Editor
from holdfast.bench.heal.sides import editor_of, transposed_in
from holdfast.bench.heal.weights import Weights
from holdfast.core.errors import HoldfastError
from tests import tiny


def saved(model, folder):
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A base, a model with other weights, an adapter on the base, and the same in two files and as GPT-2."""
    room = tmp_path_factory.mktemp("heal")
    for name, seed in (("base", 0), ("tuned", 1)):
        saved(tiny.tiny("llama", seed=seed).float(), room / name)
        saved(tiny.tiny("gpt2", seed=seed).float(), room / f"gpt2-{name}")
        tiny.tiny("llama", seed=seed).to(torch.bfloat16).save_pretrained(room / f"{name}-16", max_shard_size="5KB")
    adapted = peft.get_peft_model(
        load_model(str(room / "base")), peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"])
    )
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(2))
    saved(adapted, room / "adapter")
    return room


def in_memory(name, strength, base, tuned, place):
    """The edits by the pure functions alone."""
    layer = place.depth
    if name == "scale":
        return F.wise_ft(base, tuned, strength)
    if name in ("upper", "lower"):
        share = 2 * strength - 1 + layer if name == "upper" else 2 * strength - layer
        return F.wise_ft(base, tuned, min(1.0, max(0.0, share)))
    if name in ("attention", "mlp"):
        share = 2 * strength if place.module == name else 2 * strength - 1
        return F.wise_ft(base, tuned, min(1.0, max(0.0, share)))
    if name == "fapm":
        return F.fapm(base, tuned, strength**2)
    if name == "ties":
        wide = base.float()
        return (wide + F.ties([tuned.float() - wide], strength**2)).to(tuned.dtype)
    reduces = tuned.dim() == 2 and "layers" in place.name
    if strength >= 0.5:
        return F.reduce_intruders(base, tuned, 10, 0.6, 2 * strength - 1) if reduces else tuned
    reduced = F.reduce_intruders(base, tuned, 10, 0.6, 0.0) if reduces else tuned
    return F.wise_ft(base, reduced, 2 * strength)


@pytest.mark.parametrize("files", ["", "-16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_streamed_edit_is_the_one_in_memory_to_the_bit(room, tmp_path, name, files):
    editor = Editor(Weights.of(room / f"base{files}"), Weights.of(room / f"tuned{files}"))
    for strength in (0.3, 0.8):
        left = editor.write(EDITS[name], strength, tmp_path / str(strength))
        came, kept, whole = Weights.of(tmp_path / str(strength)), 0.0, 0.0
        assert came.shapes == editor.tuned.shapes
        for tensor in came.shapes:
            base, tuned = editor.base.read(tensor), editor.tuned.read(tensor)
            wanted = in_memory(name, strength, base, tuned, place_of(tensor, 2))
            assert torch.equal(came.read(tensor), wanted), tensor
            assert came.read(tensor).dtype == tuned.dtype
            kept += float((wanted.double() - base.double()).square().sum())
            whole += float((tuned.double() - base.double()).square().sum())
        assert left == pytest.approx((kept / whole) ** 0.5)
        assert {path.name for path in came.folder.iterdir()} == {path.name for path in editor.tuned.folder.iterdir()}
    if files:
        assert len(came.files) > 1


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_are_the_two_models_and_a_written_model_loads(room, tmp_path, name):
    editor = Editor(Weights.of(room / "base"), Weights.of(room / "tuned"))
    for strength, end in ((0.0, "base"), (1.0, "tuned")):
        assert editor.write(EDITS[name], strength, tmp_path / end) == strength
        model, wanted = load_model(str(tmp_path / end)), load_model(str(room / end))
        for mine, theirs in zip(model.parameters(), wanted.parameters(), strict=True):
            assert torch.equal(mine, theirs)


@given(st.sampled_from(NAMES), st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.integers(0, 50))
def test_more_strength_leaves_more_of_the_change(name, one, other, seed):
    low, high = sorted((one, other))
    generator = torch.Generator().manual_seed(seed)
    base, change = (torch.randn(12, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    place = Place("model.layers.1.mlp.up_proj.weight", 1.0, "mlp")
    sizes = []
    for strength in (low, high):
        edited = EDITS[name].at(strength, place).edit_weights({}, place.name, base, base + 0.1 * change)
        sizes.append(float((edited - base).norm()))
    if name != "intruders" or high < 0.5:  # weakening an intruder moves the weight away from both
        assert sizes[0] <= sizes[1] + 1e-9


def test_places():
    assert place_of("model.layers.3.self_attn.q_proj.weight", 7) == Place(
        "model.layers.3.self_attn.q_proj.weight", 0.5, "attention"
    )
    assert place_of("transformer.h.0.mlp.c_fc.weight", 2).module == "mlp"
    assert [
        place_of(name, 2).depth for name in ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight")
    ] == [*(0.0, 1.0, 1.0)]
    assert place_of("model.layers.0.input_layernorm.weight", 1) == Place(
        "model.layers.0.input_layernorm.weight", 1.0, "other"
    )
    assert layers_of(["a.0.b", "a.11.b", "c"]) == 12


@pytest.mark.parametrize("name", ["scale", "upper", "lower", "attention", "mlp"])
def test_a_scaled_adapter_stays_one_and_is_the_scaled_change(room, tmp_path, name):
    editor = editor_of(str(room / "base"), str(room / "adapter"), tmp_path / "work", [])
    assert editor.stays_adapter(EDITS[name])
    left = editor.write(EDITS[name], 0.6, tmp_path / "scaled")
    editor.write_whole(EDITS[name], 0.6, tmp_path / "whole")
    assert (tmp_path / "scaled/adapter_config.json").exists()
    assert 0 < left < 1
    scaled, whole = load_model(str(tmp_path / "scaled")), load_model(str(tmp_path / "whole"))
    for mine, theirs in zip(scaled.merge_and_unload().parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["fapm", "ties", "intruders"])
def test_any_other_edit_of_an_adapter_gives_whole_weights(room, tmp_path, name):
    editor = editor_of(str(room / "base"), str(room / "adapter"), tmp_path / "work", [])
    assert not editor.stays_adapter(EDITS[name])
    editor.write(EDITS[name], 0.6, tmp_path / "whole")
    assert (tmp_path / "whole/model.safetensors").exists()
    assert load_model(str(tmp_path / "whole")).config.model_type == "llama"


def test_an_adapter_that_also_trains_whole_modules_is_merged(room, tmp_path):
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    saved(peft.get_peft_model(load_model(str(room / "base")), config), tmp_path / "more")
    weights = safetensors.torch.load_file(tmp_path / "more/adapter_model.safetensors")
    weights = {name: value + 0.1 for name, value in weights.items()}
    safetensors.torch.save_file(weights, tmp_path / "more/adapter_model.safetensors", {"format": "pt"})
    notes = []
    editor = editor_of(str(room / "base"), str(tmp_path / "more"), tmp_path / "work", notes)
    assert editor.adapter is None
    assert "not a plain LoRA" in notes[0]


def test_a_head_that_the_fine_tune_alone_has_changes_from_the_embeddings_of_a_tied_base(tmp_path):
    base = saved(tiny.tiny("llama", seed=0, tie_word_embeddings=True).float(), tmp_path / "base")
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    adapted = peft.get_peft_model(load_model(str(base)), config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad and "lora_A" not in name:
                parameter.add_(0.1)
    tuned = saved(adapted, tmp_path / "tuned")
    editor = editor_of(str(base), str(tuned), tmp_path / "work", [])
    editor.write(EDITS["scale"], 0.5, tmp_path / "half")
    half = load_model(str(tmp_path / "half"))
    embeddings = load_model(str(base)).get_input_embeddings().weight
    assert torch.equal(half.get_input_embeddings().weight, embeddings)
    torch.testing.assert_close(half.get_output_embeddings().weight, embeddings + 0.05)


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_an_adapter_that_began_with_a_part_of_the_base_is_merged(room, tmp_path, init):
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=init)
    adapted = peft.get_peft_model(load_model(str(room / "base")), config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
    saved(adapted, tmp_path / "moved")
    editor = editor_of(str(room / "base"), str(tmp_path / "moved"), tmp_path / "work", [])
    left = editor.write(EDITS["scale"], 0.5, tmp_path / "half")
    base, tuned, half = (load_model(str(folder)) for folder in (room / "base", tmp_path / "moved", tmp_path / "half"))
    assert left == pytest.approx(0.5, abs=1e-3)
    for first, last, between in zip(*(m.parameters() for m in (base, tuned.merge_and_unload(), half)), strict=True):
        torch.testing.assert_close(between, (first + last) / 2, rtol=1e-4, atol=1e-5)


def test_weights_that_are_stored_transposed_are_reduced_the_other_way(room, tmp_path):
    editor = editor_of(str(room / "gpt2-base"), str(room / "gpt2-tuned"), tmp_path / "work", [])
    turned = transposed_in(load_model(str(room / "gpt2-base")), list(editor.tuned.shapes))
    assert len(turned) == 8
    editor = Editor(editor.base, editor.tuned, None, turned)
    editor.write(EDITS["intruders"], 0.5, tmp_path / "out")
    name = next(name for name in turned if "c_fc" in name)
    base, tuned = editor.base.read(name), editor.tuned.read(name)
    assert torch.equal(Weights.of(tmp_path / "out").read(name), F.reduce_intruders(base.T, tuned.T, 10, 0.6, 0.0).T)


def test_models_that_do_not_belong_together_are_refused(room, tmp_path):
    wide = saved(tiny.tiny("llama", hidden_size=32, seed=1).float(), tmp_path / "wide")
    more = saved(tiny.tiny("llama", vocab_size=70, seed=1).float(), tmp_path / "more")
    deep = saved(tiny.tiny("llama", num_hidden_layers=3, seed=1).float(), tmp_path / "deep")
    cases = {
        "a llama and .* a gpt2": room / "gpt2-tuned",
        "architectures differ": wide,
        "has 70 tokens and .* 61": more,
        "that .* lacks": deep,
        "the same weights as": room / "base",
    }
    for sentence, tuned in cases.items():
        with pytest.raises(HoldfastError, match=sentence):
            editor_of(str(room / "base"), str(tuned), tmp_path / "work", [])
    with pytest.raises(HoldfastError, match="is an adapter, and healing needs the whole base"):
        editor_of(str(room / "adapter"), str(room / "tuned"), tmp_path / "work", [])
    config = json.loads((wide / "config.json").read_text())
    (wide / "config.json").write_text(json.dumps({**config, "quantization_config": {"bits": 4}}))
    with pytest.raises(HoldfastError, match="is quantised"):
        editor_of(str(room / "base"), str(wide), tmp_path / "work", [])


def test_an_adapter_is_healed_towards_its_own_base_alone(room, tmp_path):
    """Scaled changes led to the adapter's own base, and edits of whole weights to the one that was given."""
    shutil.copytree(room / "base", tmp_path / "copy")
    assert editor_of(str(tmp_path / "copy"), str(room / "adapter"), tmp_path / "work", []).adapter is not None
    with pytest.raises(HoldfastError, match=f"is an adapter on {room / 'base'}, whose weights are not those of"):
        editor_of(str(room / "tuned"), str(room / "adapter"), tmp_path / "other", [])


PEAK = """
import sys
from pathlib import Path
from holdfast.bench.heal.candidates import EDITS
from holdfast.bench.heal.edits import Editor
from holdfast.bench.heal.weights import Weights
base, tuned, out, name = sys.argv[1:]
editor = Editor(Weights.of(Path(base)), Weights.of(Path(tuned)))
editor.write_whole(EDITS[name], 0.5, Path(out))  # imports and allocates what it needs once, on small tensors
small = Path(base).parent / "small"
kib = lambda key: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again at the present memory
before = kib("VmRSS")
editor = Editor(Weights.of(small.parent / "large-base"), Weights.of(small.parent / "large-tuned"))
editor.write_whole(EDITS[name], 0.5, Path(out) / "large")
print((kib("VmHWM") - before) * 1024 / editor.tuned.largest)
"""


@pytest.mark.parametrize(("name", "most"), [("scale", 3.3), ("upper", 3.3), ("mlp", 3.3), ("fapm", 3.6), ("ties", 3.6)])
def test_the_peak_memory_is_that_of_a_few_tensors(tmp_path, name, most):
    for kind, size in (("base", 64), ("tuned", 64), ("large-base", 3000), ("large-tuned", 3000)):
        (tmp_path / kind).mkdir()
        generator = torch.Generator().manual_seed(len(kind))
        tensors = {f"layers.{i}.w": torch.randn(size, size, generator=generator) for i in range(4)}
        safetensors.torch.save_file(tensors, tmp_path / kind / "model.safetensors", {"format": "pt"})
    words = [str(tmp_path / "base"), str(tmp_path / "tuned"), str(tmp_path / "out"), name]
    done = subprocess.run([sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= most
