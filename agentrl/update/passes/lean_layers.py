"""The two halves of a decoder layer around its attention, a few rows at a time, with backward passes by hand.

A small model's update is bound by memory: each elementwise operation over a whole row of tokens writes and reads
megabytes. Here a few rows go through all operations at once, so that what lies between them stays in the cache, and
the gradient of a norm, a rotation or a gate takes no more passes than it must.

Axis suffixes: ``_L`` tokens, ``_C`` those of one chunk, ``_E`` width of the model, ``_F`` of the gated layer, ``_N``
heads of queries and of keys, ``_D`` their width.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

CHUNK_FLOATS = 2**17
"""Of the widest tensor of a chunk: a handful of them fit a core's second-level cache."""

_silu_backward = torch.ops.aten.silu_backward


def project(
    hidden_LE: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    scale_ND: Tensor | None,
    rotation_L: Tensor,
    heads: int,
    kv_heads: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalise, project to heads, normalise those of queries and keys where the family does, rotate them.

    Args:
      hidden_LE: hidden states.
      weight: of queries, keys and values, ((H + 2 G) D, E), with the scale of the norm multiplied into it. The halves
        of each head of queries and keys are interleaved, so that a rotation is a complex product.
      bias: likewise, ((H + 2 G) D,), or None.
      scale_ND: of the norm of queries and keys, (H + G, D), interleaved too, or None.
      rotation_L: complex, (L, 1, D / 2).
      heads: H; can be 0.
      kv_heads: G; can be 0.
      eps: of the norms.

    Returns:
      (the hidden states as they came, whose gradient is added up on the way; queries (L, H, D); keys and values,
      (L, G, D) each).
    """
    arguments = hidden_LE, weight, bias, scale_ND, rotation_L, heads, kv_heads, eps
    found: tuple[Tensor, Tensor, Tensor, Tensor] = _Project.apply(*arguments)  # type: ignore[no-untyped-call]
    return found


def advance(
    hidden_LE: Tensor,
    attended: Tensor,
    output: Tensor,
    bias: Tensor | None,
    gate_FE: Tensor,
    up_FE: Tensor,
    down_EF: Tensor,
    eps: float,
) -> Tensor:
    """Add what attention found to the hidden states, and to both the gated layer's answer; return them, (L, E).

    Args:
      hidden_LE: hidden states.
      attended: output of attention, (L, H D).
      output: weight of its projection, (E, H D).
      bias: likewise, (E,), or None.
      gate_FE: weight, with the scale of the norm multiplied into it.
      up_FE: likewise.
      down_EF: weight.
      eps: of the norm.
    """
    arguments = hidden_LE, attended, output, bias, gate_FE, up_FE, down_EF, eps
    advanced: Tensor = _Advance.apply(*arguments)  # type: ignore[no-untyped-call]
    return advanced


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_LE: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        scale_ND: Tensor | None,
        rotation_L: Tensor,
        heads: int,
        kv_heads: int,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        total, turned = heads + 2 * kv_heads, heads + kv_heads
        length, width = len(hidden_LE), len(weight) // total
        query, key, value = (hidden_LE.new_empty(length, n, width) for n in (heads, kv_heads, kv_heads))
        raw = hidden_LE.new_empty(0 if scale_ND is None else length, turned, width)
        for at in _chunks(length, max(weight.shape)):
            normed, _ = _normalise(hidden_LE[at], eps)
            flat = normed @ weight.T if bias is None else torch.addmm(bias, normed, weight.T)
            heads_CND = flat.view(-1, total, width)
            part = heads_CND[:, :turned]
            if scale_ND is not None:
                raw[at] = part
                part = _normalise(part, eps)[0].mul_(scale_ND)
            rotation_C = rotation_L[at]
            torch.mul(_complex(part[:, :heads]), rotation_C, out=_complex(query[at]))
            torch.mul(_complex(part[:, heads:]), rotation_C, out=_complex(key[at]))
            value[at] = heads_CND[:, turned:]
        ctx.save_for_backward(hidden_LE, weight, bias, scale_ND, rotation_L, raw)
        ctx.sizes, ctx.eps = (heads, kv_heads, width), eps
        ctx.set_materialize_grads(False)
        return hidden_LE.view_as(hidden_LE), query, key, value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_LE: Tensor | None, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden_LE, weight, bias, scale_ND, rotation_L, raw = ctx.saved_tensors
        heads, kv_heads, width = ctx.sizes
        turned, back_L = heads + kv_heads, rotation_L.conj().resolve_conj()
        query, key, value = (
            hidden_LE.new_zeros(len(hidden_LE), n, width) if slope is None else slope
            for slope, n in zip(slopes, (heads, kv_heads, kv_heads), strict=True)
        )
        d_hidden, d_weight = torch.empty_like(hidden_LE), torch.zeros_like(weight)
        d_bias, d_scale = (None if x is None else torch.zeros_like(x) for x in (bias, scale_ND))
        for at in _chunks(len(hidden_LE), max(weight.shape)):
            normed, factor = _normalise(hidden_LE[at], ctx.eps)
            d_heads = normed.new_empty(len(normed), turned + kv_heads, width)
            part = d_heads[:, :turned]
            torch.mul(_complex(query[at]), back_L[at], out=_complex(part[:, :heads]))
            torch.mul(_complex(key[at]), back_L[at], out=_complex(part[:, heads:]))
            d_heads[:, turned:] = value[at]
            if d_scale is not None:
                normed_heads, head_factor = _normalise(raw[at], ctx.eps)
                d_scale += (part * normed_heads).sum(0)
                _normalise_backward(part.mul_(scale_ND), normed_heads, head_factor)
            flat = d_heads.view(len(normed), -1)
            d_weight.addmm_(flat.T, normed)
            if d_bias is not None:
                d_bias += flat.sum(0)
            slope = _normalise_backward(flat @ weight, normed, factor)
            d_hidden[at] = slope if slope_LE is None else slope.add_(slope_LE[at])
        return d_hidden, d_weight, d_bias, d_scale, None, None, None, None


class _Advance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_LE: Tensor,
        attended: Tensor,
        output: Tensor,
        bias: Tensor | None,
        gate_FE: Tensor,
        up_FE: Tensor,
        down_EF: Tensor,
        eps: float,
    ) -> Tensor:
        length = len(hidden_LE)
        middle_LE, out_LE = torch.empty_like(hidden_LE), torch.empty_like(hidden_LE)
        gated_LF, upper_LF = (hidden_LE.new_empty(length, len(gate_FE)) for _ in range(2))
        for at in _chunks(length, len(gate_FE)):
            middle = torch.addmm(hidden_LE[at], attended[at], output.T, out=middle_LE[at])
            if bias is not None:
                middle += bias
            normed, _ = _normalise(middle, eps)
            gated = torch.mm(normed, gate_FE.T, out=gated_LF[at])
            upper = torch.mm(normed, up_FE.T, out=upper_LF[at])
            torch.addmm(middle, silu(gated).mul_(upper), down_EF.T, out=out_LE[at])
        ctx.save_for_backward(attended, output, bias, gate_FE, up_FE, down_EF, middle_LE, gated_LF, upper_LF)
        ctx.eps = eps
        return out_LE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_LE: Tensor) -> tuple[Tensor | None, ...]:
        attended, output, bias, gate_FE, up_FE, down_EF, middle_LE, gated_LF, upper_LF = ctx.saved_tensors
        d_hidden, d_attended = torch.empty_like(middle_LE), torch.empty_like(attended)
        d_output, d_gate, d_up, d_down = (torch.zeros_like(w) for w in (output, gate_FE, up_FE, down_EF))
        for at in _chunks(len(middle_LE), len(gate_FE)):
            slope, gated, upper = slope_LE[at], gated_LF[at], upper_LF[at]
            normed, factor = _normalise(middle_LE[at], ctx.eps)
            active = silu(gated)
            d_product = slope @ down_EF
            d_upper = d_product * active
            d_gated = _silu_backward(d_product.mul_(upper), gated)
            d_down.addmm_(slope.T, active.mul_(upper))
            d_gate.addmm_(d_gated.T, normed)
            d_up.addmm_(d_upper.T, normed)
            d_normed = torch.mm(d_gated, gate_FE).addmm_(d_upper, up_FE)
            middle = torch.add(slope, _normalise_backward(d_normed, normed, factor), out=d_hidden[at])
            d_output.addmm_(middle.T, attended[at])
            torch.mm(middle, output, out=d_attended[at])
        d_bias = None if bias is None else d_hidden.sum(0)
        return d_hidden, d_attended, d_output, d_bias, d_gate, d_up, d_down, None


def _chunks(length: int, width: int) -> Iterator[slice]:
    size = max(64, CHUNK_FLOATS // width)
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _normalise(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return x / rms(x) and the factor 1 / rms(x); rms² = mean x² + eps, over the last axis (arXiv:1910.07467)."""
    factor = torch.linalg.vecdot(x, x).div_(x.shape[-1]).add_(eps).rsqrt_()[..., None]
    return x * factor, factor


def _normalise_backward(slope: Tensor, normed: Tensor, factor: Tensor) -> Tensor:
    """Turn the slope in n = x / rms(x) into that in x, in place: factor (slope - n mean(slope n))."""
    mean = torch.linalg.vecdot(slope, normed).div_(slope.shape[-1])[..., None]
    return slope.addcmul_(normed, mean, value=-1).mul_(factor)


def _complex(x: Tensor) -> Tensor:
    """(..., D) -> (..., D / 2)."""
    return torch.view_as_complex(x.view(*x.shape[:-1], x.shape[-1] // 2, 2))
