"""The attentive state-space module (ASSM) of MambaIRv2 (Guo et al. 2024, arXiv:2411.15269), as DGNO uses it.

Every pixel is routed to one of 64 classes. Pixels are put in the order of their classes, so that similar ones become
neighbours, run through one selective scan, and put back. The class also gives a prompt that is added to the scan's C.

Two departures from the published module, both switched by the constructor:
* `block`: order and scan stay inside aligned square blocks of the plane instead of spanning the whole image, so that
  influence is local and a tile of an image gives what the image gives;
* `prompt_sorted`: the prompt is put in scan order like the pixels. The published weights were trained without:
  position t of the scan there receives the prompt of raster pixel t.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from dgno.kernels import backends, fusing
from dgno.kernels.attentive_core import CLASSES, CoreWeights, ScanOrder, scan_order
from dgno.kernels.attentive_core_c import attentive_core_c
from dgno.kernels.attentive_lift import LiftWeights, chosen_rows
from dgno.kernels.attentive_lift_c import attentive_lift_c
from dgno.kernels.attentive_scan import AttentiveWeights
from dgno.kernels.attentive_scan_c import attentive_scan_c
from dgno.kernels.reorder import inverse_permutation, reorder
from dgno.kernels.uniform import draw_uniform_c, fill_uniform
from dgno.networks.blocks import DEPTHWISE, ChannelNorm, Map
from dgno.operators.pointwise import Pointwise, RowLinear

Lifted = tuple[Float[Tensor, "b hidden h w"], Int[Tensor, "b l"], Float[Tensor, "b l n"]]
PROMPT_RANK = 32  # E = codes (64 x 32) @ basis (32 x N)
STATES = 8  # N, per channel


class Routing(nn.Module):
    """Choose one of 64 classes for every pixel: the best one, or while training a draw with Gumbel noise."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = Pointwise(dim, dim // 3)
        self.logits = Pointwise(dim // 3, CLASSES)
        self.generators: list[torch.Generator] | None = None  # one per image; None draws from the global generator

    def forward(self, x: Map, prompts: Float[Tensor, "classes n"]) -> tuple[Int[Tensor, "b l"], Float[Tensor, "b l n"]]:
        """The class of every pixel in raster order, and its row of `prompts`."""
        logits = self.logits(F.gelu(self.hidden(x))).permute(0, 2, 3, 1).flatten(1, 2)  # (b, l, classes)
        if not self.training:
            classes = logits.argmax(-1)
            return classes, F.embedding(classes, prompts)
        soft = (logits + self.noise(logits)).softmax(-1)
        classes = soft.argmax(-1)
        return classes, chosen_rows(soft, classes, prompts)

    def noise(self, like: Float[Tensor, "b l classes"]) -> Float[Tensor, "b l classes"]:
        """Gumbel noise, -log(-log U) with U uniform."""
        uniform = fill_uniform(torch.empty_like(like, memory_format=torch.contiguous_format), self.generators)
        return -uniform.log_().neg_().log_()


class SelectiveScan(nn.Module):
    """The scan with its input-dependent parameters; `hidden` channels, N states, one direction.

    In float32, or in float64 where the rows are, whatever the parameters are rounded to: sums would be lost in less.
    """

    def __init__(self, hidden: int, states: int = STATES) -> None:
        super().__init__()
        self.rank, self.states = math.ceil(hidden / 16), states
        self.x_proj = RowLinear(hidden, self.rank + 2 * states, bias=False)
        self.dt_proj = RowLinear(self.rank, hidden)
        self.A_log = nn.Parameter(torch.empty(hidden, states))
        self.D = nn.Parameter(torch.ones(hidden))
        if not self.A_log.is_meta:  # where there are no numbers to compute; trying takes seconds, for imports of torch
            self._initialise_decay()
            self._initialise_step_size(hidden)

    def _initialise_decay(self) -> None:
        """A = -1, -2, ..., -N in every channel (S4D-real, Gu et al. 2022)."""
        with torch.no_grad():
            self.A_log.copy_(torch.log(torch.arange(1.0, self.states + 1)))

    def _initialise_step_size(self, hidden: int, smallest: float = 1e-3, largest: float = 0.1) -> None:
        """Step sizes log-uniform in [smallest, largest] after the softplus (Gu and Dao 2023, section 3.6)."""
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        span = math.log(largest) - math.log(smallest)
        dt = torch.exp(torch.rand(hidden) * span + math.log(smallest))
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus

    def forward(
        self, u: Float[Tensor, "s l d"], prompt: Float[Tensor, "s l n"], order: Int[Tensor, " s*l"] | None = None
    ) -> Float[Tensor, "s l d"]:
        """The scanned rows, each where it was; `order` says in which order they are scanned, if not in their own."""
        with torch.autocast(u.device.type, enabled=False):
            dtype = torch.promote_types(u.dtype, torch.float32)
            u, prompt, A_log, D = (t.to(dtype) for t in (u, prompt, self.A_log, self.D))
            dt, B, C = _called_in(dtype, self.x_proj, u).split([self.rank, self.states, self.states], dim=-1)
            delta = F.softplus(_called_in(dtype, self.dt_proj, dt))
            return backends.selective_scan(u, delta, -torch.exp(A_log), B, C + prompt, D, order).to(self.D.dtype)


def _called_in(dtype: torch.dtype, layer: nn.Module, rows: Tensor) -> Tensor:
    """The layer of rows of this dtype, its parameters for once in it too."""
    parameters = dict(layer.named_parameters())
    if all(p.dtype == dtype for p in parameters.values()):
        called: Tensor = layer(rows)
    else:
        called = torch.func.functional_call(layer, {name: p.to(dtype) for name, p in parameters.items()}, (rows,))
    return called


def sigmoid_gated(x: Map, convolution: nn.Module) -> Map:
    """x * sigmoid(convolution of x): in one call where the convolution is the plain one."""
    is_plain = fusing.is_plain(convolution, DEPTHWISE)
    if is_plain and isinstance(convolution, nn.Conv2d) and convolution.bias is not None:
        return backends.sigmoid_gate(x, convolution.weight, convolution.bias)
    return x * torch.sigmoid(convolution(x))


class AttentiveScan(nn.Module):
    """Route, gate, sort, scan, un-sort: x (b, dim, h, w) -> the same shape."""

    def __init__(self, dim: int, *, block: int | None = None, prompt_sorted: bool = False) -> None:
        super().__init__()
        hidden = 2 * dim
        self.block, self.prompt_sorted = block, prompt_sorted
        self.routing = Routing(dim)
        self.prompt_codes = nn.Parameter(torch.empty(CLASSES, PROMPT_RANK).uniform_(-1 / CLASSES, 1 / CLASSES))
        self.project_in = Pointwise(dim, hidden)
        self.position = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.scan = SelectiveScan(hidden)
        self.norm = ChannelNorm(hidden)
        self.project_out = Pointwise(hidden, dim)

    def forward(self, x: Map, prompt_basis: Float[Tensor, "rank n"]) -> Map:
        b, _, h, w = x.shape
        y, classes, prompt = self.lifted(x, prompt_basis)
        order = scan_order(classes, h, w, self.block)

        y = y.permute(0, 2, 3, 1).flatten(0, 2)
        if backends.scan_takes_order(y.device, self.scan.states):
            y = self.scan_in_place(y, prompt, order).reshape(b, h, w, -1).permute(0, 3, 1, 2)
            return self.project_out(self.norm(y))
        y = reorder(y, order.sorted, order.unsorted)
        y = self.scan(y.unflatten(0, (order.sequences, -1)), self.arrange(prompt, order))

        y = y.reshape(b, h, w, -1).permute(0, 3, 1, 2)  # an image again, its pixels still in scan order
        y = self.project_out(self.norm(y)).permute(0, 2, 3, 1).flatten(0, 2)
        return reorder(y, order.unsorted, order.sorted).reshape(b, h, w, -1).permute(0, 3, 1, 2)

    def lifted(self, x: Map, prompt_basis: Float[Tensor, "rank n"]) -> Lifted:
        """The gated features of the pixels, their classes and their prompts."""
        classes, prompt = self.routing(x, self.prompt_codes @ prompt_basis)
        return sigmoid_gated(self.project_in(x), self.position), classes, prompt  # with the positional encoding

    def added(self, x: Map, norm: ChannelNorm, prompt_basis: Float[Tensor, "rank n"]) -> Map:
        """x + forward(norm(x)), in few passes over the map where nothing asks for its layers."""
        z = fusing.fusible(x)
        choice = fusing.choose_attentive_scan(z.device, z.dtype, z.shape[1])
        modules, tensors = (self, norm), (z, prompt_basis)
        mixed = self.training and torch.is_autocast_enabled(z.device.type)  # with noise, which has no half
        if mixed or fusing.wants_layers(choice, ATTENTIVE_SCAN, modules, tensors):
            return x + self(norm(x), prompt_basis)
        if self.training or fusing.wants_gradient(modules, tensors):
            return self.core(x, *self.lifted_with_norm(x, norm, prompt_basis))
        weights = AttentiveWeights(self.lift_weights(norm, prompt_basis), self.core_weights())
        half = fusing.fuses_in_half(z.device)
        return attentive_scan_c(z, weights, block=self.block, prompt_sorted=self.prompt_sorted, half=half)

    def lifted_with_norm(self, x: Map, norm: ChannelNorm, prompt_basis: Float[Tensor, "rank n"]) -> Lifted:
        """`lifted` of norm(x), in one call that has a gradient where that is faster."""
        choice = fusing.choose_attentive_lift(x.device, x.dtype, x.shape[1])
        if choice.name == "layers":
            return self.lifted(norm(x), prompt_basis)
        b, _, h, w = x.shape
        uniform = draw_uniform_c((b, h * w, CLASSES), self.routing.generators) if self.training else None
        return attentive_lift_c(x, self.lift_weights(norm, prompt_basis), uniform)

    def core(
        self, x: Map, y: Float[Tensor, "b hidden h w"], classes: Int[Tensor, "b l"], prompt: Float[Tensor, "b l n"]
    ) -> Map:
        """x with what the scan of the gated features y adds to it, in one call that has a gradient."""
        weights = self.core_weights()
        return attentive_core_c(x, y, classes, prompt, weights, block=self.block, prompt_sorted=self.prompt_sorted)

    def lift_weights(self, norm: ChannelNorm, prompt_basis: Float[Tensor, "rank n"]) -> LiftWeights:
        """The parameters of the norm, the routing and the gate."""
        routing = self.routing
        assert self.position.bias is not None
        with torch.autocast(prompt_basis.device.type, enabled=False):
            prompts = self.prompt_codes @ prompt_basis
        return LiftWeights(
            *(norm.weight, norm.bias, routing.hidden.weight, routing.hidden.bias),
            *(routing.logits.weight, routing.logits.bias, prompts),
            *(self.project_in.weight, self.project_in.bias, self.position.weight, self.position.bias),
        )

    def core_weights(self) -> CoreWeights:
        """The parameters of the scan and of what follows."""
        scan = self.scan
        return CoreWeights(
            *(scan.x_proj.weight, scan.dt_proj.weight, scan.dt_proj.bias, scan.A_log, scan.D),
            *(self.norm.weight, self.norm.bias, self.project_out.weight, self.project_out.bias),
        )

    def arrange(self, prompt: Float[Tensor, "b l n"], order: ScanOrder) -> Float[Tensor, "s k n"]:
        """The prompts of all pixels as sequences: in scan order, or as published in raster order."""
        rows = prompt.flatten(0, 1)
        if self.prompt_sorted:
            rows = reorder(rows, order.sorted, order.unsorted)
        elif order.raster is not None:
            rows = reorder(rows, order.raster, inverse_permutation(order.raster))
        return rows.unflatten(0, (order.sequences, -1))

    def scan_in_place(
        self, rows: Float[Tensor, "rows d"], prompt: Float[Tensor, "b l n"], order: ScanOrder
    ) -> Float[Tensor, "s k d"]:
        """The scan of pixels that stay where they are; prompts are brought to the pixels that are scanned with them."""
        prompts = prompt.flatten(0, 1)
        if not self.prompt_sorted:
            prompts = reorder(self.arrange(prompt, order).flatten(0, 1), order.unsorted, order.sorted)
        sequences = (order.sequences, -1)
        return self.scan(rows.unflatten(0, sequences), prompts.unflatten(0, sequences), order.sorted)


ATTENTIVE_SCAN = fusing.Written(
    frozenset({AttentiveScan, Routing, SelectiveScan, ChannelNorm, Pointwise, RowLinear, nn.Conv2d}), parameters=20
)
