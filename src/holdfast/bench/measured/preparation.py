"""Reads the files of a run: examples to train on and suites to measure, with notes for the user."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import DiffSpec, MeasuringSpec, RunSpec
from holdfast.bench.measured.duplicates import merge_duplicates
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.examples import read
from holdfast.data.holdout import duplicates, normalised, split_held_out
from holdfast.data.packing import pack
from holdfast.data.rendering import uses_template
from holdfast.data.rows import Row
from holdfast.data.schemes import GROUP, offered
from holdfast.data.template import counted
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import Item
from holdfast.probes.score import Role
from holdfast.probes.suite import Suite, Unit, suites_of, units_of
from holdfast.suites.default import COUNT, default_note
from holdfast.suites.embedded import NAME as GENERAL
from holdfast.suites.named import items_of
from holdfast.suites.wikitext import bits_per_byte
from holdfast.suites.words import names_general, word_of

HELD_OUT = ("test", "validation", "train")
"""Splits to measure if a source has several and the user names none; the first existing one counts."""

RESERVED = ("task", "transfer")
"""Reserved names of suites."""


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """The data of a run.

    Attributes:
        train: Examples to train on.
        suites: Suites to measure: the task (its test, or held-out rows), its transfer, and the retained ones.
        notes: Notes for the user.
    """

    train: tuple[Example, ...]
    suites: tuple[Suite, ...]
    notes: tuple[str, ...]

    @property
    def measured_examples(self) -> list[Example]:
        """Returns the examples of all suites."""
        return [example for suite in self.suites for example in suite.texts]


def kept_units(suites: Sequence[Suite]) -> set[Unit]:
    """Returns the units of the retained suites."""
    return units_of(suite for suite in suites if suite.role == "retained")


def prepare_data(spec: RunSpec, tokenizer: Any, rehearsed: Sequence[str] = ()) -> PreparedData:
    """Reads, splits, checks and tokenises the files of a run.

    Args:
        spec: The run.
        tokenizer: The model's tokenizer.
        rehearsed: Sources of old examples to train on; rows and items in them are not measured.

    Raises:
        HoldfastError: A file is missing or malformed, or there is nothing to learn or to measure.
    """
    notes: list[str] = []
    train = read(spec.data, preference=spec.preference, notes=notes)
    test: list[Row] = []
    if spec.test is None and spec.held_out > 0:
        train, test = _held_out(train, spec)
        notes.append(
            f"{len(test)} of {len(train) + len(test)} rows of {spec.data} are held out to measure what is learned."
        )
    rehearsed_rows = [read(source, preference=spec.preference, notes=notes) for source in rehearsed]
    trained = [*train, *(row for rows in rehearsed_rows for row in rows)]
    examples = _examples(train, spec, tokenizer, spec.data, notes, held_out=len(test))
    suites = []
    test = _without_trained_rows(test, trained, "the held-out rows", notes)
    if test:
        tested = _examples(test, spec, tokenizer, f"the rows held out of {spec.data}", notes)
        suites.append(Suite("task", "learned", texts=tuple(tested)))
    suites += read_suites(spec, tokenizer, notes, trained)
    notes += learned_as_kept(suites)
    if not spec.keep:
        notes.append(
            f"Nothing measures what is lost: --keep {GENERAL} asks {COUNT} questions, and --budget judges them."
        )
    if spec.packing:
        examples = pack(examples, spec.max_length)
    return PreparedData(tuple(examples), tuple(suites), tuple(notes))


def read_suites(spec: MeasuringSpec, tokenizer: Any, notes: list[str], learned: Sequence[Row] = ()) -> list[Suite]:
    """Returns the suites to measure: `task`, `transfer`, and those of each source under `keep`.

    Args:
        spec: The options that name the sources.
        tokenizer: The model's tokenizer.
        notes: List that receives notes for the user.
        learned: Rows to train on; questions and texts in them are not measured.

    Raises:
        HoldfastError: A file is missing or malformed, nothing is left to measure, or two suites have one name.
    """
    suites = []
    roles: tuple[tuple[str, Role, str | None], ...] = (
        ("task", "learned", spec.test),
        ("transfer", "transfer", spec.transfer),
    )
    for name, role, source in roles:
        if source is None:
            continue
        read_items = items_of(source, notes)
        if read_items is not None:
            items = _of_one_suite(_without_trained_items(read_items, learned, source, notes))
            suites.append(_of_one_unit(Suite(name, role, items=items), source))
        elif rows := _without_trained_rows(_measured_rows(source, spec, notes), learned, source, notes):
            suites.append(Suite(name, role, texts=tuple(_examples(rows, spec, tokenizer, source, notes))))
    suites += _retained_suites(spec, tokenizer, learned, notes)
    suites, moved = merge_duplicates(suites)
    if moved:
        notes.append(f"{moved} items repeat others under another name or group, and count as one with them.")
    asked = tuple(item for suite in suites for item in suite.items)
    notes += [*template_notes(asked, tokenizer, spec.raw), *omission_notes(asked, tokenizer, spec.raw)]
    notes += [note for suite in suites if (note := bits_note(suite, tokenizer))]
    return suites


def learned_as_kept(suites: Sequence[Suite]) -> list[str]:
    """Returns notes on suites to keep of which a part also measures what is learned, and so cannot show a loss.

    Raises:
        HoldfastError: All of a suite to keep measures what is learned.
    """
    learned = {asked for suite in suites if suite.role == "learned" for asked in _contents(suite)}
    notes = []
    for suite in suites:
        every = _contents(suite) if suite.role == "retained" else []
        same = sum(asked in learned for asked in every)
        if same and same == len(every):
            raise HoldfastError(
                f"--keep {suite.name}: all of it measures what is learned too, which no training loses; give other"
                " questions or texts."
            )
        if same:
            notes.append(
                f"{same:,} of {len(every):,} of {suite.name} measure what is learned too, and hardly get lost."
            )
    return notes


def _contents(suite: Suite) -> list[Hashable]:
    """Returns what each item or text of a suite asks and takes for right, whatever its names."""
    texts = (tuple(example.input_ids) for example in suite.texts)
    return [*texts, *(repr(dataclasses.replace(item, id="", suite="", group="")) for item in suite.items)]


def bits_note(suite: Suite, tokenizer: Any) -> str:
    """Returns how many bits per byte one nat per token of a suite's texts is; empty for a suite without such items."""
    texts = [item.text for item in suite.items if item.text and not (item.choices or item.check)]
    if not texts:
        return ""
    tokens = sum(len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) for text in texts)
    size = sum(len(text.encode()) for text in texts)
    factor = bits_per_byte(1.0, tokens, size)
    return f"{suite.name}: {tokens:,} tokens in {size:,} bytes; a nat per token is {factor:.4f} bits per byte."


