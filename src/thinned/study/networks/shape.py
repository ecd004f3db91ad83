"""What a row of a study's inputs is, for networks that look at more than a list of numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputShape:
    """The meaning of a row: `numbers` plain numbers first, then a picture's values or a text's word numbers.

    Arguments:
        numbers: plain numbers. A table has nothing else.
        image: height, width and channels of a picture, whose values lie row by row, channels last.
        words: how many different word numbers there are: 0 is the empty place behind a text, 1 an unknown word.
        length: places of a text.
        following: whether the next word is asked for, at every place.
    """

    numbers: int = 0
    image: tuple[int, int, int] | None = None
    words: int = 0
    length: int = 0
    following: bool = False

    @property
    def inputs(self) -> int:
        """Numbers a row.

        >>> InputShape(2, words=100, length=16).inputs
        18
        """
        height, width, channels = self.image or (0, 0, 0)
        return self.numbers + height * width * channels + self.length
