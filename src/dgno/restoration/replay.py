"""Tiles of one size, restored by a recorded CUDA graph instead of hundreds of launches, each of which takes time."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Batch = Float[Tensor, "b c h w"]
Function = Callable[[Batch], Batch]
Capture = Callable[[Function, Batch], Function]
KEPT = 2  # sizes of tiles whose graphs are kept, since each holds the memory that its size takes


class Replayed:
    """Calls a function of a batch; sizes that come again are recorded once, and replayed from then on.

    capture : records the function for batches like a given one, as `cuda_graph` does; None never records
    note : how calls run, and why

    The first batch of a size runs plainly: it may be the only one, and what libraries compile or tune at first use is
    not recorded. What cannot be recorded runs plainly for good.
    """

    def __init__(self, function: Function, capture: Capture | None, note: str) -> None:
        self.function, self.capture, self.note = function, capture, note
        self.seen: Counter[torch.Size] = Counter()
        self.graphs: OrderedDict[torch.Size, Function] = OrderedDict()  # the one used last is last
        self.lock = threading.Lock()  # a graph has one input

    def __call__(self, x: Batch) -> Batch:
        if self.capture is None or torch.is_grad_enabled():
            return self.function(x)
        with self.lock:
            return self.replay(x)

    def replay(self, x: Batch) -> Batch:
        """The answer by the graph of this size, recorded now if the size comes the second time."""
        self.seen[x.shape] += 1
        if x.shape not in self.graphs and self.seen[x.shape] > 1:
            self.record(x)
        if x.shape not in self.graphs:
            try:
                return self.function(x)
            except torch.OutOfMemoryError:
                self.graphs.clear()  # who tries again finds their memory free
                raise
        self.graphs.move_to_end(x.shape)
        return self.graphs[x.shape](x)

    def record(self, x: Batch) -> None:
        """Record this size, or give up recording."""
        assert self.capture is not None
        while len(self.graphs) >= KEPT:
            self.graphs.popitem(last=False)
        try:
            self.graphs[x.shape] = self.capture(self.function, x)
        except torch.OutOfMemoryError:  # the plain call may still fit, or says so itself
            self.forget("no memory to record CUDA graphs")
        except RuntimeError as error:
            self.forget(f"CUDA graphs cannot be recorded: {str(error).splitlines()[0]}")

    def forget(self, note: str) -> None:
        """Give back what graphs hold, and run plainly from now on."""
        self.graphs.clear()
        self.capture, self.note = None, note


def replayed(function: Function, device: torch.device, *, is_network: bool = True) -> Replayed:
    """The function with CUDA graphs, if the device can and it is a network; plain otherwise."""
    if not is_network:
        return Replayed(function, None, "no CUDA graphs: only networks do the same whatever the pixels are")
    if device.type != "cuda":
        return Replayed(function, None, f"no CUDA graphs: the device is {device.type}")
    return Replayed(function, cuda_graph, "CUDA graphs for sizes of tiles that come again")


def cuda_graph(function: Function, like: Batch) -> Function:
    """`function` for CUDA batches of this size as one graph. It must not wait for the device, nor depend on values."""
    given = like.clone()
    stream = torch.cuda.Stream(like.device)
    stream.wait_stream(torch.cuda.current_stream(like.device))
    with torch.cuda.stream(stream):
        function(given)  # what libraries set up for a stream is not recorded
    torch.cuda.current_stream(like.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(like.device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        answer = function(given)

    def run(x: Batch) -> Batch:
        given.copy_(x)
        graph.replay()
        return answer.clone()  # the next replay writes there again

    return run
