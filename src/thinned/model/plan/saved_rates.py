"""`thinned.save_rates` and `thinned.load_rates`: a model's rates and its plan, as a TOML file beside a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...noise import PROBABILITY, check
from ...replaced_file import replace_file
from ..rates.assign import assign
from ..rates.config import keep_in_step
from ..rates.rate_places import RatePlace, RatePlaces
from ..watch.untouched import check_module
from .apply import Applied, apply
from .plan import Plan
from .toml import text, toml, toml_text, write

Module = torch.nn.Module

_HEAD = """\
# The rates of a model, by thinned. thinned.load_rates(model, "this file") sets them, and applies the plan if there is
# one. A checkpoint has neither. `rates` has the p of every place by its name, as thinned.rates(model) shows it.

"""
_SECTION = "rates"


def save_rates(model: Module, path: str | Path) -> None:
    """Write the p of every place of a model, and the plan that it has, to a TOML file.

    `state_dict` has no p, and no dropout that a plan has put into the model. So save this file beside a checkpoint.

    Arguments:
        model: any module.
        path: the file. One that is there is overwritten.

    Raises:
        TypeError: `model` is no module.
        OSError: the file can't be written.

    Cost: as `thinned.rates`. Left out are places whose p can't be set, such as masks with a number in the code: the
    code has it.

    >>> import tempfile
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> file = Path(tempfile.mkdtemp(), "rates.toml")
    >>> save_rates(net, file)
    >>> print(file.read_text(encoding="utf-8").splitlines()[-1])
    "1" = 0.1
    """
    check_module("save_rates", model)
    places = RatePlaces("save_rates", model)
    rows = {name: place.p for name, place in places.by_name.items() if _can_be_set(place) and place.p is not None}
    section = "\n".join([f"[{_SECTION}]", *(f"{text(name)} = {float(p)!r}" for name, p in rows.items())])
    applied = Applied.of(model)
    plan = None if applied is None else applied.plan
    planned = "" if plan is None else "\n" + write(plan.model, plan.lines, plan.there, plan.notes)
    # Tables come after the top-level keys of the plan, so the plan's places stand between.
    replace_file(Path(path), (_HEAD + planned + ("\n" if planned else "") + section + "\n").encode())


def load_rates(model: Module, path: str | Path) -> dict[str, float]:
    """Give a model the rates, and the plan, that `save_rates` wrote.

    If the file has a plan, the plan is applied, unless the model has it already. Load before `torch.compile`. The
    handle of the plan is `thinned.Applied.of(model)`.

    Arguments:
        model: the model whose rates were saved, or one with the same places.
        path: the file.

    Returns: the places whose p changed, and their new p, as `set_rates` does.

    Raises:
        ValueError: the file is no TOML, has no rates, or a p is outside [0, 1].
        ValueError: the model does not have a place of the file, or its p can't be set. Nothing is changed then.
        ValueError: as `apply`.
        RuntimeError: the model has another plan.
        TypeError: `model` is no module, or a p is no number.
        OSError: the file can't be read.

    >>> import tempfile
    >>> first, second = (torch.nn.Sequential(torch.nn.Dropout(p)) for p in (0.3, 0.1))
    >>> file = Path(tempfile.mkdtemp(), "rates.toml")
    >>> save_rates(first, file)
    >>> load_rates(second, file), second[0].p
    ({'0': 0.3}, 0.3)
    """
    check_module("load_rates", model)
    path = Path(path)
    content = toml_text(path)
    data = toml(content, str(path), "a file of rates")
    wanted = _rates(data, path)
    plan = Plan.of(data, content, str(path)) if "place" in data else None
    before = RatePlaces("load_rates", model).by_name
    former = {name: place.p for name, place in before.items()}
    own = Applied.of(model)
    if own is not None and (plan is None or _positions(own.plan) != _positions(plan)):
        raise RuntimeError(
            f"`load_rates`: `model` must have the plan of {path}, or none. Got one that has another. Take that out "
            "with its remove()."
        )
    applied = None if plan is None or own is not None else apply(model, plan)
    try:
        places = RatePlaces("load_rates", model)
        missing = [name for name in wanted if name not in places.by_name]
        if missing:
            raise ValueError(
                f"`load_rates`: `model` must have the places of {path}. It has not: {', '.join(missing[:5])}"
                f"{', ...' if len(missing) > 5 else ''}. Load into a model of the same form, or edit the file."
            )
        assign("load_rates", model, places, wanted)
    except BaseException:
        if applied is not None:
            applied.remove()
        raise
    keep_in_step(places)
    return {name: p for name, p in wanted.items() if former.get(name) != p}


def _can_be_set(place: RatePlace) -> bool:
    return place.attribute is not None or bool(place.calls)


def _rates(data: dict[str, Any], path: Path) -> dict[str, float]:
    section = data.get(_SECTION)
    if not isinstance(section, dict):
        raise ValueError(
            f"{path}: a file of rates must have a table [{_SECTION}]. It has {', '.join(data) or 'nothing'}. "
            "thinned.save_rates writes one; thinned.Plan.load reads a plan alone."
        )
    for name, p in section.items():
        check(PROBABILITY, f"load_rates, {path}", name, p)
    return {name: float(p) for name, p in section.items()}


def _positions(plan: Plan) -> list[tuple[str, Any]]:
    return [(line.where, line.variant) for line in plan.enabled]
