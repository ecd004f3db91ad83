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
constexpr uint64_t LOW_WORD = 0xffffffff;

template <int N>
struct Constant {
    static constexpr int value = N;
};

// Lane number `lane` of a block: its half-words or words, the low ones first.
template <class Lane>
THINNED_INLINE Lane lane_of(const Block& block, uint64_t lane) {
    constexpr uint64_t PER_WORD = 4 / sizeof(Lane);
    return static_cast<Lane>(block.word[lane / PER_WORD] >> 8 * sizeof(Lane) * (lane % PER_WORD));
}

// A stretch of lanes in the cache, for everything but the fused loop.
template <class Lane>
class Lanes {
public:
    static constexpr int PER_BLOCK = 16 / sizeof(Lane);
    static constexpr int64_t CAPACITY = static_cast<int64_t>(GROUP) * PER_BLOCK;

    Lanes(const Schedule& key, uint32_t domain) : key_(key), domain_(domain) {}

    // The lanes of `count` positions from `position` on; `count` is at most CAPACITY.
    const Lane* at(uint64_t position, int64_t count) {
        const uint64_t first = position / PER_BLOCK, skipped = position % PER_BLOCK;
        const int64_t blocks = (static_cast<int64_t>(skipped) + count + PER_BLOCK - 1) / PER_BLOCK;
        for (int64_t done = 0; done < blocks;) done += fill(first + static_cast<uint64_t>(done), done, blocks - done);
        return lanes_ + skipped;
    }

private:
    int64_t fill(uint64_t block, int64_t at, int64_t wanted) {
        Lane* const to = lanes_ + at * PER_BLOCK;
        block &= ~0ull / PER_BLOCK;  // positions wrap at 2**64
        if (wanted > GROUP / 2 && (block & LOW_WORD) + GROUP <= LOW_WORD) return many<Isa::GROUPS>(block, to);
        if ((block & LOW_WORD) + Isa::BLOCKS <= LOW_WORD) return many<1>(block, to);
        // The counter's low word is about to wrap.
        const Block one = philox(key_, block, domain_);
        for (unsigned lane = 0; lane < PER_BLOCK; ++lane) to[lane] = lane_of<Lane>(one, lane);
        return 1;
    }

    template <int GROUPS>
    int64_t many(uint64_t block, Lane* to) {
        typename Isa::Register word[2 * GROUPS];
        philox_many<Isa, GROUPS>(key_, block, domain_, word);
        for (int j = 0; j < 2 * GROUPS; ++j)
            Isa::store(to + j * static_cast<int>(sizeof word[0] / sizeof(Lane)), word[j]);
        return GROUPS * Isa::BLOCKS;
    }

    const Schedule& key_;
    const uint32_t domain_;
    // A block more than CAPACITY for a start inside one, and room for a last group that overshoots.
    alignas(64) Lane lanes_[(2 * GROUP + 1) * PER_BLOCK];
};

// The forms. Each names its lane and its types and does one element, given its lane.

template <class T, bool AFFINE>
struct Drop {
    using Lane = uint16_t;
    using In = T;
    using Out = T;
    using Number = typename Wide<T>::type;
    static constexpr uint32_t DOMAIN_WORD = BERNOULLI_DOMAIN;
    uint32_t threshold;
    Number scale, shift;
    T fill;

    explicit Drop(const Job& job)
        : threshold(job.threshold),
          scale(static_cast<Number>(job.scale)),
          // Adding -0 changes nothing, not even the sign of a zero.
          shift(job.shift != 0 ? static_cast<Number>(job.shift) : Number(-0.0)),
          fill(narrow<T>(static_cast<Number>(job.fill))) {}

