"""What an extra installs, imported when it is asked for: if it is missing, the error says what to install."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, owner: str, what: str, install: str) -> Any:
    """Import a module of another package.

    Arguments:
        module: its name, such as "flax.nnx".
        owner: the module of ours that needs it.
        what: its name in the error.
        install: what pip installs, an extra of this package if there is one.

    Raises:
        ModuleNotFoundError: it is not installed.

    >>> needed("numpy", "thinned.interop.example", "NumPy", "numpy").__name__
    'numpy'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # it is there, and lacks something itself
        raise ModuleNotFoundError(
            f"`{owner}` needs {what}, which is not installed. Run pip install '{install}'.", name=error.name
        ) from error
