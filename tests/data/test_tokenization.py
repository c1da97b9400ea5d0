"""Tokenising: what is learned, what frames it, and what is said of rows that were cut or left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import Row, Turn, read
from holdfast.data.tokenization import ids_of_prompts, tokenize
from tests.data import conftest as templates


def pair(prompt: str, completion: str, **more: str) -> Row:
    return Row(prompt=prompt, completion=completion, **more)


def chat(*turns: tuple[str, str], origin: str = "chat.jsonl:1") -> Row:
    return Row(turns=tuple(Turn(role, content) for role, content in turns), origin=origin)


TWO = chat(("system", "s"), ("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2"))


def one(row, tokenizer, **options):
    prepared = tokenize([row], tokenizer, max_length=options.pop("max_length", 200), **options)
    (example,) = prepared.examples
    return example


# Without a template.


def test_a_completion_is_learned_with_the_end_of_sequence_and_its_prompt_is_not(make_tokenizer, learned):
    tokenizer = make_tokenizer(bos=True)
    example = one(pair("Hi:", " yes"), tokenizer)
    assert tokenizer.decode(example.input_ids) == "<s>Hi: yes</s>"
    assert learned(example, tokenizer) == " yes</s>"
    assert example.supervised == 5


def test_a_token_across_the_boundary_is_learned(make_tokenizer, learned):
    tokenizer = make_tokenizer()
    example = one(pair("la", "be"), tokenizer)
    assert tokenizer.convert_ids_to_tokens(list(example.input_ids)) == ["l", "ab", "e", "</s>"]
    assert learned(example, tokenizer) == "abe</s>"


def test_nothing_is_appended_where_there_is_no_end_of_sequence_or_already_one(make_tokenizer, learned):
    assert learned(one(pair("p", "c"), make_tokenizer(eos=False)), make_tokenizer()) == "c"
    tokenizer = make_tokenizer(bos=True, eos_by_habit=True)
    example = one(pair("p", "c"), tokenizer)
    assert tokenizer.decode(example.input_ids) == "<s>pc</s>"
    assert learned(example, tokenizer) == "c</s>"
    assert tokenizer.decode(ids_of_prompts([pair("p", "c")], tokenizer)[0]) == "<s>p"


def test_the_joint_stands_between_prompt_and_completion(make_tokenizer):
    (row,) = read([{"question": "q", "answer": "a"}])
    assert make_tokenizer().decode(one(row, make_tokenizer()).input_ids) == "q\na</s>"


def test_everything_is_learned_when_asked(make_tokenizer):
    for template in (None, templates.CHATML):
        example = one(pair("p", "c"), make_tokenizer(template), loss_on="all")
        assert example.labels == example.input_ids


def test_a_conversation_without_a_template_is_written_as_lines_and_noted(make_tokenizer, learned):
    tokenizer = make_tokenizer()
    prepared = tokenize([TWO], tokenizer, max_length=200)
    text = "system: s\nuser: u1\nassistant: a1\nuser: u2\nassistant: a2\n</s>"
    assert tokenizer.decode(prepared.examples[0].input_ids) == text
    assert learned(prepared.examples[0], tokenizer) == " a1\n a2\n</s>"
    assert prepared.notes.sentences() == [
        '1 conversation was written as plain "role: content" lines, because no chat template was used.'
    ]


@pytest.mark.parametrize(
    ("asked", "answer", "text"),
    [("Hi:", "yes", "Hi: yes"), ("Hi: ", "yes", "Hi: yes"), ("Hi:", "\nyes", "Hi:\nyes"), ("", "yes", "yes")],
)
def test_a_question_and_its_answer_without_a_template_are_joined(make_tokenizer, learned, asked, answer, text):
    tokenizer = make_tokenizer(bos=True)
    row = chat(("user", asked), ("assistant", answer))
    prepared = tokenize([row], tokenizer, max_length=200)
    (example,) = prepared.examples
    assert tokenizer.decode(example.input_ids) == f"<s>{text}</s>"
    assert learned(example, tokenizer) == f"{text[len(asked) :]}</s>"
    assert prepared.notes.sentences() == []
    assert tokenizer.decode(ids_of_prompts([row], tokenizer)[0]) == f"<s>{asked}"


def test_a_system_message_makes_it_a_conversation(make_tokenizer):
    tokenizer = make_tokenizer()
    prepared = tokenize([chat(("system", "s"), ("user", "u"), ("assistant", "a"))], tokenizer, max_length=200)
    assert tokenizer.decode(prepared.examples[0].input_ids) == "system: s\nuser: u\nassistant: a\n</s>"
    assert prepared.notes.plain_chat == 1


# With a template.


def test_a_prompt_becomes_a_users_turn_and_the_end_of_turn_is_learned(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.CHATML)
    example = one(pair("p", "c"), tokenizer)
    assert tokenizer.decode(example.input_ids) == "<|im_start|>user\np<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n"
    assert learned(example, tokenizer) == "c<|im_end|>"
    assert example == one(chat(("user", "p"), ("assistant", "c"), origin=""), tokenizer)


def test_raw_leaves_the_template_unused(make_tokenizer):
    tokenizer = make_tokenizer(templates.CHATML)
    assert tokenizer.decode(one(pair("p", "c"), tokenizer, raw=True).input_ids) == "pc</s>"
    assert tokenizer.decode(ids_of_prompts([pair("p", "c")], tokenizer, raw=True)[0]) == "p"


def test_every_turn_of_the_assistant_is_learned(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.CHATML)
    example = one(TWO, tokenizer)
    assert learned(example, tokenizer) == "a1<|im_end|>a2<|im_end|>"


def test_turns_that_are_context_or_empty_are_not_learned(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.CHATML)
    turns = (Turn("user", "u"), Turn("assistant", "a", learned=False), Turn("assistant", " "), Turn("assistant", "b"))
    assert learned(one(Row(turns=turns), tokenizer), tokenizer) == "b<|im_end|>"


def test_a_template_that_writes_the_first_token_gets_no_second_one(make_tokenizer):
    tokenizer = make_tokenizer(templates.WITH_BOS, bos=True)
    example = one(pair("p", "c"), tokenizer)
    assert list(example.input_ids).count(tokenizer.bos_token_id) == 1
    assert example.input_ids[0] == tokenizer.bos_token_id


def test_a_conversation_that_the_assistant_begins_is_learned_from_its_words(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.CHATML)
    example = one(chat(("assistant", "hello"), ("user", "u"), ("assistant", "a")), tokenizer)
    assert learned(example, tokenizer) == "hello<|im_end|>a<|im_end|>"


def test_a_template_that_rewrites_earlier_turns_gives_one_example_for_each_turn(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.THOUGHTS_OF_THE_LAST_TURN)
    prepared = tokenize([TWO], tokenizer, max_length=200)
    assert [learned(example, tokenizer) for example in prepared.examples] == [
        "<think></think>\na1<|im_end|>",
        "<think></think>\na2<|im_end|>",
    ]
    assert "a1<|im_end|>\n<|im_start|>user\nu2" in tokenizer.decode(prepared.examples[1].input_ids)
    assert "u2" not in tokenizer.decode(prepared.examples[0].input_ids)
    assert prepared.notes.sentences() == [
        "1 of 1 row was written once for each assistant's turn, because the chat template rewrites earlier turns when "
        "later ones follow."
    ]


def test_a_header_that_says_more_than_the_conversation_is_learned_from_where_they_part(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.HEADER_WITH_MORE)
    assert learned(one(TWO, tokenizer), tokenizer) == "a1<|im_end|>a2<|im_end|>"


def test_what_is_said_never_moves_into_the_prompt(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.HEADER_WITH_MORE)
    row = pair("p", "<table>")  # begins like the <think> that only the header has
    assert learned(one(row, tokenizer), tokenizer) == "<table><|im_end|>"
    assert tokenizer.decode(ids_of_prompts([row], tokenizer)[0]).endswith("<|im_start|>assistant\n")


def test_a_template_that_ends_every_conversation_is_no_rewriting(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.ENDS_EVERY_CONVERSATION)
    assert learned(one(TWO, tokenizer), tokenizer) == "a1<|im_end|>a2<|im_end|>\n</s>"


def test_a_template_without_an_end_of_turn_gets_an_end_of_sequence(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.WRITES_NO_END)
    assert learned(one(TWO, tokenizer), tokenizer) == "a1\na2\n</s>"
    asked_last = chat(("assistant", "a"), ("user", "u"))
    assert tokenizer.decode(one(asked_last, tokenizer).input_ids).endswith("user\nu\n")


def test_a_template_that_loses_strings_is_given_lists_of_parts(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.WANTS_PARTS)
    assert one(TWO, tokenizer) == one(TWO, make_tokenizer(templates.CHATML))
    assert ids_of_prompts([TWO], tokenizer) == ids_of_prompts([TWO], make_tokenizer(templates.CHATML))


def test_a_template_that_leaves_out_what_is_to_be_learned_is_named(make_tokenizer):
    with pytest.raises(HoldfastError) as caught:
        tokenize([TWO], make_tokenizer(templates.LOSES_WORDS), max_length=200)
    assert str(caught.value) == (
        "chat.jsonl:1: the chat template of this tokenizer leaves out what turn 3 says, as it does 1 of 1 row; leave "
        "them out (--refused drop), leave the template unused (--raw), or mend them."
    )


def test_every_template_that_trl_ships_is_taken_apart(make_tokenizer, learned):
    """Over forty templates of released models; ends of turns that are special there are plain text here."""
    trl = pytest.importorskip("trl")
    found = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
    row = chat(("user", "Qone?"), ("assistant", "Aone."), ("user", "Qtwo?"), ("assistant", "Atwo."))
    for path in found:
        tokenizer = make_tokenizer(path.read_text(encoding="utf-8"))
        made = tokenize([row], tokenizer, max_length=20_000).examples
        said = [learned(example, tokenizer) for example in made]
        assert "".join(said).count("Aone.") == "".join(said).count("Atwo.") == 1, path.name
        assert not any(word in text for text in said for word in ("Qone", "Qtwo", "Assistant", "<|im_start|>")), (
            path.name
        )
        prompt = ids_of_prompts([row], tokenizer)[0]
        assert list(made[-1].input_ids[: len(prompt)]) == prompt, path.name
        assert learned(made[-1], tokenizer).endswith(tokenizer.decode(supervised(made[-1], len(prompt)))), path.name


def supervised(example, start):
    return [label for label in example.labels[start:] if label != -100]


def test_a_template_that_cannot_be_taken_apart_is_named(make_tokenizer):
    tokenizer = make_tokenizer(templates.COUNTS_MESSAGES)
    tokenizer.name_or_path = "org/model"
    with pytest.raises(HoldfastError) as caught:
        tokenize([TWO], tokenizer, max_length=200)
    assert str(caught.value) == (
        "chat.jsonl:1: the chat template of 'org/model' writes the conversation before turn 3 differently once that "
        "turn follows, so that the turn cannot be told apart, as it does 1 of 1 row; leave them out (--refused drop), "
        "leave the template unused (--raw), or mend them."
    )


def test_a_conversation_that_the_template_refuses_is_named(make_tokenizer):
    with pytest.raises(HoldfastError) as caught:
        tokenize([TWO], make_tokenizer(templates.REFUSES_SYSTEM), max_length=200)
    assert str(caught.value) == (
        "chat.jsonl:1: the chat template of this tokenizer refuses this conversation (no system role), as it does 1 of "
        "1 row; leave them out (--refused drop), leave the template unused (--raw), or mend them."
    )


@pytest.mark.parametrize("template", [None, templates.CHATML, templates.WITH_BOS, templates.THOUGHTS_OF_THE_LAST_TURN])
@pytest.mark.parametrize("row", [pair("la", " x be"), TWO])
def test_a_model_is_asked_as_it_was_taught(make_tokenizer, template, row):
    tokenizer = make_tokenizer(template, bos=template is None)
    example = tokenize([row], tokenizer, max_length=200).examples[-1]
    prompt = ids_of_prompts([row], tokenizer)[0]
    assert list(example.input_ids[: len(prompt)]) == prompt
    last = max(i for i, label in enumerate(example.labels) if label == -100 and i <= len(prompt))
    assert last == len(prompt) - 1


def test_a_document_or_a_conversation_without_answer_has_no_prompt(make_tokenizer):
    with pytest.raises(HoldfastError, match=r"^a:1: a document has no prompt; give prompt and completion, or messages"):
        ids_of_prompts([Row(text="t", origin="a:1")], make_tokenizer())
    with pytest.raises(HoldfastError, match=r"^a:2: the conversation has no assistant's turn; add one or delete"):
        ids_of_prompts([chat(("user", "u"), origin="a:2")], make_tokenizer())


# Documents and lengths.


def test_a_document_is_learned_in_full_and_ended(make_tokenizer):
    tokenizer = make_tokenizer(templates.CHATML, bos=True)
    example = one(Row(text="once", origin="t.txt:1"), tokenizer)
    assert tokenizer.decode(example.input_ids) == "<s>once</s>"
    assert example.labels == example.input_ids
    assert example.origin == "t.txt:1"


@pytest.mark.parametrize("max_length", [2, 3, 5, 9, 10, 11])
def test_a_long_document_becomes_windows_in_which_every_token_is_predicted_once(make_tokenizer, max_length):
    tokenizer = make_tokenizer()
    prepared = tokenize([Row(text="123456789", origin="t:1")], tokenizer, max_length=max_length)
    windows = [example.input_ids for example in prepared.examples]
    assert tokenizer.decode([windows[0][0], *(i for w in windows for i in w[1:])]) == "123456789</s>"
    assert all(2 <= len(window) <= max_length for window in windows)
    assert prepared.notes.supervised_tokens == 9
    assert {example.origin for example in prepared.examples} == {"t:1"}
    assert prepared.notes.split == prepared.notes.over_long == (max_length < 10)


def test_an_over_long_row_loses_its_end_or_is_left_out(make_tokenizer, learned):
    tokenizer = make_tokenizer()
    rows = [pair("p", "123", origin="f:1"), pair("pp", "12345", origin="f:2"), pair("pppppp", "1", origin="f:3")]
    cut = tokenize(rows, tokenizer, max_length=5)
    assert [learned(example, tokenizer) for example in cut.examples] == ["123</s>", "123"]
    assert (cut.notes.over_long, cut.notes.truncated, cut.notes.dropped) == (2, 1, 1)
    assert cut.notes.sentences() == ["2 of 3 rows are longer than 5 tokens: 1 truncated, 1 left out (first: f:2)."]
    dropped = tokenize(rows, tokenizer, max_length=5, over_long="drop")
    assert [example.origin for example in dropped.examples] == ["f:1"]
    assert dropped.notes.dropped == 2


def test_a_row_with_nothing_to_learn_is_left_out_and_noted(make_tokenizer):
    rows = [
        pair("p", "c", origin="f:1"),
        pair("p", " \n", origin="f:2"),
        chat(("user", "u"), origin="f:3"),
        Row(text="", origin="f:4"),
    ]
    prepared = tokenize(rows, make_tokenizer(templates.CHATML), max_length=200)
    assert [example.origin for example in prepared.examples] == ["f:1"]
    assert prepared.notes.sentences() == [
        "3 of 4 rows have nothing to learn (an empty completion, or no answer of the assistant) and were left out"
        " (first: f:2)."
    ]


def test_the_notes_count_tokens(make_tokenizer):
    notes = tokenize([pair("pp", "c"), Row(text="abc")], make_tokenizer(), max_length=20).notes
    assert (notes.rows, notes.examples, notes.tokens, notes.supervised_tokens) == (2, 2, 4 + 3, 2 + 2)
    assert notes.sentences() == []


def test_settings_out_of_range_are_named(make_tokenizer):
    with pytest.raises(HoldfastError, match=r"^max_length=1: give a whole number from 2 \(tokens\)\.$"):
        tokenize([], make_tokenizer(), max_length=1)
    with pytest.raises(HoldfastError, match=r"^loss_on='prompt': choose one of 'completion', 'all'\.$"):
        tokenize([], make_tokenizer(), max_length=9, loss_on="prompt")
    with pytest.raises(HoldfastError, match=r"^over_long='keep': choose one of 'truncate', 'drop'\.$"):
        tokenize([], make_tokenizer(), max_length=9, over_long="keep")


def test_shared_stories_keep_every_token(shared_data):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(shared_data / "models" / "stories260K"))
    rows = read(shared_data / "tinystories" / "tinystories_1000.jsonl.gz")[:50]
    notes = tokenize(rows, tokenizer, max_length=128).notes
    whole = sum(len(tokenizer(row.text)["input_ids"]) for row in rows)
    assert notes.supervised_tokens == whole  # the first token is not predicted, the end of sequence is
