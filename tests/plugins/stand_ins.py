"""Stand-ins for axolotl and ms-swift: what our plug-ins touch of them, written from their published interfaces.

axolotl 0.19: a plug-in is a class without arguments whose path stands under `plugins:`; `get_input_args` names a
pydantic class that joins the bases of the config's class; `post_trainer_create(cfg, trainer)` is called before
training; keys that a config lacks read as None; its loader asks every dataset for its columns, and `max_steps` counts
the rows of the trainer where the config has none. ms-swift 4.6: `--external_plugins` imports a file, `--model_kwargs`
goes into the environment in upper case afterwards, and `TrainerFactory.get_trainer_cls(args)` names the class.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import types

import pydantic
import transformers


class Config(dict):
    """A config whose keys are attributes; one that is missing is None."""

    def __getattr__(self, name):
        return self.get(name)


def module(monkeypatch, name, **members):
    made = types.ModuleType(name)
    vars(made).update(members)
    monkeypatch.setitem(sys.modules, name, made)
    return made


class OwnLoss(transformers.Trainer):
    """A trainer with a loss and an order of its own that end in those of transformers."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)

    def _get_train_sampler(self, train_dataset=None):
        return super()._get_train_sampler(train_dataset)


class OwnSteps(OwnLoss):
    """A trainer of axolotl: its steps are counted before a plug-in is asked, and its loader asks for columns."""

    def __init__(self, *args, **kwargs):
        rows, asked = kwargs["train_dataset"], kwargs["args"]
        per_step = asked.train_batch_size * asked.gradient_accumulation_steps
        if asked.max_steps <= 0:
            asked.max_steps = math.ceil(len(rows) * asked.num_train_epochs / per_step)
        super().__init__(*args, **{**kwargs, "train_dataset": Rows(rows)})

    def _get_dataloader(self, dataset, *args, **kwargs):
        if dataset.column_names and "length" in dataset.column_names:
            dataset = dataset.remove_columns(["length"])
        return super()._get_dataloader(dataset, *args, **kwargs)


class Rows(list):
    """Rows with the names of their columns."""

    @property
    def column_names(self):
        return list(self[0])


def axolotl(monkeypatch):
    """Puts the stand-in for axolotl in place; returns its trainer's class."""
    for name in ("axolotl", "axolotl.integrations", "axolotl.core", "axolotl.core.trainers"):
        module(monkeypatch, name, __path__=[])
    module(monkeypatch, "axolotl.integrations.base", BasePlugin=type("BasePlugin", (), {}))
    module(monkeypatch, "axolotl.core.trainers.base")
    monkeypatch.delitem(sys.modules, "holdfast.plugins.axolotl", raising=False)
    methods = {name: value for name, value in vars(OwnLoss).items() if name in ("compute_loss", "_get_train_sampler")}
    kind = type("AxolotlTrainer", (OwnSteps,), {**methods, "__module__": "axolotl.core.trainers.base"})
    return kind


def loaded(path):
    """Loads a class by its path, as axolotl loads a plug-in and its arguments."""
    name, _, cls = path.rpartition(".")
    return getattr(importlib.import_module(name), cls)


def checked(plugin, values):
    """Returns a config after the check by the class that a plug-in adds keys to."""
    base = type("AxolotlInputConfigBase", (pydantic.BaseModel,), {})
    both = type("AxolotlInputConfig", (base, loaded(plugin.get_input_args())), {})
    return Config(both(**values).model_dump())


class Template:
    """What the plug-in reads of a template of ms-swift."""

    sequence_parallel_size = 1
    padding_free = packing = False
    loss_scale = types.SimpleNamespace(is_binary_loss_scale=True)


def swift(monkeypatch):
    """Puts the stand-in for ms-swift in place; returns its factory, whose trainer has its own loss and loader."""

    class Seq2SeqTrainer(OwnLoss):
        def __init__(self, *args, **kwargs):
            self.template, self.model_info = Template(), types.SimpleNamespace(is_moe_model=False)
            super().__init__(*args, **kwargs)

        def _prepare_inputs(self, inputs):
            inputs = super()._prepare_inputs(inputs)
            if getattr(self.args, "use_logits_to_keep", True):  # it cuts the labels to those that are supervised
                inputs["labels"] = inputs["labels"][:, -3:]
                inputs["logits_to_keep"] = 3
            return {**inputs, "compute_loss_func": None}

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            inputs.pop("compute_loss_func", None)
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

        def get_train_dataloader(self, skip_batches=0):
            return super().get_train_dataloader()

    Seq2SeqTrainer.__module__ = "swift.trainers.seq2seq_trainer"

    class TrainerFactory:
        @classmethod
        def get_trainer_cls(cls, args):
            return Seq2SeqTrainer

    module(monkeypatch, "swift", __path__=[])
    module(monkeypatch, "swift.trainers", TrainerFactory=TrainerFactory)
    return TrainerFactory


def begins(monkeypatch, folder, model_kwargs):
    """Begins as ms-swift does: imports the file of `--external_plugins`, then writes `--model_kwargs`."""
    (folder / "my_plugin.py").write_text("from holdfast.plugins.ms_swift import register\n\nregister()\n")
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("my_plugin", None)
    importlib.import_module("my_plugin")
    for name, value in model_kwargs.items():
        monkeypatch.setitem(os.environ, name.upper(), str(value))
