// Names in schedules: what a term means in the program as it stands, and what to say when it means nothing any more.
#pragma once

#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

/// The loop that a path names: `y.r`, or `r` where only one stage has it. Consumed names say what became of them.
Result<ir::SymbolId> find_loop(const Step& step, const ir::Term& term);
Result<std::vector<ir::SymbolId>> find_loops(const Step& step, const std::vector<ir::Term>& terms);
/// The stage that a path names; it has a leaf in the program.
Result<ir::StageId> find_stage(const Step& step, const ir::Term& term);
/// The statement that is the nest of a stage, or of a part of one (`y`, `y@tail`): its outermost loop, or region around
/// that, with the statements around it.
struct Nest {
  ir::StageId stage;
  std::string owner;  ///< of its loops: "y", "y@tail"
  Path path;          ///< down to and with the nest
};
Result<Nest> find_nest(const Step& step, const ir::Term& term);
/// That stage; or all stages of a name in front of several, `blk` of `blk.m` and `blk.o`, the last first.
Result<std::vector<ir::StageId>> find_stages(const Step& step, const ir::Term& term);
/// The buffers of a name: one, or the fields of a state.
Result<std::vector<ir::BufferId>> find_buffers(const Step& step, const ir::Term& term);
/// An expression of schedules: over dims and consts of the op, and the loops given.
Result<ir::Expr> index_expr(const ir::Program& program, const ir::Term& term,
                            const std::vector<ir::SymbolId>& loops = {});

/// The consts of the program's op, by name; null when it has none.
const ir::InlinedCall* own_values(const ir::Program& program);

/// The constant of a term once `tune` is resolved.
Result<int64_t> integer_of(const Step& step, const ir::Term& term);
/// The operand after a preposition, at least `least`; `fallback` when it is not written.
Result<int64_t> integer_after(const Step& step, const std::string& preposition, int64_t least, int64_t fallback = 0);
/// "`a`, `b`".
std::string quoted_list(const std::vector<std::string>& names);
/// A plain name as a term.
Result<std::string> name_of(const Step& step, const ir::Term& term);
/// A name that a step makes by default: inside a derived step it is that step's own.
std::string default_name(const ir::StepCall& call, const std::string& name);
/// `into a, b`: exactly as many names as there are defaults, or the defaults.
Result<std::vector<std::string>> names_after(const Step& step, const std::string& preposition,
                                             std::vector<std::string> defaults);
Result<ir::Memory> memory_after(const Step& step, const std::string& preposition);
bool has(const ir::StepCall& call, const std::string& preposition);

/// Whether a loop of stage `owner` may get the name; `except` loses its own.
Result<Done> free_loop_name(const Step& step, const std::string& owner, const std::string& name,
                            ir::SymbolId except = {});
/// Whether a new stage or buffer may get the name.
Result<Done> free_stage_name(const Step& step, const std::string& name);

/// Notes what became of a loop, for later messages.
void consume(Step& step, const std::string& name, std::string became);

}  // namespace heddle::schedule
