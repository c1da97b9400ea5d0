"""Configs of five trainers are read into one form, and nothing of them is dropped in silence."""

from __future__ import annotations

import json

import pytest
import yaml

from holdfast.bench.plan.check.config import number, truth, whole
from holdfast.bench.plan.check.files import FORMATS, arguments, format_of, read_training
from holdfast.core.errors import HoldfastError

AXOLOTL = """
base_model: NousResearch/Llama-3.2-1B
load_in_4bit: true
datasets:
  - path: teknium/GPT4-LLM-Cleaned
    type: alpaca
  - path: more.jsonl
    type: chat_template
    field_messages: turns
val_set_size: 0.1
output_dir: ./outputs/qlora-out
adapter: qlora
sequence_len: 2048
sample_packing: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_linear: true
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 4
optimizer: paged_adamw_32bit
lr_scheduler: cosine
learning_rate: 2e-4
train_on_inputs: true
bf16: auto
tf32: false
logging_steps: 1
flash_attention: true
loss_watchdog_threshold: 5.0
warmup_steps: 10
weight_decay: 0.0
wandb_project:
"""
LLAMA_FACTORY = """
### model
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
trust_remote_code: true
### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
### dataset
dataset: identity,alpaca_en_demo
dataset_dir: DIR
template: llama3
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
### output
output_dir: saves/llama3-8b/lora/sft
logging_steps: 10
plot_loss: true
### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
"""
MS_SWIFT = """
CUDA_VISIBLE_DEVICES=0 \\
swift sft \\
    --model Qwen/Qwen2.5-7B-Instruct \\
    --train_type lora \\
    --dataset 'AI-ModelScope/alpaca-gpt4-data-en#500' own.jsonl \\
    --torch_dtype bfloat16 \\
    --num_train_epochs 1 \\
    --per_device_train_batch_size 1 \\
    --learning_rate 1e-4 \\
    --lora_rank 8 \\
    --lora_alpha 32 \\
    --target_modules all-linear \\
    --gradient_accumulation_steps 16 \\
    --eval_steps 50 \\
    --max_length 2048 \\
    --output_dir output \\
    --warmup_ratio 0.05 \\
    --model_author swift
"""
TRL = """
model_name_or_path: Qwen/Qwen2-0.5B
dataset_name: trl-lib/Capybara
learning_rate: 2.0e-5
num_train_epochs: 1
packing: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
eval_strategy: steps
mystery: 3
"""
OURS = """
model: ground:base
data: ground:people
recipe: Train(lr=1e-3, epochs=8) + LoRA(rank=4)
keep: [old.jsonl]
training: {warmup_steps: 5}
colour: red
"""


def write(path, text):
    path.write_text(text)
    return str(path)


def test_axolotl(tmp_path):
    config = read_training(write(tmp_path / "a.yml", AXOLOTL))
    assert (config.trainer, config.model, config.tuning) == ("axolotl", "NousResearch/Llama-3.2-1B", "qlora")
    assert config.data == ("teknium/GPT4-LLM-Cleaned", "more.jsonl")
    assert (config.lr, config.epochs, config.rows, config.accumulation, config.batch) == (2e-4, 4, 2, 4, 8)
    assert (config.rank, config.alpha, config.dropout, config.targets) == (32, 16, 0.05, "all-linear")
    assert (config.max_length, config.packing, config.precision, config.loss_on) == (2048, True, "bf16", "all")
    assert (config.warmup_steps, config.schedule, config.weight_decay, config.held_out) == (10, "cosine", 0.0, 0.1)
    assert config.passed == {"optim": "paged_adamw_32bit"}
    assert config.unknown == ("loss_watchdog_threshold", "datasets[0].type", "datasets[1].field_messages")
    assert config.idle == ("flash_attention", "logging_steps", "output_dir", "tf32", "wandb_project")


def test_llama_factory(tmp_path):
    (tmp_path / "dataset_info.json").write_text(json.dumps({"identity": {"file_name": "identity.json"}}))
    config = read_training(write(tmp_path / "l.yaml", LLAMA_FACTORY.replace("DIR", str(tmp_path))))
    assert (config.trainer, config.tuning, config.rank, config.targets) == ("LLaMA-Factory", "lora", 8, "all-linear")
    assert config.data == (str(tmp_path / "identity.json"), "alpaca_en_demo")
    assert any("alpaca_en_demo" in note for note in config.notes)
    assert (config.lr, config.epochs, config.batch, config.warmup_share) == (1e-4, 3, 8, 0.1)
    assert (config.max_length, config.precision, config.schedule) == (2048, "bf16", "cosine")
    assert config.unknown == ("max_samples", "template")
    assert "plot_loss" in config.idle


def test_llama_factory_without_settings_has_the_defaults_of_the_trainer(tmp_path):
    config = read_training(write(tmp_path / "l.yaml", "stage: pt\nmodel_name_or_path: m\nfinetuning_type: full\n"))
    assert (config.lr, config.epochs, config.rows, config.schedule) == (5e-5, 3, 8, "linear")
    assert "5 settings have the defaults of LLaMA-Factory" in config.notes[0]


