"""The card of a run's model, README.md: what was done and measured, for people, with metadata for hubs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import holdfast
from holdfast.bench.given.model_files import BASE, folder_or_name
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import write_atomically
from holdfast.bench.measured.outcome import SuiteRow, VerdictRow
from holdfast.bench.run.adapter_metadata import ADAPTER, add_metadata
from holdfast.bench.run.folder import digests_of
from holdfast.bench.run.proof import CARD, FILE
from holdfast.bench.run.record import RunRecord
from holdfast.core.budget import Budget
from holdfast.core.method import Chain
from holdfast.methods.docstrings import reference_of

ROLES = {"learned": "to learn", "transfer": "transfer", "retained": "to keep"}
PACKAGE_LICENSE = "apache-2.0"
"""License of the base that the package ships, which is that of the package."""
MOST_RESULTS = 100
"""Most suites in the metadata; the table has all."""


def write_card(folder: Path, spec: RunSpec, recipe: Chain, record: RunRecord, name: str) -> Path:
    """Writes the card of a model into its folder, and the recipe into the file of an adapter.

    Args:
        folder: Folder of the model.
        spec: The options of the run.
        recipe: Its recipe.
        record: Its record.
        name: Name of the model.
    """
    path = folder / CARD
    write_atomically(path, card_text(folder, spec, recipe, record, name))
    return path


def stamp_adapter(folder: Path, spec: RunSpec, recipe: Chain) -> None:
    """Writes the recipe, the base and the data into the metadata of an adapter's file; nothing for whole models."""
    path = folder / ADAPTER
    if path.exists():
        values = {"recipe": repr(recipe), "base": spec.model, "data": spec.data, "seed": str(spec.seed)}
        values |= {"files": json.dumps(digests_of(spec)), "made_by": f"holdfast {holdfast.__version__}"}
        add_metadata(path, {f"holdfast.{key}": value for key, value in values.items()})


def card_text(folder: Path, spec: RunSpec, recipe: Chain, record: RunRecord, name: str) -> str:
    """Returns the card: metadata between two lines of dashes, then the text in Markdown."""
    adapter = (folder / ADAPTER).exists() or (folder / "adapter_config.json").exists()
    license_name = license_of(spec.model)
    metadata = _metadata(spec, record, name, license_name, adapter)
    lines = [
        f"# {_text(name)}",
        "",
        f"{_text(spec.model)} fine-tuned on {_text(spec.data)} with Holdfast {holdfast.__version__}, which measured"
        " what it learned and what it forgot.",
        "",
        *_verdict(record.verdict),
        "## Before and after",
        "",
        *_table(record.suites),
        "",
        "The same items were asked before and after training; intervals are paired, at 95%. Points are percent of right"
        " answers, more is better; nats are per supervised token, less is better.",
        "",
        "## Recipe",
        "",
        *_code(repr(recipe)),
        "",
        *_facts(spec, record, license_name),
        "",
        "## Load it",
        "",
        *_loading(spec.model, adapter),
        "",
        "## Check it",
        "",
        f"`{FILE}` beside the weights holds the digests of the weights, the questions and the answers. This command"
        " asks both models again and says whether the verdict holds:",
        "",
        *_code("holdfast verify .", "bash"),
        "",
        *_citations(recipe),
    ]
    return f"---\n{metadata}\n---\n\n" + "\n".join(lines).rstrip() + "\n"


def license_of(base: str) -> str | None:
    """Returns the license in the card of a base, in lower case as hubs write it; None if it is not known here."""
    if base == BASE:
        return PACKAGE_LICENSE
    path = Path(folder_or_name(base)).expanduser() / CARD
    try:
        front = re.match(r"---\s*\n(.*?)\n---", path.read_text(encoding="utf-8"), re.DOTALL)
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(r"^license:\s*['\"]?([\w.-]+)", front[1], re.MULTILINE) if front else None
    return found[1].lower() if found else None


