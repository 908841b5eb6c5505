#include "schedule/instr_match.h"

#include <algorithm>
#include <map>

#include "ir/instr_layout.h"
#include "ir/print.h"
#include "ir/region.h"

namespace heddle::schedule {

using namespace ir;

namespace {

bool commutes(BinaryOp op) {
  return op == BinaryOp::add || op == BinaryOp::mul || op == BinaryOp::min || op == BinaryOp::max ||
         op == BinaryOp::bit_and || op == BinaryOp::bit_or || op == BinaryOp::bit_xor || op == BinaryOp::eq ||
         op == BinaryOp::ne;
}

class Matcher {
 public:
  /// `turned`: of what commutes, the operands are tried the other way round first. Two of one type agree either way; which is meant only
  /// their dims tell.
  Matcher(const Step& step, const InstrNest& nest, const Instr& instr, bool turned)
      : step_(step), p_(step.program), nest_(nest), instr_(instr), line_(instr.lines[0]), turned_(turned) {
    const Stage& row = p_.stage(nest.leaf().stage);
    for (size_t i = 0; i < row.axes.size(); ++i) point_.emplace_back(row.axes[i].symbol, nest.leaf().bindings[i]);
    operands_.resize(instr.operands.size());
    facts_ = facts_at(p_, nest.around);
  }

  Result<Call> run() {
    const Leaf& leaf = nest_.leaf();
    const Assign& assign = leaf.assigns[0];
    const std::string stage = "`" + p_.stage(leaf.stage).name + "`";
    if (leaf.assigns.size() != 1 || !assign.over.empty() || assign.kind == AssignKind::update)
      return other(stage + " is no plain equation or reduction");
    if ((assign.kind == AssignKind::combine ? leaf.reducer : "") != line_.reducer)
      return other(stage + " " + assigns(assign.kind == AssignKind::combine ? leaf.reducer : "") + ", " + name() + " " +
                   assigns(line_.reducer));
    const InstrOperand& left = instr_.operands[static_cast<size_t>(line_.operand)];
    if (!take(static_cast<size_t>(line_.operand), assign.buffer, assign.subs, line_.subs)) return other(why_);
    if (!unify(line_.value, assign.value))
      return other(why_.empty() ? stage + " computes `" + print(p_, assign.value) + "`, " + name() + " computes `" +
                                      instr_text() + "`"
                                : why_);
    for (size_t o = 0; o < operands_.size(); ++o)
      if (!operands_[o].buffer.known())
        return other(name() + " does not use its operand `" + instr_.operands[o].name + "` in `" + left.name + "`");
    return windows();
  }

 private:
  struct Operand {
    BufferId buffer;
    std::vector<Expr> subs;      // over loops
    std::vector<SymbolId> axes;  // of the line, one for each dim of the operand
    std::vector<size_t> dims;    // of the buffer, one for each dim of the operand
  };

  std::string name() const { return "`" + instr_.name + "`"; }
  static std::string assigns(const std::string& reducer) {
    return reducer.empty() ? "defines its cells" : "combines by `" + reducer + "`";
  }
  Diagnostic other(std::string message) const {
    return step_.refusal(codes::other_meaning, std::move(message)).label(nest_.leaf_stmt->place, "the leaf");
  }
  std::string instr_text() const {
    std::string text = print_instr(instr_, p_);
    const size_t from = text.find("{\n");
    const size_t to = text.find('\n', from + 2);
    return from == std::string::npos ? instr_.name : text.substr(from + 4, to - from - 4);
  }

  // --- meaning -------------------------------------------------------------------------------------------------------

