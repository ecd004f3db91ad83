"""LSTM, GRU and RNN with locked dropout: subclasses of torch's modules, with dropout as in Gal and Ghahramani 2016.

Without recurrent dropout every layer is one call of torch's fused kernel. With recurrent dropout the hidden state is
masked at each step, so the steps run one by one; the product of the inputs with the input weights is still one product
for the whole sequence. At inference, and if both rates are 0, torch's own forward runs.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from .._torch import fused_kernels
from ..ops import drop, is_zero, tracing
from .recurrent import locked_dropout
from .site import CheckedRate, own_key, rate, settings
from .symbolic import module_node

State = tuple[Tensor, ...]  # (h,), or (h, c) in an LSTM


class _LockedRNN(torch.nn.RNNBase):
    """The common code of LSTM, GRU and RNN: the noise of each layer. A subclass computes one step of its cell."""

    dropout = CheckedRate()
    recurrent_dropout = CheckedRate()

    @property
    def _noises(self) -> tuple[str, ...]:
        """The names of the noises, made like the names of the weights: "dropout_l0", "recurrent_dropout_l0", ..."""
        inputs = (f"dropout_l{number}" for number in range(self.num_layers))
        return *inputs, *(f"recurrent_dropout_{_suffix(names)}" for names in self._all_weights)

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        _LockedRNN.dropout.forget(self)

    def extra_repr(self) -> str:
        theirs = super().extra_repr().replace(f"dropout={self.dropout}", settings(self, "dropout"))
        names = ("nonlinearity", "recurrent_dropout") if self.mode.startswith("RNN") else ("recurrent_dropout",)
        ours = settings(self, *names)
        return theirs + (f", {ours}" if ours else "")

    def _cell(self, projected: Tensor, thinned: Tensor, state: State, weights: list[Tensor | None]) -> State:
        """The next state, from x w_ih^T + b_ih, the masked h, the state, and (w_hh, b_hh, w_hr)."""
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, Proxy):
            return module_node(self, input, hx=hx)
        packed = isinstance(input, PackedSequence)
        if isinstance(input, Tensor) and input.is_nested:
            raise TypeError(
                f"`{type(self).__name__}`: `input` must be padded, packed or unbatched. Got a nested tensor. "
                "Pack its rows: torch.nn.utils.rnn.pack_sequence(input.unbind(), enforce_sorted=False)."
            )
        odd = not packed and (input.ndim not in (2, 3) or 0 in input.shape)
        between, recurrent = (rate(self, "dropout"), rate(self, "recurrent_dropout")) if self.training else (0.0, 0.0)
        quiet = is_zero(between) and is_zero(recurrent)
        # torch's forward runs for shapes that torch refuses, and without noise in eager mode. While a graph is traced,
        # it would make the rate a constant of the graph.
        if odd or (quiet and not tracing()):
            return super().forward(input, hx)
        unbatched = not packed and input.ndim == 2
        sequence = input.unsqueeze(0 if self.batch_first else 1) if unbatched else input
        state = self._first_state(sequence, hx, unbatched)
        if not packed and self.batch_first:
            sequence = sequence.transpose(0, 1)
        directions = 2 if self.bidirectional else 1
        layer = self._fused if is_zero(recurrent) else self._stepwise
        last = []
        for number in range(self.num_layers):
            rows = slice(number * directions, (number + 1) * directions)
            key = own_key(self, sequence, None, None, f"dropout_l{number}")
            sequence = locked_dropout(sequence, between, self.training, key=key)
            names = self._all_weights[rows]
            sequence, ends = layer(sequence, tuple(part[rows] for part in state), names)
            last.append(ends)
        ends = tuple(torch.cat(parts) for parts in zip(*last, strict=True))
        if packed:
            ends = tuple(_permuted(part, input.unsorted_indices) for part in ends)
        elif self.batch_first:
            sequence = sequence.transpose(0, 1)
        if unbatched:
            sequence = sequence.squeeze(0 if self.batch_first else 1)
            ends = tuple(part.squeeze(1) for part in ends)
        return sequence, ends if len(ends) > 1 else ends[0]

    def _first_state(self, sequence: Tensor | PackedSequence, hx: Any, unbatched: bool) -> State:
        """The initial state: zeros, or the given one, checked by torch and in the order of the packed sequence."""
        if isinstance(sequence, PackedSequence):
            data, sizes, order = sequence.data, sequence.batch_sizes, sequence.sorted_indices
        else:
            data, sizes, order = sequence, None, None
        lstm = self.mode == "LSTM"
        if hx is None:
            batch = int(sizes[0]) if sizes is not None else data.shape[0 if self.batch_first else 1]
            count = self.num_layers * (2 if self.bidirectional else 1)
            h = data.new_zeros(count, batch, self.proj_size or self.hidden_size)
            state: State = (h, data.new_zeros(count, batch, self.hidden_size)) if lstm else (h,)
        else:
            state = tuple(hx) if lstm else (hx,)
            state = tuple(part.unsqueeze(1) if unbatched else _permuted(part, order) for part in state)
        self.check_forward_args(data, state if lstm else state[0], sizes)  # type: ignore[arg-type]
        return state

    def _fused(self, sequence: Any, state: State, names: list[list[str]]) -> tuple[Any, State]:
        """Run one layer, in all directions, by torch's fused kernel."""
        weights = [getattr(self, name) for direction in names for name in direction]
        kernel = getattr(fused_kernels, self.mode.lower())
        hx = list(state) if len(state) > 1 else state[0]
        if isinstance(sequence, PackedSequence):
            output, *ends = kernel(
                sequence.data, sequence.batch_sizes, hx, weights, self.bias, 1, 0.0, True, self.bidirectional
            )
            return sequence._replace(data=output), tuple(ends)
        output, *ends = kernel(sequence, hx, weights, self.bias, 1, 0.0, True, self.bidirectional, False)
        return output, tuple(ends)

    def _stepwise(self, sequence: Any, state: State, names: list[list[str]]) -> tuple[Any, State]:
        """Run one layer, in all directions, step by step on packed rows.

        A padded batch is treated as packed rows of sequences of equal length.
        """
        packed = isinstance(sequence, PackedSequence)
        rows = sequence.data if packed else sequence.flatten(0, 1)
        sizes = sequence.batch_sizes.tolist() if packed else [sequence.shape[1]] * sequence.shape[0]
        outputs, ends = [], []
        for direction, direction_names in enumerate(names):
            first = tuple(part[direction] for part in state)
            # The mask, B x H for the whole sequence, is stored. Computing it again at each step would take too long for
            # the memory that it saves.
            key = own_key(self, sequence, None, None, f"recurrent_dropout_{_suffix(direction_names)}")
            ones, owner = torch.ones_like(first[0]), type(self).__name__
            mask = drop(ones, rate(self, "recurrent_dropout"), key=key, owner=owner)
            if packed and sequence.sorted_indices is not None:
                mask = mask[sequence.sorted_indices]
            output, end = self._scan(rows, sizes, first, mask, direction_names, backwards=direction == 1)
            outputs.append(output)
            ends.append(end)
        output = torch.cat(outputs, dim=-1)
        stacked = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        if torch.is_autocast_enabled(rows.device.type):
            output, *ends_as_torch = (
                part.to(dtype)
                for part, dtype in zip((output, *stacked), self._dtypes(sequence, state, names), strict=True)
            )
            stacked = tuple(ends_as_torch)
        if packed:
            return sequence._replace(data=output), stacked
        # Not `unflatten`: torch.compile can't trace it if torch has a default device.
        return output.view(*sequence.shape[:2], output.shape[-1]), stacked

    @torch.no_grad()
    def _dtypes(self, sequence: Any, state: State, names: list[list[str]]) -> list[torch.dtype]:
        """The dtypes that torch's kernel gives the output and the states under autocast, seen on a step or two.

        The steps would give others: autocast lets a state of float32 be, and with it all that is computed from it.
        """
        packed = isinstance(sequence, PackedSequence)
        uneven = packed and bool(sequence.batch_sizes[0] != sequence.batch_sizes[-1])
        first = tuple(part[:, : 1 + uneven] for part in state)
        device = first[0].device.type
        if device == "cpu" and self.mode == "LSTM" and not uneven and not self.proj_size:
            # oneDNN computes all of it in autocast's dtype. In float16 it can't run on a CPU without float16.
            return [torch.get_autocast_dtype(device)] * 3
        sizes = torch.tensor([2, 1] if uneven else [1])
        tiny = PackedSequence(sequence.data[: int(sizes.sum())], sizes) if packed else sequence[:1, :1]
        output, ends = self._fused(tiny, first, names)
        return [(output.data if packed else output).dtype, *(part.dtype for part in ends)]

    def _scan(
        self, rows: Tensor, sizes: list[int], state: State, mask: Tensor, names: list[str], backwards: bool
    ) -> tuple[Tensor, State]:
        """Run one direction of one layer over all steps; `sizes` has the number of sequences that run at each step."""
        weights = {name.split("_l")[0]: getattr(self, name) for name in names}
        # Split once, because the backward pass of a slice at each step would write a gradient of the whole size.
        projected = linear(rows, weights["weight_ih"], weights.get("bias_ih")).split(sizes)
        recurrent = [weights.get(name) for name in ("weight_hh", "bias_hh", "weight_hr")]
        outputs: dict[int, Tensor] = {}
        for step in reversed(range(len(sizes))) if backwards else range(len(sizes)):
            size = sizes[step]
            live = tuple(part[:size] for part in state)
            new = self._cell(projected[step], live[0] * mask[:size], live, recurrent)
            outputs[step] = new[0]
            # A sequence that has ended, or has not begun in the backward direction, keeps its state.
            ended = len(state[0]) - size
            state = tuple(torch.cat((part, old[size:])) for part, old in zip(new, state, strict=True)) if ended else new
        return torch.cat([outputs[step] for step in range(len(sizes))]), state


