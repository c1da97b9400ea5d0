"""Configs of five trainers are read into one form, and nothing of them is dropped in silence."""

from __future__ import annotations

import json

import pytest
import yaml

from holdfast.bench.plan.check.config import number, truth, whole
from holdfast.bench.plan.check.files import FORMATS, arguments, format_of, read_training
from holdfast.bench.plan.check.translation import translated
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


BASES = {
    "axolotl": "base_model: m\n",
    "LLaMA-Factory": "stage: sft\nmodel_name_or_path: m\n",
    "ms-swift": "model: m\ntrain_type: lora\n",
    "TRL": "model_name_or_path: m\ndataset_name: d\nuse_peft: true\n",
}


def reading(tmp_path, trainer, more):
    config = read_training(write(tmp_path / "c.yaml", BASES[trainer] + more))
    assert config.trainer == trainer
    return config


@pytest.mark.parametrize("trainer", BASES)
def test_a_negative_number_of_steps_leaves_the_passes(trainer, tmp_path):
    assert reading(tmp_path, trainer, "max_steps: -1\n").max_steps is None
    assert reading(tmp_path, trainer, "max_steps: 20\n").max_steps == 20


@pytest.mark.parametrize("trainer", BASES)
def test_no_steps_of_warm_up_leave_the_ratio_and_less_than_one_is_a_share(trainer, tmp_path):
    config = reading(tmp_path, trainer, "warmup_steps: 0\nwarmup_ratio: 0.1\n")
    assert (config.warmup_steps, config.warmup_share) == (None, 0.1)
    assert reading(tmp_path, trainer, "warmup_steps: 0.05\n").warmup_share == 0.05
    assert reading(tmp_path, trainer, "warmup_steps: 0\n").warmup_steps == 0
    with pytest.raises(HoldfastError, match="not a whole number"):
        reading(tmp_path, trainer, "warmup_steps: 10.5\n")


@pytest.mark.parametrize(
    ("trainer", "more"),
    [
        ("axolotl", "adapter: lora\nload_in_8bit: true\n"),
        ("LLaMA-Factory", "quantization_bit: 8\n"),
        ("ms-swift", "quant_bits: 8\n"),
        ("TRL", "load_in_8bit: true\n"),
    ],
)
def test_eight_bits_are_not_four_and_are_said(trainer, more, tmp_path):
    config = reading(tmp_path, trainer, more)
    assert config.tuning == "lora"
    assert any("16 bits of their file, not in 8" in note for note in config.notes)


@pytest.mark.parametrize(
    ("trainer", "line", "sentence"),
    [
        ("axolotl", "num_epochs: -3", "num_epochs: -3 is not above 0"),
        ("TRL", "learning_rate: 0", "learning_rate: 0 is not above 0"),
        ("LLaMA-Factory", "gradient_accumulation_steps: 0", "gradient_accumulation_steps: 0 is not above 0"),
        ("ms-swift", "num_train_epochs: 0", "num_train_epochs: 0 is not above 0"),
    ],
)
def test_a_number_out_of_range_is_named_by_its_own_key(trainer, line, sentence, tmp_path):
    """The message named a setting of ours, such as `Train(epochs=-3)`, which no file of the user's holds."""
    with pytest.raises(HoldfastError, match=rf"c\.yaml: {sentence}; correct it"):
        reading(tmp_path, trainer, line + "\n")


def test_arguments_of_other_trainers_of_trl_are_no_supervised_training(tmp_path):
    config = reading(tmp_path, "TRL", "beta: 0.1\n")
    assert config.objective == "of preferences or rewards (beta)"
    left = translated(config).left
    assert "the objective of preferences or rewards (beta): holdfast train has supervised fine-tuning alone" in left
    assert reading(tmp_path, "TRL", "").objective == "sft"


def test_data_sets_of_axolotl_keep_their_config_split_and_files(tmp_path):
    sets = """datasets:
  - {path: openai/gsm8k, name: main, split: "train[:10%]"}
  - {path: org/set.v2, split: train}
  - {path: json, data_files: [a.jsonl, b.jsonl]}
  - {path: a.jsonl, split: test}
  - {path: org/set, data_files: [x.jsonl]}
test_datasets: [{path: t1.jsonl}, {path: t2.jsonl}]
"""
    config = reading(tmp_path, "axolotl", sets)
    assert config.data == (
        "openai/gsm8k/main:train[:10%]", "org/set.v2", "a.jsonl", "b.jsonl", "a.jsonl", "org/set",
    )  # fmt: skip
    assert config.unknown == ("datasets[3].split", "datasets[4].data_files")
    assert config.test == "t1.jsonl"
    assert any("left out: t2.jsonl" in note for note in config.notes)


def test_long_rows_are_dropped_where_the_trainer_drops_them(tmp_path):
    assert reading(tmp_path, "axolotl", "sequence_len: 64\n").over_long == "drop"
    assert reading(tmp_path, "axolotl", "excess_length_strategy: truncate\n").over_long == "truncate"
    assert reading(tmp_path, "axolotl", "excess_length_strategy: raise\n").unknown == ("excess_length_strategy",)
    assert reading(tmp_path, "ms-swift", "max_length: 64\n").over_long == "drop"
    assert reading(tmp_path, "ms-swift", "truncation_strategy: right\n").over_long == "truncate"
    assert reading(tmp_path, "ms-swift", "truncation_strategy: left\n").unknown == ("truncation_strategy",)


