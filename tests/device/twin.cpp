// A second device for machines that have none: `twin`, whose memory is the CPU's and whose kernels are the CPU's.
//
// It is as strict as a GPU. Tensors of two devices don't meet in one operator, apart from what CUDA allows: numbers (a
// CPU tensor without axes beside an elementwise operator's others) and a CPU's indices. Its generator gives other
// numbers than the CPU's from one seed. Its addresses are none of this process: to read one is a segmentation fault.
//
// Every operator without a kernel of its own here runs the CPU's, on CPU tensors over the same memory; what those come
// back as (the argument itself, a view of it, a new tensor, a resized one) becomes the same of the device's tensors.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/enum_tag.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using at::Tensor;
using c10::DispatchKey;
using c10::DispatchKeySet;
using c10::IValue;
using c10::Storage;
using OptionalTensor = std::optional<Tensor>;

const c10::Device TWIN(c10::DeviceType::PrivateUse1, 0);

// Memory: a storage of the device owns one of the CPU.

void* far(const void* address) {
    constexpr std::uintptr_t UNMAPPED = std::uintptr_t{1} << 55;
    return address == nullptr ? nullptr : reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(address) + UNMAPPED);
}

c10::DataPtr owner(const Storage& cpu) {
    auto* kept = new Storage(cpu);
    return {far(kept->mutable_data()), kept, [](void* context) { delete static_cast<Storage*>(context); }, TWIN};
}

const Storage& owned(const Storage& twin) { return *static_cast<const Storage*>(twin.data_ptr().get_context()); }

struct Allocator final : c10::Allocator {
    c10::DataPtr allocate(size_t bytes) override {
        return owner(Storage(Storage::use_byte_size_t(), static_cast<int64_t>(bytes), c10::GetAllocator(c10::kCPU),
                             /*resizable=*/true));
    }
    c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
    void copy_data(void* /*to*/, const void* /*from*/, size_t /*bytes*/) const override {
        TORCH_CHECK_NOT_IMPLEMENTED(false, "twin: raw copies");
    }
};

Allocator allocator;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &allocator)

// One operator's call: its tensors on the device, each with the CPU tensor that stands for it, and their storages.

class Call {
public:
    Storage lend(const Storage& twin) {
        storages_.emplace_back(twin, owned(twin));
        return owned(twin);
    }

    Tensor lend(const Tensor& twin) {
        TORCH_CHECK(twin.device() == TWIN, "Expected all tensors to be on the same device, but found at least two ",
                    "devices, ", TWIN, " and ", twin.device(), "!");
        for (const auto& [known, cpu] : tensors_) {
            if (known.is_same(twin)) {
                return cpu;
            }
        }
        Tensor cpu = at::detail::make_tensor<c10::TensorImpl>(lend(twin.storage()), DispatchKeySet(DispatchKey::CPU),
                                                              twin.dtype());
        shape(cpu, twin);
        tensors_.emplace_back(twin, cpu);
        return cpu;
    }

    // The device's tensor for what a CPU kernel returned.
    Tensor take(const Tensor& cpu) {
        if (!cpu.defined()) {
            return cpu;
        }
        TORCH_CHECK_NOT_IMPLEMENTED(cpu.is_cpu() && cpu.layout() == c10::kStrided, "twin: only strided tensors");
        for (const auto& [twin, known] : tensors_) {
            if (known.is_same(cpu)) {
                return twin;
            }
        }
        Tensor twin;
        for (const auto& [base, known] : tensors_) {
            if (known.is_alias_of(cpu)) {
                twin = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, take(cpu.storage()),
                                                                base.key_set(), cpu.dtype());
                break;
            }
        }
        if (!twin.defined()) {
            twin = at::detail::make_tensor<c10::TensorImpl>(take(cpu.storage()),
                                                            DispatchKeySet(DispatchKey::PrivateUse1), cpu.dtype());
        }
        shape(twin, cpu);
        return twin;
    }

    // What the kernel did to its arguments' shapes and storages, an output's resizing above all.
    void settle() {
        for (const auto& [twin, cpu] : tensors_) {
            const Storage storage = take(cpu.storage());
            if (!storage.is_alias_of(twin.storage())) {
                twin.unsafeGetTensorImpl()->set_storage_keep_dtype(storage);
            }
            if (twin.sizes() != cpu.sizes() || twin.strides() != cpu.strides() ||
                twin.storage_offset() != cpu.storage_offset()) {
                shape(twin, cpu);
            }
        }
    }

