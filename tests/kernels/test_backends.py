"""Which version of a kernel runs, and why; without the compiled library everything still runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
from kernel_comparison import assert_agree, assert_all_agree, compiled_versions, scan_inputs, values_and_gradients
from torch import Tensor

from dgno.errors import ConfigError
from dgno.kernels import (
    attentive_scan_c,
    backends,
    compiled,
    convolution_c,
    depthwise_c,
    dg_operator_c,
    feed_forward_c,
    fusing,
    pointwise_c,
    selective_scan_c,
    selective_scan_mamba,
)
from dgno.kernels.choice import Choice
from dgno.kernels.selective_scan import selective_scan_loop

CPU, GPU = torch.device("cpu"), torch.device("cuda")
Choose = Callable[[torch.device, torch.dtype], Choice]


def choose_scan(device: torch.device, dtype: torch.dtype) -> Choice:
    return backends.choose_scan(device, dtype, states=8)


def choose_operator(device: torch.device, dtype: torch.dtype) -> Choice:
    return backends.choose_operator(device, dtype, d=4, tokens=64)


def choose_gate(device: torch.device, dtype: torch.dtype) -> Choice:
    return backends.choose_gate(device, dtype, channels=32)


def choose_feed_forward(device: torch.device, dtype: torch.dtype) -> Choice:
    return fusing.choose_feed_forward(device, dtype, channels=32)


def choose_attentive_scan(device: torch.device, dtype: torch.dtype) -> Choice:
    return fusing.choose_attentive_scan(device, dtype, channels=32)


# For each kernel: the choice, its variable, what runs instead of the compiled version, the module of that version
CHOICES: dict[str, tuple[Choose, str, str, ModuleType]] = {
    "scan": (choose_scan, "DGNO_SCAN", "chunked", selective_scan_c),
    "operator": (choose_operator, "DGNO_OPERATOR", "reference", dg_operator_c),
    "gate": (choose_gate, "DGNO_GATE", "reference", depthwise_c),
    "convolution": (backends.choose_convolution, "DGNO_CONVOLUTION", "reference", convolution_c),
    "pointwise": (backends.choose_pointwise, "DGNO_POINTWISE", "onednn", pointwise_c),
    "feed-forward": (choose_feed_forward, "DGNO_FEED_FORWARD", "layers", feed_forward_c),
    "attentive scan": (choose_attentive_scan, "DGNO_ATTENTIVE_SCAN", "layers", attentive_scan_c),
}
every_kernel = pytest.mark.parametrize("choose, variable, plain, module", CHOICES.values(), ids=CHOICES)
needs_compiler = pytest.mark.skipif(not compiled_versions(selective_scan_c), reason="the kernels were not compiled")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, variable, _, _ in CHOICES.values():
        monkeypatch.delenv(variable, raising=False)


@needs_compiler
@every_kernel
def test_float32_on_the_cpu_is_compiled(choose: Choose, variable: str, plain: str, module: ModuleType) -> None:
    """The compiled version runs, and the reason names the instruction set."""
    choice = choose(CPU, torch.float32)
    assert choice.name == "c"
    assert module.load().version_name() in choice.reason


@every_kernel
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_dtypes_run_plainly(
    choose: Choose, variable: str, plain: str, module: ModuleType, dtype: torch.dtype
) -> None:
    """What the compiled kernels cannot read runs in plain tensor code, and the reason names the dtype."""
    choice = choose(CPU, dtype)
    assert choice.name == plain
    assert str(dtype) in choice.reason


@pytest.fixture
def triton_on_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Say why Triton does not run on CUDA devices; nothing, that it does."""

    def say(why_not: str) -> None:
        runtime = pytest.importorskip("dgno.kernels.triton_runtime")
        monkeypatch.setattr(runtime, "why_not", lambda device_type: why_not)
        backends._why_not_triton.cache_clear()

    yield say
    backends._why_not_triton.cache_clear()


