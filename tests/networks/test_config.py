"""The configuration: wrong ones are refused with all their problems, and every field of a right one has an effect."""

from __future__ import annotations

import dataclasses
import inspect
import zlib

import pytest
import torch
from torch import Tensor

from dgno.errors import ConfigError
from dgno.networks.config import CHOICES, DGNOConfig
from dgno.networks.dgno import DGNO
from dgno.networks.presets import NETWORKS, build


def configure(config: DGNOConfig | None = None, **fields: object) -> DGNOConfig:
    """A configuration as a file would make it: without the check of annotations that only tests have."""
    made: DGNOConfig = object.__new__(DGNOConfig)
    inspect.unwrap(DGNOConfig.__init__)(made, **({} if config is None else vars(config)) | fields)
    return made


SMALL = DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper")


@pytest.mark.parametrize("name", CHOICES)
def test_unknown_choices_are_refused(name: str) -> None:
    """A value that is not among a field's choices: the message names the field, the value and the choices."""
    with pytest.raises(ConfigError) as error:
        configure(SMALL, **{name: "strange"})
    assert all(word in str(error.value) for word in (name, "'strange'", *map(repr, CHOICES[name])))


@pytest.mark.parametrize(
    "field, value",
    [
        ("width", 0),
        ("width", 7),
        ("width", 2),
        ("heads", 0),
        ("heads", 3),
        ("heads", 8),
        ("element_size", 0),
        ("iterations", 0),
        ("blocks", (1, 1, 1)),
        ("blocks", (1, 0, 1, 1)),
        ("blocks", ()),
        ("scan_block", 0),
        ("scan_block", 12),
        ("scan_block", -8),
        ("channels", 2),
    ],
)
def test_impossible_numbers_are_refused(field: str, value: object) -> None:
    """Numbers from which no network can be made: the message names the field and what came."""
    with pytest.raises(ConfigError, match=field) as error:
        configure(SMALL, **{field: value})
    assert str(value) in str(error.value)


def test_all_problems_are_named_at_once() -> None:
    """One error lists everything that is wrong."""
    with pytest.raises(ConfigError) as error:
        configure(channels=2, flux="strange", blocks=(1, 1), scan_block=3, iterations=0)
    assert all(word in str(error.value) for word in ("channels", "flux", "blocks", "scan_block", "iterations"))


@pytest.mark.parametrize(
    "field, value",
    [
        ("width", "48"),
        ("width", 48.0),
        ("heads", None),
        ("blocks", 2),
        ("blocks", (1.5, 1, 1, 1)),
        ("tau", "a quarter"),
        ("tau", float("nan")),
        ("tau_learnt", "no"),
        ("scan_block", 16.0),
        ("prompt_sorted", 2),
        ("channels", True),
    ],
)
def test_values_of_another_type_are_refused(field: str, value: object) -> None:
    """Configurations come from files as well: a value of another type is a ConfigError that names the field."""
    with pytest.raises(ConfigError, match=field):
        configure(SMALL, **{field: value})


def with_random_parameters(config: DGNOConfig) -> DGNO:
    """A network in eval mode whose parameters depend on their names and shapes only, and are away from their start."""
    torch.manual_seed(0)
    network = build(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim:
                random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return network.eval()


def restored(config: DGNOConfig) -> Tensor:
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return with_random_parameters(config)(image)


FACE = dataclasses.replace(SMALL, traces="face", flux="avg_jump")
# A change of every field, and where it matters, the configuration on which it is seen.
CHANGES: dict[str, list[tuple[DGNOConfig, object]]] = {
    "width": [(SMALL, 16)],
    "blocks": [(SMALL, (2, 1, 1, 1)), (SMALL, (1, 2, 1, 1)), (SMALL, (1, 1, 2, 1)), (SMALL, (1, 1, 1, 2))],
    "heads": [(SMALL, 4)],
    "traces": [(SMALL, "face")],
    "flux": [(SMALL, other) for other in CHOICES["flux"] if other != "jump"],
    "boundary": [(SMALL, "dirichlet"), (SMALL, "periodic"), (FACE, "dirichlet")],
    "convention": [(SMALL, "released"), (FACE, "released")],
    "scope": [(SMALL, "none"), (SMALL, "global"), (SMALL, "blocks")],
    "element_size": [(SMALL, 4), (SMALL, 16)],
    "iterations": [(SMALL, 1), (SMALL, 3)],
    "tau": [(SMALL, 0.5), (FACE, 0.0)],
    "scan_block": [(SMALL, 32), *((dataclasses.replace(SMALL, lifting=kind), 32) for kind in ("nafnet", "restormer"))],
    "shallow_norm": [(SMALL, "channel"), (SMALL, "none")],
    "prompt_sorted": [(SMALL, True), (dataclasses.replace(SMALL, scan_block=32), True)],
    "activation": [(SMALL, "relu")],
    "lifting": [(SMALL, "nafnet"), (SMALL, "restormer"), (dataclasses.replace(SMALL, scope="blocks"), "nafnet")],
}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_has_an_effect(field: str) -> None:
    """Another value of a field gives another image, from equal parameters."""
    for config, value in CHANGES[field]:
        changed = dataclasses.replace(config, **{field: value})
        difference = (restored(changed) - restored(config)).abs().max()
        assert difference > 1e-5, f"{field}={value!r} changes nothing"


def test_no_field_is_forgotten() -> None:
    """All fields are tried above, or below."""
    assert {field.name for field in dataclasses.fields(DGNOConfig)} == {*CHANGES, "channels", "tau_learnt"}


@pytest.mark.parametrize("learnt", [True, False])
def test_tau_is_learnt_or_fixed(learnt: bool) -> None:
    """tau_learnt decides whether tau has a gradient, tau where it starts, in all six layers."""
    network = build(dataclasses.replace(SMALL, tau=0.125, tau_learnt=learnt))
    taus = [p for name, p in network.named_parameters() if name.endswith(".tau")]
    assert [tau.item() for tau in taus] == [0.125] * 6
    assert all(tau.requires_grad is learnt for tau in taus)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_those_of_the_image(channels: int) -> None:
    """A network of 1 or 3 channels takes and gives images of so many."""
    network = with_random_parameters(dataclasses.replace(SMALL, channels=channels))
    with torch.inference_mode():
        assert network(torch.rand(2, channels, 32, 32)).shape == (2, channels, 32, 32)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_preset_can_be_built(name: str) -> None:
    """Every named network is made without touching memory, and knows its channels."""
    with torch.device("meta"):
        assert build(NETWORKS[name]).channels == 1
