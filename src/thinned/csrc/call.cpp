// torch is reached by Python's names alone, so the module needs no build for each version of torch.
#include "call.hpp"

#include <initializer_list>

namespace thinned::call {
namespace {

// In the order in which `ops/cpu.py` and, from GRAD_ENABLED on, `ops/usual.py` give them.
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
    GRAD_ENABLED,    // torch.is_grad_enabled
    SOURCE,          // a function: the stream's source of keys, or None
    DISTRIBUTED,     // a function: whether there may be several processes
    CONSTANTS,       // a function: the constants for a law's name and p, or None
    CELL,            // an object with `draw`, which gives a key
    RECORD,          // a function of (x, numbers) that records `usual_forward`; numbers are (key, constants, set)
    LINEAR,          // a function of (gradient, key, constants): the linear part of the map, in every case
    TOOLS,
};
PyObject* tool[TOOLS];

// The names of attributes and methods, as Python's strings.
enum Name {
    RAW_REPR,
    DTYPE,
    LEVEL,
    SHAPE,
    STRIDE,
    DATA_PTR,
    CONTIGUOUS,
    IS_CONTIGUOUS,
    NUMEL,
    REQUIRES_GRAD,
    DRAW,
    NUMBERS,
    NAMES
};
constexpr const char* NAME_TEXTS[NAMES] = {"raw_repr", "dtype",         "_current_level", "shape",
                                           "stride",   "data_ptr",      "contiguous",     "is_contiguous",
                                           "numel",    "requires_grad", "draw",           "numbers"};
PyObject* name[NAMES];

// The attributes of a layer, by the names that `nn.Dropout` has for them.
enum Setting { TRAINING, INPLACE, P, SCALING, BROADCAST_DIMS, STREAM, SETTINGS };
constexpr const char* SETTING_TEXTS[SETTINGS] = {"training", "inplace",        "p",
                                                 "scaling",  "broadcast_dims", "_stream_keys"};
PyObject* setting[SETTINGS];

// A reference that is given back at the end. Empty after an error.
class Held {
public:
    explicit Held(PyObject* object) : object_(object) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() { Py_XDECREF(object_); }
    PyObject* get() const { return object_; }
    explicit operator bool() const { return object_ != nullptr; }
    bool take(PyObject* object) {
        object_ = object;
        return object_ != nullptr;
    }
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
    const int truth = answer ? PyObject_IsTrue(answer.get()) : -1;
    return truth < 0 ? -1 : !truth;
}

int is_true(PyObject* object) {
    const Held held(object);
    return held ? PyObject_IsTrue(held.get()) : -1;
}

int is_plain(PyObject* x) {
    if (!tool[TENSOR]) return 0;
    const PyObject* const kind = reinterpret_cast<PyObject*>(Py_TYPE(x));
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

int is_able(PyObject* x) {
    int truth = is_plain(x);
    if (truth == 1) truth = says_false(DISPATCH_MODES);
    if (truth == 1) truth = says_none(TRANSFORM);
    if (truth == 1) truth = says_false(FUNCTION_MODE);
    if (truth == 1) truth = says_none(TRACING);
    return truth;
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

// Where positions count on through contiguous memory, the tensor is one axis, whatever its shape.
bool one_axis(Job& job, PyObject* x, PyObject* y) {
    void* address[2];
    for (int which = 0; which < 2; ++which) {
        const Held pointer(method(which ? y : x, DATA_PTR));
        if (!pointer) return false;
        address[which] = reinterpret_cast<void*>(static_cast<uintptr_t>(bits(pointer.get())));
    }
    const Held count(method(x, NUMEL));
    if (!count) return false;
    job.form = Form::drop;
    job.in = address[0], job.out = address[1], job.residual = nullptr;
    job.rank = 1;
    job.axis[0] = {static_cast<int64_t>(bits(count.get())), 1, 1, 1, 1};
    return true;
}

// The axes of any tensors.
bool all_axes(Job& job, PyObject* x, PyObject* residual, PyObject* y, PyObject* noise) {
    void *in, *out, *other = nullptr;
    PyObject *in_strides = nullptr, *copy_strides = nullptr, *out_strides = nullptr, *other_strides = nullptr;
    const Held shape(PyObject_GetAttr(x, name[SHAPE]));
    if (!shape || !memory(x, in, in_strides)) return false;
    const Held in_held(in_strides);
    if (!memory(y, out, out_strides)) return false;
    const Held out_held(out_strides);
    if (residual && !memory(residual, other, other_strides)) return false;
    const Held other_held(other_strides);
    const Py_ssize_t rank = PyTuple_Size(shape.get());
    for (PyObject* const strides : {in_strides, out_strides, residual ? other_strides : in_strides})
        if (PyTuple_Size(strides) != rank) return false;
    if (rank >= MAX_RANK || (noise != Py_None && PyTuple_Size(noise) != rank)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "thin: the noise must have a stride for each axis.");
        return false;
    }
    job.form = residual ? Form::add : Form::drop;
    job.in = in, job.out = out, job.residual = other;
    job.rank = static_cast<int>(rank);
    uint64_t step = 1;
    for (Py_ssize_t d = rank - 1; d >= 0; --d) {
        const int64_t size = static_cast<int64_t>(bits(PyTuple_GetItem(shape.get(), d)));
        const auto stride = [d](PyObject* of) { return static_cast<int64_t>(bits(PyTuple_GetItem(of, d))); };
        job.axis[d] = {size, stride(out_strides), stride(in_strides), stride(residual ? other_strides : in_strides),
                       noise == Py_None ? step : bits(PyTuple_GetItem(noise, d))};
        step *= static_cast<uint64_t>(size);
    }
    return !PyErr_Occurred();
}

// How many threads may do a job; 0 is an error.
int threads_for(const Job& job) {
    if (job.count() < 2 * GRAIN) return 1;
    const Held most(PyObject_CallNoArgs(tool[THREADS]));
    const long threads = most ? PyLong_AsLong(most.get()) : 0;
    return PyErr_Occurred() ? 0 : static_cast<int>(threads);
}

// `thin` of call.hpp. A null pointer stands for an absent residual or out.
PyObject* noise_on(PyObject* x, PyObject* residual, PyObject* out, uint64_t key, PyObject* constants, Kernel kernel) {
    Job job;
    const Held dtype(PyObject_GetAttr(x, name[DTYPE]));
    PyObject* const type = dtype ? PyDict_GetItemWithError(tool[TYPES], dtype.get()) : nullptr;
    if (!type) {
        if (!PyErr_Occurred()) PyErr_Format(PyExc_TypeError, "thin: the kernel has no %R.", dtype.get());
        return nullptr;
    }
    job.type = static_cast<Type>(PyLong_AsLong(type));
    job.key = key;
    job.threshold = static_cast<uint32_t>(bits(PyTuple_GetItem(constants, 0)));
    job.scale = PyFloat_AsDouble(PyTuple_GetItem(constants, 1));
    job.shift = PyFloat_AsDouble(PyTuple_GetItem(constants, 2));
    job.fill = PyFloat_AsDouble(PyTuple_GetItem(constants, 3));
    PyObject* const noise = PyTuple_GetItem(constants, 4);
    job.base = bits(PyTuple_GetItem(constants, 5));
    if (PyErr_Occurred()) return nullptr;

    Held y(out ? Py_NewRef(out) : PyObject_CallFunctionObjArgs(tool[EMPTY_LIKE], x, nullptr));
    if (!y) return nullptr;
    const int contiguous = noise == Py_None && !residual && !out ? is_true(method(x, IS_CONTIGUOUS)) : 0;
    if (contiguous < 0) return nullptr;
    Held copy(nullptr);  // the job has addresses alone: a copy must last until it is done
    if (contiguous) {
        if (!one_axis(job, x, y.get())) return nullptr;
    } else {
        const Held steps(method(x, STRIDE));
        if (!steps) return nullptr;
        // The gradient of a sum is one number with strides 0. The kernel's fast loop needs contiguous memory.
        if (y.get() != x && has_zero(steps.get()) && !copy.take(method(x, CONTIGUOUS))) return nullptr;
        if (!all_axes(job, copy ? copy.get() : x, residual, y.get(), noise)) return nullptr;
    }
    const int threads = threads_for(job);
    if (threads < 1) return nullptr;
    do_job(job, kernel, threads);
    return y.release();
}

// `usual` of call.hpp.
PyObject* usual_call(PyObject* x, PyObject* rate, PyObject* law, int set) {
    if (!PyFloat_CheckExact(rate) || !PyUnicode_CheckExact(law)) Py_RETURN_NONE;
    const double p = PyFloat_AsDouble(rate);
    int truth = p > 0 && p <= 1 ? is_able(x) : 0;
    if (truth == 1) truth = is_true(method(x, IS_CONTIGUOUS));
    if (truth == 1) truth = says_none(SOURCE);
    if (truth == 1) truth = says_false(DISTRIBUTED);
    if (truth < 0) return nullptr;
    if (!truth) Py_RETURN_NONE;
    const Held constants(PyObject_CallFunctionObjArgs(tool[CONSTANTS], law, rate, nullptr));
    if (!constants || constants.get() == Py_None) return Py_XNewRef(constants.get());
    const Held key(method(tool[CELL], DRAW));
    if (!key) return nullptr;
    int recorded = is_true(PyObject_GetAttr(x, name[REQUIRES_GRAD]));
    if (recorded == 1) recorded = is_true(PyObject_CallNoArgs(tool[GRAD_ENABLED]));
    if (recorded < 0) return nullptr;
    if (!recorded) return noise_on(x, nullptr, nullptr, bits(key.get()), constants.get(), INSTRUCTION_SETS[set].kernel);
    const Held number(PyLong_FromLong(set));
    const Held numbers(number ? PyTuple_Pack(3, key.get(), constants.get(), number.get()) : nullptr);
    return numbers ? PyObject_CallFunctionObjArgs(tool[RECORD], x, numbers.get(), nullptr) : nullptr;
}

// Noise by numbers that `usual_call` has packed.
PyObject* noise_by(PyObject* numbers, PyObject* x) {
    const long set = PyLong_AsLong(PyTuple_GetItem(numbers, 2));
    return noise_on(x, nullptr, nullptr, bits(PyTuple_GetItem(numbers, 0)), PyTuple_GetItem(numbers, 1),
                    INSTRUCTION_SETS[set].kernel);
}

bool are_numbers(PyObject* object) {
    if (object && PyTuple_CheckExact(object) && PyTuple_Size(object) == 3) return true;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "the numbers must be those of `usual`.");
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

namespace {

// Make Python's strings of those texts that have none yet; false is an error.
bool interned(PyObject** strings, const char* const* texts, int count) {
    for (int n = 0; n < count; ++n) {
        if (!strings[n]) strings[n] = PyUnicode_InternFromString(texts[n]);
        if (!strings[n]) return false;
    }
    return true;
}

}  // namespace

PyObject* set_torch(PyObject*, PyObject* const* args, Py_ssize_t count) {
    const long first = count == 2 ? PyLong_AsLong(args[0]) : -1;
    const Py_ssize_t given = first >= 0 && PyTuple_Check(args[1]) ? PyTuple_Size(args[1]) : TOOLS + 1;
    if (PyErr_Occurred() || first < 0 || first >= TOOLS || given > TOOLS - first) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "set_torch takes a place and a tuple, within %d.", static_cast<int>(TOOLS));
        return nullptr;
    }
    if (!interned(name, NAME_TEXTS, NAMES) || !interned(setting, SETTING_TEXTS, SETTINGS)) return nullptr;
    for (Py_ssize_t t = 0; t < given; ++t) {
        PyObject* const before = tool[first + t];
        tool[first + t] = Py_NewRef(PyTuple_GetItem(args[1], t));
        Py_XDECREF(before);
    }
    Py_RETURN_NONE;
}

