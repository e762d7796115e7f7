"""Everything about a GPU in one table: are the kernels right, how fast are networks, against peers and against bounds.

    python benchmarks/gpu.py [OUT] [--limit SECONDS] [--dry]

Takes less than the limit, 420 s by default: what no longer fits is left out, and it is said. Every figure is appended
to OUT/gpu.jsonl as it comes. --dry tries the script on a CPU, with Triton's interpreter and sizes that mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

if "--dry" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported

import torch
from gpu_clock import peak_bytes, seconds_of
from gpu_counts import Peak, count_work, measure_peak
from gpu_kernels import TOLERANCE, cases, times_of, worst_difference
from torch import Tensor, nn

from dgno.networks import NETWORKS, DGNOConfig, build
from dgno.restoration.replay import replayed
from dgno.training.losses import FFT_WEIGHT, multi_scale_loss

WAYS = {
    "eager reference": {"DGNO_SCAN": "chunked", "DGNO_OPERATOR": "reference"},
    "triton": {"DGNO_SCAN": "triton", "DGNO_OPERATOR": "triton"},
    "triton + graph": {"DGNO_SCAN": "triton", "DGNO_OPERATOR": "triton"},
}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
TABLE_11 = {128: 1, 256: 4, 384: 9, 512: 15}  # GB of the paper's DGNO, by px; its device and batch are not stated
TINY = DGNOConfig(width=4, heads=2, blocks=(1, 1, 1, 1), element_size=2, iterations=1, scan_block=8)
GOALS = (
    "goals: full size in bf16 at least 10x the eager reference, 3x Restormer, 25 Mpx/s and within 5x of the roofline;",
    "       training at least 150 patches of 256 x 256 px a second; memory below the paper's Table 11 at every size",
)


class Report:
    """Prints lines, keeps them in a file, and knows how much time is left."""

    def __init__(self, folder: Path, limit: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.started, self.limit = folder / "gpu.jsonl", time.monotonic(), limit
        self.file.write_text("")

    def line(self, section: str, name: str, **figures: float | str | None) -> None:
        """One line of the table."""
        shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items() if v is not None)
        print(f"{section:<11}{name:<52}{'   '.join(shown)}", flush=True)
        with self.file.open("a") as file:
            file.write(json.dumps({"section": section, "name": name, **figures}) + "\n")

    def has_time(self, section: str, name: str = "", *, needed: float = 15) -> bool:
        """Whether the limit leaves so many seconds; if not, it is said."""
        left = self.limit - (time.monotonic() - self.started)
        if left < needed:
            self.line(section, name, skipped=f"{left:.0f} s left, about {needed:.0f} s needed")
        return left >= needed


@contextmanager
def way(name: str) -> Iterator[None]:
    """Kernels as the way names them."""
    os.environ |= WAYS[name]
    yield
    for variable in WAYS[name]:
        del os.environ[variable]


def correctness(report: Report, device: torch.device, dry: bool) -> None:
    """Every kernel against its reference in float64: value and gradients."""
    torch.manual_seed(0)
    for dtype, tolerance in [*TOLERANCE.items()][dry:]:
        for case in cases(device, tiny=dry, dtype=dtype):
            if not report.has_time("correct?", case.name):
                return
            worst = worst_difference(case)
            verdict = "ok" if worst <= tolerance else f"WRONG, more than {tolerance:.1g}"
            report.line(
                "correct?", f"{case.name}, {str(dtype).removeprefix('torch.')}", difference=worst, verdict=verdict
            )


def kernels(report: Report, device: torch.device, dry: bool, peak: Peak) -> None:
    """Time of every kernel in bf16, against its reference and against moving its data."""
    for case in cases(device, tiny=dry, dtype=torch.bfloat16):
        if report.has_time("kernels", case.name):
            report.line("kernels", f"{case.name}, bf16", **times_of(case, device, peak))


def networks(dry: bool) -> dict[str, DGNOConfig]:
    names = ("dgno-cell", "dgno-face", "small-cell", "nano-cell")
    return {"tiny": TINY} if dry else {name: NETWORKS[name] for name in names}


def restormer(device: torch.device, dry: bool) -> nn.Module | None:
    """MONAI's, of the published size; None where MONAI is not installed."""
    try:
        from monai.networks.nets.restormer import Restormer
    except ImportError:
        return None
    if dry:
        return Restormer(2, 1, 1, dim=8).eval().to(device)
    size = {"dim": 48, "num_blocks": (4, 6, 6, 8), "heads": (1, 2, 4, 8), "num_refinement_blocks": 4}
    return Restormer(2, 1, 1, **size).eval().to(device)


def caller(network: nn.Module, device: torch.device, precision: str, *, graph: bool) -> Callable[[Tensor], Tensor]:
    """The network in a precision, by CUDA graphs if wanted and possible."""

    def answer(x: Tensor) -> Tensor:
        with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32"), torch.no_grad():
            return network(x).float()

    calls = replayed(answer, device)
    return calls if graph else answer


def speed(report: Report, network: Callable[[Tensor], Tensor], x: Tensor, section: str, name: str) -> float | None:
    """Mpx/s, printed by the caller; None, and a line that says why, where it cannot be measured."""
    try:
        with torch.no_grad():
            return x.shape[2] * x.shape[3] / 1e6 / seconds_of(lambda: network(x), x.device)
    except torch.OutOfMemoryError:
        report.line(section, name, skipped="out of memory")
        return None


