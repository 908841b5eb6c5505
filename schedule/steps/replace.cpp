// replace STAGE.L by INSTR
//
//   for L { .. { at s(..) where G { c[..] R= body } } }  ->  call INSTR(c[window], a[window], ..)
//   where the loops of the nest are axes of INSTR, `body` is what it computes, and guards are ends of windows:
//   `where 4*po + pi < k` becomes `a[.., 4*po .. min(4*po + 4, k) <= 4]`
//
// Refused, with the first difference: another value, another way of combining; a loop that is no axis, or is too long; a loop
// around that a machine combines at once;
// operands of another type, in another memory, or laid out otherwise; numerics that the header does not allow.
#include <algorithm>

#include "ir/print.h"
#include "ir/region.h"
#include "schedule/instr_match.h"
#include "schedule/legality.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

Result<Instr> named_instr(Step& step) {
  const Term& term = step.call.with.at("by")[0];
  Result<std::string> name = name_of(step, term);
  if (!name) return name.errors();
  if (const Instr* known = step.program.instr(*name)) return *known;
  const std::vector<std::string>& names = step.context.instrs.names;
  if (std::find(names.begin(), names.end(), *name) != names.end()) return step.context.instrs.add(*name, step.program);
  Diagnostic d(codes::unknown_instr, term.place, "there is no instruction `" + *name + "`");
  const std::string near = nearest(*name, names);
  d.help =
      near.empty() ? "an `instr` stands in the schedule's text, or in stdlib/machine" : "did you mean `" + near + "`?";
  return d;
}

Result<InstrNest> nest_of(const Step& step, SymbolId loop) {
  const Program& p = step.program;
  Path path = path_to_loop(p, loop);
  InstrNest nest;
  nest.around.assign(path.begin(), path.end() - 1);
  for (StmtRef s = path.back();;) {
    if (const For* l = as<For>(s)) {
      Result<Done> serial = can_rewrite(step, path_to_loop(p, l->loop));
      if (!serial) return serial.errors();
      nest.loops.push_back(*l);
      if (l->body.size() == 1) {
        s = l->body[0];
        continue;
      }
      return step.refusal(codes::not_nested, "several statements stand inside `" + loop_name(p, l->loop) + "`")
          .label(l->body.empty() ? s->place : l->body[1]->place, "this is one")
          .with_help("an instruction stands for one leaf and the loops around it");
    }
    if (as<Leaf>(s)) return nest.leaf_stmt = s, nest;
    if (as<Reduce>(s))
      return step
          .refusal(codes::not_nested, "the reduction opens inside `" + loop_name(p, nest.loops.back().loop) + "`")
          .with_help("an instruction adds to what is there: `reorder` so that the reduction is open around it");
    return step.refusal(codes::not_nested, "`" + loop_name(p, nest.loops.back().loop) + "` holds more than a leaf");
  }
}

// Around an instruction that combines, a loop of the same reduction runs one iteration after another.
Result<Done> combines_in_turns(const Step& step, const InstrNest& nest) {
  const Program& p = step.program;
  const Path path = path_to_stmt(p, nest.leaf_stmt);
  for (const StmtRef& s : nest.around) {
    const For* l = as<For>(s);
    if (!l || l->kind != LoopKind::bound || !carries_reduction(p, path, l->loop)) continue;
    return step
        .refusal(codes::wrong_loop_kind,
                 "`" + loop_name(p, l->loop) + "` is bound to `" + l->axis + "`, where all terms are combined at once")
        .label(s->place, "bound here")
        .with_help("an instruction stands in serial loops of its reduction");
  }
  return Done{};
}

// Leave for what the instruction does to the rounding; whether the region is reassociated by it.
Result<bool> numerics_allowed(Step& step, const Instr& instr, const InstrNest& nest) {
  const std::string name = "`" + instr.name + "`";
  auto leave = [&](bool given, const char* word, const char* does) -> Result<Done> {
    if (!given)
      return step.refusal(codes::needs_flush, name + " " + does)
          .with_help(std::string("write `allow ") + word + "` in the schedule's header");
    step.relied_on(name + " " + does + ": leave `" + word + "`");
    return Done{};
  };
  bool order = false;
  for (const std::string& word : instr.numerics) {
    Result<Done> given = Done{};
    if (word == "flushes_denormals")
      given = leave(step.program.allow.flush_denormals, "flush_denormals", "takes denormal numbers as zero");
    else if (word == "contracts")
      given = leave(step.program.allow.contract, "contract", "rounds a product and a sum once");
    else if (word == "reassociates") order = true;
    else if (word != "exact")
      return step.refusal(codes::needs_flush, name + " is `" + word + "`, for which there is no leave");
    if (!given) return given.errors();
  }
  size_t reduced = 0;
  for (const Axis& a : instr.lines[0].axes) reduced += a.cls == AxisClass::reduce;
  if (instr.lines[0].reducer.empty() || (!order && reduced < 2)) return false;
  Path path = path_to_stmt(step.program, nest.leaf_stmt);
  const int region = region_of(path);
  if (region < 0) return false;
  return can_reassociate(step, std::get<Reduce>(path[static_cast<size_t>(region)]->form), true, name);
}

}  // namespace

Result<Done> replace_step(Step& step) {
  Result<SymbolId> loop = find_loop(step, step.call.operands[0]);
  if (!loop) return loop.errors();
  Result<Instr> instr = named_instr(step);
  if (!instr) return instr.errors();
  if (instr->lines.size() != 1)
    return step.refusal(codes::other_meaning,
                        "`" + instr->name + "` has several lines; an instruction of one line stands for a leaf");
  Result<InstrNest> nest = nest_of(step, *loop);
  if (!nest) return nest.errors();
  if (Result<Done> turns = combines_in_turns(step, *nest); !turns) return turns;
  Result<Call> call = match_instr(step, *nest, *instr);
  if (!call) return call.errors();
  const Facts at = facts_at(step.program, nest->around);
  Result<Done> placed = match_places(step, *call, *instr, at);
  if (!placed) return placed.errors();
  Result<bool> order = numerics_allowed(step, *instr, *nest);
  if (!order) return order.errors();

  Program& p = step.program;
  for (const For& l : nest->loops) consume(step, loop_name(p, l.loop), "replaced by `" + instr->name + "`");
  const Path leaf = path_to_stmt(p, nest->leaf_stmt);
  const int region = region_of(leaf);
  if (*order && region >= 0) {
    Reduce marked = std::get<Reduce>(leaf[static_cast<size_t>(region)]->form);
    marked.reassociated = true;
    replace(p, leaf[static_cast<size_t>(region)],
            {make_stmt(std::move(marked), leaf[static_cast<size_t>(region)]->place)});
  }
  replace(p, path_to_loop(p, *loop).back(), {make_stmt(*std::move(call), step.call.place)});
  step.relied_on("`" + instr->name + "` computes what the loops did, on tensors that lie as it needs them");
  return Done{};
}

}  // namespace heddle::schedule
