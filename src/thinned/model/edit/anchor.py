"""Where in a model a plan's line takes hold, as text that people read and edit.

output of features.1                            what a module returns
input of fc                                     a module's first tensor
output of relu() in block.0                     what a call of a torch function returns while the module runs
input of linear()#2 in mlp                      the first tensor of the second such call
dropout_p of scaled_dot_product_attention() in attn      a call's own p
p of blocks.0.attn.proj_drop                    a module's own p, in the attribute of that name
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ROOT = "the model"  # stands for the module of the empty name
_TEXT = re.compile(
    r"(?P<what>[A-Za-z_]\w*) of (?:(?P<call>[A-Za-z_]\w*)\(\)(?:#(?P<number>[1-9]\d*))? in )?(?P<module>the model|\S+)"
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place in a model.

    >>> anchor("output of relu()#2 in block.0")
    Anchor(what='output', module='block.0', call='relu', number=2)
    >>> str(_)
    'output of relu()#2 in block.0'
    """

    what: str  # "output", "input", or the name of the attribute or argument that holds p
    module: str  # qualified name, "" for the model itself
    call: str = ""  # a torch function's plain name
    number: int = 1  # which of the function's calls while the module runs, its children's counted

    @property
    def is_rate(self) -> bool:
        """Whether it is a p that the model has already, to be set, and not a place for a new layer."""
        return self.what not in ("output", "input")

    @property
    def place(self) -> str:
        """The module's name as people read it."""
        return self.module or ROOT

    @property
    def child(self) -> str:
        """What the dropout that sits here is called among the children of its module."""
        number = f"_{self.number}" if self.number > 1 else ""
        return f"thinned_{self.call}_{self.what}{number}" if self.call else f"thinned_{self.what}"

    def __str__(self) -> str:
        number = f"#{self.number}" if self.number > 1 else ""
        call = f"{self.call}(){number} in " if self.call else ""
        return f"{self.what} of {call}{self.place}"


def anchor(text: str) -> Anchor:
    """Read an anchor.

    Raises:
        ValueError: text of another form.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"`where` must be like 'output of features.1', 'input of fc' or 'output of relu() in block.0'. Got "
            f"{text!r}. docs/guides/plan.md has every form."
        )
    module = "" if found["module"] == ROOT else found["module"]
    return Anchor(found["what"], module, found["call"] or "", int(found["number"] or 1))
