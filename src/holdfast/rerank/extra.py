"""The libraries of the extra `rerank`, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from holdfast.core.errors import HoldfastError


def needed(module: str) -> Any:
    """Returns an imported module of the extra `rerank`.

    Args:
        module: Name of the module, such as "sentence_transformers".

    Raises:
        HoldfastError: It is not installed; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        raise HoldfastError(
            f'Rerankers need {package.replace("_", "-")}, which is not installed: pip install "holdfast[rerank]".'
        ) from error