def template_notes(items: Sequence[Item], tokenizer: Any, raw: bool) -> list[str]:
    """Returns notes on how a model without a chat template is asked; none with a template."""
    if uses_template(tokenizer, raw):
        return []
    asked, plain = [item.as_asked(False) for item in items if item.turns], sum(item.plain is not None for item in items)
    if not asked:
        return []
    dialogues = sum(len(item.turns) > 1 or item.turns[0].role != "user" for item in asked)
    first_lines = sum(bool(item.check) and item.stop is None for item in asked) if dialogues < len(asked) else 0
    notes = []
    if dialogues < len(asked):
        ends = (
            f"; an answer ends with its first line where the item has no 'stop' ({first_lines})" if first_lines else ""
        )
        worded = f" ({plain} in the wording of their field 'plain')" if plain else ""
        notes.append(f"No chat template is used: {len(asked) - dialogues} questions are asked unchanged{worded}{ends}.")
    if dialogues:
        notes.append(f'{dialogues} items are written as plain "role: content" lines, because no chat template is used.')
    return notes


def omission_notes(items: Sequence[Item], tokenizer: Any, raw: bool) -> list[str]:
    """Returns notes on parts of items that a model does not see, or sees in another form: tools, calls, roles."""
    writer = tokenizer if uses_template(tokenizer, raw) else None
    asked = [item.as_asked(writer is not None) for item in items if item.turns]
    counts = collections.Counter[str]()
    for item in asked:
        thought = [f"{turn.thought}{turn.content}" for turn in item.turns]  # context, not learned
        counts.update(counted(Row(turns=item.turns, tools=item.tools), thought, writer))
    return [f"In {count} of {len(asked)} questions, {what}." for what, count in counts.items()]


