"""The kernels for a GPU, in Triton: `drop`, `gaussian` and `uniform` by key.

One Philox block serves its neighbouring positions, eight of `drop` and four of the other laws. A thread makes whole
blocks, so no number goes from one thread to another. There are two forms: `run` for values that lie in memory in the
order of their positions, and `axes` for any strides and any sharing of draws.

Triton compiles these functions. An annotation is the type of an argument. Names in capitals are constants of the
compiled code:

- LAW: 0 is `drop`, 1 is `gaussian`, 2 is `uniform`.
- LOADED: the key is read from the device's memory. ADD: there is a residual. SHIFT: the law has a shift.
- WIDTH: how many values one access to memory has. B: how many blocks a program makes.
"""

# mypy: ignore-errors
# Types here are Triton's.

import triton
import triton.language as tl


@triton.jit
def philox(block, k0, k1, DOMAIN: tl.constexpr):
    """The four words of each block, as `thinned.noise.philox.blocks`.

    Both halves of a product of 64 bits are one instruction. `tl.philox` gives the same words, and multiplies twice.
    """
    c0 = block.to(tl.uint32)
    c1 = (block >> 32).to(tl.uint32)
    c2 = c0 ^ c0
    c3 = c2 + DOMAIN
    for _ in tl.static_range(10):
        even = c0.to(tl.uint64) * 0xD2511F53
        odd = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (odd >> 32).to(tl.uint32) ^ c1 ^ k0
        c2 = (even >> 32).to(tl.uint32) ^ c3 ^ k1
        c1 = odd.to(tl.uint32)
        c3 = even.to(tl.uint32)
        k0 = tl.add(k0, 0x9E3779B9, sanitize_overflow=False)
        k1 = tl.add(k1, 0xBB67AE85, sanitize_overflow=False)
    return c0, c1, c2, c3


@triton.jit
def key_words(key_ptr, key, LOADED: tl.constexpr):
    """The key's words: of an argument, or read from the device's memory."""
    if LOADED:
        key = tl.load(key_ptr)
    key = tl.full((), key, tl.int64)
    return key.to(tl.uint32), (key >> 32).to(tl.uint32)


@triton.jit
def halves(words):
    """The two 16-bit halves of each word in a new last axis, low half first, each in the upper bits of a word."""
    return tl.join(words << 16, words)


@triton.jit
def one_of(a, b, c, d, NUMBER: tl.constexpr):
    """The argument of this number."""
    if NUMBER < 2:
        return a if NUMBER == 0 else b
    else:
        return c if NUMBER == 2 else d


@triton.jit
def drop_lanes(w0, w1, w2, w3, PART: tl.constexpr, WIDTH: tl.constexpr, B: tl.constexpr):
    """16-bit lanes `PART * WIDTH` and following of each block, in the upper bits of words."""
    if WIDTH == 8:
        return tl.reshape(halves(tl.join(tl.join(w0, w2), tl.join(w1, w3))), (B, 8))
    elif WIDTH == 4:
        return tl.reshape(halves(tl.join(w0, w1) if PART == 0 else tl.join(w2, w3)), (B, 4))
    elif WIDTH == 2:
        return halves(one_of(w0, w1, w2, w3, PART))
    else:
        word = one_of(w0, w1, w2, w3, PART // 2)
        return word << 16 if PART % 2 == 0 else word


@triton.jit
def unit(word):
    """A uniform number in (0, 1)."""
    return (word.to(tl.float64) + 0.5) * 2.3283064365386963e-10


@triton.jit
def cosine_sine(word):
    """Cosine and sine of `2 pi (word + 1/2) / 2**32`, to 1e-11: the nearest quarter turn, and a series for the rest.

    The library's functions reduce any angle, with a table in local memory.
    """
    quarter = tl.add(word, 0x20000000, sanitize_overflow=False) >> 30
    rest = tl.sub(word, quarter << 30, sanitize_overflow=False).to(tl.int32, bitcast=True)
    a = (rest.to(tl.float64) + 0.5) * 1.4629180792671596e-09
    z = a * a
    s = (
        z * 2.7557319223985893e-06
        - 0.0001984126984126984
        + z * z * (z * 1.6059043836821613e-10 - 2.505210838544172e-08)
    )
    s = a + a * z * (z * (z * s + 0.008333333333333333) - 0.16666666666666666)
    c = z * 2.48015873015873e-05 - 0.001388888888888889 + z * z * (z * 2.08767569878681e-09 - 2.755731922398589e-07)
    c = 1.0 + z * (z * (z * c + 0.041666666666666664) - 0.5)
    swapped = (quarter & 1) != 0
    cosine = tl.where(swapped, s, c)
    sine = tl.where(swapped, c, s)
    cosine = tl.where(((quarter + 1) & 2) != 0, -cosine, cosine)
    return cosine, tl.where((quarter & 2) != 0, -sine, sine)


@triton.jit
def normals(u, v):
    """Two standard normal numbers of two words, by Box and Muller."""
    radius = tl.sqrt(-2.0 * tl.log(unit(u)))
    cosine, sine = cosine_sine(v)
    return radius * cosine, radius * sine


@triton.jit
def four_lanes(a, b, c, d, PART: tl.constexpr, WIDTH: tl.constexpr, B: tl.constexpr):
    """Lanes `PART * WIDTH` and following of each block, of which the arguments hold lane 0, 1, 2 and 3."""
    if WIDTH == 4:
        return tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (B, 4))
    elif WIDTH == 2:
        return tl.join(a, b) if PART == 0 else tl.join(c, d)
    else:
        return one_of(a, b, c, d, PART)


