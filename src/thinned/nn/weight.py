"""Dropout of weights: DropConnect, for any weight of any module.

The noise acts only while the forward of the module with the weight runs. A forward pre-hook puts the masked weight
where the module looks for its weight. A forward hook, which also runs if the forward raises, removes the masked weight.
The parameter itself stays in its place: `state_dict`, optimisers, `.to()`, deepcopy and pickle work as for any module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.fx import Proxy

from ..noise import SCALING, Choice, Integer
from ..ops import Rate, check_floating, realised
from .site import Checked, CheckedAxes, Site, own_key, rate, settings, thin
from .symbolic import module_node

INFERENCE = Choice(("mean", "gaussian"))
NODES = Integer(1, 128, "[1, 128]")
# Before torch 2.13, torch.compile cannot remove an entry from a module's `__dict__`. There a compiled forward leaves
# the parameter itself as the entry, which has the same value as if there were no entry.
STAYS = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)

Module = torch.nn.Module
_BOUND = "_drop_connect_max_norm"  # where an embedding's max_norm is while its forward runs


class DropConnect(Site):
    """Drop each entry of a weight with probability p in training.

    `W' = W * M / q`, M ~ Bernoulli(q), in training; `W' = W` at inference. With `scaling="classic"`: `W' = W * M` in
    training and `W' = q W` at inference.

    Use `drop_connect` to attach it to a module. It can also be registered with `torch.nn.utils.parametrize`. Then it
    draws at every access to the weight, not once for each forward, and the parameter has another name in `state_dict`.

    Arguments: `p`; `broadcast_dims`, axes of the weight along which one draw is shared; `scaling` as in `dropout`.

    Shape: any; the output has the weight's shape. `forward` takes `key=` and `generator=`.

    Cost: at most 40 bytes are saved for the backward pass.

    Source: Wan, Zeiler, Zhang, LeCun and Fergus 2013. The paper draws a mask for each sample of a batch. Here one mask
    serves the whole batch: the mean is the same, and no masks of the size batch times weights are needed.

    >>> DropConnect(0.5)(torch.ones(2, 2), key=7)
    tensor([[0., 2.],
            [2., 2.]])
    """

    broadcast_dims = CheckedAxes()
    scaling = Checked(SCALING)

    def __init__(self, p: float = 0.5, *, broadcast_dims: Sequence[int] = (), scaling: str = "inverted") -> None:
        super().__init__()
        self.p, self.broadcast_dims, self.scaling = p, broadcast_dims, scaling
        self._weight: str | None = None  # the name of the parameter, if `drop_connect` has attached this to a module

    def forward(
        self, weight: Tensor, *, key: int | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        if isinstance(weight, Proxy):
            return module_node(self, weight, key=key, generator=generator)
        return thin(
            type(self).__name__,
            weight,
            rate(self),
            self.training,
            False,
            broadcast_dims=self.broadcast_dims,
            scaling=self.scaling,
            key=own_key(self, weight, key, generator),
            generator=generator,
            batch_dim=None,
        )

    # The hooks are bound methods, so that deepcopy and pickle copy them together with the layer.
    def _put(self, module: Module, inputs: Any) -> None:
        """The forward pre-hook: put the masked weight into the module's `__dict__`."""
        # Python looks into `__dict__` before torch looks into `_parameters`, so the entry hides the parameter.
        name = cast(str, self._weight)
        weight = module._parameters.get(name)
        if weight is None:
            raise RuntimeError(
                f"`drop_connect`: {type(module).__name__}.{name} must still be a parameter. It is none: weight_norm, "
                "parametrize or a replica has moved it. Use drop_connect on what holds the parameter now, or register "
                "DropConnect with torch.nn.utils.parametrize."
            )
        bound = module.__dict__.get("max_norm")
        if bound is not None and inputs and isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag):
            # The bound is on the parameter, as without DropConnect. On the masked weight it would undo the scaling.
            with torch.no_grad():
                torch.embedding_renorm_(weight.detach(), inputs[0].contiguous(), bound, module.norm_type)
            module.__dict__[_BOUND], module.__dict__["max_norm"] = bound, None
        module.__dict__[name] = self(weight)
        _refresh_flat_weights(module)

    def _take(self, module: Module, inputs: Any, output: Any) -> None:
        """The forward hook: remove the masked weight."""
        name = cast(str, self._weight)
        if STAYS and torch.compiler.is_compiling():
            module.__dict__[name] = module._parameters[name]
        else:
            module.__dict__.pop(name, None)
        if (bound := module.__dict__.pop(_BOUND, None)) is not None:
            module.__dict__["max_norm"] = bound
        _refresh_flat_weights(module)


