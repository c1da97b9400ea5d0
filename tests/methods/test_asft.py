"""DFT, anchored: what its sum does in a run."""

from __future__ import annotations

import copy

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.tokens.asft import ASFT
from holdfast.methods.tokens.dft import DFT
from holdfast.train.attach import attach
from tests import tiny
from tests.methods.test_dft import tokens_of
from tests.train.retrace import furthest, trainer_for

START = tiny.tiny()


def run(folder, recipe):
    trainer = attach(trainer_for(copy.deepcopy(START), folder, tiny.rows(24)), recipe)
    trainer.train()
    return trainer.model


def test_it_is_dft_and_a_leash_under_one_name(tmp_path):
    both = run(tmp_path / "both", DFT() + BaseKL(strength=0.7))
    assert furthest(both, run(tmp_path / "one", ASFT(anchor=0.7))) < 1e-12
    assert furthest(both, run(tmp_path / "other", ASFT(anchor=0.1))) > 1e-4


def test_beside_dft_it_is_refused():
    for pair in (lambda: ASFT() + DFT(), lambda: ASFT() + ASFT()):
        with pytest.raises(HoldfastError, match="give"):
            pair()


def test_no_gradient_flows_to_the_base():
    base = torch.zeros(2, 3, requires_grad=True)
    logits = torch.ones(2, 3, requires_grad=True)
    ASFT().token_loss({}, tokens_of(logits, [0, 1], base)).sum().backward()
    assert base.grad is None
