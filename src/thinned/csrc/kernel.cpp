// The kernel, compiled once for each instruction set (THINNED_ISA: avx512, avx2 or portable).
//
// Values are selected, never multiplied by a mask; they are scaled in float32 (float64 for float64) and rounded once.
#include <cstddef>

#include "job.hpp"

#define THINNED_TEXT2(x) #x
#define THINNED_TEXT(x) THINNED_TEXT2(x)
#define THINNED_HEADER THINNED_TEXT(THINNED_ISA.hpp)
#include THINNED_HEADER

#if defined(__clang__)
#define THINNED_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define THINNED_INDEPENDENT _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define THINNED_INDEPENDENT __pragma(loop(ivdep))
#else
#define THINNED_INDEPENDENT
#endif

namespace thinned {
namespace {

constexpr int GROUP = Isa::BLOCKS * Isa::GROUPS;  // blocks that are computed side by side
constexpr int PER_BLOCK = 8;                      // lanes of 16 bits
constexpr uint64_t LOW_WORD = 0xffffffff;

template <int N>
struct Constant {
    static constexpr int value = N;
};

// Lane number `lane` of a block: its half-words, the low ones first.
THINNED_INLINE uint16_t lane_of(const Block& block, uint64_t lane) {
    return static_cast<uint16_t>(block.word[lane / 2] >> 16 * (lane % 2));
}

// A stretch of lanes in the cache, for everything but the fused loop.
class Lanes {
public:
    static constexpr int64_t CAPACITY = static_cast<int64_t>(GROUP) * PER_BLOCK;

    explicit Lanes(const Schedule& key) : key_(key) {}

    // The lanes of `count` positions from `position` on; `count` is at most CAPACITY.
    const uint16_t* at(uint64_t position, int64_t count) {
        const uint64_t first = position / PER_BLOCK, skipped = position % PER_BLOCK;
        const int64_t blocks = (static_cast<int64_t>(skipped) + count + PER_BLOCK - 1) / PER_BLOCK;
        for (int64_t done = 0; done < blocks;) done += fill(first + static_cast<uint64_t>(done), done, blocks - done);
        return lanes_ + skipped;
    }

private:
    int64_t fill(uint64_t block, int64_t at, int64_t wanted) {
        uint16_t* const to = lanes_ + at * PER_BLOCK;
        block &= ~0ull / PER_BLOCK;  // positions wrap at 2**64
        if (wanted > GROUP / 2 && (block & LOW_WORD) + GROUP <= LOW_WORD) return many<Isa::GROUPS>(block, to);
        if ((block & LOW_WORD) + Isa::BLOCKS <= LOW_WORD) return many<1>(block, to);
        // The counter's low word is about to wrap.
        const Block one = philox(key_, block);
        for (unsigned lane = 0; lane < PER_BLOCK; ++lane) to[lane] = lane_of(one, lane);
        return 1;
    }

    template <int GROUPS>
    int64_t many(uint64_t block, uint16_t* to) {
        typename Isa::Register word[2 * GROUPS];
        philox_many<Isa, GROUPS>(key_, block, word);
        for (int j = 0; j < 2 * GROUPS; ++j)
            Isa::store(to + j * static_cast<int>(sizeof word[0] / sizeof *to), word[j]);
        return GROUPS * Isa::BLOCKS;
    }

    const Schedule& key_;
    // A block more than CAPACITY for a start inside one, and room for a last group that overshoots.
    alignas(64) uint16_t lanes_[(2 * GROUP + 1) * PER_BLOCK];
};

// The forms. Each names its element type and does one element, given its lane.

template <class T, bool AFFINE>
struct Drop {
    using Element = T;
    using Number = typename Wide<T>::type;
    uint32_t threshold;
    Number scale, shift;
    T fill;

    explicit Drop(const Job& job)
        : threshold(job.threshold),
          scale(static_cast<Number>(job.scale)),
          // Adding -0 changes nothing, not even the sign of a zero.
          shift(job.shift != 0 ? static_cast<Number>(job.shift) : Number(-0.0)),
          fill(narrow<T>(static_cast<Number>(job.fill))) {}

    THINNED_INLINE T operator()(uint32_t lane, T x, T) const {
        const Number scaled = widen(x) * scale;
        return choose(lane >= threshold, narrow<T>(AFFINE ? scaled + shift : scaled), AFFINE ? fill : T());
    }
};

template <class T, bool AFFINE>
struct Add : Drop<T, AFFINE> {
    using Drop<T, AFFINE>::Drop;

