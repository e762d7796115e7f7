"""Numbers of weights that are wrong or odd: refused, or told of; and what the cast to float32 keeps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints import TINY, released_checkpoint, tiny_network
from torch import Tensor
from weight_files import CARD

from dgno.errors import CheckpointError, CheckpointMismatch, CorruptCheckpoint, DgnoWarning
from dgno.networks.dgno import DGNO
from dgno.weights.imported import import_checkpoint
from dgno.weights.official import Choices
from dgno.weights.store import embedded_names, load_network, load_weights, save_weights

ONE = "output_full.weight"


def loaded(tmp_path: Path, change: Callable[[Tensor], Tensor]) -> tuple[DGNO, dict[str, Tensor]]:
    """What comes of the weights whose tensors were changed, and these tensors."""
    stored = {name: change(tensor) for name, tensor in tiny_network().state_dict().items()}
    return load_weights(save_weights(tmp_path / "w.safetensors", stored, CARD))[0], stored


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_shorter_floats_are_kept_exactly_and_silently(tmp_path: Path, dtype: torch.dtype) -> None:
    """Every number of theirs is one of float32; a warning would be an error here."""
    network, stored = loaded(tmp_path, lambda tensor: tensor.to(dtype))
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor.to(dtype), stored[name])
        assert torch.equal(tensor.double(), stored[name].double())


def test_float64_is_rounded_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(DgnoWarning, match=r"w\.safetensors: the weights are float64; they are rounded to float32"):
        network, stored = loaded(tmp_path, lambda tensor: tensor.double() * (1 + 1e-12))
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor.double(), stored[name], rtol=2**-24, atol=0)


@pytest.mark.parametrize(("change", "said"), [
    (torch.zeros_like, "all weights are zero"),
    (lambda tensor: torch.full_like(tensor, 1e-40), "denormal numbers among the weights"),
    (lambda tensor: tensor.double() * 1e-40, "denormal numbers among the weights"),
])  # fmt: skip
def test_weights_of_no_trained_network_are_told(tmp_path: Path, change: Callable[[Tensor], Tensor], said: str) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaded(tmp_path, change)
    assert said in " ".join(str(one.message) for one in told)
    assert {one.category for one in told} == {DgnoWarning}


def test_one_denormal_number_is_counted_and_zeros_are_not(tmp_path: Path) -> None:
    """A bias that is zero is nothing odd."""
    network = tiny_network()
    tensors = network.state_dict()
    tensors[ONE][0, 1, 2, 0] = 1e-39
    tensors["lifting.latent.0.scan.norm.bias"].zero_()
    save_weights(tmp_path / "w.safetensors", tensors, CARD)
    with pytest.warns(DgnoWarning, match="denormal numbers among the weights: 1, below"):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(("change", "error"), [
    (lambda tensor: tensor.double() + 1e39, CorruptCheckpoint),
    (lambda tensor: tensor.to(torch.int8), CheckpointMismatch),
    (lambda tensor: tensor > 0, CheckpointMismatch),
])  # fmt: skip
def test_what_float32_cannot_hold_is_refused(
    tmp_path: Path, change: Callable[[Tensor], Tensor], error: type[CheckpointError]
) -> None:
    """Doubles that would become infinite, and integers, which would become other numbers unseen."""
    with pytest.raises(error) as caught:
        loaded(tmp_path, change)
    assert caught.value.path == tmp_path / "w.safetensors"


IMPORTED = {
    "float64": (torch.Tensor.double, DgnoWarning, "float64"),
    "zero": (torch.zeros_like, DgnoWarning, "all weights are zero"),
    "NaN": (lambda tensor: tensor * torch.nan, CorruptCheckpoint, "NaN, infinite or beyond float32"),
    "int8": (lambda tensor: tensor.to(torch.int8), CheckpointMismatch, "no floating-point numbers"),
}


@pytest.mark.parametrize("kind", IMPORTED)
def test_importing_a_checkpoint_tells_the_same(tmp_path: Path, kind: str) -> None:
    """About the checkpoint, before anything is written where it is refused."""
    change, expected, said = IMPORTED[kind]
    params = {name: change(tensor) for name, tensor in released_checkpoint(TINY).items()}
    torch.save({"params": params}, tmp_path / "net.pth")
    told = pytest.warns if expected is DgnoWarning else pytest.raises
    with told(expected, match=rf"net\.pth.*{said}|{said}.*net\.pth"):  # type: ignore[operator]
        import_checkpoint(tmp_path / "net.pth", tmp_path / "w.safetensors", Choices("jump", "neumann"))
    assert (tmp_path / "w.safetensors").exists() == (expected is DgnoWarning)


@pytest.mark.parametrize("name", embedded_names())
def test_the_weights_of_the_package_are_not_suspicious(name: str) -> None:
    load_network(name)
