"""A prediction with the names that scikit-learn's users gave: of classes, and of rows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from ..uncertainty.prediction import Prediction

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class NamedPrediction(Prediction):
    """A `Prediction` whose table has the names of classes, and the index of the rows."""

    classes: NDArray[Any] | None = None  # by number, as `classes_` of the estimator; None for numbers
    index: Any = None  # of the DataFrame that was predicted; None for arrays

    @classmethod
    def of(cls, prediction: Prediction, classes: NDArray[Any] | None, index: Any) -> Self:
        """A prediction with names."""
        held = {field.name: getattr(prediction, field.name) for field in fields(prediction)}
        return cls(**held, classes=classes, index=index)

    @property
    def label_name(self) -> NDArray[Any]:
        """`(N,)`: the name of the most probable class."""
        label = self.label.numpy()
        return label if self.classes is None else self.classes[label]

    def to_pandas(self) -> pandas.DataFrame:
        """As `Prediction.to_pandas`, with names of classes in `label`, and with the rows' index."""
        frame = super().to_pandas()
        if self.classes is not None:
            frame["label"] = self.label_name
        if self.index is not None:
            frame.index = self.index
        return frame
