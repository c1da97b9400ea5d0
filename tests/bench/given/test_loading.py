"""What is said, and what is not, when a model is loaded."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import shutil
from pathlib import Path

import peft
import pytest
import safetensors.torch
import torch
import transformers

from holdfast.bench.given.load_errors import load_error
from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.model_files import base_of
from holdfast.core.errors import HoldfastError
from holdfast.core.narrow_linear import NarrowLinear
from tests import tiny

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def save(folder, family="llama", dtype=torch.float32, **changes):
    tiny.tiny(family, dtype=dtype, **changes).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def said(name, **options):
    with pytest.raises(HoldfastError) as caught:
        load_model(str(name), **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_missing_weights_are_one_sentence_and_no_table_of_transformers(tmp_path):
    tiny.tiny("llama", dtype=torch.float32).save_pretrained(tmp_path)
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    del weights["lm_head.weight"]
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    heard: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())
    level = transformers.logging.get_verbosity()
    transformers.logging.add_handler(listener)
    try:
        with pytest.raises(HoldfastError, match="lacks 1 of the weights"):
            load_model(str(tmp_path))
    finally:
        transformers.logging.remove_handler(listener)
    assert heard == []
    assert transformers.logging.get_verbosity() == level


def test_weights_that_are_not_used_are_said(tmp_path):
    save(tmp_path)
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    weights["v_head.weight"] = torch.zeros(1, 16)
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    notes: list[str] = []
    load_model(str(tmp_path), notes=notes)
    assert notes == [
        f"{tmp_path}: 1 of its weights do not belong to LlamaForCausalLM and are ignored (first: v_head.weight)."
    ]


KINDS = {
    "bert": (
        lambda: transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=61, **SMALL)),
        "sees the later ones",
    ),
    "roberta": (
        lambda: transformers.RobertaForMaskedLM(transformers.RobertaConfig(vocab_size=61, **SMALL)),
        "sees the later ones",
    ),
    "t5": (
        lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(vocab_size=61, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
        "is an encoder-decoder",
    ),
    "bart": (
        lambda: transformers.BartForConditionalGeneration(
            transformers.BartConfig(
                vocab_size=61, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
            )
        ),
        "is an encoder-decoder",
    ),
    "classifier": (
        lambda: transformers.LlamaForSequenceClassification(
            transformers.LlamaConfig(vocab_size=61, num_key_value_heads=1, tie_word_embeddings=True, **SMALL)
        ),
        "its head scores classes",
    ),
    "tagger": (
        lambda: transformers.Qwen2ForTokenClassification(
            transformers.Qwen2Config(vocab_size=61, num_key_value_heads=1, tie_word_embeddings=True, **SMALL)
        ),
        "its head scores classes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_causal_language_model_is_refused_with_the_reason(tmp_path, kind):
    make, reason = KINDS[kind]
    make().save_pretrained(tmp_path)
    assert reason in said(tmp_path)


def test_a_bidirectional_model_of_a_causal_type_is_refused(tmp_path):
    save(tmp_path, "gemma2")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "use_bidirectional_attention": True}))
    assert "sees the later ones" in said(tmp_path)


def test_a_bert_that_decodes_is_a_causal_model(tmp_path):
    config = transformers.BertConfig(vocab_size=61, is_decoder=True, **SMALL)
    transformers.BertLMHeadModel(config).save_pretrained(tmp_path)
    assert type(load_model(str(tmp_path))).__name__ == "BertLMHeadModel"


def only(folder, *names):
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def gguf_alone(folder):
    only(folder, "config.json")
    (folder / "model-q4.gguf").write_bytes(b"GGUF")


def gguf_without_config(folder):
    only(folder)
    (folder / "model-q4.gguf").write_bytes(b"GGUF")


def pickles(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def another_framework(folder):
    (folder / "model.safetensors").rename(folder / "tf_model.h5")


def cut_off(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def cut_in_the_head(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:50])


def a_pointer(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12345\n")


def a_lost_shard(folder):
    model = tiny.tiny("llama", dtype=torch.float32)
    shutil.rmtree(folder)
    model.save_pretrained(folder, max_shard_size="4KB")
    sorted(folder.glob("model-*.safetensors"))[1].unlink()


def an_unknown_type(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama9"}))


def code_of_its_own(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "configuration_mine.Mine"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_mine.py").write_text("raise SystemExit('code of the model was run')\n")


def no_type(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["model_type"]
    (folder / "config.json").write_text(json.dumps(config))


def broken_config(folder):
    (folder / "config.json").write_text("{")


def four_bits(folder):
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(config))


def other_shapes(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))


def a_folder_above(folder):
    below = folder / "checkpoint-7"
    below.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(below / path.name)


def a_tokenizer_alone(folder):
    (folder / "config.json").unlink()
    (folder / "model.safetensors").unlink()


FILES = {
    gguf_alone: r"holds its weights only as GGUF \(model-q4\.gguf\).*give the original model",
    gguf_without_config: r"holds its weights only as GGUF",
    pickles: r"holds its weights as pickles \(pytorch_model\.bin\), which can run code",
    another_framework: r"holds weights only for TensorFlow",
    cut_off: r"ends after [\d,]+ of [\d,]+ bytes\); save or download it again",
    cut_in_the_head: r"not complete safetensors\); save or download it again",
    a_pointer: r"model\.safetensors is a Git LFS pointer .*git lfs pull",
    a_lost_shard: r"lacks model-00002-of-\d+\.safetensors, which model\.safetensors\.index\.json names; download it",
    an_unknown_type: r"is of type 'llama9', which transformers .* does not know; install a newer one",
    code_of_its_own: r"comes with its own code, which Holdfast never runs \(trust_remote_code stays off\)",
    no_type: r"has no model_type in its config\.json",
    broken_config: r"config\.json is not complete JSON\); save or download it again",
    other_shapes: r"weights whose shapes differ from its config\.json; put matching files",
    a_folder_above: r"has no config\.json: give the folder .*, perhaps '.*checkpoint-7'",
    a_tokenizer_alone: r"it holds only a tokenizer; give the folder of the model",
}


@pytest.mark.parametrize("spoil", FILES, ids=lambda spoil: spoil.__name__)
def test_each_thing_that_is_wrong_with_a_folder_has_its_own_mend(tmp_path, spoil, capfd):
    save(tmp_path / "m")
    spoil(tmp_path / "m")
    text = said(tmp_path / "m")
    assert re.search(FILES[spoil], text), text
    mends = ("cut_off", "cut_in_the_head", "broken_config")
    assert ("save or download it again" in text) == (spoil.__name__ in mends)
    assert capfd.readouterr().out == ""  # nothing is asked


def test_a_missing_package_is_named(tmp_path):
    if importlib.util.find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    four_bits(save(tmp_path))
    assert "needs the package bitsandbytes, which is not installed: pip install bitsandbytes" in said(tmp_path)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("You need to have sentencepiece or tiktoken installed"), "needs the package sentencepiece"),
        (ImportError("No module named 'wonderpack'"), r"not installed (the module wonderpack); install it"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "does not fit into the free memory"),
        (MemoryError(), "does not fit into the free memory"),
        (RuntimeError("something new"), "cannot be loaded (RuntimeError: something new); check that transformers"),
    ],
)
def test_each_error_of_loading_has_its_own_advice(monkeypatch, error, sentence):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert sentence in str(load_error("Model", "m", Path("m"), error))


def hub(kind, status=None):
    import huggingface_hub.errors as errors

    made = getattr(errors, kind).__new__(getattr(errors, kind))
    made.args = ("said",)
    made.response = type("Response", (), {"status_code": status})()
    outer = OSError("org/m is not a local folder and is not a valid model identifier")
    outer.__cause__ = made
    return outer


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (hub("GatedRepoError", 403), "(it is gated); ask for access on its page there, then log in"),
        (hub("RepositoryNotFoundError", 404), "(no model has that name, or it is private); check the name"),
        (hub("RepositoryNotFoundError", 401), "(no model has that name, or it is private); check the name"),
        (hub("HfHubHTTPError", 403), "(403: your account may not read it)"),
        (hub("HfHubHTTPError", 429), "(429: too many requests); wait a little"),
        (hub("HfHubHTTPError", 503), "(the hub answers 503); try again later"),
        (hub("RemoteEntryNotFoundError", 404), "(it has no config.json"),
        (
            OSError("We couldn't connect to the hub to load the files"),
            "there is no network); check the name and network",
        ),
    ],
)
def test_errors_of_the_hub_are_said_as_such(monkeypatch, error, sentence):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    text = str(load_error("Model", "org/m", None, error))
    assert text.startswith("Model 'org/m' is not a local folder, and the hub did not give it (")
    assert sentence in text


def test_offline_mode_is_named(monkeypatch):
    assert "HF_HUB_OFFLINE is set" in said("no-such/model")


class TestAnAdapter:
    def put_on(self, base, folder, recorded, tokens=0, **settings):
        model = load_model(str(base))
        tokenizer = load_tokenizer(str(base))
        if tokens:
            tokenizer.add_tokens([f"new{i}" for i in range(tokens)])
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        settings = {"r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM", **settings}
        made = peft.get_peft_model(model, peft.LoraConfig(**settings))
        torch.manual_seed(1)
        for p in made.parameters():
            if p.requires_grad:
                p.data.normal_(std=0.3)
        made.peft_config["default"].base_model_name_or_path = str(recorded)
        made.save_pretrained(folder)
        if tokens:
            tokenizer.save_pretrained(folder)
        return made.eval()

    def test_is_put_on_the_base_that_is_given_where_its_own_is_not_here(self, tmp_path):
        base = save(tmp_path / "base")
        made = self.put_on(base, tmp_path / "adapter", "/on/another/machine")
        notes: list[str] = []
        found = load_model(str(tmp_path / "adapter"), base=str(base), notes=notes).eval()
        ids = torch.tensor([[3, 4, 5]])
        assert torch.equal(found(input_ids=ids).logits, made(input_ids=ids).logits)
        assert notes == [
            f"{tmp_path / 'adapter'} was made on '/on/another/machine', which is not available here; it is loaded on"
            f" {base}."
        ]
        assert (
            load_tokenizer(str(tmp_path / "adapter"), base=str(base)).get_vocab()
            == load_tokenizer(str(base)).get_vocab()
        )

    @pytest.mark.parametrize("recorded", ["/on/another/machine", "./elsewhere", "a/b/c"])
    def test_says_how_to_name_its_base_where_none_is_given(self, tmp_path, recorded):
        self.put_on(save(tmp_path / "base"), tmp_path / "adapter", recorded)
        text = said(tmp_path / "adapter")
        assert (
            f"was made on {recorded!r}, which does not exist; write the path of that model into its adapter_config"
            in text
        )

    def test_of_a_base_on_the_hub_that_cannot_be_had_takes_the_given_one(self, tmp_path):
        base = save(tmp_path / "base")
        self.put_on(base, tmp_path / "adapter", "org/base")
        assert "HF_HUB_OFFLINE" in said(tmp_path / "adapter")
        notes: list[str] = []
        load_model(str(tmp_path / "adapter"), base=str(base), notes=notes)
        assert "it is loaded on" in notes[0]

    def test_of_the_packages_base_finds_it_wherever_it_lies(self, tmp_path):
        (tmp_path / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": "/their/site-packages/holdfast/ground/base"})
        )
        assert base_of(tmp_path) == "ground:base"

    def test_keeps_the_base_that_it_names_where_that_is_here(self, tmp_path):
        own, other = save(tmp_path / "own"), save(tmp_path / "other", seed=5)
        made = self.put_on(own, tmp_path / "adapter", own)
        notes: list[str] = []
        found = load_model(str(tmp_path / "adapter"), base=str(other), notes=notes).eval()
        assert notes == [
            f"{tmp_path / 'adapter'} is loaded on {own}, the base that its config names, and not on {other}."
        ]
        ids = torch.tensor([[3, 4, 5]])
        assert torch.equal(found(input_ids=ids).logits, made(input_ids=ids).logits)

    @pytest.mark.parametrize("settings", [{"modules_to_save": ["embed_tokens", "lm_head"]}, {},
                                          {"target_modules": ["embed_tokens", "q_proj"]}])  # fmt: skip
    def test_with_added_tokens_gets_a_base_of_as_many_rows(self, tmp_path, settings):
        base = save(tmp_path / "base", tie_word_embeddings="embed_tokens" in settings.get("target_modules", ()))
        made = self.put_on(base, tmp_path / "adapter", base, tokens=4, **settings)
        notes: list[str] = []
        found = load_model(str(tmp_path / "adapter"), notes=notes).eval()
        ids = torch.tensor([[3, 4, 62, 64]])
        assert torch.equal(found(input_ids=ids).logits, made(input_ids=ids).logits)
        assert notes == [f"{tmp_path / 'adapter'} has 65 tokens and {base} 61: the base's embeddings are resized."]

    def test_with_added_tokens_and_nothing_of_the_head_for_them_says_so(self, tmp_path):
        base = save(tmp_path / "base")
        made = self.put_on(base, tmp_path / "adapter", base, tokens=4, target_modules=["embed_tokens", "q_proj"])
        notes: list[str] = []
        found = load_model(str(tmp_path / "adapter"), notes=notes).eval()
        ids = torch.tensor([[3, 4, 62, 64]])
        assert torch.equal(found(input_ids=ids).logits[..., :61], made(input_ids=ids).logits[..., :61])
        assert "has no output head for the 4 added tokens" in notes[-1]

    def test_with_added_tokens_and_no_embeddings_for_them_is_refused(self, tmp_path):
        base = save(tmp_path / "base")
        self.put_on(base, tmp_path / "adapter", base)
        tokenizer = load_tokenizer(str(base))
        tokenizer.add_tokens(["new"])
        tokenizer.save_pretrained(tmp_path / "adapter")
        assert "its tokenizer has 62 tokens and its base" in said(tmp_path / "adapter")

    def test_that_lacks_weights_for_some_layers_is_refused(self, tmp_path):
        base = save(tmp_path / "base")
        self.put_on(base, tmp_path / "adapter", base)
        config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
        config["target_modules"] = ["q_proj", "k_proj"]
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
        assert "does not fit its base" in said(tmp_path / "adapter")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "phi3", "gpt2", "mixtral"])
def test_frozen_weights_keep_the_files_bits_and_the_forward_is_that_of_wide_ones(tmp_path, family, dtype):
    save(tmp_path, family, dtype=dtype)
    wide, narrow = load_model(str(tmp_path)), load_model(str(tmp_path), frozen=True)
    kept = [module for module in narrow.modules() if isinstance(module, NarrowLinear)]
    assert bool(kept) == (family != "gpt2")  # whose layers are Conv1D
    assert all(module.weight.dtype == dtype for module in kept)
    held = {id(module.weight) for module in kept}
    assert all(p.dtype == torch.float32 for p in narrow.parameters() if id(p) not in held)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
    for model in (wide, narrow):
        model.eval()
        model.get_input_embeddings().weight.requires_grad_(True)
    outs = [model(input_ids=ids).logits for model in (wide, narrow)]
    assert outs[1].dtype == torch.float32
    assert torch.equal(*outs)
    for model in (wide, narrow):
        for p in model.parameters():
            p.requires_grad_(p is model.get_input_embeddings().weight)
        model(input_ids=ids).logits.pow(2).mean().backward()
    grads = [model.get_input_embeddings().weight.grad for model in (wide, narrow)]
    torch.testing.assert_close(*grads, rtol=1e-6, atol=1e-7)


def test_a_file_in_32_bits_is_loaded_as_it_is(tmp_path):
    save(tmp_path)
    assert not any(isinstance(module, NarrowLinear) for module in load_model(str(tmp_path), frozen=True).modules())