PyObject* plain(PyObject*, PyObject* x) { return truth_or_error(is_plain(x)); }

PyObject* able(PyObject*, PyObject* x) { return truth_or_error(is_able(x)); }

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
    if (count != 5 || !PyTuple_Check(args[4]) || PyTuple_Size(args[4]) != 6 || !tool[THREADS]) {
        PyErr_SetString(PyExc_TypeError, "thin takes x, residual, out, key and six constants, after set_torch.");
        return nullptr;
    }
    const uint64_t key = bits(args[3]);
    if (PyErr_Occurred()) return nullptr;
    const auto given = [args](int n) { return args[n] == Py_None ? nullptr : args[n]; };
    return noise_on(args[0], given(1), given(2), key, args[4], set.kernel);
}

PyObject* usual_forward(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (count != 3 || !are_numbers(args[2]) || PyObject_SetAttr(args[0], name[NUMBERS], args[2])) return nullptr;
    return noise_by(args[2], args[1]);
}

PyObject* usual_backward(PyObject*, PyObject* const* args, Py_ssize_t count) {
    const Held numbers(count == 2 ? PyObject_GetAttr(args[0], name[NUMBERS]) : nullptr);
    if (!are_numbers(numbers.get())) return nullptr;
    PyObject* const key = PyTuple_GetItem(numbers.get(), 0);  // NOLINT(misc-const-correctness): passed on to Python
    PyObject* const constants = PyTuple_GetItem(numbers.get(), 1);
    const double shift = PyFloat_AsDouble(PyTuple_GetItem(constants, 2));
    const double fill = PyFloat_AsDouble(PyTuple_GetItem(constants, 3));
    const bool linear = shift == 0 && fill == 0;
    int direct = linear ? is_plain(args[1]) : 0;
    if (direct == 1) direct = says_false(GRAD_ENABLED);
    if (direct < 0) return nullptr;
    const Held ours(direct ? noise_by(numbers.get(), args[1])
                           : PyObject_CallFunctionObjArgs(tool[LINEAR], args[1], key, constants, nullptr));
    return ours ? PyTuple_Pack(2, ours.get(), Py_None) : nullptr;
}

