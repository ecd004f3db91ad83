"""The networks that dropout trains: `thinned_networks` gives single ones, two functions an answer for all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..forked import LongLock
from ..model.inspect.inspect import glance
from ..model.inspect.inspection import Inspection
from ..model.inspect.place import Place
from ..model.watch.example import arguments, by_name
from ..model.watch.private_noise import unnoticed
from ..model.watch.recorder import tensors_of
from ..model.watch.stand_in import stood_in
from ..model.watch.untouched import check_module, untouched
from ..nn.names import site_number
from ..noise import UINT64, bernoulli, check, fold_in, scale
from ..ops.philox import signed
from .answer import AnswerTensor, Select
from .batches import batch_size
from .live import Rates, find, overridden, rate_for
from .predictor import logit_samples
from .prune import Pruning, prunings
from .runner import Runner

Module = torch.nn.Module


def weight_scaling(
    model: Module, x: Any, *, output: Callable[[Any], Tensor] | None = None, select: Select = None
) -> Tensor:
    """The model's own answer in evaluation mode, which stands for the mean of all its thinned networks.

    With one linear layer after the noise, it is exactly this mean. With a softmax of one linear layer, it is exactly
    the normalised geometric mean. Otherwise it is an approximation, the "weight scaling inference rule". Model, buffers
    and random state are left as they were.

    Arguments: `model`, `x` and `select` as in `predict`, but `x` is no DataLoader. `output` is a function, as `select`.

    Source: Srivastava et al. 2014.

    >>> net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Identity())
    >>> weight_scaling(net, torch.ones(2))
    tensor([1., 1.])
    """
    if output is not None and not callable(output):
        raise TypeError(
            f"`weight_scaling`: `output` must be a function. Got {output!r}. Leave it out: the result is what the "
            "model answers with, logits or probabilities."
        )
    with stood_in("weight_scaling", model) as (stand_in, noise), torch.no_grad(), noise.given():
        twin = stand_in.module.eval()
        args, kwargs = arguments(model, x)
        answer = twin(*args, **kwargs)
        return AnswerTensor("weight_scaling", select or output)(answer)


def geometric_mean(model: Module, x: Any, n: int = 50, **options: Any) -> Tensor:
    """Class probabilities `(N, classes, ...)`: the normalised geometric mean of n thinned networks' probabilities.

    `p_c ~ (prod_t softmax(z_t)_c)^(1/n)`, which is the softmax of the mean logits. For a softmax of one linear layer,
    its limit for large n is exactly the softmax of `weight_scaling`. For deep networks it is near to that softmax. The
    arithmetic mean of `predict` is less confident.

    Arguments: as `predict`, without `task`. With output="probabilities", the mean is of their logarithms. The classes
        of the result are on `class_axis`.

    Source: Srivastava et al. 2014; Baldi and Sadowski 2013.

    >>> net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 3))
    >>> geometric_mean(net, torch.ones(2, 4), n=10).sum(1)
    tensor([1., 1.])
    """
    if "task" in options:
        raise TypeError("`geometric_mean`: `task` is not among its arguments. Got one. It is of class probabilities.")
    check_module("geometric_mean", model)
    found = logit_samples(model, x, n, task="classification", **{"levels": (), **options})
    temperature = float(options.get("temperature", 1.0))
    return (found.mean / temperature).softmax(found.class_axis)


def thinned_networks(
    model: Module, k: int, *args: Any, seed: int = 0, sites: Any = None, p: Rates = None, **kwargs: Any
) -> list[Module]:
    """k of the networks that dropout trains, each as a module of its own, in evaluation mode.

    Network t has the masks of sample t of `predict(model, x, seed=seed, shared_masks=True)`, the same at each call.
    Where dropout drops whole units or channels between two layers, these are cut out of both layers, so that the module
    is smaller, and the scale of the survivors is in its weights. Other dropout modules become fixed masks. Noise
    outside of dropout modules (functional dropout, attention, recurrent layers) is drawn at each call, always by the
    same key.

    Arguments:
        model: any module; it is copied, never changed.
        k: how many networks.
        args, kwargs: an example of the arguments that the model is called with; two rows are enough. A forward pass on
            it shows the shapes of the masks, and the layers before and after each dropout.
        seed, sites, p: as in `predict`.

    Raises:
        ValueError: as `predict`.
        ValueError: `k` is no integer of 1 or more.
        TypeError: as `predict`.
        TypeError: there is no example.

    Cost: k copies of the model.

    >>> from torch.nn import Dropout, Linear, ReLU, Sequential
    >>> net = Sequential(Linear(4, 64), ReLU(), Dropout(0.5), Linear(64, 2))
    >>> one, other = thinned_networks(net, 2, torch.ones(2, 4), seed=1)
    >>> one[0].out_features == one[3].in_features, one[0].out_features < 64, isinstance(one[2], torch.nn.Identity)
    (True, True, True)
    """
    check(UINT64, "thinned_networks", "seed", seed)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"`thinned_networks`: `k` must be an integer, 1 or more. Got {k!r}.")
    if not args and not kwargs:
        raise TypeError(
            "`thinned_networks`: an example must follow `k`. Got none. Pass what the model is called with: x[:2]."
        )
    check_module("thinned_networks", model)
    args, kwargs = by_name(model, args, kwargs)
    with stood_in("thinned_networks", model) as (stand_in, _), overridden(stand_in.module, p):
        inspection = glance(stand_in.module, args, kwargs)
        live = find(inspection, sites, p)
        rates = {place.module: _rate(place, p) for place in live.places}
        found = {pruning.place: pruning for pruning in prunings(stand_in.module, inspection, live.places)}
    tensors = (*model.parameters(), *model.buffers(), *tensors_of((args, kwargs)))
    device = next((tensor.device for tensor in tensors), None)
    networks = []
    for number in range(k):
        key = fold_in(seed, number)
        network = copy.deepcopy(model).eval()
        rest = [
            place
            for place in live.places
            if not _fixed(network, inspection, place, rates[place.module], key, found.get(place.name), device)
        ]
        if rest:
            network = KeyedNetwork(network, rest, key, inspection, sites, p, args, kwargs)
        networks.append(network)
    return networks


def _rate(place: Place, p: Rates) -> float:
    given = rate_for(place, p)
    return float(place.p or 0.0) if given is None else given


class FixedMask(torch.nn.Module):
    """`y = x * mask / q`: dropout with one mask for all calls and all rows."""

    factor: Tensor  # mask / q

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)

    def forward(self, x: Tensor) -> Tensor:
        # Selected, not multiplied, as in dropout: a dropped inf or nan becomes 0.
        return torch.where(self.factor != 0, x * self.factor.to(x.dtype), 0.0)

    def extra_repr(self) -> str:
        return f"{tuple(self.factor.shape)}, {(self.factor == 0).double().mean():.3g} dropped"


_PLAIN = (torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d)


def _fixed(
    network: Module,
    inspection: Inspection,
    place: Place,
    p: float,
    key: int,
    pruning: Pruning | None,
    device: torch.device | None,
) -> bool:
    """Fix a place's mask in the network: cut its units out, or put in a `FixedMask`. False if neither can be done."""
    if ":" in place.name or place.train_calls > 1 or place.module == "":
        return False
    module = network.get_submodule(place.module)
    if not isinstance(module, _PLAIN) or getattr(module, "scaling", "inverted") != "inverted":
        return False
    calls = [call for call in inspection.train.calls if call.module == place.module and call.draws]
    if len(calls) != 1 or 0 in place.shared or len(place.shape) < 2:
        return False
    own = fold_in(fold_in(key, site_number(place.module)), 0)
    kept = torch.from_numpy(bernoulli(own, p, place.shape[1:], broadcast_dims=[axis - 1 for axis in place.shared]))
    factor = scale(p) if p < 1 else 0.0
    if pruning is not None:
        pruning.cut(network, kept.flatten(1)[:, 0] if kept.ndim > 1 else kept, factor)
        _put(network, place.module, torch.nn.Identity())
    else:
        _put(network, place.module, FixedMask((kept.float() * factor).to(device)))
    return True