private:
    Storage take(const Storage& cpu) {
        for (auto& [twin, known] : storages_) {
            if (known.unsafeGetStorageImpl() == cpu.unsafeGetStorageImpl()) {
                if (twin.data() != far(known.mutable_data()) || twin.nbytes() != known.nbytes()) {
                    twin.set_data_ptr_noswap(owner(cpu));
                    twin.set_nbytes(cpu.nbytes());
                }
                return twin;
            }
        }
        Storage twin(Storage::use_byte_size_t(), cpu.nbytes(), owner(cpu), &allocator, /*resizable=*/true);
        storages_.emplace_back(twin, cpu);
        return twin;
    }

    static void shape(const Tensor& x, const Tensor& as) {
        auto* implementation = x.unsafeGetTensorImpl();
        implementation->set_sizes_and_strides(as.sizes(), as.strides(), as.storage_offset());
        implementation->_set_conj(as.is_conj());
        implementation->_set_neg(as.is_neg());
    }

    std::vector<std::pair<Tensor, Tensor>> tensors_;
    std::vector<std::pair<Storage, Storage>> storages_;
};

// Random numbers: the CPU's generator, from another seed.

class Generator final : public c10::GeneratorImpl {
public:
    explicit Generator(uint64_t seed = c10::default_rng_seed_val)
        : c10::GeneratorImpl(TWIN, DispatchKeySet(DispatchKey::PrivateUse1)) {
        set_current_seed(seed);
    }
    void set_current_seed(uint64_t seed) override { cpu.set_current_seed(seed ^ OTHER); }
    uint64_t current_seed() const override { return cpu.current_seed() ^ OTHER; }
    uint64_t seed() override {
        set_current_seed(c10::detail::getNonDeterministicRandom());
        return current_seed();
    }
    void set_offset(uint64_t /*offset*/) override { TORCH_CHECK_NOT_IMPLEMENTED(false, "twin: a generator's offset"); }
    uint64_t get_offset() const override { TORCH_CHECK_NOT_IMPLEMENTED(false, "twin: a generator's offset"); }
    void set_state(const c10::TensorImpl& state) override { cpu.unsafeGetGeneratorImpl()->set_state(state); }
    c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return cpu.unsafeGetGeneratorImpl()->get_state(); }

    at::Generator cpu = at::detail::createCPUGenerator();

protected:
    Generator* clone_impl() const override {
        auto* copy = new Generator();
        copy->cpu = cpu.clone();
        return copy;
    }

private:
    static constexpr uint64_t OTHER = 0x9E3779B9;
};

const at::Generator& default_generator() {
    static const at::Generator only = at::make_generator<Generator>();
    return only;
}

at::Generator behind(const at::Generator& twin) {
    TORCH_CHECK(twin.device() == TWIN, "Expected a 'twin' device type for generator but found '", twin.device(), "'");
    return static_cast<const Generator*>(twin.unsafeGetGeneratorImpl())->cpu;
}

// The fallback.

// A number, which is read and is one of an elementwise operator's; a few of those lack torch's tag.
bool allowed_on_the_cpu(const c10::OperatorHandle& op, const c10::Argument& argument, const Tensor& x) {
    const bool written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
    const std::string& name = argument.name();
    return x.dim() == 0 && !written &&
           (op.hasTag(at::Tag::pointwise) || name == "value" || name == "values" || name == "other");
}

Tensor lent(Call& call, const c10::OperatorHandle& op, const c10::Argument& argument, const Tensor& x) {
    return !x.defined() || (x.is_cpu() && allowed_on_the_cpu(op, argument, x)) ? x : call.lend(x);
}

