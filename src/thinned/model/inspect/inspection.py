"""What `thinned.inspect` found: the places of a model that draw noise, and the passes that showed them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..watch.trace import Trace
from .place import Place
from .table import rich_table, text

if TYPE_CHECKING:
    import pandas


class Inspection:
    """The result of `inspect`: the places of a model, and the passes that showed them. It prints as a table."""

    def __init__(
        self,
        model: str,
        places: tuple[Place, ...],
        train: Trace,
        eval: Trace,  # noqa: A002
        seconds: float,
        passes: tuple[Trace, ...] = (),
        unseen: tuple[str, ...] = (),
    ) -> None:
        self.model = model  # the model's class
        self.places = places
        self.train = train  # the forward pass in training mode, call by call
        self.eval = eval
        self.seconds = seconds  # of a forward pass in training mode
        self.passes = passes or (train,)  # all passes in training mode, `train` first
        self.unseen = unseen  # parts of Keras with dropout that no pass has shown

    def __getitem__(self, name: str) -> Place:
        for place in self.places:
            if place.name == name:
                return place
        raise KeyError(f"no place is called {name!r}. Places: {', '.join(place.name for place in self.places)}.")

    def to_json(self) -> str:
        """The table as JSON: the model's class, seconds of a forward pass, and one object a place."""
        rows = [place.row() for place in self.places]
        return json.dumps({"model": self.model, "seconds": self.seconds, "places": rows}, indent=2)

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame, one row a place. Needs pandas, which the extra `study` brings."""
        try:
            import pandas
        except ImportError:
            raise ImportError("`to_pandas`: pandas is not here. pip install 'thinned[study]'") from None
        rows = [place.row() for place in self.places]
        return pandas.DataFrame(rows, columns=list(rows[0]) if rows else [*Place.__dataclass_fields__])

    def __str__(self) -> str:
        return text(self.model, self.places, self.seconds, self.unseen)

    def __rich_console__(self, _: Any, options: Any) -> Any:
        yield rich_table(self.model, self.places, self.seconds, options.max_width, self.unseen)

    __repr__ = __str__
