"""Builds the wheel, installs it into a new environment, and runs there every command of the first pages of the docs.

    python benchmarks/install.py OUT        (an hour on a busy core; OUT is a folder that does not exist)

The commands are those in the code blocks of README.md and docs/start.md, with the shipped models and a few rows in
place of MODEL, BASE, TUNED and the named files. It prints each command with its exit code and seconds, writes what they
printed to OUT/log.txt, and ends with 1 if one failed. A verdict (2, 3, 4) is no failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from holdfast.ground.names import items, rows

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/start.md")
SOURCE = ("src", "pyproject.toml", "README.md", "LICENSE")
"""All that a build of the wheel reads."""
JUDGED = ("train", "fit", "diff", "heal", "verify")
"""Commands that end with a verdict."""
MODELS = {"MODEL": "ground:base", "BASE": "ground:base"}
RERANKERS = {
    "BASE": "ground:reranker", "TUNED": "ground:reranker", "scifact": "ground:towns/cut",
    "squad_dev": "ground:land/cut", "cuad": "ground:contracts/cut",
}  # fmt: skip
"""What stands for the words of a command with collections."""
FIRST = (
    "holdfast --version -v", "holdfast --help", "holdfast methods", "holdfast methods Holdfast", "holdfast demo",
)  # fmt: skip
ROWS = 48
LIMIT = 3600
"""Most seconds of a command."""


@dataclasses.dataclass
class Room:
    """The new environment, the folder in which its commands run, and what ran.

    Attributes:
        out: The folder of everything.
        done: Commands that ran, with exit code and seconds.
        failed: Those that neither succeeded nor ended with a verdict.
    """

    out: Path
    done: list[tuple[str, int, float]] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)

    @property
    def programs(self) -> Path:
        """Returns the folder of the programs of the new environment."""
        return self.out / "venv" / "bin"

    def run(self, words: Sequence[str], *, cwd: Path | None = None) -> None:
        """Runs a command of the new environment, and prints its exit code and seconds."""
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        program = self.programs / words[0]
        text, start = shlex.join(words), time.monotonic()
        with (self.out / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"\n$ {text}\n")
            log.flush()
            code = subprocess.run(
                [str(program), *words[1:]], cwd=cwd or self.out / "room", env=environment, stdout=log, stderr=log,
                timeout=LIMIT, check=False,
            ).returncode  # fmt: skip
        seconds = time.monotonic() - start
        self.done.append((text, code, seconds))
        judged = words[0] == "holdfast" and len(words) > 1 and words[1] in JUDGED
        if code not in ((0, 2, 3, 4) if judged else (0,)):
            self.failed.append(text)
        print(f"{code:3d}  {seconds:6.0f} s  {text}", flush=True)


def main() -> int:
    """Runs all steps; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to make")
    room = Room(parser.parse_args().out.resolve())
    (room.out / "room").mkdir(parents=True)
    wheel = install(room)
    files(room.out / "room")
    for line in FIRST:
        room.run(shlex.split(line))
    commands(room, reranking=False)
    room.run(["pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), f"{wheel}[rerank]"])
    room.run(["python", "-c", "import holdfast.rerank, sentence_transformers, bm25s"])
    commands(room, reranking=True)
    room.run(["pip", "install", "-q", "twine"])
    room.run(["twine", "check", "--strict", str(wheel)])
    print(f"{len(room.done)} commands ran, {len(room.failed)} failed; what they printed: {room.out / 'log.txt'}")
    return 1 if room.failed else 0


def install(room: Room) -> Path:
    """Makes the environment, builds the wheel in it and installs the wheel alone; returns the wheel."""
    subprocess.run([sys.executable, "-m", "venv", str(room.out / "venv")], check=True)
    source = room.out / "source"
    for name in SOURCE:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    room.run(["pip", "wheel", "-q", "--no-deps", "-w", str(room.out), "."], cwd=source)
    (wheel,) = room.out.glob("*.whl")
    constrained = ["pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
    room.run([*constrained, "torch==2.13.0"])
    room.run([*constrained, str(wheel)])
    room.run(["pip", "check"])
    room.run(["python", "-c", "import holdfast, sys; assert sys.prefix in holdfast.__file__, holdfast.__file__"])
    return wheel


def files(folder: Path) -> None:
    """Writes the files that the commands name: rows to learn, old rows, questions and texts."""
    new, old = rows("people/few")[:ROWS], rows("instructions/memory")[:ROWS]
    _write(folder / "new.jsonl", [{"prompt": row.prompt, "completion": row.completion} for row in new])
    _write(
        folder / "old.jsonl",
        [{"messages": [{"role": turn.role, "content": turn.content} for turn in row.turns]} for row in old],
    )
    for name, source in (("questions.jsonl", "facts/cut"), ("old-task.jsonl", "sums/cut")):
        asked = [(item.id, item.suite, item.turns[-1].content, item.check) for item in items(source)[:ROWS]]
        _write(folder / name, [dict(zip(("id", "suite", "prompt", "check"), one, strict=True)) for one in asked])
    texts = [" ".join(turn.content for turn in row.turns) for row in rows("instructions/memory")[ROWS : 2 * ROWS]]
    (folder / "general.txt").write_text("\n\n".join(texts), encoding="utf-8")


def _write(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def commands(room: Room, *, reranking: bool) -> None:
    """Runs the commands of the pages that read collections, or the others, each once."""
    ran = set()
    for line in lines_of(PAGES):
        words = shlex.split(line, comments=True)
        collections = "scifact" in words
        if collections is not reranking or words[1] == "demo" or " ".join(words) in ran:
            continue
        ran.add(" ".join(words))
        room.run([(RERANKERS if collections else names(room)).get(word, word) for word in words])


def lines_of(pages: Sequence[str]) -> Iterator[str]:
    """Yields the commands of `holdfast` in the code blocks of pages, those over several lines as one."""
    for page in pages:
        for block in (ROOT / page).read_text(encoding="utf-8").split("```")[1::2]:
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("holdfast "):
                    yield line


def names(room: Room) -> dict[str, str]:
    """Returns what stands for the words of a command: models, and the newest run so far."""
    runs = sorted((room.out / "room" / "runs").glob("*/result.json"), key=lambda path: path.stat().st_mtime)
    if not runs:
        return MODELS
    run = str(runs[-1].parent.relative_to(room.out / "room"))
    return {**MODELS, "TUNED": f"{run}/model", "runs/my-run": run, "runs/my-run/model": f"{run}/model"}


if __name__ == "__main__":
    sys.exit(main())
