"""The compiled kernel on every instruction set of this machine: the contract's bits, and rounding as torch does it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.noise.jobs import ELEMENTS, FORMS, RUN, Array, Element, Job, Law, bits, mask, numbers, run_of
from tests.vectors import read

from thinned.noise import bernoulli, fold_in, place, scale, threshold
from thinned.noise.kernel import DROP, instruction_sets, missing, module
from thinned.noise.place import Placement
from thinned.ops import drop

pytestmark = pytest.mark.skipif(module is None, reason=f"no compiled kernel: {missing}")

each_set = pytest.mark.parametrize("name", instruction_sets)
each_element = pytest.mark.parametrize("element", ELEMENTS.values(), ids=list(ELEMENTS))
FLOAT = ELEMENTS["float32"]
# The forms on any numbers, and "mask", the form "drop" on ones: there every bit of the mask is seen.
KINDS = [(kind, element) for kind in (*FORMS, "mask") for element in ELEMENTS.values()]
each_kind = pytest.mark.parametrize(("kind", "element"), KINDS, ids=lambda part: getattr(part, "name", part))

# How many elements the instruction sets do at a time, in a register and in a group of blocks.
GROUPS = (16, 32, 64, 128, 192, 256, 384, 512, 768, 1024)
AROUND = [group + more for group in GROUPS for more in (-1, 0, 1, 7)]
ROOM = max(AROUND) + 18


def cases() -> Iterator[tuple[int, int, int, int]]:
    """(length, position, output's offset in elements, input's): every length to 200, every position to 70, each with
    changing offsets, and every pair of offsets to 17."""
    for length in range(201):
        for position in (*range(9), 13 + length % 57):
            yield length, position, (5 * length + position) % 18, (length + 7 * position) % 18
    for k, length in enumerate(AROUND):
        for position in range(71):
            yield length, position, (position + k) % 18, (7 * position + 3 * k) % 18
    for out in range(18):
        for x in range(18):
            yield (17, 65, 129, 391, 770)[(out + x) % 5], 8 * (x % 2), out, x


def job_of(kind: str, element: Element, where: Placement, rng: np.random.Generator) -> Job:
    if kind == "mask":
        return mask(element, where)
    x, residual = (numbers(element, where.shape, rng) for _ in range(2))
    return Job(kind, element, where, x, residual if kind == "add" else None)


def part_of(job: Job, part: slice, where: Placement) -> Job:
    """A part of a vector's elements, placed anew."""
    residual = None if job.residual is None else job.residual[part]
    return replace(job, where=where, x=job.x[part], residual=residual)


@each_kind
def test_every_length_position_and_alignment(kind: str, element: Element) -> None:
    """A row of a table for each case, filled before: what is written beside the case's elements is seen too."""
    whole = job_of(kind, element, run_of(ROOM), np.random.default_rng(0))
    table = list(cases())
    scaled = replace(whole, form="drop", law=replace(whole.law, threshold=0)).by_contract()
    kept = replace(whole, where=run_of(ROOM + 71)).kept()
    blank = np.full((len(table), ROOM), 77, element.storage)
    expected = blank.copy()
    for row, (length, position, at, start) in zip(expected, table, strict=True):
        here, there = slice(at, at + length), slice(start, start + length)
        row[here] = np.where(kept[position : position + length], scaled[there], np.zeros(1, element.storage))
        if whole.residual is not None:
            with np.errstate(all="ignore"):
                row[here] = element.narrow(element.widen(whole.residual[there]) + element.widen(row[here].copy()))
    for name in RUN:
        found = blank.copy()
        for row, (length, position, at, start) in zip(found, table, strict=True):
            job = part_of(whole, slice(start, start + length), run_of(length, position))
            job.by_kernel(name, row[at : at + length])
        if not whole.same(found, expected):
            wrong = [case for case, a, b in zip(table, found, expected, strict=True) if not whole.same(a, b)]
            pytest.fail(f"{name}: (length, position, output's offset, input's) {wrong[:5]}")


