"""The weights of other runs, read from their folders one at a time, and checked before training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Size, Tensor, nn

from holdfast.core.adapters import adapted, own_parameters, plain_name
from holdfast.core.errors import HoldfastError
from holdfast.core.params import trainable


def folders(models: str) -> list[str]:
    """Returns the folders in a setting, a list separated by commas, in order."""
    return [name.strip() for name in models.split(",") if name.strip()]


def edited(model: nn.Module) -> dict[str, Size]:
    """Returns the shapes of the weights that edits will receive, by their name in a model without adapters."""
    weights = adapted(model)
    inside = {id(p) for weight in weights for layer in weight.layers for p in own_parameters(layer)}
    others = {plain_name(name): p.shape for name, p in trainable(model).items() if id(p) not in inside}
    return {**others, **{weight.name: weight.param.shape for weight in weights}}


def check(caller: str, models: Sequence[str], model: nn.Module) -> None:
    """Raises `HoldfastError` unless each folder has, in safetensors, all weights of `model` that edits will receive.

    Args:
        caller: The caller's name, for the message.
        models: Folders.
        model: The model in the shape in which it trains.
    """
    for folder in models:
        shapes: dict[str, list[int]] = {}
        for file in _files(caller, folder):
            with _open(caller, file) as opened:
                shapes.update({name: opened.get_slice(name).get_shape() for name in opened.keys()})  # noqa: SIM118
        for name, shape in edited(model).items():
            if name not in shapes:
                raise HoldfastError(
                    f"{caller}: {folder} has no weight {name!r}, only others such as {next(iter(shapes), None)!r}; give"
                    " a run of the same base model."
                )
            if list(shape) != shapes[name]:
                raise HoldfastError(
                    f"{caller}: {name!r} is {shapes[name]} in {folder} and {list(shape)} here; give a run of the same"
                    " base model."
                )


def weight(caller: str, folder: str, name: str, like: Tensor) -> Tensor:
    """Returns a weight of another run, on the device and in the dtype of `like`."""
    for file in _files(caller, folder):
        with _open(caller, file) as opened:
            if name in opened.keys():  # noqa: SIM118
                tensor: Tensor = opened.get_tensor(name)
                if tensor.shape != like.shape or not tensor.is_floating_point():
                    raise HoldfastError(
                        f"{caller}: {name!r} is {tensor.dtype} of {list(tensor.shape)} in {folder} and {like.dtype} of"
                        f" {list(like.shape)} here; give a run of the same base model, in 16 or 32 bits."
                    )
                return tensor.to(like.device, like.dtype)
    raise HoldfastError(f"{caller}: {folder} has no weight {name!r}; give a run of the same base model.")


def _files(caller: str, folder: str) -> list[Path]:
    path, whole = Path(folder), "give the folder of a model that was saved whole (Train(ship='merged'), save_model)"
    if not path.is_dir():
        raise HoldfastError(f"{caller}: there is no folder {folder}; {whole}.")
    files = sorted(path.glob("model*.safetensors"))
    if not files and (path / "adapter_config.json").exists():
        raise HoldfastError(f"{caller}: {folder} holds only an adapter; {whole}.")
    if not files:
        raise HoldfastError(f"{caller}: {folder} has no model*.safetensors; {whole}.")
    return files


@contextmanager
def _open(caller: str, file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, "pt") as opened:
            yield opened
    except SafetensorError as error:
        raise HoldfastError(f"{caller}: {file} cannot be read ({error}); save that model again.") from error
