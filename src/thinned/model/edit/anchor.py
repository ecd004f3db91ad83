"""`Anchor`: how a plan's text names a position in a model.

output of features.1                            what a module returns
input of fc                                     the first tensor that a module is given
output of relu() in block.0                     what a call of a torch function returns while the module runs
input of linear()#2 in mlp                      the first tensor that the second call of the function is given
dropout_p of scaled_dot_product_attention() in attn      the argument that holds a call's p
p of blocks.0.attn.proj_drop                    the attribute that holds a module's p
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ROOT = "the model"  # the text for the model itself, whose qualified name is ""
_TEXT = re.compile(
    r"(?P<what>[A-Za-z_]\w*) of (?:(?P<call>[A-Za-z_]\w*)\(\)(?:#(?P<number>[1-9]\d*))? in )?(?P<module>the model|\S+)"
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A position in a model, or a p that the model has already.

    >>> anchor("output of relu()#2 in block.0")
    Anchor(what='output', module='block.0', call='relu', number=2)
    >>> str(_)
    'output of relu()#2 in block.0'
    """

    what: str  # "output", "input", or the name of the attribute or argument that holds p
    module: str  # qualified name, "" for the model itself
    call: str = ""  # a torch function's plain name
    number: int = 1  # which call of the function while the module runs, counted from 1 and with calls of its children

    @property
    def is_rate(self) -> bool:
        """Whether it names a p that the model has already, and not a position for a new dropout."""
        return self.what not in ("output", "input")

    @property
    def place(self) -> str:
        """The module's name, or `ROOT` for the model itself."""
        return self.module or ROOT

    @property
    def child(self) -> str:
        """The name under which a dropout at this position becomes a child of the module."""
        number = f"_{self.number}" if self.number > 1 else ""
        return f"thinned_{self.call}_{self.what}{number}" if self.call else f"thinned_{self.what}"

    def __str__(self) -> str:
        number = f"#{self.number}" if self.number > 1 else ""
        call = f"{self.call}(){number} in " if self.call else ""
        return f"{self.what} of {call}{self.place}"


def anchor(text: str) -> Anchor:
    """Parse the text of an anchor.

    Raises:
        ValueError: the text has none of the forms above.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"`where` must be like 'output of features.1', 'input of fc' or 'output of relu() in block.0'. Got "
            f"{text!r}. docs/guides/plan.md has every form."
        )
    module = "" if found["module"] == ROOT else found["module"]
    return Anchor(found["what"], module, found["call"] or "", int(found["number"] or 1))
