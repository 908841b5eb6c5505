// Which schedules of an op may serve a request: by target, by instructions, by the axes that a pack has, by `where`.
#include <algorithm>

#include "api/codes.h"
#include "api/impl.h"
#include "backend/host/instr_rows.h"
#include "ir/prove.h"
#include "ir/visit.h"
#include "jit/codes.h"
#include "jit/plan.h"

namespace heddle::api {
namespace {

// Members of the cpu family, each able to run what stands before it.
int member_rank(const std::string& name) {
  static const char* members[] = {"cpu", "cpu/x86-64-v2", "cpu/avx2", "cpu/avx512", "cpu/amx"};
  for (int i = 0; i < 5; ++i)
    if (name == members[i]) return i;
  return -1;
}

// The same of the neuron family: later cores have all that earlier ones have, and more memory.
int core_rank(const std::string& name) {
  static const char* members[] = {"neuron", "neuron/trn1", "neuron/trn2", "neuron/trn3"};
  for (int i = 0; i < 4; ++i)
    if (name == members[i]) return i;
  return -1;
}

bool runs_on(const std::string& schedule_target, const ir::Target& target) {
  if (target.family() == "neuron") {
    const int wanted = core_rank(schedule_target);
    return wanted >= 0 && wanted <= core_rank(target.name);
  }
  int wanted = member_rank(schedule_target);
  return wanted >= 0 && wanted <= member_rank(target.name);
}

std::string names_of(const OpImpl& op) {
  std::string list;
  for (const std::string& name : op.outline().schedules) list += (list.empty() ? "`" : ", `") + name + "`";
  return list.empty() ? "none" : list;
}

// Whether a schedule replaces nests by an instruction that the target has no machine code for: right, but slow.
bool lacks_instrs(const ir::ScheduleText& text, const ir::DerivedSteps& derived, const ir::Target& target) {
  return schedule::any_step(text.lines, derived, [&](const ir::StepCall& step) {
    if (step.name != "replace") return false;
    auto by = step.with.find("by");
    return by != step.with.end() && !by->second.empty() && host::lacks_instr(by->second[0].text, target);
  });
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

// `r_2`, where the pack `r` has fewer than three dims, or `r` itself where it has none.
bool names_missing_dim(const ir::Term& t, const std::string& pack, size_t rank) {
  const bool own = t.kind == ir::Term::Kind::path && t.text.size() > pack.size() + 1 && t.text.starts_with(pack + "_");
  const std::string number = own ? t.text.substr(pack.size() + 1) : "";
  const bool plain = own && number.size() < 3 && number.find_first_not_of("0123456789") == std::string::npos;
  if (plain && std::stoul(number) >= rank) return true;
  if (t.kind == ir::Term::Kind::path && t.text == pack && rank == 0) return true;
  return std::any_of(t.args.begin(), t.args.end(), [&](const ir::Term& a) { return names_missing_dim(a, pack, rank); });
}

// The extents of a request, for conditions of schedules.
class Extents {
 public:
  Extents(const ir::Program& canonical, const CompileOptions& options) : plan_(jit::CallPlan::make(canonical)) {
    for (const ir::DimDefinition& d : canonical.dims)
      if (d.value.known() && ir::constant_value(d.value)) fixed_.push_back({d.dim, d.value});
    if (plan_) known_ = dims_of_request(*plan_, options, dims_);
  }

  // A schedule's `where`; false as well when an extent that it needs is not given.
  bool satisfy(const ir::Expr& where) const {
    if (!where.known()) return true;
    // Fixed dims may decide it, whatever else is open.
    if (const int64_t* holds = ir::constant_value(ir::simplify(ir::substitute(where, fixed_)))) return *holds;
    jit::IndexCode code;
    if (!known_ || !code.compile(where, plan_->dim_symbols())) return false;
    int64_t holds = 0;
    return code.run(dims_.data(), holds) && holds;
  }

 private:
  Result<jit::CallPlan> plan_;
  ir::Substitution fixed_;
  std::vector<int64_t> dims_;
  bool known_ = false;
};

}  // namespace

std::vector<const ir::ScheduleText*> candidates(const OpImpl& op, const CompileOptions& options,
                                                const ir::Target& target) {
  std::vector<const ir::ScheduleText*> fitting;
  // Where a pack has no axis, the loops named after it do not exist; where it has few, nor do dims past them. Schedules that need none
  // of those serve.
  std::vector<std::pair<std::string, size_t>> packs;
  if (Result<frontend::Instance> instance = instance_for(op, options))
    for (const auto& [name, rank] : instance->packs) packs.emplace_back(name, static_cast<size_t>(rank));
  const ir::DerivedSteps& derived = op.module->module().steps;
  for (const ir::ScheduleText* s : op.module->module().schedules_of(op.name)) {
    const bool fits = std::none_of(packs.begin(), packs.end(), [&](const auto& pack) {
      return (pack.second == 0 && names_loop(s->lines, pack.first)) ||
             (s->has_where && names_missing_dim(s->where, pack.first, pack.second));
    });
    if (fits && runs_on(s->target, target) && !lacks_instrs(*s, derived, target)) fitting.push_back(s);
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

Result<ir::Expr> where_of(const OpImpl& op, const ir::Program& canonical, const ir::ScheduleText& text,
                          const ir::Target& target) {
  const ir::DerivedSteps& derived = op.module->module().steps;
  // Whether it may serve some sizes only: by its `where`, by what it fixes, or by that of a schedule that it applies.
  const bool conditional = text.has_where || schedule::any_step(text.lines, derived, [](const ir::StepCall& step) {
                             return step.name == "fix" || step.name == "apply";
                           });
  if (!conditional) return ir::Expr();
  Result<ir::Expr> where =
      schedule::whole_where(canonical, text, target, derived, op.module->module().schedules, parameters_of_types(op));
  // Types alone may decide it.
  if (where && where->known() && ir::is_constant(*where, 1)) return ir::Expr();
  return where;
}

Result<std::vector<schedule::TunedName>> tuned_names(const OpImpl& op, const ir::Program& canonical,
                                                     const ir::ScheduleText& text, const ir::Target& target) {
  return schedule::tuned_names(canonical, text, target, op.module->module().steps, op.module->module().schedules,
                               parameters_of_types(op));
}

Result<const ir::ScheduleText*> find_schedule(const OpImpl& op, const ir::Program& canonical,
                                              const CompileOptions& options, const ir::Target& target) {
  const ir::ScheduleText* chosen = nullptr;
  if (!options.schedule) {
    const Extents extents(canonical, options);
    for (const ir::ScheduleText* s : candidates(op, options, target)) {
      // Its own condition alone first: that of what it applies takes longer to find.
      Result<ir::Expr> where = schedule::schedule_where(canonical, *s);
      if (!where) return where.errors();
      if (!extents.satisfy(*where)) continue;
      where = where_of(op, canonical, *s, target);
      if (!where) return where.errors();
      if (extents.satisfy(*where)) return s;
    }
    return chosen;
  }
  if (options.schedule->empty()) return chosen;
  for (const ir::ScheduleText* s : op.module->module().schedules_of(op.name))
    if (s->name == *options.schedule) chosen = s;
  if (!chosen)
    return Diagnostic(codes::unknown_schedule, {}, "`" + op.name + "` has no schedule `" + *options.schedule + "`")
        .with_help("its schedules: " + names_of(op));
  // Asked for by name, a schedule for a machine with more instructions runs what they mean.
  if (!runs_on(chosen->target, target) &&
      !(member_rank(chosen->target) > 0 && lacks_instrs(*chosen, op.module->module().steps, target)))
    return Diagnostic(codes::schedule_target, chosen->place,
                      "the schedule `" + op.name + "." + chosen->name + "` is for `" + chosen->target + "`, not for `" +
                          target.name + "`");
  Result<ir::Expr> where = where_of(op, canonical, *chosen, target);
  if (where && ir::is_constant(*where, 0)) {
    const auto& params = op.module->module().op(op.name)->signature.params;
    const bool consts = std::any_of(params.begin(), params.end(),
                                    [](const auto& p) { return p.kind == frontend::SignatureParam::Kind::constant; });
    return Diagnostic(jit::codes::requirement_fails, chosen->has_where ? chosen->where.place : chosen->place,
                      "the schedule `" + op.name + "." + chosen->name + "` is not for these types" +
                          (consts ? " and consts" : "") + ": its `where` never holds");
  }
  return chosen;
}

}  // namespace heddle::api