def inference(report: Report, device: torch.device, dry: bool, peaks: dict[str, Peak]) -> None:
    """Mpx/s of every network in every way, with ratios to the eager reference, to Restormer and to the roofline."""
    side = 8 if dry else 512
    x, peer = torch.rand(1, 1, side, side, device=device), restormer(device, dry)
    its_x = torch.rand(1, 1, 32, 32) if dry else x  # it takes nothing smaller
    theirs: dict[tuple[str, bool], float | None] = {}
    for precision in peaks if peer else ():
        for graph in (False, True):
            name = f"Restormer (MONAI), {precision}{' + graph' if graph else ''}"
            if peer and report.has_time("inference", name):
                run = caller(peer, device, precision, graph=graph)
                theirs[precision, graph] = speed(report, run, its_x, "inference", name)
                report.line("inference", name, **{"Mpx/s": theirs[precision, graph]})
    del peer
    for name, config in networks(dry).items():
        network = build(config).eval().to(device)
        for precision, peak in peaks.items():
            work = count_work(network, x, 4 if precision == "fp32" else 2)
            roofline = side * side / 1e6 / work.seconds(peak)
            report.line(
                "roofline", f"{name}, {precision}", GFLOP=work.flops / 1e9, GB=work.bytes / 1e9, **{"Mpx/s": roofline}
            )
            base: float | None = None
            for kind in WAYS:
                line, graph = f"{name}, {precision}, {kind}", kind.endswith("graph")
                if not report.has_time("inference", line):
                    continue
                with way(kind):
                    run = caller(network, device, precision, graph=graph)
                    ours = speed(report, run, x, "inference", line)
                base, peer_speed = base or ours, theirs.get((precision, graph))
                if ours is not None and base is not None:
                    ratios = {"Mpx/s": ours, "x reference": ours / base, "roofline / it": roofline / ours}
                    ratios |= {"x Restormer": ours / peer_speed} if peer_speed else {}
                    report.line("inference", line, **ratios, graph=getattr(run, "note", None))


def training(report: Report, device: torch.device, dry: bool) -> None:
    """Patches a second: forward at all scales, loss, gradient and a step of AdamW, in bf16."""
    side, batch = (8, 1) if dry else (256, 16)
    for name, config in networks(dry).items():
        line = f"{name}, bf16, {batch} patches of {side} px"
        if not report.has_time("training", line, needed=25):
            continue
        network = build(config).train().to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
        sharp = torch.rand(batch, 1, side, side, device=device)

        def step(network: nn.Module = network, sharp: Tensor = sharp, optimizer: torch.optim.AdamW = optimizer) -> None:
            with torch.autocast(device.type, torch.bfloat16):
                outputs = network.at_all_scales(sharp)
                spatial, frequency = multi_scale_loss([y.float() for y in outputs], sharp)
            optimizer.zero_grad(set_to_none=True)
            (spatial + FFT_WEIGHT * frequency).backward()
            optimizer.step()

        try:
            with way("eager reference" if dry else "triton"):  # whose gradients the interpreter takes long for
                seconds = seconds_of(step, device)
                most = None if dry else peak_bytes(step, device)
            report.line("training", line, **{"patches/s": batch / seconds, "GB": gigabytes(most)})
        except torch.OutOfMemoryError:
            report.line("training", line, skipped="out of memory")


def gigabytes(count: int | None) -> float | None:
    return None if count is None else count / 1e9


def memory(report: Report, device: torch.device, dry: bool) -> None:
    """Peak of tensors at several sizes, beside the paper's Table 11."""
    for name, config in networks(dry).items():
        network = build(config).eval().to(device)
        for side in (8,) if dry else (128, 256, 384, 512, 1024, 2048):
            line = f"{name}, bf16, {side} px"
            if not report.has_time("memory", line, needed=10):
                return
            x = torch.rand(1, 1, side, side, device=device)
            run = caller(network, device, "bf16", graph=False)
            try:
                with way("eager reference" if dry else "triton"):
                    most = peak_bytes(lambda run=run, x=x: run(x), device)
                report.line("memory", line, **{"GB": gigabytes(most), "GB in the paper": TABLE_11.get(side)})
            except torch.OutOfMemoryError:
                report.line("memory", line, skipped="out of memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("gpu"), help="folder for gpu.jsonl")
    parser.add_argument("--limit", type=float, default=420, help="seconds")
    parser.add_argument("--dry", action="store_true", help="on a CPU, tiny, through Triton's interpreter")
    given = parser.parse_args()
    if not given.dry and not torch.cuda.is_available():
        sys.exit("torch finds no CUDA device; --dry tries the script on a CPU")
    device, report = torch.device("cpu" if given.dry else "cuda"), Report(given.out, given.limit)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32
    machine = "CPU, dry: no figure means anything" if given.dry else torch.cuda.get_device_name(device)
    report.line("machine", machine, torch=torch.__version__)
    print(*GOALS, sep="\n", flush=True)

    correctness(report, device, given.dry)
    precisions = ("bf16",) if given.dry else tuple(PRECISIONS)
    sizes = (64, 10**4) if given.dry else (8192, 2**28)
    peaks = {name: measure_peak(device, PRECISIONS[name], *sizes) for name in precisions}
    for name, peak in peaks.items():
        report.line("peak", name, **{"TFLOP/s": peak.flops / 1e12, "TB/s": peak.bandwidth / 1e12})
    kernels(report, device, given.dry, peaks["bf16"])
    inference(report, device, given.dry, peaks)
    training(report, device, given.dry)
    memory(report, device, given.dry)
    report.line("done", "", seconds=time.monotonic() - report.started)


if __name__ == "__main__":
    main()