    THINNED_INLINE T operator()(uint32_t lane, T x, T residual) const {
        return narrow<T>(widen(residual) + widen(Drop<T, AFFINE>::operator()(lane, x, x)));
    }
};

// Whether the fused loop does this form: the lanes never leave the registers.
template <class Op>
struct Fused {
    static constexpr bool value = false;
};

#if defined(THINNED_FUSED)
template <>
struct Fused<Drop<float, false>> {
    static constexpr bool value = true;
};

template <>
struct Fused<Drop<BFloat16, false>> {
    static constexpr bool value = true;
};

template <>
struct Fused<Drop<Float16, false>> {
    static constexpr bool value = true;
};

// Positions from a block's start on. Returns how many elements are done: all but a rest of less than a register's
// worth.
template <bool STREAM, class T>
int64_t fused(const Schedule& key, const Drop<T, false>& op, const T* in, T* out, uint64_t position, int64_t count) {
    const typename Isa::Select select(op.threshold, op.scale);
    constexpr int LANES = sizeof(typename Isa::Register) / 2;
    constexpr int AHEAD = Isa::AHEAD / static_cast<int>(sizeof(T));
    int64_t done = 0;
    uint64_t block = position / PER_BLOCK;
    const auto group = [&](auto groups) THINNED_INLINE_LAMBDA {
        constexpr int GROUPS = decltype(groups)::value;
        typename Isa::Register lanes[2 * GROUPS];
        philox_many<Isa, GROUPS>(key, block, lanes);
        for (int j = 0; j < 2 * GROUPS; ++j) {
            __builtin_prefetch(in + done + j * LANES + AHEAD);
            select.template operator()<STREAM>(lanes[j], in + done + j * LANES, out + done + j * LANES);
        }
        done += 2 * GROUPS * LANES;
        block += GROUPS * Isa::BLOCKS;
    };
    while (count - done >= 2 * Isa::GROUPS * LANES && (block & LOW_WORD) + GROUP <= LOW_WORD)
        group(Constant<Isa::GROUPS>());
    while (count - done >= 2 * LANES && (block & LOW_WORD) + Isa::BLOCKS <= LOW_WORD) group(Constant<1>());
    if (STREAM) Isa::fence();
    return done;
}
#endif

template <class Op>
class Worker {
public:
    explicit Worker(const Job& job) : job_(job), op_(job), key_(job.key), lanes_(key_) {}

    void work(int64_t begin, int64_t end) {
        // Where all is dropped no lane is asked for.
        const bool all = job_.threshold >= LEVELS;
        const Pattern pattern = all && job_.pattern == Pattern::run ? Pattern::constant : job_.pattern;
        const Axis& inner = job_.axis[job_.rank - 1];
        int64_t index[MAX_RANK];
        int64_t out = 0, in = 0, residual = 0;
        uint64_t position = job_.base;
        int64_t column = begin % inner.size, rest = begin / inner.size;
        for (int d = job_.rank - 2; d >= 0; --d) {
            const Axis& a = job_.axis[d];
            index[d] = rest % a.size;
            rest /= a.size;
            out += index[d] * a.out, in += index[d] * a.in, residual += index[d] * a.residual;
            position += static_cast<uint64_t>(index[d]) * a.noise;
        }
        while (begin < end) {
            const int64_t count = end - begin < inner.size - column ? end - begin : inner.size - column;
            T* const to = static_cast<T*>(job_.out) + out + column * inner.out;
            const T* const from = static_cast<const T*>(job_.in) + in + column * inner.in;
            const T* const plus =
                job_.residual ? static_cast<const T*>(job_.residual) + residual + column * inner.residual : from;
            const uint64_t first = position + static_cast<uint64_t>(column) * inner.noise;
            if (pattern == Pattern::run)
                run(to, from, plus, first, count);
            else if (pattern == Pattern::constant)
                constant(to, from, plus, first, count);
            else
                scatter(to, from, plus, first, count, inner);
            begin += count;
            column = 0;
            for (int d = job_.rank - 2; d >= 0; --d) {
                const Axis& a = job_.axis[d];
                out += a.out, in += a.in, residual += a.residual, position += a.noise;
                if (++index[d] < a.size) break;
                index[d] = 0;
                out -= a.size * a.out, in -= a.size * a.in, residual -= a.size * a.residual;
                position -= static_cast<uint64_t>(a.size) * a.noise;
            }
        }
    }

private:
    using T = typename Op::Element;
    static constexpr bool FUSES = Fused<Op>::value;

