"""Published results on the methods, with their conditions, for comparison with measured results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Published:
    """A published figure.

    Attributes:
        method: Name of the method's class; "plain" for full fine-tuning.
        result: What was learned and lost, as published.
        conditions: Model, data, and measure of forgetting.
        source: The paper, or who published it.
    """

    method: str
    result: str
    conditions: str
    source: str


_TABLE = ("one model and task, neither named; accuracy, forgotten (percent), time", "a table that practitioners quote")
_EAFT = "Qwen3-4B, 19k mathematics, full, 10 epochs; mean change of MMLU, IFEval and CLUEWSC"
_TMKL = "Qwen2.5-0.5B on OpenR1-Math, LoRA; perplexity of WikiText-103 and LAMBADA"
_PEFT = "Llama-3.2-3B on MetaMathQA, 5,000 steps; GSM8K accuracy, rise of nats per token on 100 FineWiki texts"

PUBLISHED = (
    Published("plain", "84.3, 32.7, 1x", *_TABLE),
    Published("LoRA", "82.1, 5.2, 0.7x", *_TABLE),
    Published("QLoRA", "81.8, 6.1, 0.6x", *_TABLE),
    Published("FAPM", "83.9, 0.25, 1.23x", *_TABLE),
    Published("TokenForgetting", "86.7, 1.1, 0.9x", *_TABLE),
    Published(
        "Finch",
        "83.3 learned where plain learns 83.5; old tasks +0.1 points where plain loses 9.6",
        "Qwen3-4B, knowledge acquisition; mean of general benchmarks",
        "2605.20005",
    ),
    Published("MaskTheTarget", "perplexity +4% and +2% where LoRA alone has +37% and +42%", _TMKL, "2605.29498"),
    Published("BaseKL", "73% and 71% of LoRA's drift prevented (85 and 94 in another table)", _TMKL, "2605.29498"),
    Published("EWC", "24% and 26% of LoRA's drift prevented", _TMKL, "2605.29498"),
    Published("BaseL2", "14% and 17% of LoRA's drift prevented", _TMKL, "2605.29498"),
    Published(
        "FAPM",
        "0.25% forgotten, 99.67% of the accuracy kept",
        "Llama-3-8B and Qwen2, full; eight data sets",
        "2509.08255",
    ),
    Published(
        "TokenForgetting",
        "46.9 to 52.2 in the mean of benchmarks (no figure on forgetting)",
        "Llama 3B on 50k of Tulu, LoRA",
        "2508.04329",
    ),
    Published("EAFT", "-1.0 points where plain has -4.6", _EAFT, "2601.02151"),
    Published("DFT", "-3.0 points where plain has -4.6", _EAFT, "2601.02151 (not its own authors)"),
    Published("FLOW", "-2.0 points where plain has -4.6", _EAFT, "2601.02151 (not its own authors)"),
    Published("TALR", "-4.9 points where plain has -4.6", _EAFT, "2601.02151 (not its own authors)"),
    Published(
        "ASFT",
        "MMLU 46.4 where DFT has 26.7",
        "10k medical questions, 3 epochs",
        "2509.23753",
    ),
    Published(
        "LowPerplexity",
        "old tasks +0.4% where plain loses 38.2%",
        "Gemma-2-2B on MBPP",
        "2501.14315",
    ),
    Published(
        "Rehearsal",
        "1% of pretraining text is enough to keep old knowledge, at no cost on the target",
        "GPT-2-like models of 41M to 1.27B, twelve domains; loss on pretraining text",
        "2502.06042",
    ),
    Published("LoRA", "47.8% accuracy, +0.050 nats (plain at a low rate: 47.2%, +0.030)", _PEFT, "PEFT's comparison"),
    Published("DoRA", "46.9% accuracy, +0.051 nats", _PEFT, "PEFT's comparison"),
    Published("OFT", "49.1% accuracy, +0.041 nats", _PEFT, "PEFT's comparison"),
    Published("OSF", "42.7% accuracy, +0.017 nats", _PEFT, "PEFT's comparison"),
    Published("AdaLoRA", "37.3% accuracy, +0.022 nats", _PEFT, "PEFT's comparison"),
    Published("VeRA", "35.4% accuracy, +0.099 nats", _PEFT, "PEFT's comparison"),
)


def published(names: Sequence[str]) -> list[Published]:
    """Returns the published results on methods, in the order of the names; those of one name in the order above."""
    return [figure for name in dict.fromkeys(names) for figure in PUBLISHED if figure.method == name]
