// See passes.h. The last pass: ends with choices in them are nothing that others understand.
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
      Body now = l && l->kind == LoopKind::serial ? twice(*l, s) : Body{s};
      // What is left as it is seldom runs: only the first is looked into.
      path_.push_back(now[0]);
      if (const Body& below = ir::children(now[0]); !below.empty()) now[0] = ir::with_children(now[0], body(below));
      path_.pop_back();
      out.insert(out.end(), now.begin(), now.end());
    }
    return out;
  }

 private:
  static constexpr int64_t most_leaves = 128, longest_short_loop = 16;

  // A condition of a leaf, and the unrolled loops, vectors and short loops around that.
  struct Guard {
    Expr condition;
    std::vector<ir::SymbolRange> written_out;
  };

  // What stands below a loop.
  struct Below {
    std::vector<ir::SymbolId> loops;  // those that run long, this one among them
    std::vector<ir::SymbolId> vectors;
    std::vector<Guard> guards;
    bool plain = true;  // neither checks nor instructions
  };

  // The range of a short loop, as that over the panels of a strip, whatever it is cut to: all of it is asked for at once.
  static std::optional<ir::SymbolRange> short_range(const For& l) {
    Expr end = l.hi;
    if (const auto* least = end.as<ir::Binary>(); least && least->op == ir::BinaryOp::min)
      end = ir::constant_value(least->left) ? least->left : least->right;
    const int64_t *lo = ir::constant_value(l.lo), *hi = ir::constant_value(end);
    if (!lo || !hi || *hi - *lo > longest_short_loop) return std::nullopt;
    return ir::SymbolRange{l.loop, l.lo, end};
  }

  static void look(const Body& list, std::vector<ir::SymbolRange>& written_out, Below& out) {
    for (const StmtRef& s : list) {
      const auto* l = std::get_if<For>(&s->form);
      const bool walks = l && l->kind != LoopKind::vector && l->kind != LoopKind::unrolled;
      const std::optional<ir::SymbolRange> range = walks ? short_range(*l) : std::nullopt;
      const bool runs = walks && !range;
      if (l && l->kind == LoopKind::vector) out.vectors.push_back(l->loop);
      if (runs) out.loops.push_back(l->loop);
      else if (l) written_out.push_back(range.value_or(ir::SymbolRange{l->loop, l->lo, l->hi}));
      if (const auto* leaf = std::get_if<Leaf>(&s->form))
        for (const Expr& e : ir::conjuncts(leaf->predicate)) out.guards.push_back({e, written_out});
      out.plain =
          out.plain && !std::holds_alternative<ir::Check>(s->form) && !std::holds_alternative<ir::Call>(s->form);
      look(ir::children(s), written_out, out);
      if (l && !runs) written_out.pop_back();
    }
  }

  static bool mentions_one(const Expr& e, const std::vector<ir::SymbolId>& loops) {
    return std::any_of(loops.begin(), loops.end(), [&](ir::SymbolId l) { return ir::mentions(e, l); });
  }

  // What has to hold for a condition to hold in all lanes of each leaf that has it; false where nothing outside says so, or it never does.
  static bool holds_when(const Expr& condition, const Below& below, const ir::Facts& facts, std::vector<Expr>& when) {
    Expr left, right;
    if (!mentions_one(condition, below.vectors) || mentions_one(condition, below.loops) ||
        ir::mentions_load(condition) || !as_less(condition, left, right))
      return false;
    for (const Guard& g : below.guards) {
      if (!ir::same(g.condition, condition)) continue;
      const ir::Bounds worst = ir::bounds_over(left - right, g.written_out, facts);
      if (!worst.ok || mentions_one(worst.hi, below.loops)) return false;
      const Expr holds = ir::less(worst.hi, ir::index_constant(0));
      if (ir::prove(facts, ir::less_equal(ir::index_constant(0), worst.hi))) return false;
      if (!contains(when, holds)) when.push_back(holds);
    }
    return true;
  }

  // The loop with the guards of its lanes gone, where they hold for all of it, then as it is; or only as it is.
  Body twice(const For& loop, const StmtRef& s) {
    Below below;
    below.loops.push_back(loop.loop);
    std::vector<ir::SymbolRange> written_out;
    look(loop.body, written_out, below);
    if (!below.plain || below.vectors.empty() || leaf_copies(loop.body) > most_leaves) return {s};
    const ir::Facts facts = ir::facts_at(p_, path_);
    std::vector<Expr> gone, hold;
    for (const Guard& g : below.guards) {
      std::vector<Expr> when = hold;
      if (contains(gone, g.condition) || !holds_when(g.condition, below, facts, when)) continue;
      gone.push_back(g.condition);
      hold = std::move(when);
    }
    if (gone.empty()) return {s};
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
