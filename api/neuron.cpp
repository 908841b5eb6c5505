// The story of a NeuronCore kernel: request -> op -> dims fixed -> schedule -> NKI text. A refusal of the backend is shown at the step that
// causes it: the first from which on the program is refused in the same words.
#include <algorithm>

#include "api/codes.h"
#include "api/impl.h"
#include "backend/neuron/codes.h"
#include "backend/neuron/emit.h"
#include "ir/array_axes.h"
#include "ir/digits.h"
#include "ir/print.h"
#include "ir/prove.h"
#include "ir/safety.h"
#include "jit/plan.h"

namespace heddle {
namespace api {
namespace {

// The extents of the request's arrays as values of dims; none where an extent is not given.
std::map<std::string, int64_t> dims_of(const ir::Program& canonical, const CompileOptions& options) {
  std::map<std::string, int64_t> out;
  Result<jit::CallPlan> plan = jit::CallPlan::make(canonical);
  if (!plan) return out;
  std::vector<int64_t> dims;
  if (!dims_of_request(*plan, options, dims)) return out;
  std::vector<ir::SymbolId> symbols = plan->dim_symbols();
  for (const ir::DimDefinition& d : canonical.dims) {
    if (d.value.known()) continue;
    auto at = std::find(symbols.begin(), symbols.end(), d.dim);
    if (at != symbols.end()) out[canonical.symbol(d.dim).name] = dims[at - symbols.begin()];
  }
  return out;
}

// Numbers of bytes change with every step: of what is too large the code alone counts.
bool same_refusal(const Diagnostic& a, const Diagnostic& b) {
  bool of_size = a.code == neuron::codes::over_sbuf.id || a.code == neuron::codes::over_psum.id ||
                 a.code == neuron::codes::over_bank.id;
  return a.code == b.code && (of_size || a.message == b.message || a.place.begin == b.place.begin);
}

Result<ir::Program> with_dims(ir::Program program, const std::map<std::string, int64_t>& dims) {
  for (const auto& [name, value] : dims) {
    bool open = false;  // the schedule may have fixed it
    for (const ir::DimDefinition& d : program.dims) open |= !d.value.known() && program.symbol(d.dim).name == name;
    if (!open) continue;
    Result<schedule::State> fixed = schedule::apply_step({session().host}, program, fix_call(name, value));
    if (!fixed) return fixed.errors();
    program = std::move(fixed->program);
  }
  return program;
}

// The step from which on the backend refuses with this code; none when the canonical program is refused already.
const schedule::State* cause(const std::vector<schedule::State>& states, const std::map<std::string, int64_t>& dims,
                             const Diagnostic& refusal, const neuron::Core& core, const neuron::EmitOptions& options) {
  const schedule::State* first = nullptr;
  for (size_t i = states.size(); i-- > 0;) {
    Result<ir::Program> program = with_dims(states[i].program, dims);
    if (!program) return first;
    Result<neuron::Emission> tried = neuron::emit(*program, core, options);
    if (tried || !same_refusal(tried.errors().front(), refusal)) return first;
    first = &states[i];
  }
  return nullptr;
}

// How the arrays of inputs with a layout are brought into it.
Result<std::vector<NeuronText::Packing>> packings_of(const ir::Program& program) {
  std::vector<NeuronText::Packing> out;
  size_t input = 0;
  for (const ir::Parameter& parameter : program.parameters) {
    if (parameter.scalar.known()) continue;
    const ir::Buffer& b = program.buffer(parameter.buffer);
    if (b.role == ir::Role::out) continue;
    const size_t index = input++;
    if (!b.layout) continue;
    Result<jit::Packing> packing = jit::Packing::make(program, b);
    if (!packing) return packing.errors();
    std::vector<int64_t> dims, axes;
    for (const ir::BoxDim& d : b.box) dims.push_back(*ir::constant_value(ir::simplify(d.hi - d.lo)));
    for (const ir::AxisSpan& axis : ir::array_axes(b)) {
      axes.push_back(1);
      for (size_t d = axis.begin; d < axis.end; ++d) axes.back() *= dims[d];
    }
    NeuronText::Packing row{index, b.name, {}, {}};
    const std::vector<ir::Digit> digits = *ir::digits_of(*b.layout);
    for (const ir::Digit& d : digits)
      row.shape.push_back(*ir::constant_value(ir::extent_of(d, ir::index_constant(dims[d.index]))));
    row.pack = [packing = *packing, axes, type = b.type](const void* from, void* to) {
      std::vector<int64_t> strides(axes.size(), 1);
      for (size_t i = axes.size(); i-- > 1;) strides[i - 1] = strides[i] * axes[i];
      const jit::ArrayArg array{type,           static_cast<int>(axes.size()), axes.data(),
                                strides.data(), const_cast<void*>(from),       false};
      packing.pack(array, to, [](int64_t n, const std::function<void(int64_t, int64_t)>& work) { work(0, n); });
    };
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace

Result<NeuronText> neuron_text(const OpImpl& op, const CompileOptions& request, const NeuronOptions& wanted) {
  Result<const neuron::Core*> core = neuron::core_named(request.target);
  if (!core) return core.errors();
  Result<neuron::Profile> profile = neuron::profile_named(wanted.profile);
  if (!profile) return profile.errors();
  Result<ir::Program> canonical = canonical_program(op, request);
  if (!canonical) return canonical.errors();
  std::map<std::string, int64_t> dims = dims_of(*canonical, request);
  ir::Target target = neuron::target_of(**core);
  // Steps are applied while dims have no values, so that loops of one iteration do not vanish and a schedule has the same loops at every
  // size; where a step needs a constant, after.
  std::map<std::string, int64_t> later = dims;
  Result<Lowered> lowered = schedule_program(op, *canonical, request, target);
  if (!lowered) {
    Result<ir::Program> fixed = with_dims(std::move(*canonical), dims);
    if (!fixed) return fixed.errors();
    lowered = schedule_program(op, std::move(*fixed), request, target);
    later.clear();
    if (!lowered) return lowered.errors();
  }
  Result<ir::Program> last = with_dims(lowered->scheduled.program, later);
  if (!last) return last.errors();
  const ir::Program& program = *last;
  if (Diagnostics open = ir::check_safety(program); !open.empty()) return open;
  neuron::EmitOptions how{*profile, wanted.instructions};
  Result<neuron::Emission> emission = neuron::emit(program, **core, how);
  if (!emission) {
    Diagnostic refusal = emission.errors().front();
    if (const schedule::State* step = cause(lowered->scheduled.states, later, refusal, **core, how);
        step && step->call.place.known()) {
      if (refusal.place.known() && refusal.place.begin != step->call.place.begin)
        refusal.labels.push_back({refusal.place, "for this"});
      refusal.place = step->call.place;
    }
    return refusal;
  }
  NeuronText out;
  Result<std::vector<NeuronText::Packing>> packings = packings_of(program);
  if (!packings) return packings.errors();
  out.packings = std::move(*packings);
  out.nki = std::move(emission->text);
  out.program = ir::print(program);
  out.schedule = lowered->schedule;
  out.target = (*core)->name;
  for (neuron::Table& t : emission->tables) out.tables.push_back({t.name, t.shape, std::move(t.data)});
  out.instructions = emission->instructions;
  out.sbuf_bytes = emission->sbuf_bytes;
  out.psum_banks = emission->psum_banks;
  Result<jit::CallPlan> plan = jit::CallPlan::make(program);
  if (!plan) return plan.errors();
  out.call = std::make_shared<NeuronCall>(NeuronCall{std::move(*plan), program.name.substr(0, program.name.find('.'))});
  return out;
}

}  // namespace api

Result<NeuronText> Op::neuron(const CompileOptions& options, const NeuronOptions& how) const {
  return api::neuron_text(*impl_, options, how);
}

}  // namespace heddle
