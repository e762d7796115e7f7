"""What the benchmarks stand on: measures that measure, references that are asked for by names that are known."""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import contestants
import fresh_process
import network
import scaling
import side_by_side

from dgno.kernels import backends, fusing
from dgno.networks import NETWORKS, build

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MEBIBYTES = 64
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("script", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_every_benchmark_finds_what_it_imports(script: str) -> None:
    importlib.import_module(script)


def hold_memory() -> object:
    return bytearray(b"x" * (MEBIBYTES * 2**20))


def peak_of_holding() -> int:
    return fresh_process.peak_of(hold_memory)


def number_of_process() -> int:
    return os.getpid()


def test_waiting_takes_the_clock_but_not_the_processor():
    taken = side_by_side.timed(lambda: time.sleep(0.05))
    assert taken.wall >= 0.05 > taken.busy


def test_medians_are_of_each_function():
    calls: list[str] = []
    runs = {"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), time.sleep(0.01))}
    found = side_by_side.interleaved(runs, rounds=3)
    assert calls == ["a", "b"] * 3
    assert found["b"].wall >= 0.01 > found["a"].wall


def peaks() -> tuple[int, int]:
    """What is held at most, after a larger peak of the past, and then while nothing is done."""
    return peak_of_holding(), fresh_process.peak_of(lambda: None)


@LINUX
def test_the_peak_is_what_was_held_meanwhile():
    held, idle = fresh_process.in_fresh_process(peaks)  # here freed memory may have been kept, which hides what is held
    assert MEBIBYTES <= held / 2**20 < 3 * MEBIBYTES
    assert idle < MEBIBYTES * 2**20


@LINUX
def test_a_fresh_process_is_another_one():
    assert fresh_process.in_fresh_process(number_of_process) != os.getpid()


@pytest.mark.parametrize("power", [1.0, 1.3])
def test_the_exponent_of_a_power_law(power: float):
    pixels = [256**2, 512**2, 1024**2]
    assert scaling.exponent(pixels, [3e-6 * n**power for n in pixels]) == pytest.approx(power)


def test_references_are_asked_for_by_known_names_and_for_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DGNO_SCAN", "loop")
    monkeypatch.delenv("DGNO_GATE", raising=False)
    cpu, single = torch.device("cpu"), torch.float32
    with contestants.environment(contestants.REFERENCES):
        chosen = [
            backends.choose_scan(cpu, single, 8),
            backends.choose_operator(cpu, single, 4, 64),
            backends.choose_gate(cpu, single, 16),
            backends.choose_convolution(cpu, single),
            fusing.choose_feed_forward(cpu, single, 16),
            fusing.choose_attentive_scan(cpu, single, 16),
            fusing.choose_operator_layer(cpu, single, 4, 4, 8),
            backends.choose_pointwise(cpu, single),
        ]
    assert {choice.name for choice in chosen} == {"chunked", "reference", "layers", "linear"}
    assert all(choice.reason.startswith("asked for by ") for choice in chosen)
    assert os.environ["DGNO_SCAN"] == "loop"
    assert "DGNO_GATE" not in os.environ


def test_no_switch_of_a_kernel_is_forgotten():
    """Else what is called references would be compiled in part."""
    sources = [path.read_text() for path in Path(backends.__file__).parent.glob("*.py")]
    assert set(contestants.REFERENCES) == set(re.findall(r"DGNO_[A-Z_]+", "".join(sources)))


def test_operations_of_peers_are_counted():
    filters = torch.nn.Conv2d(1, 4, 3, padding=1, bias=False)
    counted = contestants.peer(lambda: filters)
    assert counted.operations == 2 * 4 * 9
    with torch.no_grad():
        x = torch.rand(1, 1, 8, 8)
        assert torch.equal(counted.run(x), filters(x))


@LINUX
@pytest.mark.parametrize("references", [False, True], ids=["whole parts compiled", "plain PyTorch"])
def test_a_network_takes_the_memory_that_tiles_are_cut_for(references: bool):
    """No more, and not much less."""
    if not references and fusing.choose_attentive_scan(torch.device("cpu"), torch.float32, 16).name != "c":
        pytest.skip("the kernels were not compiled")
    with contestants.environment(contestants.REFERENCES if references else {}):
        told = build(NETWORKS["nano-cell"]).bytes_per_pixel
    peak = fresh_process.in_fresh_process(network.peak, "nano-cell", 384, 1, references)
    assert 0.5 * told < peak / 384**2 <= told
