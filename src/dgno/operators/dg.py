"""The discontinuous Galerkin operator layer (DGNO paper, Eq. 2-16).

Inside every element a kernel integral; across every face a numerical flux; both as d x d operators per head, applied
to the element's queries.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from dgno.kernels import backends, fusing
from dgno.kernels.choice import Choice
from dgno.kernels.dg_layer import LayerWeights
from dgno.kernels.dg_layer_c import apply_layer_c, integrate_layer_c
from dgno.kernels.dg_operator import Operators
from dgno.operators.assembly import PaperAssembly, ReleasedAssembly
from dgno.operators.galerkin import HeadNorm, Integral, Traces, cell_traces, face_traces, no_traces
from dgno.operators.pointwise import Pointwise

Map = Float[Tensor, "b c h w"]
OPERATOR_LAYER = fusing.Written(frozenset({Pointwise, HeadNorm, nn.Sequential, nn.GELU}), parameters=10)


class DGOperator(nn.Module):
    """z -> mlp(q K + z) + z with K = volume integral + fluxes; the plane must be a multiple of the element size.

    dim : channels, a multiple of `heads`
    element_size : side of the square elements in pixels; None makes the whole plane one element (global Galerkin, GG)
    integral : `cell_traces` or `face_traces`; `no_traces` leaves the elements uncoupled (local Galerkin, LG)
    assembly : the flux and the boundary rule, in one of two conventions; None without traces
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        element_size: int | None = 8,
        integral: Callable[..., Integral] = no_traces,
        assembly: PaperAssembly | ReleasedAssembly | None = None,
    ) -> None:
        super().__init__()
        if (integral is no_traces) != (assembly is None):
            raise ValueError(
                "traces need an assembly, and an assembly needs traces: give both `integral` and `assembly`"
            )
        self.element_size, self.integral, self.assembly = element_size, integral, assembly
        self.qkv = Pointwise(dim, 3 * dim)
        self.key_norm, self.value_norm = HeadNorm(heads, dim // heads), HeadNorm(heads, dim // heads)
        self.mlp = nn.Sequential(Pointwise(dim, dim), nn.GELU(), Pointwise(dim, dim))

    def forward(self, z: Map) -> Map:
        heads, _, d = self.key_norm.weight.shape
        x = fusing.fusible(z)
        choice = fusing.choose_operator_layer(x.device, x.dtype, heads, d, self.element_size)
        if not self.wants_layers(choice, x):
            return self.in_two_passes(x)
        q, kv = self.project(z)
        K = self.operators(kv)
        return self.mlp(backends.apply(q, K, onto=z)) + z

    def wants_layers(self, choice: Choice, z: Map) -> bool:
        """Must the layer be computed in steps? The fluxes are called in any case, and may be any module."""
        if type(self) is not DGOperator or self.integral not in (no_traces, cell_traces, face_traces):
            return True
        if [type(layer) for layer in self.mlp.children()] != [Pointwise, nn.GELU, Pointwise]:
            return True
        at_fluxes = () if self.assembly is None else self.assembly.parameters()
        modules = self.qkv, self.key_norm, self.value_norm, self.mlp
        return fusing.wants_layers(choice, OPERATOR_LAYER, modules, (z, *at_fluxes))

    def in_two_passes(self, z: Map) -> Map:
        """The same without gradients; what lies between z and the operators, or the result, is never stored."""
        to_hidden, _, from_hidden = self.mlp
        assert isinstance(to_hidden, Pointwise)
        assert isinstance(from_hidden, Pointwise)
        weights = LayerWeights(
            *(self.qkv.weight, self.qkv.bias, self.key_norm.stacked(), self.value_norm.stacked()),
            *(to_hidden.weight, to_hidden.bias, from_hidden.weight, from_hidden.bias),
        )
        assert self.element_size is not None
        half, wants_sides = fusing.fuses_in_half(z.device), self.integral is face_traces
        volume, sides = integrate_layer_c(z, weights, self.element_size, wants_sides, half=half)
        if self.assembly is not None:
            volume = volume + self.assembly(Traces(*([volume] * 4 if sides is None else sides)))
        return apply_layer_c(z, volume, weights, half=half)

    def project(self, z: Map) -> tuple[Map, Float[Tensor, "b 2*c h w"]]:
        """Queries, and keys with values: one linear map, computed as two so that each result is contiguous."""
        if not fusing.is_plain(self.qkv, (Pointwise,)) or self.qkv.bias is None:
            q, kv = self.qkv(z).split([z.shape[1], 2 * z.shape[1]], dim=1)
            return q, kv
        pixels, dim = z.permute(0, 2, 3, 1), z.shape[1]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = backends.pointwise(pixels, weight[:dim], bias[:dim])
        kv = backends.pointwise(pixels, weight[dim:], bias[dim:])
        return q.permute(0, 3, 1, 2), kv.permute(0, 3, 1, 2)

    def operators(self, kv: Float[Tensor, "b c2 h w"]) -> Operators:
        """The operator K of every element and head, Eq. 16."""
        size = (self.element_size,) * 2 if self.element_size else (kv.shape[2], kv.shape[3])
        volume, traces = self.integral(kv, self.key_norm.stacked(), self.value_norm.stacked(), size)
        return volume if traces is None or self.assembly is None else volume + self.assembly(traces)
