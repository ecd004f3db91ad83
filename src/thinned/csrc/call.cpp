// torch is reached by Python's names alone, so the module needs no build for each version of torch.
#include "call.hpp"

#include <initializer_list>

namespace thinned::call {
namespace {

// In the order in which `ops/cpu.py` gives them.
enum Tool {
    TENSOR,          // torch.Tensor
    PARAMETER,       // torch.nn.Parameter
    TYPES,           // a dict: the kernel's number of each dtype
    DISPATCH_KEYS,   // a function: the dispatch keys of a tensor
    PLAIN_KEYS,      // a set: those of ordinary tensors
    FORWARD_MODE,    // a dict with "_current_level"
    DISPATCH_MODES,  // a function: how many dispatch modes there are
    FUNCTION_MODE,   // a function: whether there is a function mode
    TRANSFORM,       // a function: the innermost transform, or None
    TRACING,         // a function: the trace that is recorded, or None
    EMPTY_LIKE,      // torch.empty_like
    THREADS,         // torch.get_num_threads
    TOOLS,
};
PyObject* tool[TOOLS];

// The names of attributes and methods, as Python's strings.
enum Name { RAW_REPR, DTYPE, LEVEL, SHAPE, STRIDE, DATA_PTR, CONTIGUOUS, NAMES };
constexpr const char* NAME_TEXTS[NAMES] = {"raw_repr", "dtype",    "_current_level", "shape",
                                           "stride",   "data_ptr", "contiguous"};
PyObject* name[NAMES];

// A reference that is given back at the end. Empty after an error.
class Held {
public:
    explicit Held(PyObject* object) : object_(object) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() { Py_XDECREF(object_); }
    PyObject* get() const { return object_; }
    explicit operator bool() const { return object_ != nullptr; }
    PyObject* release() {
        PyObject* const object = object_;
        object_ = nullptr;
        return object;
    }

private:
    PyObject* object_;
};

PyObject* method(PyObject* of, Name which) { return PyObject_CallMethodObjArgs(of, name[which], nullptr); }

// -1 is an error, as below.
int says_none(Tool which) {
    const Held answer(PyObject_CallNoArgs(tool[which]));
    return answer ? answer.get() == Py_None : -1;
}

int says_false(Tool which) {
    const Held answer(PyObject_CallNoArgs(tool[which]));
    if (!answer) return -1;
    const int truth = PyObject_IsTrue(answer.get());
    return truth < 0 ? -1 : !truth;
}

int is_plain(PyObject* x) {
    if (!tool[TENSOR]) return 0;
    PyObject* const kind = reinterpret_cast<PyObject*>(Py_TYPE(x));
    if (kind != tool[TENSOR] && kind != tool[PARAMETER]) return 0;
    const Held keys(PyObject_CallFunctionObjArgs(tool[DISPATCH_KEYS], x, nullptr));
    if (!keys) return -1;
    const Held number(method(keys.get(), RAW_REPR));
    if (!number) return -1;
    const int known = PySet_Contains(tool[PLAIN_KEYS], number.get());
    if (known != 1) return known;
    const Held dtype(PyObject_GetAttr(x, name[DTYPE]));
    if (!dtype) return -1;
    if (!PyDict_GetItemWithError(tool[TYPES], dtype.get())) return PyErr_Occurred() ? -1 : 0;
    const Held level(PyObject_GetItem(tool[FORWARD_MODE], name[LEVEL]));
    if (!level) return -1;
    const long active = PyLong_AsLong(level.get());
    return PyErr_Occurred() ? -1 : active < 0;
}

PyObject* truth_or_error(int truth) { return truth < 0 ? nullptr : PyBool_FromLong(truth); }

uint64_t bits(PyObject* number) { return PyLong_AsUnsignedLongLongMask(number); }

// A tensor's memory: the address of its first element, and its strides in elements.
bool memory(PyObject* x, void*& address, PyObject*& strides) {
    const Held pointer(method(x, DATA_PTR));
    if (!pointer) return false;
    address = reinterpret_cast<void*>(static_cast<uintptr_t>(bits(pointer.get())));
    strides = method(x, STRIDE);
    return strides != nullptr;
}

bool has_zero(PyObject* strides) {
    const Py_ssize_t rank = PyTuple_Size(strides);
    for (Py_ssize_t d = 0; d < rank; ++d)
        if (!bits(PyTuple_GetItem(strides, d))) return true;
    return false;
}

// From this many elements on other Python threads may run meanwhile.
constexpr int64_t RELEASE = 16384;

}  // namespace

int do_job(Job& job, Kernel kernel, int threads) {
    const int64_t elements = job.count();
    stream_if_large(job);
    arrange(job);
    if (elements < RELEASE) return run(job, kernel, 1);
    int used;
    Py_BEGIN_ALLOW_THREADS
    used = run(job, kernel, threads);
    Py_END_ALLOW_THREADS
    return used;
}

PyObject* set_torch(PyObject*, PyObject* tools) {
    if (!PyTuple_Check(tools) || PyTuple_Size(tools) != TOOLS) {
        PyErr_Format(PyExc_TypeError, "set_torch takes a tuple of %d. Got %R.", static_cast<int>(TOOLS), tools);
        return nullptr;
    }
    for (int n = 0; n < NAMES; ++n)
        if (!name[n] && !(name[n] = PyUnicode_InternFromString(NAME_TEXTS[n]))) return nullptr;
    for (int t = 0; t < TOOLS; ++t) {
        PyObject* const before = tool[t];
        tool[t] = PyTuple_GetItem(tools, t);
        Py_XINCREF(tool[t]);
        Py_XDECREF(before);
    }
    Py_RETURN_NONE;
}

PyObject* plain(PyObject*, PyObject* x) { return truth_or_error(is_plain(x)); }

PyObject* able(PyObject*, PyObject* x) {
    int truth = is_plain(x);
    if (truth == 1) truth = says_false(DISPATCH_MODES);
    if (truth == 1) truth = says_none(TRANSFORM);
    if (truth == 1) truth = says_false(FUNCTION_MODE);
    if (truth == 1) truth = says_none(TRACING);
    return truth_or_error(truth);
}

PyObject* draw(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (count != 3) {
        PyErr_Format(PyExc_TypeError, "draw takes 3 arguments. Got %zd.", count);
        return nullptr;
    }
    const Held drawn(PyObject_Call(args[0], args[1], nullptr));
    if (!drawn) return nullptr;
    const uint64_t address = bits(args[2]);
    if (PyErr_Occurred()) return nullptr;
    return PyLong_FromUnsignedLongLong(*reinterpret_cast<const uint64_t*>(static_cast<uintptr_t>(address)));
}

PyObject* thin(const InstructionSet& set, PyObject* const* args, Py_ssize_t count) {
    if (count != 5 || !PyTuple_Check(args[4]) || PyTuple_Size(args[4]) != 6 || !tool[TENSOR]) {
        PyErr_SetString(PyExc_TypeError, "thin takes x, residual, out, key and six constants, after set_torch.");
        return nullptr;
    }
    PyObject *x = args[0], *residual = args[1] == Py_None ? nullptr : args[1];
    PyObject* const constants = args[4];
    Job job;
    const Held dtype(PyObject_GetAttr(x, name[DTYPE]));
    PyObject* const type = dtype ? PyDict_GetItemWithError(tool[TYPES], dtype.get()) : nullptr;
    if (!type) {
        if (!PyErr_Occurred()) PyErr_Format(PyExc_TypeError, "thin: the kernel has no %R.", dtype.get());
        return nullptr;
    }
    const Held out(args[2] == Py_None ? PyObject_CallFunctionObjArgs(tool[EMPTY_LIKE], x, nullptr)
                                      : (Py_INCREF(args[2]), args[2]));
    const Held shape(PyObject_GetAttr(x, name[SHAPE]));
    if (!out || !shape) return nullptr;

    void *in_address, *out_address, *residual_address = nullptr;
    PyObject *in_strides = nullptr, *out_strides = nullptr, *residual_strides = nullptr;
    const bool read = memory(x, in_address, in_strides);
    Held in_held(in_strides);
    if (!read) return nullptr;
    // The gradient of a sum is one number with strides 0. The kernel's fast loop needs contiguous memory.
    const Held copy(out.get() != x && has_zero(in_strides) ? method(x, CONTIGUOUS) : nullptr);
    PyObject* copy_strides = nullptr;
    if (copy && !memory(copy.get(), in_address, copy_strides)) return nullptr;
    const Held copy_held(copy_strides);
    if (copy) in_strides = copy_strides;
    if (PyErr_Occurred()) return nullptr;
    const bool wrote = memory(out.get(), out_address, out_strides);
    const Held out_held(out_strides);
    if (!wrote) return nullptr;
    if (residual && !memory(residual, residual_address, residual_strides)) return nullptr;
    const Held residual_held(residual_strides);
    if (!residual) residual_strides = in_strides;

    PyObject* const noise = PyTuple_GetItem(constants, 4);
    const Py_ssize_t rank = PyTuple_Size(shape.get());
    for (PyObject* const strides : {in_strides, out_strides, residual_strides, noise})
        if (!PyErr_Occurred() && PyTuple_Size(strides) != rank && !PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "thin: shapes and strides must have one length.");
    if (!PyErr_Occurred() && rank >= MAX_RANK) PyErr_Format(PyExc_ValueError, "thin: %zd axes are too many.", rank);
    if (PyErr_Occurred()) return nullptr;
    job.form = residual ? Form::add : Form::drop;
    job.type = static_cast<Type>(PyLong_AsLong(type));
    job.out = out_address, job.in = in_address, job.residual = residual_address;
    job.rank = static_cast<int>(rank);
    for (Py_ssize_t d = 0; d < rank; ++d)
        job.axis[d] = {static_cast<int64_t>(bits(PyTuple_GetItem(shape.get(), d))),
                       static_cast<int64_t>(bits(PyTuple_GetItem(out_strides, d))),
                       static_cast<int64_t>(bits(PyTuple_GetItem(in_strides, d))),
                       static_cast<int64_t>(bits(PyTuple_GetItem(residual_strides, d))),
                       bits(PyTuple_GetItem(noise, d))};
    job.key = bits(args[3]);
    job.threshold = static_cast<uint32_t>(bits(PyTuple_GetItem(constants, 0)));
    job.scale = PyFloat_AsDouble(PyTuple_GetItem(constants, 1));
    job.shift = PyFloat_AsDouble(PyTuple_GetItem(constants, 2));
    job.fill = PyFloat_AsDouble(PyTuple_GetItem(constants, 3));
    job.base = bits(PyTuple_GetItem(constants, 5));
    int threads = 1;
    if (!PyErr_Occurred() && job.count() >= 2 * GRAIN) {
        const Held most(PyObject_CallNoArgs(tool[THREADS]));
        if (most) threads = static_cast<int>(PyLong_AsLong(most.get()));
    }
    if (PyErr_Occurred()) return nullptr;
    do_job(job, set.kernel, threads);
    return Py_NewRef(out.get());
}

}  // namespace thinned::call
