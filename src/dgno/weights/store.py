"""Weights as files: safetensors whose header says how to rebuild the network and how to use it.

The header (the file's metadata) has
    format    "dgno-weights"
    schema    of the header, a number: the lowest that can say the card
    card      JSON: the network's configuration, normalisation, halo, and facts about the training
    sha256    over the card and all tensors, so that damage is found
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dgno.errors import CheckpointMismatch, ConfigError, CorruptCheckpoint, UnknownWeights
from dgno.io.atomic import write_atomically
from dgno.io.checksum import file_sha256
from dgno.kernels.defaults import own_defaults
from dgno.networks.blur_reader import BlurReader
from dgno.networks.config import SINCE, DGNOConfig
from dgno.networks.dbmid import DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.networks.presets import FAMILIES, Network, NetworkConfig, build
from dgno.networks.vgg import VGG
from dgno.weights.suspicion import as_float32

FORMAT, SCHEMA = "dgno-weights", 3
NORMALIZATIONS = ("range", "percentile", "minmax")
FILE_SHA256, STORED_SHA256 = "file sha256", "card and tensors sha256"  # what weights are known by; see `hashes`
EMBEDDED = Path(__file__).parent / "embedded"
LARGEST_FILE = 8 * 2**30  # bytes


@dataclass(frozen=True)
class Card:
    """What is known about weights besides their tensors.

    network : the configuration, of any family, that `dgno.networks.build` makes the network from
    image : what they were trained for, "fluorescence" or "bright field"; empty if unknown
    normalization : how images are brought to [0, 1]: "range" (black to white), "percentile" (0.1 to 99.9) or "minmax"
    halo : px of context at which tiles agree with the whole image; None if it was not measured
    training : facts for people: data, steps, blur, date, results
    """

    network: NetworkConfig
    image: str = ""
    normalization: str = "range"
    halo: int | None = None
    training: Mapping[str, Any] = field(default_factory=dict)  # Any: free facts, only shown

    def __post_init__(self) -> None:
        if self.halo is not None and (not isinstance(self.halo, int) or self.halo < 0):
            raise ConfigError(f"halo is {self.halo!r}, wanted a number of px, or None")
        if self.normalization not in NORMALIZATIONS:
            raise ConfigError(f"normalization is {self.normalization!r}, wanted one of {', '.join(NORMALIZATIONS)}")
        if not isinstance(self.image, str) or not isinstance(self.training, Mapping):
            raise ConfigError("image is text and training a table")

    def to_json(self) -> str:
        """The card in the words of its schema, which older versions can read."""
        facts, schema = dataclasses.asdict(self), self.network.schema
        facts["network"] = {key: value for key, value in facts["network"].items() if SINCE.get(key, 1) <= schema}
        if self.network.family != DGNOConfig.family:
            facts["network"]["family"] = self.network.family
        return json.dumps(facts, sort_keys=True)


def embedded_names() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(path.stem for path in EMBEDDED.glob("*.safetensors"))


def find_weights(name: str | Path) -> Path:
    """The file of weights given by name or by path."""
    if not isinstance(name, str | os.PathLike):
        raise UnknownWeights(f"weights of type {type(name).__name__}", hint="give a name, or the path of a file")
    path = Path(name)
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:  # a name that is too long, or a folder that may not be looked into
        raise UnknownWeights(f"no weights at {str(name)!r}", why=error.strerror or "") from error
    if is_file:
        return path
    embedded = EMBEDDED / f"{name}.safetensors"
    if str(name) in embedded_names():
        return embedded
    if is_folder or path.suffix or path.name != str(name):
        what = "a folder" if is_folder else "there is no such file"
        raise UnknownWeights(f"no weights at {str(name)!r}", why=what, hint="give the path of a .safetensors file")
    known = embedded_names()
    nearest = difflib.get_close_matches(str(name), known, n=2)
    meant = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    hint = f"{meant}known: {', '.join(known) or 'none'}. For a file, give its path: ./my.safetensors"
    raise UnknownWeights(f"no weights named {str(name)!r}", hint=hint)


def save_weights(path: Path, tensors: Mapping[str, Tensor], card: Card) -> Path:
    """Write weights; the file appears under its name only when it is whole."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "schema": str(card.network.schema), "card": card.to_json()}
    header["sha256"] = digest(header["card"], kept)
    data = _ordered(save(kept, metadata=header))

    def write(file: BinaryIO) -> None:
        file.write(data)

    def check(written: Path) -> None:
        read_weights(written)

    write_atomically(path, write, check)
    return path


def _ordered(data: bytes) -> bytes:
    """A safetensors file with the entries of its header in order: the library writes them in a random one."""
    end = 8 + int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def load_weights(name: str | Path) -> tuple[DGNO | DBMIDNet, Card]:
    """The restoring network, in eval mode, and the card of weights given by name or by path.

    Tensors of another floating dtype are cast to float32; see `as_float32` for what is warned of. Raises
    UnknownWeights, CorruptCheckpoint, CheckpointMismatch.
    """
    network, card = load_network(name)
    if isinstance(network, BlurReader | VGG):
        why = "they tell how an image is blurred"
        hint = f"give weights that restore: {', '.join(n for n in embedded_names() if restores(n))}"
        raise CheckpointMismatch("the weights do not restore", path=Path(name), why=why, hint=hint)
    return network, card


