"""LSTM, GRU and RNN with locked dropout: torch's modules, weights and all, with the noise where Gal and Ghahramani put
it.

Without recurrent dropout every layer is one call of torch's fused kernel. With it, the hidden state is masked at each
step, so the steps run one by one; the input's share of the gates is still one product for the whole sequence. At
inference, and with both rates 0, the call is torch's own.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from .._torch import fused_kernels
from ..ops import drop, is_zero, tracing
from .recurrent import locked_dropout
from .site import CheckedRate, own_key, rate, settings

State = tuple[Tensor, ...]  # (h,), or (h, c) in an LSTM


class _LockedRNN(torch.nn.RNNBase):
    """What LSTM, GRU and RNN share: which layer gets which noise. A subclass gives one step of its cell."""

    dropout = CheckedRate()
    recurrent_dropout = CheckedRate()

    @property
    def _noises(self) -> tuple[str, ...]:
        """The names of the fields of noise, after those of the weights."""
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
        """The next state from the input's share of the gates, the masked h, the state, and (w_hh, b_hh, w_hr)."""
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)
        odd = not packed and (input.ndim not in (2, 3) or 0 in input.shape)
        between, recurrent = (rate(self, "dropout"), rate(self, "recurrent_dropout")) if self.training else (0.0, 0.0)
        quiet = is_zero(between) and is_zero(recurrent)
        # Without noise, and for shapes that torch refuses, the call is torch's; not in a traced graph, of which torch's
        # forward would make the rate a part.
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
        """The given initial state, checked by torch and in the packed order, or zeros."""
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
        """One layer, all directions, by torch's kernel."""
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
        """One layer, all directions, step by step on packed rows; in a padded batch no sequence ends early."""
        packed = isinstance(sequence, PackedSequence)
        rows = sequence.data if packed else sequence.flatten(0, 1)
        sizes = sequence.batch_sizes.tolist() if packed else [sequence.shape[1]] * sequence.shape[0]
        outputs, ends = [], []
        for direction, direction_names in enumerate(names):
            first = tuple(part[direction] for part in state)
            # The mask is kept, B x H for the whole sequence: recomputing it at each step would cost more than it saves.
            key = own_key(self, sequence, None, None, f"recurrent_dropout_{_suffix(direction_names)}")
            mask = drop(torch.ones_like(first[0]), rate(self, "recurrent_dropout"), key=key)
            if packed and sequence.sorted_indices is not None:
                mask = mask[sequence.sorted_indices]
            output, end = self._scan(rows, sizes, first, mask, direction_names, backwards=direction == 1)
            outputs.append(output)
            ends.append(end)
        output = torch.cat(outputs, dim=-1)
        stacked = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        if packed:
            return sequence._replace(data=output), stacked
        # Not `unflatten`, which torch.compile can't trace where there is a default device.
        return output.view(*sequence.shape[:2], output.shape[-1]), stacked

    def _scan(
        self, rows: Tensor, sizes: list[int], state: State, mask: Tensor, names: list[str], backwards: bool
    ) -> tuple[Tensor, State]:
        weights = {name.split("_l")[0]: getattr(self, name) for name in names}
        # Split once: a slice a step would each have a backward pass over the whole.
        projected = linear(rows, weights["weight_ih"], weights.get("bias_ih")).split(sizes)
        recurrent = [weights.get(name) for name in ("weight_hh", "bias_hh", "weight_hr")]
        outputs: dict[int, Tensor] = {}
        for step in reversed(range(len(sizes))) if backwards else range(len(sizes)):
            size = sizes[step]
            live = tuple(part[:size] for part in state)
            new = self._cell(projected[step], live[0] * mask[:size], live, recurrent)
            outputs[step] = new[0]
            # Sequences that have ended, or that have not begun when running backwards, keep their state.
            ended = len(state[0]) - size
            state = tuple(torch.cat((part, old[size:])) for part, old in zip(new, state, strict=True)) if ended else new
        return torch.cat([outputs[step] for step in range(len(sizes))]), state


def _suffix(names: list[str]) -> str:
    """Which layer and direction these weights are of: "l0", or "l1_reverse"."""
    return names[0].removeprefix("weight_ih_")


def _permuted(part: Tensor, order: Tensor | None) -> Tensor:
    return part if order is None else part.index_select(1, order)


class LSTM(_LockedRNN, torch.nn.LSTM):
    """`torch.nn.LSTM` with locked dropout: one mask a sequence, the same at every time step.

    In training, the input of every layer, the first included, is `x_t * m / q`, and the hidden state that enters the
    recurrent product is `h_(t-1) * m' / q'`; neither mask changes along the sequence. The cell state and the state that
    is handed on are not masked. (torch's own `dropout` draws afresh at each step, and only between layers.)

    Arguments:
        input_size, hidden_size, num_layers, bias, batch_first, bidirectional, proj_size: as in torch.
        dropout: the probability that a layer's input unit is dropped, in [0, 1].
        recurrent_dropout: the probability that a hidden unit is dropped on its way into the recurrent product.

    Shape, `state_dict`, result: as in `torch.nn.LSTM`, padded, packed or without a batch.

    Raises: as torch, and for a bad rate the error of every `p`.

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
    """`torch.nn.GRU` with locked dropout. See `LSTM` for what is masked, the arguments, costs and source.

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
    """`torch.nn.RNN` with locked dropout. See `LSTM` for what is masked, the arguments, costs and source.

    `nonlinearity` is "tanh" or "relu", as in torch.

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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
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
