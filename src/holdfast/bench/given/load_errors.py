"""Reasons why a model or a tokenizer cannot be loaded, each with its mend."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from holdfast.core.errors import HoldfastError
from holdfast.data.hub_reach import NO_NETWORK

LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, MemoryError, SafetensorError)
"""Errors that transformers, PEFT and safetensors raise for a malformed folder."""

_PACKAGES = ("sentencepiece", "tiktoken", "protobuf", "blobfile", "mistral_common", "bitsandbytes", "gptqmodel",
             "autoawq", "auto_gptq", "optimum", "compressed_tensors", "hqq", "quanto", "torchao", "kernels",
             "fbgemm_gpu", "einops", "mamba_ssm", "causal_conv1d", "flash_attn")  # fmt: skip
_MODULE = {"protobuf": "google.protobuf", "autoawq": "awq", "quanto": "optimum.quanto"}
_CLASSES = re.compile(
    r"For(Sequence|Token)Classification$|ForQuestionAnswering$|ForMultipleChoice$|ForNextSentencePrediction$"
    r"|RewardModel|ForReward"
)


def refuse_non_causal(config: Any, name: str) -> None:
    """Refuses a model that cannot be trained as a causal language model, with the reason.

    Raises:
        HoldfastError: The model is an encoder-decoder, a masked or bidirectional model, a classifier or a reward model,
            or its type has no causal language model.
    """
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    kind = ", ".join(config.architectures or ()) or config.model_type
    mend = "give a causal language model, as AutoModelForCausalLM loads them."
    if getattr(config, "is_encoder_decoder", False):
        raise HoldfastError(
            f"Model {name!r} ({kind}) is an encoder-decoder: it reads all of its input before it writes, and needs"
            f" another training loss; {mend}"
        )
    if config.architectures and all(_CLASSES.search(cls) for cls in config.architectures):
        raise HoldfastError(
            f"Model {name!r} is a {kind}: its head scores classes or whole answers, not the next token; give the"
            " language model that it was made from."
        )
    is_causal = getattr(config, "is_decoder", False) or getattr(config, "causal", False)
    text = config.get_text_config()
    masked = config.model_type in MASKED or config.model_type == "xlnet"
    if (masked and not is_causal) or getattr(text, "use_bidirectional_attention", None) in (True, "all"):
        raise HoldfastError(
            f"Model {name!r} ({kind}) is not a causal language model: each token sees the later ones, so the model"
            f" would learn to copy the next token; {mend}"
        )
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise HoldfastError(
            f"Model {name!r} is of type {config.model_type!r}, which is not a causal language model; give one that"
            " AutoModelForCausalLM loads."
        )


def load_error(what: str, name: str, folder: Path | None, error: Exception, config: Any = None) -> HoldfastError:
    """Returns the error for a model or tokenizer that could not be loaded.

    Args:
        what: "Model" or "The tokenizer of".
        name: Its name, as the user gave it.
        folder: Its folder; None for a name on the hub.
        error: The error that was raised.
        config: The model's configuration, if it was read.
    """
    sentence = first_sentence(error).rstrip(".")
    reason = _package_reason(str(error), error) or _model_reason(str(error), error, config)
    if reason:
        return HoldfastError(f"{what} {name!r} {reason}.")
    if folder is None and (reason := _hub_reason(name, error)):
        return HoldfastError(f"{what} {name!r} is not a local folder, and the hub did not give it {reason}.")
    return HoldfastError(
        f"{what} {name!r} cannot be loaded ({type(error).__name__}: {sentence}); check that transformers"
        " alone loads it, and mend the cause."
    )


def _package_reason(text: str, error: Exception) -> str:
    """Returns the sentence for a missing package; "" if the error does not name one."""
    for package in _PACKAGES:
        words = re.sub("[-_]", "[-_]", package)
        if re.search(rf"\b{words}\b", text, re.IGNORECASE) and not _is_there(_MODULE.get(package, package)):
            distribution = package.replace("_", "-")
            return f"needs the package {distribution}, which is not installed: pip install {distribution}"
    if isinstance(error, ImportError):
        missing = re.search(r"No module named '([\w.]+)'", text)
        what = f"the module {missing[1]}" if missing else first_sentence(error).rstrip(".")
        return f"needs a package that is not installed ({what}); install it"
    return ""


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _model_reason(text: str, error: Exception, config: Any) -> str:
    """Returns the sentence for a fault of the model itself; "" if the error does not name one."""
    if "trust_remote_code" in text or "custom code" in text:
        return (
            "comes with its own code, which Holdfast never runs (trust_remote_code stays off); give a model whose type"
            " transformers knows"
        )
    unknown = re.search(r"model type [`'\"]?([\w.-]+)[`'\"]? but Transformers does not recognize", text)
    if unknown or (isinstance(error, KeyError) and re.fullmatch(r"'[\w-]+'", text)):
        import transformers

        kind = unknown[1] if unknown else text.strip("'")
        return (
            f"is of type {kind!r}, which transformers {transformers.__version__} does not know; install a newer one"
            " (pip install -U transformers)"
        )
    if "Unrecognized model" in text or "should have a `model_type`" in text:
        return "has no model_type in its config.json, so it is not a transformers model; give one that is"
    if isinstance(error, MemoryError) or re.search(r"can't allocate memory|out of memory", text):
        return "does not fit into the free memory; free some, or use a smaller model"
    if re.search(r"size mismatch|ignore_mismatched_sizes|mismatched", text):
        return "has weights whose shapes differ from its config.json; put matching files into one folder"
    if re.search(r"pickle|\.bin\b|use_safetensors|no file named .*safetensors", text):
        return "has no safetensors weights; convert them (pickles can run code and are never loaded)"
    if getattr(config, "quantization_config", None) is not None:
        quantization = config.quantization_config
        method = (
            quantization.get("quant_method", "")
            if isinstance(quantization, dict)
            else getattr(quantization, "quant_method", "")
        )
        sentence = first_sentence(error).rstrip(".")
        return (
            f"is quantised ({getattr(method, 'value', method)}) and this machine cannot load it that way ({sentence});"
            " give the original model, in 16 bits"
        )
    return ""


def _hub_reason(name: str, error: BaseException) -> str:
    """Returns why the hub did not give a model, and the mend."""
    errors = list(_chain(error))
    kinds = {kind.__name__ for raised in errors for kind in type(raised).__mro__}
    text = " ".join(" ".join(str(raised).split()) for raised in errors)
    code = next((c for raised in errors if isinstance(c := _status(raised), int)), None)
    return _refused(kinds, text, code) or _offline(kinds, text)


def _refused(kinds: set[str], text: str, code: int | None) -> str:
    """Returns why the hub refused, by the classes, words and status of its errors; "" if it did not."""
    reasons = (
        (
            "GatedRepoError" in kinds or "gated repo" in text,
            "(it is gated); ask for access on its page there, then log in with `hf auth login`",
        ),
        (
            code == 403 or "DisabledRepoError" in kinds,
            "(403: your account may not read it); ask its owner for access, or log in with `hf auth login`",
        ),
        ("RevisionNotFoundError" in kinds, "(it has no such revision); check the name"),
        (
            "LocalEntryNotFoundError" not in kinds and "EntryNotFoundError" in kinds,
            "(it has no config.json, so it is not a transformers model, or it is an adapter or GGUF); give a folder",
        ),
        (
            "RepositoryNotFoundError" in kinds or code in (401, 404),
            "(no model has that name, or it is private); check the name, or log in with `hf auth login`",
        ),
        (code == 429, "(429: too many requests); wait a little, or log in with `hf auth login`"),
        (code is not None and code >= 500, f"(the hub answers {code}); try again later"),
    )
    return next((reason for holds, reason in reasons if holds), "")


def _offline(kinds: set[str], text: str) -> str:
    """Returns why the hub cannot be reached; "" if it can."""
    from huggingface_hub import is_offline_mode  # here, because only names on the hub need it

    chosen = "OfflineModeIsEnabled" in kinds and is_offline_mode()
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE") or chosen:
        return "(it is not in the cache, and HF_HUB_OFFLINE is set); check the name, unset it, or give a folder"
    silent = {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "TimeoutError", "ConnectTimeout"}
    if {"ConnectionError", *silent} & kinds or (
        "couldn't connect" in text or "Cannot find" in text or "cached files" in text
    ):
        return NO_NETWORK
    return ""


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def first_sentence(error: BaseException) -> str:
    """Returns the first sentence of an error, on one line."""
    text = " ".join(str(error).split())
    head = text.split(". ")[0][:300].rstrip(".")
    return f"{head}."
