"""Nothing needs float64 on a device that has none, and nothing mixes devices."""

from __future__ import annotations

import os
import subprocess
import sys

RECIPES = (
    "MaskTheTarget() + Rehearsal('old', ratio=0.3) + TALR()",
    "AGEM('old', samples=2) + TokenQuality()",
    "OrthogonalProjection('old') + BaseL2()",
    "LoRA(rank=2, init='orthogonal') + WiSEFT()",
    "CorDA('old', rank=2)",
    "LoRANull('old', rank=2) + BaseKL() + Train(epochs=3)",
    "OnPolicySDFT(length=4, skip=0)",
)


def test_recipes_train_on_a_device_without_float64_and_mix_no_devices():
    command = [sys.executable, "-m", "tests.train.fake_device", *RECIPES]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert [line for line in done.stdout.splitlines() if line.startswith("trained")] == [
        f"trained {recipe}" for recipe in RECIPES
    ]