@each_kind
def test_where_counters_wrap(kind: str, element: Element) -> None:
    """Positions of 31, 32 and 64 bits end, and block numbers of 32 bits: in the middle of a run, at every distance."""
    for end in (2**31, 2**32, 2**34, 2**35, 2**64):
        whole = job_of(kind, element, run_of(1100, end - 600), np.random.default_rng(1))
        expected = whole.by_contract()
        for before in (0, 1, 5, 8, 31, 33, 64, 127, 128, 200, 383, 384, 391, 600):
            for length in (1, 9, 130, 400, 500):
                part = slice(600 - before, 600 - before + length)
                job = part_of(whole, part, run_of(length, (end - before) % 2**64))
                for name in RUN:
                    out = job.empty()
                    job.by_kernel(name, out)
                    assert job.same(out, expected[part]), f"{name}: {length} from {before} before {end}"


def laid_out(array: Array, how: str, draw: random.Random) -> Array:
    """The same numbers, otherwise arranged in memory."""
    if not array.ndim:
        return array.copy()
    if how == "permuted":
        order = draw.sample(range(array.ndim), array.ndim)
        return array.transpose(order).copy().transpose(np.argsort(order))
    if how == "sliced":
        steps = [draw.choice((1, 2, 3)) for _ in array.shape]
        room = np.zeros([size * step + 1 for size, step in zip(array.shape, steps, strict=True)], array.dtype)
        part = room[tuple(slice(1, 1 + size * step, step) for size, step in zip(array.shape, steps, strict=True))]
        part[...] = array
        return part
    if how == "backwards":
        around = (slice(None, None, -1),) * array.ndim
        return array[around].copy()[around]
    return array.copy()


