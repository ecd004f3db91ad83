"""Answers about a file that are worked out once and held by it: 2,000 questions cost what one answer costs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from .source_file import SourceFile

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def remembered(
    question: Callable[Concatenate[SourceFile, Asked], Answer],
) -> Callable[Concatenate[SourceFile, Asked], Answer]:
    """The function, whose answers the file holds. The arguments after the file must be hashable.

    >>> @remembered
    ... def length(file, name):
    ...     print("counted")
    ...     return len(name)
    >>> file = SourceFile("net.py", "")
    >>> length(file, "abc"), length(file, "abc")
    counted
    (3, 3)
    """

    @wraps(question)
    def ask(file: SourceFile, *asked: Asked.args, **named: Asked.kwargs) -> Answer:
        answers = file.answers.setdefault(question, {})
        key = (*asked, *named.items())
        if key not in answers:
            answers[key] = question(file, *asked, **named)
        answer: Answer = answers[key]
        return answer

    return cast(Callable[Concatenate[SourceFile, Asked], Answer], ask)
