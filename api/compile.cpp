// The story of a compile, top to bottom: request -> op -> canonical program -> fixed dims -> schedule -> machine code -> kernel.
#include <chrono>

#include "api/impl.h"
#include "api/machine.h"
#include "backend/host/target.h"
#include "backend/neuron/codes.h"
#include "backend/neuron/target.h"
#include "ir/op.h"
#include "ir/print.h"
#include "ir/safety.h"
#include "jit/plan.h"

namespace heddle::api {
namespace {

class Clock {
 public:
  double lap() {
    auto now = std::chrono::steady_clock::now();
    double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
    return ms;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

ir::StepCall fix_call(const std::string& dim, int64_t value) {
  ir::Term equation, name, number;
  name.text = dim;
  number.kind = ir::Term::Kind::integer;
  number.integer = value;
  equation.kind = ir::Term::Kind::binary;
  equation.text = "=";
  equation.args = {name, number};
  ir::StepCall call;
  call.name = "fix";
  call.operands = {equation};
  return call;
}

Result<ir::Target> resolve_target(const std::string& name, bool for_emission) {
  if (name.empty() || name == "auto" || name == "cpu") return session().host;
  if (Result<const neuron::Core*> core = neuron::core_named(name)) return neuron::target_of(**core);
  Result<ir::Target> here = host::target_named(name);
  return here || !for_emission ? here : host::target_for_emission(name);
}

Result<ir::Program> canonical_program(const OpImpl& op, const CompileOptions& options) {
  Result<frontend::Instance> instance = instance_for(op, options);
  if (!instance) return instance.errors();
  Result<ir::Op> checked = frontend::instantiate(op.module->module(), op.name, *instance);
  if (!checked) return checked.errors();
  ir::Program program = ir::canonical(*checked);
  for (const auto& [dim, value] : options.fix) {
    Result<schedule::State> fixed = schedule::apply_step({session().host}, program, fix_call(dim, value));
    if (!fixed) return fixed.errors();
    program = std::move(fixed->program);
  }
  return program;
}

Result<Lowered> schedule_program(const OpImpl& op, ir::Program canonical, const CompileOptions& options,
                                 const ir::Target& target, std::vector<schedule::State>* states) {
  Lowered out;
  Result<const ir::ScheduleText*> found = find_schedule(op, canonical, options, target);
  if (!found) return found.errors();
  const ir::ScheduleText* chosen = *found;
  if (!chosen) {
    out.scheduled.program = canonical;
    out.canonical = std::move(canonical);
    return out;
  }
  out.schedule = chosen->name;
  Result<schedule::Scheduled> scheduled = schedule::apply_schedule(
      canonical, *chosen, options.tune, target, op.module->module().steps, states, instr_table(op.module->module()),
      op.module->module().schedules, parameters_of_types(op));
  if (!scheduled) return scheduled.errors();
  out.scheduled = std::move(*scheduled);
  out.canonical = std::move(canonical);
  return out;
}

Result<std::shared_ptr<KernelImpl>> compile(const OpImpl& op, const CompileOptions& options) {
  Clock clock;
  Result<ir::Target> target = resolve_target(options.target);
  bool foreign = false;
  if (!target && options.for_emission) {
    target = resolve_target(options.target, true);
    foreign = true;
  }
  if (!target) return target.errors();
  if (target->family() == "neuron")
    return Diagnostic(neuron::codes::no_device, {}, "no code of this machine can be made for `" + target->name + "`")
        .with_help("`Op::neuron` gives the kernel as NKI text");
  const std::string front = foreign ? "" : front_key(op, options, *target);
  if (std::shared_ptr<KernelImpl> known = find_front(front, op, options, *target)) {
    session().remember(known->key, known);
    store_module(*op.module);
    return known;
  }
  op.module->module();
  clock.lap();
  Result<ir::Program> canonical = canonical_program(op, options);
  if (!canonical) return canonical.errors();
  double canonical_ms = clock.lap();

  Result<Lowered> lowered = schedule_program(op, std::move(*canonical), options, *target);
  if (!lowered) return lowered.errors();
  double steps_ms = clock.lap();
  Times times = op.module->times();
  times.check += canonical_ms;
  times.steps = steps_ms;
  Result<std::shared_ptr<KernelImpl>> kernel =
      compile_program(std::move(lowered->scheduled.program), *target, lowered->schedule, options.threads,
                      strided_inputs(options), times, false, foreign);
  if (kernel) {
    store_module(*op.module);
    store_front(front, **kernel);
  }
  return kernel;
}

uint64_t strided_inputs(const CompileOptions& options) {
  uint64_t strided = 0;
  for (size_t i = 0; i < options.arrays.size(); ++i)
    if (!options.arrays[i].unit_inner_stride) strided |= uint64_t{1} << i;
  return strided;
}

std::string kernel_key(const ir::Target& target, int threads, const std::string& schedule,
                       const std::string& program_text) {
  return target.name + "\n" + std::to_string(threads) + "\n" + schedule + "\n" + program_text;
}

Result<std::shared_ptr<KernelImpl>> compile_program(ir::Program program, const ir::Target& target,
                                                    const std::string& schedule, int threads, uint64_t strided,
                                                    Times times, bool printed, bool foreign) {
  auto kernel = std::make_shared<KernelImpl>();
  kernel->program_text = ir::print(program);
  kernel->key = kernel_key(target, threads, schedule, kernel->program_text);
  if (std::shared_ptr<KernelImpl> known = session().find(kernel->key)) return known;

  // Machine code trusts the program: every access is shown to be inside, whoever wrote it.
  if (Diagnostics open = ir::check_safety(program); !open.empty()) return open;
  Result<jit::CallPlan> plan = jit::CallPlan::make(program);
  if (!plan) return plan.errors();
  kernel->plan = std::move(*plan);
  kernel->printed = printed;
  kernel->name = program.name;
  kernel->set_program(std::move(program));
  kernel->schedule = schedule;
  kernel->target = target;
  kernel->threads = threads;
  kernel->times = times;
  kernel->foreign = foreign;
  if (foreign) return kernel;
  Clock clock;
  Result<const Variant*> code = kernel->variant(strided);
  if (!code) return code.errors();
  kernel->times.link = clock.lap() - kernel->times.lower - kernel->times.llvm - kernel->times.cache;
  session().remember(kernel->key, kernel);
  return kernel;
}

}  // namespace heddle::api
