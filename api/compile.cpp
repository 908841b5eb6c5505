// The story of a compile, top to bottom: request -> op -> canonical program -> fixed dims -> schedule -> machine code -> kernel.
#include <algorithm>
#include <chrono>

#include "api/codes.h"
#include "api/impl.h"
#include "api/machine.h"
#include "backend/host/instr_rows.h"
#include "backend/host/target.h"
#include "backend/neuron/codes.h"
#include "backend/neuron/target.h"
#include "ir/op.h"
#include "ir/print.h"
#include "ir/prove.h"
#include "ir/safety.h"
#include "ir/visit.h"
#include "jit/codes.h"
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

// Members of the cpu family, each able to run what stands before it.
int member_rank(const std::string& name) {
  static const char* members[] = {"cpu", "cpu/x86-64-v2", "cpu/avx2", "cpu/avx512", "cpu/amx"};
  for (int i = 0; i < 5; ++i)
    if (name == members[i]) return i;
  return -1;
}

bool runs_on(const std::string& schedule_target, const ir::Target& target) {
  if (target.family() == "neuron") return schedule_target == "neuron" || schedule_target == target.name;
  int wanted = member_rank(schedule_target);
  return wanted >= 0 && wanted <= member_rank(target.name);
}

std::vector<ir::DerivedStep> derived_steps(const frontend::Module& module) {
  std::vector<ir::DerivedStep> out;
  for (const auto& step : module.steps) out.push_back(*step);
  return out;
}

// Whether a schedule replaces nests by an instruction that the target has no machine code for: right, but slow.
bool lacks_instrs(const std::vector<ir::ScheduleLine>& lines, const ir::Target& target) {
  for (const ir::ScheduleLine& line : lines) {
    if (lacks_instrs(line.then, target) || lacks_instrs(line.otherwise, target)) return true;
    if (line.kind != ir::ScheduleLine::Kind::step || line.step.name != "replace") continue;
    auto by = line.step.with.find("by");
    if (by != line.step.with.end() && !by->second.empty() && host::lacks_instr(by->second[0].text, target)) return true;
  }
  return false;
}

std::string names_of(const OpImpl& op) {
  std::string list;
  for (const std::string& name : op.outline().schedules) list += (list.empty() ? "`" : ", `") + name + "`";
  return list.empty() ? "none" : list;
}

// `y.r`, or a bare `r`.
bool names_loop(const ir::Term& t, const std::string& loop) {
  if (t.kind == ir::Term::Kind::path && (t.text == loop || t.text.ends_with("." + loop))) return true;
  return std::any_of(t.args.begin(), t.args.end(), [&](const ir::Term& a) { return names_loop(a, loop); });
}

bool names_loop(const std::vector<ir::ScheduleLine>& lines, const std::string& loop) {
  for (const ir::ScheduleLine& line : lines) {
    if (names_loop(line.then, loop) || names_loop(line.otherwise, loop)) return true;
    std::vector<ir::Term> terms = line.step.operands;
    for (const auto& [preposition, more] : line.step.with) terms.insert(terms.end(), more.begin(), more.end());
    if (std::any_of(terms.begin(), terms.end(), [&](const ir::Term& t) { return names_loop(t, loop); })) return true;
  }
  return false;
}

// `r_2`, where the pack `r` has fewer than three dims.
bool names_missing_dim(const ir::Term& t, const std::string& pack, size_t rank) {
  const bool own = t.kind == ir::Term::Kind::path && t.text.size() > pack.size() + 1 && t.text.starts_with(pack + "_");
  const std::string number = own ? t.text.substr(pack.size() + 1) : "";
  const bool plain = own && number.size() < 3 && number.find_first_not_of("0123456789") == std::string::npos;
  if (plain && std::stoul(number) >= rank) return true;
  return std::any_of(t.args.begin(), t.args.end(), [&](const ir::Term& a) { return names_missing_dim(a, pack, rank); });
}

