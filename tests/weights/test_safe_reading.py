"""No file is ever read in a way that could run code: checked on the source of the package itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "dgno"
FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "imp"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_CALLS = {
    "os.system", "os.popen", "yaml.load", "torch.jit.load", "torch.export.load", "torch.package.PackageImporter",
    "torch.hub.load", "pandas.read_pickle", "torch.serialization.add_safe_globals", "torch.utils.cpp_extension.load",
}  # fmt: skip


def dotted(node: ast.expr) -> str:
    """a.b.c of an expression that is a name with attributes, else nothing."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}" if dotted(node.value) else ""
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    """The literal value of a keyword argument, or None."""
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


def violations(code: str) -> Iterator[str]:
    """Everything in a piece of source that could run what a file says."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"imports {m}" for m in modules if m.split(".")[0] in FORBIDDEN_MODULES)
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                yield from (f"from torch import {alias.name}" for alias in node.names if alias.name == "load")
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func).replace("np.", "numpy.")
        if name in FORBIDDEN_NAMES | FORBIDDEN_CALLS:
            yield f"calls {name}"
        if name == "torch.load" and keyword(node, "weights_only") is not True:
            yield "torch.load without weights_only=True"
        if name == "numpy.load" and keyword(node, "allow_pickle") not in (None, False):
            yield "numpy.load with pickles"
        if any(k.arg == "allow_pickle" and keyword(node, "allow_pickle") is not False for k in node.keywords):
            yield "allow_pickle"
        if any(k.arg == "shell" and keyword(node, "shell") is not False for k in node.keywords):
            yield "a shell"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_source_file_runs_what_it_reads(path: Path) -> None:
    """Every torch.load says weights_only=True; no pickle, eval, exec, shell or loader that could run code."""
    assert not list(violations(path.read_text()))


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib as j",
        "from torch import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "torch.load(path, **options)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=yes)",
        "yaml.load(text)",
        "torch.jit.load(path)",
        "eval(text)",
        "exec(text)",
        "def f():\n    return __import__(name)",
        "subprocess.run(command, shell=True)",
    ],
)
def test_the_search_finds(code: str) -> None:
    """The search is not blind."""
    assert list(violations(code))


@pytest.mark.parametrize("code", ["torch.load(p, weights_only=True)", "network.eval()", "re.compile(x)", "np.load(p)"])
def test_the_search_lets_pass(code: str) -> None:
    """And it does not cry wolf."""
    assert not list(violations(code))


def test_there_is_one_place_that_reads_pickles() -> None:
    """torch.load stands in weights/pth.py and nowhere else."""
    users = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if any(dotted(n.func) == "torch.load" for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
    ]
    assert users == ["weights/pth.py"]
