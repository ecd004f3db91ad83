// Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011), one block at a time and many.
//
// Every header of the kernel is compiled once for each instruction set. All that they define has internal linkage, so
// that the linker can't hand one set's machine code to another.
#pragma once

#include <cstdint>

#if defined(_MSC_VER)
#define THINNED_INLINE __forceinline
#define THINNED_INLINE_LAMBDA
#else
#define THINNED_INLINE inline __attribute__((always_inline))
#define THINNED_INLINE_LAMBDA __attribute__((always_inline))
#endif

namespace thinned {
namespace {

constexpr int ROUNDS = 10;
constexpr uint32_t MULTIPLIER[2] = {0xD2511F53, 0xCD9E8D57};
constexpr uint32_t WEYL[2] = {0x9E3779B9, 0xBB67AE85};
constexpr uint32_t BERNOULLI_DOMAIN = 0;  // the counter's last word: the blocks that decide what is kept

// The key of every round, widened: a vector takes each by one broadcast from memory.
struct Schedule {
    uint64_t word[2][ROUNDS];

    explicit Schedule(uint64_t key) {
        for (int w = 0; w < 2; ++w)
            for (int r = 0; r < ROUNDS; ++r)
                word[w][r] = static_cast<uint32_t>((key >> 32 * w) + static_cast<uint64_t>(r) * WEYL[w]);
    }
};

struct Block {
    uint32_t word[4];
};

THINNED_INLINE Block philox(const Schedule& key, const uint32_t (&counter)[4]) {
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    for (int r = 0; r < ROUNDS; ++r) {
        const uint64_t a = static_cast<uint64_t>(MULTIPLIER[0]) * x0;
        const uint64_t b = static_cast<uint64_t>(MULTIPLIER[1]) * x2;
        x0 = static_cast<uint32_t>(b >> 32) ^ x1 ^ static_cast<uint32_t>(key.word[0][r]);
        x1 = static_cast<uint32_t>(b);
        x2 = static_cast<uint32_t>(a >> 32) ^ x3 ^ static_cast<uint32_t>(key.word[1][r]);
        x3 = static_cast<uint32_t>(a);
    }
    return {{x0, x1, x2, x3}};
}

THINNED_INLINE Block philox(const Schedule& key, uint64_t block) {
    return philox(key, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, BERNOULLI_DOMAIN});
}

// GROUPS * Isa::BLOCKS consecutive blocks, their words in natural order, in 2 * GROUPS registers.
//
// A register holds one word of Isa::BLOCKS blocks in the low halves of its 64-bit lanes. The high halves are never
// cleaned: a product reads low halves only. Several groups run side by side to hide the multiplier's latency.
//
// The low word of the block number must not wrap within the call. Then word 1 of the counter, and words 2 and 3, are
// the same in all lanes, and what depends on them alone is done once: half of the first three rounds.
template <class Isa, int GROUPS>
THINNED_INLINE void philox_many(const Schedule& key, uint64_t block, typename Isa::Register (&out)[2 * GROUPS]) {
    using V = typename Isa::Register;
    const V m0 = Isa::broadcast(MULTIPLIER[0]), m1 = Isa::broadcast(MULTIPLIER[1]);
    V x0[GROUPS], x1[GROUPS], x2[GROUPS], x3[GROUPS];

    // Round 1 multiplies consecutive numbers by one constant, so every product is the one before plus a constant.
    const uint64_t first = static_cast<uint64_t>(MULTIPLIER[0]) * static_cast<uint32_t>(block);
    const V product = Isa::add(Isa::broadcast(first), Isa::multiply(Isa::order(), m0));
    // Word 0 after round 1 and its product in round 2 are one number.
    const uint32_t same = static_cast<uint32_t>(block >> 32) ^ static_cast<uint32_t>(key.word[0][0]);
    const uint64_t same_product = static_cast<uint64_t>(MULTIPLIER[0]) * same;
    const V round1 = Isa::broadcast(key.word[1][0] ^ BERNOULLI_DOMAIN);
    const V round2 = Isa::broadcast((same_product >> 32) ^ key.word[1][1]);
    const V round3 = Isa::broadcast(static_cast<uint32_t>(same_product) ^ key.word[1][2]);
    for (int g = 0; g < GROUPS; ++g) {
        const uint64_t step = static_cast<uint64_t>(MULTIPLIER[0]) * static_cast<uint64_t>(Isa::BLOCKS * g);
        const V a = g ? Isa::add(product, Isa::broadcast(step)) : product;
        const V b = Isa::multiply(Isa::exclusive_or(Isa::high(a), round1), m1);
        x0[g] = Isa::exclusive_or(Isa::high(b), Isa::broadcast(key.word[0][1]));
        x1[g] = b;
        x2[g] = Isa::exclusive_or(a, round2);
    }
    for (int g = 0; g < GROUPS; ++g) {
        const V a = Isa::multiply(x0[g], m0), b = Isa::multiply(x2[g], m1);
        x0[g] = Isa::exclusive_or(Isa::high(b), x1[g], Isa::broadcast(key.word[0][2]));
        x1[g] = b;
        x2[g] = Isa::exclusive_or(Isa::high(a), round3);
        x3[g] = a;
    }
    for (int r = 3; r < ROUNDS - 1; ++r) {
        const V k0 = Isa::broadcast(key.word[0][r]), k1 = Isa::broadcast(key.word[1][r]);
        for (int g = 0; g < GROUPS; ++g) {
            const V a = Isa::multiply(x0[g], m0), b = Isa::multiply(x2[g], m1);
            x0[g] = Isa::exclusive_or(Isa::high(b), x1[g], k0);
            x1[g] = b;
            x2[g] = Isa::exclusive_or(Isa::high(a), x3[g], k1);
            x3[g] = a;
        }
    }
    const V k0 = Isa::broadcast(key.word[0][ROUNDS - 1]), k1 = Isa::broadcast(key.word[1][ROUNDS - 1]);
    for (int g = 0; g < GROUPS; ++g) {
        const V a = Isa::multiply(x0[g], m0), b = Isa::multiply(x2[g], m1);
        Isa::interleave(Isa::last(b, x1[g], k0), Isa::last(a, x3[g], k1), out[2 * g], out[2 * g + 1]);
    }
}

}  // namespace
}  // namespace thinned
