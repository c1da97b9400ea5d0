"""Trains each recipe of the command line on a device that does not exist: a program, because it changes torch itself.

Numbers lie on the CPU, in tensors that say that they are on the device "apple". As on a GPU, an operation on tensors of
two devices is an error; as on Apple's GPUs, so is a float64 tensor.
"""

from __future__ import annotations

import copy
import sys
import tempfile

import torch
from accelerate.state import AcceleratorState, PartialState
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from holdfast.core import exact
from holdfast.core.mix import Example
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

NAME = "apple"
MIXES = ("copy_", "_to_copy", "index.Tensor", "index_put", "_index_put_impl_", "detach", "alias")
"""Operations that may have tensors of two devices."""


class Backend(backend_registration._DummyBackendModule):
    """The module of the device, whose random numbers are those of the CPU."""

    def get_rng_state(self, device=None):
        return torch.get_rng_state()

    def set_rng_state(self, state, device=None):
        pass

    def manual_seed_all(self, seed):
        pass


class There(torch.Tensor):
    """A tensor on the device."""

    @staticmethod
    def __new__(cls, held, requires_grad=False):
        form = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        device = torch.device(NAME, 0)
        made = torch.Tensor._make_wrapper_subclass(cls, held.shape, device=device, requires_grad=requires_grad, **form)
        made.held = held
        return made

    def tolist(self):
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return act(func, args, kwargs or {})


class Everywhere(TorchDispatchMode):
    """Makes new tensors on the device too."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return act(func, args, kwargs or {})


def is_there(device):
    return device is not None and torch.device(device).type == NAME


def checked(made):
    if made.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
    return There(made)


def act(func, args, kwargs):
    name, given = str(func).removeprefix("aten."), tree_leaves((args, kwargs))
    there = [x for x in given if isinstance(x, There)]
    here = [x for x in given if isinstance(x, torch.Tensor) and not isinstance(x, There)]
    if there and any(x.dim() for x in here) and not name.startswith(MIXES):
        raise RuntimeError(f"Expected all tensors to be on the same device ({name}).")
    if name.startswith("index.Tensor") and there and not isinstance(args[0], There):
        raise RuntimeError("Indices should be on the CPU, as the indexed tensor.")
    device = kwargs.get("device")
    stays = bool(there) if device is None else is_there(device)
    if name.startswith("copy_"):
        stays = isinstance(args[0], There)
    kwargs = {**kwargs, "device": torch.device("cpu")} if is_there(device) else kwargs
    plain, named = tree_map(lambda x: x.held if isinstance(x, There) else x, (args, kwargs))

    def placed(x):
        if not isinstance(x, torch.Tensor):
            return x
        same = next((one for one in (*there, *here) if getattr(one, "held", one) is x), None)
        return same if same is not None else checked(x) if stays else x

    return tree_map(placed, func(*plain, **named))


def main(recipes):
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    exact.WITHOUT = exact.WITHOUT | {NAME}
    tensor, device = torch.tensor, torch.device(NAME, 0)
    torch.tensor = lambda data, *rest, device=None, **how: (
        checked(tensor(data, *rest, **how)) if is_there(device) else tensor(data, *rest, device=device, **how)
    )
    start, data = tiny.tiny(dtype=torch.float32), tiny.rows(16)
    memories = {"old": [Example(row["input_ids"], row["labels"]) for row in tiny.rows(7, seed=3)]}
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<s> {{ m['content'] }} </s>{% endfor %}"
    for recipe in recipes:
        settings = {"micro": 4, "accumulate": 2, "optim": "adamw_torch", "logging_strategy": "no"}
        trainer = trainer_for(copy.deepcopy(start), tempfile.mkdtemp(), data, **settings)
        trainer.processing_class = tokenizer
        for state in (PartialState, AcceleratorState):
            state._shared_state["device"] = device
        vars(trainer.args)["_setup_devices"] = device
        with Everywhere():
            trainer.model.to(device)
            attach(trainer, recipe, memories=memories)
            trainer.train()
        print("trained", recipe, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
