"""Edits of weights from files into files, against copying the file and against the published code of FAPM.

    python benchmarks/edits.py [--model FOLDER] [--threads 1]

Without `--model`, a file of random bfloat16 tensors in the shapes of Qwen2.5-0.5B, with two layers and a vocabulary of
32,768. With it, the weights in a folder. The tuned model is the base with noise of 2% of each tensor's deviation. Each
edit keeps half of the way or a quarter of the entries. Figures are processor seconds, side by side in one process; the
copy is `shutil.copyfile`. The published code of FAPM is not at hand; its formula (arXiv 2509.08255) is written here
independently and plainly, tensor by tensor in memory: once with `torch.topk`, once with a whole sort, as it is quoted.

The computed limit of an edit counts bytes alone: it reads two files and writes one, where a copy reads one.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import frame
import torch
from base_cache import INNER, WIDTH
from frame import Figure
from safetensors.torch import load_file, save_file

VOCABULARY, LAYERS = 32_768, 2


def random_weights() -> dict[str, torch.Tensor]:
    """Returns random tensors in the shapes of a Qwen2.5-0.5B with few layers and words."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.mlp.{name}_proj.weight": (INNER, WIDTH) for name in ("gate", "up")}
        shapes |= {f"{at}.mlp.down_proj.weight": (WIDTH, INNER), f"{at}.input_layernorm.weight": (WIDTH,)}
        shapes |= {f"{at}.self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in ("q", "o")}
        shapes |= {f"{at}.self_attn.{name}_proj.weight": (128, WIDTH) for name in ("k", "v")}
    return {name: (0.02 * torch.randn(shape, generator=generator)).bfloat16() for name, shape in shapes.items()}


def pair(model: Path | None, folder: Path) -> tuple[Path, Path]:
    """Returns the folders of a base and of a tuned model, which is written."""
    base, tuned = model or folder / "base", folder / "tuned"
    for made in (base, tuned):
        made.mkdir(exist_ok=True)
    if model is None:
        save_file(random_weights(), base / "model.safetensors", {"format": "pt"})
    generator = torch.Generator().manual_seed(1)
    weights = load_file(base / "model.safetensors")
    for name, weight in weights.items():
        wide = weight.float()
        noise = torch.randn(wide.shape, generator=generator)
        weights[name] = (wide + 0.02 * wide.std() * noise).to(weight.dtype)
    save_file(weights, tuned / "model.safetensors", {"format": "pt"})
    return base, tuned


def published(base: Path, tuned: Path, out: Path, *, sort: bool) -> None:
    """Prunes by the five published lines, tensor by tensor of whole files in memory."""
    before, after = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    for name, weight in before.items():
        old, new = weight.float(), after[name].float()
        change = new - old
        count = int(change.numel() * 0.25)
        factor = 1.0 * old.abs().mean()
        score = change.abs() - factor * (change.abs() / old.abs())
        score = torch.where(old == 0, -torch.inf, score).flatten()
        places = score.argsort(descending=True)[:count] if sort else score.topk(count).indices
        mask = torch.zeros_like(score)
        mask[places] = 1.0
        after[name] = (old + change * mask.view_as(old)).to(weight.dtype)
    save_file(after, out, {"format": "pt"})


def figures(model: Path | None = None, repeats: int = 3) -> list[Figure]:
    """Returns the lines of edits."""
    from holdfast.bench.heal.candidates import EDITS
    from holdfast.bench.heal.edits import Editor
    from holdfast.bench.heal.weights import Weights

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, tuned = pair(model, folder)
        editor = Editor(Weights.of(base), Weights.of(tuned))

        def edit(name: str) -> Any:
            return lambda: editor.write_whole(EDITS[name], 0.5, folder / "edited")

        names = ("scale", "fapm", "ties")
        ways = {"copy": lambda: shutil.copyfile(tuned / "model.safetensors", folder / "copy")}
        time_of = frame.seconds(ways | {name: edit(name) for name in names}, repeats)
        peers = {"topk": lambda: published(base, tuned, folder / "peer", sort=False)}
        peers["sort"] = lambda: published(base, tuned, folder / "peer", sort=True)
        time_of |= frame.seconds({"fapm": edit("fapm"), **peers}, 1)
        memory = {name: frame.most_held(edit(name)) / editor.tuned.largest for name in names}
    words = {"scale": "WiSE-FT, file to file", "fapm": "FAPM, file to file", "ties": "TIES, file to file"}
    lines = [Figure(words[name], "copying the file", time_of[name] / time_of["copy"], 2.0, 1.5) for name in names]
    lines += [
        Figure("FAPM, file to file", f"its published lines, {way}", time_of["fapm"] / time_of[key], 0.2)
        for key, way in (("topk", "top-k"), ("sort", "sorted"))
    ]
    largest = "three largest tensors"
    return lines + [Figure(f"{words[name]}: memory", largest, memory[name] / 3, 1.1, 1.0) for name in names]


def growths() -> list[Figure]:
    """Returns the slopes of FAPM against the entries of a tensor."""
    from holdfast.methods.edits.fapm import fapm

    whole = torch.randn(2, 2**23, generator=torch.Generator().manual_seed(0)).bfloat16()
    sizes = [2**21, 2**22, 2**23]
    ways = {size / 2**20: lambda size=size: fapm(whole[0, :size], whole[1, :size], 0.25) for size in sizes}
    return frame.growth("FAPM of a tensor", "million entries", ways)


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print("\n".join(frame.table(figures(given.model, given.repeats))))


if __name__ == "__main__":
    main()
