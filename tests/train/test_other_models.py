"""Trainers and models that are no causal language models: what acts on weights works, the rest says why it cannot."""

from __future__ import annotations

import copy
import re

import datasets
import pytest
import torch
import transformers
import trl

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import arguments, furthest, trainer_for
from tests.train.watching import watching

pytestmark = pytest.mark.matrix(3)

OLD = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=3)]
SIZES = {
    "vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "pad_token_id": 0,
}  # fmt: skip


def by_row(rows):
    """One label for each row."""
    return {**tiny.collate(rows), "labels": torch.tensor([len(row["input_ids"]) % 2 for row in rows])}


def classifier(folder):
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES))
    trainer = trainer_for(model, folder, tiny.rows(16), micro=4)
    trainer.data_collator = by_row
    return trainer


def masked(folder):
    return trainer_for(transformers.BertForMaskedLM(transformers.BertConfig(**SIZES)), folder, tiny.rows(16), micro=4)


def tagger(folder):
    model = transformers.BertForTokenClassification(transformers.BertConfig(**SIZES, num_labels=61))
    return trainer_for(model, folder, tiny.rows(16), micro=4)


def translator(folder):
    sizes = {"vocab_size": 61, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    model = transformers.T5ForConditionalGeneration(
        transformers.T5Config(**sizes, pad_token_id=0, decoder_start_token_id=0)
    )
    args = transformers.Seq2SeqTrainingArguments(
        **{**arguments(folder, micro=4).to_dict(), "output_dir": str(folder), "predict_with_generate": True}
    )
    return transformers.Seq2SeqTrainer(
        model=model, args=args, train_dataset=tiny.rows(16), data_collator=tiny.collate,
        processing_class=tiny.tokenizer(),
    )  # fmt: skip


def judge(folder):
    settings = {**SIZES, "num_key_value_heads": 1, "num_labels": 1}
    model = transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**settings))
    args = trl.RewardConfig(
        output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, per_device_train_batch_size=2,
        save_strategy="no", learning_rate=0.05, max_steps=2, disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    rows = [{"prompt": "t5 t6", "chosen": " t7 t8", "rejected": " t9 t10"}] * 8
    return trl.RewardTrainer(
        model=model, args=args, train_dataset=datasets.Dataset.from_list(rows), processing_class=tiny.tokenizer()
    )


class Bare(torch.nn.Module):
    """A module that knows nothing of transformers: no config, no head by name."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Embedding(61, 16), torch.nn.Linear(16, 61)])

    def forward(self, input_ids, attention_mask=None, labels=None):
        logits = self.layers[1](self.layers[0](input_ids))
        return {"loss": torch.nn.functional.cross_entropy(logits[:, :-1].mT, labels[:, 1:]), "logits": logits}


def bare(folder):
    return trainer_for(Bare(), folder, tiny.rows(16), micro=4)


def pictures(folder):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**sizes, image_size=8, patch_size=4))
    rows = [{"pixel_values": torch.full((3, 8, 8), i / 16), "labels": i % 2} for i in range(16)]
    trainer = trainer_for(model, folder, rows, micro=4, remove_unused_columns=False)
    trainer.data_collator = lambda rows: {
        "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }
    return trainer


KINDS = {
    "classifier": classifier, "tagger": tagger, "masked": masked, "translator": translator, "judge": judge,
    "bare": bare, "pictures": pictures,
}  # fmt: skip
ON_WEIGHTS = [
    "BaseL2()", "LayerwiseDecay()", "Cosine()", "FreezeBottom(share=0.5)", "MoFO()", "LISA(layers=1)",
    "WiSEFT(alpha=0.5)", "EMA()", "Train(lr=0.01) + HFT() + DARE()",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recipe", ON_WEIGHTS)
def test_what_acts_on_weights_alone_works_with_any_loss(tmp_path, kind, recipe):
    trainer = KINDS[kind](tmp_path)
    start = copy.deepcopy(trainer.model)
    attach(trainer, recipe).train()
    assert trainer.state.global_step > 1
    assert furthest(trainer.model, start) > 0
    assert all(bool(p.isfinite().all()) for p in trainer.model.parameters())


@pytest.mark.parametrize("kind", ["classifier", "tagger", "masked", "translator", "judge"])
@pytest.mark.parametrize(
    "recipe", ["LoRA(rank=2)", "LoRA(rank=2, init='pissa') + WiSEFT(alpha=0.5)", "AdaLoRA(rank=1, start=2)"]
)
def test_an_adapter_is_put_on_and_ships(tmp_path, kind, recipe):
    trainer = KINDS[kind](tmp_path)
    attach(trainer, recipe).train()
    grown = [p for name, p in trainer.model.named_parameters() if ".lora_B." in name]
    assert grown
    assert max(float(p.abs().max()) for p in grown) > 0


def test_an_adapter_that_does_not_go_with_the_new_head_says_so_and_leaves_the_model_alone(tmp_path):
    trainer = tagger(tmp_path)
    start = copy.deepcopy(trainer.model)
    with pytest.raises(HoldfastError, match="this kind of adapter does not support these layers"):
        attach(trainer, "OSF()")
    assert furthest(trainer.model, start) == 0


@pytest.mark.parametrize("kind", ["classifier", "tagger"])
def test_the_new_head_of_a_classifier_trains_beside_the_adapter(tmp_path, kind):
    trainer = attach(KINDS[kind](tmp_path), "LoRA(rank=2)")
    training = [name for name, p in trainer.model.named_parameters() if p.requires_grad and "classifier" in name]
    assert len(training) == 2


REFUSED = [
    ("classifier", "DFT()", "DFT() acts on predicted tokens, and BertForSequenceClassification predicts none"),
    ("classifier", "Finch()", "Finch() reads the mean loss of the new tokens, and BertForSequenceClassification"),
    ("classifier", "Rehearsal('old')", "works on predicted tokens, and BertForSequenceClassification is not a causal"),
    ("classifier", "AGEM('old')", "AGEM(memory='old') works on predicted tokens, and BertForSequenceClass"),
    ("masked", "MaskTheTarget()", "MaskTheTarget() works on causal language models, and BertForMaskedLM is not one."),
    ("masked", "SelfRehearsal()", "SelfRehearsal() works on predicted tokens, and BertForMaskedLM is not a causal"),
    ("translator", "TokenQuality()", "TokenQuality() works on causal language models, and T5ForConditionalGeneration"),
    ("translator", "LoRANull('old')", "reads old examples, and they contain no input for the decoder of T5For"),
    ("judge", "FLOW()", "FLOW() owns the loss, and RewardTrainer computes its own, which would be lost"),
    ("judge", "Rehearsal('old')", "adds tokenised texts to the rows, and RewardTrainer takes another kind of rows."),
    ("judge", "EWC(memory='old')", "works on predicted tokens, and LlamaForSequenceClassification is not a causal"),
    ("pictures", "CorDA('old')", "reads old examples, and ViTForImageClassification is not a transformers model that"),
    ("bare", "LoRANull('old')", "reads old examples, and Bare is not a transformers model that takes token ids."),
    ("bare", "DFT()", "DFT() acts on predicted tokens, and Bare predicts none"),
    ("pictures", "Rehearsal('old')", "works on predicted tokens, and ViTForImageClassification is no"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "recipe", "said"), REFUSED)
def test_what_acts_on_tokens_is_refused_by_its_own_reason(tmp_path, kind, recipe, said):
    with pytest.raises(HoldfastError, match=re.escape(said)):
        attach(KINDS[kind](tmp_path), recipe, memories={"old": OLD})


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_is_refused_as_nothing_can_be_asked(tmp_path, kind):
    with pytest.raises(HoldfastError, match="A budget asks for the model's predicted tokens, and .* is not a causal"):
        attach(KINDS[kind](tmp_path), "BaseL2()", **watching(OLD, nll=0.5))


@pytest.mark.parametrize("recipe", ["CorDA('old', rank=2)", "LoRANull('old', rank=2)", "OrthogonalProjection('old')"])
@pytest.mark.parametrize("kind", ["classifier", "masked", "judge"])
def test_what_looks_at_activations_needs_token_ids_and_no_predictions(tmp_path, kind, recipe):
    attach(KINDS[kind](tmp_path), recipe, memories={"old": OLD}).train()


def test_rows_that_somebody_else_tokenises_leave_what_looks_at_old_ones_alone(tmp_path):
    """A trainer whose rows are prompts: only the old examples are read."""
    tokenizer = tiny.tokenizer()
    tokenizer.padding_side = "left"
    args = trl.GRPOConfig(
        output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False, num_generations=2, max_steps=1,
        per_device_train_batch_size=2, max_completion_length=4, save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        model=tiny.tiny(dtype=torch.float32), args=args, processing_class=tokenizer,
        reward_funcs=lambda completions, **_: [float(len(c)) for c in completions],
        train_dataset=datasets.Dataset.from_list([{"prompt": "t5 t6"}] * 8),
    )  # fmt: skip
    attach(trainer, "AGEM('old') + BaseL2()", memories={"old": OLD}).train()
    assert trainer.state.global_step == 1


def test_a_causal_head_on_a_model_that_reads_to_both_sides_is_told_from_one_on_a_decoder(tmp_path):
    def with_head(**changes):
        return transformers.BertLMHeadModel(transformers.BertConfig(**SIZES, **changes))

    with pytest.raises(HoldfastError, match="works on causal language models, and BertLMHeadModel is not one"):
        attach(trainer_for(with_head(), tmp_path, tiny.rows(16)), "DFT()")
    attach(trainer_for(with_head(is_decoder=True), tmp_path, tiny.rows(16)), "DFT()").train()


def test_a_batch_size_that_is_found_by_trying_is_refused(tmp_path):
    trainer = masked(tmp_path)
    trainer.args.auto_find_batch_size = True
    with pytest.raises(HoldfastError, match="restarts training with smaller batches, on weights that may have"):
        attach(trainer, "BaseL2()")


def test_what_is_refused_has_not_changed_the_schedule(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8), lr_scheduler_type="cosine", warmup_steps=3)
    before = trainer.args.to_dict()
    with pytest.raises(HoldfastError):
        attach(trainer, "Finch() + Rehearsal('old')")  # there is no tokenizer for it
    assert trainer.args.to_dict() == before
    attach(trainer, "Finch()")
    assert (trainer.args.lr_scheduler_type, trainer.args.warmup_steps) == ("constant", 0)
