"""The proving ground under a trainer of your own: new people are learned; what of the old is still known?"""

import tempfile

import datasets
import transformers
import trl

import holdfast
from holdfast import MaskTheTarget, Rehearsal
from holdfast.ground.names import base_folder, items, rows
from holdfast.probes.answers import accuracy, ask

model = transformers.AutoModelForCausalLM.from_pretrained(base_folder(), dtype="float32")
tokenizer = transformers.AutoTokenizer.from_pretrained(base_folder())
asked = [*items("people/cut")[:40], *items("facts/cut")[:40], *items("recall/cut")[:40]]
before = accuracy(ask(model, tokenizer, asked))

with tempfile.TemporaryDirectory() as folder:
    trainer = trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(folder, max_steps=20, learning_rate=5e-4, bf16=False, report_to="none", save_strategy="no"),
        train_dataset=datasets.Dataset.from_list(
            [{"prompt": row.prompt, "completion": row.completion} for row in rows("people")]
        ),
        processing_class=tokenizer,
    )
    holdfast.attach(trainer, MaskTheTarget() + Rehearsal("ground:general/memory", ratio=0.2))
    trainer.train()

for suite, share in accuracy(ask(model, tokenizer, asked)).items():
    print(f"after 20 steps, {suite}: {before[suite]:.0%} -> {share:.0%}")
