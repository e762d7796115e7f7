"""The published network: our numbers are those of an independent implementation."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dgno.networks.config import CHOICES, DGNOConfig
from dgno.networks.presets import make_operator
from dgno.weights.official import our_name
from published import FULL, GOLDEN, SHARED, SMALL, Case, assert_same_numbers, load_case, metadata_of


@functools.cache
def case(name: str) -> Case:
    return load_case(name)


@functools.cache
def operator_cases() -> dict[str, Tensor]:
    return load_file(GOLDEN / "operator_all_cases.safetensors")


@pytest.mark.parametrize("flux", [flux for flux in CHOICES["flux"] if flux != "upwind_frobenius"])
@pytest.mark.parametrize("boundary", CHOICES["boundary"])
@pytest.mark.parametrize("traces", CHOICES["traces"])
def test_operator_layer(traces: str, flux: str, boundary: str, backend: str) -> None:
    """One operator layer, in all 24 combinations of variant, flux and border, gives the published code's numbers."""
    facts = metadata_of(GOLDEN / "operator_all_cases.safetensors")
    config = DGNOConfig(
        width=16,
        heads=int(facts["heads"]),
        element_size=int(facts["element"]),
        tau=float(facts["tau"]),
        traces=traces,
        flux=flux,
        boundary=boundary,
        convention="released",
    )
    layer = make_operator(config, 16)
    prefix = "operator_full.layers.0."
    found = {k.removeprefix("param."): v for k, v in operator_cases().items() if k.startswith("param.")}
    named = {our_name(f"conv0.{name}").removeprefix(prefix): value for name, value in found.items()}
    wanted = {n: p for n, p in layer.state_dict().items() if n != "assembly.flux.tau"}
    assert wanted.keys() == named.keys()
    layer.load_state_dict({n: named[n].reshape(p.shape) for n, p in wanted.items()}, strict=False)  # all but tau
    with torch.inference_mode():
        out = layer(operator_cases()["input"])
    difference = (out - operator_cases()[f"output.{traces}.{flux}.{boundary}"]).abs()
    assert difference.max() <= 1e-5  # nothing is sorted here, so no tie excuses more


def test_operator_cases_differ() -> None:
    """The outputs are so far apart that none passes for another; upwind, here still about central, is told from it
    in tests/operators."""
    outputs = {name: value for name, value in operator_cases().items() if name.startswith("output.")}
    assert len(outputs) == 24
    for (name, a), (other, b) in itertools.combinations(outputs.items(), 2):
        if other != name.replace("central", "upwind"):
            assert (a - b).abs().max() > 1e-3, (name, other)


@pytest.mark.parametrize("name", FULL)
def test_full_size_networks(name: str, backend: str) -> None:
    """The full-size networks (12.8 M parameters) give the published code's numbers at all three resolutions."""
    known = case(name)
    with torch.inference_mode():
        outputs = known.network.at_all_scales(known.image)
    for ours, theirs in zip(outputs, known.outputs, strict=True):
        assert_same_numbers(ours, theirs)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks(name: str, every_backend: str) -> None:
    """Networks of width 16 with random parameters give the published code's numbers, also token by token."""
    if not (SHARED / f"{name}.params.safetensors").exists():
        pytest.skip(f"the numbers are not in {SHARED}; DGNO_SHARED names another folder")
    known = case(name)
    with torch.inference_mode():
        outputs = known.network.at_all_scales(known.image)
    for ours, theirs in zip(outputs, known.outputs, strict=True):
        assert_same_numbers(ours, theirs)


@pytest.mark.parametrize("name", FULL)
def test_other_parameters_give_other_numbers(name: str) -> None:
    """The comparison is not blind: six taus of the other sign, and the numbers do not pass."""
    known = load_case(name)
    taus = [p for key, p in known.network.named_parameters() if key.endswith(".tau")]
    assert len(taus) == 6
    with torch.inference_mode():
        for tau in taus:
            tau.neg_()
        out = known.network(known.image)
    with pytest.raises(AssertionError):
        assert_same_numbers(out, known.outputs[0])