def _retained_suites(spec: MeasuringSpec, tokenizer: Any, learned: Sequence[Row], notes: list[str]) -> list[Suite]:
    """Returns the retained suites: one for each source of rows, and those in each source of items."""
    suites: dict[str, Suite] = {}
    if note := default_note(model_of(spec), spec.keep):
        notes.append(note)
    for name, source in _named_sources(spec.keep).items():
        items = items_of(source, notes)
        if items is None:
            if name in suites:
                raise HoldfastError(f"--keep {source}: another suite is called {name!r}; rename the file.")
            rows = _without_trained_rows(_measured_rows(source, spec, notes), learned, name, notes)
            suites[name] = Suite(name, "retained", texts=tuple(_examples(rows, spec, tokenizer, name, notes)))
            continue
        for suite in suites_of(_without_trained_items(items, learned, name, notes), "retained"):
            if suite.name in suites or suite.name in RESERVED:
                raise HoldfastError(f"--keep {source}: another suite is called {suite.name!r}; name it once.")
            suites[suite.name] = _of_one_unit(suite, source)
    return list(suites.values())


def _measured_rows(source: str, spec: MeasuringSpec, notes: list[str]) -> list[Row]:
    return read(source, preference=spec.preference, splits=HELD_OUT, notes=notes)


