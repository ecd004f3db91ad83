// The order of axes: memory order where the innermost run is contiguous, else the order of positions.
#include <cstdlib>

#include "job.hpp"

namespace thinned {
namespace {

// Longest stretch of an axis that `scatter` walks before it goes on to the next axis: it keeps the touched lines
// cached.
constexpr int64_t TILE = 128;

template <class Before>
void sort(Job& job, Before before) {
    for (int i = 1; i < job.rank; ++i) {
        const Axis axis = job.axis[i];
        int j = i;
        for (; j > 0 && before(axis, job.axis[j - 1]); --j) job.axis[j] = job.axis[j - 1];
        job.axis[j] = axis;
    }
}

void drop_single(Job& job) {
    int rank = 0;
    for (int d = 0; d < job.rank; ++d)
        if (job.axis[d].size != 1) job.axis[rank++] = job.axis[d];
    job.rank = rank;
}

void merge(Job& job) {
    if (!job.rank) return;
    int last = 0;
    for (int d = 1; d < job.rank; ++d) {
        Axis& a = job.axis[last];
        const Axis& b = job.axis[d];
        const bool one = a.out == b.out * b.size && a.in == b.in * b.size && a.residual == b.residual * b.size &&
                         a.noise == b.noise * static_cast<uint64_t>(b.size);
        if (one)
            a = {a.size * b.size, b.out, b.in, b.residual, b.noise};
        else
            job.axis[++last] = b;
    }
    job.rank = last + 1;
}

bool contiguous(const Job& job) {
    const Axis& a = job.axis[job.rank - 1];
    return a.out == 1 && a.in == 1 && (a.residual == 1 || !job.residual);
}

// Split the innermost axis in two and take the outer part out of the way of the axis that memory runs along.
void tile(Job& job) {
    if (job.rank < 2 || job.rank == MAX_RANK || !job.count()) return;
    Axis& inner = job.axis[job.rank - 1];
    int64_t part = TILE < inner.size ? TILE : inner.size;
    while (inner.size % part) --part;
    if (part == inner.size || part < 16) return;
    const Axis outer = {inner.size / part, inner.out * part, inner.in * part, inner.residual * part,
                        inner.noise * static_cast<uint64_t>(part)};
    inner.size = part;
    job.axis[job.rank] = inner;
    job.axis[job.rank - 1] = job.axis[job.rank - 2];
    job.axis[job.rank - 2] = outer;
    ++job.rank;
}

}  // namespace

void arrange(Job& job) {
    drop_single(job);
    if (!job.rank) job.axis[job.rank++] = {1, 1, 1, 1, 0};
    // Broadcast axes of `in` have stride 0: the output's memory order decides.
    sort(job, [](const Axis& a, const Axis& b) { return std::llabs(a.out) > std::llabs(b.out); });
    merge(job);
    const uint64_t step = job.axis[job.rank - 1].noise;
    if (contiguous(job) && step <= 1) {
        job.pattern = step ? Pattern::run : Pattern::constant;
        return;
    }
    job.pattern = Pattern::scatter;
    // Shared axes outermost: then the positions of the others run on.
    sort(job, [](const Axis& a, const Axis& b) { return (a.noise ? a.noise : ~0ull) > (b.noise ? b.noise : ~0ull); });
    merge(job);
    tile(job);
}

}  // namespace thinned
