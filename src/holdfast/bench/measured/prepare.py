"""From the files that a run names to examples, with what is worth saying about them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from holdfast.bench.given.specs import DiffSpec, Measured, RunSpec
from holdfast.bench.measured.twins import joined
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.examples import read
from holdfast.data.held_out import duplicates, normalised, split_held_out
from holdfast.data.named import GROUP, offered
from holdfast.data.pack import pack
from holdfast.data.render import uses_template
from holdfast.data.rows import Row
from holdfast.data.template import counted
from holdfast.data.tokenize import tokenize
from holdfast.probes.items import Item
from holdfast.probes.score import Role
from holdfast.probes.suite import Suite, Unit, suites_of, units_of
from holdfast.suites.named import items_of
from holdfast.suites.wikitext import bits_per_byte
from holdfast.suites.words import word_of

HELD_OUT = ("test", "validation", "train")
"""Splits that are measured, of a source that has several and names none: the first that is there."""

TAKEN = ("task", "transfer")
"""Names of suites that nothing else may have."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The data of a run.

    Attributes:
        train: Examples to learn.
        suites: What is measured: the task (its test, or rows held out), its transfer, and what is to be kept.
        notes: Sentences to be shown.
    """

    train: tuple[Example, ...]
    suites: tuple[Suite, ...]
    notes: tuple[str, ...]

    @property
    def measured(self) -> list[Example]:
        """Returns the examples of all suites."""
        return [example for suite in self.suites for example in suite.texts]


def kept_units(suites: Sequence[Suite]) -> set[Unit]:
    """Returns the units in which what is to be kept is measured."""
    return units_of(suite for suite in suites if suite.role == "retained")


def prepare(spec: RunSpec, tokenizer: Any, rehearsed: Sequence[str] = ()) -> Prepared:
    """Reads, splits, checks and tokenises the files of a run.

    Args:
        spec: The run.
        tokenizer: The model's.
        rehearsed: Sources of the memories that are trained on: what is measured is kept apart from them too.

    Raises:
        HoldfastError: A file that is missing or malformed, nothing to learn, or nothing to measure.
    """
    notes: list[str] = []
    train = read(spec.data, preference=spec.preference, notes=notes)
    test: list[Row] = []
    if spec.test is None and spec.held_out > 0:
        train, test = _held_out(train, spec)
        notes.append(
            f"{len(test)} of {len(train) + len(test)} rows of {spec.data} are held out to measure what is learned."
        )
    old = [read(source, preference=spec.preference, notes=notes) for source in rehearsed]
    learned = [*train, *(row for rows in old for row in rows)]
    examples = _examples(train, spec, tokenizer, spec.data, notes)
    suites = []
    test = _without_train(test, learned, "the held-out rows", notes)
    if test:
        tested = _examples(test, spec, tokenizer, f"the rows held out of {spec.data}", notes)
        suites.append(Suite("task", "learned", texts=tuple(tested)))
    suites += measured(spec, tokenizer, notes, learned)
    if spec.packing:
        examples = pack(examples, spec.max_length)
    return Prepared(tuple(examples), tuple(suites), tuple(notes))


def measured(spec: Measured, tokenizer: Any, notes: list[str], learned: Sequence[Row] = ()) -> list[Suite]:
    """Returns what is to be measured: `task`, `transfer`, and each source of what is to be kept.

    Args:
        spec: What names the sources.
        tokenizer: The model's.
        notes: Gets a sentence for each thing worth saying.
        learned: Rows that are trained on; what is asked in them is left out.

    Raises:
        HoldfastError: A file that is missing or malformed, nothing left to measure, or a suite that is named twice.
    """
    found = []
    roles: tuple[tuple[str, Role, str | None], ...] = (
        ("task", "learned", spec.test),
        ("transfer", "transfer", spec.transfer),
    )
    for name, role, source in roles:
        if source is None:
            continue
        asked = items_of(source, notes)
        if asked is not None:
            items = _of_one_suite(_unlearned(asked, learned, source, notes))
            found.append(_of_one_unit(Suite(name, role, items=items), source))
        elif rows := _without_train(_measured_rows(source, spec, notes), learned, source, notes):
            found.append(Suite(name, role, texts=tuple(_examples(rows, spec, tokenizer, source, notes))))
    found += _kept(spec, tokenizer, learned, notes)
    made, moved = joined(found)
    if moved:
        notes.append(f"{moved} items are the same as others under another name or group, and count as one with them.")
    asked = tuple(item for suite in made for item in suite.items)
    notes += [*plainly(asked, tokenizer, spec.raw), *unwritten(asked, tokenizer, spec.raw)]
    notes += [note for suite in made if (note := in_bits(suite, tokenizer))]
    return made


def in_bits(suite: Suite, tokenizer: Any) -> str:
    """Returns how many bits per byte a nat per token of a suite's texts is; empty for a suite without such items."""
    texts = [item.text for item in suite.items if item.text and not (item.choices or item.check)]
    if not texts:
        return ""
    tokens = sum(len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) for text in texts)
    size = sum(len(text.encode()) for text in texts)
    factor = bits_per_byte(1.0, tokens, size)
    return f"{suite.name}: {tokens:,} tokens in {size:,} bytes; a nat per token is {factor:.4f} bits per byte."


