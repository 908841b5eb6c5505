#include "backend/neuron/simulator/simulate.h"

#include <new>

#include "backend/neuron/simulator/execute.h"
#include "backend/neuron/simulator/refuse.h"
#include "backend/neuron/simulator/specialise.h"
#include "backend/neuron/simulator/time.h"

namespace heddle::neuron::sim {
namespace {

std::vector<Argument> types_of(const std::vector<SimArgument>& arguments, bool data) {
  std::vector<Argument> out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (const int64_t* n = std::get_if<int64_t>(&arguments[i])) {
      out.emplace_back(*n);
    } else if (const double* d = std::get_if<double>(&arguments[i])) {
      out.emplace_back(*d);
    } else {
      const SimArray& a = std::get<SimArray>(arguments[i]);
      std::optional<Dtype> type = dtype_of(a.type);
      if (!type)
        refuse(codes::nki_arguments, {},
               "argument " + std::to_string(i + 1) + " is " + std::string(ir::scalar_type_name(a.type)) +
                   ", which NeuronCore does not have");
      int64_t bytes = dtype_bytes(*type);
      for (int64_t e : a.extents)
        if (e < 0 || __builtin_mul_overflow(bytes, e, &bytes)) refuse(codes::nki_arguments, {}, "an array of no size");
      if (data && bytes != static_cast<int64_t>(a.bytes.size()))
        refuse(codes::nki_arguments, {},
               "argument " + std::to_string(i + 1) + " has " + std::to_string(a.bytes.size()) + " bytes, its shape " +
                   std::to_string(bytes));
      out.emplace_back(ArrayType{*type, a.extents});
    }
  }
  return out;
}

Simulation run(SourceRef source, const std::vector<SimArgument>& arguments, const SimulateOptions& options) {
  std::optional<Machine> machine = machine_named(options.target);
  if (!machine)
    refuse(codes::nki_arguments, {}, "`" + options.target + "` is no NeuronCore",
           "a target is `neuron/trn1`, `neuron/trn2` or `neuron/trn3`");
  Text text = parse_text(std::move(source));
  SpecialiseLimits limits;
  limits.instructions = options.max_instructions;
  if (!options.data) limits.hbm_bytes = int64_t{1} << 40;
  Trace trace = specialise(text, options.kernel, types_of(arguments, options.data), options.scalars, *machine, limits);
  MemoryPlan plan = plan_memory(trace, *machine);
  Simulation out;
  out.report = model_time(trace, plan, *machine, options.timeline);
  if (!options.data) {  // the types of the outputs are known all the same
    for (uint32_t t : trace.outputs)
      out.outputs.push_back({scalar_of(trace.tensors[t].dtype), trace.tensors[t].shape, {}});
    return out;
  }
  std::vector<std::unique_ptr<Store>> stores(trace.tensors.size());
  size_t tensor = 0;
  for (const SimArgument& a : arguments)
    if (const SimArray* array = std::get_if<SimArray>(&a)) {
      stores[tensor] = std::make_unique<Store>();
      stores[tensor++]->bytes = array->bytes;
    }
  execute(trace, plan, *machine, {.seed = options.seed, .shuffle = options.shuffle}, stores);
  for (uint32_t t : trace.outputs) {
    const Tensor& tensor_out = trace.tensors[t];
    out.outputs.push_back({scalar_of(tensor_out.dtype), tensor_out.shape, stores[t]->bytes});
  }
  return out;
}

}  // namespace

Result<Simulation> simulate(std::string text, const std::string& name, const std::vector<SimArgument>& arguments,
                            const SimulateOptions& options) try {
  return run(Source::make(name, std::move(text)), arguments, options);
} catch (const Refused& refused) {
  return refused.diagnostic;
} catch (const std::bad_alloc&) {
  return Diagnostic(codes::nki_limit, {}, "the kernel's tensors do not fit in this machine's memory");
}

}  // namespace heddle::neuron::sim
