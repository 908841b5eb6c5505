// Schedules: checked rewriting of programs. A schedule is data (ir/step_call.h); here each step gets its meaning.
//
// Every step is a function from a program to a program or a refusal. It keeps the meaning of the program up to what the
// schedule's header allows by name, and says in a certificate what it relied on.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/program.h"
#include "ir/step_call.h"
#include "ir/target.h"
#include "support/result.h"

namespace heddle::schedule {

/// What a step relied on, as sentences: facts that the prover showed, laws of reducers, leave that the header gives.
struct Certificate {
  std::vector<std::string> relied_on;
};

struct State {
  ir::StepCall call;  ///< with tuned values put in
  ir::Program program;
  Certificate certificate;
};

struct Scheduled {
  std::vector<State> states;  ///< one for each step, in order
  ir::Program program;        ///< after the last step
  std::vector<ir::Expr>
      where;  ///< over dims of the program passed in: tested at each call (the header's `where`, `fix n = 4`)
  std::map<std::string, int64_t> choices;  ///< the value taken for each tuned name
};

/// The instructions that a schedule may name: rows of stdlib/machine/*.hd, and those of its own text.
struct InstrTable {
  std::vector<std::string> names;
  /// Puts the row of a name, with its symbols, into a program that has none of it.
  std::function<Result<ir::Instr>(const std::string& name, ir::Program& program)> add;
};

struct Context {
  ir::Target target;
  InstrTable instrs;
};

/// The parameter or result of an op that has a generic type: `x` for `T` of `op f<T: float>(x: T[n])`; "" where there is none.
using ParameterOf = std::function<std::string(const std::string& op, const std::string& generic)>;

/// Applies the schedule to the canonical program of its op. `tune` gives values for tuned names; the rest take their
/// defaults.
/// `called`: the schedules that `apply` may name.
/// After a refusal `so_far`, if given, holds the states before the step that refused.
Result<Scheduled> apply_schedule(const ir::Program& canonical, const ir::ScheduleText& text,
                                 const std::map<std::string, int64_t>& tune, const ir::Target& target,
                                 const ir::DerivedSteps& derived = {}, std::vector<State>* so_far = nullptr,
                                 const InstrTable& instrs = {},
                                 const std::vector<std::shared_ptr<const ir::ScheduleText>>& called = {},
                                 const ParameterOf& parameter_of = {});

/// Applies one step whose numbers are constants.
Result<State> apply_step(const Context& context, const ir::Program& program, const ir::StepCall& call);

/// The header's `where` as a condition over the program's dims; none when the schedule has none. The op's consts stand in it as their values,
/// so a condition over them alone is a constant.
Result<ir::Expr> schedule_where(const ir::Program& program, const ir::ScheduleText& text);

/// The same with the `where` of the schedules that it applies to calls.
Result<ir::Expr> whole_where(const ir::Program& canonical, const ir::ScheduleText& text, const ir::Target& target,
                             const ir::DerivedSteps& derived,
                             const std::vector<std::shared_ptr<const ir::ScheduleText>>& called,
                             const ParameterOf& parameter_of = {});

/// The legal values of a tuned name, in the order of declaration.
struct TunedName {
  std::string name;
  int64_t value = 0;  ///< the default
  std::vector<int64_t> choices;
};
Result<std::vector<TunedName>> tuned_names(const ir::Program& canonical, const ir::ScheduleText& text,
                                           const ir::Target& target, const ir::DerivedSteps& derived,
                                           const std::vector<std::shared_ptr<const ir::ScheduleText>>& called,
                                           const ParameterOf& parameter_of);

/// Whether the test holds for a step of the lines, of their branches, or of the derived steps that they use.
bool any_step(const std::vector<ir::ScheduleLine>& lines, const ir::DerivedSteps& derived,
              const std::function<bool(const ir::StepCall&)>& test);

/// One row of steps.def.
struct StepRow {
  std::string_view name;
  std::string_view usage;  ///< `split LOOP by N [into OUTER, INNER] [with guard|exact]`
  std::string_view help;
};
std::span<const StepRow> step_rows();

}  // namespace heddle::schedule