def random_jobs(seed: int, count: int) -> Iterator[tuple[Job, Array, random.Random]]:
    """Jobs of any kind, type, rank, layout, sharing and place, each with an output to write to."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    layouts = ("plain", "plain", "permuted", "sliced", "backwards")
    while count:
        kind, element = draw.choice(KINDS)
        rank = draw.randrange(5)
        sizes = (1, 2, 3, 5, 8, 17, 64, 100) if rank > 2 else (1, 7, 64, 65, 385, 1000, 3000)
        shape = tuple(draw.choice(sizes) if draw.random() < 0.98 else 0 for _ in range(rank))
        if np.prod(shape) > 12000:
            continue
        shared = [axis for axis in range(rank) if draw.random() < 0.25]
        offset = [draw.choice((0, 0, 3, 2**20)) for _ in range(rank)]
        whole = [first + size + draw.choice((0, 0, 5)) for first, size in zip(offset, shape, strict=True)]
        try:
            where = place(shape, broadcast_dims=shared, offset=offset, global_shape=whole)
        except ValueError:  # more than 2**64 draws
            continue
        base = (where.base + draw.choice((0, 0, 2**35 - 500, 2**32 - 7))) % 2**64
        p = draw.choice((0.1, 0.5, 0.9, 1e-5, 1 - 1e-9, 1.0))
        law = Law(threshold(p), scale(p), *draw.choice(((0.0, 0.0), (0.0, 0.0), (0.7, -1.3), (0.0, 2.0))))
        x, residual = (laid_out(numbers(element, shape, rng), draw.choice(layouts), draw) for _ in range(2))
        if draw.random() < 0.2 and rank:
            x = np.broadcast_to(x[:1], shape) if shape[0] else x
        where, key = Placement(shape, where.strides, base), draw.getrandbits(64)
        if kind == "mask":
            job = mask(element, where, key=key, threshold=law.threshold)
            job = replace(job, x=laid_out(job.x, draw.choice(layouts), draw))
        else:
            job = Job(kind, element, where, x, residual if kind == "add" else None, key, law)
        yield job, laid_out(job.empty(), draw.choice(layouts), draw), draw
        count -= 1


@pytest.mark.long
def test_any_layout_sharing_and_place() -> None:
    for number, (job, out, _) in enumerate(random_jobs(2, 1500)):
        expected = job.by_contract()
        for name in RUN:
            out[...] = 55
            job.by_kernel(name, out)
            assert job.same(out, expected), f"{name}, job {number}: {job.form} {job.element.name} {job.where}"


def test_in_place_is_the_same() -> None:
    """Over the input, or over what is added to."""
    for number, (job, _, draw) in enumerate(random_jobs(3, 400)):
        if 0 in job.x.strides:
            continue
        expected = job.by_contract()
        for name in RUN:
            x = laid_out(job.x, draw.choice(("plain", "permuted", "sliced", "backwards")), draw)
            here = replace(job, x=x)
            here.by_kernel(name, x)
            assert job.same(x, expected), f"{name}, job {number}"
            if job.residual is not None:
                residual = job.residual.copy()
                replace(job, residual=residual).by_kernel(name, residual)
                assert job.same(residual, expected), f"{name}, job {number}, over the residual"


def test_what_lies_between_a_strided_outputs_elements_stays() -> None:
    room = np.full((7, 40, 9), 3.0, np.float32)
    out = room[1:7:2, 3:38:5, ::3]
    where = place(out.shape, broadcast_dims=(1,))
    job = Job("drop", FLOAT, where, np.ones(out.shape, np.float32))
    for name in RUN:
        room[...] = 3.0
        job.by_kernel(name, out)
        assert np.array_equal(out, job.by_contract())
        out[...] = 3.0
        assert (room == 3.0).all()


@each_set
@pytest.mark.parametrize("shared", [(), (0,), (1,)])
@pytest.mark.parametrize("layout", ["plain", "transposed"])
@each_element
def test_threads_share_the_work_and_change_nothing(
    name: str, element: Element, layout: str, shared: tuple[int, ...]
) -> None:
    shape = (317, 331) if layout == "plain" else (331, 317)
    x = np.resize(numbers(element, (5001,), np.random.default_rng(4)), shape)
    x = x if layout == "plain" else x.T
    where = place(x.shape, broadcast_dims=shared)
    # A block number's low word ends in the middle.
    job = Job("drop", element, Placement(where.shape, where.strides, 2**35 - 50_003), x)
    expected = job.by_contract()
    for threads in (1, 2, 3):
        out = np.zeros_like(x)
        assert 1 <= job.by_kernel(name, out, threads) <= threads
        assert job.same(out, expected)


def test_threads_are_those_of_torch_and_only_where_they_pay() -> None:
    assert module.pool() == "openmp", "torch is imported, and its pool was not found"
    small, large = (mask(FLOAT, run_of(count)) for count in (2 * 32768 - 1, 3 * 32768))
    assert small.by_kernel(instruction_sets[0], small.empty(), 8) == 1
    assert large.by_kernel(instruction_sets[0], large.empty(), 0) == 1


@pytest.mark.parametrize(
    "name", ["float32", *(pytest.param(name, marks=pytest.mark.long) for name in ("bfloat16", "float16"))]
)
def test_outputs_too_large_for_the_caches(name: str) -> None:
    """From 32 MiB on they are written around the caches, where their addresses allow it."""
    element = ELEMENTS[name]
    size = np.dtype(element.storage).itemsize
    count = 32 * 2**20 // size + 77
    room, pattern = np.empty(count + 64 // size, element.storage), numbers(element, (4099,), np.random.default_rng(5))
    aligned = -room.ctypes.data % 64 // size
    x = np.resize(pattern, count)
    whole = Job("drop", element, run_of(count, 3), x)
    scaled = Job("drop", element, run_of(4099), pattern, law=Law(threshold=0)).by_contract()
    kept = bernoulli(whole.key, 0.25, (count,), offset=(3,), global_shape=(3 + count,))
    expected = np.where(kept, np.resize(scaled, count), np.zeros(1, element.storage))
    for instruction_set in instruction_sets:
        for at in {aligned, (aligned + 1) % (64 // size)}:
            out = room[at : at + count]
            whole.by_kernel(instruction_set, out, threads=2)
            assert whole.same(out, expected), instruction_set


@each_set
@pytest.mark.parametrize("level", [0, 1, 2, 32768, 65535, 65536])
def test_extreme_thresholds(name: str, level: int) -> None:
    """So many draws that lanes of 0 and of 65535 are among them: at 1 the former alone are dropped, at 65535 the latter
    alone are kept."""
    count = 2**19
    job = Job("drop", FLOAT, run_of(count), np.ones(count, np.float32), law=Law(level))
    expected, out = job.by_contract(), job.empty()
    job.by_kernel(name, out)
    assert job.same(out, expected)
    kept = int((out != 0).sum())
    assert (kept == count) == (level == 0)
    assert (kept == 0) == (level == 65536)
    added = replace(job, form="add", residual=np.full(count, 0.5, np.float32))
    for other in (mask(FLOAT, job.where, threshold=level), added):
        out = other.empty()
        other.by_kernel(name, out)
        assert other.same(out, other.by_contract())


@each_set
@pytest.mark.parametrize("element", [ELEMENTS["bfloat16"], ELEMENTS["float16"]], ids=lambda e: e.name)
@pytest.mark.parametrize("gain", [1.0, scale(0.1), scale(0.5), scale(0.999), scale(1 - 1e-9), 0.3, 2.0**-12])
def test_every_half_is_rounded_as_torch_rounds_it(name: str, element: Element, gain: float) -> None:
    every = np.arange(65536, dtype=np.uint16)
    dtype = getattr(torch, element.name)
    x = torch.from_numpy(every).view(dtype)
    law = Law(threshold=0, scale=gain)
    where = run_of(65536)
    wide = x.float() * gain
    storage = every.view(element.storage)
    again = np.roll(storage, 12345)
    added = torch.from_numpy(np.roll(every, 12345)).view(dtype).float() + wide.to(dtype).float()
    shifted = (wide + 0.7).to(dtype)
    for job, expected in [
        (Job("drop", element, where, storage, law=law), wide.to(dtype)),
        (Job("add", element, where, storage, again, law=law), added.to(dtype)),
        (Job("drop", element, where, storage, law=replace(law, shift=0.7)), shifted),
    ]:
        out = job.empty()
        job.by_kernel(name, out)
        assert job.same(out, expected.view(torch.uint16).numpy().view(element.storage))
        backwards = replace(job, x=storage[::-1])  # the loop for strided memory rounds by itself
        out = backwards.empty()
        backwards.by_kernel(name, out)
        assert job.same(out, backwards.by_contract())


@each_set
@pytest.mark.parametrize("element", [FLOAT, ELEMENTS["float64"]], ids=lambda e: e.name)
def test_any_bits_are_scaled_as_the_processor_scales_them(name: str, element: Element) -> None:
    """Subnormals, which a careless mode would flush, and all the rest; a zero's sign."""
    words = np.random.default_rng(6).integers(0, 2**64, 40_000, np.uint64)
    words[::3] &= np.uint64(0x800F_FFFF_807F_FFFF)  # exponent 0, of one float64 or of two float32
    x = words.view(element.storage)
    for shift in (0.0, 0.25):
        job = Job("drop", element, run_of(len(x)), x, law=Law(6554, scale(0.1), shift))
        out = job.empty()
        job.by_kernel(name, out)
        assert job.same(out, job.by_contract())
    zero = Job("drop", element, run_of(64), np.full(64, -0.0, element.storage), law=Law(threshold=0))
    out = zero.empty()
    zero.by_kernel(name, out)
    assert np.signbit(out).all()


