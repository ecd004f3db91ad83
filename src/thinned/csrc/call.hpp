// A call on one of torch's tensors: what Python would ask and pass on, asked here, in one call.
#pragma once

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API  // the build sets it too
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include "job.hpp"

namespace thinned::call {

// set_torch(first, tools): what the functions below ask of torch, in the order of `Tool`, from number `first` on.
PyObject* set_torch(PyObject*, PyObject* const* args, Py_ssize_t count);

// plain(x) -> whether x is an ordinary CPU tensor of a type that the kernel has, outside of forward-mode autograd
PyObject* plain(PyObject*, PyObject* x);

// able(x) -> `plain`, with no dispatch mode, function mode, transform or trace at work
PyObject* able(PyObject*, PyObject* x);

// draw(random, arguments, address) -> the number at the address, after the call random(*arguments) has written it
PyObject* draw(PyObject*, PyObject* const* args, Py_ssize_t count);

// thin(x, residual, out, key, constants) -> a new tensor with the noise, or `out`. `residual` and `out` may be None;
// `constants` is (threshold, scale, shift, fill, noise_strides, base), with None for strides in the order of the shape.
// Only for tensors that are `plain`.
PyObject* thin(const InstructionSet& set, PyObject* const* args, Py_ssize_t count);

// usual(x, p, law) -> `thin` with a new key; or None, with nothing drawn, where the call is not a usual one
PyObject* usual(int set, PyObject* const* args, Py_ssize_t count);

// usual_of_layer(x, attributes) -> `usual` with p and scaling of an `nn.Dropout`; or None where its settings ask for
// more
PyObject* usual_of_layer(int set, PyObject* const* args, Py_ssize_t count);

// The forward and the backward of the autograd function that records a usual call. Its context keeps the numbers.
PyObject* usual_forward(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* usual_backward(PyObject*, PyObject* const* args, Py_ssize_t count);

// Do a job that is not arranged yet; Python's other threads may run while a large one is done. Returns the threads
// used.
int do_job(Job& job, Kernel kernel, int threads);

}  // namespace thinned::call
