"""torch's noisy functions with noise from a `NoiseSource`: the same arithmetic as torch's, other random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from .._torch import fused_kernels
from ..model.known.functions import FUNCTIONS, Noisy


class NoiseSource(Protocol):
    """Makes the noise for the functions below. `Sampler` is one, which makes it from the key of a sample."""

    @property
    def packed(self) -> PackedSequence | None: ...  # the packed sequence that the running module was called with

    # Dropout of x by a law, with one draw along each of the `shared` axes.
    def thin(
        self, x: Tensor, p: float, shared: Sequence[int] = (), law: str = "inverted", ragged: bool = False
    ) -> Tensor: ...

    def uniform(self, like: Tensor) -> Tensor: ...

    def normal(self, like: Tensor) -> Tensor: ...


def dropout(source: NoiseSource, name: str, x: Tensor, p: float) -> Any:
    """The dropout function of torch that has this name: chooses the axes that share a draw, and the law."""
    shared: tuple[int, ...] = ()
    if name in ("dropout1d", "dropout2d", "dropout3d", "feature_dropout", "feature_alpha_dropout"):
        channels_at = 0 if x.ndim == {"dropout1d": 2, "dropout3d": 4}.get(name, 1) else 1  # 0: a map without batch
        shared = tuple(range(channels_at + 1, x.ndim))
    if name == "native_dropout":
        kept = source.thin(torch.ones_like(x), p)  # of ones, to have the mask where x is 0 too
        return x * kept, kept != 0
    return source.thin(x, p, shared, "alpha" if "alpha" in name else "inverted")


def attention(source: NoiseSource, p: float, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """`scaled_dot_product_attention` in plain operations, with dropout on the attention weights."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    query, key, value, mask = given["query"], given["key"], given["value"], given.get("attn_mask")
    if given.get("enable_gqa"):
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scale = given.get("scale")
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if given.get("is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf) if mask.dtype is torch.bool else scores + mask
    weights = scores.softmax(-1)
    if mask is not None:
        weights = torch.where(scores.amax(-1, keepdim=True) == -math.inf, 0.0, weights)  # all keys may be masked
    attended: Tensor = source.thin(weights, p) @ value
    return attended


def multi_head_attention(
    source: NoiseSource, function: Any, p: float, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor | None]:
    """Run a copy of torch's Python function in which our functions replace its dropout and its attention."""

    def thinned(x: Tensor, p: float) -> Tensor:
        return source.thin(x, p)

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, p: float, causal: bool) -> Tensor:
        return attention(source, p, (query, key, value, mask, p, causal), {})

    names = {
        **function.__globals__,
        "has_torch_function": lambda _: False,
        "dropout": thinned,
        "scaled_dot_product_attention": attend,
    }
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    entry = FUNCTIONS["multi_head_attention_forward"]
    assert entry.training is not None
    args, kwargs = entry.p.write(*entry.training.write(args, kwargs, True), p)
    result: tuple[Tensor, Tensor | None] = copy(*args, **kwargs)
    return result


def recurrent(source: NoiseSource, name: str, entry: Noisy, p: float, args: Sequence[Any]) -> Any:
    """`lstm`, `gru`, `rnn_*`: one call of torch's kernel for each layer, with dropout between the layers."""
    kernel: Callable[..., Any] = getattr(fused_kernels, name)
    packed = entry.p.place == 6
    data, *rest = args
    sizes = rest.pop(0) if packed else None
    hx, weights, biased, layers, _, _, both_ways, *first = rest
    batch_first = bool(first and first[0])
    state = list(hx) if isinstance(hx, (tuple, list)) else [hx]
    ways = 2 if both_ways else 1
    each = len(weights) // layers
    ends: list[list[Tensor]] = []
    for layer in range(layers):
        own = [part[layer * ways : (layer + 1) * ways] for part in state]
        inner = weights[layer * each : (layer + 1) * each]
        start = own if name == "lstm" else own[0]
        if packed:
            data, *last = kernel(data, sizes, start, inner, biased, 1, 0.0, False, both_ways)
        else:
            data, *last = kernel(data, start, inner, biased, 1, 0.0, False, both_ways, batch_first)
        ends.append(last)
        if layer < layers - 1:
            data = _padded(source, data, sizes, p) if packed else source.thin(data, p)
    return (data, *(torch.cat(parts) for parts in zip(*ends, strict=True)))


def _padded(source: NoiseSource, data: Tensor, sizes: Any, p: float) -> Tensor:
    """Dropout of packed data. It is padded first: a row's position in packed data depends on the other rows."""
    steps, lengths = pad_packed_sequence(PackedSequence(data, sizes))
    thinned = _in_order(source, steps, p)
    here = torch.arange(steps.shape[0], device="cpu")[:, None] < lengths
    return thinned[here.to(data.device)]