  bool take(size_t o, BufferId buffer, const std::vector<Expr>& subs, const std::vector<Expr>& own) {
    const InstrOperand& row = instr_.operands[o];
    const Buffer& b = p_.buffer(buffer);
    const std::string what = "`" + buffer_name(p_, buffer) + "`";
    if (b.type != row.type) {
      why_ = what + " is " + std::string(scalar_type_name(b.type)) + ", " + name() + " takes " +
             std::string(scalar_type_name(row.type)) + " as `" + row.name + "`";
      return false;
    }
    Operand found{buffer, {}, {}, {}};
    for (const Expr& e : subs) found.subs.push_back(simplify(substitute(e, point_)));
    for (const Expr& e : own) found.axes.push_back(e.as<Var>()->symbol);
    Operand& slot = operands_[o];
    if (slot.buffer.known()) {
      bool again = slot.buffer == buffer && slot.axes == found.axes && slot.subs.size() == found.subs.size();
      for (size_t i = 0; again && i < subs.size(); ++i) again = same(slot.subs[i], found.subs[i]);
      if (!again) why_ = name() + " reads one window as `" + row.name + "`, here it would be two";
      return again;
    }
    if (found.subs.size() < row.dims.size()) {
      why_ = what + " has fewer dims than `" + row.name + "` of " + name();
      return false;
    }
    slot = std::move(found);
    return true;
  }

  bool unify(const Expr& pattern, const Expr& e) {
    if (pattern.type() != e.type() && !(pattern.as<Load>() && e.as<Load>())) return false;
    if (const Load* read = pattern.as<Load>()) {
      const Load* l = e.as<Load>();
      if (!l) return false;
      if (l->otherwise.known()) {
        why_ = "`" + buffer_name(p_, l->buffer) + "` is read with `or`, which " + name() +
               " cannot: a copy by `cache` holds the padding";
        return false;
      }
      return take(read->buffer.value, l->buffer, l->subs, read->subs);
    }
    if (pattern->form.index() != e->form.index()) return false;
    if (pattern.as<Constant>()) return same(pattern, e);
    if (const Unary* u = pattern.as<Unary>())
      return u->op == e.as<Unary>()->op && unify(u->value, e.as<Unary>()->value);
    if (const Convert* c = pattern.as<Convert>())
      return c->mode == e.as<Convert>()->mode && unify(c->value, e.as<Convert>()->value);
    if (const Binary* b = pattern.as<Binary>()) {
      const Binary* other = e.as<Binary>();
      if (b->op != other->op) return false;
      const std::vector<Operand> before = operands_;
      const auto agree = [&](bool turned) {
        return unify(b->left, turned ? other->right : other->left) &&
               unify(b->right, turned ? other->left : other->right);
      };
      const bool turned = turned_ && commutes(b->op);
      if (agree(turned)) return true;
      if (!commutes(b->op)) return false;
      const std::string first = why_;
      operands_ = before;
      if (agree(!turned)) return true;
      if (!first.empty()) why_ = first;
      return false;
    }
    if (const Select* s = pattern.as<Select>()) {
      const Select* other = e.as<Select>();
      return unify(s->condition, other->condition) && unify(s->yes, other->yes) && unify(s->no, other->no);
    }
    if (const MathCall* m = pattern.as<MathCall>()) {
      const MathCall* other = e.as<MathCall>();
      bool alike = m->function == other->function && m->args.size() == other->args.size();
      for (size_t i = 0; alike && i < m->args.size(); ++i) alike = unify(m->args[i], other->args[i]);
      return alike;
    }
    return false;
  }

  // --- axes ----------------------------------------------------------------------------------------------------------

  // The loop of the nest that moves a subscript; unknown for none. Refused where it does not move by one.
  Result<SymbolId> mover(const Operand& o, const Expr& sub) const {
    SymbolId found;
    for (const For& l : nest_.loops) {
      if (!mentions(sub, l.loop)) continue;
      const std::string what = "`" + buffer_name(p_, o.buffer) + "` is indexed by `" + print(p_, sub) + "`, which ";
      const AffineIn in = affine_in(sub, l.loop);
      if (found.known() || !in.ok || in.coefficient != 1)
        return other(what + (found.known() ? "moves with two loops of the nest" : "does not move by one"))
            .with_help("replace a loop further inside, or copy the tensor with `cache` first");
      found = l.loop;
    }
    return found;
  }