IValue to_cpu(Call& call, const c10::OperatorHandle& op, const c10::Argument& argument, const IValue& value) {
    if (value.isTensor()) {
        return lent(call, op, argument, value.toTensor());
    }
    if (value.isTensorList()) {
        c10::List<Tensor> list;
        for (const Tensor& x : value.toTensorVector()) {
            list.push_back(lent(call, op, argument, x));
        }
        return list;
    }
    if (value.isOptionalTensorList()) {  // the indices of `index` and its kin
        c10::List<OptionalTensor> list;
        for (const OptionalTensor& x : value.toOptionalTensorVector()) {
            list.push_back(x && x->defined() && !x->is_cpu() ? OptionalTensor(call.lend(*x)) : x);
        }
        return list;
    }
    if (value.isStorage()) {
        return call.lend(value.toStorage());
    }
    if (value.isDevice()) {
        return c10::Device(c10::kCPU);
    }
    if (argument.name() == "generator") {
        return behind(value.isNone() ? default_generator() : value.toGenerator());
    }
    return value;
}

IValue to_twin(Call& call, const IValue& value) {
    if (value.isTensor()) {
        return call.take(value.toTensor());
    }
    if (value.isTensorList()) {
        c10::List<Tensor> list;
        for (const Tensor& x : value.toTensorVector()) {
            list.push_back(call.take(x));
        }
        return list;
    }
    return value;
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
    const auto& schema = op.schema();
    const bool takes_generator = schema.argumentIndexWithName("generator").has_value();
    TORCH_CHECK_NOT_IMPLEMENTED(
        op.operator_name().getNamespace() == "aten" && op.hasKernelForDispatchKey(DispatchKey::CPU), "Could not run '",
        op.operator_name(), "' with arguments from the 'twin' backend.");
    TORCH_CHECK_NOT_IMPLEMENTED(takes_generator || !op.hasTag(at::Tag::nondeterministic_seeded), "twin: '",
                                op.operator_name(), "' would draw from the CPU's generator.");
    Call call;
    const auto before = stack->size() - schema.arguments().size();
    for (size_t index = 0; index < schema.arguments().size(); ++index) {
        IValue& value = (*stack)[before + index];
        value = to_cpu(call, op, schema.arguments()[index], value);
    }
    {
        const at::AutoDispatchBelowADInplaceOrView below;
        op.redispatchBoxed(DispatchKeySet(DispatchKey::CPU), stack);
    }
    call.settle();
    for (size_t index = before; index < stack->size(); ++index) {
        (*stack)[index] = to_twin(call, (*stack)[index]);
    }
}

// Operators that the CPU has no kernel for.

Tensor copy_from(const Tensor& from, const Tensor& to, bool /*non_blocking*/) {
    Call call;
    (to.is_cpu() ? to : call.lend(to)).copy_(from.is_cpu() ? from : call.lend(from));
    return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
    to.resize_(from.sizes());
    return copy_from(from, to, false);
}

Tensor convolution(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, c10::SymIntArrayRef stride,
                   c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed,
                   c10::SymIntArrayRef output_padding, c10::SymInt groups) {
    Call call;
    const OptionalTensor cpu_bias = bias && bias->defined() ? OptionalTensor(call.lend(*bias)) : std::nullopt;
    return call.take(at::convolution_symint(call.lend(x), call.lend(weight), cpu_bias, stride, padding, dilation,
                                            transposed, output_padding, std::move(groups)));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& gradient, const Tensor& x, const Tensor& weight,
                                                        c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
                                                        c10::SymIntArrayRef dilation, bool transposed,
                                                        c10::SymIntArrayRef output_padding, c10::SymInt groups,
                                                        std::array<bool, 3> wanted) {
    Call call;
    const auto channels = transposed ? weight.sym_size(1) * groups : weight.sym_size(0);
    const auto [to_x, to_weight, to_bias] = at::convolution_backward_symint(
        call.lend(gradient), call.lend(x), call.lend(weight), c10::SymIntArrayRef(&channels, 1), stride, padding,
        dilation, transposed, output_padding, std::move(groups), wanted);
    return {call.take(to_x), call.take(to_weight), call.take(to_bias)};
}

// Drawn from this device's generator. The CPU's kernel has no argument for one.
std::tuple<Tensor, Tensor> native_dropout(const Tensor& x, double p, std::optional<bool> train) {
    if (!train.value_or(true)) {
        return {x.clone(), at::ones_like(x, c10::kBool)};
    }
    const Tensor kept = at::empty_like(x, c10::kBool).bernoulli_(1.0 - p);
    return {x * kept * (p < 1.0 ? 1.0 / (1.0 - p) : 0.0), kept};
}

