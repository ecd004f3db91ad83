"""What an extra installs, imported when it is asked for: if it is missing, the error names the extra."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, owner: str, extra: str, what: str) -> Any:
    """Import a module of another package.

    Arguments:
        module: its name, such as "flax.nnx".
        owner: the module of ours that needs it.
        extra: the extra of this package that installs it.
        what: its name in the error.

    Raises:
        ModuleNotFoundError: it is not installed.

    >>> needed("numpy", "thinned.interop.example", "example", "NumPy").__name__
    'numpy'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # it is there, and lacks something itself
        raise ModuleNotFoundError(
            f"`{owner}` needs {what}, which is not installed. Run pip install 'thinned[{extra}]'.", name=error.name
        ) from error