def plainly(items: Sequence[Item], tokenizer: Any, raw: bool) -> list[str]:
    """Returns sentences about how items are put to a model without a chat template; none where one is used."""
    asked = [item for item in items if item.turns]
    if not asked or uses_template(tokenizer, raw):
        return []
    several = sum(len(item.turns) > 1 or item.turns[0].role != "user" for item in asked)
    lines = sum(bool(item.check) and item.stop is None for item in asked) if several < len(asked) else 0
    said = []
    if several < len(asked):
        ends = f"; an answer ends with its first line where the item has no 'stop' ({lines})" if lines else ""
        said.append(f"No chat template is used: {len(asked) - several} questions are asked as they stand{ends}.")
    if several:
        said.append(f'{several} items are written as plain "role: content" lines, because no chat template is used.')
    return said


def unwritten(items: Sequence[Item], tokenizer: Any, raw: bool) -> list[str]:
    """Returns sentences about what of items a model is not shown, or in another form: tools, calls, roles."""
    writer = tokenizer if uses_template(tokenizer, raw) else None
    asked = [item for item in items if item.turns]
    counts = collections.Counter[str]()
    for item in asked:
        thought = [f"{turn.thought}{turn.content}" for turn in item.turns]  # is context here, and none of it learned
        counts.update(counted(Row(turns=item.turns, tools=item.tools), thought, writer))
    return [f"In {count} of {len(asked)} questions, {what}." for what, count in counts.items()]


def _kept(spec: Measured, tokenizer: Any, learned: Sequence[Row], notes: list[str]) -> list[Suite]:
    """Returns what is to be kept: each source of rows as a suite, and of each source of items the suites in it."""
    found: dict[str, Suite] = {}
    for name, source in _named(spec.keep).items():
        asked = items_of(source, notes)
        if asked is None:
            if name in found:
                raise HoldfastError(f"--keep {source}: a suite called {name!r} is measured already; rename the file.")
            rows = _without_train(_measured_rows(source, spec, notes), learned, name, notes)
            found[name] = Suite(name, "retained", texts=tuple(_examples(rows, spec, tokenizer, name, notes)))
            continue
        for suite in suites_of(_unlearned(asked, learned, name, notes), "retained"):
            if suite.name in found or suite.name in TAKEN:
                raise HoldfastError(
                    f"--keep {source}: a suite called {suite.name!r} is measured already; name it once."
                )
            found[suite.name] = _of_one_unit(suite, source)
    return list(found.values())


def _measured_rows(source: str, spec: Measured, notes: list[str]) -> list[Row]:
    return read(source, preference=spec.preference, splits=HELD_OUT, notes=notes)