def drop_connect(
    module: Module,
    name: str = "weight",
    p: float = 0.5,
    *,
    broadcast_dims: Sequence[int] = (),
    scaling: str = "inverted",
) -> Module:
    """Attach DropConnect to one weight of a module, in place. A mask is drawn once for each forward call.

    Outside of the forward, and at inference with inverted scaling, the attribute is the parameter itself. Only one
    thread at a time may run the module, and its forward must not call itself. The layer is a submodule,
    `<name>_drop_connect`: `train()` and `eval()` act on it, and its `p` may be assigned later. `state_dict` is
    unchanged. With torch's tensor parallel styles, attach it after `parallelize_module`.

    Arguments:
        module: the module with the weight: Linear, Conv, Embedding, LSTM, or any module that uses the weight in its own
            `forward`.
        name: the name of the parameter, such as "weight" or "weight_hh_l0". Call again for another parameter.
        p, broadcast_dims, scaling: as in `DropConnect`; `broadcast_dims=(1,)` on an embedding drops whole words. With
            `sparse=True` its gradient stays sparse; `max_norm` bounds the parameter, not the masked weight.

    Returns:
        `module`.

    Raises:
        ValueError: the module has no such parameter.
        ValueError: the parameter has a DropConnect already.
        ValueError: the module is the output layer of MultiheadAttention, which reads the weight and never calls the
            layer.
        ValueError: `p` is outside [0, 1].
        TypeError: the parameter is no floating-point tensor.

    Source: Wan et al. 2013; on the recurrent weights of an LSTM, Merity, Keskar and Socher 2017.

    >>> layer = drop_connect(torch.nn.Linear(3, 2), p=0.5)
    >>> sorted(layer.state_dict())
    ['bias', 'weight']
    >>> layer
    Linear(
      in_features=3, out_features=2, bias=True
      (weight_drop_connect): DropConnect(p=0.5)
    )
    """
    names = [key for key, value in module._parameters.items() if value is not None]
    if name not in names:
        raise ValueError(
            f"`drop_connect`: `name` must be a parameter of {type(module).__name__}. Got {name!r}. "
            f"It has {', '.join(map(repr, names)) or 'none of its own'}."
        )
    if isinstance(module, torch.nn.modules.linear.NonDynamicallyQuantizableLinear):
        raise ValueError(
            "`drop_connect`: `module` must use the weight in its own forward. Got attention's output layer, whose "
            "weight MultiheadAttention reads without calling it. Use 'in_proj_weight' of the attention itself."
        )
    child = f"{name}_drop_connect"
    if child in module._modules:
        raise ValueError(
            f"`drop_connect`: one DropConnect a weight. {type(module).__name__}.{name} has one. "
            f"Assign its rate instead: module.{child}.p = {p!r}."
        )
    check_floating("drop_connect", module._parameters[name])
    layer = DropConnect(p, broadcast_dims=broadcast_dims, scaling=scaling).train(module.training)
    layer._weight = name
    module.add_module(child, layer)
    module.register_forward_pre_hook(layer._put)
    module.register_forward_hook(layer._take, always_call=True)
    return module


def remove_drop_connect(module: Module, name: str = "weight") -> Module:
    """Remove DropConnect from a weight. Afterwards the module is as it was before `drop_connect`.

    Returns:
        `module`.

    Raises:
        ValueError: the parameter `name` has no DropConnect.

    >>> remove_drop_connect(drop_connect(torch.nn.Linear(3, 2)))
    Linear(in_features=3, out_features=2, bias=True)
    """
    layer = module._modules.get(f"{name}_drop_connect")
    if not isinstance(layer, DropConnect):
        raise ValueError(
            f"`remove_drop_connect`: {type(module).__name__}.{name} must have a DropConnect. It has none. "
            "Name the weight that was given to `drop_connect`."
        )
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for handle, hook in list(hooks.items()):
            if getattr(hook, "__self__", None) is layer:
                del hooks[handle]
                module._forward_hooks_always_called.pop(handle, None)
    del module._modules[f"{name}_drop_connect"]
    return module


def _refresh_flat_weights(module: Module) -> None:
    """Update the list from which torch's recurrent modules read their weights. Other modules have no such list."""
    if isinstance(module, torch.nn.RNNBase):
        module.__dict__["_flat_weights"] = [getattr(module, name) for name in module._flat_weights_names]


