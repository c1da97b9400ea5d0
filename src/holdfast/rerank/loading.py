"""Rerankers from folders and names: cross-encoders, causal rerankers and bi-encoders, with or without an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.core.precision import DTYPES, Precision, check_precision
from holdfast.data.hub_reach import without_waiting
from holdfast.rerank.extra import needed
from holdfast.rerank.recognition import kind_of_model
from holdfast.rerank.scoring import BiEncoderReranker, CrossEncoderReranker


def load_reranker(
    name: str,
    base: str | None = None,
    notes: list[str] | None = None,
    *,
    batch_tokens: int | None = None,
    precision: Precision = "fp32",
    max_length: int | None = None,
) -> CrossEncoderReranker | BiEncoderReranker:
    """Returns a model that scores pairs, in eval mode.

    Args:
        name: A folder, or a name on the hub: a cross-encoder with one output, a causal reranker, a bi-encoder, or an
            adapter on one of them.
        base: Base for an adapter whose own base, which its config names, is not available.
        notes: Receives sentences on an adapter: the base on which it is loaded, and that it is merged.
        batch_tokens: Most tokens of a batch, padding included; 8192 if None.
        precision: Number format of the computation.
        max_length: Most tokens of a pair, or of a text of a bi-encoder; longer ones are cut. The model's own limit if
            None or if that is lower.

    Raises:
        HoldfastError: The extra `rerank` is not installed, or the model cannot be loaded or gives no single score.
    """
    check_precision(precision)
    folder = Path(name).expanduser()
    if is_adapter(folder):
        return _adapter(folder, base, notes, batch_tokens=batch_tokens, precision=precision, max_length=max_length)
    return _whole(name, batch_tokens, precision, max_length)


def _whole(
    name: str, batch_tokens: int | None, precision: Precision, max_length: int | None, *, new_head: bool = False
) -> CrossEncoderReranker | BiEncoderReranker:
    """Returns a model that is no adapter; `new_head` tells whether its head may be new, because an adapter has it."""
    library = needed("sentence_transformers")

    def bi_encoder() -> BiEncoderReranker:
        return BiEncoderReranker(_cut(library.SentenceTransformer(name, **how).eval(), max_length), batch_tokens)

    how = {"model_kwargs": {"dtype": DTYPES[precision]}, "trust_remote_code": False}
    try:
        with without_waiting(name):
            if kind_of_model(name) == "bi-encoder":
                return bi_encoder()
            model = _cut(library.CrossEncoder(name, **how).eval(), max_length)
            without_head = not new_head and _has_new_head(model)
            if without_head and kind_of_model(name) == "bi-encoder":  # its config files were not here before
                return bi_encoder()
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise HoldfastError(
            f"Reranker {name!r} cannot be loaded ({reason:.300}); give its folder or its name."
        ) from error
    if without_head:
        raise HoldfastError(
            f"Model {name!r} has no head that scores pairs, and a new one would score at random; give a reranker, such"
            " as a CrossEncoder that was trained on it and saved."
        )
    return CrossEncoderReranker(model, batch_tokens)


def _has_new_head(model: Any) -> bool:
    """Returns whether the head of a cross-encoder was made as it was loaded: its files hold another architecture."""
    saved = getattr(model.config, "architectures", None) or ()
    return len(model) == 1 and bool(saved) and not any(name.endswith("ForSequenceClassification") for name in saved)


def _cut(model: Any, max_length: int | None) -> Any:
    """Returns the model, which reads at most `max_length` tokens if its own limit is not lower."""
    own = model.max_seq_length
    if max_length is not None and (own is None or own > max_length):
        model.max_seq_length = max_length
    return model


def _adapter(
    folder: Path, base: str | None, notes: list[str] | None, **how: Any
) -> CrossEncoderReranker | BiEncoderReranker:
    """Returns the base of an adapter with the adapter merged into its weights."""
    import peft

    reranker, name = _base_for(folder, recorded_base(folder), base, notes, {**how, "new_head": _has_head(folder)})
    transformer = reranker.model[0]
    try:
        adapted: Any = peft.PeftModel.from_pretrained(transformer.model, str(folder))
        transformer.model = adapted.merge_and_unload()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise HoldfastError(f"Adapter {str(folder)!r} does not fit its base {name!r} ({reason:.300}).") from error
    reranker.model.eval()
    if notes is not None:
        notes.append(f"{folder}: the adapter is merged into {name}.")
    return reranker


def _base_for(
    folder: Path, recorded: str, given: str | None, notes: list[str] | None, how: dict[str, Any]
) -> tuple[CrossEncoderReranker | BiEncoderReranker, str]:
    """Returns the base of an adapter and its name: the base that its config names, else `given`.

    Raises:
        HoldfastError: The recorded base is a folder that cannot be loaded, or cannot be had and no other is given.
    """
    if given is not None and is_adapter(Path(given).expanduser()):
        given = recorded_base(Path(given).expanduser())
    if given is None or given == recorded or Path(recorded).expanduser().is_dir():
        return _base(recorded, notes, how), recorded
    if not recorded.startswith(("/", ".", "~")) and recorded.count("/") <= 1:
        try:
            return _base(recorded, notes, how), recorded
        except HoldfastError:
            pass  # a name on the hub that cannot be had: the given base stands in for it
    if notes is not None:
        notes.append(f"{folder} was made on {recorded!r}, which is not available here; it is loaded on {given}.")
    return _base(given, notes, how), given


def _base(name: str, notes: list[str] | None, how: dict[str, Any]) -> CrossEncoderReranker | BiEncoderReranker:
    """Returns the base of an adapter; a base may be an adapter, too."""
    if is_adapter(Path(name).expanduser()):
        return load_reranker(name, notes=notes, **{key: value for key, value in how.items() if key != "new_head"})
    return _whole(name, **how)


def _has_head(folder: Path) -> bool:
    """Returns whether an adapter holds whole modules beside its own, as the head of a cross-encoder is one."""
    return bool(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("modules_to_save"))


def is_adapter(folder: Path) -> bool:
    """Returns whether a folder holds an adapter and no whole model."""
    return (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file()


def recorded_base(folder: Path) -> str:
    """Returns the base that an adapter's config names; raises `HoldfastError` if it names none."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        return str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError) as error:
        raise HoldfastError(
            f"{folder}/adapter_config.json does not name its base (base_model_name_or_path)."
        ) from error