  // Gives each dim of each operand a dim of its buffer, so that an axis is the same loop, or none, everywhere. What is left over
  // of a buffer are single indices, the leftmost where there is a choice.
  bool assign_dims(size_t o, size_t k, size_t d) {
    if (o == operands_.size()) return true;
    Operand& at = operands_[o];
    const size_t rank = at.subs.size();
    if (k == at.axes.size()) {
      for (size_t rest = d; rest < rank; ++rest)
        if (movers_[o][rest].known()) return false;
      return assign_dims(o + 1, 0, 0);
    }
    if (rank - d < at.axes.size() - k) return false;
    const SymbolId loop = movers_[o][d];
    if (!loop.known() && rank - d > at.axes.size() - k && assign_dims(o, k, d + 1)) return true;
    const auto known = axis_loop_.find(at.axes[k]);
    if (known != axis_loop_.end() && known->second != loop) return false;
    const bool fresh = known == axis_loop_.end();
    if (fresh && loop.known())
      for (const auto& [axis, other] : axis_loop_)
        if (other == loop) return false;
    axis_loop_[at.axes[k]] = loop;
    at.dims.push_back(d);
    if (assign_dims(o, k + 1, d + 1)) return true;
    at.dims.pop_back();
    if (fresh) axis_loop_.erase(at.axes[k]);
    return false;
  }

  int64_t most(SymbolId axis) const {
    int64_t least = 0;
    for (const Axis& a : line_.axes)
      if (a.symbol == axis)
        for (const InstrOperand& o : instr_.operands)
          for (size_t d = 0; d < o.dims.size(); ++d)
            if (same(var(o.dims[d]), a.hi) && o.max_extents[d] && (!least || o.max_extents[d] < least))
              least = o.max_extents[d];
    return least;
  }
  std::string dim_name(SymbolId axis) const {
    for (const Axis& a : line_.axes)
      if (a.symbol == axis) return p_.symbol(a.hi.as<Var>()->symbol).name;
    return {};
  }

  Result<Call> windows() {
    for (const Operand& o : operands_) {
      movers_.emplace_back();
      for (const Expr& sub : o.subs) {
        Result<SymbolId> loop = mover(o, sub);
        if (!loop) return loop.errors();
        movers_.back().push_back(*loop);
      }
    }
    if (!assign_dims(0, 0, 0)) return no_axes();
    for (const For& l : nest_.loops) {
      SymbolId axis;
      for (const auto& [a, loop] : axis_loop_)
        if (loop == l.loop) axis = a;
      const std::string loop = "`" + loop_name(p_, l.loop) + "`";
      if (!axis.known()) return other(loop + " is no axis of " + name()).with_help("replace a loop inside it");
      for (const For& outer : nest_.loops)
        if (mentions(l.lo, outer.loop) || mentions(l.hi, outer.loop))
          return other("the bounds of " + loop + " depend on `" + loop_name(p_, outer.loop) + "`");
      const Expr extent = simplify(l.hi - l.lo, facts_);
      if (const int64_t limit = most(axis); limit && !prove(facts_, less_equal(extent, index_constant(limit))))
        return other(loop + " has `" + print(p_, extent) + "` iterations, " + name() + " takes at most " +
                     std::to_string(limit) + " as `" + dim_name(axis) + "`")
            .with_help("`split` it by " + std::to_string(limit) + " and replace the inner loop");
    }
    return call();
  }

  Diagnostic no_axes() const {
    for (size_t o = 0; o < operands_.size(); ++o) {
      size_t moving = 0;
      for (SymbolId loop : movers_[o]) moving += loop.known();
      if (moving > operands_[o].axes.size())
        return other("`" + buffer_name(p_, operands_[o].buffer) + "` moves with " + std::to_string(moving) +
                     " loops of the nest, `" + instr_.operands[o].name + "` of " + name() + " has " +
                     std::to_string(operands_[o].axes.size()) + " dims")
            .with_help("replace a loop further inside");
    }
    for (const For& l : nest_.loops) {
      std::vector<std::string> where;
      for (size_t o = 0; o < operands_.size(); ++o)
        if (std::find(movers_[o].begin(), movers_[o].end(), l.loop) != movers_[o].end())
          where.push_back(instr_.operands[o].name);
      bool fits = false;
      for (const Axis& a : line_.axes) {
        std::vector<std::string> needs;
        for (size_t o = 0; o < operands_.size(); ++o)
          if (std::find(operands_[o].axes.begin(), operands_[o].axes.end(), a.symbol) != operands_[o].axes.end())
            needs.push_back(instr_.operands[o].name);
        fits |= needs == where;
      }
      if (fits) continue;
      std::string list;
      for (const std::string& w : where) list += (list.empty() ? "`" : ", `") + w + "`";
      return other("`" + loop_name(p_, l.loop) + "` moves " + (list.empty() ? "no operand" : list) +
                   ", as no axis of " + name() + " does");
    }
    return other("the dims of the tensors stand in another order than those of " + name());
  }

