// The Python module `thinned._kernel`: addresses, sizes and strides in, nothing out. Built against the stable ABI, so
// that one binary serves every Python from 3.11 on, and, knowing no framework, every torch.
#include <cstring>
#include <initializer_list>

#include "call.hpp"
#include "job.hpp"
#include "xla.hpp"

namespace {

using thinned::Job;

uint64_t bits(PyObject* number) { return PyLong_AsUnsignedLongLongMask(number); }
void* address(PyObject* number) { return reinterpret_cast<void*>(static_cast<uintptr_t>(bits(number))); }

bool count_is(Py_ssize_t count, Py_ssize_t expected, const char* name) {
    if (count == expected) return true;
    PyErr_Format(PyExc_TypeError, "%s takes %zd arguments. Got %zd.", name, expected, count);
    return false;
}

// run_<instruction set>(form, type, out, in, residual, sizes, out_strides, in_strides, residual_strides, threads,
//     key, threshold, scale, shift, fill, noise_strides, base) -> threads used
//
// An address of 0 stands for an absent `residual`; strides are counted in elements, those of the noise in positions
// modulo 2**64, as are `base` and `key`. `out` may be `in`, or must not overlap it.
template <int SET>
PyObject* run(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (!count_is(count, 17, "run")) return nullptr;
    Job job;
    const long form = PyLong_AsLong(args[0]);
    const long type = PyLong_AsLong(args[1]);
    job.out = address(args[2]);
    job.in = address(args[3]);
    job.residual = address(args[4]);
    PyObject* const sizes = args[5];
    const Py_ssize_t rank = PyTuple_Size(sizes);
    for (const int a : {6, 7, 8, 15})
        if (!PyErr_Occurred() && PyTuple_Size(args[a]) != rank && !PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "run: sizes and strides must be tuples of one length.");
    if (PyErr_Occurred()) return nullptr;
    if (form < 0 || form > 1 || type < 0 || type > 3 || rank >= thinned::MAX_RANK) {
        PyErr_Format(PyExc_ValueError,
                     "run: form must be in [0, 1], type in [0, 3], rank below %d. Got %ld, %ld and %zd.",
                     thinned::MAX_RANK, form, type, rank);
        return nullptr;
    }
    job.form = static_cast<thinned::Form>(form);
    job.type = static_cast<thinned::Type>(type);
    job.rank = static_cast<int>(rank);
    for (Py_ssize_t d = 0; d < rank; ++d)
        job.axis[d] = {static_cast<int64_t>(bits(PyTuple_GetItem(sizes, d))),
                       static_cast<int64_t>(bits(PyTuple_GetItem(args[6], d))),
                       static_cast<int64_t>(bits(PyTuple_GetItem(args[7], d))),
                       static_cast<int64_t>(bits(PyTuple_GetItem(args[8], d))), bits(PyTuple_GetItem(args[15], d))};
    const int threads = static_cast<int>(PyLong_AsLong(args[9]));
    job.key = bits(args[10]);
    job.threshold = static_cast<uint32_t>(bits(args[11]));
    job.scale = PyFloat_AsDouble(args[12]);
    job.shift = PyFloat_AsDouble(args[13]);
    job.fill = PyFloat_AsDouble(args[14]);
    job.base = bits(args[16]);
    if (PyErr_Occurred()) return nullptr;

    return PyLong_FromLong(thinned::call::do_job(job, thinned::INSTRUCTION_SETS[SET].kernel, threads));
}

// thin_<instruction set>: `thin` of call.hpp
template <int SET>
PyObject* thin(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return thinned::call::thin(thinned::INSTRUCTION_SETS[SET], args, count);
}

// fold_in(key, number) -> key
PyObject* fold_in(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (!count_is(count, 2, "fold_in")) return nullptr;
    const uint64_t key = bits(args[0]), number = bits(args[1]);
    return PyErr_Occurred() ? nullptr : PyLong_FromUnsignedLongLong(thinned::fold_in(key, number));
}

// instruction_sets() -> the names of those that this machine and build have, fastest first
PyObject* instruction_sets(PyObject*, PyObject*) {
    PyObject* const names = PyList_New(0);
    for (int set = 0; names && set < thinned::SETS; ++set) {
        if (!thinned::supported(thinned::INSTRUCTION_SETS[set].name)) continue;
        PyObject* const name = PyUnicode_FromString(thinned::INSTRUCTION_SETS[set].name);
        const int failed = name ? PyList_Append(names, name) : -1;
        Py_XDECREF(name);
        if (failed) {
            Py_DECREF(names);
            return nullptr;
        }
    }
    PyObject* const fixed = names ? PyList_AsTuple(names) : nullptr;
    Py_XDECREF(names);
    return fixed;
}

// pool() -> whose threads large calls use: "openmp", the process's own, or "none"
PyObject* pool(PyObject*, PyObject*) { return PyUnicode_FromString(thinned::pool()); }

// xla_drop(instruction_set) -> the address of XLA's custom call (xla.cpp), in a capsule as JAX takes it
//
// The process has one such call. From now on it uses this instruction set.
PyObject* xla_drop(PyObject*, PyObject* name) {
    const char* const wanted = PyUnicode_AsUTF8AndSize(name, nullptr);
    if (!wanted) return nullptr;
    for (const thinned::InstructionSet& set : thinned::INSTRUCTION_SETS)
        if (!std::strcmp(set.name, wanted) && thinned::supported(wanted)) {
            thinned::xla::use(set.kernel);
            return PyCapsule_New(reinterpret_cast<void*>(thinned::xla::drop), nullptr, nullptr);
        }
    PyErr_Format(PyExc_ValueError, "xla_drop: the instruction set must be one of instruction_sets(). Got %R.", name);
    return nullptr;
}

// usual_<instruction set>: `usual` of call.hpp
template <int SET>
PyObject* usual(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return thinned::call::usual(SET, args, count);
}

// usual_of_layer_<instruction set>: `usual_of_layer` of call.hpp
template <int SET>
PyObject* usual_of_layer(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return thinned::call::usual_of_layer(SET, args, count);
}

template <class F>
PyCFunction fast(F function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
#if defined(THINNED_X86)
    {"run_avx512", fast(run<0>), METH_FASTCALL, nullptr},
    {"run_avx2", fast(run<1>), METH_FASTCALL, nullptr},
    {"thin_avx512", fast(thin<0>), METH_FASTCALL, nullptr},
    {"thin_avx2", fast(thin<1>), METH_FASTCALL, nullptr},
    {"usual_avx512", fast(usual<0>), METH_FASTCALL, nullptr},
    {"usual_avx2", fast(usual<1>), METH_FASTCALL, nullptr},
    {"usual_of_layer_avx512", fast(usual_of_layer<0>), METH_FASTCALL, nullptr},
    {"usual_of_layer_avx2", fast(usual_of_layer<1>), METH_FASTCALL, nullptr},
#endif
    {"run_portable", fast(run<thinned::SETS - 1>), METH_FASTCALL, nullptr},
    {"thin_portable", fast(thin<thinned::SETS - 1>), METH_FASTCALL, nullptr},
    {"usual_portable", fast(usual<thinned::SETS - 1>), METH_FASTCALL, nullptr},
    {"usual_of_layer_portable", fast(usual_of_layer<thinned::SETS - 1>), METH_FASTCALL, nullptr},
    {"usual_forward", fast(thinned::call::usual_forward), METH_FASTCALL, nullptr},
    {"usual_backward", fast(thinned::call::usual_backward), METH_FASTCALL, nullptr},
    {"set_torch", fast(thinned::call::set_torch), METH_FASTCALL, nullptr},
    {"plain", thinned::call::plain, METH_O, nullptr},
    {"able", thinned::call::able, METH_O, nullptr},
    {"draw", fast(thinned::call::draw), METH_FASTCALL, nullptr},
    {"fold_in", fast(fold_in), METH_FASTCALL, nullptr},
    {"instruction_sets", instruction_sets, METH_NOARGS, nullptr},
    {"pool", pool, METH_NOARGS, nullptr},
    {"xla_drop", xla_drop, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__kernel() { return PyModule_Create(&module); }
