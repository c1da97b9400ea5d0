"""What we depend on in other people's trainers is there, and all of it is listed."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import ClassVar

import datasets
import pytest
import torch
import transformers
import trl
from typing_extensions import get_protocol_members

from holdfast.train import trainers
from holdfast.train.attach import Attached
from tests import tiny
from tests.train.retrace import trainer_for

ROOM = Path(trainers.__file__).parent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One trainer of each kind that has trained a step, so that what the loop sets is there too."""
    folder = tmp_path_factory.mktemp("made")
    plain = trainer_for(tiny.tiny(), folder / "plain", tiny.rows(8), max_steps=1)
    settings = {"report_to": "none", "use_cpu": True, "bf16": False, "max_steps": 1, "save_strategy": "no"}
    sft = trl.SFTTrainer(
        model=tiny.tiny(dtype=torch.float32),
        args=trl.SFTConfig(output_dir=str(folder / "sft"), **settings),
        train_dataset=datasets.Dataset.from_list([{"input_ids": row["input_ids"]} for row in tiny.rows(8)]),
        processing_class=tiny.tokenizer(),
    )
    for trainer in (plain, sft):
        trainer.train()
    return {"Trainer": plain, "SFTTrainer": sft}


LISTED = {
    "args": trainers.HostArguments,
    "state": trainers.HostState,
    "accelerator": trainers.HostAccelerator,
}


def missing(thing, protocol):
    return sorted(name for name in get_protocol_members(protocol) if not hasattr(thing, name))


@pytest.mark.parametrize("kind", ["Trainer", "SFTTrainer"])
def test_a_trainer_of_each_kind_has_every_attribute_that_is_listed(made, kind):
    trainer = made[kind]
    assert missing(trainer, trainers.HostTrainer) == []
    for name, protocol in LISTED.items():
        assert missing(getattr(trainer, name), protocol) == [], name
    assert missing(transformers.TrainerCallback(), trainers.HostEvents) == []


def test_the_sft_trainer_has_what_is_listed_of_it_beside_that(made):
    assert missing(made["SFTTrainer"], trainers.SFTHost) == []
    assert missing(made["SFTTrainer"].args, trainers.SFTArguments) == []
    assert set(missing(made["Trainer"].args, trainers.SFTArguments)) == {"loss_type", "max_length", "packing"}


@pytest.mark.parametrize("kind", ["Trainer", "SFTTrainer"])
def test_methods_take_the_arguments_that_they_are_called_with(made, kind):
    for protocol, thing in [
        (trainers.HostTrainer, made[kind]),
        *((protocol, getattr(made[kind], name)) for name, protocol in LISTED.items()),
    ]:
        for name in get_protocol_members(protocol):
            ours = vars(protocol).get(name)
            if inspect.isfunction(ours):
                known = inspect.signature(getattr(thing, name)).parameters
                named = list(inspect.signature(ours).parameters)[1:]
                assert set(named) <= set(known), f"{protocol.__name__}.{name}"


class _Uses(ast.NodeVisitor):
    """Collects the names that are read or written on a trainer, its arguments, its state or its accelerator."""

    OF: ClassVar = {"trainer": "trainer", "theirs": "trainer", "_trainer": "trainer"} | {name: name for name in LISTED}

    def __init__(self):
        self.found = {"trainer": set(), "args": set(), "state": set(), "accelerator": set()}

    def visit_Attribute(self, node):
        of = node.value
        name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
        holder = self.OF.get(name)
        # `state` alone is as often that of a recipe; only `trainer.state` is the trainer's.
        bare = isinstance(of, ast.Name) and name == "state"
        if holder is not None and not bare:
            self.found[holder].add(node.attr)
        self.generic_visit(node)


def used():
    found = _Uses()
    for path in sorted(ROOM.glob("*.py")):
        found.visit(ast.parse(path.read_text(encoding="utf-8")))
    return found.found


def test_what_the_room_uses_of_a_trainer_is_listed():
    found = used()
    ours = {name for name in dir(Attached) if name not in dir(transformers.Trainer)} | set(Attached.__annotations__)
    ours |= {"holdfast", "holdfast_host", "__class__"}
    assert found["trainer"] - ours <= set(get_protocol_members(trainers.SFTHost))
    assert found["args"] <= set(get_protocol_members(trainers.HostArguments))
    assert found["accelerator"] <= set(get_protocol_members(trainers.HostAccelerator))
    assert {"model", "args", "optimizer"} <= found["trainer"]  # the search finds something


def test_what_the_mixin_uses_of_itself_is_listed():
    tree = ast.parse((ROOM / "attach.py").read_text(encoding="utf-8"))
    (mixin,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Attached")
    read = {
        node.attr
        for node in ast.walk(mixin)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    overridden = {node.name for node in mixin.body if isinstance(node, ast.FunctionDef)}
    listed = set(get_protocol_members(trainers.HostTrainer))
    theirs = {name for name in read | overridden if "holdfast" not in name}
    own = {"_recipe_loss", "_loss_divisor", "_with_penalty", "_count_tokens", "as_shipped"}
    assert theirs - own <= listed


def test_nothing_is_listed_that_is_not_used():
    """A list that keeps what is gone says nothing of what may break."""
    text = "".join(path.read_text(encoding="utf-8") for path in ROOM.glob("*.py") if path.name != "trainers.py")
    for protocol in (trainers.SFTHost, trainers.SFTArguments, trainers.HostState, trainers.HostAccelerator):
        for name in get_protocol_members(protocol):
            assert name in text, f"{protocol.__name__}.{name}"
