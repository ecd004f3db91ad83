// AVX-512 (F, BW, VL, DQ): eight 64-bit lanes, three-way exclusive or, comparison into mask registers.
#pragma once

#include <immintrin.h>

#include "element.hpp"

#define THINNED_FUSED

namespace thinned {
namespace {

struct Isa {
    using Register = __m512i;
    static constexpr int AHEAD = 4096;  // bytes that the fused loop prefetches ahead
    static constexpr int BLOCKS = 8;
    static constexpr int GROUPS = 6;

    static THINNED_INLINE Register broadcast(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
    static THINNED_INLINE Register add(Register a, Register b) { return _mm512_add_epi64(a, b); }
    static THINNED_INLINE Register multiply(Register a, Register b) { return _mm512_mul_epu32(a, b); }
    static THINNED_INLINE Register high(Register a) { return _mm512_srli_epi64(a, 32); }
    static THINNED_INLINE Register exclusive_or(Register a, Register b) { return _mm512_xor_si512(a, b); }
    static THINNED_INLINE Register exclusive_or(Register a, Register b, Register c) {
        return _mm512_ternarylogic_epi64(a, b, c, 0x96);
    }
    // Which block each lane holds, so that `interleave` leaves natural order.
    static THINNED_INLINE Register order() { return _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7); }
    // The last round's pair of words: (high(product) ^ odd ^ key, low(product)) in the (low, high) half.
    static THINNED_INLINE Register last(Register product, Register odd, Register key) {
        return _mm512_mask_ternarylogic_epi32(_mm512_rol_epi64(product, 32), 0x5555, odd, key, 0x96);
    }
    static THINNED_INLINE void interleave(Register a, Register b, Register& first, Register& second) {
        first = _mm512_unpacklo_epi64(a, b);
        second = _mm512_unpackhi_epi64(a, b);
    }
    static THINNED_INLINE void store(void* to, Register a) { _mm512_storeu_si512(to, a); }

    // x * scale where the lane is at or above the threshold, else 0, for the 32 elements of one register of lanes.
    struct Select {
        __m512i threshold;
        __m512 scale;
        Select(uint32_t threshold_, float scale_)
            : threshold(_mm512_set1_epi16(static_cast<short>(threshold_))), scale(_mm512_set1_ps(scale_)) {}

        template <bool STREAM>
        THINNED_INLINE void operator()(Register lanes, const float* in, float* out) const {
            const __mmask32 kept = _mm512_cmpge_epu16_mask(lanes, threshold);
            const __m512 a = _mm512_maskz_mul_ps(static_cast<__mmask16>(kept), scale, _mm512_loadu_ps(in));
            const __mmask16 upper = static_cast<__mmask16>(_kshiftri_mask32(kept, 16));
            const __m512 b = _mm512_maskz_mul_ps(upper, scale, _mm512_loadu_ps(in + 16));
            if (STREAM) {
                _mm512_stream_ps(out, a);
                _mm512_stream_ps(out + 16, b);
            } else {
                _mm512_storeu_ps(out, a);
                _mm512_storeu_ps(out + 16, b);
            }
        }

        // Even elements are shifted up into floats, odd ones already are the upper halves of theirs. A nan's low half
        // is 0, so rounding can't carry it away.
        template <bool STREAM>
        THINNED_INLINE void operator()(Register lanes, const BFloat16* in, BFloat16* out) const {
            const __mmask32 kept = _mm512_cmpge_epu16_mask(lanes, threshold);
            const __m512i x = _mm512_loadu_si512(in);
            const __m512i even = rounded(_mm512_slli_epi32(x, 16));
            const __m512i odd = rounded(_mm512_maskz_mov_epi16(0xAAAAAAAA, x));
            const __m512i y = _mm512_mask_mov_epi16(_mm512_srli_epi32(even, 16), 0xAAAAAAAA, odd);
            const __m512i selected = _mm512_maskz_mov_epi16(kept, y);
            if (STREAM)
                _mm512_stream_si512(reinterpret_cast<__m512i*>(out), selected);
            else
                _mm512_storeu_si512(out, selected);
        }

        template <bool STREAM>
        THINNED_INLINE void operator()(Register lanes, const Float16* in, Float16* out) const {
            const __mmask32 kept = _mm512_cmpge_epu16_mask(lanes, threshold);
            const __m512i x = _mm512_loadu_si512(in);
            const __m256i low = scaled(_mm512_castsi512_si256(x)), high = scaled(_mm512_extracti64x4_epi64(x, 1));
            const __m512i y = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
            const __m512i selected = _mm512_maskz_mov_epi16(kept, y);
            if (STREAM)
                _mm512_stream_si512(reinterpret_cast<__m512i*>(out), selected);
            else
                _mm512_storeu_si512(out, selected);
        }

    private:
        THINNED_INLINE __m256i scaled(__m256i x) const {
            return _mm512_cvtps_ph(_mm512_mul_ps(_mm512_cvtph_ps(x), scale), _MM_FROUND_TO_NEAREST_INT);
        }

        THINNED_INLINE __m512i rounded(__m512i x) const {
            const __m512i y = _mm512_castps_si512(_mm512_mul_ps(_mm512_castsi512_ps(x), scale));
            const __mmask16 odd = _mm512_test_epi32_mask(y, _mm512_set1_epi32(0x10000));
            const __m512i up = _mm512_add_epi32(y, _mm512_set1_epi32(0x7fff));
            return _mm512_mask_sub_epi32(up, odd, up, _mm512_set1_epi32(-1));
        }
    };
    static THINNED_INLINE void fence() { _mm_sfence(); }
};

}  // namespace
}  // namespace thinned
