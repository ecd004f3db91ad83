// AVX2, with F16C for halves: four 64-bit lanes.
#pragma once

#include <immintrin.h>

#include "element.hpp"

#define THINNED_FUSED

namespace thinned {
namespace {

struct Isa {
    using Register = __m256i;
    static constexpr int AHEAD = 4096;  // bytes that the fused loop prefetches ahead
    static constexpr int BLOCKS = 4;
    static constexpr int GROUPS = 4;

    static THINNED_INLINE Register broadcast(uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
    static THINNED_INLINE Register add(Register a, Register b) { return _mm256_add_epi64(a, b); }
    static THINNED_INLINE Register multiply(Register a, Register b) { return _mm256_mul_epu32(a, b); }
    static THINNED_INLINE Register high(Register a) { return _mm256_srli_epi64(a, 32); }
    static THINNED_INLINE Register exclusive_or(Register a, Register b) { return _mm256_xor_si256(a, b); }
    static THINNED_INLINE Register exclusive_or(Register a, Register b, Register c) {
        return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
    }
    static THINNED_INLINE Register order() { return _mm256_setr_epi64x(0, 2, 1, 3); }
    static THINNED_INLINE Register last(Register product, Register odd, Register key) {
        const Register word = exclusive_or(high(product), odd, key);
        return _mm256_blend_epi32(word, _mm256_slli_epi64(product, 32), 0xAA);
    }
    static THINNED_INLINE void interleave(Register a, Register b, Register& first, Register& second) {
        first = _mm256_unpacklo_epi64(a, b);
        second = _mm256_unpackhi_epi64(a, b);
    }
    static THINNED_INLINE void store(void* to, Register a) { _mm256_storeu_si256(static_cast<Register*>(to), a); }

    struct Select {
        __m256i threshold;
        __m256 scale;
        Select(uint32_t threshold_, float scale_)
            : threshold(_mm256_set1_epi16(static_cast<short>(threshold_))), scale(_mm256_set1_ps(scale_)) {}

        template <bool STREAM>
        THINNED_INLINE void operator()(Register lanes, const float* in, float* out) const {
            // There is no unsigned comparison: r >= t where max(r, t) = r.
            const __m256i kept = _mm256_cmpeq_epi16(_mm256_max_epu16(lanes, threshold), lanes);
            const __m256i low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(kept));
            const __m256i high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(kept, 1));
            const __m256 a = _mm256_and_ps(_mm256_castsi256_ps(low), _mm256_mul_ps(scale, _mm256_loadu_ps(in)));
            const __m256 b = _mm256_and_ps(_mm256_castsi256_ps(high), _mm256_mul_ps(scale, _mm256_loadu_ps(in + 8)));
            if (STREAM) {
                _mm256_stream_ps(out, a);
                _mm256_stream_ps(out + 8, b);
            } else {
                _mm256_storeu_ps(out, a);
                _mm256_storeu_ps(out + 8, b);
            }
        }

        template <bool STREAM>
        THINNED_INLINE void operator()(Register lanes, const BFloat16* in, BFloat16* out) const {
            const __m256i kept = _mm256_cmpeq_epi16(_mm256_max_epu16(lanes, threshold), lanes);
            const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
            const __m256i even = _mm256_srli_epi32(rounded(_mm256_slli_epi32(x, 16)), 16);
            const __m256i odd = rounded(_mm256_and_si256(x, _mm256_set1_epi32(-65536)));
            const __m256i y = _mm256_and_si256(kept, _mm256_blend_epi16(even, odd, 0xAA));
            if (STREAM)
                _mm256_stream_si256(reinterpret_cast<__m256i*>(out), y);
            else
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), y);
        }

        template <bool STREAM>
        THINNED_INLINE void operator()(Register lanes, const Float16* in, Float16* out) const {
            const __m256i kept = _mm256_cmpeq_epi16(_mm256_max_epu16(lanes, threshold), lanes);
            const __m128i* const from = reinterpret_cast<const __m128i*>(in);
            const __m256i y = _mm256_set_m128i(scaled(_mm_loadu_si128(from + 1)), scaled(_mm_loadu_si128(from)));
            const __m256i selected = _mm256_and_si256(kept, y);
            if (STREAM)
                _mm256_stream_si256(reinterpret_cast<__m256i*>(out), selected);
            else
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), selected);
        }

    private:
        THINNED_INLINE __m128i scaled(__m128i x) const {
            return _mm256_cvtps_ph(_mm256_mul_ps(_mm256_cvtph_ps(x), scale), _MM_FROUND_TO_NEAREST_INT);
        }

        THINNED_INLINE __m256i rounded(__m256i x) const {
            const __m256i y = _mm256_castps_si256(_mm256_mul_ps(_mm256_castsi256_ps(x), scale));
            const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(y, 16), _mm256_set1_epi32(1));
            return _mm256_add_epi32(_mm256_add_epi32(y, _mm256_set1_epi32(0x7fff)), odd);
        }
    };
    static THINNED_INLINE void fence() { _mm_sfence(); }
};

}  // namespace
}  // namespace thinned