@every_kernel
def test_without_triton_a_gpu_runs_plainly(
    choose: Choose, variable: str, plain: str, module: ModuleType, triton_on_cuda: Callable[[str], None]
) -> None:
    """On a GPU on which Triton does not run, plain tensor code does, and the reason names the device."""
    triton_on_cuda("Triton does not run on cuda: no compiler")
    choice = choose(GPU, torch.float32)
    assert choice.name == ("linear" if variable == "DGNO_POINTWISE" else plain)
    assert "cuda" in choice.reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_triton_is_tried_before_it_is_chosen() -> None:
    """Without a GPU, what torch says is the reason why nothing is compiled for it."""
    runtime = pytest.importorskip("dgno.kernels.triton_runtime")
    assert "Triton does not run on cuda" in runtime.why_not("cuda")
    assert choose_scan(GPU, torch.float32) == Choice("chunked", runtime.why_not("cuda"))


@pytest.mark.parametrize("choose, plain", [(choose_scan, "chunked"), (choose_operator, "reference")])
def test_a_gpu_runs_triton(choose: Choose, plain: str, triton_on_cuda: Callable[[str], None]) -> None:
    """Where Triton runs, it runs for float32 and less; float64 and huge elements run plainly."""
    triton_on_cuda("")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert choose(GPU, dtype).name == "triton"
    assert choose(GPU, torch.float64).name == plain
    assert "float64" in choose(GPU, torch.float64).reason
    assert backends.choose_operator(GPU, torch.float32, 4, 70_000).name == "reference"


@pytest.fixture
def stand_in_for_mamba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module with the signature and the layouts of mamba-ssm, which needs a GPU; it computes with the reference."""

    def selective_scan_fn(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        (b, d, length), n = u.shape, A.shape[1]
        assert delta.shape == (b, d, length)
        assert B.shape == C.shape == (b, n, length)
        assert all(t.is_contiguous() for t in (u, delta, B, C))
        return selective_scan_loop(u.mT, delta.mT, A, B.mT, C.mT, D).mT

    for name in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["mamba_ssm.ops"].selective_scan_interface = sys.modules["mamba_ssm.ops.selective_scan_interface"]
    sys.modules["mamba_ssm.ops.selective_scan_interface"].selective_scan_fn = selective_scan_fn
    selective_scan_mamba.why_not.cache_clear()
    yield
    selective_scan_mamba.why_not.cache_clear()


@pytest.mark.usefixtures("stand_in_for_mamba")
def test_mamba_ssm_gets_its_own_layouts() -> None:
    """What it is given and what it returns are turned; gradients go through."""
    inputs = scan_inputs(2, 19, 6, 8)
    scans = [values_and_gradients(scan, inputs) for scan in (backends.SCANS["mamba"], selective_scan_loop)]
    assert_all_agree(*scans)


@pytest.mark.usefixtures("stand_in_for_mamba")
def test_mamba_ssm_runs_where_triton_does_not(triton_on_cuda: Callable[[str], None]) -> None:
    """Triton's scan comes first, mamba-ssm before plain tensor code; float64 is for neither."""
    triton_on_cuda("no compiler")
    assert choose_scan(GPU, torch.float32) == Choice("mamba", "mamba-ssm, as no compiler")
    assert choose_scan(GPU, torch.float64).name == "chunked"
    triton_on_cuda("")
    assert choose_scan(GPU, torch.float32).name == "triton"


@pytest.mark.skipif(importlib.util.find_spec("mamba_ssm") is not None, reason="mamba-ssm is there")
def test_without_mamba_ssm_the_reason_says_so() -> None:
    """Nothing requires it."""
    assert "No module named 'mamba_ssm'" in selective_scan_mamba.why_not()


def test_triton_is_imported_only_when_it_is_chosen() -> None:
    """Importing it takes longer than many a run."""
    code = """if True:
        import sys, torch
        from dgno.kernels import backends
        from dgno.networks import NETWORKS, build
        build(NETWORKS["nano-cell"])(torch.rand(1, 1, 32, 32))
        sys.exit("triton" in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every_kernel
def test_without_the_library_everything_runs_plainly(
    choose: Choose, variable: str, plain: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that does not load is no error: the plain version runs, and the reason is the loader's."""

    def fail(name: str) -> None:
        raise OSError("no such library")

    monkeypatch.setattr(compiled, "load_library", fail)
    module.load.cache_clear()
    choice = choose(CPU, torch.float32)
    module.load.cache_clear()
    assert choice == Choice(plain, "no such library")


