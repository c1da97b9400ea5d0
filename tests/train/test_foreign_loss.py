"""What reads the mean loss reads nats per token, whatever the trainer trains on; or is refused."""

from __future__ import annotations

import copy

import datasets
import pytest
import torch
import transformers
import trl

from holdfast.core.errors import HoldfastError
from holdfast.train.attach import attach
from holdfast.train.task_loss import is_task_loss, token_losses
from tests import tiny
from tests.train.retrace import arguments, trainer_for

DATA = tiny.rows(16)
SIZES = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def sft(folder, model, data=None, **changes):
    settings = {
        "output_dir": str(folder), "report_to": "none", "use_cpu": True, "bf16": False, "max_length": 32,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "max_steps": 2, "logging_steps": 1,
        "save_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False, **changes,
    }  # fmt: skip
    return trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(**settings),
        train_dataset=datasets.Dataset.from_list(DATA if data is None else data),
        processing_class=tiny.tokenizer(),
    )


def first_mean(trainer):
    """What the recipe reads at the first step, and the batches of that step."""
    attach(trainer, "Finch()")
    read, batches = [], []
    finish, fetch = trainer.holdfast.finish_forward, trainer.get_batch_samples
    trainer.holdfast.finish_forward = lambda n: (finish(n), read.append(trainer.holdfast.tally.means["nll_N"]))[0]

    def seen(*args):
        found = fetch(*args)
        batches.append([{k: v.clone() for k, v in b.items() if isinstance(v, torch.Tensor)} for b in found[0]])
        return found

    trainer.get_batch_samples = seen
    trainer.train()
    return read[0], batches[0]


def true_mean(model, batches, shift=True):
    """The mean over all supervised tokens of a step, in float64, by a loop over rows."""
    model, nats = copy.deepcopy(model).double().eval(), []
    for batch in batches:
        inputs = {name: value for name, value in batch.items() if name.endswith(("_ids", "_mask"))}
        with torch.no_grad():
            logp = model(**inputs).logits.log_softmax(-1)
        for b, row in enumerate(batch["labels"].tolist()):
            for t, label in enumerate(row):
                at = t - 1 if shift else t
                if label != -100 and at >= 0:
                    nats.append(-float(logp[b, at, label]))
    return sum(nats) / len(nats)


def squared(outputs, labels, num_items_in_batch=None):
    return outputs.logits.float().pow(2).mean()


class Doubled(transformers.Trainer):
    """A user's own loss, which is not the mean of anything."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        return 1000 * super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)


def experts(**changes):
    return tiny.tiny("mixtral", dtype=torch.float32, router_aux_loss_coef=2.0, **changes)


def llama():
    return tiny.tiny(dtype=torch.float32)


SPLIT = {"micro": 2, "accumulate": 4, "max_steps": 2}
TRAINERS = {
    "plain": (llama, lambda folder, model: trainer_for(model, folder, DATA, **SPLIT)),
    "label smoothing": (
        llama,
        lambda folder, model: trainer_for(model, folder, DATA, label_smoothing_factor=0.3, **SPLIT),
    ),
    "a loss function": (
        llama,
        lambda folder, model: transformers.Trainer(
            model=model, args=arguments(folder, **SPLIT), train_dataset=DATA, data_collator=tiny.collate,
            compute_loss_func=squared,
        ),
    ),
    "a loss of a class": (
        llama,
        lambda folder, model: trainer_for(model, folder, DATA, trainer_class=Doubled, **SPLIT),
    ),
    "experts": (experts, lambda folder, model: trainer_for(model, folder, DATA, **SPLIT)),
    "SFT": (llama, sft),
    "SFT, DFT": (llama, lambda folder, model: sft(folder, model, loss_type="dft")),
    "SFT, label smoothing": (llama, lambda folder, model: sft(folder, model, label_smoothing_factor=0.3)),
    "SFT, experts": (experts, lambda folder, model: sft(folder, model, router_aux_loss_coef=2.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINERS)
def test_finch_reads_the_mean_loss_of_the_steps_tokens(tmp_path, name):
    make, build = TRAINERS[name]
    model = make()
    start = copy.deepcopy(model)
    mean, batches = first_mean(build(tmp_path, model))
    assert len(batches) == 4
    assert mean == pytest.approx(true_mean(start, batches), rel=1e-5)


def bart():
    pair = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ends = {"pad_token_id": 0, "decoder_start_token_id": 1, "forced_eos_token_id": 2, "dropout": 0.0}
    return transformers.BartForConditionalGeneration(transformers.BartConfig(vocab_size=61, d_model=16, **pair, **ends))


def paired(rows):
    """A batch for an encoder and a decoder, which reads each label's predecessor."""
    batch = tiny.collate(rows)
    before = torch.nn.functional.pad(batch["labels"][:, :-1].clamp(min=0), (1, 0), value=1)
    return {**batch, "decoder_input_ids": before}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_of_an_encoder_and_a_decoder_a_label_stands_at_its_own_place(tmp_path, smoothing):
    model = bart()
    start = copy.deepcopy(model)
    args = transformers.Seq2SeqTrainingArguments(
        **{**arguments(tmp_path, **SPLIT).to_dict(), "label_smoothing_factor": smoothing, "output_dir": str(tmp_path)}
    )
    trainer = transformers.Seq2SeqTrainer(model=model, args=args, train_dataset=DATA, data_collator=paired)
    mean, batches = first_mean(trainer)
    assert mean == pytest.approx(true_mean(start, batches, shift=False), rel=1e-5)


