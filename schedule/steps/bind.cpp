// bind L, .. to AXIS
//
//   for L in lo .. hi { S }  ->  for L in lo .. hi on AXIS { S }
//
// `partition` and `free` are the axes of a tile on chip: iterations run at the same time, and a reduction over them is combined by
// the machine. `vector`, `scalar` and `gpsimd` are engines: iterations follow each other, their work is done there.
// `device`: the loop itself runs there, where loops are unrolled before otherwise.
//
// Refused: another axis; L is not serial; two iterations may touch one cell that one of them writes; a reduction over L whose order
// matters, without `allow reassociate`.
#include <algorithm>

#include "ir/bound.h"
#include "ir/print.h"
#include "schedule/legality.h"
#include "schedule/loops.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// Engines of the machine, and the loop hardware of a device that else has its loops unrolled.
constexpr const char* engines[] = {"vector", "scalar", "gpsimd", "device"};

// The regions that stand outside of the loop and are combined into by leaves below.
std::vector<StmtRef> carried(const Program& p, const Path& path) {
  std::vector<StmtRef> out;
  const For& loop = loop_of(path);
  for (const LeafSite& site : leaves(loop.body)) {
    Path whole(path.begin(), path.end());
    whole.insert(whole.end(), site.path.begin(), site.path.end());
    if (!carries_reduction(p, whole, loop.loop)) continue;
    int region = region_of(whole);
    if (region >= 0 && std::find(out.begin(), out.end(), whole[region]) == out.end()) out.push_back(whole[region]);
  }
  return out;
}

}  // namespace

Result<Done> bind_step(Step& step) {
  Result<std::vector<SymbolId>> loops = find_loops(step, step.call.operands);
  if (!loops) return loops.errors();
  const Term& term = step.call.with.at("to").front();
  Result<std::string> axis = name_of(step, term);
  if (!axis) return axis.errors();
  const bool of_tile = is_tile_axis(*axis);
  if (!of_tile && std::find(std::begin(engines), std::end(engines), *axis) == std::end(engines))
    return Diagnostic(codes::unknown_axis, term.place, "there is no hardware axis `" + *axis + "`")
        .with_help(
            "axes of a tile are `partition` and `free`, engines `vector`, `scalar` and `gpsimd`; `device` runs the "
            "loop there");
  for (SymbolId loop : *loops) {
    Path path = path_to_loop(step.program, loop);
    std::string name = loop_name(step.program, loop);
    Result<Done> legal = can_rewrite(step, path);
    if (!legal) return legal;
    for (const LeafSite& site : leaves(loop_of(path).body)) {
      const Stage& row = step.program.stage(site.leaf().stage);
      for (size_t i = 0; i < row.axes.size(); ++i) {
        if (row.axes[i].cls == AxisClass::scatter && mentions(site.leaf().bindings[i], loop))
          return step
              .refusal(codes::overlapping_writes,
                       "iterations of `" + name + "` may combine into the same cells of `" + row.name + "`")
              .with_help("bind a loop inside it");
        if ((row.axes[i].cls == AxisClass::scan || row.axes[i].cls == AxisClass::scan_reverse) &&
            mentions(site.leaf().bindings[i], loop))
          return step
              .refusal(codes::runs_a_reduction, "`" + name + "` carries the scan of `" + row.name +
                                                    "`: each iteration reads what the one before it computed")
              .with_help("bind a loop inside it");
      }
    }
    std::vector<StmtRef> regions = of_tile ? carried(step.program, path) : std::vector<StmtRef>{};
    for (const StmtRef& s : regions) {
      Result<bool> may =
          can_reassociate(step, std::get<Reduce>(s->form), true, "combining `" + name + "` in the machine");
      if (!may) return may.errors();
      if (!*may) continue;
      Reduce r = std::get<Reduce>(s->form);
      r.reassociated = true;
      replace(step.program, s, {make_stmt(std::move(r), s->place)});
    }
    if (of_tile && regions.empty()) {
      legal = can_parallel(step, path);
      if (!legal) return legal;
      step.relied_on("iterations of `" + name + "` write different cells");
    }
    path = path_to_loop(step.program, loop);
    For l = loop_of(path);
    l.kind = LoopKind::bound;
    l.axis = *axis;
    replace(step.program, path.back(), {make_stmt(std::move(l), step.call.place)});
  }
  return Done{};
}

}  // namespace heddle::schedule
