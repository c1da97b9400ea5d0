"""Rules on the data: how much to rehearse and from where, what is wrong with rows, and what to measure."""

from __future__ import annotations

from holdfast.bench.measured.power import FLIPS, REAL_FLIPS, flips_of
from holdfast.bench.plan.evidence import REAL, STUDY, Figure, Rule
from holdfast.bench.plan.situation import Situation
from holdfast.methods.prompts import PROMPTS
from holdfast.methods.rehearsal.prompt_rehearsal import PromptRehearsal
from holdfast.methods.rehearsal.refusal_rehearsal import RefusalRehearsal
from holdfast.probes.score import for_stats, in_unit
from holdfast.stats.power import items_needed

NOISY, COPIES, FEW_ROWS = 0.1, 0.05, 100
WRITTEN = 1000

REHEARSAL: tuple[Rule[Situation], ...] = (
    Rule(
        "half of the tokens are old",
        "rehearsal",
        "the user gives old examples, or the model has fewer than 100M parameters",
        lambda case: case.old or case.small,
        "a share of {value} of the learned tokens is old, with a penalty to the base on them",
        "measured here",
        STUDY,
        value=lambda case: 0.5,
        because="a fifth without the penalty is not enough on language and labels",
        figures=(
            Figure("language", "Holdfast(memory='old')", 91.0, 5.9),
            Figure("language", "Rehearsal(memory='old', ratio=0.2)", 86.7, 36.1),
            Figure("labels", "Holdfast(memory='old')", 99.7, 3.4),
            Figure("labels", "Rehearsal(memory='old', ratio=0.2)", 99.8, 6.6),
        ),
    ),
    Rule(
        "rehearse 5 to 20%",
        "rehearsal",
        "always",
        lambda case: True,
        "5 to 20% old examples",
        "folk",
        "practitioners",
        standing="mixed",
        because="a fifth is enough for facts and science here, and not for a language",
        figures=(
            Figure("people", "Rehearsal(memory='old', ratio=0.2)", 95.0, 4.2),
            Figure("science", "Rehearsal(memory='old', ratio=0.2)", 88.5, 3.3),
            Figure("language", "Rehearsal(memory='old', ratio=0.2)", 86.7, 36.1),
        ),
    ),
    Rule(
        "1% of old text is enough",
        "rehearsal",
        "always",
        lambda case: True,
        "1% old text",
        "published",
        "arXiv 2502.06042",
        standing="contradicted",
        because="it saves nothing on labels and language here; near what the base knows and at a low rate it holds",
        figures=(
            Figure("labels", "Rehearsal(memory='old', ratio=0.01)", 100.0, 11.1),
            Figure("labels", "plain", 99.8, 10.8),
            Figure("language", "Rehearsal(memory='old', ratio=0.01)", 86.5, 71.9),
        ),
    ),
)

