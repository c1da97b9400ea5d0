"""Items with worked examples: earlier turns with a chat template, text between blank lines without one."""

from holdfast.data.rows import Turn
from holdfast.probes.items import Item
from holdfast.probes.worked_examples import examples_for, right_answer, with_examples

QUESTION = Item("q", "s", turns=(Turn("system", "Be brief.", False), Turn("user", "3 + 3?", False)), plain="3 + 3 =")


def worked(i, answer="4", **more):
    fields = {"turns": (Turn("user", f"{i} + 2?", False),), "answer": answer, "plain": f"{i} + 2 ="}
    return Item(f"w{i}", "s", check={"exact": "4"}, **{**fields, **more})


def test_examples_are_earlier_turns_behind_the_system_message():
    item = with_examples(QUESTION, [worked(2)])
    assert [(turn.role, turn.content) for turn in item.turns] == [
        ("system", "Be brief."), ("user", "2 + 2?"), ("assistant", "4"), ("user", "3 + 3?"),
    ]  # fmt: skip
    assert not any(turn.learned for turn in item.turns)


def test_without_a_template_they_are_text_before_the_prompt():
    item = with_examples(QUESTION, [worked(2), worked(1, answer=" 4")]).as_asked(False)
    assert item.turns[0].content == "2 + 2 = 4\n\n1 + 2 = 4\n\n3 + 3 ="


def test_a_conversation_without_a_plain_prompt_stays_one():
    talk = (Turn("user", "Hi", False), Turn("assistant", "Hello", False), Turn("user", "3 + 3?", False))
    item = with_examples(Item("q", "s", turns=talk), [worked(2)])
    assert item.plain is None
    assert len(item.turns) == 5


def test_an_example_has_a_right_answer_and_another_group():
    assert right_answer(worked(2)) == "4"
    assert right_answer(worked(2, answer="5")) == ""
    assert right_answer(Item("c", "s", turns=QUESTION.turns, choices=("yes", "no"))) == "yes"
    assert right_answer(Item("t", "s", choices=("a text", "another"))) == ""
    others = [worked(i, group="g" if i < 3 else "") for i in range(9)] + [worked(9, answer="5")]
    chosen = examples_for(Item("q", "s", group="g", turns=QUESTION.turns), others, 4)
    assert len(chosen) == 4
    assert {item.id for item in chosen} <= {f"w{i}" for i in range(3, 9)}
    assert chosen == examples_for(Item("q", "s", group="g", turns=QUESTION.turns), others[::-1], 4)