def load_classifier(name: str | Path) -> tuple[BlurReader | VGG, Card]:
    """The network that tells how images are blurred, in eval mode, and its card. Raises as `load_weights`."""
    network, card = load_network(name)
    if not isinstance(network, BlurReader | VGG):
        why, hint = "they restore", f"give weights like {', '.join(n for n in embedded_names() if not restores(n))}"
        raise CheckpointMismatch("the weights do not tell the blur", path=Path(name), why=why, hint=hint)
    return network, card


def restores(name: str | Path) -> bool:
    """Are these the weights of a network that restores, rather than of one that tells how images are blurred?"""
    try:
        with safe_open(path := find_weights(name), framework="pt") as file:
            return not _read_card(file.metadata() or {}, path).network.tells_types
    except (SafetensorError, OSError) as error:
        raise CorruptCheckpoint("not a whole safetensors file", path=path, why=str(error)) from error


@own_defaults()
def load_network(name: str | Path) -> tuple[Network, Card]:
    """The network of any family, see `load_weights`."""
    path = find_weights(name)
    card, tensors = read_weights(path)
    with torch.device("meta"):  # compare shapes before taking memory
        check_fit(build(card.network), tensors, path=path)
    tensors = as_float32(tensors, path)
    with torch.random.fork_rng(devices=[]):  # fresh parameters are drawn only to be replaced
        network = build(card.network)
    network.load_state_dict(tensors)
    if isinstance(network, VGG):
        return network.eval(), card
    if card.halo is not None:
        network.halo = card.halo
    elif isinstance(network, DGNO):
        network.is_local = False  # how much context tiles need was never measured, or is too much: fade between them
    return network.eval(), card


def read_weights(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """Card and tensors of a file, after checking that it is whole, ours, and finite."""
    if path.stat().st_size > LARGEST_FILE:
        raise CorruptCheckpoint("the file is too large for weights", path=path, why=f"over {LARGEST_FILE} bytes")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        hint = "get the file again; a .pth file is converted by `dgno import-weights`"
        raise CorruptCheckpoint("not a whole safetensors file", path=path, why=str(error), hint=hint) from error
    card = _read_card(header, path)
    if header.get("sha256") != digest(header["card"], tensors):
        raise CorruptCheckpoint(
            "the file is damaged", path=path, why="its hash is not the stored one", hint="get it again"
        )
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise CorruptCheckpoint("the weights hold NaN or infinite values", path=path, why=f"in {bad[0]}")
    return card, tensors


def stored_sha256(path: Path) -> str:
    """The hash in the header of a file, by which its contents are known; see `digest`."""
    with safe_open(path, framework="pt") as file:
        return str((file.metadata() or {}).get("sha256", ""))


def hashes(path: Path) -> dict[str, str]:
    """Both hashes of a file of weights, by their names: of all its bytes, which outputs name and `sha256sum` gives; and
    the one in its header, of card and tensors alone."""
    return {FILE_SHA256: file_sha256(path), STORED_SHA256: stored_sha256(path)}


def _read_card(header: Mapping[str, str], path: Path) -> Card:
    if header.get("format") != FORMAT:
        hint = "give weights that dgno wrote; published checkpoints are converted by `dgno import-weights`"
        raise CheckpointMismatch("a safetensors file without the header of dgno weights", path=path, hint=hint)
    if not header.get("schema", "").isdecimal() or int(header["schema"]) > SCHEMA:
        why = f"its header has schema {header.get('schema')}, this version reads up to {SCHEMA}"
        raise CheckpointMismatch("the weights are from a newer dgno", path=path, why=why, hint="upgrade dgno")
    try:
        facts = json.loads(header["card"])
        kind = FAMILIES[facts["network"].pop("family", DGNOConfig.family)]
        if missing := [f.name for f in dataclasses.fields(kind) if f.name not in facts["network"] | SINCE]:
            raise KeyError(f"network {missing[0]}")
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in facts["network"].items()}
        return Card(**facts | {"network": kind(**fields)})  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, ConfigError) as error:
        raise CorruptCheckpoint("the header of the weights cannot be read", path=path, why=str(error)) from error


def check_fit(network: nn.Module, tensors: Mapping[str, Tensor], *, path: Path | None = None) -> dict[str, Tensor]:
    """The tensors, if they are just those of the network; else CheckpointMismatch with the first differences."""
    wanted = network.state_dict()
    problems = [f"missing {name}" for name in wanted if name not in tensors]
    problems += [f"unexpected {name}" for name in tensors if name not in wanted]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    if problems:
        listed = "; ".join(problems[:5]) + ("; ..." if len(problems) > 5 else "")
        raise CheckpointMismatch(
            "the tensors do not fit the network", path=path, why=f"{len(problems)} differences: {listed}"
        )
    return dict(tensors)


def digest(card: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the card as the header has it and every tensor's name, dtype, shape and bytes."""
    sha = hashlib.sha256(card.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            sha.update(tensor.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def parameters(network: torch.nn.Module) -> int:
    """How many numbers a network has learnt."""
    return sum(math.prod(p.shape) for p in network.parameters())
