"""The part of a verification that asks nothing: the seal, the files of the model, the base's weights and the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from holdfast.bench.given.model_files import LOADED, WORDS
from holdfast.bench.measured.digests import digest_of, folder_digests
from holdfast.bench.run.proof import OURS, ProofRecord, base_digests, seal_of
from holdfast.core.errors import HoldfastError


def read_proof(folder: Path) -> ProofRecord:
    """Returns the certificate of a model.

    Raises:
        HoldfastError: The folder has none, or it cannot be read.
    """
    if not folder.is_dir():
        raise HoldfastError(f"{folder}: no such folder exists; give the folder of a model that Holdfast saved.")
    if not (folder / ProofRecord.FILE).exists():
        inside = folder / "model"
        hint = f"; did you mean {inside}?" if (inside / ProofRecord.FILE).exists() else ""
        raise HoldfastError(f"{folder} has no {ProofRecord.FILE}, so nothing is claimed of this model{hint}")
    return ProofRecord.read(folder)


def wrong_files(folder: Path, proof: ProofRecord) -> list[str]:
    """Returns what differs between a model and its certificate, in sentences; empty if nothing does."""
    reasons = []
    if proof.seal != seal_of(json.loads((folder / ProofRecord.FILE).read_text(encoding="utf-8"))):
        reasons.append("The certificate was changed after it was written: its seal does not fit its content.")
    now = folder_digests(folder, leave_out=OURS)
    reasons += _differences(proof.files, now, "of the model")
    return reasons


def wrong_base(proof: ProofRecord, base: str) -> list[str]:
    """Returns what differs between the base and the certificate; empty if nothing does, or nothing can be compared."""
    now = base_digests(base) if proof.base_files else {}
    return _differences(proof.base_files, now, f"of the base {base}") if now else []


def wrong_record(folder: Path, proof: ProofRecord) -> tuple[list[str], bool]:
    """Returns what differs between the record beside the folder and the certificate, and whether there is a record."""
    path = folder.parent / proof.record_file
    if not path.exists():
        return [], False
    try:
        same = digest_of(json.loads(path.read_text(encoding="utf-8"))) == proof.record
    except (OSError, ValueError):
        same = False
    return [] if same else [f"{path} is not the record that the certificate was made from."], True


def _differences(then: Mapping[str, str], now: Mapping[str, str], whose: str) -> list[str]:
    changed = sorted(name for name in then if name in now and now[name] != then[name])
    gone = sorted(name for name in then if name not in now)
    added = sorted(name for name in now if name not in then and (name.endswith(LOADED) or name in WORDS))
    texts = {"was changed": changed, "is missing": gone, "was added": added}
    return [
        f"{', '.join(names)} {whose} {text if len(names) == 1 else text.replace('was', 'were').replace('is ', 'are ')}."
        for text, names in texts.items()
        if names
    ]
