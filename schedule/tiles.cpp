#include "schedule/tiles.h"

#include <algorithm>

#include "ir/instr_layout.h"
#include "ir/visit.h"
#include "schedule/tree.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// What a buffer takes at least: where its elements lie may still be said by `layout`.
std::optional<int64_t> least_tiles(const Buffer& b) {
  const std::optional<int64_t> exact = tile_count(b);
  if (!exact || b.layout) return exact;
  constexpr int64_t bytes = tile_rows * tile_row_bytes;
  int64_t size = scalar_bytes(b.type);
  for (const BoxDim& d : b.box)
    if (__builtin_mul_overflow(size, *constant_value(simplify(d.hi - d.lo)), &size)) return exact;
  return std::min(*exact, size / bytes + (size % bytes != 0));
}

struct Live {
  BufferId buffer;
  int64_t tiles = 0;
};

Result<Done> walk_alive(const Step& step, const Body& body, std::vector<Live> alive) {
  const Program& p = step.program;
  for (const StmtRef& s : body) {
    if (const Alloc* a = as<Alloc>(s)) {
      for (BufferId id : a->buffers) {
        if (p.buffer(id).memory != Memory::tile) continue;
        const std::optional<int64_t> n = least_tiles(p.buffer(id));
        if (!n)
          return step.refusal(codes::not_constant, "`" + buffer_name(p, id) + "` in tile has no constant size")
              .label(s->place, "allocated here");
        alive.push_back({id, *n});
        int64_t sum = 0;
        std::string list;
        for (const Live& l : alive) {
          if (__builtin_add_overflow(sum, l.tiles, &sum)) sum = INT64_MAX;
          list += (list.empty() ? "`" : ", `") + buffer_name(p, l.buffer) + "` " + std::to_string(l.tiles);
        }
        if (sum > tile_registers)
          return step
              .refusal(codes::too_many_tiles, std::to_string(sum) + " tiles are alive at once, of " +
                                                  std::to_string(tile_registers) + " that there are: " + list)
              .with_help("a tile holds 16 rows of 64 bytes; nothing is spilled, so make the boxes smaller");
      }
      continue;
    }
    Result<Done> below = walk_alive(step, children(s), alive);
    if (!below) return below;
  }
  return Done{};
}

}  // namespace

Result<Done> fits_tiles(const Step& step) { return walk_alive(step, step.program.body, {}); }

}  // namespace heddle::schedule