// A schedule's `where` tested on the extents of the request; false as well when an extent that it needs is not given.
bool where_holds(const ir::Program& canonical, const ir::Expr& where, const CompileOptions& options) {
  if (!where.known()) return true;
  // Fixed dims may decide it, whatever else is open.
  ir::Substitution fixed;
  for (const ir::DimDefinition& d : canonical.dims)
    if (d.value.known() && ir::constant_value(d.value)) fixed.push_back({d.dim, d.value});
  if (const int64_t* holds = ir::constant_value(ir::simplify(ir::substitute(where, fixed)))) return *holds;
  if (ir::is_constant(where, 0)) return false;
  Result<jit::CallPlan> plan = jit::CallPlan::make(canonical);
  jit::IndexCode code;
  if (!plan || !code.compile(where, plan->dim_symbols())) return false;
  std::vector<jit::ArrayArg> args(plan->array_count());
  size_t next = 0;
  for (int i = 0; i < plan->array_count(); ++i) {
    if (plan->arrays()[i].role == ir::Role::out) continue;
    if (next >= options.arrays.size()) return false;
    const Spec& spec = options.arrays[next++];
    for (int64_t extent : spec.extents)
      if (extent < 0) return false;
    args[i] = {spec.type, static_cast<int>(spec.extents.size()), spec.extents.data(), nullptr, nullptr, false};
  }
  std::vector<int64_t> dims(plan->dim_count());
  if (plan->bind_dims(args.data(), dims.data()).kind) return false;
  int64_t holds = 0;
  return code.run(dims.data(), holds) && holds;
}

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

