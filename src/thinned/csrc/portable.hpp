// What every machine has: SSE2 on x86-64, NEON on 64-bit ARM, else two plain integers.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define THINNED_SSE2
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define THINNED_NEON
#endif

#include "element.hpp"

namespace thinned {
namespace {

struct Isa {
    static constexpr int BLOCKS = 2;
    static constexpr int GROUPS = 4;

#if defined(THINNED_SSE2)
    using Register = __m128i;
    static THINNED_INLINE Register broadcast(uint64_t x) { return _mm_set1_epi64x(static_cast<long long>(x)); }
    static THINNED_INLINE Register add(Register a, Register b) { return _mm_add_epi64(a, b); }
    static THINNED_INLINE Register multiply(Register a, Register b) { return _mm_mul_epu32(a, b); }
    static THINNED_INLINE Register high(Register a) { return _mm_srli_epi64(a, 32); }
    static THINNED_INLINE Register exclusive_or(Register a, Register b) { return _mm_xor_si128(a, b); }
    static THINNED_INLINE Register order() { return _mm_set_epi64x(1, 0); }
    static THINNED_INLINE Register last(Register product, Register odd, Register key) {
        const Register low = _mm_set1_epi64x(0xffffffff);
        return _mm_or_si128(_mm_and_si128(exclusive_or(high(product), odd, key), low), _mm_slli_epi64(product, 32));
    }
    static THINNED_INLINE void interleave(Register a, Register b, Register& first, Register& second) {
        first = _mm_unpacklo_epi64(a, b);
        second = _mm_unpackhi_epi64(a, b);
    }
    static THINNED_INLINE void store(void* to, Register a) { _mm_storeu_si128(static_cast<Register*>(to), a); }
#elif defined(THINNED_NEON)
    using Register = uint64x2_t;
    static THINNED_INLINE Register broadcast(uint64_t x) { return vdupq_n_u64(x); }
    static THINNED_INLINE Register add(Register a, Register b) { return vaddq_u64(a, b); }
    static THINNED_INLINE Register multiply(Register a, Register b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
    static THINNED_INLINE Register high(Register a) { return vshrq_n_u64(a, 32); }
    static THINNED_INLINE Register exclusive_or(Register a, Register b) { return veorq_u64(a, b); }
    static THINNED_INLINE Register order() { return vcombine_u64(vcreate_u64(0), vcreate_u64(1)); }
    static THINNED_INLINE Register last(Register product, Register odd, Register key) {
        return vsliq_n_u64(exclusive_or(high(product), odd, key), product, 32);
    }
    static THINNED_INLINE void interleave(Register a, Register b, Register& first, Register& second) {
        first = vzip1q_u64(a, b);
        second = vzip2q_u64(a, b);
    }
    static THINNED_INLINE void store(void* to, Register a) { vst1q_u64(static_cast<uint64_t*>(to), a); }
#else
    struct Register {
        uint64_t lane[2];
    };
    static THINNED_INLINE Register broadcast(uint64_t x) { return {{x, x}}; }
    static THINNED_INLINE Register add(Register a, Register b) {
        return {{a.lane[0] + b.lane[0], a.lane[1] + b.lane[1]}};
    }
    static THINNED_INLINE Register multiply(Register a, Register b) {
        constexpr uint64_t LOW = 0xffffffff;
        return {{(a.lane[0] & LOW) * (b.lane[0] & LOW), (a.lane[1] & LOW) * (b.lane[1] & LOW)}};
    }
    static THINNED_INLINE Register high(Register a) { return {{a.lane[0] >> 32, a.lane[1] >> 32}}; }
    static THINNED_INLINE Register exclusive_or(Register a, Register b) {
        return {{a.lane[0] ^ b.lane[0], a.lane[1] ^ b.lane[1]}};
    }
    static THINNED_INLINE Register order() { return {{0, 1}}; }
    static THINNED_INLINE Register last(Register product, Register odd, Register key) {
        const Register word = exclusive_or(high(product), odd, key);
        return {
            {(word.lane[0] & 0xffffffff) | product.lane[0] << 32, (word.lane[1] & 0xffffffff) | product.lane[1] << 32}};
    }
    static THINNED_INLINE void interleave(Register a, Register b, Register& first, Register& second) {
        first = {{a.lane[0], b.lane[0]}};
        second = {{a.lane[1], b.lane[1]}};
    }
    static THINNED_INLINE void store(void* to, Register a) { std::memcpy(to, &a, sizeof a); }
#endif
    static THINNED_INLINE Register exclusive_or(Register a, Register b, Register c) {
        return exclusive_or(exclusive_or(a, b), c);
    }
    static THINNED_INLINE void fence() {}
};

}  // namespace
}  // namespace thinned