@each_set
@each_element
def test_dropped_is_zero_whatever_it_was(name: str, element: Element) -> None:
    for value in (np.nan, np.inf, -np.inf, -1.0):
        x = element.narrow(np.full(1000, value, element.wide))
        job = Job("drop", element, run_of(1000), x, law=Law(threshold=65536))
        half = replace(job, law=Law(threshold=32768))
        for each in (job, half):
            out = each.empty()
            out[...] = 9
            each.by_kernel(name, out)
            dropped = ~each.kept()
            assert dropped.any()
            assert not bits(out)[dropped].any(), "+0, never -0"


@each_set
@pytest.mark.parametrize("case", read.masks(), ids=str)
def test_expected_masks(name: str, case: read.Mask) -> None:
    where = place(case.shape, **case.block)
    for element in ELEMENTS.values():
        job = mask(element, where, key=case.key, threshold=case.threshold)
        out = job.empty()
        job.by_kernel(name, out)
        assert case.agrees(out != 0), element.name
    scaled = replace(mask(FLOAT, where, key=case.key), law=Law(case.threshold, case.scale))
    values = scaled.empty()
    scaled.by_kernel(name, values)
    assert case.agrees(values != 0)
    assert set(values.ravel().tolist()) <= {0.0, case.scale}


def test_child_keys() -> None:
    for key, number, child in read.children():
        assert module.fold_in(key, number) == child == fold_in(key, number)


