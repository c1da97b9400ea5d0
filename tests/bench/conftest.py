"""A room with two models and files, in which the tests of runs and comparisons work."""

from __future__ import annotations

import json
import random

import pytest

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}t10 {{ m['content'] }} t11 "
    "{% else %}t12 {{ m['content'] }} t13 {% endif %}{% endfor %}{% if add_generation_prompt %}t12 {% endif %}"
)


def words(count, draw):
    from tests import tiny

    return " ".join(f"t{draw.randrange(20, tiny.VOCABULARY)}" for _ in range(count))


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Two models, one with a chat template, and files to learn, to test with, to keep and to rehearse."""
    import torch  # here, while pytest holds what is printed: transformers keeps the stream that it finds

    from tests import tiny

    room, draw = tmp_path_factory.mktemp("room"), random.Random(1)
    for name, seed in (("model", 0), ("other", 1), ("chat", 0)):
        tiny.tiny("llama", seed=seed, dtype=torch.float32).save_pretrained(room / name)
        tokenizer = tiny.tokenizer()
        tokenizer.chat_template = TEMPLATE if name == "chat" else None
        tokenizer.save_pretrained(room / name)

    def pairs(count, longest=5):
        return "".join(
            json.dumps({"prompt": words(3, draw) + " ", "completion": words(draw.randint(1, longest), draw)}) + "\n"
            for _ in range(count)
        )

    (room / "facts.jsonl").write_text(pairs(20))
    (room / "more.jsonl").write_text(pairs(20, longest=20))
    (room / "test.jsonl").write_text(pairs(6))
    (room / "texts.txt").write_text("\n\n".join(words(draw.randint(2, 9), draw) for _ in range(16)))
    (room / "general.txt").write_text("\n\n".join(words(6, draw) for _ in range(5)))
    (room / "old.jsonl").write_text(pairs(9))
    (room / "older.jsonl").write_text(pairs(9))
    return room


@pytest.fixture
def compared(room, tmp_path):
    """Makes the spec of a small comparison, with changes; names of files stand for those in the room."""
    from holdfast.bench.given.specs import CompareSpec

    def make(*recipes, **changes):
        fields = {"model": "model", "data": "facts.jsonl", "test": "test.jsonl", "keep": ("texts.txt",), **changes}
        for name in ("model", "data", "test"):
            fields[name] = str(room / fields[name])
        fields["keep"] = tuple(str(room / name) for name in fields["keep"])
        fields["memory"] = tuple(entry.replace("=", f"={room}/") for entry in fields.get("memory", ()))
        usual = {
            "settings": "Train(lr=0.01, epochs=1)",
            "doses": (1.0,),
            "batch_size": 4,
            "out": str(tmp_path / "out"),
            "max_length": 64,
        }
        return CompareSpec(**{**usual, **fields, "recipes": recipes})

    return make


@pytest.fixture
def worker(monkeypatch):
    """Starts workers from a process that has imported them, after some changes to their module, which is `w`."""
    from holdfast.bench.compare import worker_pool
    from tests.warm import WarmWorker

    def replace(changes=""):
        monkeypatch.setattr(worker_pool.subprocess, "Popen", lambda words, *, env, **options: WarmWorker(env, changes))

    replace()
    return replace
