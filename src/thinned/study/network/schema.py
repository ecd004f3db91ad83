"""What `config.toml` may say: every table, key, kind and range, checked before anything is made of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..data.column import Kind
from ..data.dates_in_words import PARTS
from ..networks.named import WORD_NETWORKS, NetworkName

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Units = Annotated[int, Field(ge=1)]
Decimal = Literal[".", ","]
MOST_SIDE = 10_000  # pixels


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Target(_Table):
    """What is predicted: classes, or a number with its interval's ends."""

    name: str
    classes: list[str | bool | int] | None = Field(default=None, min_length=2)
    residual_low: Annotated[float, Field(allow_inf_nan=True)] | None = None  # infinite where there are few residuals
    residual_high: Annotated[float, Field(allow_inf_nan=True)] | None = None
    level: Probability | None = None


class Shape(_Table):
    """All members' layers."""

    members: Units
    hidden: list[Units] = Field(min_length=1)
    p: Probability
    p_input: Probability
    activation: Literal["relu"] = "relu"
    kind: NetworkName = "perceptron"
    sha256: str


class Training(_Table):
    """How they were trained: for people."""

    optimiser: str
    weight_decay: Finite
    schedule: str
    max_steps: int
    batch: int
    study_seed: int
    device: str = "cpu"


class _ReadColumn(_Table):
    """What every column has, however it is read."""

    name: str
    kind: Kind
    why: str


class NumberColumn(_ReadColumn):
    """Numbers as `forms.NumberForm` reads them."""

    form: Literal["number"]
    decimal: Decimal
    grouped: bool
    unit: str
    truth: bool


class DateColumn(_ReadColumn):
    """Dates as `forms.DateForm` reads them."""

    form: Literal["date"]
    format: str


class WordsColumn(_ReadColumn):
    """Texts as `forms.WordsForm` reads them."""

    form: Literal["words"]


class LevelColumn(_ReadColumn):
    """Levels as `forms.LevelForm` reads them."""

    form: Literal["level"]
    numeric: bool
    decimal: Decimal
    padded: bool


class Apart(_Table):
    """A column that had no part in it."""

    name: str
    why: str


class Pictures(_Table):
    """The form of pictures, as `image_form.ImageForm` has it."""

    height: Annotated[int, Field(ge=1, le=MOST_SIDE)]
    width: Annotated[int, Field(ge=1, le=MOST_SIDE)]
    channels: Annotated[int, Field(ge=1, le=4)]
    unit: Positive


class Words(_Table):
    """How a column of texts becomes inputs, and which words are known, as `words.WordList` has it."""

    column: str
    slots: Units
    length: Annotated[int, Field(ge=0)]
    known: list[str]
    following: bool = False  # the next word is asked for: classes are the unknown word and those that are known


class Inputs(_Table):
    """The columns that networks take, and how each is read."""

    columns: list[str] = Field(min_length=1)
    read: list[Annotated[NumberColumn | DateColumn | LevelColumn | WordsColumn, Field(discriminator="form")]]
    apart: list[Apart]
    pictures: Pictures | None = None


class Texts(_Table):
    """A text column's levels."""

    name: str
    levels: list[str]
    rare: bool


class Dates(_Table):
    """A date column's parts."""

    name: str
    parts: list[str]


class MemberFacts(_Table):
    """One seed's network."""

    seed: Annotated[int, Field(ge=0)]
    lr: Positive
    mean: Finite = 0.0
    scale: Positive = 1.0
    texts: list[Texts]
    dates: list[Dates]
    words: Words | None = None


class ConfigFile(_Table):
    """The whole file."""

    format: int
    task: Literal["classification", "regression"]
    temperature: Positive = 1.0
    target: Target
    network: Shape
    training: Training
    inputs: Inputs
    members: list[MemberFacts] = Field(min_length=1)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """What no key says alone."""
        if (self.task == "classification") != (self.target.classes is not None):
            raise ValueError("task and target.classes must be of one kind")
        if self.target.classes and len(set(self.target.classes)) < len(self.target.classes):
            raise ValueError("target.classes must differ")
        if self.network.members != len(self.members):
            raise ValueError(f"network.members must be the number of members, {len(self.members)}")
        if len(set(self.inputs.columns)) < len(self.inputs.columns):
            raise ValueError("inputs.columns must differ")
        pictures = self.inputs.pictures
        if pictures is not None and pictures.height * pictures.width * pictures.channels != len(self.inputs.columns):
            raise ValueError("inputs.pictures must have as many values as there are inputs.columns")
        if self.network.kind == "cnn" and pictures is None:
            raise ValueError("inputs.pictures must be there for a cnn")
        ordered = [member.words is not None and member.words.length > 0 for member in self.members]
        if self.network.kind in WORD_NETWORKS and not all(ordered):
            raise ValueError(f"members: words with a length must be there for network.kind {self.network.kind}")
        read = {column.name for column in self.inputs.read}
        if read and not read >= set(self.inputs.columns):
            raise ValueError("inputs.read must hold every one of inputs.columns")
        for member in self.members:
            names = [*(text.name for text in member.texts), *(date.name for date in member.dates)]
            if len(set(names)) < len(names) or not set(names) <= set(self.inputs.columns):
                raise ValueError("members: texts and dates must be of different inputs.columns")
            words = member.words
            if words is not None and (words.column in names or words.column not in self.inputs.columns):
                raise ValueError("members: words must be of one of inputs.columns that is no text and no date")
            if words is not None and words.following and len(self.target.classes or ()) != len(words.known) + 1:
                raise ValueError("members: words.known must be the target.classes but the first, where one follows")
            if words is not None and words.following and (not words.length or words.slots != len(words.known)):
                raise ValueError("members: words.known must be words.slots many, and read in order, where one follows")
            if words is not None and len(words.known) > words.slots:
                raise ValueError(f"members: words.known must be at most words.slots, {words.slots}")
            if any(not set(date.parts) <= set(PARTS) for date in member.dates):
                raise ValueError(f"members: parts of dates must be among {', '.join(PARTS)}")
        return self


def fault(error: ValidationError) -> str:
    """The first thing that is wrong, with its place and value."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    if not place:
        return said
    got = "" if first["type"] == "missing" else f". Got {_shown(first['input'])}"
    return f"{place}: {said[:1].lower()}{said[1:]}{got}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