    THINNED_INLINE Out operator()(uint32_t lane, In x, In) const {
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

struct Mask {
    using Lane = uint16_t;
    using In = uint8_t;
    using Out = uint8_t;
    static constexpr uint32_t DOMAIN_WORD = BERNOULLI_DOMAIN;
    uint32_t threshold;

    explicit Mask(const Job& job) : threshold(job.threshold) {}

    THINNED_INLINE Out operator()(uint32_t lane, In, In) const { return lane >= threshold; }
};

struct Words {
    using Lane = uint32_t;
    using In = uint8_t;
    using Out = uint32_t;
    static constexpr uint32_t DOMAIN_WORD = UNIFORM_DOMAIN;

    explicit Words(const Job&) {}

    THINNED_INLINE Out operator()(uint32_t lane, In, In) const { return lane; }
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
    uint64_t block = position / 8;
    const auto group = [&](auto groups) THINNED_INLINE_LAMBDA {
        constexpr int GROUPS = decltype(groups)::value;
        typename Isa::Register lanes[2 * GROUPS];
        philox_many<Isa, GROUPS>(key, block, BERNOULLI_DOMAIN, lanes);
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
    explicit Worker(const Job& job) : job_(job), op_(job), key_(job.key), lanes_(key_, Op::DOMAIN_WORD) {}

    void work(int64_t begin, int64_t end) {
        // Where all is dropped no lane is asked for.
        const bool all = Op::DOMAIN_WORD == BERNOULLI_DOMAIN && job_.threshold >= LEVELS;
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
            Out* const to = static_cast<Out*>(job_.out) + out + column * inner.out;
            const In* const from = job_.in ? static_cast<const In*>(job_.in) + in + column * inner.in : nullptr;
            const In* const plus =
                job_.residual ? static_cast<const In*>(job_.residual) + residual + column * inner.residual : from;
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
    using Lane = typename Op::Lane;
    using In = typename Op::In;
    using Out = typename Op::Out;
    static constexpr bool FUSES = Fused<Op>::value;

    void run(Out* out, const In* in, const In* residual, uint64_t position, int64_t count) {
        const auto advance = [&](int64_t done) {
            position += static_cast<uint64_t>(done), out += done, count -= done;
            if (in) in += done, residual += done;
        };
        while (count > 0) {
#if defined(THINNED_FUSED)
            if constexpr (FUSES) {
                if (position % 8 == 0) {
                    const bool whole = reinterpret_cast<uintptr_t>(out) % sizeof(typename Isa::Register) == 0;
                    advance(job_.stream && whole ? fused<true>(key_, op_, in, out, position, count)
                                                 : fused<false>(key_, op_, in, out, position, count));
                }
            }
#endif
            // Up to a block's start, past a wrap of the counter's low word, or the rest.
            const int64_t part = position % 8 ? static_cast<int64_t>(-position % 8) : lanes_.CAPACITY;
            const int64_t done = FUSES && part < count ? part : count;
            buffered(out, in, residual, position, done);
            advance(done);
        }
    }

    void buffered(Out* out, const In* in, const In* residual, uint64_t position, int64_t count) {
        while (count > 0) {
            const int64_t part = count < lanes_.CAPACITY ? count : lanes_.CAPACITY;
            const Lane* const lane = lanes_.at(position, part);
            if (in) {
                THINNED_INDEPENDENT
                for (int64_t j = 0; j < part; ++j) out[j] = op_(lane[j], in[j], residual[j]);
                in += part, residual += part;
            } else {
                THINNED_INDEPENDENT
                for (int64_t j = 0; j < part; ++j) out[j] = op_(lane[j], In(), In());
            }
            out += part, position += static_cast<uint64_t>(part), count -= part;
        }
    }

    void constant(Out* out, const In* in, const In* residual, uint64_t position, int64_t count) {
        const uint32_t lane = draw(position);
        if (!in) {
            for (int64_t j = 0; j < count; ++j) out[j] = op_(lane, In(), In());
            return;
        }
        THINNED_INDEPENDENT
        for (int64_t j = 0; j < count; ++j) out[j] = op_(lane, in[j], residual[j]);
    }

    void scatter(Out* out, const In* in, const In* residual, uint64_t position, int64_t count, const Axis& axis) {
        int64_t o = 0, i = 0, r = 0;
        const auto element = [&](uint32_t lane) {
            out[o] = in ? op_(lane, in[i], residual[r]) : op_(lane, In(), In());
            o += axis.out, i += axis.in, r += job_.residual ? axis.residual : axis.in;
        };
        if (axis.noise != 1) {
            for (int64_t j = 0; j < count; ++j, position += axis.noise) element(draw(position));
            return;
        }
        while (count > 0) {
            const int64_t part = count < lanes_.CAPACITY ? count : lanes_.CAPACITY;
            const Lane* const lane = lanes_.at(position, part);
            for (int64_t j = 0; j < part; ++j) element(lane[j]);
            position += static_cast<uint64_t>(part), count -= part;
        }
    }

    // One draw. Neighbours, such as the channels of a sample, often share a block: the last one is kept.
    uint32_t draw(uint64_t position) {
        constexpr uint64_t PER_BLOCK = 16 / sizeof(Lane);
        if (!known_ || position / PER_BLOCK != block_) {
            block_ = position / PER_BLOCK;
            words_ = philox(key_, block_, Op::DOMAIN_WORD);
            known_ = true;
        }
        return lane_of<Lane>(words_, position % PER_BLOCK);
    }

    const Job& job_;
    const Op op_;
    const Schedule key_;
    Lanes<Lane> lanes_;
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
    if (job.form == Form::mask) return Worker<Mask>(job).work(begin, end);
    if (job.form == Form::words) return Worker<Words>(job).work(begin, end);
    switch (job.type) {
        case Type::float32: return typed<float>(job, begin, end);
        case Type::float64: return typed<double>(job, begin, end);
        case Type::bfloat16: return typed<BFloat16>(job, begin, end);
        case Type::float16: return typed<Float16>(job, begin, end);
    }
}

}  // namespace thinned
