"""What a spec says of how its suites are measured is what happens."""

import io

import pytest
from rich.console import Console

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import DiffSpec, RunSpec
from holdfast.bench.measured.measurement import asker_of, measure
from holdfast.bench.run.folder import identity
from holdfast.bench.run.run import guard_of, train
from holdfast.core import phases
from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import Item
from holdfast.probes.suite import Asker, Suite


@pytest.fixture(scope="module")
def asked(room):
    model, tokenizer = load_model(str(room / "chat")), load_tokenizer(str(room / "chat"))
    texts = [Row(text=f"t{20 + k} t{30 + k} t{25 - k}", origin=f"{k}") for k in range(6)]
    examples = tuple(tokenize(texts, tokenizer, max_length=32).examples)
    items = tuple(
        Item(f"{k}", "chosen", turns=(Turn("user", f"t{k + 20}"),), choices=(f"t{k + 21}", f"t{k + 30} t{k + 22}"))
        for k in range(20)
    )
    return model, tokenizer, (Suite("texts", "retained", texts=examples), Suite("chosen", "retained", items=items))


def measured(asked, **options):
    model, tokenizer, suites = asked
    told = {}

    def show(name, total):
        told[name] = [(0, total)]
        return lambda done, total: told[name].append((done, total))

    answers = measure(model, suites, asker_of(DiffSpec(base="a", tuned="b", **options), tokenizer), "before", show)
    return answers.scores, answers.said, told


def test_phases_begin_at_0_and_advance_by_rows(asked):
    _, _, told = measured(asked, eval_batch_tokens=20)
    assert list(told) == ["measuring 2 suites before"]
    [steps] = told.values()
    assert steps[0] == (0, 26)
    assert steps[-1] == (26, 26)
    assert steps == sorted(steps)
    assert len(steps) > 4
    _, _, told = measured((*asked[:2], asked[2][:1]))
    assert list(told) == ["measuring texts before"]
    assert measured((*asked[:2], ())) == ((), (), {})


def test_eval_batch_tokens_bounds_every_batch_and_changes_no_score(asked):
    shapes = []
    hook = asked[0].register_forward_pre_hook(
        lambda _, __, given: shapes.append(given["input_ids"].numel()), with_kwargs=True
    )
    wide, said, _ = measured(asked)
    most = max(shapes)
    shapes.clear()
    narrow, said_again, _ = measured(asked, eval_batch_tokens=18)
    hook.remove()
    assert max(shapes) <= 18 < most
    assert [row.value for row in wide] == pytest.approx([row.value for row in narrow], rel=1e-5)
    assert [one.said for one in said] == [one.said for one in said_again]
    with pytest.raises(HoldfastError, match="--eval-batch-tokens 0: give a whole number of at least 1"):
        DiffSpec(base="a", tuned="b", eval_batch_tokens=0)


def test_a_guard_asks_as_the_verdict_does(asked):
    spec = RunSpec(model="m", data="d", budget={"points": 2, "every": 5}, raw=True, eval_batch_tokens=33)
    guard = guard_of(spec)
    assert (guard.every, guard.batch_tokens, guard.raw) == (5, 33, True)
    assert asker_of(spec, None) == Asker(None, guard.raw, guard.batch_tokens)


def test_the_size_of_a_batch_makes_no_other_run():
    given = {"model": "m", "data": "d.jsonl"}
    assert identity(RunSpec(**given)) == identity(RunSpec(**given, eval_batch_tokens=7))


def test_loading_and_writing_old_examples_are_phases_too(room, tmp_path):
    console = Console(file=io.StringIO(), width=200)
    spec = RunSpec(
        model=str(room / "model"),
        data=str(room / "facts.jsonl"),
        keep=(str(room / "texts.txt"),),
        recipe="Train(epochs=1, batch=8) + SelfRehearsal(count=6, length=8, repeat=1, similar=1)",
        out=str(tmp_path / "runs"),
        training={"save_strategy": "no"},
    )
    train(spec, console)
    said = console.file.getvalue()
    order = [
        f"loading {spec.model} ...",
        "writing old examples: 0/6",
        "measuring 2 suites before: 0/",
        "training: 0/",
        "measuring 2 suites after: 0/",
    ]
    assert [line for line in order if line not in said] == []
    places = [said.index(line) for line in order]
    assert places == sorted(places)


def test_phases_are_shown_to_whoever_asks_and_to_nobody_else():
    begun = []

    def show(name, total):
        begun.append((name, total))
        return lambda done, total: begun.append((done, total))

    phases.begin("before", 3)(1, 3)
    with phases.shown(show):
        phases.begin("within", 3)(1, 3)
    phases.begin("behind", 3)(1, 3)
    assert begun == [("within", 3), (1, 3)]