class DropConnectLinear(Site, torch.nn.Linear):
    """A linear layer with DropConnect on its weights, and with the inference of the paper as a choice.

    Training: `y = a(x (W * M / q)^T + b)`. Inference "mean": `y = a(x W^T + b)`. Inference "gaussian": `y = E[a(u)]`,
    where the input u of a unit is a Normal variable, because it is a sum of many independent terms. Its moments over
    the masks are `mean = x W^T + b` and `var = (p / q) x^2 (W^2)^T`. For a convex `a` such as ReLU the result of "mean"
    is too low (Jensen), most where the mean of u is near 0.

    The paper estimates the expectation by sampling. Here it is a Gauss-Hermite sum: the same integral without sampling
    noise. If `a` has a corner, as ReLU has, the error of the sum is at most 0.33 / `nodes` standard deviations of u.

    All samples of a batch share one mask, so in training their outputs are correlated (docs/design/theory.md).

    Arguments:
        in_features, out_features, bias: as in `torch.nn.Linear`. The `state_dict` is the same too.
        p: the probability that a weight is dropped, in [0, 1].
        activation: the elementwise function `a`. It is a part of the layer, because "gaussian" computes its
            expectation. None is the identity.
        inference: "mean" or "gaussian".
        nodes: the number of terms in the Gauss-Hermite sum, 1 to 128; `a` is evaluated once for each term.
        scaling: as in `dropout`.

    Shape: `(..., in_features)` to `(..., out_features)`.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: `p` or `nodes` is out of range, or `inference` or `scaling` is unknown.
        ValueError: `inference` is "gaussian" and `activation` is None: without an activation use "mean".

    Source: Wan et al. 2013, section 3.

    >>> layer = DropConnectLinear(4, 2, p=0.5, activation=torch.relu, inference="gaussian").eval()
    >>> x = torch.ones(4)
    >>> mean, variance = layer.moments(x)
    >>> bool((layer(x) >= mean.relu()).all())
    True
    """

    scaling = Checked(SCALING)
    inference = Checked(INFERENCE)
    nodes = Checked(NODES)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        p: float = 0.5,
        *,
        activation: Callable[[Tensor], Tensor] | None = None,
        inference: str = "mean",
        nodes: int = 64,
        scaling: str = "inverted",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.p, self.inference, self.nodes, self.scaling = p, inference, nodes, scaling
        self.activation = activation
        self._check_activation()

    def forward(
        self, input: Tensor, *, key: int | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        if isinstance(input, Proxy):
            return module_node(self, input, key=key, generator=generator)
        if not self.training and self.inference == "gaussian":
            return self._expected(*self.moments(input))
        weight = thin(
            type(self).__name__,
            self.weight,
            rate(self),
            self.training,
            False,
            scaling=self.scaling,
            key=own_key(self, input, key, generator),
            generator=generator,
            batch_dim=None,
        )
        output = torch.nn.functional.linear(input, weight, self.bias)
        return output if self.activation is None else self.activation(output)

    def _check_activation(self) -> None:
        """Refuse inference "gaussian" without an activation."""
        if self.inference == "gaussian" and self.activation is None:
            raise ValueError(
                "`DropConnectLinear`: `activation` must be given when `inference` is 'gaussian'. Got None. "
                "Pass the elementwise nonlinearity, such as torch.relu, and leave it out after the layer."
            )

    def extra_repr(self) -> str:
        ours = settings(self, "p", "activation", "inference", "nodes", "scaling")
        return f"{torch.nn.Linear.extra_repr(self)}, {ours}"

    def moments(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance over the masks of the input of each unit, both of shape `(..., out_features)`."""
        dropped = realised(rate(self))
        kept = 1.0 - dropped
        # Inverted scaling multiplies by m / q in training, with mean 1 and variance p / q; classic scaling by m, with
        # mean q and variance p q. At p = 1, inference with inverted scaling uses W itself, and the variance is 0.
        if isinstance(kept, Tensor):
            spread: Rate = torch.where(kept > 0.0, dropped / kept, 0.0)
        else:
            spread = dropped / kept if kept else 0.0
        mean_factor, variance_factor = (kept, dropped * kept) if self.scaling == "classic" else (1.0, spread)
        mean = torch.nn.functional.linear(input, self.weight * mean_factor, self.bias)
        return mean, torch.nn.functional.linear(input.square(), self.weight.square() * variance_factor)

    def _expected(self, mean: Tensor, variance: Tensor) -> Tensor:
        """The expectation of the activation of a Normal variable, by a Gauss-Hermite sum."""
        points, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        weights = weights / weights.sum()
        self._check_activation()
        activation = cast(Callable[[Tensor], Tensor], self.activation)
        deviation = variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()
        total = torch.zeros_like(mean)
        for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
            total = total + weight * activation(mean + point * deviation)
        return total