def _in_order(source: NoiseSource, steps: Tensor, p: float) -> Tensor:
    """Dropout of padded data, with the rows in the order of the batch, not sorted by their lengths."""
    packed = source.packed
    if packed is None or packed.unsorted_indices is None or packed.sorted_indices is None:
        return source.thin(steps, p, ragged=True)
    return source.thin(steps[:, packed.unsorted_indices], p, ragged=True)[:, packed.sorted_indices]


def draw(
    source: NoiseSource, name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Tensor:
    """The result of a function that only draws, such as `rand` or `bernoulli_`, with numbers from the source.

    Raises:
        NotImplementedError: the function draws from a law that we don't have.
    """
    if name not in _LAWS:
        raise NotImplementedError(
            f"`predict`: noise of `{name}` can't be drawn by key. Leave its place out by sites=..., or draw with rand, "
            "bernoulli or randn."
        )
    if in_place(function):
        like, numbers = args[0] if args else kwargs["tensor"], _numbers(name, args, kwargs)
    elif name == "bernoulli":
        given = [*args[1:], *(kwargs[key] for key in kwargs if key == "p")]
        like, numbers = args[0], given or [args[0]]
    else:
        like, numbers = _empty(name, args, {key: kwargs[key] for key in kwargs if key != "generator"}), []
    return _LAWS[name](source, like, numbers, args, kwargs).to(like.dtype)


def in_place(function: Callable[..., Any]) -> bool:
    """Whether a function that draws writes into its first argument."""
    return getattr(function, "__name__", "").endswith("_")


def _numbers(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    """The parameters of a law, such as mean and std of `normal_`, in order; `torch.nn.init` has other names."""
    numbers = []
    for place, (names, default) in enumerate(_TOLD[name], 1):
        given = [kwargs[key] for key in names if key in kwargs]
        numbers.append(given[0] if given else args[place] if place < len(args) else default)
    return numbers


_TOLD: dict[str, tuple[tuple[tuple[str, ...], float], ...]] = {
    "bernoulli": ((("p",), 0.5),),
    "uniform": ((("from", "a"), 0.0), (("to", "b"), 1.0)),
    "normal": ((("mean",), 0.0), (("std",), 1.0)),
    "exponential": ((("lambd",), 1.0),),
}


def _empty(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """An uninitialised tensor like the one that the function makes."""
    if name.endswith("_like"):
        kept = {key: kwargs[key] for key in ("dtype", "device", "layout", "memory_format") if key in kwargs}
        return torch.empty_like(args[0] if args else kwargs["input"], **kept)
    given: dict[str, Any] = {key: kwargs[key] for key in ("dtype", "device", "size") if key in kwargs}
    if name == "randint":
        given.setdefault("dtype", torch.int64)
        return torch.empty(*[size for size in args if isinstance(size, (tuple, list, torch.Size))], **given)
    if name == "randperm":
        given.setdefault("dtype", torch.int64)
        return torch.empty(args[0] if args else kwargs["n"], **given)
    if name == "normal":
        raise NotImplementedError("`predict`: torch.normal can't be drawn by key. Use mean + deviation * randn(...).")
    return torch.empty(*args, **given)


def _bernoulli(source: NoiseSource, like: Tensor, numbers: list[Any], *_: Any) -> Tensor:
    q = numbers[0] if numbers else 0.5
    kept = source.uniform(like if like.is_floating_point() else like.float()) < q
    return kept.to(like.dtype)


def _uniform(source: NoiseSource, like: Tensor, numbers: list[Any], *_: Any) -> Tensor:
    low, high = (*numbers, *(0.0, 1.0)[len(numbers) :])[:2]
    drawn: Tensor = source.uniform(like) * (high - low) + low
    return drawn


def _normal(source: NoiseSource, like: Tensor, numbers: list[Any], *_: Any) -> Tensor:
    mean, deviation = (*numbers, *(0.0, 1.0)[len(numbers) :])[:2]
    drawn: Tensor = source.normal(like) * deviation + mean
    return drawn


def _integer(source: NoiseSource, like: Tensor, _: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    whole = [value for value in args if isinstance(value, int)]
    bounds = [*whole[:2], *(kwargs[key] for key in ("low", "high") if key in kwargs)]
    low, high = bounds if len(bounds) > 1 else (0, bounds[0])
    drawn: Tensor = (source.uniform(like.double()) * (high - low)).floor() + low
    return drawn


def _order(source: NoiseSource, like: Tensor, *_: Any) -> Tensor:
    return source.uniform(like.double()).argsort()


def _waiting(source: NoiseSource, like: Tensor, numbers: list[Any], *_: Any) -> Tensor:
    drawn: Tensor = source.uniform(like).log() / -(numbers[0] if numbers else 1.0)
    return drawn


_LAWS: dict[str, Callable[..., Tensor]] = {
    "bernoulli": _bernoulli,
    "uniform": _uniform,
    "rand": _uniform,
    "rand_like": _uniform,
    "normal": _normal,
    "randn": _normal,
    "randn_like": _normal,
    "randint": _integer,
    "randint_like": _integer,
    "randperm": _order,
    "exponential": _waiting,
}
