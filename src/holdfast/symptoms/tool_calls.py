"""Tool calls that disappear or become malformed, where tools are offered."""

from __future__ import annotations

import json
import re
from typing import Literal

from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.shares import share_lost, share_rises
from holdfast.symptoms.symptom import Measured

Call = Literal["none", "malformed", "valid"]
_ATTEMPT = re.compile(r"<\|?tool_call|\[TOOL_CALLS\]|\"(?:name|function|arguments|parameters)\"\s*:|<function=")
FEWEST = 5
"""Fewest calls of the base of which a share can be lost."""


def call_in(text: str, tools: tuple[str, ...]) -> Call:
    """Returns whether a text calls a tool: an object of JSON with the name of an offered tool and its arguments.

    "malformed" is a call that does not parse, names no offered tool, or has no object of arguments.
    """
    decoder = json.JSONDecoder()
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict):
            continue
        value = value["function"] if isinstance(value.get("function"), dict) else value
        if value.get("name") in tools and isinstance(value.get("arguments", value.get("parameters")), dict):
            return "valid"
    return "malformed" if _ATTEMPT.search(text) else "none"


def tool_calls_lost(evidence: Evidence) -> Measured | str:
    """Measures the share of the base's tool calls where the tuned model calls none, well-formed or not."""
    pairs = _with_tools(evidence)
    if isinstance(pairs, str):
        return pairs
    if (calls := sum(_calls(pair, pair.before) for pair in pairs)) < FEWEST:
        return f"the base calls a tool in {calls} answers; {FEWEST} are needed"
    return share_lost(pairs, _calls, "tool calls", "are gone")


def malformed_calls(evidence: Evidence) -> Measured | str:
    """Measures the share of answers with a malformed tool call, where tools are offered."""
    pairs = _with_tools(evidence)
    if isinstance(pairs, str):
        return pairs
    return share_rises(
        pairs,
        lambda pair, reply: call_in(reply.text, pair.tools or ()) == "malformed",
        "answers where tools are offered",
        "hold a malformed call",
    )


def _calls(pair: Pair, reply: Reply) -> bool:
    return call_in(reply.text, pair.tools or ()) != "none"


def _with_tools(evidence: Evidence) -> list[Pair] | str:
    pairs = [pair for pair in evidence.retained if pair.tools]
    if pairs:
        return pairs
    unknown = any(pair.tools is None for pair in evidence.retained)
    return "whether tools were offered is not known" if unknown else "no item offers tools"
