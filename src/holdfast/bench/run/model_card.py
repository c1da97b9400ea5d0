"""The card of a model, README.md: what was done and measured, for people, with metadata for hubs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import holdfast
from holdfast.bench.given.model_files import BASE, RERANKER, folder_or_name
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import write_atomically
from holdfast.bench.measured.outcome import Outcome, SuiteRow, VerdictRow
from holdfast.bench.run.adapter_metadata import ADAPTER, add_metadata
from holdfast.bench.run.folder import digests_of
from holdfast.bench.run.proof import CARD, FILE
from holdfast.bench.run.record import RunRecord
from holdfast.core.method import Chain
from holdfast.methods.docstrings import reference_of

ROLES = {"learned": "to learn", "transfer": "transfer", "retained": "to keep"}
PACKAGE_LICENSE = "apache-2.0"
"""License of the base that the package ships, which is that of the package."""
MOST_RESULTS = 100
"""Most suites in the metadata; the table has all."""


@dataclasses.dataclass(frozen=True)
class Card:
    """What a card says beside the measured figures.

    Attributes:
        name: Name of the model.
        base: Name of its base.
        about: What was done, in a sentence.
        record: The record with the figures and the verdict.
        made: Lines of the section on how the model was made.
        facts: Further facts by name.
        adapter: Whether the folder holds an adapter.
        ranks: Whether the model ranks documents.
        sources: Lines of the section on the sources of the methods.
    """

    name: str
    base: str
    about: str
    record: Outcome
    made: Sequence[str]
    facts: Mapping[str, str]
    adapter: bool
    ranks: bool = False
    sources: Sequence[str] = ()


def write_card(folder: Path, card: Card) -> Path:
    """Writes a card into the folder of its model, and returns the file."""
    path = folder / CARD
    write_atomically(path, card_text(card))
    return path


def is_adapter_folder(folder: Path) -> bool:
    """Returns whether a folder holds an adapter."""
    return (folder / ADAPTER).exists() or (folder / "adapter_config.json").exists()


def card_of_run(
    folder: Path, spec: RunSpec, recipe: Chain, record: RunRecord, keep: Sequence[str], *, ranks: bool
) -> Card:
    """Returns the card of a run's model.

    Args:
        folder: Folder of the model.
        spec: The options of the run.
        recipe: Its recipe.
        record: Its record.
        keep: Sources of what it keeps.
        ranks: Whether it ranks documents.
    """
    facts = {
        "Data": _with_digest(spec.data, digests_of(spec)),
        "Old examples": ", ".join(_with_digest(path, digests_of(spec)) for path in spec.memories().values()),
        "To keep": ", ".join(map(plain_text, keep)),
        "Loss": spec.loss if ranks else "",
        "Seed": str(spec.seed),
        "Steps": f"{record.steps:,}",
        "Trained parameters": f"{record.trained_parameters:,} of {record.parameters:,}",
    }
    return Card(
        name=folder.parent.name,
        base=spec.model,
        about=f"{plain_text(spec.model)} fine-tuned on {plain_text(spec.data)} with Holdfast {holdfast.__version__},"
        " which measured what it learned and what it forgot.",
        record=record,
        made=["## Recipe", "", *code_block(repr(recipe))],
        facts=facts,
        adapter=is_adapter_folder(folder),
        ranks=ranks,
        sources=_citations(recipe),
    )


def stamp_adapter(folder: Path, spec: RunSpec, recipe: Chain) -> None:
    """Writes the recipe, the base and the data into the metadata of an adapter's file; nothing for whole models."""
    path = folder / ADAPTER
    if path.exists():
        values = {"recipe": repr(recipe), "base": spec.model, "data": spec.data, "seed": str(spec.seed)}
        values |= {"files": json.dumps(digests_of(spec)), "made_by": f"holdfast {holdfast.__version__}"}
        add_metadata(path, {f"holdfast.{key}": value for key, value in values.items()})


def card_text(card: Card) -> str:
    """Returns a card: metadata between two lines of dashes, then the text in Markdown."""
    license_name = license_of(card.base)
    licensed = license_name or "not known here; look it up before you pass this model on"
    facts = {"Base": f"{plain_text(card.base)} (license: {licensed})", **card.facts}
    points = "nDCG@10 in percent" if card.ranks else "percent of right answers"
    lines = [
        f"# {plain_text(card.name)}",
        "",
        card.about,
        "",
        *_verdict(card.record.verdict),
        "## Before and after",
        "",
        *_table(card.record.suites),
        "",
        f"The same items were asked before and after training; intervals are paired, at 95%. Points are {points}, more"
        " is better; nats are per supervised token, less is better.",
        "",
        *card.made,
        "",
        *(f"- {key}: {value}" for key, value in facts.items() if value),
        "",
        "## Load it",
        "",
        *_loading(card),
        "",
        "## Check it",
        "",
        f"`{FILE}` beside the weights holds the digests of the weights, the questions and the answers. This command"
        " asks both models again and says whether the verdict holds:",
        "",
        *code_block("holdfast verify .", "bash"),
        "",
        *card.sources,
    ]
    return f"---\n{_metadata(card, license_name)}\n---\n\n" + "\n".join(lines).rstrip() + "\n"


