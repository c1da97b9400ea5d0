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
    """Returns the folders that a setting names, separated by commas, in order."""
    return [name.strip() for name in models.split(",") if name.strip()]


def edited(model: nn.Module) -> dict[str, Size]:
    """Returns the names, in a model without adapters, and shapes of the weights that edits will be given."""
    weights = adapted(model)
    inside = {id(p) for one in weights for layer in one.layers for p in own_parameters(layer)}
    own = {plain_name(name): p.shape for name, p in trainable(model).items() if id(p) not in inside}
    return {**own, **{one.name: one.param.shape for one in weights}}


def check(said: str, models: Sequence[str], model: nn.Module) -> None:
    """Raises `HoldfastError` unless each folder has, in safetensors, all weights of `model` that edits will be given.

    Args:
        said: Who asks, for the message.
        models: Folders.
        model: In the shape in which it is trained.
    """
    for folder in models:
        found: dict[str, list[int]] = {}
        for file in _files(said, folder):
            with _open(said, file) as opened:
                found.update({name: opened.get_slice(name).get_shape() for name in opened.keys()})  # noqa: SIM118
        for name, shape in edited(model).items():
            if name not in found:
                raise HoldfastError(
                    f"{said}: {folder} has no weight {name!r}, only such as {next(iter(found), None)!r}; give a run of"
                    " the same base model."
                )
            if list(shape) != found[name]:
                raise HoldfastError(
                    f"{said}: {name!r} is {found[name]} in {folder} and {list(shape)} here; give a run of the same"
                    " base model."
                )


def weight(said: str, folder: str, name: str, like: Tensor) -> Tensor:
    """Returns one weight of another run, on the device and in the dtype of `like`."""
    for file in _files(said, folder):
        with _open(said, file) as opened:
            if name in opened.keys():  # noqa: SIM118
                found: Tensor = opened.get_tensor(name)
                if found.shape != like.shape or not found.is_floating_point():
                    raise HoldfastError(
                        f"{said}: {name!r} is {found.dtype} of {list(found.shape)} in {folder} and {like.dtype} of"
                        f" {list(like.shape)} here; give a run of the same base model, in 16 or 32 bits."
                    )
                return found.to(like.device, like.dtype)
    raise HoldfastError(f"{said}: {folder} has no weight {name!r}; give a run of the same base model.")


def _files(said: str, folder: str) -> list[Path]:
    path, whole = Path(folder), "give the folder of a model that was saved whole (Train(ship='merged'), save_model)"
    if not path.is_dir():
        raise HoldfastError(f"{said}: there is no folder {folder}; {whole}.")
    files = sorted(path.glob("model*.safetensors"))
    if not files and (path / "adapter_config.json").exists():
        raise HoldfastError(f"{said}: {folder} holds an adapter alone; {whole}.")
    if not files:
        raise HoldfastError(f"{said}: {folder} has no model*.safetensors; {whole}.")
    return files


@contextmanager
def _open(said: str, file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, "pt") as opened:
            yield opened
    except SafetensorError as error:
        raise HoldfastError(f"{said}: {file} cannot be read ({error}); save that model again.") from error
