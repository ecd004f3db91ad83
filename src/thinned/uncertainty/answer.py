"""What a model's answer means: which tensor in it is the prediction, which axis has the classes, logits or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..model.watch.recorder import tensors_of
from ..noise import Choice
from .refused import computes_by_itself
from .row_sums import rounding, shared_sum, sums_to_one

TASK = Choice(("regression", "classification", "multilabel"))
OUTPUT = Choice(("logits", "probabilities"))
Select = str | int | Callable[[Any], Tensor] | None

# Functions that change the form of a tensor and none of its numbers: an answer's last other function is asked for.
_FORMS = {
    "squeeze",
    "unsqueeze",
    "view",
    "reshape",
    "flatten",
    "permute",
    "transpose",
    "t",
    "float",
    "to",
    "contiguous",
}
_FORMS |= {"getitem", "__getitem__", "movedim", "type", "clone", "select", "view_as", "detach", "double", "half"}
SQUASHED = {"sigmoid", "expit", "hardsigmoid", "logsigmoid", "log_sigmoid"}
_SIGMOIDS = {"sigmoid", "expit", "hardsigmoid"}
MANY = 20  # so many numbers that fill [0, 1], and none outside, are no logits


class AnswerTensor:
    """Takes the predicted tensor out of a model's answers. `named` tells whether it was called `logits` there."""

    def __init__(self, owner: str, select: Select) -> None:
        self._owner, self._select = owner, select
        self.by_default = select is None
        self.named = False

    def __call__(self, answer: Any) -> Tensor:
        found = self._found(answer)
        if isinstance(found, Tensor):
            odd = _odd(found)
            if not odd:
                return found
            raise TypeError(
                f"`{self._owner}`: the model must answer with a plain tensor of real numbers, with rows on axis 0. Got "
                f"{odd}. Pass select=, a function that takes the answer and gives such a tensor."
            )
        raise TypeError(
            f"`{self._owner}`: the model must answer with a tensor. Got {type(found).__name__}. Pass select=, the name "
            "of the tensor in the answer, or a function that takes the answer and gives its tensor."
        )

    def _found(self, answer: Any) -> Any:
        if callable(self._select):
            return self._select(answer)
        if self._select is not None:
            return self._chosen(answer, self._select)
        if isinstance(answer, Tensor):
            return answer
        named = entries(answer)
        logits = named.get("logits") if named is not None else getattr(answer, "logits", None)
        if isinstance(logits, Tensor):
            self.named = True
            return logits
        if named is None:
            return self._first(answer)
        found = {name: list(tensors_of(value)) for name, value in named.items()}
        rows = [tensor for tensors in found.values() for tensor in tensors if tensor.ndim]
        if len(rows) == 1:
            return rows[0]
        name = max(found, key=lambda name: max((tensor.ndim for tensor in found[name]), default=-1), default="name")
        raise ValueError(
            f"`{self._owner}`: which tensor of the answer is the prediction must be said. Got a "
            f"{type(answer).__name__} of {_shapes(found)}. Pass select={name!r}, or another of these names."
        )

    def _first(self, answer: Any) -> Any:
        """The first tensor in a tuple or list, as torch's recurrent layers answer; a loss of no axis is none."""
        found = list(tensors_of(answer))
        if len(found) > 1 and not found[0].ndim:
            raise ValueError(
                f"`{self._owner}`: which tensor of the answer is the prediction must be said. Got a "
                f"{type(answer).__name__} of shapes {', '.join(str(tuple(tensor.shape)) for tensor in found)}. Pass "
                "select=1, the place of the tensor, or leave the labels out of x."
            )
        return found[0] if found else answer

    def _chosen(self, answer: Any, select: str | int) -> Any:
        named = entries(answer)
        try:
            if isinstance(select, int):
                return list(answer.values() if isinstance(answer, Mapping) else answer)[select]
            return named[select] if named is not None else getattr(answer, select)
        except (AttributeError, IndexError, KeyError, TypeError):
            there = "" if named is None else f" of {', '.join(map(repr, named))}"
            raise ValueError(
                f"`{self._owner}`: `select` must name a tensor of the model's answer. Got {select!r} for a "
                f"{type(answer).__name__}{there}. Pass a name, a place, or a function of the answer."
            ) from None


def _odd(answer: Tensor) -> str:
    """Why statistics of an answer can't be taken; "" where they can."""
    if answer.is_nested:
        return "a nested tensor"
    if answer.layout != torch.strided:
        return f"a tensor of layout {answer.layout}"
    if answer.is_quantized or answer.is_complex():
        return f"a tensor of {answer.dtype}"
    if computes_by_itself(answer):
        return f"a {type(answer).__name__}"
    return "" if answer.ndim else "one number for all rows"