def _put(network: Module, name: str, module: Module) -> None:
    owner, _, child = name.rpartition(".")
    setattr(network.get_submodule(owner), child, module.eval())


class OneAtATime(LongLock):
    """A lock of a network: its calls in several threads wait for one another. A copy of it is another lock."""

    def __reduce__(self) -> tuple[Any, ...]:
        return OneAtATime, ()


class KeyedNetwork(torch.nn.Module):
    """A network that draws some of its noise at each call, always by the same key."""

    def __init__(
        self,
        network: Module,
        places: list[Place],
        key: int,
        inspection: Inspection,
        sites: Any,
        p: Rates,
        args: Any,
        kwargs: Any,
    ) -> None:
        super().__init__()
        self.network = network
        names = [place.name for place in places]
        self._key = torch.tensor(signed(key), dtype=torch.int64, device="cpu")
        self._lock = OneAtATime()
        self._runner = Runner(network, find(inspection, names, p), _itself, alike=True)
        with (
            untouched("thinned_networks", network, generators=False),
            unnoticed(network),
            self._runner.entered(),
        ):
            self._runner.probe(args, kwargs, batch_size(args, kwargs))
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            modes = [(module, module.training) for module in self.network.modules()]
            try:
                with unnoticed(self.network), self._runner.entered():
                    return self._runner.once(args, kwargs, self._key)
            finally:
                for module, mode in modes:
                    module.training = mode


def _itself(answer: Any) -> Any:
    return answer