@triton.jit
def dropped(x, r, lane, level, gain, shift, fill, ADD: tl.constexpr, SHIFT: tl.constexpr, TYPE: tl.constexpr):
    """`gain * x + shift` where the lane is not below the level, `fill` elsewhere, rounded once; then the residual."""
    WIDE: tl.constexpr = tl.float64 if tl.float64 == TYPE else tl.float32
    y = x.to(WIDE) * tl.full((), gain, WIDE)
    if SHIFT:
        y = y + tl.full((), shift, WIDE)
    y = tl.where(lane >= level, y, tl.full((), fill, WIDE)).to(TYPE)
    if ADD:
        y = (r.to(WIDE) + y.to(WIDE)).to(TYPE)
    return y


@triton.jit
def multiplied(x, number, sigma, LAW: tl.constexpr, TYPE: tl.constexpr):
    """`x * (1 + sigma * number)` of a normal number, `x * number` of a uniform one, rounded once."""
    WIDE: tl.constexpr = tl.float64 if tl.float64 == TYPE else tl.float32
    if LAW == 1:
        factor = (number * tl.full((), sigma, tl.float64) + 1.0).to(WIDE)
    else:
        factor = tl.minimum(number.to(WIDE), 0.999999940395355224609375)
    return (x.to(WIDE) * factor).to(TYPE)


@triton.jit
def lane_numbers(block, k0, k1, LAW: tl.constexpr):
    """Words of two 16-bit lanes each for `drop`; the numbers of four lanes for the other laws."""
    if LAW == 0:
        a, b, c, d = philox(block, k0, k1, 0)
    else:
        a, b, c, d = philox(block, k0, k1, 1)
        if LAW == 1:
            a, b = normals(a, b)
            c, d = normals(c, d)
        else:
            a, b, c, d = unit(a), unit(b), unit(c), unit(d)
    return a, b, c, d


