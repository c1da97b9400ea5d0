"""Under FSDP2's sharding, on one process: an adapter's base is the model without it; nothing else is compared with."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from holdfast.train.attach import attach
from holdfast.train.supervised import scored_of
from tests import tiny
from tests.train.retrace import trainer_for


@pytest.fixture
def mesh(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def gradients(folder, recipe, mesh=None):
    trainer = attach(trainer_for(tiny.tiny(dtype=torch.float32), folder, tiny.rows(8)), recipe)
    session, model = trainer.holdfast, trainer.holdfast.model.train()
    for number, (name, p) in enumerate(model.named_parameters()):
        if "lora_B" in name:
            p.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(number))
    if mesh is not None:
        for layer in model.base_model.model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    batch = tiny.collate(tiny.rows(4))
    session.begin_step(0, 1)
    session.count_tokens([(scored_of(batch["labels"], batch["attention_mask"]), None)])
    loss, _, _ = session.loss(model, batch, None)
    loss.backward()
    found = [p.grad for p in model.parameters() if p.requires_grad]
    return float(loss), torch.cat([getattr(grad, "full_tensor", lambda grad=grad: grad)().flatten() for grad in found])


@pytest.mark.parametrize("recipe", ["LoRA(rank=2) + MaskTheTarget()", "LoRA(rank=2) + BaseKL() + DFT()"])
def test_the_loss_and_its_gradient_are_those_of_whole_weights(tmp_path, recipe, mesh):
    loss, grad = gradients(tmp_path, recipe)
    plain, _ = gradients(tmp_path, "LoRA(rank=2)" + (" + DFT()" if "DFT" in recipe else " + Train(lr=0.1) + EAFT()"))
    sharded, sharded_grad = gradients(tmp_path, recipe, mesh)
    assert sharded == pytest.approx(loss, rel=1e-6)
    assert abs(loss - plain) > 0.01  # the leash is there
    torch.testing.assert_close(sharded_grad, grad, rtol=1e-5, atol=1e-6)