def test_the_loss_of_the_trainer_is_read_as_it_is_where_it_is_the_task_loss(tmp_path):
    plain = trainer_for(llama(), tmp_path, DATA)
    assert is_task_loss(plain)
    assert not attach(plain, "Finch()").holdfast.reads
    other = trainer_for(llama(), tmp_path, DATA, label_smoothing_factor=0.1)
    assert not is_task_loss(other)
    assert attach(other, "Finch()").holdfast.reads
    model = trainer_for(tiny.with_own_loss(llama()), tmp_path, DATA)
    assert attach(model, "Finch()").holdfast.reads
    nothing = trainer_for(llama(), tmp_path, DATA, label_smoothing_factor=0.1)
    assert not attach(nothing, "Cosine()").holdfast.reads  # nobody reads it


def test_what_is_trained_on_stays_the_trainers_own_loss(tmp_path):
    ends = []
    for recipe in (None, "Finch(cap=1.0, decay=0.0)"):
        trainer = trainer_for(tiny.tiny(), tmp_path, DATA, label_smoothing_factor=0.3, max_steps=1)
        if recipe:
            attach(trainer, recipe)
        trainer.train()
        ends.append(trainer.state.log_history[0]["loss"])
    assert ends[0] == ends[1]


PAIRS = [{"prompt": "t5 t6", "chosen": " t7 t8", "rejected": " t9 t10"}] * 8


def tuned_by(kind, settings, folder, data, model=None, **more):
    args = settings(
        output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, per_device_train_batch_size=2, **more
    )
    rows = datasets.Dataset.from_list(data)
    beside = {} if model else {"ref_model": llama()}
    return kind(model=model or llama(), args=args, train_dataset=rows, processing_class=tiny.tokenizer(), **beside)


def classifier():
    return transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**SIZES, pad_token_id=0, num_labels=1))


def grpo(folder):
    tokenizer = tiny.tokenizer()
    tokenizer.padding_side = "left"
    args = trl.GRPOConfig(
        output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, num_generations=2,
        per_device_train_batch_size=2, max_completion_length=4,
    )  # fmt: skip
    return trl.GRPOTrainer(
        model=llama(), reward_funcs=lambda completions, **_: [float(len(c)) for c in completions], args=args,
        train_dataset=datasets.Dataset.from_list([{"prompt": "t5 t6"}] * 8), processing_class=tokenizer,
    )  # fmt: skip


KTO = [{"prompt": "t5 t6", "completion": f" t7 t{i}", "label": bool(i % 2)} for i in range(8, 16)]
OTHERS = {
    "DPOTrainer": lambda folder: tuned_by(trl.DPOTrainer, trl.DPOConfig, folder, PAIRS),
    "KTOTrainer": lambda folder: tuned_by(trl.KTOTrainer, trl.KTOConfig, folder, KTO),
    "RewardTrainer": lambda folder: tuned_by(trl.RewardTrainer, trl.RewardConfig, folder, PAIRS, classifier()),
    "GRPOTrainer": grpo,
}


@pytest.mark.parametrize("name", OTHERS)
def test_where_there_is_no_such_loss_it_is_refused(tmp_path, name):
    trainer = OTHERS[name](tmp_path)
    with pytest.raises(
        HoldfastError,
        match=rf"^Finch\(\) reads the mean loss of the new tokens, and {name} trains on another loss, with its own"
        r" kind of rows; leave Finch\(\) out\.$",
    ):
        attach(trainer, "LoRA(rank=2) + BaseL2() + Finch()")


def test_a_model_that_predicts_no_tokens_is_refused(tmp_path):
    trainer = trainer_for(classifier(), tmp_path, DATA)
    with pytest.raises(HoldfastError, match="and LlamaForSequenceClassification predicts no tokens; leave Finch"):
        attach(trainer, "Finch()")
    own = trainer_for(torch.nn.Linear(3, 3), tmp_path, DATA)
    with pytest.raises(HoldfastError, match="and Linear is not a transformers model, so its predictions are unknown"):
        attach(own, "Finch()")


def test_a_loss_that_hides_its_predictions_ends_the_training_before_it_moves_anything(tmp_path):
    class Hidden(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return model(input_ids=inputs["input_ids"][:, :2]).logits.float().pow(2).mean()

    trainer = attach(trainer_for(llama(), tmp_path, DATA, trainer_class=Hidden), "Finch()")
    start = copy.deepcopy(trainer.model.state_dict())
    with pytest.raises(
        HoldfastError, match="the model gives no logits for each label when Hidden calls it in compute_loss"
    ):
        trainer.train()
    assert all(torch.equal(p, start[name]) for name, p in trainer.model.state_dict().items())


def test_the_losses_of_tokens_are_cross_entropies_at_any_vocabulary(monkeypatch):
    from holdfast.train import task_loss

    monkeypatch.setattr(task_loss, "CHUNK", 61 * 3)
    batch, model = tiny.collate(DATA[:5]), tiny.tiny()
    output = model(**{name: value for name, value in batch.items() if name != "labels"})
    found = token_losses(output, batch["labels"], batch["attention_mask"], shifted=True)
    logp = output.logits.log_softmax(-1)
    expected = [
        -float(logp[b, t - 1, label])
        for b, row in enumerate(batch["labels"].tolist())
        for t, label in enumerate(row)
        if label != -100
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert token_losses(output, torch.zeros(5), None, shifted=True) is None
    assert token_losses(output, None, None, shifted=True) is None
