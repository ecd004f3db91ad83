// One piece of work: which elements, which positions, which law. Knows pointers and strides, no framework.
#pragma once

#include <cstdint>

namespace thinned {

constexpr int MAX_RANK = 65;        // torch and NumPy have 64 axes; one more for a tile
constexpr uint32_t LEVELS = 65536;  // 16-bit decisions

// Below this many elements a thread, waking it costs more than it saves.
constexpr int64_t GRAIN = 32768;
constexpr int64_t ALIGNMENT = 1024;  // elements: threads meet at cache lines and at blocks' starts

enum class Form {
    drop,  // out = kept ? scale * in + shift : fill
    add,   // out = residual + (kept ? scale * in + shift : fill), the second term rounded first
};

enum class Type { float32, float64, bfloat16, float16 };
constexpr int64_t ITEM_SIZE[] = {4, 8, 2, 2};  // bytes, by Type

// One axis; strides in elements, and in positions (modulo 2**64) for the noise.
struct Axis {
    int64_t size;
    int64_t out, in, residual;
    uint64_t noise;
};

// How the innermost axis meets the noise.
enum class Pattern {
    run,       // consecutive positions, contiguous memory
    constant,  // one draw, contiguous memory
    scatter,   // anything else
};

struct Job {
    Form form;
    Type type;
    void* out;
    const void* in;
    const void* residual;
    int rank;
    Axis axis[MAX_RANK];  // outermost first
    uint64_t base, key;
    uint32_t threshold;  // dropped iff the lane is below it; LEVELS drops all
    double scale, shift, fill;
    Pattern pattern;
    bool stream;  // write around the caches

    int64_t count() const {
        int64_t total = 1;
        for (int d = 0; d < rank; ++d) total *= axis[d].size;
        return total;
    }
};

// Write around the caches what can't stay in them.
inline void stream_if_large(Job& job) {
    constexpr int64_t BYTES = 32 << 20;
    job.stream = job.out != job.in && job.count() * ITEM_SIZE[static_cast<int>(job.type)] >= BYTES;
}

// Put the axes in the best order, merge those that are one, and find the pattern. Changes no position.
void arrange(Job& job);

// Do elements [begin, end) of an arranged job, counted in the order of its axes.
using Kernel = void (*)(const Job& job, int64_t begin, int64_t end);

void kernel_portable(const Job& job, int64_t begin, int64_t end);
#if defined(THINNED_X86)
void kernel_avx512(const Job& job, int64_t begin, int64_t end);
void kernel_avx2(const Job& job, int64_t begin, int64_t end);
#endif

struct InstructionSet {
    const char* name;
    Kernel kernel;
};

// Those of this build, fastest first.
constexpr InstructionSet INSTRUCTION_SETS[] = {
#if defined(THINNED_X86)
    {"avx512", kernel_avx512},
    {"avx2", kernel_avx2},
#endif
    {"portable", kernel_portable},
};
constexpr int SETS = sizeof INSTRUCTION_SETS / sizeof INSTRUCTION_SETS[0];

// Whether this machine has an instruction set of this build.
bool supported(const char* name);

// Split an arranged job over threads; `threads` is an upper limit. Returns how many were used.
int run(const Job& job, Kernel kernel, int threads);

// Whose threads `run` uses: "openmp" (the process's own pool) or "none".
const char* pool();

// The contract's fold_in: words 0 and 1 of a block with a constant of its own.
uint64_t fold_in(uint64_t key, uint64_t number);

}  // namespace thinned
