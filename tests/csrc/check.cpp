// Random jobs on every instruction set against one element at a time, in memory that is exactly as long as the job
// needs: for AddressSanitizer and UndefinedBehaviorSanitizer, which look over its shoulder.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "element.hpp"
#include "job.hpp"
#include "philox.hpp"

namespace {

using namespace thinned;

std::mt19937_64 draw(1);  // NOLINT: the same jobs every time

int64_t below(int64_t limit) { return static_cast<int64_t>(draw() % static_cast<uint64_t>(limit)); }

uint32_t lane(const Schedule& key, uint64_t position) {
    const Block block = philox(key, position / 8);
    const uint64_t number = position % 8;
    return block.word[number / 2] >> 16 * (number % 2) & 0xffff;
}

template <class T>
void element(const Job& job, const Schedule& key, int64_t out, int64_t in, int64_t residual, uint64_t position) {
    using Number = typename Wide<T>::type;
    const Number x = widen(static_cast<const T*>(job.in)[in]) * static_cast<Number>(job.scale);
    const bool kept = lane(key, position) >= job.threshold;
    const T y = narrow<T>(kept ? x + static_cast<Number>(job.shift) : static_cast<Number>(job.fill));
    static_cast<T*>(job.out)[out] =
        job.form == Form::add ? narrow<T>(widen(static_cast<const T*>(job.residual)[residual]) + widen(y)) : y;
}

template <class T>
void slowly(const Job& job, const Schedule& key, int depth, int64_t out, int64_t in, int64_t residual,
            uint64_t position) {
    if (depth == job.rank) return element<T>(job, key, out, in, residual, position);
    const Axis& axis = job.axis[depth];
    for (int64_t i = 0; i < axis.size; ++i)
        slowly<T>(job, key, depth + 1, out + i * axis.out, in + i * axis.in, residual + i * axis.residual,
                  position + static_cast<uint64_t>(i) * axis.noise);
}

// Memory of exactly `count` numbers. None is 0, which would look the same kept and dropped.
template <class T>
std::vector<unsigned char> numbers(int64_t count) {
    std::vector<unsigned char> memory(static_cast<size_t>(count) * sizeof(T));
    for (size_t at = 0; at < memory.size(); at += sizeof(T)) {
        const T x = narrow<T>(static_cast<typename Wide<T>::type>(below(1000)) - 500.5F);
        std::memcpy(&memory[at], &x, sizeof x);
    }
    return memory;
}

// Strides of a random order of axes, perhaps with gaps; returns how many elements they span.
int64_t lay_out(Job& job, int64_t Axis::* stride, bool gaps) {
    int order[MAX_RANK];
    for (int d = 0; d < job.rank; ++d) order[d] = d;
    for (int d = job.rank - 1; d > 0 && below(3) == 0; --d) std::swap(order[d], order[below(d + 1)]);
    int64_t step = gaps && below(4) == 0 ? 2 : 1, span = 1;
    for (int k = job.rank - 1; k >= 0; --k) {
        Axis& axis = job.axis[order[k]];
        axis.*stride = step;
        span += (axis.size - 1) * step;
        step *= axis.size + (gaps && below(4) == 0 ? 1 : 0);
    }
    return span;
}

template <class T>
bool trial(const InstructionSet& set, Type type) {
    Job job;
    job.form = static_cast<Form>(below(2));
    job.type = type;
    job.rank = static_cast<int>(below(5));
    int64_t room = 6000;
    for (int d = 0; d < job.rank; ++d) {
        job.axis[d].size = 1 + below(below(3) ? 9 : (room < 2000 ? room : 2000));
        room = room / job.axis[d].size + 1;
    }
    const std::vector<unsigned char> in = numbers<T>(lay_out(job, &Axis::in, true));
    const std::vector<unsigned char> residual = numbers<T>(lay_out(job, &Axis::residual, true));
    const size_t span = static_cast<size_t>(lay_out(job, &Axis::out, true)) * sizeof(T);
    uint64_t step = 1;
    for (int d = job.rank - 1; d >= 0; --d) {
        const bool shared = below(4) == 0;
        job.axis[d].noise = shared ? 0 : step;
        if (!shared) step *= static_cast<uint64_t>(job.axis[d].size + (below(5) ? 0 : 3));
    }
    constexpr uint64_t BASES[] = {0, 1, 12, (1ull << 32) - 9, (1ull << 35) - 100, (1ull << 34) - 77, 0ull - 20};
    job.base = BASES[below(7)];
    job.key = draw();
    constexpr uint32_t THRESHOLDS[] = {0, 1, 6554, 32768, 65535, 65536};
    job.threshold = THRESHOLDS[below(6)];
    const bool affine = below(3) == 0;
    job.scale = 1.25, job.shift = affine ? 0.5 : 0, job.fill = affine ? -2 : 0;
    job.in = in.data();
    job.residual = job.form == Form::add ? residual.data() : nullptr;
    job.stream = below(4) == 0;

    // new unsigned char[span] is aligned for SIMD at most by luck; the sanitizers see every byte past it.
    std::vector<unsigned char> expected(span), got(span);
    job.out = expected.data();
    slowly<T>(job, Schedule(job.key), 0, 0, 0, 0, job.base);
    job.out = got.data();
    arrange(job);
    const int64_t count = job.count(), cut = below(count + 1);
    if (cut) set.kernel(job, 0, cut);
    if (cut < count) set.kernel(job, cut, count);
    if (expected == got) return true;
    std::printf("form %d type %d base %llu threshold %u pattern %d cut %lld:", static_cast<int>(job.form),
                static_cast<int>(job.type), static_cast<unsigned long long>(job.base), job.threshold,
                static_cast<int>(job.pattern), static_cast<long long>(cut));
    for (int d = 0; d < job.rank; ++d)
        std::printf(" [%lld out %lld in %lld residual %lld noise %llu]", static_cast<long long>(job.axis[d].size),
                    static_cast<long long>(job.axis[d].out), static_cast<long long>(job.axis[d].in),
                    static_cast<long long>(job.axis[d].residual), static_cast<unsigned long long>(job.axis[d].noise));
    std::printf("\n");
    return false;
}

bool trial(const InstructionSet& set) {
    switch (below(4)) {
        case 0: return trial<float>(set, Type::float32);
        case 1: return trial<double>(set, Type::float64);
        case 2: return trial<BFloat16>(set, Type::bfloat16);
        default: return trial<Float16>(set, Type::float16);
    }
}

}  // namespace

// check [jobs]
int main(int count, char** arguments) {
    const long jobs = count > 1 ? std::strtol(arguments[1], nullptr, 10) : 4000;
    for (const InstructionSet& set : INSTRUCTION_SETS) {
        if (!supported(set.name)) {
            std::printf("%s: not on this machine\n", set.name);
            continue;
        }
        for (long i = 0; i < jobs; ++i) {
            if (trial(set)) continue;
            std::printf("%s: trial %ld differs\n", set.name, i);
            return 1;
        }
        std::printf("%s: %ld jobs agree\n", set.name, jobs);
    }
    return 0;
}