def test_llama_factory_names_what_it_does_not_take_of_its_data(tmp_path):
    table = {
        "hub": {"hf_hub_url": "org/set", "subset": "main", "split": "test", "formatting": "sharegpt"},
        "file": {"file_name": "f.json", "columns": {"prompt": "instruct"}, "num_samples": 100},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(table), encoding="utf-8-sig")
    more = f"dataset: hub,file\ndataset_dir: {tmp_path}\nval_size: 100\neval_dataset: hub, file\n"
    config = reading(tmp_path, "LLaMA-Factory", more)
    assert config.data == ("org/set/main:test", str(tmp_path / "f.json"))
    assert config.unknown[:2] == ("file.columns", "file.num_samples")
    assert config.held_out is None
    assert any("val_size 100 is a number of rows" in note for note in config.notes)
    assert any("eval_dataset: org/set/main:test alone" in note for note in config.notes)


def test_llama_factory_scales_an_adapter_by_twice_its_rank(tmp_path):
    config = reading(tmp_path, "LLaMA-Factory", "quantization_bit: 4\nlora_rank: 32\n")
    assert (config.tuning, config.rank, config.alpha) == ("qlora", 32, 64)


def test_ms_swift_has_sixteen_rows_a_step_and_its_other_defaults(tmp_path):
    config = reading(tmp_path, "ms-swift", "dataset: d\n")
    assert (config.rows, config.batch, config.weight_decay, config.dropout) == (1, 16, 0.1, 0.05)
    assert reading(tmp_path, "ms-swift", "per_device_train_batch_size: 5\n").batch == 20
    assert any("max_length" in note for note in config.notes)


def test_data_sets_of_ms_swift_lose_their_hub_and_keep_their_config(tmp_path):
    more = (
        "dataset: ['HF::tatsu-lab/alpaca:default#500', 'swift/cog#9', 'own.jsonl#3']\nval_dataset: [a.jsonl, b.jsonl]\n"
    )
    config = reading(tmp_path, "ms-swift", more)
    assert config.data == ("tatsu-lab/alpaca/default", "swift/cog", "own.jsonl")
    assert [note for note in config.notes if "ModelScope" in note] == [
        "swift/cog is a name on ModelScope; the run looks for it on the Hugging Face hub."
    ]
    assert any("val_dataset: a.jsonl alone" in note for note in config.notes)


def test_ms_swift_learns_everything_where_it_says_so_or_pretrains(tmp_path):
    assert reading(tmp_path, "ms-swift", "loss_scale: all\n").loss_on == "all"
    assert reading(tmp_path, "ms-swift", "loss_scale: react\n").unknown == ("loss_scale",)
    assert read_training(write(tmp_path / "p.sh", "swift pt --model m --dataset d.jsonl\n")).loss_on == "all"


def test_trl_says_which_turns_and_layers_it_would_train(tmp_path):
    notes = reading(tmp_path, "TRL", "").notes
    assert any("learns all turns" in note for note in notes)
    assert any("lora_target_modules" in note for note in notes)
    quiet = reading(tmp_path, "TRL", "assistant_only_loss: true\nlora_target_modules: [q_proj]\n").notes
    assert not any("learns all turns" in note or "lora_target_modules:" in note for note in quiet)
    assert reading(tmp_path, "TRL", "dataset_config: c\ndataset_test_split: test\n").test == "d/c:test"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("llamafactory-cli train examples/sft.yaml", "its settings are in examples/sft.yaml; check that file"),
        ("axolotl train c.yml", "its settings are in c.yml; check"),
        ("accelerate launch -m axolotl.cli.train c.yml", "its settings are in c.yml; check"),
        ("swift sft --config c.json", "its settings are in c.json; check"),
        ("trl sft --config c.yaml --learning_rate 1e-5", "c.yaml (and in --learning_rate of the command"),
        ("swift sft --model $MODEL --dataset d", "--model is $MODEL, which the script does not set"),
    ],
)
def test_a_script_whose_settings_are_elsewhere_says_where(line, sentence, tmp_path):
    with pytest.raises(HoldfastError) as raised:
        read_training(write(tmp_path / "s.sh", f"#!/bin/bash\n{line}\n"))
    assert sentence in str(raised.value)


def test_a_script_may_set_its_variables(tmp_path):
    text = 'export MODEL="Qwen/Qwen2.5-7B"\nRATE=3e-5\nswift sft --model $MODEL --learning_rate ${RATE}\n'
    config = read_training(write(tmp_path / "s.sh", text))
    assert (config.model, config.lr) == ("Qwen/Qwen2.5-7B", 3e-5)


def test_json_may_be_indented_with_tabs_and_begin_with_a_mark(tmp_path):
    (tmp_path / "c.json").write_text('{\n\t"base_model": "m",\n\t"learning_rate": 2e-5\n}', encoding="utf-8-sig")
    assert read_training(str(tmp_path / "c.json")).lr == 2e-5
    with pytest.raises(HoldfastError, match="is not JSON"):
        read_training(write(tmp_path / "d.json", "{"))


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
