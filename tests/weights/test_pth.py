"""Third-party checkpoints: tensors come through, nothing else does, and no code ever runs."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import TINY, released_checkpoint, tiny_network

from dgno.errors import CheckpointError, CheckpointMismatch, CorruptCheckpoint, UnsafeCheckpoint
from dgno.weights import pth
from dgno.weights.imported import import_checkpoint
from dgno.weights.official import Choices, to_ours
from dgno.weights.pth import read_params
from dgno.weights.store import load_weights


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read here instead of in a child process, which takes seconds; without the bound on memory."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = pth._child(*command[-2:])
        return subprocess.CompletedProcess(command, status, stderr=said.getvalue())

    monkeypatch.setattr(pth.subprocess, "run", run)
    monkeypatch.setattr(pth, "_limit_memory", lambda extra: None)


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


@pytest.fixture
def good(tmp_path: Path) -> Path:
    torch.save({"params": {"weight": torch.arange(1000.0)}}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def rezipped(path: Path, compression: int = zipfile.ZIP_STORED, extra: dict[str, bytes] | None = None) -> Path:
    """The archive written again with another compression, or with more entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in (entries | (extra or {})).items():
            archive.writestr(name, data)
    return path


@here
def test_archives_written_again_are_read(good: Path) -> None:
    """An archive that another program has stored anew is as good: the refusals below have their own reasons."""
    assert torch.equal(read_params(rezipped(good))["weight"], torch.arange(1000.0))


def test_compressed_archives_are_refused(good: Path) -> None:
    """torch.save never compresses, bombs do: 100 MB in 100 kB are refused from the directory, before unpacking."""
    with pytest.raises(UnsafeCheckpoint, match="unpacks to more"):
        read_params(rezipped(good, zipfile.ZIP_DEFLATED, {"net/data/bomb": bytes(10**8)}))


def test_directories_that_lie_are_refused(good: Path) -> None:
    """An entry that claims to be longer than the file is refused."""
    data = bytearray(good.read_bytes())
    entry = data.rfind(b"PK\1\2")
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    good.write_bytes(data)
    with pytest.raises(CheckpointError):
        read_params(good)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "net/../../evil"])
def test_names_outside_the_archive_are_refused(good: Path, name: str) -> None:
    """Entries named as places elsewhere are refused."""
    with pytest.raises(UnsafeCheckpoint, match="outside"):
        read_params(rezipped(good, extra={name: b"x"}))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_archives_are_corrupt(good: Path, share: float) -> None:
    """An archive that ends early is corrupt."""
    data = good.read_bytes()
    good.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CorruptCheckpoint):
        read_params(good)


@here
def test_damaged_archives_are_errors_of_ours(good: Path) -> None:
    """Flipped bytes anywhere give a CheckpointError, or tensors; never another exception."""
    data = good.read_bytes()
    for position in range(0, len(data), len(data) // 60):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        good.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            assert read_params(good)["weight"].shape == (1000,)


def test_plain_pickles_are_refused(tmp_path: Path) -> None:
    """Pickles outside a zip archive, as torch wrote them before 1.6, are not opened at all."""
    sentinel = tmp_path / "was-here"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"params": Call(os.system, f"touch {sentinel}")}))
    torch.save({"params": {}}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("plain.pth", "old.pth"):
        with pytest.raises(CorruptCheckpoint, match=r"torch\.save"):
            read_params(tmp_path / name)
    assert not sentinel.exists()


@pytest.mark.parametrize(
    "status, expected", [(-9, CorruptCheckpoint), (1, CorruptCheckpoint), (137, CorruptCheckpoint)]
)
def test_a_child_that_dies_is_an_error(
    good: Path, status: int, expected: type[CheckpointError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is killed, or ends without tensors, is a CheckpointError."""

    def die(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, status, stderr="")

    monkeypatch.setattr(pth.subprocess, "run", die)
    with pytest.raises(expected, match="killed"):
        read_params(good)


def test_a_child_that_hangs_is_ended(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes too long is ended, and the file called unsafe."""
    run = subprocess.run

    def sleep(command: list[str], *, timeout: float, **rest: Any) -> object:
        return run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2, **rest)

    monkeypatch.setattr(pth.subprocess, "run", sleep)
    with pytest.raises(UnsafeCheckpoint, match="too long"):
        read_params(good)


def test_systems_without_limits_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system knows no bound on memory (Windows), the reader does without."""
    monkeypatch.setitem(sys.modules, "resource", None)
    pth._limit_memory(0)


def test_the_child_is_asked_without_a_shell(good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file name is an argument, whatever characters it has; and one like an option stays a file."""
    commands = []

    def record(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append((command, options))
        return subprocess.CompletedProcess(command, 1, stderr="")

    monkeypatch.setattr(pth.subprocess, "run", record)
    strange = tmp_path / "-c import os; $(touch x) `y`.pth"
    good.rename(strange)
    with pytest.raises(CorruptCheckpoint):
        read_params(strange)
    ((command, options),) = commands
    assert str(strange) in command
    assert not options.get("shell")


def test_no_module_of_the_current_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint may lie beside a file named like one of the reader's modules."""
    (tmp_path / "safetensors.py").write_text("from pathlib import Path; Path('ran').touch()")
    torch.save({"params": {"x": torch.zeros(2)}}, tmp_path / "c.pth")
    monkeypatch.chdir(tmp_path)
    assert read_params(tmp_path / "c.pth").keys() == {"x"}
    assert not (tmp_path / "ran").exists()