@triton.jit
def part_of(
    x, r, a, b, c, d, level, gain, shift, fill,
    LAW: tl.constexpr, ADD: tl.constexpr, SHIFT: tl.constexpr, TYPE: tl.constexpr,
    PART: tl.constexpr, WIDTH: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """The values of one access: lanes `PART * WIDTH` and following of each block."""
    if LAW == 0:
        return dropped(x, r, drop_lanes(a, b, c, d, PART, WIDTH, B), level, gain, shift, fill, ADD, SHIFT, TYPE)
    else:
        return multiplied(x, four_lanes(a, b, c, d, PART, WIDTH, B), gain, LAW, TYPE)


@triton.jit
def tile(
    y_ptr, x_ptr, r_ptr, left, a, b, c, d, level, gain, shift, fill, LAW: tl.constexpr, ADD: tl.constexpr,
    SHIFT: tl.constexpr, WIDTH: tl.constexpr, B: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """The values of B blocks, or the `left` first of them."""
    LANES: tl.constexpr = 8 if LAW == 0 else 4
    for part in tl.static_range(LANES // WIDTH):
        at = tl.arange(0, B)[:, None] * LANES + (part * WIDTH + tl.arange(0, WIDTH))[None, :]
        inside = None if WHOLE else at < left
        x = tl.load(x_ptr + at, inside)
        r = tl.load(r_ptr + at, inside) if ADD else x
        y = part_of(x, r, a, b, c, d, level, gain, shift, fill, LAW, ADD, SHIFT, y_ptr.dtype.element_ty, part, WIDTH, B)
        tl.store(y_ptr + at, y, inside)


@triton.jit(do_not_specialize=["n", "first", "key", "level"])
def run(
    y_ptr, x_ptr, r_ptr, key_ptr, n: tl.int64, first: tl.int64, key: tl.int64,
    level: tl.int32, gain: tl.float64, shift: tl.float64, fill: tl.float64,
    LAW: tl.constexpr, LOADED: tl.constexpr, ADD: tl.constexpr, SHIFT: tl.constexpr,
    WIDTH: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Noise on n values that are contiguous in memory, from block `first` on."""
    LANES: tl.constexpr = 8 if LAW == 0 else 4
    program = tl.program_id(0).to(tl.int64)
    k0, k1 = key_words(key_ptr, key, LOADED)
    level = level.to(tl.uint32, bitcast=True)
    a, b, c, d = lane_numbers((first + program * B + tl.arange(0, B)).to(tl.uint64), k0, k1, LAW)
    start = program * (LANES * B)
    y_ptr += start
    x_ptr += start
    r_ptr += start
    left = n - start
    if left >= LANES * B:
        tile(y_ptr, x_ptr, r_ptr, left, a, b, c, d, level, gain, shift, fill, LAW, ADD, SHIFT, WIDTH, B, True)
    else:
        tile(y_ptr, x_ptr, r_ptr, left, a, b, c, d, level, gain, shift, fill, LAW, ADD, SHIFT, WIDTH, B, False)


@triton.jit
def offset(c0, c1, c2, c3, a0, a1, a2, a3, AXES: tl.constexpr):
    """Where an element lies, of its coordinates and the strides of the last `AXES` axes."""
    at = c3 * a3
    if AXES > 1:
        at += c2 * a2
    if AXES > 2:
        at += c1 * a1
    if AXES > 3:
        at += c0 * a0
    return at


@triton.jit(
    do_not_specialize=[
        "groups", "base", "n", "key", "level", "s1", "s2", "s3",
        "y0", "y1", "y2", "y3", "x0", "x1", "x2", "x3", "r0", "r1", "r2", "r3", "p0", "p1", "p2", "p3",
    ]
)  # fmt: skip
def axes(
    y_ptr, x_ptr, r_ptr, key_ptr, groups: tl.int64, base: tl.int64, n: tl.int64, key: tl.int64,
    level: tl.int32, gain: tl.float64, shift: tl.float64, fill: tl.float64,
    s1: tl.int64, s2: tl.int64, s3: tl.int64,
    y0: tl.int64, y1: tl.int64, y2: tl.int64, y3: tl.int64,
    x0: tl.int64, x1: tl.int64, x2: tl.int64, x3: tl.int64,
    r0: tl.int64, r1: tl.int64, r2: tl.int64, r3: tl.int64,
    p0: tl.int64, p1: tl.int64, p2: tl.int64, p3: tl.int64,
    LAW: tl.constexpr, LOADED: tl.constexpr, ADD: tl.constexpr, SHIFT: tl.constexpr, WIDTH: tl.constexpr,
    B: tl.constexpr, AXES: tl.constexpr, AXIS: tl.constexpr, WHOLE: tl.constexpr, ALIKE: tl.constexpr,
    LONG: tl.constexpr,
):  # fmt: skip
    """Noise on values of four axes, the last one fastest; along axis `AXIS` positions are neighbours, and it has n.

    Along it values are taken in groups of one Philox block. `groups` is the number of groups in all, and `s1` to `s3`
    are the lengths of the last axes, in groups along `AXIS`. Then the strides of each axis in memory and, of positions,
    `p0` to `p3`, which is 0 along `AXIS`. The last `AXES` axes count, the others have one element.

    WHOLE: every group is a whole block. ALIKE: all tensors have the strides of `y`. LONG: there are more than 2**31
    groups or offsets. With WIDTH above 1 groups are whole, and their values contiguous: then strides in memory count
    groups, of which each begins at a multiple of 128 bits.
    """
    LANES: tl.constexpr = 8 if LAW == 0 else 4
    TYPE: tl.constexpr = y_ptr.dtype.element_ty
    INDEX: tl.constexpr = tl.int64 if LONG else tl.int32
    COUNT: tl.constexpr = tl.int64 if LONG else tl.uint32
    k0, k1 = key_words(key_ptr, key, LOADED)
    level = level.to(tl.uint32, bitcast=True)
    group = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    there = group < groups
    # The coordinates, in groups along AXIS.
    c3 = group.to(COUNT)
    c2 = c3
    c1 = c3
    c0 = c3
    if AXES > 1:
        c2 = c3 // s3.to(COUNT)
        c3 -= c2 * s3.to(COUNT)
    if AXES > 2:
        c1 = c2 // s2.to(COUNT)
        c2 -= c1 * s2.to(COUNT)
    if AXES > 3:
        c0 = c1 // s1.to(COUNT)
        c1 -= c0 * s1.to(COUNT)
    first = base + offset(
        c0.to(tl.int64), c1.to(tl.int64), c2.to(tl.int64), c3.to(tl.int64), p0, p1, p2, p3, AXES
    )  # fmt: skip
    number = one_of(c0, c1, c2, c3, AXIS)
    # The block's number is one of 61 or 62 bits, so the sign that a shift brings in goes.
    block = (first >> 3) & 0x1FFFFFFFFFFFFFFF if LAW == 0 else (first >> 2) & 0x3FFFFFFFFFFFFFFF
    block = (block + number.to(tl.int64)) & (0x1FFFFFFFFFFFFFFF if LAW == 0 else 0x3FFFFFFFFFFFFFFF)
    a, b, c, d = lane_numbers(block.to(tl.uint64), k0, k1, LAW)
    index = number.to(tl.int64)
    if WIDTH == 1:
        index *= LANES
        if not WHOLE:
            index -= first & (LANES - 1)
    i0 = index.to(INDEX) if AXIS == 0 else c0.to(INDEX)
    i1 = index.to(INDEX) if AXIS == 1 else c1.to(INDEX)
    i2 = index.to(INDEX) if AXIS == 2 else c2.to(INDEX)
    i3 = index.to(INDEX) if AXIS == 3 else c3.to(INDEX)
    y_at = offset(i0, i1, i2, i3, y0.to(INDEX), y1.to(INDEX), y2.to(INDEX), y3.to(INDEX), AXES)
    x_at = y_at
    r_at = y_at
    if not ALIKE:
        x_at = offset(i0, i1, i2, i3, x0.to(INDEX), x1.to(INDEX), x2.to(INDEX), x3.to(INDEX), AXES)
        r_at = offset(i0, i1, i2, i3, r0.to(INDEX), r1.to(INDEX), r2.to(INDEX), r3.to(INDEX), AXES)
    if WIDTH == 1:
        y_step = one_of(y0, y1, y2, y3, AXIS)
        x_step = y_step if ALIKE else one_of(x0, x1, x2, x3, AXIS)
        r_step = y_step if ALIKE else one_of(r0, r1, r2, r3, AXIS)
        for part in tl.static_range(LANES):
            inside = there if WHOLE else there & (index + part >= 0) & (index + part < n)
            x = tl.load(x_ptr + part * x_step + x_at, inside)
            r = tl.load(r_ptr + part * r_step + r_at, inside) if ADD else x
            y = part_of(x, r, a, b, c, d, level, gain, shift, fill, LAW, ADD, SHIFT, TYPE, part, 1, B)
            tl.store(y_ptr + part * y_step + y_at, y, inside)
    else:
        for part in tl.static_range(LANES // WIDTH):
            lanes = (part * WIDTH + tl.arange(0, WIDTH))[None, :]
            x = tl.load(x_ptr + (x_at[:, None] * LANES + lanes), there[:, None])
            r = tl.load(r_ptr + (r_at[:, None] * LANES + lanes), there[:, None]) if ADD else x
            y = part_of(x, r, a, b, c, d, level, gain, shift, fill, LAW, ADD, SHIFT, TYPE, part, WIDTH, B)
            tl.store(y_ptr + (y_at[:, None] * LANES + lanes), y, there[:, None])
