"""Weights as files: what is saved comes back, and damage of any kind is found."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import TINY, TINY_FACE, tiny_network
from safetensors.torch import save_file
from weight_files import CARD, parts_of

from dgno.errors import CheckpointError, CorruptCheckpoint, OutputError, UnknownWeights
from dgno.networks.presets import NETWORKS, build
from dgno.weights import store
from dgno.weights.store import Card, digest, load_weights, parameters, read_weights, save_weights


@pytest.mark.parametrize("config", [TINY, TINY_FACE, NETWORKS["nano-cell"]], ids=["cell", "face", "nano"])
def test_the_network_comes_back(config: Any, tmp_path: Path) -> None:
    """The file rebuilds the network: same configuration, same numbers, same restored image, in eval mode."""
    network, card = tiny_network(config), replace(CARD, network=config)
    loaded, facts = load_weights(save_weights(tmp_path / "w.safetensors", network.state_dict(), card))
    assert facts == card
    assert loaded.halo == 48
    assert not loaded.training
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), network.state_dict().values(), strict=True)
    )
    x = torch.rand(1, config.channels, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(x), network(x))


def test_an_unknown_halo_stays_the_default(tmp_path: Path) -> None:
    """Weights whose halo was not measured leave that of the network."""
    network = tiny_network()
    loaded, _ = load_weights(save_weights(tmp_path / "w.safetensors", network.state_dict(), Card(TINY)))
    assert loaded.halo == network.halo


def test_the_same_weights_give_the_same_bytes(file: Path, tmp_path: Path) -> None:
    """Nothing but network and card is in the file: neither time nor place nor the order of the tensors."""
    shuffled = dict(reversed(tiny_network().state_dict().items()))
    again = save_weights(tmp_path / "again.safetensors", shuffled, CARD)
    assert again.read_bytes() == file.read_bytes()


def test_a_failed_save_leaves_what_was_there(file: Path) -> None:
    """Weights appear whole or not at all: a disk that fills up leaves the old file, and nothing beside it."""
    resource = pytest.importorskip("resource")
    before, (soft, hard) = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OutputError):
            save_weights(file, tiny_network().state_dict(), CARD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_names_find_embedded_weights(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without path is that of weights in the package; a path wins over a name."""
    monkeypatch.setattr(store, "EMBEDDED", file.parent)
    assert store.embedded_names() == ["tiny"]
    assert store.find_weights("tiny") == file
    assert load_weights("tiny")[1] == CARD
    assert store.find_weights(file) == store.find_weights(str(file)) == file


@pytest.mark.parametrize("typo", ["fluorescence-nan", "flourescence-nano", "fluorescence_nano"])
def test_typos_get_near_names(typo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name is an error that tells near and known names, and how to give a file."""
    for name in ("fluorescence-nano", "brightfield-nano"):
        (tmp_path / f"{name}.safetensors").touch()
    monkeypatch.setattr(store, "EMBEDDED", tmp_path)
    with pytest.raises(UnknownWeights) as error:
        store.find_weights(typo)
    assert all(
        word in str(error.value) for word in (repr(typo), "did you mean fluorescence-nano", "brightfield-nano", "./")
    )


def test_names_are_no_way_out_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is looked up, not joined to a path: `../` leads nowhere."""
    (tmp_path / "embedded").mkdir()
    (tmp_path / "secret.safetensors").touch()
    monkeypatch.setattr(store, "EMBEDDED", tmp_path / "embedded")
    for name in ("../secret", "", ".", "no-such", str(tmp_path)):
        with pytest.raises(UnknownWeights):
            store.find_weights(name)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.99, 0.99999])
def test_truncation_is_found(file: Path, share: float) -> None:
    """A file that ends early is corrupt, wherever it ends."""
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CorruptCheckpoint) as error:
        load_weights(file)
    assert error.value.path == file


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"\xff" * 100, b"PK\3\4" + b"\0" * 100, b"not weights"], ids=repr)
def test_other_files_are_refused(file: Path, data: bytes) -> None:
    """Files of other kinds are corrupt as weights; the hint tells how a .pth is converted."""
    file.write_bytes(data)
    with pytest.raises(CorruptCheckpoint, match="import-weights"):
        load_weights(file)


def test_every_flipped_bit_is_found(file: Path) -> None:
    """A flip of any bit, in the header or the tensors, is a CheckpointError, or changes nothing that is loaded."""
    good = file.read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    card, tensors = read_weights(file)
    draw = random.Random(0)
    positions = [
        *range(8),
        *(draw.randrange(8, header) for _ in range(60)),
        *(draw.randrange(header, len(good)) for _ in range(40)),
    ]
    harmless = 0
    for position in positions:
        bad = bytearray(good)
        bad[position] ^= 1 << draw.randrange(8)
        file.write_bytes(bad)
        try:
            card_now, now = read_weights(file)
        except CheckpointError:
            continue
        assert card_now == card
        assert now.keys() == tensors.keys()
        assert all(torch.equal(now[name], tensors[name]) for name in tensors)
        harmless += 1
    assert harmless < len(positions) / 10


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    """One NaN or infinity anywhere is an error that names the tensor."""
    tensors = {name: tensor.contiguous() for name, tensor in tiny_network().state_dict().items()}
    tensors["lifting.latent.0.scan.scan.D"][3] = value
    path = tmp_path / "w.safetensors"
    card = CARD.to_json()
    header = {"format": "dgno-weights", "schema": "1", "card": card, "sha256": digest(card, tensors)}
    save_file(tensors, path, metadata=header)
    with pytest.raises(CorruptCheckpoint, match=r"lifting\.latent\.0\.scan\.scan\.D"):
        load_weights(path)


def test_changed_tensors_are_found(file: Path) -> None:
    """Another number, dtype, shape or name of one tensor changes the hash."""
    _, tensors = parts_of(file)
    name = "output_full.weight"
    changed = [
        tensors | {name: tensors[name] + 1e-7},
        tensors | {name: tensors[name].view(torch.int32)},
        tensors | {name: tensors[name].reshape(-1)},
        {("other" if n == name else n): t for n, t in tensors.items()},
        {n: t for n, t in tensors.items() if n != name},
    ]
    assert len({digest(CARD.to_json(), t) for t in (tensors, *changed)}) == 6


def test_parameters_are_counted() -> None:
    """Two layers of 3 x 4 and 4 numbers are 16."""
    assert parameters(torch.nn.Linear(3, 4)) == 16


def test_loading_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    path = save_weights(tmp_path / "w.safetensors", build(TINY).state_dict(), Card(TINY))
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_weights(path)
    assert torch.equal(torch.rand(3), expected)


def test_weights_of_unknown_halo_are_not_called_local(tmp_path: Path) -> None:
    """Tiles of theirs are faded into each other."""
    local = replace(TINY, convention="paper", scan_block=32, shallow_norm="none")
    for halo in (None, 32):
        path = save_weights(tmp_path / f"{halo}.safetensors", build(local).state_dict(), Card(local, halo=halo))
        assert load_weights(path)[0].is_local is (halo is not None)


@pytest.mark.parametrize("name", ["missing.safetensors", "runs/missing", "."])
def test_a_path_without_a_file_is_called_that(name: str) -> None:
    """Not a name that is unknown, of which a list would follow."""
    with pytest.raises(UnknownWeights, match="no weights at") as raised:
        store.find_weights(name)
    assert "fluorescence-nano" not in str(raised.value)
