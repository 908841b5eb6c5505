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
// Later steps are refused where this would no longer hold (folds_hold).
#include "schedule/folds.h"
#include "schedule/legality.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

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
  Result<Fold> fold = fold_of(step, buffers, *n);
  if (!fold) return fold.errors();
  for (BufferId id : buffers) {
    Buffer& b = p.buffers[id.value];
    Layout layout;
    for (size_t d = 0; d < b.box.size(); ++d) {
      std::string local = b.box[d].name.empty() ? "i" + std::to_string(d) : b.box[d].name;
      layout.from.push_back(p.add(Symbol{local, SymbolKind::local, ScalarType::index, {}, step.call.place}));
      Expr at_dim = var(layout.from.back());
      layout.to.push_back(d == fold->dim ? binary(BinaryOp::mod, at_dim, index_constant(*n)) : at_dim);
    }
    p.buffers[id.value].layout = std::move(layout);
  }
  step.relied_on("an iteration of `" + loop_name(p, fold->loop) + "` uses at most " + std::to_string(*n) +
                 " slices of " + name + ", and later ones none before them");
  return Done{};
}

}  // namespace heddle::schedule
