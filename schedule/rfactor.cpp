#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/nest.h"
#include "schedule/partial.h"
#include "schedule/place.h"
#include "schedule/whole_range.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// Bounds of the loops that the combining nest keeps may not depend on loops that it loses.
Result<Done> bounds_stay(const Step& step, const Reduction& r) {
  for (size_t i = 0; i < r.loops.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      bool depends = mentions(r.loops[i].lo, r.loops[j].loop) || mentions(r.loops[i].hi, r.loops[j].loop);
      bool kept = i == r.at || !r.reduces[i];
      if (depends && kept && (r.reduces[j] || i == r.at))
        return step.refusal(codes::order_matters, "the bounds of `" + loop_name(step.program, r.loops[i].loop) +
                                                      "` depend on `" + loop_name(step.program, r.loops[j].loop) +
                                                      "`, a loop of the same reduction");
    }
  return Done{};
}

// reduce S[..] by R { for L { map loops { S[..] R= p[.., L] } } }
StmtRef combining_region(Step& step, const Reduction& r, const Partial& made, bool leave) {
  StmtRef inner = make_stmt(combining_leaf(step, r, made), r.leaf_stmt->place);
  for (size_t i = r.loops.size(); i-- > 0;) {
    if (r.reduces[i] && i != r.at) continue;
    For l = plain_loop(r.loops[i]);
    l.body = {inner};
    inner = make_stmt(std::move(l), r.region->place);
  }
  Reduce region = r.form();
  region.reassociated |= leave;
  region.body = {inner};
  return make_stmt(std::move(region), r.region->place);
}

// The form equals combining one element after the other up to rounding, which is a change of its own.
Result<Done> by_whole_range(Step& step, const Reduction& r, const std::string& name) {
  Result<WholeRange> made = whole_range(step, r, name);
  if (!made) return made.errors();
  Result<bool> leave = can_reassociate(step, r.form(), false,
                                       "computing blocks of `" + step.program.stage(r.stage).name + "` as a whole");
  if (!leave) return leave.errors();
  Body with = made->statements;
  with.push_back(combining_region(step, r, made->fields, *leave));
  replace(step.program, r.region, with);
  return Done{};
}

}  // namespace

Result<Done> rfactor_loop(Step& step, SymbolId loop, const std::string& name, bool of) {
  Program& p = step.program;
  Result<Reduction> found = reduction_of(step, loop);
  if (!found) return found.errors();
  Reduction& r = *found;
  r.mapped[r.at] = true;
  if (mentions_load(r.loops[r.at].lo) || mentions_load(r.loops[r.at].hi))
    return step
        .refusal(codes::not_constant,
                 "`" + loop_name(p, loop) +
                     "` runs over a range of data, and partial results need a size that follows from the dims")
        .with_help("keep a constant number of them: `rfactor " + loop_name(p, loop) + " by 8`");
  Result<Done> legal = bounds_stay(step, r);
  if (!legal) return legal.errors();
  legal = free_stage_name(step, name);
  if (!legal) return legal.errors();
  Result<bool> leave = can_make_partials(step, r);
  if (!leave) return leave.errors();
  for (size_t i = 0; i < r.loops.size(); ++i)
    if (r.reduces[i] && i != r.at)
      consume(step, loop_name(p, r.loops[i].loop), "moved to `" + name + "." + p.symbol(r.loops[i].loop).name + "`");

  if (of) return by_whole_range(step, r, name);
  Result<Partial> made = make_partial(step, r, name, 0);
  if (!made) return made.errors();
  const std::vector<Window> windows = r.form().windows;
  const std::vector<Range> ranges{{r.loops[r.at].lo, r.loops[r.at].hi}};
  make_buffers(step, r, name, windows, ranges, *made);
  Result<Memory> memory = memory_for(step, made->buffers, std::nullopt);
  if (!memory) return memory.errors();
  for (BufferId id : made->buffers) p.buffers[id.value].memory = *memory;
  StmtRef partial =
      partial_region(p, r, *made, windows, ranges, in_partial_loops(r, *made, 0, partial_leaf(p, r, *made)));

  StmtRef combined = combining_region(step, r, *made, *leave);
  replace(p, r.region, {make_stmt(Alloc{made->buffers}, step.call.place), partial, combined});
  return Done{};
}

}  // namespace heddle::schedule
