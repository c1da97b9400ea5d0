"""How long a class, and how branched a function of the package may be; how long a file may be stands in test_house."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "holdfast"
CLASS_LINES = 200
BRANCHES = 15
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
ONE_EACH = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)


def branches(function):
    """Returns 1 and the number of branches: of statements, `and`, `or`, comprehensions and their conditions."""
    count = 1
    for node in ast.walk(function):
        if isinstance(node, ONE_EACH):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
    return count


def lines(node):
    """Returns the number of lines of a class, its decorators included."""
    return node.end_lineno - min(each.lineno for each in (node, *node.decorator_list)) + 1


def too_large(tree):
    """Returns what of a file is over a limit: the name, and how many lines or branches it has."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and lines(node) > CLASS_LINES:
            found[node.name] = f"{lines(node)} lines"
        elif isinstance(node, FUNCTIONS) and branches(node) > BRANCHES:
            found[node.name] = f"{branches(node)} branches"
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_class_is_long_and_no_function_is_branched_beyond_the_limit(path):
    assert too_large(ast.parse(path.read_text(encoding="utf-8"))) == {}


def test_branches_are_counted_as_is_said():
    counts = {
        "pass": 1,
        "if a and b or c: pass\n elif d: pass\n else: pass": 5,
        "x = 1 if a else 2\n while x: x = 0": 3,
        "return [i for i in a if i if not i for j in i]": 5,
        "try: pass\n except A: pass\n except B: pass\n finally: pass": 3,
        "match a:\n  case 1: pass\n  case _: pass": 3,
        "def g():\n  for i in a: pass\n return g": 2,
    }
    for body, count in counts.items():
        assert branches(ast.parse(f"def f():\n {body}").body[0]) == count, body


def test_what_is_over_a_limit_is_named():
    long = "class Long:\n" + "    x = 1\n" * CLASS_LINES
    branched = "def branched():\n" + "    if a: pass\n" * BRANCHES
    assert too_large(ast.parse(long + branched)) == {"Long": "201 lines", "branched": "16 branches"}