// A tensor of zeros that has no memory elsewhere.
Tensor zeros(c10::SymIntArrayRef shape, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
             std::optional<c10::Device> device, std::optional<bool> pinned) {
    return at::zeros_symint(shape, dtype, layout, device, pinned);
}

// torch's recurrent layers take these on a device that is not the CPU. Made of other operators, they are
// differentiable.

Tensor biased(const Tensor& gates, const OptionalTensor& bias) {
    return bias && bias->defined() ? gates + *bias : gates;
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& from_input, const Tensor& from_hidden, const Tensor& cell,
                                             const OptionalTensor& input_bias, const OptionalTensor& hidden_bias) {
    const Tensor gates = biased(from_input, input_bias) + biased(from_hidden, hidden_bias);
    const auto parts = gates.chunk(4, 1);
    const Tensor next = parts[1].sigmoid() * cell + parts[0].sigmoid() * parts[2].tanh();
    return {parts[3].sigmoid() * next.tanh(), next, gates};
}

std::tuple<Tensor, Tensor> gru_cell(const Tensor& from_input, const Tensor& from_hidden, const Tensor& hidden,
                                    const OptionalTensor& input_bias, const OptionalTensor& hidden_bias) {
    const auto ours = biased(from_input, input_bias).chunk(3, 1);
    const auto theirs = biased(from_hidden, hidden_bias).chunk(3, 1);
    const Tensor update = (ours[1] + theirs[1]).sigmoid();
    const Tensor fresh = (ours[2] + (ours[0] + theirs[0]).sigmoid() * theirs[2]).tanh();
    return {(hidden - fresh) * update + fresh, fresh};
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
    m.impl("_copy_from", &copy_from);
    m.impl("_copy_from_and_resize", &copy_from_and_resize);
    m.impl("convolution_overrideable", &convolution);
    m.impl("convolution_backward_overrideable", &convolution_backward);
    m.impl("_efficientzerotensor", &zeros);
    m.impl("mse_loss", torch::CppFunction::makeFromBoxedFunction<&fallback>());  // through its out= form torch warns
    m.impl("native_dropout", &native_dropout);
    m.impl("_thnn_fused_lstm_cell", &lstm_cell);
    m.impl("_thnn_fused_gru_cell", &gru_cell);
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) {
    m.impl("_thnn_fused_lstm_cell", &lstm_cell);
    m.impl("_thnn_fused_gru_cell", &gru_cell);
}

// autocast casts nothing here.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

// A copy sees the bits of a conjugate or a negative itself; torch would copy to get rid of them first, without end.
TORCH_LIBRARY_IMPL(aten, Conjugate, m) { m.impl("_copy_from", torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, Negative, m) { m.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

// The device itself, number 0 of 1.

struct Guard final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1> {
    c10::Device exchangeDevice(c10::Device /*device*/) const override { return TWIN; }
    c10::Device getDevice() const override { return TWIN; }
    c10::Stream getStream(c10::Device /*device*/) const noexcept override {
        return c10::Stream(c10::Stream::DEFAULT, TWIN);
    }
    c10::Stream exchangeStream(c10::Stream /*stream*/) const noexcept override { return getStream(TWIN); }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

struct Hooks final : at::PrivateUse1HooksInterface {
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return true; }
    bool hasPrimaryContext(c10::DeviceIndex /*device*/) const override { return true; }
    c10::DeviceIndex deviceCount() const override { return 1; }
    c10::DeviceIndex getCurrentDevice() const override { return 0; }
    const at::Generator& getDefaultGenerator(c10::DeviceIndex /*device*/) const override { return default_generator(); }
    at::Generator getNewGenerator(c10::DeviceIndex /*device*/) const override {
        return at::make_generator<Generator>();
    }
};

TORCH_LIBRARY(twin, m) {
    static Hooks hooks;
    at::RegisterPrivateUse1HooksInterface(&hooks);
    m.def("default_generator() -> Generator?", &default_generator);
}

}  // namespace
