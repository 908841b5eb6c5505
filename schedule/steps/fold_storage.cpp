// fold_storage S by N
//
//   alloc s[i in a .. b, ..] ; for M { .. s[lo(M) .. lo(M) + k, ..] .. }    (k <= N, lo moves upwards with M)
//     ->  alloc s[..] layout(i, ..) -> (i%N, ..) ; the same
//
// Circular storage: along the dim that moves with the loop the buffer keeps N slices. All that an iteration touches lies
// in k slices, and later iterations never go back, so what a new slice takes the place of is not read any more.
//
// Refused: the buffer is not used by one serial loop right behind its allocation (`store_at` places it so); no dim moves
// upwards with that loop; an iteration touches more than N slices, or it cannot be shown how many; it has a layout.
#include <algorithm>

#include "ir/print.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/order.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// The loop that alone uses the buffers.
Result<StmtRef> loop_over(const Step& step, const std::vector<BufferId>& buffers) {
  const Program& p = step.program;
  const std::string name = "`" + p.buffer(buffers[0]).name + "`";
  Path alloc = path_to_alloc(p, buffers[0]);
  const Body& body = alloc.size() < 2 ? p.body : children(alloc[alloc.size() - 2]);
  StmtRef found;
  for (const StmtRef& s : body) {
    if (!touches(p, {s}, buffers)) continue;
    const For* l = as<For>(s);
    if (!found && l && l->kind == LoopKind::serial && !is_case_loop(*l)) {
      found = s;
      continue;
    }
    return step.refusal(codes::not_nested, name + " is not used by one serial loop alone, behind its allocation")
        .label(s->place, "used here")
        .with_help("compute it where it is read, and `store_at` right outside that loop");
  }
  return found;
}

// Loops that begin later except in a first iteration (sliding windows), as that one: it touches all that others do.
Body with_first_iterations(const Body& body) {
  return rewrite_body(body, [](const StmtRef& s) -> Body {
    const For* l = as<For>(s);
    const Select* from = l ? l->lo.as<Select>() : nullptr;
    const int64_t *yes = from ? constant_value(from->yes) : nullptr, *no = from ? constant_value(from->no) : nullptr;
    if (!yes || !no) return {s};
    For whole = *l;
    whole.lo = index_constant(std::min(*yes, *no));
    return {make_stmt(std::move(whole), s->place)};
  });
}

}  // namespace

Result<Done> fold_storage_step(Step& step) {
  Program& p = step.program;
  Result<StageId> stage = find_stage(step, step.call.operands[0]);
  if (!stage) return stage.errors();
  Result<int64_t> n = integer_after(step, "by", 1);
  if (!n) return n.errors();
  const std::string name = "`" + p.stage(*stage).name + "`";
  std::vector<BufferId> buffers;
  const Leaf leaf = leaves_of(p, *stage).front().leaf();
  for (const Assign& a : leaf.assigns) {
    buffers.push_back(a.buffer);
    if (p.buffer(a.buffer).role != Role::temporary)
      return step.refusal(codes::touched_producer,
                          name + " is an output of the op; only temporaries are stored as we like");
    if (p.buffer(a.buffer).layout) return step.refusal(codes::bad_layout, name + " has a layout already");
  }
  Result<StmtRef> found = loop_over(step, buffers);
  if (!found) return found.errors();
  const For& l = std::get<For>((*found)->form);
  const std::string loop = "`" + loop_name(p, l.loop) + "`";
  const Facts at = facts_at(p, path_to_stmt(p, *found));
  const Body touched = with_first_iterations(l.body);
  size_t dim = SIZE_MAX;
  for (BufferId id : buffers) {
    TouchedBox box = touched_box(p, id, touched, at);
    bool moves = false;
    for (size_t d = 0; box.any && d < box.extents.size(); ++d) {
      AffineIn lo = affine_in(simplify(box.cover.dims[d].lo), l.loop);
      if (box.extents[d] == 0 || !lo.ok || lo.coefficient < 1 || (dim != SIZE_MAX && d != dim)) continue;
      if (box.extents[d] > *n)
        return step
            .refusal(codes::not_shown, "an iteration of " + loop + " uses " + std::to_string(box.extents[d]) +
                                           " slices of " + name + ", more than " + std::to_string(*n))
            .with_help("fold by " + std::to_string(box.extents[d]) + " or more");
      dim = d;
      moves = true;
      break;
    }
    if (!moves)
      return step.refusal(codes::not_shown,
                          "no dim of " + name + " moves upwards with " + loop + " by a constant number of slices");
  }
  for (BufferId id : buffers) {
    Buffer& b = p.buffers[id.value];
    Layout layout;
    for (size_t d = 0; d < b.box.size(); ++d) {
      std::string local = b.box[d].name.empty() ? "i" + std::to_string(d) : b.box[d].name;
      layout.from.push_back(p.add(Symbol{local, SymbolKind::local, ScalarType::index, {}, step.call.place}));
      Expr at_dim = var(layout.from.back());
      layout.to.push_back(d == dim ? binary(BinaryOp::mod, at_dim, index_constant(*n)) : at_dim);
    }
    p.buffers[id.value].layout = std::move(layout);
  }
  step.relied_on("an iteration of " + loop + " uses at most " + std::to_string(*n) + " slices of " + name +
                 ", and later ones none before them");
  return Done{};
}

}  // namespace heddle::schedule
