"""What attach() refuses, by its sentence; what it overrules, and says so; and what it does after training."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import types
from typing import ClassVar

import datasets
import peft
import pytest
import torch
import transformers
import trl

from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard
from holdfast.core.method import Method
from holdfast.core.mix import Example
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.experts import aux_share
from holdfast.train.refusals import refuse
from tests import tiny
from tests.acting import Acting
from tests.train.retrace import arguments, furthest, trainer_for
from tests.train.watching import watching

TOKENS = "MaskTheTarget()"
OLD = {"old": [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=3)]}


@dataclasses.dataclass(frozen=True, repr=False)
class Halfway(Method):
    """Ships the middle between the base and the tuned weights."""

    excludes: ClassVar = {}

    def edit_weights(self, state, name, base, tuned):
        return (base + tuned) / 2


class Adding(transformers.LlamaForCausalLM):
    """Adds to its loss what only its own forward knows."""

    def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
        out = super().forward(input_ids=input_ids, attention_mask=attention_mask, labels=labels, **kwargs)
        if out.loss is not None:
            out.loss = out.loss + out.logits.square().mean()
        return out


def plain(folder, model=None, data=None, **changes):
    return trainer_for(model or tiny.tiny(), folder, tiny.rows(8) if data is None else data, **changes)


def built(folder, **named):
    """A trainer made with arguments of Trainer itself."""
    model = named.pop("model", None) or tiny.tiny()
    optimizers = named.pop("optimizers", None)
    named |= {} if optimizers is None else {"optimizers": optimizers(model)}
    named |= {"model": None if "model_init" in named else model}
    return transformers.Trainer(
        args=arguments(folder), **{"train_dataset": tiny.rows(8), "data_collator": tiny.collate, **named}
    )


def making_labels():
    return transformers.DataCollatorForLanguageModeling(tiny.tokenizer(), mlm=False)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def scheduled(model):
    optimizer = sgd(model)
    return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)


def sft(folder, model=None, **changes):
    settings = {"output_dir": str(folder), "report_to": "none", "use_cpu": True, "bf16": False, **changes}
    return trl.SFTTrainer(
        model=model or tiny.tiny(dtype=torch.float32),
        args=trl.SFTConfig(**settings),
        train_dataset=datasets.Dataset.from_list([{"input_ids": row["input_ids"]} for row in tiny.rows(8)]),
        processing_class=tiny.tokenizer(),
    )


def streaming():
    return datasets.IterableDataset.from_generator(lambda: iter(tiny.rows(8)))


class Stream(torch.utils.data.IterableDataset):
    """Rows that come in their own order, and whose number is known."""

    def __iter__(self):
        return iter(tiny.rows(8))

    def __len__(self):
        return 8


def adapted(**config):
    config |= {"r": 2, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    return peft.get_peft_model(tiny.tiny(), peft.LoraConfig(**config))


# What: (a trainer, a recipe, the sentence).
REFUSED = {
    "a loss function of the user's": (
        lambda folder: built(folder, compute_loss_func=lambda *args, **named: 0),
        TOKENS,
        r"MaskTheTarget\(\) owns the loss, and this trainer has a compute_loss_func; use one of the two\.",
    ),
    "label smoothing": (
        lambda folder: plain(folder, label_smoothing_factor=0.1),
        TOKENS,
        r"MaskTheTarget\(\) owns the loss; set label_smoothing_factor=0 in the trainer's arguments\.",
    ),
    "another loss of the SFT trainer": (
        lambda folder: sft(folder, loss_type="dft"),
        TOKENS,
        r"MaskTheTarget\(\) owns the loss; set loss_type='nll' in SFTConfig\.",
    ),
    "a model made anew for each trial": (
        lambda folder: built(folder, model_init=lambda: tiny.tiny()),
        "Finch()",
        r"This trainer builds a new model for each trial \(model_init\); pass model= instead\.",
    ),
    "an optimizer of the user's, with an adapter": (
        lambda folder: built(folder, optimizers=lambda model: (sgd(model), None)),
        "LoRA(rank=2)",
        r"LoRA\(rank=2\) changes which parameters train; let the trainer build its optimizer \(no optimizers=\)\.",
    ),
    "an optimizer of the user's, with rates by parameter": (
        lambda folder: built(folder, optimizers=lambda model: (sgd(model), None)),
        Acting(),
        r"Acting\(\) changes which parameters train; let the trainer build its optimizer \(no optimizers=\)\.",
    ),
    "a scheduler of the user's": (
        lambda folder: built(folder, optimizers=scheduled),
        "Finch()",
        r"Finch\(\) owns the learning rate; pass no scheduler in optimizers=\(optimizer, None\)\.",
    ),
    "a model with another loss function": (
        lambda folder: plain(folder, model=tiny.with_own_loss(tiny.tiny())),
        TOKENS,
        r"MaskTheTarget\(\) owns the loss, and LlamaForCausalLM computes another one than the mean loss of the next .*",
    ),
    "a model that adds to its loss": (
        lambda folder: plain(folder, model=Adding(tiny.tiny().config).double()),
        TOKENS,
        r"MaskTheTarget\(\) owns the loss, and Adding computes another one .* leave out the methods that act .*",
    ),
    "a dataset that streams": (
        lambda folder: plain(folder, data=streaming(), max_steps=2),
        "Rehearsal('old')",
        r"Methods that mix or read the train dataset need its rows by number, and this one streams; load it .*",
    ),
    "a dataset that streams and tells its length": (
        lambda folder: plain(folder, data=Stream()),
        "Rehearsal('old')",
        r"Methods that mix or read the train dataset need its rows by number, and this one streams; load it .*",
    ),
    "a dataset that is not tokenised": (
        lambda folder: plain(folder, data=[{"text": "t3 t4"}]),
        "Rehearsal('old')",
        r"Row 0 of the train dataset has no 'input_ids' \(but text\): tokenise it before attach\(\), or leave .*",
    ),
    "no dataset": (
        lambda folder: built(folder, train_dataset=None),
        "Rehearsal('old')",
        r"The trainer has no example to train on; give it a train_dataset with rows\.",
    ),
    "an empty dataset": (
        lambda folder: plain(folder, data=[]),
        "Rehearsal('old')",
        r"The trainer has no example to train on; give it a train_dataset with rows\.",
    ),
    "whole weights of an adapter that cannot hold them": (
        lambda folder: plain(folder, model=adapted(use_dora=True)),
        Halfway(),
        r"Halfway\(\) edits whole weights, and this kind of adapter cannot represent them; add Train\(ship='merged'\)"
        r" to ship whole weights\.",
    ),
    "a batch that does not divide": (
        plain,
        "Train(lr=9.0, batch=12)",
        r"Train\(batch=12\) is not a multiple of 8, .* processes; change it, or the trainer's per_device_.*",
    ),
    "a second adapter": (
        lambda folder: plain(folder, model=adapted()),
        "LoRA(rank=2)",
        r"LoRA\(rank=2\): the model already has an adapter; merge it first .*",
    ),
    "an unknown method": (plain, "Finsh()", r"Recipe 'Finsh\(\)': there is no method 'Finsh'\. Did you mean 'Finch'\?"),
    "a memory without a tokenizer": (
        plain,
        "Rehearsal('elsewhere')",
        r"Memory 'elsewhere' needs a tokenizer: give the trainer processing_class=tokenizer\.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_one_sentence_and_the_trainer_is_left_alone(tmp_path, what):
    make, recipe, sentence = REFUSED[what]
    trainer = make(tmp_path)
    before = look_at(trainer)
    with pytest.raises(HoldfastError, match=f"^{sentence}$"):
        attach(trainer, recipe, memories=OLD)
    assert look_at(trainer) == before


def look_at(trainer):
    parts = (trainer.model, trainer.train_dataset, trainer.data_collator)
    return type(trainer), *map(id, parts), trainer._signature_columns, trainer.args.to_dict()


@pytest.mark.parametrize(
    ("make", "recipe", "guard", "refused"),
    [
        (plain, "Train(lr=9.0, batch=8) + LoRA(rank=2) + BaseKL() + Finch()", None, False),
        (plain, "Train(lr=9.0) + FreezeBottom(share=0.5) + Cosine()", Guard(), False),
        (plain, "Train(lr=9.0, epochs=2) + Finch()", Guard(on_spent="hold"), True),
        (lambda folder: built(folder, optimizers=scheduled), "Rehearsal('old') + Finch()", None, True),
    ],
)
def test_to_ask_what_is_refused_changes_nothing(tmp_path, make, recipe, guard, refused):
    trainer = make(tmp_path)

    def state():
        weights = [(name, p, p.requires_grad, p._version) for name, p in trainer.model.named_parameters()]
        return look_at(trainer), set(vars(trainer)), [(name, id(p), *rest) for name, p, *rest in weights]

    before, drawn = state(), torch.get_rng_state()
    with pytest.raises(HoldfastError) if refused else contextlib.nullcontext():
        refuse(trainer, parse(recipe), guard)
    assert state() == before
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize("end", ["LoRA(targets='nothing')", "LoRA(rank=2)"])
def test_what_is_refused_late_leaves_the_trainer_alone_too(tmp_path, end):
    trainer = plain(tmp_path, model=adapted() if "rank" in end else None, lr_scheduler_type="cosine")
    before = look_at(trainer)
    with pytest.raises(HoldfastError, match=r"^LoRA\("):
        attach(trainer, f"Train(lr=9.0, batch=8) + Rehearsal('old') + Finch() + {end}", memories=OLD)
    assert look_at(trainer) == before


def test_a_trainer_takes_one_recipe(tmp_path):
    trainer = attach(plain(tmp_path), "Finch()")
    with pytest.raises(HoldfastError, match=r"has a recipe already; join the two with \+ and attach once\."):
        attach(trainer, TOKENS)


@pytest.mark.parametrize("setting", ["label smoothing", "a loss function of the user's"])
def test_what_a_recipe_does_not_touch_is_not_refused(tmp_path, setting):
    attach(REFUSED[setting][0](tmp_path), "Finch()")


class TestAScheduler:
    def test_is_replaced_by_a_constant_one_and_that_is_said(self, tmp_path, caplog):
        trainer = plain(tmp_path, lr_scheduler_type="cosine", warmup_steps=2, num_train_epochs=3)
        with caplog.at_level(logging.WARNING, "holdfast"):
            attach(trainer, "Train(lr=0.02) + Warmup(ratio=0.0) + Cosine(floor=1.0)")
        (said,) = caplog.messages
        assert (
            "sets the learning rate: a constant scheduler replaces the trainer's cosine scheduler and its warm-up"
            in said
        )
        trainer.train()
        assert [row["learning_rate"] for row in trainer.state.log_history if "loss" in row] == [0.02] * 3

    def test_with_a_share_of_warm_up_is_replaced_too(self, tmp_path, caplog):
        trainer = plain(tmp_path, lr_scheduler_type="constant_with_warmup", warmup_steps=0.5, num_train_epochs=3)
        attach(trainer, "Cosine(floor=1.0)").train()
        assert "a constant scheduler replaces the trainer's" in caplog.text
        assert [row["learning_rate"] for row in trainer.state.log_history if "loss" in row] == [0.05] * 3

    def test_that_is_constant_gives_nothing_to_say(self, tmp_path, caplog):
        attach(plain(tmp_path), "Finch()")
        assert caplog.messages == []

    def test_stays_where_the_recipe_sets_no_rate(self, tmp_path, caplog):
        trainer = attach(plain(tmp_path, lr_scheduler_type="linear", num_train_epochs=2), TOKENS)
        trainer.train()
        assert [row["learning_rate"] for row in trainer.state.log_history if "loss" in row] == [0.05, 0.025]
        assert caplog.messages == []


class TestEditWeights:
    def test_is_applied_once_to_the_model_after_training(self, tmp_path):
        start, tuned = tiny.tiny(), plain(tmp_path / "plain", num_train_epochs=3)
        tuned.train()
        edited = attach(plain(tmp_path / "edited", num_train_epochs=3), Halfway())
        edited.train()
        for name, p in edited.model.named_parameters():
            middle = (start.get_parameter(name) + tuned.model.get_parameter(name)) / 2
            assert torch.equal(p, middle), name
        assert furthest(edited.model, start) > 0

    def test_leaves_the_checkpoints_as_they_were_trained(self, tmp_path):
        every = {"num_train_epochs": 2, "save_strategy": "epoch"}
        tuned = plain(tmp_path / "plain", **every)
        tuned.train()
        attach(plain(tmp_path / "edited", **every), Halfway()).train()
        saved = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "edited" / "checkpoint-2", dtype="float64")
        assert furthest(saved, tuned.model) == 0.0

    def test_uses_the_start_of_the_run_after_a_resume(self, tmp_path):
        every = {"num_train_epochs": 2, "save_strategy": "epoch"}
        whole = attach(plain(tmp_path, **every), Halfway())
        whole.train()
        resumed = attach(plain(tmp_path, **every), Halfway())
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
        assert furthest(whole.model, resumed.model) == 0.0


class OwnLoss(transformers.Trainer):
    def compute_loss(self, model, inputs, *args, **kwargs):
        return 1000 * super().compute_loss(model, inputs, *args, **kwargs)


def test_a_trainer_that_computes_its_own_loss_keeps_it_or_is_refused(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8), trainer_class=OwnLoss)
    with pytest.raises(HoldfastError, match=r"owns the loss, and OwnLoss computes its own"):
        attach(trainer, TOKENS)
    attach(trainer, "Cosine()").train()
    assert trainer.state.log_history[0]["loss"] > 1000


def test_a_loss_put_on_the_instance_is_not_lost_either(tmp_path):
    trainer = plain(tmp_path)
    trainer.compute_loss = lambda *args, **kwargs: None
    with pytest.raises(HoldfastError, match="computes its own"):
        attach(trainer, TOKENS)


@pytest.mark.parametrize("given", ["optimizers", "optimizer_cls_and_kwargs"])
@pytest.mark.parametrize("recipe", ["Train(lr=0.5)", "Train(weight_decay=0.1)"])
def test_a_rate_that_the_trainers_own_optimizer_would_not_take_is_refused(tmp_path, given, recipe):
    if given == "optimizers":
        trainer = built(tmp_path, optimizers=lambda model: (sgd(model), None))
    else:
        trainer = built(tmp_path, optimizer_cls_and_kwargs=(torch.optim.SGD, {"lr": 1e-5}))
    with pytest.raises(HoldfastError, match="sets the optimizer, and this trainer got its own"):
        attach(trainer, recipe)
    attach(trainer, "Train(epochs=2)")


def test_epochs_beside_max_steps_are_refused(tmp_path):
    with pytest.raises(HoldfastError, match="max_steps=3 ends the run first"):
        attach(plain(tmp_path, max_steps=3), "Train(epochs=2)")


def test_a_memory_with_prompts_needs_labels_in_the_dataset(tmp_path):
    unlabelled = [{"input_ids": row["input_ids"]} for row in tiny.rows(8)]
    trainer = built(tmp_path, train_dataset=unlabelled, data_collator=making_labels())
    with pytest.raises(
        HoldfastError, match="the trainer's collator puts a loss on them; give the train dataset a 'labels'"
    ):
        attach(trainer, "Rehearsal('old')", memories=OLD)


def test_a_collator_that_learns_prompts_is_refused_prompts_of_old_examples(tmp_path):
    rows = [row for row in tiny.rows(40) if len(row["input_ids"]) == len(tiny.rows(1)[0]["input_ids"])]
    trainer = built(tmp_path, train_dataset=rows, data_collator=making_labels())
    with pytest.raises(HoldfastError, match="the trainer's collator puts a loss on them"):
        attach(trainer, "Rehearsal('old')", memories=OLD)


def test_an_injected_adapter_is_not_overwritten(tmp_path):
    model = tiny.tiny(dtype=torch.float32)
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    with pytest.raises(HoldfastError, match="already has an adapter"):
        attach(plain(tmp_path, model=model), "LoRA(rank=2)")


def test_a_model_without_a_head_is_refused_and_left_as_it_was(tmp_path):
    model = transformers.AutoModel.from_config(tiny.tiny().config)
    trainer = built(tmp_path, model=model)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    with pytest.raises(HoldfastError, match="has no output embeddings"):
        attach(trainer, "LoRA(rank=2) + MaskTheTarget()")
    assert type(trainer) is transformers.Trainer
    assert trainer.model is model
    assert [name for name, p in model.named_parameters() if p.requires_grad] == names


@pytest.mark.parametrize("recipe", ["BaseKL(on='memory')", "MaskTheTarget(on='memory')", "DFT(on='memory')"])
def test_what_acts_on_old_examples_alone_needs_some(tmp_path, recipe):
    with pytest.raises(HoldfastError, match=r"acts on old examples, and the recipe has none: add Rehearsal"):
        attach(plain(tmp_path), recipe)
    attach(plain(tmp_path), f"{recipe} + Rehearsal('old', ratio=0.3)", memories=OLD)


@pytest.mark.parametrize("recipe", ["AdaLoRA(rank=2, start=3)", "AdaLoRA(rank=2, start=3) + MaskTheTarget()"])
def test_a_term_that_holds_nothing_is_not_raised(tmp_path, recipe):
    budget = watching(OLD["old"], nll=0.1, on_spent="hold")
    with pytest.raises(HoldfastError, match="is not a penalty to the base model; use on_spent='rewind'"):
        attach(plain(tmp_path), recipe, **budget)


def test_models_that_do_not_read_from_left_to_right_are_refused(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    masked = transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=61, **sizes))
    pair = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    bart = transformers.BartForConditionalGeneration(transformers.BartConfig(vocab_size=61, d_model=16, **pair))
    for model in (masked, bart):
        with pytest.raises(HoldfastError, match=rf"causal language models, and {type(model).__name__} is not one"):
            attach(plain(tmp_path, model=model), "DFT()")


def test_adapters_that_tokens_do_not_fit_are_refused(tmp_path):
    prompts = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    with pytest.raises(HoldfastError, match="a prompt-learning adapter shifts positions"):
        attach(plain(tmp_path, model=peft.get_peft_model(tiny.tiny(), prompts)), "DFT()")
    ranks = peft.AdaLoraConfig(task_type="CAUSAL_LM", total_step=10, target_modules=["q_proj"], orth_reg_weight=0.5)
    with pytest.raises(HoldfastError, match="AdaLoRA adds a penalty to the model's own loss"):
        attach(plain(tmp_path, model=peft.get_peft_model(tiny.tiny(), ranks)), "DFT()")


@pytest.mark.parametrize(
    "recipe", ["MaskTheTarget()", "WiSEFT()", "EMA()", "MoFO()", "LoRA(rank=2, init='pissa') + BaseKL()"]
)
@pytest.mark.parametrize("parted", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_parted_weights_are_refused_where_whole_ones_are_meant(tmp_path, recipe, parted):
    trainer = plain(tmp_path, model=tiny.tiny(dtype=torch.float32))
    setattr(trainer, parted, True)
    with pytest.raises(HoldfastError, match="use DDP"):
        attach(trainer, recipe)
    attach(trainer, "LoRA(rank=2) + DFT() + Cosine()")


def test_a_budget_is_refused_where_weights_are_parted(tmp_path):
    trainer = plain(tmp_path)
    trainer.is_fsdp_enabled = True
    with pytest.raises(HoldfastError, match="A budget asks the model on one process"):
        attach(trainer, None, **watching(OLD["old"], nll=0.1))


def test_two_that_choose_the_model_are_refused(tmp_path):
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"}
    trainer = transformers.Trainer(
        model=tiny.tiny(), args=arguments(tmp_path, **best), train_dataset=tiny.rows(8), eval_dataset=tiny.rows(4),
        data_collator=tiny.collate,
    )  # fmt: skip
    with pytest.raises(HoldfastError, match="set load_best_model_at_end=False"):
        attach(trainer, "EMA()")
    attach(trainer, "WiSEFT()")


def test_a_rate_that_cannot_be_halved_is_refused(tmp_path):
    trainer = plain(tmp_path)
    trainer.args.lr_scheduler_type = transformers.SchedulerType.REDUCE_ON_PLATEAU
    with pytest.raises(HoldfastError, match="use another lr_scheduler_type"):
        attach(trainer, None, **watching(OLD["old"], nll=0.1, on_spent="rewind"))


def test_rows_with_columns_that_old_examples_have_not_are_refused(tmp_path):
    data = [{**row, "token_type_ids": [0] * len(row["input_ids"])} for row in tiny.rows(8)]

    def reading(batch):
        return {**tiny.collate(batch), "token_type_ids": torch.tensor([row["token_type_ids"][:1] for row in batch])}

    trainer = plain(tmp_path, data=data, remove_unused_columns=False)
    trainer.data_collator = reading
    with pytest.raises(HoldfastError, match="have token_type_ids, which old examples do not have, .* fails on it"):
        attach(trainer, "Rehearsal('old')", memories=OLD)
    attach(plain(tmp_path, data=data), "Rehearsal('old')", memories=OLD)
    attach(plain(tmp_path, data=data, remove_unused_columns=False), "Rehearsal('old')", memories=OLD)  # nobody reads it


def test_an_adapter_on_the_head_that_trl_reads_past_is_refused(tmp_path):
    with pytest.raises(HoldfastError, match="puts an adapter on the output head"):
        attach(sft(tmp_path), "LoRA(rank=2, targets='q_proj,lm_head')")
    attach(plain(tmp_path, model=tiny.tiny(dtype=torch.float32)), "LoRA(rank=2, targets='q_proj,lm_head')")
    copied = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["lm_head"])
    trainer = sft(tmp_path, model=peft.get_peft_model(tiny.tiny(dtype=torch.float32), copied))
    attach(trainer, "MaskTheTarget() + Cosine()").train()  # a copy of the head that is trained, TRL reads


@pytest.mark.parametrize("name", ["get_train_dataloader", "_get_train_sampler"])
def test_a_trainer_that_draws_its_own_rows_is_refused_old_ones(tmp_path, name):
    kind = type("Own", (transformers.Trainer,), {name: lambda self, *args: getattr(transformers.Trainer, name)(self)})
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8), trainer_class=kind)
    with pytest.raises(HoldfastError, match=f"Own has its own {name}; leave it out"):
        attach(trainer, "Rehearsal('old')", memories=OLD)
    attach(trainer, "MaskTheTarget()").train()


@pytest.mark.parametrize("way", ["class", "instance"])
@pytest.mark.parametrize("recipe", ["Cosine()", "BaseL2()", "Finch()"])
def test_a_loss_that_is_computed_past_the_recipe_ends_the_training_before_it_moves_anything(tmp_path, recipe, way):
    class Own(transformers.Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            loss = model(**self._prepare_inputs(inputs)).loss
            loss.backward()
            return loss.detach()

    trainer = trainer_for(
        tiny.tiny(), tmp_path, tiny.rows(8), trainer_class=Own if way == "class" else transformers.Trainer
    )
    if way == "instance":
        trainer.compute_loss = lambda model, inputs, return_outputs=False, num_items_in_batch=None: model(**inputs).loss
    before = {name: p.clone() for name, p in trainer.model.state_dict().items()}
    with pytest.raises(HoldfastError, match="was left out of this step: the trainer computes its loss past"):
        attach(trainer, recipe).train()
    assert all(torch.equal(p, before[name]) for name, p in trainer.model.state_dict().items())


@pytest.mark.parametrize("recipe", ["Cosine()", "MaskTheTarget()"])
def test_a_training_step_that_leaves_a_batch_out_goes_on(tmp_path, recipe):
    class Careful(transformers.Trainer):
        calls = 0

        def training_step(self, *args, **kwargs):
            self.calls += 1
            return super().training_step(*args, **kwargs) if self.calls != 4 else torch.zeros(())

    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(16), trainer_class=Careful, micro=2, accumulate=2)
    attach(trainer, recipe).train()
    assert trainer.state.global_step == 4


def test_what_needs_nothing_of_the_loss_goes_with_a_training_step_of_its_own(tmp_path):
    class Own(transformers.Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            loss = model(**self._prepare_inputs(inputs)).loss
            loss.backward()
            return loss.detach()

    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8), trainer_class=Own)
    attach(trainer, "MoFO() + WiSEFT()").train()
    assert trainer.state.global_step == 1


def test_overrides_with_the_usual_signatures_are_called_as_the_trainer_calls_them(tmp_path):
    class Own(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
            return super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)

        def create_optimizer(self):
            return super().create_optimizer()

    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8), trainer_class=Own)
    trainer.eval_dataset = tiny.rows(4)
    attach(trainer, "FreezeBottom(share=0.5) + Cosine()").train()
    assert trainer.evaluate()["eval_loss"] > 0


def test_a_trainer_whose_model_was_shipped_in_another_form_is_not_trained_on(tmp_path):
    for recipe in ("LoRA(rank=2, init='pissa')", "LoRA(rank=2) + Train(ship='merged')"):
        trainer = attach(plain(tmp_path, model=tiny.tiny(dtype=torch.float32)), recipe)
        trainer.train()
        with pytest.raises(HoldfastError, match="in another form than it was trained in; build a new trainer"):
            trainer.train()
    trainer = attach(plain(tmp_path, model=tiny.tiny(dtype=torch.float32)), "LoRA(rank=2) + WiSEFT()")
    trainer.train()
    trainer.train()


def test_a_batch_without_labels_is_named(tmp_path):
    def bare(rows):
        return {name: value for name, value in tiny.collate(rows).items() if name != "labels"}

    with pytest.raises(HoldfastError, match="A batch has no labels: give the train dataset a labels column"):
        attach(built(tmp_path, data_collator=bare), "DFT()").train()


def test_rows_that_nobody_reads_beforehand_need_not_be_tokenised(tmp_path):
    data = [{"text": "t5 t6 t7"}] * 8
    trainer = plain(tmp_path, model=tiny.tiny(dtype=torch.float32), data=data)
    attach(trainer, "LoRA(rank=2) + Cosine() + MaskTheTarget()", **watching(OLD["old"], nll=0.1))


def test_rows_that_stream_train_whether_or_not_they_tell_their_length(tmp_path):
    start, ends = tiny.tiny(), []
    for data in (Stream(), streaming()):
        trainer = plain(tmp_path, model=copy.deepcopy(start), data=data, max_steps=2)
        attach(trainer, "MaskTheTarget()").train()
        ends.append(trainer.model)
    assert furthest(*ends) == 0.0 < furthest(ends[0], start)


def test_rows_that_stream_choose_a_checkpoint_unrecorded(tmp_path, caplog):
    chooses = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}
    trainer = transformers.Trainer(
        model=tiny.tiny(), args=arguments(tmp_path, **chooses), train_dataset=tiny.rows(8), eval_dataset=Stream()
    )
    attach(trainer, "Cosine()")
    assert "its rows are not recorded" in caplog.text


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_the_scale_of_fp16_is_taken_off_the_gradients_once(tmp_path, monkeypatch, clip):
    """A second time is an error of the scaler's; the trainer does it when it takes the norm."""
    calls = []
    trainer = attach(plain(tmp_path, data=tiny.rows(16), max_grad_norm=clip), "MoFO()")
    monkeypatch.setattr(trainer.accelerator, "unscale_gradients", lambda: calls.append(1))
    trainer.train()
    assert len(calls) == trainer.state.global_step == 2


def test_the_share_of_an_auxiliary_loss_is_found_under_either_name():
    assert aux_share(types.SimpleNamespace(router_aux_loss_coef=0.02)) == 0.02
    assert aux_share(types.SimpleNamespace(aux_loss_coef=0.01)) == 0.01
    with pytest.raises(HoldfastError, match="has no router_aux_loss_coef, and the model has an auxiliary loss"):
        aux_share(types.SimpleNamespace())