Result<ir::Target> resolve_target(const std::string& name) {
  if (name.empty() || name == "auto" || name == "cpu") return session().host;
  if (Result<const neuron::Core*> core = neuron::core_named(name)) return neuron::target_of(**core);
  return host::target_named(name);
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

std::vector<const ir::ScheduleText*> candidates(const OpImpl& op, const CompileOptions& options,
                                                const ir::Target& target) {
  std::vector<const ir::ScheduleText*> fitting;
  // Where a pack has no axis, the loops named after it do not exist; where it has few, nor do dims past them. Schedules that need none
  // of those serve.
  std::vector<std::pair<std::string, size_t>> packs;
  if (Result<frontend::Instance> instance = instance_for(op, options))
    for (const auto& [name, rank] : instance->packs) packs.emplace_back(name, static_cast<size_t>(rank));
  for (const ir::ScheduleText* s : op.module->module().schedules_of(op.name)) {
    const bool fits = std::none_of(packs.begin(), packs.end(), [&](const auto& pack) {
      return (pack.second == 0 && names_loop(s->lines, pack.first)) ||
             (s->has_where && names_missing_dim(s->where, pack.first, pack.second));
    });
    if (fits && runs_on(s->target, target) && !lacks_instrs(s->lines, target)) fitting.push_back(s);
  }
  return fitting;
}

schedule::ParameterOf parameters_of_types(const OpImpl& op) {
  return [module = op.module](const std::string& name, const std::string& generic) -> std::string {
    const frontend::ModuleOp* found = module->module().op(name);
    if (!found) return "";
    for (const auto* list : {&found->signature.params, &found->signature.results})
      for (const frontend::SignatureParam& p : *list)
        if (p.type_text == generic) return p.name;
    return "";
  };
}

// Whether it may serve some sizes only: by its `where`, by what it or a derived step of the module fixes, or by that of a schedule that it
// applies.
bool is_conditional(const OpImpl& op, const ir::ScheduleText& text) {
  const auto& derived = op.module->module().steps;
  return text.has_where || has_step(text.lines, "fix") || has_step(text.lines, "apply") ||
         std::any_of(derived.begin(), derived.end(), [](const auto& d) { return has_step(d->lines, "fix"); });
}

Result<ir::Expr> where_of(const OpImpl& op, const ir::Program& canonical, const ir::ScheduleText& text,
                          const ir::Target& target) {
  if (!is_conditional(op, text)) return ir::Expr();
  Result<ir::Expr> where = schedule::whole_where(canonical, text, target, derived_steps(op.module->module()),
                                                 op.module->module().schedules, parameters_of_types(op));
  // Types alone may decide it.
  if (where && where->known() && ir::is_constant(*where, 1)) return ir::Expr();
  return where;
}

Result<std::vector<schedule::TunedName>> tuned_names(const OpImpl& op, const ir::Program& canonical,
                                                     const ir::ScheduleText& text, const ir::Target& target) {
  return schedule::tuned_names(canonical, text, target, derived_steps(op.module->module()),
                               op.module->module().schedules, parameters_of_types(op));
}

Result<Lowered> schedule_program(const OpImpl& op, ir::Program canonical, const CompileOptions& options,
                                 const ir::Target& target, std::vector<schedule::State>* states) {
  Lowered out;
  const ir::ScheduleText* chosen = nullptr;
  if (options.schedule && !options.schedule->empty()) {
    for (const ir::ScheduleText* s : op.module->module().schedules_of(op.name))
      if (s->name == *options.schedule) chosen = s;
    if (!chosen)
      return Diagnostic(codes::unknown_schedule, {}, "`" + op.name + "` has no schedule `" + *options.schedule + "`")
          .with_help("its schedules: " + names_of(op));
    // Asked for by name, a schedule for a machine with more instructions runs what they mean.
    if (!runs_on(chosen->target, target) && !(member_rank(chosen->target) > 0 && lacks_instrs(chosen->lines, target)))
      return Diagnostic(codes::schedule_target, chosen->place,
                        "the schedule `" + op.name + "." + chosen->name + "` is for `" + chosen->target +
                            "`, not for `" + target.name + "`");
    Result<ir::Expr> where = where_of(op, canonical, *chosen, target);
    if (where && ir::is_constant(*where, 0)) {
      const auto& params = op.module->module().op(op.name)->signature.params;
      const bool consts = std::any_of(params.begin(), params.end(),
                                      [](const auto& p) { return p.kind == frontend::SignatureParam::Kind::constant; });
      return Diagnostic(jit::codes::requirement_fails, chosen->has_where ? chosen->where.place : chosen->place,
                        "the schedule `" + op.name + "." + chosen->name + "` is not for these types" +
                            (consts ? " and consts" : "") + ": its `where` never holds");
    }
  } else if (!options.schedule) {
    for (const ir::ScheduleText* s : candidates(op, options, target)) {
      Result<ir::Expr> where = where_of(op, canonical, *s, target);
      if (!where) return where.errors();
      if (!where_holds(canonical, *where, options)) continue;
      chosen = s;
      break;
    }
  }
  if (!chosen) {
    out.scheduled.program = canonical;
    out.canonical = std::move(canonical);
    return out;
  }
  out.schedule = chosen->name;
  Result<schedule::Scheduled> scheduled = schedule::apply_schedule(
      canonical, *chosen, options.tune, target, derived_steps(op.module->module()), states,
      instr_table(op.module->module()), op.module->module().schedules, parameters_of_types(op));
  if (!scheduled) return scheduled.errors();
  out.scheduled = std::move(*scheduled);
  out.canonical = std::move(canonical);
  return out;
}

Result<std::shared_ptr<KernelImpl>> compile(const OpImpl& op, const CompileOptions& options) {
  Clock clock;
  Result<ir::Target> target = resolve_target(options.target);
  if (!target) return target.errors();
  if (target->family() == "neuron")
    return Diagnostic(neuron::codes::no_device, {}, "no code of this machine can be made for `" + target->name + "`")
        .with_help("`Op::neuron` gives the kernel as NKI text");
  const std::string front = front_key(op, options, *target);
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
                      strided_inputs(options), times);
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
                                                    Times times, bool printed) {
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
  Clock clock;
  Result<const Variant*> code = kernel->variant(strided);
  if (!code) return code.errors();
  kernel->times.link = clock.lap() - kernel->times.lower - kernel->times.llvm - kernel->times.cache;
  session().remember(kernel->key, kernel);
  return kernel;
}

}  // namespace heddle::api
