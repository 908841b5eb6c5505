// See passes.h. The last pass, for targets without masks: ends with choices in them are nothing that others understand.
#include <algorithm>

#include "backend/host/passes.h"
#include "ir/parts.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::For;
using ir::Leaf;
using ir::LoopKind;
using ir::StmtRef;

namespace {

class Unswitch {
 public:
  explicit Unswitch(ir::Program& p) : p_(p) {}

  Body body(const Body& list) {
    Body out;
    for (const StmtRef& s : list) {
      const auto* l = std::get_if<For>(&s->form);
      if (l && l->kind == LoopKind::serial) {
        if (Body both = twice(*l, s); !both.empty()) {
          out.insert(out.end(), both.begin(), both.end());
          continue;
        }
      }
      path_.push_back(s);
      const Body& below = ir::children(s);
      out.push_back(below.empty() ? s : ir::with_children(s, body(below)));
      path_.pop_back();
    }
    return out;
  }

 private:
  static constexpr int64_t most_leaves = 128;

  // What stands below a loop.
  struct Below {
    std::vector<ir::SymbolId> loops;           // those that run, this one among them
    std::vector<ir::SymbolRange> written_out;  // unrolled loops and vectors
    std::vector<ir::SymbolId> vectors;
    std::vector<Expr> guards;
    bool plain = true;  // neither checks nor instructions
  };

  static Below look(const For& loop) {
    Below out;
    out.loops.push_back(loop.loop);
    ir::walk(loop.body, [&](const StmtRef& s) {
      if (const auto* l = std::get_if<For>(&s->form)) {
        if (l->kind == LoopKind::vector) out.vectors.push_back(l->loop);
        if (l->kind == LoopKind::vector || l->kind == LoopKind::unrolled)
          out.written_out.push_back({l->loop, l->lo, l->hi});
        else out.loops.push_back(l->loop);
      }
      if (const auto* leaf = std::get_if<Leaf>(&s->form))
        for (const Expr& e : ir::conjuncts(leaf->predicate))
          if (!contains(out.guards, e)) out.guards.push_back(e);
      out.plain =
          out.plain && !std::holds_alternative<ir::Check>(s->form) && !std::holds_alternative<ir::Call>(s->form);
      return out.plain;
    });
    return out;
  }

  static bool mentions_one(const Expr& e, const std::vector<ir::SymbolId>& loops) {
    return std::any_of(loops.begin(), loops.end(), [&](ir::SymbolId l) { return ir::mentions(e, l); });
  }

  // The loop with the guards of its lanes gone, where they hold for all of it, then as it is.
  Body twice(const For& loop, const StmtRef& s) {
    const Below below = look(loop);
    if (!below.plain || below.vectors.empty() || leaf_copies(loop.body) > most_leaves) return {};
    const ir::Facts facts = ir::facts_at(p_, path_);
    std::vector<Expr> gone, hold;
    for (const Expr& e : below.guards) {
      Expr left, right;
      if (!mentions_one(e, below.vectors) || mentions_one(e, below.loops) || ir::mentions_load(e) ||
          !as_less(e, left, right))
        continue;
      const ir::Bounds worst = ir::bounds_over(left - right, below.written_out, facts);
      if (!worst.ok || mentions_one(worst.hi, below.loops)) continue;
      gone.push_back(e);
      if (const Expr holds = ir::less(worst.hi, ir::index_constant(0)); !contains(hold, holds)) hold.push_back(holds);
    }
    if (gone.empty()) return {};
    const Expr all = ir::simplify(ir::conjoin(hold));
    For whole = loop;
    whole.hi = ir::select(all, loop.hi, loop.lo);
    whole.body = without(loop.body, gone);
    ir::Part rest = ir::copy_part(p_, s->place, {s}, "rest", p_.symbol(loop.loop).owner, {});
    For last = std::get<For>(rest.body[0]->form);
    last.hi = ir::select(all, loop.lo, loop.hi);
    return {ir::make_stmt(std::move(whole), s->place), ir::make_stmt(std::move(last), s->place)};
  }

  ir::Program& p_;
  std::vector<StmtRef> path_;
};

}  // namespace

ir::Program unswitch(ir::Program program, const ir::Target& target) {
  if (target.has_masks) return program;
  Body body = Unswitch(program).body(program.body);
  program.body = std::move(body);
  return program;
}

}  // namespace heddle::host
