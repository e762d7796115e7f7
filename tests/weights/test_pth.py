"""Third-party checkpoints: tensors come through, nothing else does, and no code ever runs."""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import TINY, released_checkpoint, tiny_network

from dgno.errors import CheckpointMismatch, CorruptCheckpoint, UnsafeCheckpoint
from dgno.weights.imported import import_checkpoint
from dgno.weights.official import Choices, to_ours
from dgno.weights.pth import read_params
from dgno.weights.store import load_weights

here = pytest.mark.usefixtures("in_this_process")


class Call:
    """Pickles as a call of `function`, which an unsafe reader would make."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class State:
    """Pickles as an object whose __setstate__ an unsafe reader would call."""

    def __setstate__(self, state: str) -> None:
        Path(state).touch()

    def __reduce__(self) -> tuple[Any, ...]:
        return State, (), os.environ["DGNO_TEST_SENTINEL"]


GADGETS: dict[str, Callable[[str], object]] = {
    "os.system": lambda path: Call(os.system, f"touch {path}"),
    "exec": lambda path: Call(builtins.exec, f"open({path!r}, 'w')"),
    "eval": lambda path: Call(builtins.eval, f"open({path!r}, 'w')"),
    "open": lambda path: Call(open, path, "w"),
    "Popen": lambda path: Call(subprocess.Popen, ["touch", path]),
    "nested": lambda path: Call(getattr, Call(__import__, "os"), "system"),
    "call of a call": lambda path: Call(Call, Call(os.system, f"touch {path}")),
    "pickle in pickle": lambda path: Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {path}"))),
    "setstate": lambda path: State(),
}


@here
@pytest.mark.parametrize("place", ["beside", "inside", "key"])
@pytest.mark.parametrize("gadget", GADGETS)
def test_code_never_runs(gadget: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that wants to call something is refused as unsafe, and what it wanted did not happen."""
    sentinel = tmp_path / "was-here"
    monkeypatch.setenv("DGNO_TEST_SENTINEL", str(sentinel))
    evil, good = GADGETS[gadget](str(sentinel)), {"weight": torch.zeros(3)}
    contents = {
        "beside": {"params": good, "extra": evil},
        "inside": {"params": good | {"evil": evil}},
        "key": {"params": good, (1, 2): [evil]},
    }
    torch.save(contents[place], tmp_path / "evil.pth")
    with pytest.raises(UnsafeCheckpoint):
        read_params(tmp_path / "evil.pth")
    assert not sentinel.exists()


def test_gadgets_would_work(tmp_path: Path) -> None:
    """The test above is not blind: an unsafe reader does run such a pickle."""
    sentinel = tmp_path / "was-here"
    pickle.loads(pickle.dumps(Call(os.system, f"touch {sentinel}")))  # noqa: S301
    assert sentinel.exists()


def test_code_never_runs_in_the_child(tmp_path: Path) -> None:
    """The same in the process that really reads: refused, named, and without a trace of it."""
    sentinel = tmp_path / "was-here"
    torch.save({"params": {"evil": Call(os.system, f"touch {sentinel}")}}, tmp_path / "evil.pth")
    with pytest.raises(UnsafeCheckpoint, match=r"system") as error:
        read_params(tmp_path / "evil.pth")
    assert error.value.path == tmp_path / "evil.pth"
    assert not sentinel.exists()


def test_a_checkpoint_becomes_weights(tmp_path: Path) -> None:
    """From a .pth file to weights of ours, through the child process: every number arrives."""
    params = released_checkpoint(TINY)
    torch.save({"params": params, "epoch": 3}, tmp_path / "net.pth")
    card = import_checkpoint(tmp_path / "net.pth", tmp_path / "net.safetensors", Choices("jump", "neumann"))
    assert card.network == TINY
    network, found = load_weights(tmp_path / "net.safetensors")
    assert found == card
    expected = to_ours(params, tiny_network())
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


@here
def test_tensors_of_every_kind_come_through(tmp_path: Path) -> None:
    """Views, scalars, empty tensors, shared memory, other dtypes: values, shapes and dtypes are kept."""
    base = torch.arange(12.0).reshape(3, 4)
    params = {
        "plain": base,
        "transposed": base.T,
        "part": base[1:, ::2],
        "scalar": torch.tensor(0.25),
        "empty": torch.zeros(0, 3),
        "half": base.half(),
        "brain": base.bfloat16(),
        "index": torch.arange(5),
        "flag": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(base.clone()),
    }
    torch.save({"params": params}, tmp_path / "net.pth")
    read = read_params(tmp_path / "net.pth")
    assert read.keys() == params.keys()
    for name, tensor in params.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


@here
@pytest.mark.parametrize(
    "contents",
    [
        [torch.zeros(3)],
        torch.zeros(3),
        {},
        {"state_dict": {"weight": torch.zeros(3)}},
        {"params": [torch.zeros(3)]},
        {"params": {3: torch.zeros(3)}},
        {"params": {"weight": 3}},
        {"params": {"weight": {"nested": torch.zeros(3)}}},
        {"params": {"weight": torch.eye(3).to_sparse()}},
        {"params": {"weight": None}},
    ],
    ids=["list", "tensor", "empty", "other key", "list of params", "key 3", "number", "nested", "sparse", "None"],
)
def test_other_contents_are_refused(contents: object, tmp_path: Path) -> None:
    """What is not a dict of plain tensors under `params` is a CheckpointMismatch."""
    torch.save(contents, tmp_path / "net.pth")
    with pytest.raises(CheckpointMismatch, match="params"):
        read_params(tmp_path / "net.pth")


@here
@pytest.mark.parametrize("numbers", [10**6, 10**13])
def test_tensors_larger_than_the_file_are_refused(numbers: int, tmp_path: Path) -> None:
    """One stored number that claims to be a million, or ten trillion, is refused before it is unfolded."""
    torch.save({"params": {"weight": torch.zeros(1).expand(numbers)}}, tmp_path / "net.pth")
    with pytest.raises(UnsafeCheckpoint, match="unpack"):
        read_params(tmp_path / "net.pth")


def test_plain_pickles_are_refused(tmp_path: Path) -> None:
    """Pickles outside a zip archive, as torch wrote them before 1.6, are not opened at all."""
    sentinel = tmp_path / "was-here"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"params": Call(os.system, f"touch {sentinel}")}))
    torch.save({"params": {}}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("plain.pth", "old.pth"):
        with pytest.raises(CorruptCheckpoint, match=r"torch\.save"):
            read_params(tmp_path / name)
    assert not sentinel.exists()


def test_no_module_of_the_current_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint may lie beside a file named like one of the reader's modules."""
    (tmp_path / "safetensors.py").write_text("from pathlib import Path; Path('ran').touch()")
    torch.save({"params": {"x": torch.zeros(2)}}, tmp_path / "c.pth")
    monkeypatch.chdir(tmp_path)
    assert read_params(tmp_path / "c.pth").keys() == {"x"}
    assert not (tmp_path / "ran").exists()
