// What a handler needs of XLA's FFI, version 0.3: plain structs, each with its own size in front. The names and the
// order are those of xla/ffi/api/c_api.h (The OpenXLA Authors, Apache-2.0), which no build needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "job.hpp"

namespace thinned::xla {

constexpr int MAJOR = 0, MINOR = 3;

struct Extension {
    size_t struct_size;
    int type;  // 1 is Metadata
    Extension* next;
};

struct Version {
    size_t struct_size;
    Extension* extension_start;
    int major, minor;
};

struct Metadata {
    size_t struct_size;
    Version api_version;
    uint32_t traits;
};

struct MetadataExtension {
    Extension base;
    Metadata* metadata;
};

enum DataType { F16 = 10, F32 = 11, F64 = 12, BF16 = 16 };

struct Buffer {
    size_t struct_size;
    Extension* extension_start;
    int dtype;
    void* data;
    int64_t rank;
    int64_t* dims;
};

// The arguments, and the results.
struct Buffers {
    size_t struct_size;
    Extension* extension_start;
    int64_t size;
    int* types;
    Buffer** buffers;
};

struct Scalar {
    int dtype;
    void* value;
};

struct Array {
    int dtype;
    size_t size;
    void* data;
};

struct Attributes {
    size_t struct_size;
    Extension* extension_start;
    int64_t size;
    int* types;
    void** names;
    void** values;  // by name, in alphabetical order
};

struct Schedule {
    size_t struct_size;
    Extension* extension_start;
    void* context;
    void (*task)(void* data);
    void* data;
};

struct NumThreads {
    size_t struct_size;
    Extension* extension_start;
    void* context;
    int64_t* count;
};

struct ErrorArguments {
    size_t struct_size;
    Extension* extension_start;
    const char* message;
    int code;
};

constexpr int INVALID_ARGUMENT = 3;

struct Error;

struct Api {
    size_t struct_size;
    Extension* extension_start;
    Version api_version;
    const void* internal_api;
    Error* (*error_create)(ErrorArguments*);
    void (*error_get_message)(void*);
    void (*error_destroy)(void*);
    void* others[8];
    Error* (*schedule)(Schedule*);
    Error* (*num_threads)(NumThreads*);
};

struct CallFrame {
    size_t struct_size;
    Extension* extension_start;
    const Api* api;
    void* context;
    int stage;
    Buffers arguments;
    Buffers results;
    Attributes attributes;
};

// Which kernel `drop` calls from now on.
void use(Kernel kernel);

// Drop units of a tensor: XLA's custom call `thinned_drop` on the CPU.
extern "C" Error* drop(const CallFrame* frame);

}  // namespace thinned::xla
