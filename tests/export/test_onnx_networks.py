"""Networks of every kind as ONNX: onnxruntime computes what the references in PyTorch compute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dgno.errors import NotExportable
from dgno.export.agreement import Session, compared, drawn_image, open_session
from dgno.export.model import Form, make_model
from dgno.kernels import backends
from dgno.networks import DGNOConfig, build
from dgno.networks.dbmid import DBMIDConfig, DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.networks.presets import NetworkConfig
from published import FULL, SMALL, assert_same_numbers, folder_of, load_case

LOCAL = DGNOConfig(
    width=8, heads=2, blocks=(1, 1, 1, 1), iterations=1, convention="paper", scan_block=32, shallow_norm="none",
    prompt_sorted=True,
)  # fmt: skip
PUBLISHED = replace(LOCAL, convention="released", scan_block=None, shallow_norm="instance", prompt_sorted=False)
KINDS: dict[str, NetworkConfig] = {
    "local cell, jump, neumann": LOCAL,
    "local face, avg_jump, dirichlet": replace(LOCAL, traces="face", flux="avg_jump", boundary="dirichlet"),
    "local face, upwind, periodic": replace(LOCAL, traces="face", flux="upwind", boundary="periodic"),
    "local colour, prompt as published, channel norm": replace(
        LOCAL, channels=3, prompt_sorted=False, shallow_norm="channel", element_size=4
    ),
    "published cell, upwind_frobenius, dirichlet": replace(PUBLISHED, flux="upwind_frobenius", boundary="dirichlet"),
    "published face, central, neumann": replace(PUBLISHED, traces="face", flux="central", activation="relu"),
    "published face, jump, periodic": replace(PUBLISHED, traces="face", boundary="periodic"),
    "published face, avg_jump, dirichlet": replace(PUBLISHED, traces="face", flux="avg_jump", boundary="dirichlet"),
    "GG": replace(PUBLISHED, scope="global", prompt_sorted=True),
    "LG": replace(PUBLISHED, scope="none"),
    "nafnet": replace(PUBLISHED, lifting="nafnet"),
    "nafnet, local": replace(LOCAL, lifting="nafnet", scope="blocks"),
    "restormer": replace(PUBLISHED, lifting="restormer"),
    "restormer, local": replace(LOCAL, lifting="restormer", scope="blocks"),
    "dbmid": DBMIDConfig(widths=(4, 6, 8), kernel=5),
    "dbmid, plain": DBMIDConfig(channels=1, widths=(4, 6, 8), kernel=3, inner="plain", global_residual=False),
}


def moved(config: NetworkConfig) -> DGNO | DBMIDNet:
    """A network none of whose parameters is the 0 or 1 that it starts from."""
    torch.manual_seed(0)
    network = build(config).eval()
    assert isinstance(network, DGNO | DBMIDNet)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return network


def session_of(network: DGNO | DBMIDNet, folder: Path, form: Form | None = None) -> Session:
    path = folder / "network.onnx"
    path.write_bytes(make_model(network, form or Form(), {}).SerializeToString())
    return open_session(path)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_network(name: str, tmp_path: Path) -> None:
    """Several images of any size at once; also where an image is too small to be reflected."""
    network = moved(KINDS[name])
    session = session_of(network, tmp_path)
    for b, h, w in ((2, 70, 37), (1, 3, 40), (1, 32, 64)):
        x = drawn_image((b, h, w), network.channels, seed=h)
        with torch.no_grad(), backends.without_compiled():
            wanted = network(x)
        assert (wanted - x).abs().max() > 1e-3  # it does something
        torch.testing.assert_close(session(x), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("opset", [18, 20, 23])
def test_fixed_sizes_and_other_operators(opset: int, tmp_path: Path) -> None:
    network, form = moved(LOCAL), Form((50, 90), opset)
    session = session_of(network, tmp_path, form)
    assert compared(session, network, form, 1).largest < 1e-4
    with pytest.raises(NotExportable, match="cannot run"):
        session(torch.zeros(1, 1, 50, 91))


def test_pixels_of_one_class_keep_their_order(tmp_path: Path) -> None:
    """With a router that finds all pixels alike, the scan goes in raster order, as a stable sort leaves them."""
    network = moved(LOCAL)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "routing.logits" in name:
                parameter.zero_()
    x = drawn_image((1, 64, 64), 1, seed=0)
    with torch.no_grad(), backends.without_compiled():
        wanted = network(x)
    torch.testing.assert_close(session_of(network, tmp_path)(x), wanted, atol=1e-4, rtol=1e-4)


def test_another_network_is_told_apart(tmp_path: Path) -> None:
    network = moved(LOCAL)
    session = session_of(network, tmp_path)
    with torch.no_grad():
        network.output_full.weight.add_(0.01)
    with pytest.raises(NotExportable, match="something else than PyTorch"):
        compared(session, network, Form(), 1)


@pytest.mark.parametrize("name", [*SMALL, FULL[1]])
def test_published_networks_give_the_stored_numbers(name: str, tmp_path: Path) -> None:
    if not (folder_of(name) / f"{name}.io.safetensors").exists():
        pytest.skip(f"no shared data: {name} is not in {folder_of(name)}")
    case = load_case(name)
    assert_same_numbers(session_of(case.network, tmp_path)(case.image), case.outputs[0])