def _of_one_suite(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Returns items of several suites as those of one suite, with unique ids."""
    if len({item.id for item in items}) == len(items):
        return items
    return tuple(dataclasses.replace(item, id=f"{item.suite}/{item.id}") for item in items)


def _of_one_unit(suite: Suite, source: str) -> Suite:
    if len(suite.units()) > 1:
        raise HoldfastError(
            f"{source}: the suite {suite.name!r} has questions, which count in points, and texts, which count in"
            " nats; give each its own suite."
        )
    return suite


def _without_trained_items(
    items: Sequence[Item], learned: Sequence[Row], name: str, notes: list[str]
) -> tuple[Item, ...]:
    """Drops items whose question, text or right choice is among the rows to learn, whatever their answer."""
    # The last turn is the answer: a conversation that ends in another answer still teaches the question.
    trained_texts = {_normalised_text(row.contents if row.kind == "text" else row.contents[:-1]) for row in learned}
    rest = tuple(item for item in items if _normalised_text(_asked(item)) not in trained_texts)
    if not rest:
        raise HoldfastError(f"{name}: every item is also among the rows to learn; give other items to measure with.")
    if len(rest) < len(items):
        notes.append(
            f"{len(items) - len(rest)} of {len(items)} items are among the rows to learn and left out of {name}."
        )
    return rest


def _asked(item: Item) -> Sequence[str]:
    return [turn.content for turn in item.turns] or [item.text or item.choices[0]]


def _normalised_text(contents: Sequence[str]) -> str:
    return normalised(Row(text=" ".join(contents)))


def reading_of(spec: MeasuringSpec) -> dict[str, Any]:
    """Returns the options that say how rows become tokens, by name; all rows of a command are read by them."""
    return {name: getattr(spec, name) for name in ("max_length", "raw", "loss_on", "over_long", "refused")}


def _examples(
    rows: Sequence[Row], spec: MeasuringSpec, tokenizer: Any, name: str, notes: list[str], held_out: int = 0
) -> list[Example]:
    """Returns the examples of rows; `held_out` others of the same file are kept to measure."""
    tokenised = tokenize(rows, tokenizer, **reading_of(spec))
    if not any(example.supervised for example in tokenised.examples):
        if tokenised.notes.dropped:
            raise HoldfastError(
                f"{name}: no row has a token to learn or score within --max-length {spec.max_length}; raise it."
            )
        if any(row.turns for row in rows):
            raise HoldfastError(
                f"{name}: no conversation has a token to learn or score, which only turns of the assistant have; add"
                f" answers (first: {rows[0].origin})."
            )
        if held_out:
            raise HoldfastError(
                f"{name}: {held_out} of {held_out + len(rows)} rows are held out to measure what is learned, and no"
                " other row has a token to learn; give more rows with completions or text, or a --test file."
            )
        raise HoldfastError(f"{name}: no row has a token to learn or score; give rows with completions or text.")
    notes += [f"{name}: {sentence}" for sentence in tokenised.notes.sentences()]
    return tokenised.examples


def _held_out(rows: list[Row], spec: RunSpec) -> tuple[list[Row], list[Row]]:
    if len({normalised(row) for row in rows}) < 2:
        raise HoldfastError(
            f"{spec.data}: no two rows differ, so none can be held out; give more rows, a --test file, or --held-out 0"
            " to measure nothing."
        )
    return split_held_out(
        rows, spec.held_out, seed=0
    )  # a fixed seed, so that runs with different seeds measure the same rows


def model_of(spec: MeasuringSpec) -> str:
    """Returns the name of the model that a run trains, or of the base of a diff."""
    return spec.base if isinstance(spec, DiffSpec) else spec.model if isinstance(spec, RunSpec) else ""


def check_fit(model: Any, examples: Sequence[Example], spec: RunSpec | DiffSpec | HealSpec) -> list[str]:
    """Refuses examples that the model cannot read.

    Returns:
        Notes on examples longer than those that the model was trained for.

    Raises:
        HoldfastError: A token is outside the vocabulary, or an example is longer than the table of positions.
    """
    name = model_of(spec)
    rows = model.get_input_embeddings().weight.shape[0]
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    longest, where = 0, ""
    for example in examples:
        if max(example.input_ids) >= rows:
            raise HoldfastError(
                f"{example.origin}: token {max(example.input_ids)} is outside the vocabulary of {name} ({rows}"
                " tokens); the tokenizer belongs to another model, so put the right one beside it."
            )
        length = max(example.lengths or (len(example.input_ids),))
        longest, where = (length, example.origin or name) if length > longest else (longest, where)
    if not isinstance(limit, int) or longest <= limit:
        return []
    if getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None):
        return [f"{where} has {longest} tokens, and {name} was made for {limit}; --max-length {limit} fits it."]
    raise HoldfastError(f"{where}: has {longest} tokens, and {name} reads {limit}; give --max-length {limit}.")


def _without_trained_rows(rows: list[Row], train: Sequence[Row], name: str, notes: list[str]) -> list[Row]:
    """Drops rows that are also trained on, because they would measure memorisation."""
    pairs = duplicates(train, rows)
    if not pairs:
        return rows
    first, twin = pairs[0]
    are = "rows are" if len(pairs) > 1 else "row is"
    notes.append(
        f"{len(pairs)} {are} also among those to learn and left out of {name} (first: {first.origin} = {twin.origin})."
    )
    dropped = {id(row) for row, _ in pairs}
    rest = [row for row in rows if id(row) not in dropped]
    if not rest:
        raise HoldfastError(f"{name}: every row is also among those to learn; give other rows to measure with.")
    return rest


def _named_sources(sources: Sequence[str]) -> dict[str, str]:
    """Names each source by its file's stem or its name, with a number if two names are equal."""
    named: dict[str, str] = {}
    for source in sources:
        word, scheme = word_of(source), offered(GROUP, source)
        path = source.removeprefix("harness:") if scheme is None else scheme[1].partition("/")[0]
        stem = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].split(".", 1)[0] or source
        stem = GENERAL if names_general(source) else stem if word is None else word.name
        name, count = stem, 2
        while name in named or name in RESERVED:
            name, count = f"{stem}-{count}", count + 1
        named[name] = source
    return named
