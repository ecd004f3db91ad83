"""Models of Flax and Equinox that are handed to a tool for models of torch are refused by name, with what to use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox
import jax
import pytest
from flax import linen, nnx
from typer.testing import CliRunner

import thinned
from thinned.cli.app import app

X = jax.numpy.ones((4, 8))


class Linen(linen.Module):  # type: ignore[misc]
    @linen.compact  # type: ignore[untyped-decorator]
    def __call__(self, x: Any) -> Any:
        return linen.Dropout(0.5, deterministic=False)(x)


MODELS: dict[str, Callable[[], Any]] = {
    "nnx": lambda: nnx.Sequential(nnx.Linear(8, 8, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(0))),
    "linen": lambda: Linen(),
    "equinox": lambda: equinox.nn.Sequential([equinox.nn.Dropout(0.5)]),
}
TOOLS: dict[str, Callable[[Any], object]] = {
    "check": lambda model: thinned.check(model, X),
    "convert": lambda model: thinned.convert(model),
    "disabled": lambda model: thinned.disabled(model).__enter__(),
    "eval_guard": lambda model: thinned.eval_guard(model),
    "freeze": lambda model: thinned.freeze(model),
    "inspect": lambda model: thinned.inspect(model, X),
    "MaxNorm": lambda model: thinned.MaxNorm(model),
    "plan": lambda model: thinned.plan(model, X),
    "predict": lambda model: thinned.predict(model, X),
    "rates": lambda model: thinned.rates(model),
    "scale_rates": lambda model: thinned.scale_rates(model, 0.5),
    "set_rates": lambda model: thinned.set_rates(model, {"*": 0.5}),
    "stream": lambda model: thinned.stream(model, 0),
    "thaw": lambda model: thinned.thaw(model),
    "tune": lambda model: thinned.study.tune(lambda model, rates, seed, budget: 0.0, model),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("owner", TOOLS)
def test_it_is_refused_by_name(kind: str, owner: str) -> None:
    with pytest.raises(TypeError, match=rf"`{owner}`: .* a module of .*thinned\.interop\.jax\.{kind}, and docs"):
        TOOLS[owner](MODELS[kind]())


@pytest.mark.parametrize("name", ["build", "model", "Net"])
def test_the_command_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "flaxnet.py").write_text(
        "from flax import nnx\n\n\n"
        "class Net(nnx.Module):\n"
        "    def __call__(self, x):\n"
        "        return x\n\n\n"
        "def build():\n"
        "    return Net()\n\n\n"
        "model = Net()\n"
    )
    for verb in (["inspect"], ["plan"], ["check", "--model"]):
        found = CliRunner().invoke(app, [*verb, f"flaxnet:{name}", "--input", "4x8"])
        assert found.exit_code == 2
        assert "a module of Flax NNX" in found.output
        assert "thinned.interop.jax.nnx" in found.output
