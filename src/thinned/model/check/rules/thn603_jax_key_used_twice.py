"""THN603: one key of JAX for two draws."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.calls import argument
from ..lens.source_file import Function, SourceFile
from ..rule import Rule

_NO_DRAW = "split|fold_in|key|PRNGKey|key_data|wrap_key_data|key_impl|clone|default_prng_impl"
_DRAWS = re.compile(rf"^jax\.random\.(?!(?:{_NO_DRAW})$)\w+$")
_OURS = {"thinned.interop.jax.dropout": 2}
_OURS |= {f"thinned.interop.jax.{name}": 0 for name in ("bernoulli", "uniform", "normal")}
Uses = dict[str, ast.Call]


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("jax"):
        return
    for body in (file.tree.body, *(function.body for function in file.functions)):
        yield from _block(file, body, {}, set())


def _block(file: SourceFile, statements: list[ast.stmt], uses: Uses, said: set[ast.Call]) -> Iterator[Finding]:
    """Follow statements in order. `uses` has the draw that each name's key has served since it was assigned."""
    for statement in statements:
        if isinstance(statement, Function | ast.ClassDef):
            continue
        if isinstance(statement, ast.If):
            yield from _draws(file, [statement.test], uses, said)
            branches = []
            for body in (statement.body, statement.orelse):
                branch = dict(uses)
                yield from _block(file, body, branch, said)
                branches.append({} if body and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue) else branch)
            uses.clear()
            uses.update(branches[0] | branches[1])
        elif isinstance(statement, ast.For | ast.While):
            for _ in range(2):  # the second time around, a key that the body does not renew has been used
                before = dict(uses)
                for name in _assigned([statement.target] if isinstance(statement, ast.For) else []):
                    uses.pop(name, None)
                yield from _block(file, statement.body, uses, said)
                if uses == before:  # the second time would be as the first
                    break
        elif isinstance(statement, ast.With):
            yield from _block(file, statement.body, uses, said)
        elif isinstance(statement, ast.Try):
            # A handler is an alternative to what is left of the body, and is not followed.
            for body in (statement.body, statement.orelse, statement.finalbody):
                yield from _block(file, body, uses, said)
        else:
            yield from _draws(file, [statement], uses, said)
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            for name in _assigned([target for target in targets if target is not None]):
                uses.pop(name, None)


def _assigned(targets: list[ast.expr]) -> Iterator[str]:
    return (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _draws(file: SourceFile, nodes: list[ast.AST], uses: Uses, said: set[ast.Call]) -> Iterator[Finding]:
    for call in (part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Call)):
        keys = _keys(file, call)
        if not keys or _apart(file, call):
            continue
        for key in keys:
            first = uses.setdefault(key, call)
            if call not in said and (first is not call or _looped(file, call, key)):
                said.add(call)
                message = f"key `{key}` has drawn before: the same key gives the same noise. Split it"
                yield RULE.on(file, call, message)


def _keys(file: SourceFile, call: ast.Call) -> set[str]:
    """The names of the keys with which a call draws: of a function of `jax.random`, of a Flax model that is applied."""
    name = file.resolve(call.func) or ""
    given: list[ast.expr | None] = []
    if _DRAWS.match(name) or name in _OURS:
        given = [argument(call, _OURS.get(name, 0), ("key", "rng"))]
    elif isinstance(call.func, ast.Attribute) and call.func.attr in ("apply", "apply_fn"):
        rngs = argument(call, None, ("rngs",))
        given = [*rngs.values] if isinstance(rngs, ast.Dict) else []
    return {key.id for key in given if isinstance(key, ast.Name)}


def _looped(file: SourceFile, call: ast.Call, name: str) -> bool:
    """Whether a loop around the draw repeats it and gives its key no new value."""
    for above in file.above(call):
        if isinstance(above, Function | ast.Lambda):
            return False
        if isinstance(above, ast.For | ast.While):
            return not any(isinstance(node.ctx, ast.Store) for node in file.index.within(above, (ast.Name, name)))
    return False


def _apart(file: SourceFile, call: ast.Call) -> bool:
    """Whether the draw is in a lambda, a comprehension or a conditional expression, whose order is not followed."""
    for above in file.above(call):
        if isinstance(above, ast.stmt):
            return False
        if isinstance(above, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp | ast.IfExp):
            return True
    return False


RULE = Rule(
    code="THN603",
    name="jax-key-used-twice",
    summary="Two draws of JAX have one key, and so the same noise.",
    what="""\
Looks for a name that serves as the key of two draws of `jax.random`, or of `thinned.interop.jax`, or in the `rngs` of a
Flax model's `apply`, in one function, with no new value between them; in a loop, of one draw that the loop repeats.
Branches that exclude each other are not two.""",
    why="""\
A key is no generator: nothing moves on when it is used. Two draws of one shape are equal, and others depend on each
other.""",
    bad="""\
import jax


def noise(key, x):
    x = x + jax.random.normal(key, x.shape)
    return x * jax.random.bernoulli(key, 0.5, x.shape)
""",
    good="""\
import jax


def noise(key, x):
    first, second = jax.random.split(key)
    x = x + jax.random.normal(first, x.shape)
    return x * jax.random.bernoulli(second, 0.5, x.shape)
""",
    instead="""\
`jax.random.split`, or `fold_in` with a number for each draw.""",
    reference='JAX, "Pseudorandom numbers": never use a key twice.',
    source=source,
)
