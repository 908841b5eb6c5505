// prefetch t at L by n
//
//   for L in lo .. hi { S touches t }  ->  for L in lo .. hi prefetch t by n { S touches t }
//
// Where an iteration of L reads or writes t, it also asks for what the iteration n later reads or writes in its place, so
// that it waits in the caches by then. Nothing but time changes: what is asked for past the end is not touched.
//
// Refused: L is not serial, or asks for t already; no place of t that is touched moves with L; the place is itself read
// from data; t lives in registers or in a memory of a device.
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// What iterations of the loop touch of t moves with the loop.
Result<Done> moves_along(const Step& step, BufferId t, const For& loop) {
  const Program& p = step.program;
  const std::string name = "`" + buffer_name(p, t) + "`", at = "`" + loop_name(p, loop.loop) + "`";
  bool touches = false, moves = false;
  for (const Access& a : accesses(p, loop.body, t)) {
    // An instruction asks for what it reads, not for where it writes.
    if (a.initialises || (!a.reads && !as<Leaf>(a.by))) continue;
    touches = true;
    for (const Range& r : a.window) {
      if (mentions_load(r.lo))
        return step
            .refusal(codes::bad_window, "where " + name + " is " + (a.reads ? "read" : "written") +
                                            " depends on data, which is not known ahead")
            .label(a.by->place, a.reads ? "read here" : "written here")
            .with_help("prefetch the tensor that the place is read from");
      moves |= mentions(r.lo, loop.loop);
    }
  }
  if (!touches) return step.refusal(codes::bad_window, "nothing reads or writes " + name + " inside " + at);
  if (!moves)
    return step.refusal(codes::bad_window, "every iteration of " + at + " touches the same of " + name)
        .with_help("name a loop that its subscripts move with");
  return Done{};
}

}  // namespace

Result<Done> prefetch_step(Step& step) {
  Program& p = step.program;
  Result<std::vector<BufferId>> buffers = find_buffers(step, step.call.operands[0]);
  if (!buffers) return buffers.errors();
  Result<SymbolId> loop = find_loop(step, step.call.with.at("at")[0]);
  if (!loop) return loop.errors();
  Result<int64_t> ahead = integer_after(step, "by", 1);
  if (!ahead) return ahead.errors();
  const BufferId t = (*buffers)[0];
  if (buffers->size() != 1 || !p.buffer(t).field.empty())
    return step.refusal(codes::bad_window, "`" + p.buffer(t).name + "` has several fields")
        .with_help("only plain tensors are asked for ahead");
  if (Memory m = p.buffer(t).memory; m != Memory::dram && m != Memory::l2)
    return step.refusal(codes::unknown_memory, "`" + p.buffer(t).name + "` lives in `" + memory_name(m) +
                                                   "`, where nothing has to be waited for");
  Path path = path_to_loop(p, *loop);
  For l = loop_of(path);
  for (const Prefetch& f : l.prefetch)
    if (f.buffer == t)
      return step.refusal(codes::wrong_loop_kind,
                          "`" + loop_name(p, *loop) + "` asks for `" + p.buffer(t).name + "` already");
  const std::vector<Prefetch> others = std::move(l.prefetch);
  l.prefetch.clear();
  replace(p, path.back(), {make_stmt(l, path.back()->place)});
  path = path_to_loop(p, *loop);
  Result<Done> serial = can_rewrite(step, path);
  if (!serial) return serial;
  Result<Done> moves = moves_along(step, t, l);
  if (!moves) return moves;
  l.prefetch = others;
  l.prefetch.push_back({t, *ahead});
  replace(p, path.back(), {make_stmt(std::move(l), step.call.place)});
  return Done{};
}

}  // namespace heddle::schedule