HERE = np.ones(4, np.float32)


def arguments(**changed: Any) -> list[Any]:
    given: dict[str, Any] = {
        "form": DROP, "type": 0, "out": HERE.ctypes.data, "in": HERE.ctypes.data, "residual": 0, "sizes": (4,),
        "out_strides": (1,), "in_strides": (1,), "residual_strides": (1,), "threads": 1, "key": 1, "threshold": 65536,
        "scale": 1.0, "shift": 0.0, "fill": 0.0, "noise_strides": (1,), "base": 0,
    }  # fmt: skip
    return list((given | changed).values())


@each_set
@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"more": 1}, TypeError, "run takes 17 arguments. Got 18"),
        ({"type": 4}, ValueError, r"type in \[0, 3\].* Got 0, 4 and 1"),
        ({"form": 2}, ValueError, r"form must be in \[0, 1\].* Got 2, 0 and 1"),
        ({"form": -1}, ValueError, r"form must be in \[0, 1\].* Got -1, 0 and 1"),
        ({"type": "float32"}, TypeError, "int"),
        ({"form": None}, TypeError, "int"),
        ({"sizes": [4]}, SystemError, "bad argument"),
        ({"in_strides": (1, 1)}, ValueError, "tuples of one length"),
        ({"noise_strides": ()}, ValueError, "tuples of one length"),
        ({"sizes": (1,) * 64}, ValueError, "tuples of one length"),
        ({"out": 1.5}, TypeError, "int"),
        ({"scale": "2"}, TypeError, "real number"),
        ({"threads": 2**70}, OverflowError, "too large"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(name: str, changed: dict[str, Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        RUN[name](*arguments(**changed))


@each_set
@pytest.mark.parametrize("sizes", [(0,), (3, 0), (0, 3), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("step", [0, 1, 2, 7])
def test_nothing_is_nothing(name: str, sizes: tuple[int, ...], step: int) -> None:
    """No element, whatever the strides say."""
    steps = (step,) * len(sizes)
    given = arguments(sizes=sizes, out_strides=steps, in_strides=steps, residual_strides=steps, noise_strides=steps)
    assert RUN[name](*given) <= 1


def test_as_many_axes_as_torch_has() -> None:
    """64, none of them mergeable with its neighbour, so that the walk needs one more for its tile."""
    shape = [1] * 58 + [2, 3, 2, 3, 2, 160]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).transpose(-1, -2)
    expected = bernoulli(7, 0.5, x.shape)
    assert x.ndim == 64
    assert np.array_equal(drop(x, 0.5, key=7).numpy(), np.where(expected, x.numpy() * 2, 0))
    y, kept = x.transpose(-3, -6), bernoulli(7, 0.5, x.transpose(-3, -6).shape)
    assert np.array_equal(drop(y, 0.5, key=7).numpy(), np.where(kept, y.numpy() * 2, 0))
