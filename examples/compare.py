"""Which of two methods, at what price? Three recipes on a part of the proving ground, and the table in Python."""

import sys
import tempfile

import holdfast

with tempfile.TemporaryDirectory() as folder:
    done = holdfast.compare(
        model="ground:base",
        data="ground:labels",
        test="ground:labels/test",
        keep=("ground:facts",),
        recipes=("WiSEFT(alpha=0.8)", "FreezeBottom()"),
        settings="Train(lr=5e-4, epochs=0.4, batch=16) + Cosine()",
        doses=(1.0,),
        max_length=128,
        batch_size=16,
        out=folder,
    )
    (found,) = holdfast.report(runs=(folder,))

for row in found.recipes:
    print(f"{row.recipe:20} learned {row.learned.value:5.1f}, lost {row.lost.value:5.1f} points")
sys.exit(done.exit_code)
