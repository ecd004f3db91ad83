"""The public functions of `thinned` that take a Keras model: each is called there, and does here what it does to one.

Its names are those of `thinned.frameworks.SERVED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...uncertainty.prediction import Prediction
from .inspect import inspect
from .monte_carlo import Rates
from .monte_carlo import predict as monte_carlo
from .rates import disabled, rates, scale_rates, set_rates

__all__ = ["disabled", "inspect", "predict", "rates", "scale_rates", "set_rates"]


def predict(
    model: Any,
    x: Any,
    n: int,
    *,
    seed: int,
    task: str,
    class_axis: int | None,
    temperature: float,
    sites: str | Sequence[str] | None,
    p: Rates,
    samples: bool,
    levels: Sequence[float],
    output: Any,
    **torchs: Any,
) -> Prediction:
    """`thinned.predict` for a Keras model: `thinned.interop.keras.predict`.

    Raises:
        ValueError: an argument that is for models of torch alone.
    """
    for name, value in torchs.items():
        if value is not None and value is not False:
            raise ValueError(
                f"`predict`: `{name}` is for models of torch. Got {value!r} and a Keras model. Leave it out, or see "
                "thinned.interop.keras.predict."
            )
    return monte_carlo(
        model,
        x,
        n,
        seed=seed,
        task=task,
        samples=samples,
        levels=levels,
        output=output,
        class_axis=class_axis,
        temperature=temperature,
        sites=sites,
        p=p,
    )