def entries(answer: Any) -> Mapping[str, Any] | None:
    """The entries of an answer by name: a dictionary's, a dataclass's, a named tuple's; None where it has no names."""
    if isinstance(answer, Mapping):
        return answer
    if isinstance(answer, tuple) and hasattr(answer, "_fields"):
        return dict(zip(answer._fields, answer, strict=True))
    if is_dataclass(answer) and not isinstance(answer, type):
        return {field.name: getattr(answer, field.name, None) for field in fields(answer)}
    return None


def _shapes(found: Mapping[str, Sequence[Tensor]]) -> str:
    return ", ".join(f"{name!r} {tuple(tensors[0].shape)}" for name, tensors in found.items() if tensors)


class Meaning(NamedTuple):
    """How the numbers of an answer `(rows, ...)` are read."""

    owner: str
    task: str
    output: str | None = None  # "logits" or "probabilities"; None: logits, and refused where they look like the others
    class_axis: int | None = None  # as given: an axis of the answer, with the rows on axis 0
    for_logits: str = "Leave output= out for logits"  # the next step of who has logits, not probabilities
    for_multiples: str = "Pass select=lambda answer: answer / answer.sum({axis}, keepdim=True)"  # of who has them

    def axis(self, shape: Sequence[int], named: bool = False, config: Any = None) -> int:
        """The axis of the classes in an answer of this shape.

        Arguments:
            shape: of the answer, rows first.
            named: whether the answer is called `logits`, as Hugging Face has it: classes are then on the last axis.
            config: the model's configuration, which may have the number of classes.

        Raises:
            ValueError: `class_axis` is none of the answer's axes, or is needed and not given; or the configuration says
                that the model tells of several labels.
        """
        size, given = len(shape), self.class_axis
        if self.task != "classification":
            return 1
        if getattr(config, "problem_type", None) == "multi_label_classification":
            raise ValueError(
                f"`{self.owner}`: `task` must be what the model was made for. Got 'classification', and its "
                "configuration says problem_type='multi_label_classification'. Pass task='multilabel'."
            )
        if given is not None:
            axis = given + max(size, 2) if given < 0 else given
            if not 1 <= axis < max(size, 2):
                raise ValueError(
                    f"`{self.owner}`: `class_axis` must be an axis of the answer after the rows. Got {given} for the "
                    f"shape {tuple(shape)}. Pass -1 for the last axis, or 1."
                )
            return axis
        if size <= 2:
            return 1
        if named and size == 3:
            return 2
        if named:
            counts = {getattr(config, name, None) for name in ("num_labels", "vocab_size")} - {None}
            fitting = [axis for axis in (1, size - 1) if shape[axis] in counts]
            if len(fitting) == 1:
                return fitting[0]
        raise ValueError(
            f"`{self.owner}`: `class_axis` must say which axis of the answer has the classes. Got none for the shape "
            f"{tuple(shape)}: {shape[1]} classes on axis 1, or {shape[-1]} on the last. Pass class_axis=1 (images, as "
            f"in torch's cross_entropy) or class_axis=-1 (tokens and time steps, as in Hugging Face's logits)."
        )

    def check(self, raw: Tensor, axis: int, last: set[str]) -> None:
        """Refuse probabilities that are taken for logits, and logits that are taken for probabilities.

        Arguments:
            raw: answers `(samples, rows, ...)`, or none but an empty tensor.
            axis: the axis of the classes, without that of the samples.
            last: the functions that made the model's answers.
        """
        if self.task == "regression" or not raw.numel():
            return
        if not raw.is_floating_point():
            raise ValueError(
                f"`{self.owner}`: task={self.task!r} takes logits or probabilities. Got {raw.dtype}, as labels have "
                "it. Have the model answer with what it takes the argmax of, or pass select=."
            )
        several = self.task == "classification" and raw.ndim > axis + 1 and raw.shape[axis + 1] > 1
        if self.output == "probabilities":
            self._check_probabilities(raw, axis, several)
        elif several and sums_to_one(raw, axis + 1):
            raise ValueError(
                f"`{self.owner}`: task={self.task!r} takes logits by default. Got rows that are not negative and sum "
                f"to 1: the model ends in a softmax, and a second one would flatten it. Pass output='probabilities'."
            )
        elif self.output is None and several and (whole := shared_sum(raw, axis + 1)):
            raise ValueError(
                f"`{self.owner}`: task={self.task!r} takes logits by default. Got rows that are not negative and all "
                f"sum to {whole:.6g}, as a multiple of a softmax's results does. {self._divided(axis)} and "
                "output='probabilities', or output='logits' if logits they are."
            )
        elif self.output is None and several and last and last <= _SIGMOIDS:
            raise ValueError(
                f"`{self.owner}`: task='classification' takes one logit a class. Got the results of a sigmoid, which "
                "tells of each label by itself. Pass task='multilabel' and output='probabilities', or output='logits' "
                "if logits they are."
            )
        elif self.task == "multilabel" and raw.ndim > 2 and _one_class(raw):
            raise ValueError(
                f"`{self.owner}`: task='multilabel' takes a logit for each label. Got rows that are not negative and "
                "sum to 1: a softmax chooses one class. Pass task='classification' and output='probabilities'."
            )
        elif self.output is None and self.task == "multilabel" and (found := _multiple(raw)):
            raise ValueError(
                f"`{self.owner}`: task='multilabel' takes a logit for each label. Got rows that are not negative and "
                f"all sum to {found[1]:.6g}, as a multiple of a softmax's results does: it chooses one class. "
                f"{self._divided(found[0])}, task='classification' and output='probabilities', or output='logits' if "
                "logits they are."
            )
        elif self.output is None and not several:
            low, high = float(raw.min()), float(raw.max())
            wide = low < 0.2 and high > 0.8 and raw[0].numel() >= MANY
            if 0.0 <= low < high <= 1.0 and (wide or last & SQUASHED):
                raise ValueError(
                    f"`{self.owner}`: task={self.task!r} takes logits by default. Got numbers in [0, 1] alone, as a "
                    "sigmoid makes them. Pass output='probabilities', or output='logits' if logits they are."
                )
            if last and last <= {"logsigmoid", "log_sigmoid"}:
                raise ValueError(
                    f"`{self.owner}`: task={self.task!r} takes logits or probabilities. Got logarithms of a sigmoid, "
                    "which are neither. Pass select=lambda answer: answer.exp() and output='probabilities'."
                )

    def _check_probabilities(self, raw: Tensor, axis: int, several: bool) -> None:
        slack = rounding(raw)
        inside = bool((raw >= -slack).all() and (raw <= 1 + slack).all())
        if not inside or (several and not sums_to_one(raw, axis + 1)):
            what = "be in [0, 1], and sum to 1 over the classes" if several else "be in [0, 1]"
            said = f"numbers from {float(raw.min()):.4g} to {float(raw.max()):.4g}"
            if several:
                sums = raw.float().sum(axis + 1)
                said += f", and sums from {float(sums.min()):.4g} to {float(sums.max()):.4g}"
            step = f"{self.for_logits}, or pass another class_axis"
            if several and shared_sum(raw, axis + 1):
                step = self._divided(axis)
            raise ValueError(f"`{self.owner}`: with output='probabilities' answers must {what}. Got {said}. {step}.")

    def _divided(self, axis: int) -> str:
        return self.for_multiples.format(axis=axis)

    def values(self, raw: Tensor, axis: int, temperature: float) -> Tensor:
        """What statistics are of, from answers `(samples, rows, ...)`: numbers, or probabilities of classes."""
        raw = raw.float()
        if self.task == "regression":
            return raw
        given = self.output == "probabilities"
        if self.task == "multilabel":
            return raw if given and temperature == 1.0 else (self._squashed(raw) / temperature).sigmoid()
        if raw.ndim < 3:
            raw = raw.reshape(*raw.shape[:2], 1)
        if raw.shape[axis + 1] == 1:  # one number: that of the second class
            second = raw if given and temperature == 1.0 else (self._squashed(raw) / temperature).sigmoid()
            return torch.cat((1.0 - second, second), axis + 1)
        if given:
            return raw if temperature == 1.0 else (raw.log() / temperature).softmax(axis + 1)
        return (raw / temperature).softmax(axis + 1)

    def logits(self, raw: Tensor, axis: int) -> Tensor:
        """Logits of all classes, or of labels, from answers `(samples, rows, ...)`."""
        raw = raw.float()
        if self.task == "multilabel":
            return self._squashed(raw)
        if raw.ndim < 3:
            raw = raw.reshape(*raw.shape[:2], 1)
        if raw.shape[axis + 1] == 1:
            second = self._squashed(raw)
            return torch.cat((torch.zeros_like(second), second), axis + 1)
        return raw.log() if self.output == "probabilities" else raw

    def _squashed(self, raw: Tensor) -> Tensor:
        """The logits whose sigmoid the probabilities are."""
        return raw.logit() if self.output == "probabilities" else raw


def _one_class(raw: Tensor) -> bool:
    """Whether a softmax has made answers `(samples, rows, ...)`, along some axis."""
    return any(raw.shape[axis] > 1 and sums_to_one(raw, axis) for axis in range(2, raw.ndim))


def _multiple(raw: Tensor) -> tuple[int, float] | None:
    """Along which axis of an answer its rows share a sum, and the sum; None where they share none."""
    found = ((axis - 1, shared_sum(raw, axis)) for axis in range(2, raw.ndim) if raw.shape[axis] > 1)
    return next(((axis, whole) for axis, whole in found if whole), None)


def last_functions(trace: Any) -> set[str]:
    """The functions that made a model's answers, without those that only change a tensor's form."""
    found: set[str] = set()
    for index in trace.outputs:
        if index < 0:
            continue
        call = trace.calls[index]
        while call.function in _FORMS and call.first is not None and call.first >= 0:
            call = trace.calls[call.first]
        found.add(call.function)
    return found
