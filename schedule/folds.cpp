#include "schedule/folds.h"

#include <algorithm>

#include "ir/bound.h"
#include "ir/layout.h"
#include "ir/print.h"
#include "ir/region.h"
#include "schedule/names.h"
#include "schedule/order.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// Iterations come one after the other.
bool in_turn(const For& l) {
  return l.kind == LoopKind::serial || l.kind == LoopKind::unrolled || l.kind == LoopKind::pipelined ||
         (l.kind == LoopKind::bound && !is_tile_axis(l.axis));
}

// The loops that use the buffers: one, or one in each of the cases that a body is split into.
Result<std::vector<StmtRef>> loops_over(const Step& step, const std::vector<BufferId>& buffers, const Body& body) {
  const Program& p = step.program;
  std::vector<StmtRef> found;
  bool plain = false;  // the last one found is a loop that stands in no case
  std::vector<For> cases;
  for (const StmtRef& s : body) {
    if (!touches(p, {s}, buffers)) continue;
    // A reduction of something else is no loop: the one inside counts. Behind a case or a loop it is one too many.
    const Reduce* r = as<Reduce>(s);
    if (r && found.empty() && std::none_of(r->windows.begin(), r->windows.end(), [&](const Window& w) {
          return std::find(buffers.begin(), buffers.end(), w.buffer) != buffers.end();
        })) {
      Result<std::vector<StmtRef>> inside = loops_over(step, buffers, r->body);
      if (!inside) return inside.errors();
      found.insert(found.end(), inside->begin(), inside->end());
      plain = !inside->empty();
      continue;
    }
    const For* l = as<For>(s);
    const bool a_case = l && is_case_loop(*l) &&
                        std::all_of(cases.begin(), cases.end(), [&](const For& c) { return other_case(c, *l); });
    if (a_case) cases.push_back(*l);
    if (!l || plain || !(a_case || (found.empty() && in_turn(*l))))
      return step
          .refusal(codes::not_nested,
                   "`" + p.buffer(buffers[0]).name + "` is not used by one serial loop alone, behind its allocation")
          .label(s->place, "used here")
          .with_help("compute it where it is read, and `store_at` right outside that loop");
    plain = !a_case;
    if (plain) {
      found.push_back(s);
      continue;
    }
    Result<std::vector<StmtRef>> inside = loops_over(step, buffers, l->body);
    if (!inside) return inside.errors();
    found.insert(found.end(), inside->begin(), inside->end());
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

enum class Course { stays, rises, unknown };

// How a bound goes with the loop: `max(i - 2, 0)` rises, in steps of 0 or more.
Course course(const Expr& e, SymbolId loop) {
  if (AffineIn a = affine_in(e, loop); a.ok)
    return a.coefficient > 0 ? Course::rises : a.coefficient == 0 ? Course::stays : Course::unknown;
  const Binary* b = e.as<Binary>();
  if (!b || (b->op != BinaryOp::max && b->op != BinaryOp::min)) return Course::unknown;
  const Course left = course(b->left, loop), right = course(b->right, loop);
  return left == Course::unknown || right == Course::unknown ? Course::unknown : std::max(left, right);
}

Result<Fold> fold_along(const Step& step, const std::vector<BufferId>& buffers, const StmtRef& s, int64_t slices) {
  const Program& p = step.program;
  const std::string name = "`" + p.buffer(buffers[0]).name + "`";
  const For& l = std::get<For>(s->form);
  const std::string loop = "`" + loop_name(p, l.loop) + "`";
  const Facts at = facts_at(p, path_to_stmt(p, s));
  const Body touched = with_first_iterations(l.body);
  Fold out{l.loop, SIZE_MAX};
  for (BufferId id : buffers) {
    TouchedBox box = touched_box(p, id, touched, at);
    bool moves = false;
    for (size_t d = 0; box.any && d < box.extents.size(); ++d) {
      const Course lo = course(simplify(box.cover.dims[d].lo), l.loop);
      if (box.extents[d] == 0 || lo != Course::rises || (out.dim != SIZE_MAX && d != out.dim)) continue;
      if (box.extents[d] > slices)
        return step
            .refusal(codes::not_shown, "an iteration of " + loop + " uses " + std::to_string(box.extents[d]) +
                                           " slices of " + name + ", more than " + std::to_string(slices))
            .with_help("fold by " + std::to_string(box.extents[d]) + " or more");
      out.dim = d;
      moves = true;
      break;
    }
    if (!moves)
      return step.refusal(codes::not_shown,
                          "no dim of " + name + " moves upwards with " + loop + " by a constant number of slices");
  }
  return out;
}

}  // namespace

Result<Fold> fold_of(const Step& step, const std::vector<BufferId>& buffers, int64_t slices) {
  const Program& p = step.program;
  Path alloc = path_to_alloc(p, buffers[0]);
  Result<std::vector<StmtRef>> loops =
      loops_over(step, buffers, alloc.size() < 2 ? p.body : children(alloc[alloc.size() - 2]));
  if (!loops) return loops.errors();
  if (loops->empty())
    return step.refusal(codes::not_nested, "nothing uses `" + p.buffer(buffers[0]).name + "` behind its allocation");
  Result<Fold> out = fold_along(step, buffers, loops->front(), slices);
  for (size_t i = 1; out && i < loops->size(); ++i) {
    Result<Fold> other = fold_along(step, buffers, (*loops)[i], slices);
    if (!other) return other;
    if (other->dim != out->dim)
      return step.refusal(codes::not_shown, "cases move along different dims of `" + p.buffer(buffers[0]).name + "`");
  }
  return out;
}

Result<Done> folds_hold(const Step& step) {
  const Program& p = step.program;
  std::optional<Diagnostic> broken;
  walk(p.body, [&](const StmtRef& s) {
    const Alloc* a = as<Alloc>(s);
    for (size_t i = 0; a && !broken && i < a->buffers.size(); ++i) {
      const Buffer& b = p.buffer(a->buffers[i]);
      for (size_t d = 0; d < b.box.size() && !broken; ++d) {
        const int64_t slices = folded_places(b, d);
        if (slices == 0 || accesses(p, p.body, a->buffers[i]).empty()) continue;
        Result<Fold> still = fold_of(step, {a->buffers[i]}, slices);
        if (still && still->dim == d) continue;
        broken = still ? step.refusal(codes::not_shown,
                                      "`" + b.name + "` would no longer move along the dim it is folded by")
                       : still.errors().front();
        broken->help = "move this line above `fold_storage`";
      }
    }
    return !broken;
  });
  if (broken) return *broken;
  return Done{};
}

}  // namespace heddle::schedule
