"""A row has one form, one function puts batches together, and one module looks for the settings of a recipe."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "holdfast"
TREES = {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")}
COLUMNS = {"input_ids", "labels"}


def keys_of(node):
    """Returns the constant keys of a dictionary that is displayed or made by `dict`."""
    if isinstance(node, ast.Dict):
        return {key.value for key in node.keys if isinstance(key, ast.Constant)}
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict":
        return {keyword.arg for keyword in node.keywords}
    return set()


def named(tree, wanted):
    """Returns the functions of a file that hold a node which is wanted; "" for the file itself."""
    found = set()

    def look(node, inside):
        inside = node.name if isinstance(node, ast.FunctionDef) else inside
        if wanted(node):
            found.add(inside)
        for child in ast.iter_child_nodes(node):
            look(child, inside)

    look(tree, "")
    return found


def holding(wanted):
    """Returns the files with what is wanted, and the functions that hold it."""
    return {name: found for name, tree in TREES.items() if (found := named(tree, wanted))}


def makes_rows(node):
    """Whether a node makes a dictionary of token ids and labels, or fills one: a row with columns, or a batch."""
    if isinstance(node, ast.Assign):
        return any(isinstance(one, ast.Subscript) and {ast.unparse(one.slice).strip("'")} <= COLUMNS
                   for one in node.targets)  # fmt: skip
    return keys_of(node) >= COLUMNS


def reads_columns(node):
    """Whether a node makes an example of what it reads from columns or a batch."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] != "Example":
        return False
    return any(isinstance(one, ast.Constant) and one.value in COLUMNS for one in ast.walk(node))


def looks_for_train(node):
    """Whether a node asks if something is a `Train`."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("isinstance", "issubclass"):
        return False
    return any(isinstance(one, (ast.Name, ast.Attribute)) and ast.unparse(one).split(".")[-1] == "Train"
               for one in ast.walk(node.args[1]))  # fmt: skip


def test_one_function_puts_batches_together():
    found = holding(makes_rows)
    assert found.pop("core/batches.py") == {"_packed", "_padded"}  # the two forms of `collate`
    assert found == {"core/rows.py": {"to_tensors"}}  # no batch: examples end to end, for a checkpoint


def test_rows_with_columns_are_read_in_one_place():
    assert holding(reads_columns) == {"core/rows.py": {"to_examples"}}
    assert "Example(" in ast.unparse(TREES["core/rows.py"])


def test_one_module_looks_for_the_settings_of_a_recipe():
    assert holding(looks_for_train) == {"train/settings.py": {"train_of", "with_train", "without_train"}}


@pytest.mark.parametrize(
    ("look", "text"),
    [
        (makes_rows, "x = {'input_ids': i, 'labels': l, 'attention_mask': m}"),
        (makes_rows, "x = dict(input_ids=i, labels=l)"),
        (makes_rows, "row['labels'] = list(example.labels)"),
        (reads_columns, "x = Example(row['input_ids'], row.get('labels'))"),
        (looks_for_train, "x = [m for m in r.methods if isinstance(m, (Cosine, train.Train))]"),
    ],
)
def test_what_is_looked_for_would_be_found(look, text):
    assert named(ast.parse(f"def f():\n    {text}"), look) == {"f"}
    assert not named(ast.parse("def f():\n    x = {'input_ids': i}, Example(ids, ids), isinstance(m, LoRA)"), look)