def test_ms_swift_in_a_script(tmp_path):
    config = read_training(write(tmp_path / "sft.sh", MS_SWIFT))
    assert (config.trainer, config.model, config.tuning) == ("ms-swift", "Qwen/Qwen2.5-7B-Instruct", "lora")
    assert config.data == ("AI-ModelScope/alpaca-gpt4-data-en", "own.jsonl")
    assert any("#500: all rows" in note for note in config.notes)
    assert (config.lr, config.rank, config.alpha, config.batch) == (1e-4, 8, 32, 16)
    assert (config.precision, config.warmup_share, config.max_length) == ("bf16", 0.05, 2048)
    assert config.unknown == ()
    assert config.idle == ("eval_steps", "model_author", "output_dir")


def test_trl(tmp_path):
    config = read_training(write(tmp_path / "t.yaml", TRL))
    assert (config.trainer, config.tuning, config.data) == ("TRL", "full", ("trl-lib/Capybara",))
    assert (config.lr, config.epochs, config.batch, config.packing) == (2e-5, 1, 16, True)
    assert (config.schedule, config.max_length) == ("linear", 1024)
    assert config.unknown == ("mystery",)
    assert config.idle == ("eval_strategy",)


def test_ours(tmp_path):
    config = read_training(write(tmp_path / "o.yaml", OURS))
    assert (config.trainer, config.tuning, config.rank, config.lr, config.epochs) == (
        "holdfast train", "lora", 4, 1e-3, 8,
    )  # fmt: skip
    assert config.keeps
    assert not config.rehearses
    assert config.unknown == ("colour",)


@pytest.mark.parametrize("recipe", ["Holdfast()", "BaseKL()", "Rehearsal('old.jsonl')", "WiSEFT(0.5)"])
def test_ours_with_what_holds_the_model(recipe, tmp_path):
    assert read_training(write(tmp_path / "o.yaml", f"recipe: {recipe}\nkeep: [a]\n")).rehearses


def test_scripts_of_the_others(tmp_path):
    lines = "llamafactory-cli train --stage sft --model_name_or_path m --dataset d --finetuning_type full --bf16\n"
    assert read_training(write(tmp_path / "a.sh", lines)).precision == "bf16"
    lines = "# trl sft --no\ntrl sft --model_name_or_path=m --dataset_name=d --use_peft true --lora_r=4 && echo done\n"
    config = read_training(write(tmp_path / "b.sh", lines))
    assert (config.trainer, config.tuning, config.rank) == ("TRL", "lora", 4)


def test_a_format_is_known_by_its_keys():
    for text, name in ((AXOLOTL, "axolotl"), (LLAMA_FACTORY, "LLaMA-Factory"), (TRL, "TRL"), (OURS, "holdfast train")):
        assert format_of(yaml.safe_load(text), "f").name == name
    assert format_of({"model": "m", "dataset": ["d"], "tuner_type": "full"}, "f").name == "ms-swift"
    assert len({form.name for form in FORMATS}) == 5


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("c.yaml", "colour: red\nsize: 3\n", "no config that we know has these keys (colour, size)"),
        ("c.yaml", "", "give 'key: value' lines"),
        ("c.yaml", "a: [", "is not YAML"),
        ("c.yaml", "stage: sft\nuse_peft: true\n", "may be a config of"),
        ("c.sh", "python train.py --lr 1\n", "holds no command"),
        ("c.yaml", "base_model: m\nmicro_batch_size: two\n", "'two' is not a number"),
        ("c.yaml", "base_model: m\nmicro_batch_size: 1.5\n", "1.5 is not a whole number"),
        ("c.yaml", "recipe: Nothing()\nkeep: [a]\n", "Nothing"),
    ],
)
def test_a_config_that_cannot_be_read_is_refused_in_one_sentence(name, text, sentence, tmp_path):
    with pytest.raises(HoldfastError) as raised:
        read_training(write(tmp_path / name, text))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_refused(tmp_path):
    for name in ("none.yaml", "none.sh"):
        with pytest.raises(HoldfastError, match="Cannot read"):
            read_training(str(tmp_path / name))


def test_arguments_of_a_command_line():
    line = "--a 1e-4 --b --c=x --d 1 2 'three four' --e true > log"
    assert arguments(line) == {"a": "1e-4", "b": True, "c": "x", "d": [1, 2, "three four"], "e": True}


def test_values_of_settings():
    assert number({"a": "1e-4"}, "a") == 1e-4
    assert number({}, "a") is None
    assert whole({"a": "3"}, "a") == 3
    assert truth({"a": "false"}, "a") is False
    assert truth({"a": "True"}, "a") is True
    with pytest.raises(HoldfastError, match="a: True is not a number"):
        number({"a": True}, "a")


def test_the_defaults_of_trl_are_those_of_the_installed_version():
    import dataclasses

    from trl import ModelConfig, SFTConfig

    from holdfast.bench.plan.check.trl import ADAPTER, DEFAULTS

    defaults = {field.name: field.default for kind in (SFTConfig, ModelConfig) for field in dataclasses.fields(kind)}
    assert {name: getattr(defaults[name], "value", defaults[name]) for name in (*DEFAULTS, *ADAPTER)} == {
        **DEFAULTS,
        **ADAPTER,
    }
