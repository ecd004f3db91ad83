"""A property that is worked out at its first use, and kept.

`functools.cached_property` takes a lock in Python 3.11, one for all instances: a child that is forked while another
thread holds it would wait for ever. Here two threads may both work a value out; one of the two is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

_Value = TypeVar("_Value", covariant=True)


class once(Generic[_Value]):  # noqa: N801  a decorator
    """Decorate a method without arguments: its value stands in the instance's `__dict__` from the first use on.

    >>> class Circle:
    ...     @once
    ...     def area(self) -> float:
    ...         print("worked out")
    ...         return 3.0
    >>> circle = Circle()
    >>> circle.area, circle.area
    worked out
    (3.0, 3.0)
    """

    def __init__(self, function: Callable[[Any], _Value]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> once[_Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...
    def __get__(self, instance: object | None, owner: type) -> once[_Value] | _Value:
        if instance is None:
            return self
        value = vars(instance)[self._function.__name__] = self._function(instance)
        return value
