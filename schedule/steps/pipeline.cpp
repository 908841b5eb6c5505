// pipeline L by n
//
//   for L in lo .. hi { alloc x ; x = fetch ; work on x ; y = take }
//     ->  for L in lo .. hi pipelined n at (0, 0, n - 2, n - 1) { alloc x copies .. ; the same }
//
// Iterations overlap: at time t a statement of stage s runs its iteration t - s, so that data is fetched for one
// iteration while another works and the results of a third are taken away. Statements that only copy into what is
// allocated in the loop are of the first stage, those that only copy out of it of the last. What is allocated inside has
// as many copies as iterations hold it at a time. A machine without such an overlap runs the loop as it was.
//
// Refused: L is not serial; its statements are all of one kind, or n is less than their kinds; statements of different
// stages touch a cell around the loop that one of them writes.
#include <algorithm>

#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/pipelines.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

Result<Done> pipeline_step(Step& step) {
  constexpr int64_t most_stages = 16;
  Program& p = step.program;
  Result<SymbolId> loop = find_loop(step, step.call.operands[0]);
  if (!loop) return loop.errors();
  Result<int64_t> count = integer_after(step, "by", 2);
  if (!count) return count.errors();
  if (*count > most_stages)
    return step.refusal(codes::too_large, "a pipeline has at most " + std::to_string(most_stages) + " stages");
  const Path path = path_to_loop(p, *loop);
  Result<Done> serial = can_rewrite(step, path);
  if (!serial) return serial;
  Result<Done> holds = can_hold(step, path);
  if (!holds) return holds;
  For l = loop_of(path);
  const std::string name = "`" + loop_name(p, *loop) + "`";
  std::optional<std::vector<int>> stages = pipeline_stages(p, l, static_cast<int>(*count));
  if (!stages)
    return step
        .refusal(codes::order_matters, "the statements in " + name + " cannot be put into " + std::to_string(*count) +
                                           " stages: " + "what fetches, what works and what takes away are one each")
        .with_help("fetch inside the loop with `cache t in .. at " + loop_name(p, *loop) +
                   "`, or give another number of stages");
  Result<Done> legal = can_overlap(step, l, *stages);
  if (!legal) return legal;
  for (const StmtRef& s : l.body)
    if (const Alloc* a = as<Alloc>(s)) {
      int copies = 1;  // the fields of a state have the same number
      for (BufferId id : a->buffers) copies = std::max(copies, copies_needed(p, l, *stages, id));
      for (BufferId id : a->buffers) p.buffers[id.value].copies = copies;
    }
  l.kind = LoopKind::pipelined;
  l.stages = static_cast<int>(*count);
  l.stage_of = *std::move(stages);
  replace(p, path.back(), {make_stmt(std::move(l), step.call.place)});
  step.relied_on("stages of " + name + " pass data only through what is allocated inside");
  return Done{};
}

}  // namespace heddle::schedule
