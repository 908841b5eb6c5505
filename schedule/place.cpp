#include "schedule/place.h"

#include "ir/print.h"
#include "support/limits.h"

namespace heddle::schedule {

using namespace ir;

Range range_of(const TouchedBox& box, size_t d) {
  if (box.extents[d] > 0) {
    Expr lo = simplify(box.cover.dims[d].lo);
    return {lo, simplify(lo + box.extents[d])};
  }
  return {simplify(box.exact.dims[d].lo), simplify(box.exact.dims[d].hi)};
}

std::optional<int64_t> constant_bytes(const Program& program, BufferId buffer) {
  const Buffer& b = program.buffer(buffer);
  int64_t bytes = scalar_bytes(b.type);
  for (const BoxDim& d : b.box) {
    const int64_t* n = nullptr;
    Expr extent = simplify(d.hi - d.lo);
    if (!(n = constant_value(extent)) || __builtin_mul_overflow(bytes, *n < 0 ? 0 : *n, &bytes)) return std::nullopt;
  }
  return bytes;
}

Result<Memory> memory_for(const Step& step, const std::vector<BufferId>& buffers, std::optional<Memory> asked) {
  const Program& p = step.program;
  int64_t total = 0;
  for (BufferId id : buffers) {
    std::optional<int64_t> bytes = constant_bytes(p, id);
    if (bytes && !__builtin_add_overflow(total, *bytes, &total)) continue;
    if (asked != Memory::registers && asked != Memory::tile) return asked.value_or(Memory::dram);
    std::string box;
    for (const BoxDim& d : p.buffer(id).box) box += (box.empty() ? "" : " x ") + print(p, simplify(d.hi - d.lo));
    return step
        .refusal(codes::not_constant, "`" + p.buffer(id).name + "` would have `" + box +
                                          "` elements here, and registers need a constant number")
        .with_help("place it further inside, split by a constant, or choose another memory");
  }
  return asked.value_or(total <= limits::register_bytes ? Memory::registers : Memory::dram);
}

Result<Done> can_hold(const Step& step, const Path& path) {
  for (const StmtRef& s : path)
    if (const For* l = as<For>(s); l && l->kind == LoopKind::vector)
      return step
          .refusal(codes::wrong_loop_kind,
                   "`" + loop_name(step.program, l->loop) + "` is a vector loop; nothing can be placed inside it")
          .label(s->place, "made so here");
  return Done{};
}

}  // namespace heddle::schedule
