"""The nodes of a syntax tree, indexed once: by kind and by name, with what is around each and what is inside each."""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar, cast

from ....once import once

Node = TypeVar("Node", bound=ast.AST)
Key = type[ast.AST] | tuple[type[ast.AST], str]

# Fields that hold no nodes, or nodes of which nobody asks: the context of a name, signs of operators.
_LEFT_OUT = {"ctx", "op", "ops", "id", "attr", "arg", "asname", "module", "level", "type_comment", "type_ignores"}
# Lists with something else than nodes in them: None, or names.
_MIXED = {"keys", "kw_defaults", "names", "kwd_attrs"}


class SyntaxTree:
    """The nodes of a tree in the order of `ast.walk`, from the root outwards.

    A question about one scope costs what its answer is long, however large the file is: nodes have numbers, and the
    nodes inside a scope are a stretch of them.

    >>> tree = SyntaxTree(ast.parse("def f(x):\\n    y = x\\nz = 1"))
    >>> [node.id for node in tree.within(tree.root.body[0], ast.Name)], len(tree.within(tree.root, (ast.Name, "z")))
    (['y', 'x'], 1)
    """

    def __init__(self, root: ast.AST) -> None:
        self.root = root
        self.stored: set[str] = set()  # the names that get a value anywhere
        self._nodes: list[ast.AST] = [root]
        self._parents = [0]
        self._found: dict[type[ast.AST], list[int]] = {type(root): [0]}
        self._names: dict[str, list[int]] = defaultdict(list)
        self._attributes: dict[str, list[int]] = defaultdict(list)
        self._number()
        self._numbers = dict(zip(self._nodes, range(len(self._nodes)), strict=True))
        self._inside: dict[tuple[ast.AST, Key], list[ast.AST]] = {}
        self._ordered: dict[Key, list[int]] = {}
        self._sorted: dict[Key, tuple[list[int], list[int]]] = {}
        self._put: dict[ast.AST, ast.AST] = {}  # nodes that are made, and the nodes in whose place they stand

    def _number(self) -> None:
        """Number the nodes, a statement of the file after the other: each lies close together in memory.

        Names and attributes are more than half of all nodes, and have a way of their own.
        """
        found, names, attributes, stored = self._found, self._names, self._attributes, self.stored
        parents, add_parent, some_node = self._parents, self._parents.append, ast.AST
        plain_name, attribute, store = ast.Name, ast.Attribute, ast.Store
        note_name = found.setdefault(plain_name, []).append
        note_attribute = found.setdefault(attribute, []).append
        plans: dict[type[ast.AST], tuple[tuple[str, ...], Callable[[int], None]]] = {}
        for statement in ast.iter_child_nodes(self.root):
            block: list[Any] = [statement]
            add_parent(0)
            add_node = block.append
            for number, node in enumerate(block, len(self._nodes)):  # the list grows during the loop
                kind = type(node)
                if kind is plain_name:
                    note_name(number)
                    names[node.id].append(number)
                    if type(node.ctx) is store:
                        stored.add(node.id)
                    continue
                if kind is attribute:
                    note_attribute(number)
                    attributes[node.attr].append(number)
                    add_node(node.value)
                    add_parent(number)
                    continue
                try:
                    fields, note = plans[kind]
                except KeyError:
                    known = [] if kind is ast.Constant else [name for name in kind._fields if name not in _LEFT_OUT]
                    fields, note = plans[kind] = tuple(known), found.setdefault(kind, []).append
                note(number)
                for field in fields:
                    value = getattr(node, field, None)
                    if value:  # most lists are empty, and most others None
                        if type(value) is list:
                            if field in _MIXED:
                                value = [child for child in value if isinstance(child, some_node)]
                            block += value
                            parents += [number] * len(value)
                        elif isinstance(value, some_node):
                            add_node(value)
                            add_parent(number)
            self._nodes += block

    def put(self, node: ast.AST, place: ast.AST) -> None:
        """Let a new node stand in the place of a node of the tree, for questions about what is around it."""
        self._put[node] = place

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes that contain this node, from the innermost to the outermost. None for a node of another tree.

        Of a node that is put into the tree, the first is the one in whose place it stands.
        """
        while node in self._put:
            node = self._put[node]
            yield node
        number = self._numbers.get(node, 0)
        while number:
            number = self._parents[number]
            yield self._nodes[number]

    def parent(self, node: ast.AST) -> ast.AST:
        """The node that contains this node directly; for a node that is put into the tree, as for `above`.

        Raises:
            StopIteration: it is the root, or of another tree.
        """
        number = 0 if node in self._put else self._numbers.get(node, 0)
        return self._nodes[self._parents[number]] if number else next(self.above(node))

    def scopes(self, node: ast.AST) -> Iterator[ast.AST]:
        """The functions, lambdas and classes that contain this node, from the innermost to the outermost."""
        while node in self._put:
            node = self._put[node]
            if isinstance(node, ast.Lambda):  # the one expression that is a scope
                yield node
        number = self._scopes[self._numbers.get(node, 0)]
        while number:
            yield self._nodes[number]
            number = self._scopes[number]

    def scope(self, node: ast.AST) -> ast.AST | None:
        """The innermost function, lambda or class that contains this node; None if there is none."""
        number = self._numbers.get(node)
        if number is None or node in self._put:
            return next(self.scopes(node), None)
        return self._nodes[self._scopes[number]] if self._scopes[number] else None

    def within(self, scope: ast.AST, key: type[Node] | tuple[type[Node], str]) -> list[Node]:
        """The nodes of one kind in a scope, itself included: all, or those with one name.

        The name is `id` of ast.Name, `attr` of ast.Attribute. The order is that of `ast.walk`. The list is not to be
        changed. The scope may also be a new node, with nodes of the tree in it.
        """
        asked = (scope, key)
        if asked not in self._inside:
            self._inside[asked] = (
                [self._nodes[number] for number in self._search(scope, key)]
                if scope in self._numbers
                else [node for node in ast.walk(scope) if _fits(node, key)]
            )
        return cast("list[Node]", self._inside[asked])

    def parents(self, key: type[Node] | tuple[type[Node], str]) -> Iterator[tuple[Node, ast.AST]]:
        """The nodes of one kind, or those with one name, each with the node that contains it directly."""
        nodes, parents = cast("list[Node]", self._nodes), self._parents
        return ((nodes[number], self._nodes[parents[number]]) for number in self._numbered(key))

    def has(self, scope: ast.AST, *keys: Key) -> bool:
        """Whether a scope has a node of one of these kinds, itself included."""
        return any(start < stop for start, stop in (self._stretch(scope, key)[1] for key in keys))

    def _search(self, scope: ast.AST, key: Key) -> list[int]:
        if scope is self.root:
            return self._numbered(key)
        (_, numbers), (start, stop) = self._stretch(scope, key)
        return sorted(numbers[start:stop])

    def _stretch(self, scope: ast.AST, key: Key) -> tuple[tuple[list[int], list[int]], tuple[int, int]]:
        """The nodes of a kind in the order of the text, and from which to which they are in a scope."""
        places, sizes = self._places
        if key not in self._sorted:
            pairs = sorted((places[number], number) for number in self._numbered(key))
            self._sorted[key] = [place for place, _ in pairs], [number for _, number in pairs]
        found, number = self._sorted[key], self._numbers[scope]
        first = places[number]
        return found, (bisect_left(found[0], first), bisect_left(found[0], first + sizes[number]))

    def _numbered(self, key: Key) -> list[int]:
        """The numbers of the nodes of a kind, or of those with one name, in the order of `ast.walk`."""
        if key not in self._ordered:
            if isinstance(key, tuple):
                found = (self._names if key[0] is ast.Name else self._attributes).get(key[1], [])
            else:
                found = self._found.get(key, [])
            self._ordered[key] = sorted(found, key=self._depths.__getitem__)
        return self._ordered[key]

    @once
    def _depths(self) -> list[int]:
        """How many nodes each node is inside of."""
        found = [0]
        add = found.append
        for parent in islice(self._parents, 1, None):
            add(found[parent] + 1)
        return found

    @once
    def _scopes(self) -> list[int]:
        """For each node the innermost scope that contains it; 0 if there is none."""
        is_scope = bytearray(len(self._nodes))
        for kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef):
            for number in self._found.get(kind, []):
                is_scope[number] = True
        found = [0]
        add = found.append
        for parent in islice(self._parents, 1, None):
            add(parent if is_scope[parent] else found[parent])
        return found

    @once
    def _places(self) -> tuple[list[int], list[int]]:
        """Where each node stands in the order of the text, and how many nodes it has, itself included.

        What is inside of a node are the places from its own on, as many as it has nodes.
        """
        parents, sizes = self._parents, [1] * len(self._nodes)
        for number in range(len(parents) - 1, 0, -1):
            sizes[parents[number]] += sizes[number]
        places, free = [0] * len(parents), [1] * len(parents)
        for number in range(1, len(parents)):
            place = places[number] = free[parents[number]]
            free[parents[number]] = place + sizes[number]
            free[number] = place + 1
        return places, sizes


def _fits(node: ast.AST, key: Key) -> bool:
    """Whether a node is of a kind, and has the name if one is asked for."""
    kind, name = key if isinstance(key, tuple) else (key, None)
    return type(node) is kind and name in (None, getattr(node, "id", None), getattr(node, "attr", None))
