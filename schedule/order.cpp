#include "schedule/order.h"

#include <algorithm>

#include "ir/region.h"
#include "ir/safety_races.h"

namespace heddle::schedule {

using namespace ir;

namespace {

std::string name_of(const Program& p, const StmtRef& by) {
  const Leaf* leaf = by ? as<Leaf>(by) : nullptr;
  return leaf ? "`" + p.stage(leaf->stage).name + "`" : "a statement";
}

constexpr size_t most_pairs = 2'000;

}  // namespace

bool touches(const Program& program, const Body& body, const std::vector<BufferId>& buffers) {
  std::vector<Access> list = accesses(program, body);
  return std::any_of(list.begin(), list.end(), [&](const Access& a) {
    return std::find(buffers.begin(), buffers.end(), a.buffer) != buffers.end();
  });
}

Result<Done> no_checks(const Step& step, const Body& body) {
  StmtRef found;
  walk(body, [&](const StmtRef& s) {
    if (as<Check>(s)) found = s;
    return true;
  });
  if (!found) return Done{};
  return step
      .refusal(codes::order_matters,
               "a check on data stands here, and what follows it relies on it in the same iteration")
      .label(found->place, "checked here");
}

Result<Done> iterations_commute(const Step& step, const For& loop, const Body& first, const Body& second,
                                const Facts& at) {
  const Program& p = step.program;
  const std::string name = "`" + loop_name(p, loop.loop) + "`";
  std::vector<Access> before = accesses(p, first), after = accesses(p, second);
  size_t pairs = 0;
  for (const Access& a : after)
    for (const Access& b : before) {
      if (a.buffer != b.buffer || (!a.writes && !b.writes)) continue;
      if (++pairs <= most_pairs && never_meet_later(p, loop, at, a, b)) continue;
      const std::string cells = "cells of `" + buffer_name(p, a.buffer) + "`";
      std::string what = a.writes && b.writes ? name_of(p, a.by) + " and " + name_of(p, b.by) + " may write the same " +
                                                    cells + " in different iterations of " + name
                         : a.writes           ? name_of(p, a.by) + " may write " + cells + " that " + name_of(p, b.by) +
                                                    " reads in later iterations of " + name
                                              : name_of(p, a.by) + " may read " + cells + " that " + name_of(p, b.by) +
                                                    " writes in later iterations of " + name;
      Diagnostic d = step.refusal(codes::order_matters, std::move(what));
      if (a.by && a.by->place.known()) d.labels.push_back({a.by->place, a.writes ? "written here" : "read here"});
      if (b.by && b.by->place.known() && b.by != a.by)
        d.labels.push_back({b.by->place, b.writes ? "written here" : "read here"});
      return d;
    }
  return Done{};
}

}  // namespace heddle::schedule