def _of_one_suite(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Returns items of several suites as those of one, in which each still has an id of its own."""
    if len({item.id for item in items}) == len(items):
        return items
    return tuple(dataclasses.replace(item, id=f"{item.suite}/{item.id}") for item in items)


def _of_one_unit(suite: Suite, source: str) -> Suite:
    if len(suite.units()) > 1:
        raise HoldfastError(
            f"{source}: the suite {suite.name!r} has questions, which are measured in points, and texts, which are"
            " measured in nats; give them suites of their own."
        )
    return suite


def _unlearned(items: Sequence[Item], learned: Sequence[Row], name: str, notes: list[str]) -> tuple[Item, ...]:
    """Leaves out items whose question, text or right choice stands among the rows to learn, whatever is answered."""
    told = {_same(row.contents if row.kind == "text" else row.contents[:-1]) for row in learned}
    left = tuple(item for item in items if _same(_asked(item)) not in told)
    if not left:
        raise HoldfastError(f"{name}: every item is also among the rows to learn; give others to measure with.")
    if len(left) < len(items):
        notes.append(
            f"{len(items) - len(left)} of {len(items)} items are asked in what is learned and left out of {name}."
        )
    return left


def _asked(item: Item) -> Sequence[str]:
    return [turn.content for turn in item.turns] or [item.text or item.choices[0]]


def _same(contents: Sequence[str]) -> str:
    return normalised(Row(text=" ".join(contents)))


def _examples(rows: Sequence[Row], spec: Measured, tokenizer: Any, name: str, notes: list[str]) -> list[Example]:
    made = tokenize(
        rows,
        tokenizer,
        max_length=spec.max_length,
        raw=spec.raw,
        loss_on=spec.loss_on,
        over_long=spec.over_long,
        refused=spec.refused,
    )
    if not any(example.supervised for example in made.examples):
        if made.notes.dropped:
            raise HoldfastError(
                f"{name}: no row has a token left to learn or score within --max-length {spec.max_length}; raise it."
            )
        raise HoldfastError(f"{name}: no row has a token to learn or score; give rows with completions or text.")
    notes += [f"{name}: {sentence}" for sentence in made.notes.sentences()]
    return made.examples


def _held_out(rows: list[Row], spec: RunSpec) -> tuple[list[Row], list[Row]]:
    if len({normalised(row) for row in rows}) < 2:
        raise HoldfastError(
            f"{spec.data}: no two rows differ, so none can be held out; give more rows, a --test file, or --held-out 0"
            " to measure nothing."
        )
    return split_held_out(rows, spec.held_out, seed=0)  # runs of several seeds are asked the same


def check_fit(model: Any, examples: Sequence[Example], spec: RunSpec | DiffSpec) -> list[str]:
    """Refuses examples that the model cannot read.

    Returns:
        Sentences to be shown, about examples that it can read but was not made for.

    Raises:
        HoldfastError: A token outside its vocabulary, or an example longer than its table of positions.
    """
    name = spec.model if isinstance(spec, RunSpec) else spec.base
    rows = model.get_input_embeddings().weight.shape[0]
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    longest, where = 0, ""
    for example in examples:
        if max(example.input_ids) >= rows:
            raise HoldfastError(
                f"{example.origin}: token {max(example.input_ids)} is outside the {rows} that {name} knows; the"
                " tokenizer belongs to another model, so put the right one beside it."
            )
        length = max(example.lengths or (len(example.input_ids),))
        longest, where = (length, example.origin or name) if length > longest else (longest, where)
    if not isinstance(limit, int) or longest <= limit:
        return []
    if getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None):
        return [f"{where} has {longest} tokens, and {name} was made for {limit}; --max-length {limit} fits it."]
    raise HoldfastError(f"{where}: has {longest} tokens, and {name} reads {limit}; give --max-length {limit}.")


def _without_train(rows: list[Row], train: Sequence[Row], name: str, notes: list[str]) -> list[Row]:
    """Leaves out rows that are also learned: they would measure memory, not what is meant."""
    found = duplicates(train, rows)
    if not found:
        return rows
    seen, learned = found[0]
    are = "rows are" if len(found) > 1 else "row is"
    notes.append(
        f"{len(found)} {are} also among those to learn and left out of {name}"
        f" (first: {seen.origin} = {learned.origin})."
    )
    out = {id(row) for row, _ in found}
    rest = [row for row in rows if id(row) not in out]
    if not rest:
        raise HoldfastError(f"{name}: every row is also among those to learn; give other rows to measure with.")
    return rest


def _named(sources: Sequence[str]) -> dict[str, str]:
    """Names each source by its file's stem or its name, with a number where two would be called the same."""
    named: dict[str, str] = {}
    for source in sources:
        word, scheme = word_of(source), offered(GROUP, source)
        path = source.removeprefix("harness:") if scheme is None else scheme[1].partition("/")[0]
        stem = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].split(".", 1)[0] or source
        stem = stem if word is None else word.name
        name, count = stem, 2
        while name in named or name in TAKEN:
            name, count = f"{stem}-{count}", count + 1
        named[name] = source
    return named
