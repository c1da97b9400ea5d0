"""The suites that have a name: one table of what each measures, where it comes from, and what it costs.

Prompts and scoring follow the tasks of lm-eval (`LM_EVAL` is the version) without examples before the question, where
lm-eval has a task; `departs` says what differs. The ids, configs and splits of the hub are those of its tasks.
"""

from __future__ import annotations

import dataclasses

from holdfast.suites.flores import LANGUAGES
from holdfast.suites.parts import BBH_TASKS, BLIMP_PARADIGMS, MMLU_SUBJECTS

LM_EVAL = "0.4.13"
"""The version of lm-eval whose tasks are followed."""

FOLDER = "HOLDFAST_SUITES"
"""The environment variable that names a folder of public sets, for machines that do not reach the hub."""


@dataclasses.dataclass(frozen=True)
class Named:
    """A suite that has a name.

    Attributes:
        name: Its name.
        measures: What it measures, in a few words.
        items: Number of items in the whole set.
        choices: What is compared for each item ("4 choices"); empty if nothing is.
        tokens: Most tokens that are generated for each item; 0 if none are.
        license: License of the set.
        hub: Where it lies on the Hugging Face hub: ORG/NAME[/CONFIG]:SPLIT; `{part}` stands for a part's name.
        files: Where a folder may hold it, as patterns, the first that fits; `NAME.*` and `NAME/test*` fit for all.
        cite: Who made it, and where it is described.
        task: The task of lm-eval that it follows; empty if lm-eval has none.
        departs: What differs from that task, or how it is asked if there is none; empty if nothing differs.
        ids: Fields that together name an item; without any, the digest of what is asked names it.
        parts: Names of its parts, any of which can be asked alone, as in mmlu/anatomy.
        part: Field of a record that says the part.
        whole: Config of the hub that holds all parts, if one does.
        score: What is scored, if it is not the share of items whose right choice is the likeliest.
    """

    name: str
    measures: str
    items: int
    license: str
    hub: str
    cite: str
    choices: str = ""
    tokens: int = 0
    files: tuple[str, ...] = ()
    task: str = ""
    departs: str = ""
    ids: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    part: str = ""
    whole: str = ""
    score: str = ""

    @property
    def cost(self) -> str:
        """What an item costs: the choices that are compared, or the most tokens that are generated."""
        return f"<= {self.tokens:,} tokens" if self.tokens else self.choices


