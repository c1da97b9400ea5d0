"""`--training push_to_hub=true`: the judged model goes to a hub once, at the end, with its card and its certificate.

The trainer itself would push checkpoints that nobody has judged, so these arguments do not reach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError

OURS = ("push_to_hub", "hub_model_id", "hub_private_repo", "hub_revision")
"""Arguments of `training` that a run reads itself."""


def check_push(training: Mapping[str, Any]) -> None:
    """Raises `HoldfastError` for a push without a name, a name without a push, or a token among the options."""
    if "hub_token" in training:
        raise HoldfastError("training: hub_token would stand in spec.json for all to read; set the variable HF_TOKEN.")
    for key in ("hub_strategy", "hub_always_push"):
        if key in training:
            raise HoldfastError(f"training: {key} has no effect: a run pushes its judged model once; leave it out.")
    wanted = bool(training.get("push_to_hub"))
    if wanted and not training.get("hub_model_id"):
        raise HoldfastError("training: push_to_hub needs a name for the model: give hub_model_id=NAME/MODEL too.")
    if given := [key for key in OURS[1:] if key in training and not wanted]:
        raise HoldfastError(f"training: {given[0]} has no effect without push_to_hub=true.")


def unpushed(training: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `training` without what would push a model: that of a trial, which is no result."""
    return {name: value for name, value in training.items() if name not in OURS}


def push(folder: Path, training: Mapping[str, Any]) -> str | None:
    """Uploads the folder of a finished model, and returns its address; None if the options ask for no upload.

    Args:
        folder: Folder of the model, with card and certificate.
        training: The user's `training`.

    Raises:
        HoldfastError: The hub refuses, or cannot be reached; the model stays in its folder.
    """
    if not training.get("push_to_hub"):
        return None
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    name, revision = str(training["hub_model_id"]), training.get("hub_revision")
    api = HfApi()
    try:
        name = api.create_repo(name, private=training.get("hub_private_repo"), exist_ok=True).repo_id
        if revision is not None:
            api.create_branch(name, branch=str(revision), exist_ok=True)
        done = api.upload_folder(
            repo_id=name, folder_path=folder, revision=revision, commit_message="Model, card and certificate"
        )
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise HoldfastError(
            f"The run is done, and {folder} was not pushed to {name} ({type(error).__name__}: {reason}); upload it with"
            f" `hf upload {name} {folder}`."
        ) from error
    return str(done.commit_url)
