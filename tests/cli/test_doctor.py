"""`dgno doctor`."""

from __future__ import annotations

import importlib.metadata
import json
import os
from types import SimpleNamespace

import imagecodecs
import pytest
import torch

from command_line import Cli
from dgno.kernels import (
    attentive_lift_c,
    attentive_scan_c,
    compiled,
    convolution_c,
    depthwise_c,
    dg_operator_c,
    feed_forward_c,
    pointwise_c,
    selective_scan_c,
    uniform,
)

LOADED = (attentive_lift_c, attentive_scan_c, convolution_c, depthwise_c, dg_operator_c, feed_forward_c, pointwise_c)
KERNELS = (*LOADED, selective_scan_c, uniform)


def test_doctor(cli: Cli) -> None:
    facts = cli("doctor", "--json").json
    assert facts["libraries"]["torch"] == torch.__version__
    parts = {"feed-forward network", "attentive scan", "attentive lift, with gradients", "DG operator layer"}
    parts |= {"merge of two scales", "random numbers of the routing", "compiled libraries"}
    parts |= {"--precision high", "--precision bf16"}
    parts |= {"gated convolution", "3x3 convolution", "1x1 convolution"}
    assert set(facts["kernels"]) == {"selective scan", "DG operator", *parts}
    table = cli("doctor").out
    assert "limits" in table
    assert "536,870,912" in table


def test_doctor_gives_numbers_as_numbers(cli: Cli) -> None:
    """What is formatted is for the table."""
    facts = cli("doctor", "--json").json
    assert facts["limits"]["pixels"] == 2**29
    assert facts["machine"]["cores"] == os.cpu_count()
    assert facts["machine"]["threads of torch"] == torch.get_num_threads()
    assert facts["machine"]["oneDNN"] in (True, False)
    assert all(isinstance(size, float) for size in facts["weights, MB"].values())


def test_doctor_shows_the_limit_that_the_environment_sets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that `restore` goes by."""
    monkeypatch.setenv("DGNO_MAX_PIXELS", "1234")
    assert cli("doctor", "--json").json["limits"]["pixels"] == 1234
    assert "1,234" in cli("doctor").out
    monkeypatch.setenv("DGNO_MAX_PIXELS", "many")
    assert (cli("doctor").status, "DGNO_MAX_PIXELS" in cli("doctor").err) == (2, True)


def test_doctor_shows_the_codecs(cli: Cli) -> None:
    """Every format that is read and written, by the codecs of this machine."""
    codecs = cli("doctor", "--json").json["codecs"]
    assert all(codecs[f"{name}, read and written"] is True for name in ("PNG", "JPEG", "BMP"))
    assert set(codecs["TIFF, written"]) <= {"deflate", "lzw", "zstd", "none"}
    assert {"none", "lzw", "jpeg", "adobe_deflate"} <= set(codecs["TIFF, read"])
    assert "ojpeg" not in codecs["TIFF, read"]
    assert "adobe_deflate" in cli("doctor").out


def test_doctor_says_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library without which dgno runs does not stop it; a codec that is not there is not promised."""

    def version(name: str) -> str:
        if name == "pillow":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(imagecodecs, "ZSTD", SimpleNamespace(available=False))
    result = cli("doctor", "--json")
    assert result.status == 0, result.err
    assert result.json["libraries"]["pillow"] == "missing"
    assert result.json["codecs"]["TIFF, written"] == ["deflate", "lzw", "none"]


def test_doctor_says_why_a_reference_runs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGNO_SCAN", "chunked")
    assert cli("doctor", "--json").json["kernels"]["selective scan"] == "chunked (asked for by DGNO_SCAN)"


@pytest.mark.parametrize("library", compiled.LIBRARIES)
def test_doctor_names_every_library_that_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Each is optional on its own; a kernel that falls back because of it says why."""
    load = compiled.load_library

    def fail(name: str) -> object:
        if name == library:
            raise OSError("not compiled: no C compiler")
        return load(name)

    monkeypatch.setattr(compiled, "load_library", fail)
    for module in KERNELS:
        module.load.cache_clear()
    try:
        kernels = cli("doctor", "--json").json["kernels"]
    finally:
        for module in KERNELS:
            module.load.cache_clear()
    assert kernels.pop("compiled libraries") == f"no {library} (not compiled: no C compiler)"
    assert any("not compiled" in line for line in kernels.values())


def test_doctor_says_who_draws_random_numbers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch whose generators the compiled code cannot read draws itself."""
    monkeypatch.setattr(uniform, "reads_generators", lambda: False)
    monkeypatch.setattr(uniform, "load", lambda: SimpleNamespace(version_name=lambda: "plain"))
    assert "cannot read" in cli("doctor", "--json").json["kernels"]["random numbers of the routing"]


def test_facts_for_machines_are_json(cli: Cli) -> None:
    assert json.loads(cli("doctor", "--json").out)["dgno"]["version"] == "0.1.0"