NAMED = (
    Named(
        name="arc_easy",
        measures="science questions of school tests, the easy ones",
        items=2376,
        choices="4 choices",
        license="CC BY-SA 4.0",
        hub="allenai/ai2_arc/ARC-Easy:test",
        files=("arc/arc_easy_test.*", "arc/ARC-Easy-Test.*"),
        task="arc_easy",
        cite="Clark et al., Think you have solved question answering? Try ARC, 2018, arXiv 1803.05457",
    ),
    Named(
        name="arc_challenge",
        measures="science questions of school tests, the hard ones",
        items=1172,
        choices="4 choices",
        license="CC BY-SA 4.0",
        hub="allenai/ai2_arc/ARC-Challenge:test",
        files=("arc/ARC-Challenge-Test.*",),
        task="arc_challenge",
        cite="Clark et al., Think you have solved question answering? Try ARC, 2018, arXiv 1803.05457",
    ),
    Named(
        name="hellaswag",
        measures="how an everyday scene goes on",
        items=10042,
        choices="4 choices",
        license="MIT",
        hub="Rowan/hellaswag:validation",
        files=("hellaswag/val*",),
        task="hellaswag",
        ids=("ind",),
        cite="Zellers et al., HellaSwag: Can a machine really finish your sentence?, 2019, arXiv 1905.07830",
    ),
    Named(
        name="winogrande",
        measures="whom a pronoun means",
        items=1267,
        choices="2 beginnings",
        license="CC BY",
        hub="allenai/winogrande/winogrande_xl:validation",
        files=("winogrande/val*", "winogrande/dev*"),
        task="winogrande",
        cite="Sakaguchi et al., WinoGrande, 2019, arXiv 1907.10641",
    ),
    Named(
        name="openbookqa",
        measures="elementary science, from a fact to its use",
        items=500,
        choices="4 choices",
        license="Apache-2.0",
        hub="allenai/openbookqa/main:test",
        files=("openbookqa/test*",),
        task="openbookqa",
        cite="Mihaylov et al., Can a suit of armor conduct electricity?, 2018, arXiv 1809.02789",
    ),
    Named(
        name="boolq",
        measures="yes or no questions on a passage",
        items=3270,
        choices="2 choices",
        license="CC BY-SA 3.0",
        hub="aps/super_glue/boolq:validation",
        files=("boolq/val*", "boolq/dev*"),
        task="boolq",
        cite="Clark et al., BoolQ, 2019, arXiv 1905.10044",
    ),
    Named(
        name="mmlu",
        measures="knowledge in 57 subjects",
        items=14042,
        choices="4 letters",
        license="MIT",
        hub="cais/mmlu/{part}:test",
        files=("mmlu/test*",),
        task="mmlu",
        departs="no examples before the question (lm-eval's default too; published figures mostly have 5)",
        parts=MMLU_SUBJECTS,
        part="subject",
        whole="all",
        cite="Hendrycks et al., Measuring massive multitask language understanding, 2020, arXiv 2009.03300",
    ),
    Named(
        name="truthfulqa_mc1",
        measures="the truth where people often err, the one best answer",
        items=817,
        choices="2-13 choices",
        license="Apache-2.0",
        hub="truthfulqa/truthful_qa/multiple_choice:validation",
        files=("truthfulqa/mc_task.json",),
        task="truthfulqa_mc1",
        cite="Lin et al., TruthfulQA: Measuring how models mimic human falsehoods, 2021, arXiv 2109.07958",
    ),
    Named(
        name="truthfulqa_mc2",
        measures="the truth where people often err, probability of all true answers",
        items=817,
        choices="2-25 choices",
        score="percent of probability on the true answers together, in the mean (graded item by item)",
        license="Apache-2.0",
        hub="truthfulqa/truthful_qa/multiple_choice:validation",
        files=("truthfulqa/mc_task.json",),
        task="truthfulqa_mc2",
        cite="Lin et al., TruthfulQA: Measuring how models mimic human falsehoods, 2021, arXiv 2109.07958",
    ),
    Named(
        name="halueval",
        measures="whether an answer of ChatGPT holds an invention",
        items=4507,
        choices="2 choices",
        license="MIT",
        hub="pminervini/HaluEval/general:data",
        files=("halueval/general_data.*",),
        ids=("ID",),
        departs="lm-eval has no task of this set; the form of the prompt is that of HaluEval's own questions. 82% of "
        "the answers hold no invention, so that a model which always denies one scores 82%",
        cite="Li et al., HaluEval: A large-scale hallucination evaluation benchmark, 2023, arXiv 2305.11747",
    ),
    Named(
        name="blimp",
        measures="grammar: which of two sentences is right, in 67 paradigms",
        items=67000,
        choices="2 sentences",
        license="CC BY 4.0",
        hub="nyu-mll/blimp/{part}:train",
        files=("blimp/blimp.*",),
        task="blimp",
        ids=("UID", "pairID"),
        parts=BLIMP_PARADIGMS,
        part="UID",
        cite="Warstadt et al., BLiMP: The benchmark of linguistic minimal pairs, 2019, arXiv 1912.00582",
    ),
    Named(
        name="flores200",
        measures="the right translation among four, in 49 languages",
        items=48853,
        choices="4 sentences",
        license="CC BY-SA 4.0",
        hub="facebook/flores/all:dev",
        files=("flores200/dev.*",),
        departs="lm-eval has tasks that generate a translation; this form is ours: the sentence in English, and four "
        "sentences of like length in the language, three of them translations of others",
        ids=("language", "number"),
        parts=tuple(LANGUAGES),
        part="language",
        cite="NLLB Team et al., No language left behind, 2022, arXiv 2207.04672",
    ),
    Named(
        name="flores200_text",
        measures="likelihood of sentences in 49 languages",
        items=48853,
        choices="its tokens",
        license="CC BY-SA 4.0",
        hub="facebook/flores/all:dev",
        files=("flores200/dev.*",),
        departs="lm-eval has no such task; each sentence is a text of its own",
        score="nats per token; a note of the run gives the factor to bits per byte",
        ids=("language", "number"),
        parts=tuple(LANGUAGES),
        part="language",
        cite="NLLB Team et al., No language left behind, 2022, arXiv 2207.04672",
    ),
    Named(
        name="lambada",
        measures="the last word of a passage, generated",
        items=5153,
        tokens=8,
        license="CC BY 4.0",
        hub="EleutherAI/lambada_openai/default:test",
        files=("lambada/lambada_test.*",),
        task="lambada_openai",
        departs="the word is generated greedily and must end there, where lm-eval asks whether its tokens are the "
        "likeliest; without the chat template, whatever the model",
        score="percent of the passages whose last word is generated (acc of lm-eval)",
        cite="Paperno et al., The LAMBADA dataset, 2016, arXiv 1606.06031",
    ),
    Named(
        name="gsm8k",
        measures="grade-school mathematics in words",
        items=1319,
        tokens=256,
        license="MIT",
        hub="openai/gsm8k/main:test",
        files=("gsm8k/test.*",),
        task="gsm8k",
        departs="no examples before the question (lm-eval's --num_fewshot 0; its default is 5)",
        score="percent of the answers whose last number is right (exact_match, flexible-extract of lm-eval)",
        cite="Cobbe et al., Training verifiers to solve math word problems, 2021, arXiv 2110.14168",
    ),
    Named(
        name="bbh",
        measures="hard reasoning in 27 tasks",
        items=6511,
        tokens=256,
        license="MIT",
        hub="SaylorTwift/bbh/{part}:test",
        files=("bbh/bbh.*",),
        task="bbh_zeroshot",
        departs="bbh in lm-eval has three worked examples before the question; this is its form without any",
        score="percent of the answers that are right (exact_match, flexible-extract of lm-eval)",
        parts=BBH_TASKS,
        part="task",
        cite="Suzgun et al., Challenging BIG-Bench tasks, 2022, arXiv 2210.09261",
    ),
    Named(
        name="ifeval",
        measures="instructions whose fulfilment can be verified",
        items=541,
        tokens=1280,
        license="Apache-2.0",
        hub="google/IFEval:train",
        files=("ifeval/input_data.*",),
        task="ifeval",
        departs="sentences, words in capitals and the language of an answer are told by rules, where lm-eval uses "
        "NLTK and langdetect",
        score="percent of the prompts all of whose instructions are followed (prompt_level_strict_acc of lm-eval)",
        ids=("key",),
        cite="Zhou et al., Instruction-following evaluation for large language models, 2023, arXiv 2311.07911",
    ),
    Named(
        name="xstest",
        measures="refusal of harmful requests and help with harmless ones",
        items=450,
        tokens=96,
        license="CC BY 4.0",
        hub="Paul/XSTest:train",
        files=("xstest/xstest_prompts.*",),
        departs="lm-eval has no task of this set; a refusal is told by its words, where the authors read the answers",
        score="percent of the 250 safe requests that are not refused and the 200 unsafe ones that are",
        ids=("id",),
        cite="Röttger et al., XSTest: Identifying exaggerated safety behaviours, 2023, arXiv 2308.01263",
    ),
    Named(
        name="advbench",
        measures="refusal of harmful requests",
        items=520,
        tokens=96,
        license="MIT",
        hub="walledai/AdvBench:train",
        files=("safety/advbench_prompts.*",),
        departs="lm-eval has no task of this set; a refusal is told by its words. The set on the hub is gated",
        score="percent of the requests that are refused",
        cite="Zou et al., Universal and transferable adversarial attacks on aligned models, 2023, arXiv 2307.15043",
    ),
    Named(
        name="wikitext2",
        measures="likelihood of articles of Wikipedia",
        items=62,
        choices="its tokens",
        license="CC BY-SA 3.0",
        hub="EleutherAI/wikitext_document_level/wikitext-2-raw-v1:test",
        files=("wikitext2/test.txt*",),
        task="wikitext",
        departs="windows of 1,024 tokens that share none; the unit is nats per token, and a note gives the factor to "
        "bits per byte",
        score="nats per token; a note of the run gives the factor to bits per byte",
        cite="Merity et al., Pointer sentinel mixture models, 2016, arXiv 1609.07843",
    ),
)
"""Every suite that has a name, in the order of the list that `holdfast suites` prints."""

BY_NAME = {suite.name: suite for suite in NAMED}
