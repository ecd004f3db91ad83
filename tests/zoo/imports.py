"""Other people's packages, imported as the tests need them: offline, and torchvision beside any build of torch.

The registry's torchvision is built for CUDA. Beside a CPU torch its operators cannot be loaded, which it allows, and
then it describes them to torch all the same, which fails: "operator torchvision::nms does not exist". `prepare` sees to
it that those descriptions are left out. Nothing is imported before somebody asks for it.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


# Where `make` puts timm and torchvision: torchmetrics, which `thinned study` uses, would import the latter if it could.
ZOO = Path(sys.prefix) / "zoo"


def prepare() -> None:
    """No package looks at the network, and torchvision can be imported. May be called again."""
    os.environ.update(OFFLINE)
    if ZOO.is_dir() and str(ZOO) not in sys.path:
        sys.path.append(str(ZOO))
    if "torchvision" not in sys.modules and not any(isinstance(finder, Torchvision) for finder in sys.meta_path):
        sys.meta_path.insert(0, Torchvision())


class Torchvision:
    """Finds torchvision where everybody does, and watches over its first import."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torchvision":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            # Some only ask whether torchvision is here: the watch ends when it is imported, not when it is found.
            spec.loader.exec_module = self.tolerant(spec.loader.exec_module)  # type: ignore[assignment,method-assign]
        return spec

    def tolerant(self, run: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        """`run`, with torchvision's descriptions of operators that it could not load left out."""

        def exec_module(module: ModuleType) -> None:
            import torch

            sys.meta_path.remove(self)
            register: Callable[..., Any] = torch.library.register_fake

            def register_loaded(operator: Any, *arguments: Any, **settings: Any) -> Any:
                namespace, _, name = operator.partition("::") if isinstance(operator, str) else ("", "", "")
                if namespace == "torchvision" and not hasattr(torch.ops.torchvision, name):
                    return lambda function: function
                return register(operator, *arguments, **settings)

            torch.library.register_fake = register_loaded
            try:
                run(module)
            finally:
                torch.library.register_fake = register

        return exec_module