@every_kernel
def test_the_variable_overrules(
    choose: Choose, variable: str, plain: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment variable wins over everything, at the time of the call."""
    for wanted in (plain, "c"):
        monkeypatch.setenv(variable, wanted)
        for device, dtype in [(CPU, torch.float32), (CPU, torch.float64), (GPU, torch.float32)]:
            assert choose(device, dtype) == Choice(wanted, f"asked for by {variable}")


@every_kernel
def test_an_unknown_version_is_an_error(
    choose: Choose, variable: str, plain: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that names no version is a ConfigError that lists the versions."""
    monkeypatch.setenv(variable, "fortran")
    with pytest.raises(ConfigError, match=rf"{variable}='fortran'.*known: .*{plain}"):
        choose(CPU, torch.float32)


@every_kernel
def test_an_empty_variable_is_none(
    choose: Choose, variable: str, plain: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable set to nothing is as good as not set."""
    unset = choose(CPU, torch.float32)
    monkeypatch.setenv(variable, "")
    assert choose(CPU, torch.float32) == unset


@needs_compiler
def test_sizes_that_are_not_compiled_run_plainly() -> None:
    """Too many states, other head widths, huge elements, few channels: the reason names the number."""
    too_many, few = selective_scan_c.load().max_states + 1, depthwise_c.load().lanes() - 1
    cases = [
        (backends.choose_scan(CPU, torch.float32, too_many), "chunked", str(too_many)),
        (backends.choose_operator(CPU, torch.float32, 5, 64), "reference", "heads of 5"),
        (backends.choose_operator(CPU, torch.float32, 4, 70_000), "reference", "70000 tokens"),
        (backends.choose_gate(CPU, torch.float32, few), "reference", f"got {few}"),
        (fusing.choose_feed_forward(CPU, torch.float32, few), "layers", f"got {few}"),
        (fusing.choose_attentive_scan(CPU, torch.float32, few), "layers", f"got {few}"),
    ]
    for choice, name, reason in cases:
        assert choice.name == name
        assert reason in choice.reason


def test_mixed_precision_multiplies_in_bfloat16() -> None:
    """The compiled linear map knows float32 only, so torch's runs where bfloat16 is asked for."""
    x, weight = torch.rand(32, 16), torch.rand(8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert backends.choose_pointwise(CPU, torch.float32).name != "c"
        assert backends.pointwise(x, weight).dtype == torch.bfloat16


@pytest.mark.parametrize("variable", ["DGNO_GATE", "DGNO_SCAN"])
def test_a_layer_that_is_asked_for_runs(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is computed layer by layer where a version of one of its layers is asked for, and the reason says so."""
    monkeypatch.setenv(variable, "c")
    choice = fusing.choose_attentive_scan(CPU, torch.float32, channels=32)
    assert choice == Choice("layers", f"{variable} asks for a version of a layer")


def test_a_missing_library_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading what was not compiled is an OSError that says so."""
    compiled.load_library.cache_clear()
    with pytest.raises(OSError, match="not compiled"):
        compiled.load_library("no_such_kernel")
    monkeypatch.setattr(compiled.importlib.machinery, "EXTENSION_SUFFIXES", [])
    with pytest.raises(OSError, match="not compiled"):
        compiled.load_library("selective_scan")


@pytest.mark.parametrize("version", sorted(set(backends.SCANS) - {"mamba"}))  # which needs a GPU
def test_the_scan_that_is_asked_for_runs(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """backends.selective_scan calls the version that the variable names, and all give one result."""
    tensors = [torch.rand(s) for s in ((1, 9, 5), (1, 9, 5), (5, 3), (1, 9, 3), (1, 9, 3), (5,))]
    expected, run, calls = backends.SCANS["loop"](*tensors), backends.SCANS[version], []

    def spy(*args: torch.Tensor) -> torch.Tensor:
        calls.append(version)
        return run(*args)

    monkeypatch.setitem(backends.SCANS, version, spy)
    monkeypatch.setenv("DGNO_SCAN", version)
    assert_agree(backends.selective_scan(*tensors), expected)
    assert calls == [version]