OLD_EXAMPLES: tuple[Rule[Situation], ...] = (
    Rule(
        "the old examples that you have",
        "old examples",
        "the user gives old examples",
        lambda case: case.old,
        "rehearse your own old examples",
        "measured here",
        STUDY,
        value=lambda case: "given",
        because="with them Holdfast loses least; ours are of the kind that the base was taught",
        figures=(Figure("people", "Holdfast(memory='old')", 96.0, 1.7),),
    ),
    Rule(
        "the base writes them",
        "old examples",
        "the user gives none, and the model has fewer than 100M parameters",
        lambda case: not case.old and case.small,
        "the base writes {value} examples before training; give --memory if you have some",
        "measured here",
        STUDY,
        value=lambda case: WRITTEN,
        because="text by the base is worth nearly as much as old documents",
        figures=(Figure("people", "Holdfast()", 95.0, 2.7), Figure("labels", "Holdfast()", 99.7, 2.6)),
    ),
    Rule(
        "samples of the model rehearse nearly as well as real data",
        "old examples",
        "the user gives none",
        lambda case: not case.old,
        "let the model write what it rehearses",
        "published",
        "arXiv 2605.26097",
        standing="confirmed",
        because="on the tasks of our study, with a penalty to the base on them",
        figures=(Figure("people", "Holdfast()", 95.0, 2.7), Figure("people", "SelfRehearsal()", 94.7, 4.0)),
    ),
    Rule(
        "own samples can hurt an instruction model",
        "old examples",
        "the user gives none, and the model has a chat template",
        lambda case: not case.old and case.chat,
        "measure instruction following: training Qwen3-32B on its own samples lowered IFEval",
        "published",
        "On-Policy Distillation, Thinking Machines, 2025",
        standing="not tested",
        because="without a penalty to the base, which Holdfast adds",
    ),
    Rule(
        "a tenth of the tokens are answers of the base",
        "rehearsal",
        "the user gives no old examples, and the model has 100M parameters or more",
        lambda case: not case.old and not case.small,
        "a share of {value} of the learned tokens is what the base answered, with a penalty to the base on it; more if"
        " that is less than one answer for twenty examples",
        "measured here",
        REAL,
        value=lambda case: PromptRehearsal().ratio + (RefusalRehearsal().ratio if case.chat else 0.0),
        because="beside facts and a language Gemma 3 270M loses -1.5 and -2.2 points at a tenth, 4.5 and 1.9 at none;"
        " beside labels of three tokens a tenth, one answer for sixty examples, lost 8.2, and one for twenty 2.1",
    ),
    Rule(
        "the base answers prompts",
        "old examples",
        "the user gives none, and the model has 100M parameters or more",
        lambda case: not case.old and not case.small,
        "the base answers {value} everyday prompts before training (PromptRehearsal()); give --memory if you have some",
        "measured here",
        REAL,
        value=lambda case: len(PROMPTS),
        because="Qwen2.5-Coder 0.5B on harmless facts: of its right answers 20% turn wrong, 17% if it rehearses"
        " refusals alone, 13% with both",
    ),
    Rule(
        "rehearse the model's own refusals",
        "old examples",
        "the model has a chat template and 100M parameters or more",
        lambda case: case.may_refuse,
        "rehearse the refusals of a model that refuses harmful requests (RefusalRehearsal()); keep general:refusals",
        "measured here",
        REAL,
        because="40 requests, Qwen2.5-Coder 0.5B on harmless facts: LoRA takes 72 points of refusals, with its own 5",
    ),
)

DATA: tuple[Rule[Situation], ...] = (
    Rule(
        "take copies out",
        "data",
        "more than a twentieth of the rows repeat an earlier one",
        lambda case: case.copies > COPIES,
        "take the copies out, unless some rows should count more: they are learned by heart first",
        "published",
        "arXiv 2107.06499",
        because="models trained on texts without copies repeat ten times less of them; measured in pretraining",
    ),
    Rule(
        "do not clean too much",
        "data",
        "10 to 22 of 100 rows contradict another row, or a base that knows the data",
        lambda case: NOISY <= case.noise < 0.22,
        "look at the rows that are named; a fifth of wrong answers costs some learning and hardly more forgetting",
        "measured here",
        STUDY,
        because="people with a fifth of the answers wrong, tested on the truth; no weighting of tokens helped",
        figures=(
            Figure("noisy", "plain", 89.0, 48.2),
            Figure("people", "plain", 97.7, 42.6),
            Figure("noisy", "TokenQuality()", 84.0, 37.2),
            Figure("noisy", "EAFT()", 87.0, 43.5),
        ),
    ),
    Rule(
        "15 to 22% of wrong labels are tolerable",
        "data",
        "10 to 22 of 100 rows contradict another row, or a base that knows the data",
        lambda case: NOISY <= case.noise < 0.22,
        "15 to 22% of noisy labels do little harm",
        "folk",
        "practitioners",
        standing="confirmed",
        because="a fifth costs 9 of 98 points of learning here",
        figures=(Figure("noisy", "plain", 89.0, 48.2), Figure("people", "plain", 97.7, 42.6)),
    ),
    Rule(
        "clean the rows first",
        "data",
        "22 of 100 rows or more contradict another row, or a base that knows the data",
        lambda case: case.noise >= 0.22,
        "check the rows that are named before you train: more contradict others or the base than any study tried",
        "folk",
        "practitioners",
        standing="not tested",
    ),
    Rule(
        "very few rows",
        "data",
        "there are fewer than 100 rows",
        lambda case: 0 < case.rows < FEW_ROWS,
        "{value} rows teach little, and few held-out rows measure little; give --test, and look at the answers",
        "folk",
        "a caution of ours",
        value=lambda case: case.rows,
        standing="not tested",
        because="our studies train on 600 rows and more",
    ),
    Rule(
        "the base knows the data already",
        "data",
        "the base finds the data no more surprising than a tenth of a nat per token",
        lambda case: case.surprise is not None and case.surprise < 0.1,
        "the base predicts these rows at {value} nats per token: there is little to learn",
        "folk",
        "a caution of ours",
        value=lambda case: case.surprise,
        standing="not tested",
    ),
)