  // --- windows -------------------------------------------------------------------------------------------------------

  // Ends of a guard: `left < right` says how many iterations of one axis are real.
  Result<Done> guards(std::map<SymbolId, Expr>& extents) {
    for (const Expr& guard : conjuncts(nest_.leaf().predicate)) {
      const Binary* c = guard.as<Binary>();
      const bool bound =
          c && c->left.type() == ScalarType::index &&
          (c->op == BinaryOp::lt || c->op == BinaryOp::le || c->op == BinaryOp::gt || c->op == BinaryOp::ge);
      const std::string text = "the condition `" + print(p_, guard) + "` ";
      if (!bound || mentions_load(guard)) return other(text + "is no bound of an axis of " + name());
      const bool swap = c->op == BinaryOp::gt || c->op == BinaryOp::ge;
      Expr slack = swap ? c->left - c->right : c->right - c->left;  // holds where slack > 0
      if (c->op == BinaryOp::le || c->op == BinaryOp::ge) slack = slack + 1;
      SymbolId loop;
      for (const For& l : nest_.loops)
        if (mentions(slack, l.loop)) {
          if (loop.known()) return other(text + "bounds two loops of the nest at once");
          loop = l.loop;
        }
      Result<Done> done = loop.known() ? bound_loop(extents, loop, slack, text) : bound_unit(extents, slack, text);
      if (!done) return done;
    }
    return Done{};
  }

  Result<Done> bound_loop(std::map<SymbolId, Expr>& extents, SymbolId loop, const Expr& slack,
                          const std::string& text) {
    const AffineIn in = affine_in(simplify(slack), loop);
    if (!in.ok || in.coefficient != -1) return other(text + "is no upper bound of `" + loop_name(p_, loop) + "`");
    for (const For& l : nest_.loops)
      for (const auto& [axis, of] : axis_loop_)
        if (l.loop == loop && of == loop) extents[axis] = ir::min(extents[axis], in.rest - l.lo);
    return Done{};
  }

  // A guard of the whole call: an axis of one iteration has none where it is false.
  Result<Done> bound_unit(std::map<SymbolId, Expr>& extents, const Expr& slack, const std::string& text) {
    for (const Operand& o : operands_)
      for (size_t k = 0; k < o.axes.size(); ++k) {
        if (axis_loop_.at(o.axes[k]).known()) continue;
        const Expr& at = o.subs[o.dims[k]];
        const Expr end = simplify(at + slack);  // the guard is `at < end`
        bool moves = false, fixed = true;
        for (const StmtRef& s : nest_.around)
          if (const For* l = as<For>(s))
            moves |= mentions(at, l->loop) && mentions(slack, l->loop), fixed &= !mentions(end, l->loop);
        if (!moves || !fixed) continue;
        extents[o.axes[k]] = ir::min(extents[o.axes[k]], slack);
        return Done{};
      }
    return other(text + "skips whole points, and " + name() + " has no axis that it bounds")
        .with_help("split so that no guard is left, or replace a loop further outside");
  }

  Result<Call> call() {
    std::map<SymbolId, Expr> extents;
    for (const auto& [axis, loop] : axis_loop_) {
      extents[axis] = index_constant(1);
      for (const For& l : nest_.loops)
        if (l.loop == loop) extents[axis] = simplify(l.hi - l.lo, facts_);
    }
    Result<Done> bounded = guards(extents);
    if (!bounded) return bounded.errors();
    Call out{instr_.name, {}};
    for (const Operand& o : operands_) {
      Window w{o.buffer, {}};
      for (size_t d = 0, k = 0; d < o.subs.size(); ++d) {
        if (k == o.dims.size() || o.dims[k] != d) {
          Range single{o.subs[d], simplify(o.subs[d] + 1)};
          single.point = true;
          w.ranges.push_back(std::move(single));
          continue;
        }
        const SymbolId axis = o.axes[k++];
        Expr lo = o.subs[d];
        for (const For& l : nest_.loops)
          if (l.loop == axis_loop_.at(axis)) lo = simplify(substitute(lo, {{l.loop, l.lo}}));
        const Expr& extent = extents.at(axis);
        Range r{lo, end_of(lo, extent)};
        if (!constant_value(extent)) r.max_extent = most(axis);
        w.ranges.push_back(std::move(r));
      }
      out.windows.push_back(std::move(w));
    }
    return out;
  }

