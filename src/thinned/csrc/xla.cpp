// The kernel as a custom call of XLA, for JAX on the CPU: XLA's buffers, XLA's threads.
//
// Arguments: x; the key and the base as two words each, the high one first; the threshold; scale, shift and fill.
// Attributes: `batch`, how many leading axes have a key each, and `strides`, the noise's, of the other axes. An operand
// whose batch axis has size 1 is shared along it. The result is laid out as x, row-major.
#include "xla.hpp"

#include <atomic>
#include <memory>
#include <thread>

#include "job.hpp"

namespace thinned::xla {
namespace {

Kernel chosen = kernel_portable;  // set before XLA knows of the call

Error* refuse(const CallFrame* frame, const char* message) {
    ErrorArguments arguments = {sizeof arguments, nullptr, message, INVALID_ARGUMENT};
    return frame->api->error_create(&arguments);
}

// One job in parts. Whoever is free takes the next one, the caller too: so nobody waits for a thread that never comes.
// A task that comes too late finds no part, and this still there.
struct Parts {
    Job job;
    Kernel kernel;
    int64_t count, part, parts;
    std::atomic<int64_t> next{0}, done{0};

    void work() {
        for (int64_t number; (number = next.fetch_add(1)) < parts;) {
            const int64_t begin = number * part, end = begin + part;
            kernel(job, begin, end < count ? end : count);
            done.fetch_add(1, std::memory_order_release);
        }
    }
};

void task(void* data) {
    const std::unique_ptr<std::shared_ptr<Parts>> held(static_cast<std::shared_ptr<Parts>*>(data));
    (*held)->work();
}

int64_t threads(const CallFrame* frame) {
    const Version& version = frame->api->api_version;
    if (version.major != MAJOR || version.minor < MINOR) return 1;
    int64_t count = 1;
    NumThreads arguments = {sizeof arguments, nullptr, frame->context, &count};
    return frame->api->num_threads(&arguments) ? 1 : count;
}

void spread(const CallFrame* frame, const Job& job, Kernel kernel) {
    const int64_t count = job.count();
    if (!count) return;
    const int64_t wanted = count < 2 * GRAIN ? 1 : threads(frame);
    const int64_t useful = wanted < count / GRAIN ? wanted : count / GRAIN;
    if (useful < 2) return kernel(job, 0, count);
    const auto parts = std::make_shared<Parts>();
    parts->job = job;
    parts->kernel = kernel;
    parts->count = count;
    // Two parts a thread: one that starts late takes less.
    parts->part = (count / (2 * useful) / ALIGNMENT + 1) * ALIGNMENT;
    parts->parts = (count + parts->part - 1) / parts->part;
    for (int64_t other = 1; other < useful; ++other) {
        auto held = std::make_unique<std::shared_ptr<Parts>>(parts);
        Schedule arguments = {sizeof arguments, nullptr, frame->context, task, held.release()};
        if (frame->api->schedule(&arguments)) {  // no pool: the caller does all parts
            held.reset(static_cast<std::shared_ptr<Parts>*>(arguments.data));
            break;
        }
    }
    parts->work();
    while (parts->done.load(std::memory_order_acquire) < parts->parts) std::this_thread::yield();
}

uint64_t pair(const uint32_t* words) { return static_cast<uint64_t>(words[0]) << 32 | words[1]; }

// The place of batch element `index` (row-major over the batch axes of x) in an operand, in rows of its last axis.
int64_t row(const Buffer& x, const Buffer& operand, int64_t batch, int64_t index) {
    int64_t at = 0, unit = 1;
    for (int64_t d = batch - 1; d >= 0; --d) {
        const int64_t size = operand.dims[d];
        if (size != 1) at += unit * (index % x.dims[d]);
        unit *= size;
        index /= x.dims[d];
    }
    return at;
}

}  // namespace

void use(Kernel kernel) { chosen = kernel; }

extern "C" Error* drop(const CallFrame* frame) {
    for (Extension* extension = frame->extension_start; extension; extension = extension->next)
        if (extension->type == 1) {
            // Only what every version has is used, the threads apart: so the runtime's own version is the answer.
            Metadata* const metadata = reinterpret_cast<MetadataExtension*>(extension)->metadata;
            const bool known = frame->api && frame->api->api_version.major == MAJOR;
            metadata->api_version.major = MAJOR;
            metadata->api_version.minor = known ? frame->api->api_version.minor : MINOR;
            return nullptr;
        }
    if (frame->arguments.size != 5 || frame->results.size != 1 || frame->attributes.size != 2)
        return refuse(frame, "thinned_drop takes 5 arguments, 2 attributes, and gives 1 result.");
    Buffer* const* const given = frame->arguments.buffers;
    const Buffer &x = *given[0], &key = *given[1], &base = *given[2], &threshold = *given[3], &law = *given[4];
    const int64_t batch = *static_cast<int64_t*>(static_cast<Scalar*>(frame->attributes.values[0])->value);
    const Array& strides = *static_cast<Array*>(frame->attributes.values[1]);
    const int64_t rank = x.rank - batch;
    if (batch < 0 || rank < 0 || rank >= MAX_RANK || static_cast<int64_t>(strides.size) != rank)
        return refuse(frame, "thinned_drop: `strides` must have a number for each axis of x that is no batch axis.");
    Job job;
    job.form = Form::drop;
    switch (x.dtype) {
        case F32: job.type = Type::float32; break;
        case F64: job.type = Type::float64; break;
        case BF16: job.type = Type::bfloat16; break;
        case F16: job.type = Type::float16; break;
        default: return refuse(frame, "thinned_drop: x must be of float16, bfloat16, float32 or float64.");
    }
    const int64_t item = ITEM_SIZE[static_cast<int>(job.type)];
    job.rank = static_cast<int>(rank);
    int64_t unit = 1, keys = 1;
    for (int64_t d = rank - 1; d >= 0; --d) {
        const int64_t size = x.dims[batch + d];
        job.axis[d] = {size, unit, unit, unit, static_cast<uint64_t*>(strides.data)[d]};
        unit *= size;
    }
    for (int64_t d = 0; d < batch; ++d) keys *= x.dims[d];
    job.residual = nullptr;
    const Job plain = job;
    for (int64_t index = 0; index < keys; ++index) {
        job = plain;
        job.in = static_cast<const char*>(x.data) + index * unit * item;
        job.out = static_cast<char*>(frame->results.buffers[0]->data) + index * unit * item;
        job.key = pair(static_cast<uint32_t*>(key.data) + 2 * row(x, key, batch, index));
        job.base = pair(static_cast<uint32_t*>(base.data) + 2 * row(x, base, batch, index));
        job.threshold = static_cast<uint32_t*>(threshold.data)[row(x, threshold, batch, index)];
        const float* const numbers = static_cast<float*>(law.data) + 3 * row(x, law, batch, index);
        job.scale = numbers[0];
        job.shift = numbers[1];
        job.fill = numbers[2];
        stream_if_large(job);
        arrange(job);
        spread(frame, job, chosen);
    }
    return nullptr;
}

}  // namespace thinned::xla