def license_of(base: str) -> str | None:
    """Returns the license in the card of a base, in lower case as hubs write it; None if it is not known here."""
    if base in (BASE, RERANKER):
        return PACKAGE_LICENSE
    path = Path(folder_or_name(base)).expanduser() / CARD
    try:
        front = re.match(r"---\s*\n(.*?)\n---", path.read_text(encoding="utf-8-sig"), re.DOTALL)
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(r"^license:\s*['\"]?([\w.-]+)", front[1], re.MULTILINE) if front else None
    return found[1].lower() if found else None


def _metadata(card: Card, license_name: str | None) -> str:
    """Returns the metadata in YAML: base, license, and every measured suite as a result."""
    from huggingface_hub import EvalResult, ModelCardData

    task = "text-ranking" if card.ranks else "text-generation"
    metric, unit = ("ndcg_at_10", "nDCG@10 in percent") if card.ranks else ("accuracy", "percent right")
    results = [
        EvalResult(
            task_type=task,
            dataset_type=re.sub(r"[^\w./-]+", "-", row.name) or "suite",
            dataset_name=f"{row.name} ({ROLES[row.role]})",
            metric_type=metric if row.unit == "points" else "loss",
            metric_name=f"{unit if row.unit == 'points' else 'nats per token'} ({row.before:.4g} before)",
            metric_value=round(row.after, 4),
        )
        for row in card.record.suites[:MOST_RESULTS]
    ]
    verdict, local = card.record.verdict, Path(card.base).expanduser().exists() or card.base in (BASE, RERANKER)
    whole = "sentence-transformers" if card.ranks else "transformers"
    data = ModelCardData(
        model_name=card.name or "model",
        base_model=None if local else card.base,
        license=license_name,
        library_name="peft" if card.adapter else whole,
        pipeline_tag=task,
        tags=["holdfast", f"verdict:{verdict.word.replace(' ', '-')}"] if verdict else ["holdfast"],
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _verdict(judged: VerdictRow | None) -> list[str]:
    """Returns the verdict with its bounds, and the smallest loss that the items could show."""
    if judged is None:
        return ["No budget was given, so there is no verdict.", ""]
    lines = [f"**Verdict: {judged.word}**, under a budget of {judged.allowed}."]
    for mean in judged.means:
        ends = "" if mean.low is None else f" (95% interval {mean.low:+.3g} to {mean.high:+.3g})"
        floor = "" if mean.floor is None else f"; noise floor: a loss below {mean.floor:.2g} {mean.unit} would not show"
        lines.append(f"Mean of {mean.suite_count} suites: {mean.change:+.3g} {mean.unit}{ends}{floor}.")
    if forgot := [name for name, suite in judged.suites.items() if suite.word == "forgot"]:
        lines.append(f"Certainly too much was lost in {', '.join(map(plain_text, forgot))}.")
    return ["\n".join(lines), ""]


def _table(rows: Sequence[SuiteRow]) -> list[str]:
    lines = ["| suite | role | items | before | after | change | unit |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        places = 1 if row.unit == "points" else 3
        ends = "" if row.low is None else f" [{row.low:+z.{places}f}, {row.high:+z.{places}f}]"
        cells = [plain_text(row.name), ROLES[row.role], f"{row.items:,}", f"{row.before:.{places}f}"]
        cells += [f"{row.after:.{places}f}", f"{row.change:+z.{places}f}{ends}", row.unit]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _with_digest(source: str, digests: Mapping[str, str]) -> str:
    return plain_text(source) + (f" (SHA-256 begins with {digests[source]})" if source in digests else "")


def _loading(card: Card) -> list[str]:
    task = "SequenceClassification" if card.ranks else "CausalLM"
    if card.adapter:
        lines = [f"from peft import AutoPeftModelFor{task}", ""]
        lines += [f"model = AutoPeftModelFor{task}.from_pretrained(folder)"]
    elif card.ranks:
        lines = ["from sentence_transformers import CrossEncoder", "", "model = CrossEncoder(folder)"]
    else:
        lines = [f"from transformers import AutoModelFor{task}", ""]
        lines += [f"model = AutoModelFor{task}.from_pretrained(folder)"]
    about = [f"The folder holds an adapter on {plain_text(card.base)}:", ""] if card.adapter else []
    return [*about, *code_block("\n".join(lines), "python")]


def _citations(recipe: Chain) -> list[str]:
    """Returns the sources of the methods of a recipe."""
    cited = {type(method).__name__: reference_of(type(method)) for method in recipe.methods}
    lines = [f"- {name}: {plain_text(text)}" for name, text in cited.items() if text]
    return ["## Sources of the methods", "", *lines] if lines else []


def code_block(text: str, language: str = "") -> list[str]:
    """Returns a block of code whose fence is longer than any in the text."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def plain_text(text: Any) -> str:
    """Returns a text of the data on one line, in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(text).split()))