def _suffix(names: list[str]) -> str:
    """The layer and direction of these weights, as in their names: "l0", or "l1_reverse"."""
    return names[0].removeprefix("weight_ih_")


def _refuse_projection(layer: torch.nn.Module, proj_size: int | None) -> None:
    if proj_size is not None:
        raise ValueError(
            f"`{type(layer).__name__}`: `proj_size` must be left out, as only an LSTM has a projection. "
            f"Got {proj_size!r}. Use LSTM, or a Linear behind this layer."
        )


def _permuted(part: Tensor, order: Tensor | None) -> Tensor:
    """A state with its batch in another order."""
    return part if order is None else part.index_select(1, order)


class LSTM(_LockedRNN, torch.nn.LSTM):
    """`torch.nn.LSTM` with locked dropout: one mask a sequence, the same at every time step.

    In training, the input of every layer, the first included, is `x_t * m / q`, and the hidden state in the recurrent
    product is `h_(t-1) * m' / q'`. The masks m and m' are the same at every step of a sequence. The cell state is not
    masked, and the hidden state is masked in the product only. (torch's `dropout` draws a fresh mask at each step, and
    only between layers.)

    Arguments:
        input_size, hidden_size, num_layers, bias, batch_first, bidirectional, proj_size: as in torch.
        dropout: the probability that an input unit of a layer is dropped, in [0, 1].
        recurrent_dropout: the probability that a hidden unit is dropped in the recurrent product, in [0, 1].

    The shapes, the `state_dict` and the form of the result are as in `torch.nn.LSTM`: padded, packed or unbatched.

    Raises:
        TypeError: a rate is no number.
        ValueError: a rate is outside [0, 1].
        Exception: any error of torch's constructor or forward.

    Cost: with `recurrent_dropout`, training runs step by step, several times slower than the fused kernel.

    Source: Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks".

    >>> LSTM(3, 5, dropout=0.2, recurrent_dropout=0.25)
    LSTM(3, 5, dropout=0.2, recurrent_dropout=0.25)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        recurrent_dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            bidirectional=bidirectional,
            proj_size=proj_size,
            device=device,
            dtype=dtype,
        )
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout

    def _cell(self, projected: Tensor, thinned: Tensor, state: State, weights: list[Tensor | None]) -> State:
        w_hh, b_hh, w_hr = weights
        i, f, g, o = (projected + linear(thinned, cast(Tensor, w_hh), b_hh)).chunk(4, dim=-1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return (h if w_hr is None else linear(h, w_hr)), c


class GRU(_LockedRNN, torch.nn.GRU):
    """`torch.nn.GRU` with locked dropout. See `LSTM` for the masks, arguments, errors, cost and source.

    >>> GRU(3, 5, num_layers=2, dropout=0.2)
    GRU(3, 5, num_layers=2, dropout=0.2)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        recurrent_dropout: float = 0.0,
        proj_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _refuse_projection(self, proj_size)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout

    def _cell(self, projected: Tensor, thinned: Tensor, state: State, weights: list[Tensor | None]) -> State:
        w_hh, b_hh, _ = weights
        r_in, z_in, n_in = projected.chunk(3, dim=-1)
        r_h, z_h, n_h = linear(thinned, cast(Tensor, w_hh), b_hh).chunk(3, dim=-1)
        z = (z_in + z_h).sigmoid()
        n = (n_in + (r_in + r_h).sigmoid() * n_h).tanh()
        return (n + z * (state[0] - n),)


class RNN(_LockedRNN, torch.nn.RNN):
    """`torch.nn.RNN` with locked dropout. See `LSTM` for the masks, arguments, cost and source.

    `nonlinearity` is "tanh" or "relu", as in torch. Here and in `GRU` any `proj_size` is a ValueError, as in torch.

    >>> RNN(3, 5, nonlinearity="relu", recurrent_dropout=0.1)
    RNN(3, 5, nonlinearity='relu', recurrent_dropout=0.1)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        recurrent_dropout: float = 0.0,
        proj_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _refuse_projection(self, proj_size)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            nonlinearity,
            bias,
            batch_first,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout

    def _cell(self, projected: Tensor, thinned: Tensor, state: State, weights: list[Tensor | None]) -> State:
        w_hh, b_hh, _ = weights
        total = projected + linear(thinned, cast(Tensor, w_hh), b_hh)
        return (total.tanh() if self.mode == "RNN_TANH" else total.relu(),)