def _metadata(spec: RunSpec, record: RunRecord, name: str, license_name: str | None, adapter: bool) -> str:
    """Returns the metadata in YAML: base, license, and every measured suite as a result."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=re.sub(r"[^\w./-]+", "-", row.name) or "suite",
            dataset_name=f"{row.name} ({ROLES[row.role]})",
            metric_type="accuracy" if row.unit == "points" else "loss",
            metric_name=f"{'percent right' if row.unit == 'points' else 'nats per token'} ({row.before:.4g} before)",
            metric_value=round(row.after, 4),
        )
        for row in record.suites[:MOST_RESULTS]
    ]
    data = ModelCardData(
        model_name=name or "model",
        base_model=None if Path(spec.model).expanduser().exists() or spec.model == BASE else spec.model,
        license=license_name,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["holdfast", f"verdict:{record.verdict.word.replace(' ', '-')}"] if record.verdict else ["holdfast"],
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _verdict(judged: VerdictRow | None) -> list[str]:
    """Returns the verdict with its bounds, and the smallest loss that the items could show."""
    if judged is None:
        return ["No budget was given, so there is no verdict.", ""]
    budget = Budget(points=judged.limits.get("points"), nll=judged.limits.get("nats"))
    lines = [f"**Verdict: {judged.word}**, under a budget of {budget}."]
    for mean in judged.means:
        ends = "" if mean.low is None else f" (95% interval {mean.low:+.3g} to {mean.high:+.3g})"
        floor = "" if mean.floor is None else f"; noise floor: a loss below {mean.floor:.2g} {mean.unit} would not show"
        lines.append(f"Mean of {mean.suite_count} suites: {mean.change:+.3g} {mean.unit}{ends}{floor}.")
    if forgot := [name for name, suite in judged.suites.items() if suite.word == "forgot"]:
        lines.append(f"Certainly too much was lost in {', '.join(map(_text, forgot))}.")
    return ["\n".join(lines), ""]


def _table(rows: Sequence[SuiteRow]) -> list[str]:
    lines = ["| suite | role | items | before | after | change | unit |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        places = 1 if row.unit == "points" else 3
        ends = "" if row.low is None else f" [{row.low:+.{places}f}, {row.high:+.{places}f}]"
        cells = [_text(row.name), ROLES[row.role], f"{row.items:,}", f"{row.before:.{places}f}"]
        cells += [f"{row.after:.{places}f}", f"{row.change:+.{places}f}{ends}", row.unit]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _facts(spec: RunSpec, record: RunRecord, license_name: str | None) -> list[str]:
    """Returns a line for each fact about the run."""
    licensed = license_name or "not known here; look it up before you pass this model on"
    facts = {
        "Base": f"{_text(spec.model)} (license: {licensed})",
        "Data": _with_digest(spec.data, digests_of(spec)),
        "Old examples": ", ".join(_with_digest(path, digests_of(spec)) for path in spec.memories().values()),
        "To keep": ", ".join(map(_text, spec.keep)),
        "Seed": str(spec.seed),
        "Steps": f"{record.steps:,}",
        "Trained parameters": f"{record.trained_parameters:,} of {record.parameters:,}",
    }
    return [f"- {key}: {value}" for key, value in facts.items() if value]


def _with_digest(source: str, digests: Mapping[str, str]) -> str:
    return _text(source) + (f" (SHA-256 begins with {digests[source]})" if source in digests else "")


def _loading(base: str, adapter: bool) -> list[str]:
    kind, library = ("AutoPeftModelForCausalLM", "peft") if adapter else ("AutoModelForCausalLM", "transformers")
    lines = [f"from {library} import {kind}", "", f"model = {kind}.from_pretrained(folder)"]
    about = [f"The folder holds an adapter on {_text(base)}:", ""] if adapter else []
    return [*about, *_code("\n".join(lines), "python")]


def _citations(recipe: Chain) -> list[str]:
    """Returns the sources of the methods of a recipe."""
    cited = {type(method).__name__: reference_of(type(method)) for method in recipe.methods}
    lines = [f"- {name}: {_text(text)}" for name, text in cited.items() if text]
    return ["## Sources of the methods", "", *lines] if lines else []


def _code(text: str, language: str = "") -> list[str]:
    """Returns a block of code whose fence is longer than any in the text."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def _text(text: Any) -> str:
    """Returns a text of the data on one line, in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(text).split()))