    void run(T* out, const T* in, const T* residual, uint64_t position, int64_t count) {
        const auto advance = [&](int64_t done) {
            position += static_cast<uint64_t>(done), out += done, in += done, residual += done, count -= done;
        };
        while (count > 0) {
#if defined(THINNED_FUSED)
            if constexpr (FUSES) {
                if (position % PER_BLOCK == 0) {
                    const bool whole = reinterpret_cast<uintptr_t>(out) % sizeof(typename Isa::Register) == 0;
                    advance(job_.stream && whole ? fused<true>(key_, op_, in, out, position, count)
                                                 : fused<false>(key_, op_, in, out, position, count));
                }
            }
#endif
            // Up to a block's start, past a wrap of the counter's low word, or the rest.
            const int64_t part = position % PER_BLOCK ? static_cast<int64_t>(-position % PER_BLOCK) : lanes_.CAPACITY;
            const int64_t done = FUSES && part < count ? part : count;
            buffered(out, in, residual, position, done);
            advance(done);
        }
    }

    void buffered(T* out, const T* in, const T* residual, uint64_t position, int64_t count) {
        while (count > 0) {
            const int64_t part = count < lanes_.CAPACITY ? count : lanes_.CAPACITY;
            const uint16_t* const lane = lanes_.at(position, part);
            THINNED_INDEPENDENT
            for (int64_t j = 0; j < part; ++j) out[j] = op_(lane[j], in[j], residual[j]);
            out += part, in += part, residual += part, position += static_cast<uint64_t>(part), count -= part;
        }
    }

    void constant(T* out, const T* in, const T* residual, uint64_t position, int64_t count) {
        const uint32_t lane = draw(position);
        THINNED_INDEPENDENT
        for (int64_t j = 0; j < count; ++j) out[j] = op_(lane, in[j], residual[j]);
    }

    void scatter(T* out, const T* in, const T* residual, uint64_t position, int64_t count, const Axis& axis) {
        int64_t o = 0, i = 0, r = 0;
        const auto element = [&](uint32_t lane) {
            out[o] = op_(lane, in[i], residual[r]);
            o += axis.out, i += axis.in, r += job_.residual ? axis.residual : axis.in;
        };
        if (axis.noise != 1) {
            for (int64_t j = 0; j < count; ++j, position += axis.noise) element(draw(position));
            return;
        }
        while (count > 0) {
            const int64_t part = count < lanes_.CAPACITY ? count : lanes_.CAPACITY;
            const uint16_t* const lane = lanes_.at(position, part);
            for (int64_t j = 0; j < part; ++j) element(lane[j]);
            position += static_cast<uint64_t>(part), count -= part;
        }
    }

    // One draw. Neighbours, such as the channels of a sample, often share a block: the last one is kept.
    uint32_t draw(uint64_t position) {
        if (!known_ || position / PER_BLOCK != block_) {
            block_ = position / PER_BLOCK;
            words_ = philox(key_, block_);
            known_ = true;
        }
        return lane_of(words_, position % PER_BLOCK);
    }

    const Job& job_;
    const Op op_;
    const Schedule key_;
    Lanes lanes_;
    bool known_ = false;
    uint64_t block_ = 0;
    Block words_ = {};
};

template <class T>
void typed(const Job& job, int64_t begin, int64_t end) {
    const bool affine = job.shift != 0 || job.fill != 0;
    if (job.form == Form::add)
        affine ? Worker<Add<T, true>>(job).work(begin, end) : Worker<Add<T, false>>(job).work(begin, end);
    else
        affine ? Worker<Drop<T, true>>(job).work(begin, end) : Worker<Drop<T, false>>(job).work(begin, end);
}

}  // namespace

#define THINNED_NAME2(isa) kernel_##isa
#define THINNED_NAME(isa) THINNED_NAME2(isa)

void THINNED_NAME(THINNED_ISA)(const Job& job, int64_t begin, int64_t end) {
    switch (job.type) {
        case Type::float32: return typed<float>(job, begin, end);
        case Type::float64: return typed<double>(job, begin, end);
        case Type::bfloat16: return typed<BFloat16>(job, begin, end);
        case Type::float16: return typed<Float16>(job, begin, end);
    }
}

}  // namespace thinned
