// The element types: how each is read into the type that is computed in, and rounded back once.
#pragma once

#include <cstdint>
#include <cstring>

#include "philox.hpp"

namespace thinned {
namespace {

template <class To, class From>
THINNED_INLINE To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "a reinterpretation keeps the size");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

struct BFloat16 {
    uint16_t word;
};

struct Float16 {
    uint16_t word;
};

template <class T>
struct Wide {
    using type = float;
};

template <>
struct Wide<double> {
    using type = double;
};

THINNED_INLINE double widen(double x) { return x; }
THINNED_INLINE float widen(float x) { return x; }
THINNED_INLINE float widen(BFloat16 x) { return bits<float>(static_cast<uint32_t>(x.word) << 16); }

// A half's exponent is moved up by a multiplication, exact for subnormals too; infinities and nans are moved by hand.
THINNED_INLINE float widen(Float16 x) {
    const uint32_t magnitude = static_cast<uint32_t>(x.word & 0x7fffu) << 13;
    const uint32_t finite = bits<uint32_t>(bits<float>(magnitude) * 0x1p112f);
    const uint32_t value = magnitude >= (0x7c00u << 13) ? magnitude | 0x7f800000u : finite;
    return bits<float>(value | static_cast<uint32_t>(x.word & 0x8000u) << 16);
}

template <class T>
THINNED_INLINE T narrow(typename Wide<T>::type x) {
    return x;
}

// Round to nearest, ties to even, in integers: a conversion instruction would flush subnormals.
template <>
THINNED_INLINE BFloat16 narrow<BFloat16>(float x) {
    const uint32_t word = bits<uint32_t>(x);
    const uint32_t rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
    const bool nan = (word & 0x7fffffffu) > 0x7f800000u;
    return {static_cast<uint16_t>(nan ? word >> 16 | 0x40u : rounded)};
}

template <>
THINNED_INLINE Float16 narrow<Float16>(float x) {
    const uint32_t word = bits<uint32_t>(x), magnitude = word & 0x7fffffffu;
    // Normal halves: rebias, then round as above. From 65520 on the sum carries into infinity by itself.
    const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    // Subnormal halves are multiples of 2**-24: adding 0.5 puts that at float's last bit, rounded by the addition.
    const uint32_t subnormal = bits<uint32_t>(bits<float>(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t finite = magnitude < (113u << 23) ? subnormal : normal;
    const uint32_t big = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x3ffu) : 0x7c00u;
    const uint32_t value = magnitude >= (143u << 23) ? big : finite;
    return {static_cast<uint16_t>(value | (word >> 16 & 0x8000u))};
}

// Without a branch, so that a loop over it is vectorised.
template <class T>
THINNED_INLINE T choose(bool first, T a, T b) {
    return first ? a : b;
}

template <>
THINNED_INLINE BFloat16 choose(bool first, BFloat16 a, BFloat16 b) {
    return {first ? a.word : b.word};
}

template <>
THINNED_INLINE Float16 choose(bool first, Float16 a, Float16 b) {
    return {first ? a.word : b.word};
}

}  // namespace
}  // namespace thinned
