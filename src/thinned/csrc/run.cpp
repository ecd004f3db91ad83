// Which instruction set, whose threads.
#include "job.hpp"

#include <cstdint>
#include <cstring>
#include <mutex>

#if defined(__linux__)
#include <dlfcn.h>
#include <link.h>
#endif

#include "philox.hpp"

namespace thinned {

namespace {

// OpenMP's entry point, as gcc's, clang's and Intel's runtimes all export it.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
using Number = int (*)();

struct OpenMP {
    Parallel parallel = nullptr;
    Number thread_number = nullptr, team_size = nullptr;

    explicit operator bool() const { return parallel && thread_number && team_size; }
};

#if defined(__linux__)
bool starts(const char* text, const char* with) { return std::strncmp(text, with, std::strlen(with)) == 0; }

// A second pool beside torch's would fight it for the cores, so the runtime already in the process is used: found by
// name among the loaded libraries, because Python loads them with private symbols, and wheels rename them.
OpenMP find() {
    OpenMP found;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* data) {
            const char* slash = std::strrchr(info->dlpi_name, '/');
            const char* name = slash ? slash + 1 : info->dlpi_name;
            if (!starts(name, "libgomp") && !starts(name, "libiomp") && !starts(name, "libomp")) return 0;
            void* library = dlopen(info->dlpi_name, RTLD_NOW | RTLD_NOLOAD);
            if (!library) return 0;
            OpenMP& openmp = *static_cast<OpenMP*>(data);
            openmp.parallel = reinterpret_cast<Parallel>(dlsym(library, "GOMP_parallel"));
            openmp.thread_number = reinterpret_cast<Number>(dlsym(library, "omp_get_thread_num"));
            openmp.team_size = reinterpret_cast<Number>(dlsym(library, "omp_get_num_threads"));
            return openmp ? 1 : 0;
        },
        &found);
    return found ? found : OpenMP();
}
#else
OpenMP find() { return OpenMP(); }
#endif

// Looked for again until found: torch may be imported after us.
OpenMP openmp() {
    static std::mutex one_at_a_time;
    static OpenMP found;
    const std::lock_guard<std::mutex> guard(one_at_a_time);
    if (!found) found = find();
    return found;
}

struct Team {
    const Job* job;
    Kernel kernel;
    OpenMP openmp;
    int64_t count, part;
    int size;
};

// The team may be smaller than was asked for (OMP_THREAD_LIMIT, OMP_DYNAMIC, a parallel region around us): then its
// threads do several parts.
void work(void* data) {
    Team& team = *static_cast<Team*>(data);
    const int size = team.openmp.team_size(), number = team.openmp.thread_number();
    if (!number) team.size = size;
    for (int64_t begin = number * team.part; begin < team.count; begin += size * team.part)
        team.kernel(*team.job, begin, begin + team.part < team.count ? begin + team.part : team.count);
}

}  // namespace

bool supported(const char* name) {
#if defined(THINNED_X86)
    if (!std::strcmp(name, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (!std::strcmp(name, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
#endif
    return !std::strcmp(name, "portable");
}

const char* pool() { return openmp() ? "openmp" : "none"; }

int run(const Job& job, Kernel kernel, int threads) {
    const int64_t count = job.count();
    const int64_t useful = count / GRAIN;
    if (threads > useful) threads = static_cast<int>(useful);
    const OpenMP team_of = threads > 1 ? openmp() : OpenMP();
    if (!team_of) {
        if (count) kernel(job, 0, count);
        return 1;
    }
    const int64_t part = (count / threads / ALIGNMENT + 1) * ALIGNMENT;
    Team team = {&job, kernel, team_of, count, part, 1};
    team_of.parallel(work, &team, static_cast<unsigned>(threads), 0);
    return team.size;
}

uint64_t fold_in(uint64_t key, uint64_t number) {
    const Block block =
        philox(Schedule(key), {static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32), 0, 0x464F4C44});
    return block.word[0] | static_cast<uint64_t>(block.word[1]) << 32;
}

}  // namespace thinned