MEASURE: tuple[Rule[Situation], ...] = (
    Rule(
        "measure what may be lost",
        "measure",
        "nothing is kept",
        lambda case: case.kept == 0,
        "name what the model must not get worse at ({value} comes with the package)",
        "measured here",
        STUDY,
        value=lambda case: "--keep general",
        because="plain training shows nothing of its loss in the training loss",
        figures=(Figure("people", "plain", 97.7, 42.6),),
    ),
    Rule(
        "enough items for the budget",
        "measure",
        "a budget in points is given, and fewer items are kept than prove it, below 100M parameters",
        lambda case: case.small and _lacks_items(case),
        "about {value} kept items in all, so that a verdict under the budget is likely",
        "measured here",
        "docs/studies/verdict-tables.md",
        value=lambda case: _needed(case),
        because=f"with a chance of 80%, if nothing is lost and {in_unit(FLIPS):g} of 100 answers flip",
    ),
    Rule(
        "enough items for the budget of a larger model",
        "measure",
        "a budget in points is given, and fewer items are kept than prove it, from 100M parameters on",
        lambda case: not case.small and _lacks_items(case),
        "about {value} kept items in all, so that a verdict under the budget is likely (general has 2,146 without :N)",
        "measured here",
        REAL,
        value=lambda case: _needed(case),
        because=f"with a chance of 80%, if nothing is lost and {in_unit(REAL_FLIPS):g} of 100 answers flip; three in"
        " four runs that lost 2 points or less flipped fewer",
    ),
    Rule(
        "behaviour before facts",
        "measure",
        "the model has a chat template",
        lambda case: case.chat,
        "keep instructions, format and refusals as well as facts, as in --keep ifeval xstest",
        "published",
        "arXiv 2603.06610",
        standing="not tested",
        because="in models up to 80B behaviour drifts before facts",
    ),
    Rule(
        "weights tell little of forgetting",
        "measure",
        "always",
        lambda case: True,
        "judge by items; the drift that `holdfast diff` shows predicts better than distances of weights",
        "published",
        "arXiv 2509.04259",
        standing="not tested",
        because="KL to the base on the task predicts forgetting with R2 0.96, distances of weights with 0.34 to 0.58",
    ),
)


def _lacks_items(case: Situation) -> bool:
    return bool(case.points) and 0 < case.kept < _needed(case)


def _needed(case: Situation) -> int:
    return items_needed(for_stats(case.points or 1.0), flips_of(case.parameters))


ABOUT_DATA = (*REHEARSAL, *OLD_EXAMPLES, *DATA, *MEASURE)