  // lo + min(a, b) as min(lo + a, lo + b), each side in its own normal form.
  static Expr end_of(const Expr& lo, const Expr& extent) {
    if (const Binary* b = extent.as<Binary>(); b && b->op == BinaryOp::min)
      return ir::min(end_of(lo, b->left), end_of(lo, b->right));
    return simplify(lo + extent);
  }

  const Step& step_;
  const Program& p_;
  const InstrNest& nest_;
  const Instr& instr_;
  const InstrLine& line_;
  bool turned_;
  Substitution point_;
  Facts facts_;
  std::vector<Operand> operands_;
  std::vector<std::vector<SymbolId>> movers_;
  std::map<SymbolId, SymbolId> axis_loop_;  // axis of the line -> loop of the nest, unknown for one iteration
  std::string why_;
};

}  // namespace

Result<Call> match_instr(const Step& step, const InstrNest& nest, const Instr& instr) {
  Result<Call> as_written = Matcher(step, nest, instr, false).run();
  if (as_written) return as_written;
  Result<Call> turned = Matcher(step, nest, instr, true).run();
  return turned ? turned : as_written;
}

// Places
// ----------------------------------------------------------------------------------------------------------------

namespace {

// What has an address: a nearer memory serves where a farther one is asked for.
int distance(Memory m) {
  switch (m) {
    case Memory::l1: return 1;
    case Memory::l2: return 2;
    case Memory::dram: return 3;
    default: return 0;
  }
}
bool serves(Memory have, Memory need) {
  return have == need || (distance(have) && distance(need) && distance(have) <= distance(need));
}

std::string layout_text(const Program& p, const std::optional<Layout>& layout) {
  if (!layout) return "row-major";
  std::string from, to;
  for (SymbolId s : layout->from) from += (from.empty() ? "" : ", ") + p.symbol(s).name;
  for (const Expr& e : layout->to) to += (to.empty() ? "" : ", ") + print(p, e);
  return "(" + from + ") -> (" + to + ")";
}

}  // namespace

Result<Done> match_places(const Step& step, const Call& call, const Instr& instr, const Facts&) {
  const Program& p = step.program;
  for (size_t o = 0; o < call.windows.size(); ++o) {
    const InstrOperand& operand = instr.operands[o];
    const Window& w = call.windows[o];
    const Buffer& b = p.buffer(w.buffer);
    const std::string what = "`" + buffer_name(p, w.buffer) + "`", who = "`" + instr.name + "`";
    if (!serves(b.memory, operand.memory))
      return step
          .refusal(codes::other_meaning, what + " is in " + memory_name(b.memory) + ", " + who + " needs `" +
                                             operand.name + "` in " + memory_name(operand.memory))
          .with_help("`cache " + b.name + " in " + memory_name(operand.memory) + " at ..` makes a copy there");
    if (!operand.layout && !b.layout) continue;
    if (lies_as(p, w, instr, o)) continue;
    std::string needs = layout_text(p, operand.layout);
    return step
        .refusal(codes::other_meaning,
                 what + " is " +
                     (b.layout ? "laid out as `" + layout_text(p, b.layout) + "`" : std::string("row-major")) + ", " +
                     who + " needs `" + operand.name + "` " + (operand.layout ? "as `" + needs + "`" : needs))
        .with_help(b.role == Role::temporary
                       ? "`layout " + b.name + "[..] to (..)` says where a temporary keeps its elements"
                       : "copy it with `cache`, and give the copy the layout");
  }
  return Done{};
}

}  // namespace heddle::schedule