PyObject* usual(int set, PyObject* const* args, Py_ssize_t count) {
    if (count != 3 || !tool[LINEAR]) {
        PyErr_SetString(PyExc_TypeError, "usual takes x, p and law, after set_torch.");
        return nullptr;
    }
    return usual_call(args[0], args[1], args[2], set);
}

PyObject* usual_of_layer(int set, PyObject* const* args, Py_ssize_t count) {
    if (count != 2 || !PyDict_Check(args[1]) || !tool[LINEAR]) {
        PyErr_SetString(PyExc_TypeError, "usual_of_layer takes x and a layer's attributes, after set_torch.");
        return nullptr;
    }
    PyObject* own[SETTINGS];
    for (int s = 0; s < SETTINGS; ++s) {
        own[s] = PyDict_GetItemWithError(args[1], setting[s]);
        if (PyErr_Occurred()) return nullptr;
    }
    const bool plain_settings = own[TRAINING] == Py_True && own[INPLACE] == Py_False && own[P] && own[SCALING] &&
                                own[BROADCAST_DIMS] && PyTuple_CheckExact(own[BROADCAST_DIMS]) &&
                                !PyTuple_Size(own[BROADCAST_DIMS]) && (!own[STREAM] || own[STREAM] == Py_None);
    if (!plain_settings) Py_RETURN_NONE;
    return usual_call(args[0], own[P], own[SCALING], set);
}

}  // namespace thinned::call
