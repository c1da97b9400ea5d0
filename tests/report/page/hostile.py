"""Twenty texts that try to become markup, script, template or layout, and records that hold them everywhere."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from holdfast.bench.machine.files import append_jsonl, write_json
from holdfast.bench.measured.scores import read_scores, write_scores
from tests.bench.comparison import guard, write

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 2</script>",
    "</style><img src=x onerror='window.pwned = 3'>",
    "\"><img src=x onerror=window.pwned=4>",
    "' onmouseover='window.pwned = 5",
    "</bdi></td></table><iframe srcdoc='<script>parent.pwned = 6</script>'></iframe>",
    "<svg/onload=window.pwned=7>",
    "<a href='javascript:window.pwned=8'>click</a>",
    "{{ 7 * 7 }}{% for x in page.parts %}{{ x }}{% endfor %}{# gone #}",
    "${window.pwned = 10} #{window.pwned} <%= window.pwned %>",
    "<!-- --><![CDATA[ <script>window.pwned = 11</script> ]]>",
    "&lt;script&gt;window.pwned = 12&lt;/script&gt;&#60;b&#62;",
    "\u202eexe.fdp\u202c \u2066\u2069 \u200b\ufeff\u2028\u2029 z\u0335\u0336a\u0337",
    "null \x00 bell \x07 escape \x1b[31m delete \x7f",
    "＜script＞window.pwned = 15＜/script＞ ʺ ʹ ˂img onerror˃",
    "[bold red]markup of a terminal[/bold red][/] \\[escaped]",
    "=cmd|'/C calc'!A0\t+1\r\n| a | table | of Markdown |",
    "A" * 100_000 + "<b>end</b>",
    "<meta http-equiv=refresh content='0;url=https://example.org'><base href='https://example.org/'>",
    "constructor\", \"signals\": [{\"update\": \"window.pwned = 20\"}], \"x\": \"datum['__proto__']",
)  # fmt: skip
"""The texts; a script that ran would set `window.pwned`, which `test_browser.py` looks for."""


def hostile_run(folder: Path) -> Path:
    """Writes a finished run whose names, questions, answers, recipe, symptoms and environment are hostile."""
    looks = [{"step": 1, "points_lost": 1.0, "beyond": False, "learned": 2.0}]
    about = {"name": HOSTILE[3], "family": HOSTILE[0], "present": True, "threshold": 5.0, "effect": 9.0}
    about |= {"low": 7.0, "high": 11.0, "p": 0.001, "p_holm": 0.01, "answers": 9, "sentence": HOSTILE[1]}
    quotes = [
        {"suite": text, "item": text, "asked": text, "before": text, "after": text} for text in (*HOSTILE, *HOSTILE)
    ]
    suites = [
        {"name": text, "role": "retained", "unit": "points", "documents": 9, "items": 9, "lost": 1, "gained": 1,
         "mcnemar": 0.5, "before": 90.0, "after": 80.0, "change": -10.0, "low": -20.0, "high": -1.0}
        for text in HOSTILE
    ]  # fmt: skip
    result = {"suites": suites, "symptoms": [{**about, "quotes": quotes}]}
    result["symptoms"] += [
        {"name": text, "family": text, "present": False, "unchecked": text, "threshold": 1} for text in HOSTILE
    ]
    result |= {"guard": guard([], looks=looks, sentence=HOSTILE[7]), "trained_in": HOSTILE[8]}
    spec = {"model": HOSTILE[0], "data": HOSTILE[5], "keep": list(HOSTILE), "files": {text: text for text in HOSTILE}}
    spec |= {"resolved_recipe": HOSTILE[4], "memory": list(HOSTILE)}
    write(folder, "Train(lr=0.0001)", learned=0.9, kept=0.5, spec=spec, result=result)
    rename(folder)
    write_json(folder / "env.json", {"python": HOSTILE[0], "packages": {HOSTILE[1]: HOSTILE[2]}, "x": list(HOSTILE)})
    append_jsonl(folder / "log.jsonl", {"step": 1, "loss": 1.0, "task_loss": 0.5})
    append_jsonl(folder / "log.jsonl", {"step": 2, "loss": 0.9, "task_loss": 0.4})
    return folder


def rename(folder: Path) -> None:
    """Gives the suites and items of a run hostile names, and writes hostile answers to them."""
    scores, lines = read_scores(folder / "scores.jsonl"), []
    for moment, rows in scores.items():
        for place, row in enumerate(rows):
            text = HOSTILE[place % len(HOSTILE)]
            suite = {"facts": HOSTILE[1], "sums": HOSTILE[18]}.get(row.suite, row.suite)
            rows[place] = dataclasses.replace(row, suite=suite, item=f"{row.item}{text}")
            said = {"suite": suite, "item": rows[place].item, "asked": text, "said": text, "right": text}
            lines.append({"moment": moment, **said, "confidence": None, "refusal": place % 3 == 0})
    write_scores(folder / "scores.jsonl", "run", scores)
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
