// Over 500 lines, as it is one table: a row is a name and a small function, and the rows share their helpers.
//
// The faults stand in groups: loops and bounds, guards and bindings, cells, reductions, memory, order and parallelism, values. Each is made of
// one of the `at ..` helpers, which collect the places in a program where it fits and change one of them.
#include "tests/fuzz/mutants/faults.h"

#include <functional>

#include "ir/math.h"
#include "ir/visit.h"

namespace heddle::fuzz {
namespace {

using namespace ir;
using Changed = std::optional<Program>;

// --- places ----------------------------------------------------------------------------------------------------------

// The statement at one random place where `change` gives something else; `change` returns nothing where the fault does not fit.
Changed at_stmt(const Program& p, Random& r, const std::function<std::optional<Body>(const StmtRef&)>& change) {
  std::vector<StmtRef> places;
  walk(p.body, [&](const StmtRef& s) {
    if (change(s)) places.push_back(s);
    return true;
  });
  if (places.empty()) return std::nullopt;
  const StmtRef chosen = r.pick(places);
  Program out = p;
  bool done = false;
  std::function<Body(const Body&)> rebuilt = [&](const Body& body) {
    Body list;
    for (const StmtRef& s : body) {
      if (s == chosen && !done) {
        done = true;
        const Body made = *change(s);
        list.insert(list.end(), made.begin(), made.end());
      } else {
        list.push_back(children(s).empty() ? s : with_children(s, rebuilt(children(s))));
      }
    }
    return list;
  };
  out.body = rebuilt(p.body);
  return out;
}

template <class T>
Changed at_form(const Program& p, Random& r, const std::function<bool(T&)>& change) {
  return at_stmt(p, r, [&](const StmtRef& s) -> std::optional<Body> {
    const T* form = std::get_if<T>(&s->form);
    if (!form) return std::nullopt;
    T copy = *form;
    if (!change(copy)) return std::nullopt;
    return Body{make_stmt(std::move(copy), s->place)};
  });
}

bool is_check(const Program& p, const For& l) { return p.symbol(l.loop).owner.find("@check") != std::string::npos; }

Changed at_loop(const Program& p, Random& r, const std::function<bool(For&)>& change) {
  return at_form<For>(p, r, [&](For& l) { return !is_check(p, l) && change(l); });
}

// One node of the values that leaves compute, where `change` gives another one of the same type.
Changed at_value(const Program& p, Random& r, const std::function<Expr(const Expr&)>& change) {
  return at_form<Leaf>(p, r, [&](Leaf& leaf) {
    std::vector<Expr> nodes;
    for (const Assign& a : leaf.assigns)
      walk(a.value, [&](const Expr& e) {
        if (change(e).known()) nodes.push_back(e);
        return true;
      });
    if (nodes.empty()) return false;
    const Expr chosen = nodes[static_cast<size_t>(r.below(static_cast<int>(nodes.size())))];
    for (Assign& a : leaf.assigns)
      a.value = rewrite(a.value, [&](const Expr& e) { return same(e, chosen) ? change(e) : e; });
    return true;
  });
}

Changed at_load(const Program& p, Random& r, const std::function<bool(Load&)>& change) {
  return at_value(p, r, [&](const Expr& e) -> Expr {
    const Load* l = e.as<Load>();
    if (!l) return {};
    Load copy = *l;
    return change(copy) ? load(e.type(), copy.buffer, copy.subs, copy.otherwise) : Expr{};
  });
}

// One comparison of a leaf's predicate.
Changed at_guard(const Program& p, Random& r, const std::function<Expr(const Binary&)>& change) {
  return at_form<Leaf>(p, r, [&](Leaf& leaf) {
    if (!leaf.predicate.known()) return false;
    std::vector<Expr> parts = ir::conjuncts(leaf.predicate);
    const size_t at = static_cast<size_t>(r.below(static_cast<int>(parts.size())));
    const Binary* b = parts[at].as<Binary>();
    if (!b) return false;
    const Expr next = change(*b);
    if (!next.known()) return false;
    parts[at] = next;
    leaf.predicate = ir::conjoin(parts);
    return true;
  });
}

template <class T>
T& one_of(std::vector<T>& list, Random& r) {
  return list[static_cast<size_t>(r.below(static_cast<int>(list.size())))];
}

Changed at_temporary(const Program& p, Random& r, const std::function<bool(Buffer&)>& change) {
  std::vector<uint32_t> ids;
  walk(p.body, [&](const StmtRef& s) {
    if (const Alloc* a = std::get_if<Alloc>(&s->form))
      for (BufferId id : a->buffers) {
        Buffer copy = p.buffer(id);
        if (change(copy)) ids.push_back(id.value);
      }
    return true;
  });
  if (ids.empty()) return std::nullopt;
  Program out = p;
  change(out.buffers[r.pick(ids)]);
  return out;
}

// --- loops -----------------------------------------------------------------------------------------------------------

Changed late_start(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) { return l.lo = l.lo + 1, l.kind != LoopKind::vector; });
}
Changed early_start(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) { return l.lo = l.lo - 1, l.kind != LoopKind::vector; });
}
Changed early_end(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) { return l.hi = l.hi - 1, true; });
}
Changed late_end(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) { return l.hi = l.hi + 1, true; });
}
Changed rounded_down(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) {
    const Binary* b = l.hi.as<Binary>();
    if (!b || b->op != BinaryOp::ceildiv) return false;
    l.hi = binary(BinaryOp::div, b->left, b->right);
    return true;
  });
}
Changed lost_loop(const Program& p, Random& r) {
  return at_stmt(p, r, [&](const StmtRef& s) -> std::optional<Body> {
    const For* l = std::get_if<For>(&s->form);
    if (!l || is_check(p, *l)) return std::nullopt;
    return Body{};
  });
}
Changed first_iteration_only(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) { return l.hi = l.lo + 1, l.kind != LoopKind::vector; });
}
Changed swapped_bounds_of_nest(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) {
    if (l.body.size() != 1 || l.kind != LoopKind::serial) return false;
    const For* m = std::get_if<For>(&l.body[0]->form);
    if (!m || m->kind != LoopKind::serial || mentions(m->hi, l.loop) || mentions(m->lo, l.loop)) return false;
    For inner = *m;
    std::swap(inner.lo, l.lo), std::swap(inner.hi, l.hi);
    l.body = {make_stmt(std::move(inner), l.body[0]->place)};
    return true;
  });
}

// --- guards and bindings -----------------------------------------------------------------------------------------------

Changed dropped_guards(const Program& p, Random& r) {
  return at_form<Leaf>(p, r, [](Leaf& l) { return l.predicate.known() && (l.predicate = Expr(), true); });
}
Changed dropped_guard(const Program& p, Random& r) {
  return at_guard(p, r, [](const Binary&) { return bool_constant(true); });
}
Changed guard_lets_one_more(const Program& p, Random& r) {
  return at_guard(
      p, r, [](const Binary& b) { return b.op == BinaryOp::lt ? binary(BinaryOp::le, b.left, b.right) : Expr(); });
}
Changed guard_lets_one_less(const Program& p, Random& r) {
  return at_guard(
      p, r, [](const Binary& b) { return b.op == BinaryOp::lt ? binary(BinaryOp::lt, b.left + 1, b.right) : Expr(); });
}
Changed negated_guard(const Program& p, Random& r) {
  return at_form<Leaf>(p, r, [](Leaf& l) {
    return l.predicate.known() && (l.predicate = unary(UnaryOp::logical_not, l.predicate), true);
  });
}
Changed shifted_binding(const Program& p, Random& r) {
  return at_form<Leaf>(p, r, [&](Leaf& l) {
    if (l.bindings.empty()) return false;
    Expr& e = one_of(l.bindings, r);
    e = e + (r.chance(50) ? 1 : -1);
    return true;
  });
}
Changed swapped_bindings(const Program& p, Random& r) {
  return at_form<Leaf>(p, r, [](Leaf& l) {
    if (l.bindings.size() < 2 || same(l.bindings[0], l.bindings[1])) return false;
    std::swap(l.bindings[0], l.bindings[1]);
    return true;
  });
}
Changed wrong_block_size(const Program& p, Random& r) {
  return at_form<Leaf>(p, r, [](Leaf& l) {
    bool changed = false;
    for (Expr& e : l.bindings)
      e = rewrite(e, [&](const Expr& node) {
        const Binary* b = node.as<Binary>();
        const int64_t* c = b && b->op == BinaryOp::mul ? constant_value(b->left) : nullptr;
        if (!c || changed || *c < 2) return node;
        changed = true;
        return index_constant(*c - 1) * b->right;
      });
    return changed;
  });
}

// --- cells -------------------------------------------------------------------------------------------------------------

Changed read_beside(const Program& p, Random& r) {
  return at_load(p, r, [](Load& l) { return !l.subs.empty() && (l.subs.back() = l.subs.back() + 1, true); });
}
Changed read_before(const Program& p, Random& r) {
  return at_load(p, r, [](Load& l) { return !l.subs.empty() && (l.subs.front() = l.subs.front() - 1, true); });
}
Changed read_transposed(const Program& p, Random& r) {
  return at_load(p, r, [](Load& l) {
    if (l.subs.size() < 2 || same(l.subs[0], l.subs[1])) return false;
    std::swap(l.subs[0], l.subs[1]);
    return true;
  });
}
Changed stale_index(const Program& p, Random& r) {
  return at_load(p, r, [](Load& l) {
    return !l.subs.empty() && !constant_value(l.subs.back()) && (l.subs.back() = index_constant(0), true);
  });
}
Changed read_of_another(const Program& p, Random& r) {
  return at_load(p, r, [&](Load& l) {
    const Buffer& mine = p.buffer(l.buffer);
    for (uint32_t i = 0; i < p.buffers.size(); ++i) {
      const Buffer& b = p.buffers[i];
      if (i == l.buffer.value || b.type != mine.type || b.box.size() != mine.box.size() || b.role != Role::in ||
          mine.role != Role::in)
        continue;
      l.buffer = BufferId{i};
      return true;
    }
    return false;
  });
}
Changed written_beside(const Program& p, Random& r) {
  return at_form<Leaf>(p, r, [](Leaf& l) {
    bool changed = false;
    for (Assign& a : l.assigns)
      if (!a.subs.empty()) a.subs[0] = a.subs[0] + 1, changed = true;
    return changed;
  });
}
Changed written_transposed(const Program& p, Random& r) {
  return at_form<Leaf>(p, r, [](Leaf& l) {
    if (l.assigns.size() != 1 || l.assigns[0].subs.size() < 2 || same(l.assigns[0].subs[0], l.assigns[0].subs[1]))
      return false;
    std::swap(l.assigns[0].subs[0], l.assigns[0].subs[1]);
    return true;
  });
}
Changed lost_otherwise(const Program& p, Random& r) {
  return at_load(p, r, [](Load& l) { return l.otherwise.known() && (l.otherwise = Expr(), true); });
}
Changed wrong_otherwise(const Program& p, Random& r) {
  return at_load(p, r, [](Load& l) {
    if (!l.otherwise.known()) return false;
    const ScalarType t = l.otherwise.type();
    l.otherwise = is_float(t)                ? real_constant(t, 3)
                  : t == ScalarType::boolean ? bool_constant(true)
                                             : integer_constant(t, 3);
    return true;
  });
}

// --- reductions ----------------------------------------------------------------------------------------------------------

Changed swapped_identity(const Program& p, Random& r) {
  // The region starts from the identity of another reducer: as if `max` began at 0.
  std::vector<StmtRef> places;
  walk(p.body, [&](const StmtRef& s) {
    if (const Reduce* reduce = std::get_if<Reduce>(&s->form))
      if (reduce->reducer == "max" || reduce->reducer == "min" || reduce->reducer == "prod" || reduce->reducer == "sum")
        places.push_back(s);
    return true;
  });
  if (places.empty()) return std::nullopt;
  const StmtRef chosen = r.pick(places);
  const std::string from = std::get<Reduce>(chosen->form).reducer, to = from == "sum"    ? "prod"
                                                                        : from == "prod" ? "sum"
                                                                        : from == "max"  ? "min"
                                                                                         : "max";
  return at_stmt(p, r, [&](const StmtRef& s) -> std::optional<Body> {
    if (s != chosen) return std::nullopt;
    Reduce region = std::get<Reduce>(s->form);
    region.reducer = to;
    region.body = rewrite_body(region.body, [&](const StmtRef& t) -> Body {
      const Leaf* l = std::get_if<Leaf>(&t->form);
      if (!l || l->reducer != from) return {t};
      Leaf leaf = *l;
      leaf.reducer = to;
      return {make_stmt(std::move(leaf), t->place)};
    });
    return Body{make_stmt(std::move(region), s->place)};
  });
}
Changed region_without_identity(const Program& p, Random& r) {
  return at_stmt(p, r, [](const StmtRef& s) -> std::optional<Body> {
    const Reduce* region = std::get_if<Reduce>(&s->form);
    return region ? std::optional<Body>(region->body) : std::nullopt;
  });
}
Changed region_inside_its_loop(const Program& p, Random& r) {
  return at_stmt(p, r, [](const StmtRef& s) -> std::optional<Body> {
    const Reduce* region = std::get_if<Reduce>(&s->form);
    const For* l = region && region->body.size() == 1 ? std::get_if<For>(&region->body[0]->form) : nullptr;
    if (!l) return std::nullopt;
    Reduce inner = *region;
    inner.body = l->body;
    For outer = *l;
    outer.body = {make_stmt(std::move(inner), s->place)};
    return Body{make_stmt(std::move(outer), region->body[0]->place)};
  });
}
Changed narrow_window(const Program& p, Random& r) {
  return at_form<Reduce>(p, r, [&](Reduce& region) {
    Window& w = one_of(region.windows, r);
    if (w.ranges.empty()) return false;
    Range& range = one_of(w.ranges, r);
    range.hi = range.hi - 1;
    return true;
  });
}
Changed shifted_window(const Program& p, Random& r) {
  return at_form<Reduce>(p, r, [&](Reduce& region) {
    Window& w = one_of(region.windows, r);
    if (w.ranges.empty()) return false;
    Range& range = one_of(w.ranges, r);
    range.lo = range.lo + 1, range.hi = range.hi + 1;
    return true;
  });
}
Changed combined_twice(const Program& p, Random& r) {
  return at_stmt(p, r, [](const StmtRef& s) -> std::optional<Body> {
    const Leaf* l = std::get_if<Leaf>(&s->form);
    return l && !l->reducer.empty() ? std::optional<Body>(Body{s, s}) : std::nullopt;
  });
}

// --- memory --------------------------------------------------------------------------------------------------------------

Changed small_box(const Program& p, Random& r) {
  return at_temporary(p, r, [](Buffer& b) { return !b.box.empty() && (b.box.back().hi = b.box.back().hi - 1, true); });
}
Changed late_box(const Program& p, Random& r) {
  return at_temporary(p, r,
                      [](Buffer& b) { return !b.box.empty() && (b.box.front().lo = b.box.front().lo + 1, true); });
}
Changed layout_that_folds(const Program& p, Random& r) {
  return at_temporary(p, r, [](Buffer& b) {
    if (!b.layout || b.layout->to.empty()) return false;
    b.layout->to.back() = index_constant(0);
    return true;
  });
}
Changed layout_of_another_block(const Program& p, Random& r) {
  return at_temporary(p, r, [](Buffer& b) {
    if (!b.layout) return false;
    for (Expr& e : b.layout->to) {
      const Binary* part = e.as<Binary>();
      const int64_t* n = part && part->op == BinaryOp::mod ? constant_value(part->right) : nullptr;
      if (!n || *n < 2) continue;
      e = binary(BinaryOp::mod, part->left, index_constant(*n - 1));
      return true;
    }
    return false;
  });
}
Changed stale_copy(const Program& p, Random& r) {
  // A producer that should run again for each iteration runs before the loop, for its first one.
  return at_stmt(p, r, [](const StmtRef& s) -> std::optional<Body> {
    const For* l = std::get_if<For>(&s->form);
    if (!l || l->kind == LoopKind::vector || l->body.size() < 2) return std::nullopt;
    for (size_t i = 0; i + 1 < l->body.size(); ++i) {
      if (std::holds_alternative<Alloc>(l->body[i]->form)) continue;
      if (!mentions(l->body[i], l->loop)) return std::nullopt;
      For out = *l;
      out.body[i] = substitute_loops(out.body[i], {{l->loop, l->lo}});
      return Body{make_stmt(std::move(out), s->place)};
    }
    return std::nullopt;
  });
}

// --- order and parallelism -----------------------------------------------------------------------------------------------

bool below_is_combined(const For& l) {
  bool found = false;
  walk(l.body, [&](const StmtRef& s) {
    if (const Leaf* leaf = std::get_if<Leaf>(&s->form)) found |= !leaf->reducer.empty();
    return !std::holds_alternative<Reduce>(s->form) && !found;
  });
  return found;
}
Changed reduction_in_parallel(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) {
    if (l.kind != LoopKind::serial || !below_is_combined(l)) return false;
    l.kind = LoopKind::parallel;
    return true;
  });
}
Changed reduction_in_lanes(const Program& p, Random& r) {
  return at_loop(p, r, [](For& l) {
    if (l.kind != LoopKind::serial || !below_is_combined(l) || !constant_value(l.hi)) return false;
    l.kind = LoopKind::vector;
    return true;
  });
}
Changed missed_dependence(const Program& p, Random& r) {
  // Statements of a body change places: a reader comes before what it reads.
  return at_loop(p, r, [](For& l) {
    for (size_t i = 0; i + 1 < l.body.size(); ++i) {
      if (std::holds_alternative<Alloc>(l.body[i]->form) || std::holds_alternative<Alloc>(l.body[i + 1]->form))
        continue;
      std::swap(l.body[i], l.body[i + 1]);
      return true;
    }
    return false;
  });
}
Changed nests_out_of_order(const Program& p, Random& r) {
  std::vector<size_t> places;
  for (size_t i = 0; i + 1 < p.body.size(); ++i)
    if (!std::holds_alternative<Alloc>(p.body[i]->form) && !std::holds_alternative<Alloc>(p.body[i + 1]->form))
      places.push_back(i);
  if (places.empty()) return std::nullopt;
  const size_t at = r.pick(places);
  Program out = p;
  std::swap(out.body[at], out.body[at + 1]);
  return out;
}
Changed shared_temporary(const Program& p, Random& r) {
  // What each thread should have of its own stands outside of the parallel loop.
  return at_stmt(p, r, [](const StmtRef& s) -> std::optional<Body> {
    const For* l = std::get_if<For>(&s->form);
    if (!l || l->kind != LoopKind::serial) return std::nullopt;
    for (size_t i = 0; i < l->body.size(); ++i) {
      if (!std::holds_alternative<Alloc>(l->body[i]->form)) continue;
      For out = *l;
      out.kind = LoopKind::parallel;
      const StmtRef alloc = out.body[i];
      out.body.erase(out.body.begin() + static_cast<std::ptrdiff_t>(i));
      return Body{alloc, make_stmt(std::move(out), s->place)};
    }
    return std::nullopt;
  });
}
Changed lost_statement(const Program& p, Random& r) {
  return at_stmt(p, r, [](const StmtRef& s) -> std::optional<Body> {
    return std::holds_alternative<Leaf>(s->form) ? std::optional<Body>(Body{}) : std::nullopt;
  });
}
Changed lost_check(const Program& p, Random& r) {
  return at_stmt(p, r, [](const StmtRef& s) -> std::optional<Body> {
    return std::holds_alternative<Check>(s->form) ? std::optional<Body>(Body{}) : std::nullopt;
  });
}

// --- values --------------------------------------------------------------------------------------------------------------

Changed wrong_operation(const Program& p, Random& r) {
  return at_value(p, r, [](const Expr& e) -> Expr {
    const Binary* b = e.as<Binary>();
    if (!b || e.type() == ScalarType::index || e.type() == ScalarType::boolean) return {};
    switch (b->op) {
      case BinaryOp::add: return binary(BinaryOp::sub, b->left, b->right);
      case BinaryOp::sub: return binary(BinaryOp::add, b->left, b->right);
      case BinaryOp::mul: return binary(BinaryOp::add, b->left, b->right);
      case BinaryOp::max: return binary(BinaryOp::min, b->left, b->right);
      case BinaryOp::min: return binary(BinaryOp::max, b->left, b->right);
      default: return {};
    }
  });
}
Changed swapped_operands(const Program& p, Random& r) {
  return at_value(p, r, [](const Expr& e) -> Expr {
    const Binary* b = e.as<Binary>();
    const bool ordered = b && (b->op == BinaryOp::sub || b->op == BinaryOp::div || b->op == BinaryOp::shift_left);
    return ordered && e.type() != ScalarType::index && !same(b->left, b->right) ? binary(b->op, b->right, b->left)
                                                                                : Expr();
  });
}
Changed swapped_arms(const Program& p, Random& r) {
  return at_value(p, r, [](const Expr& e) -> Expr {
    const Select* s = e.as<Select>();
    return s && !same(s->yes, s->no) ? select(s->condition, s->no, s->yes) : Expr();
  });
}
Changed wrong_constant(const Program& p, Random& r) {
  return at_value(p, r, [](const Expr& e) -> Expr {
    const Constant* c = e.as<Constant>();
    if (!c || e.type() == ScalarType::index || e.type() == ScalarType::boolean) return {};
    return is_float(e.type()) ? real_constant(e.type(), c->real + 1) : integer_constant(e.type(), c->integer ^ 1);
  });
}
Changed another_function(const Program& p, Random& r) {
  return at_value(p, r, [](const Expr& e) -> Expr {
    const MathCall* m = e.as<MathCall>();
    if (!m || m->args.size() != 1) return {};
    return m->function == "abs" ? m->args[0] : math_call("abs", m->args);
  });
}
Changed lost_conversion(const Program& p, Random& r) {
  return at_value(p, r, [](const Expr& e) -> Expr {
    const Convert* c = e.as<Convert>();
    if (!c || e.type() == ScalarType::index || c->value.type() != ScalarType::i32 || !is_float(e.type())) return {};
    const Convert* inner = c->value.as<Convert>();
    return inner && inner->value.type() == e.type() ? inner->value : Expr();
  });
}

constexpr Fault rows[] = {
    {"late_start", "a loop begins one too late", late_start},
    {"early_start", "a loop begins one too early", early_start},
    {"early_end", "a loop ends one too early", early_end},
    {"late_end", "a loop ends one too late", late_end},
    {"rounded_down", "the last partial block is forgotten", rounded_down},
    {"lost_loop", "a nest is lost", lost_loop},
    {"first_iteration_only", "a loop runs once", first_iteration_only},
    {"swapped_bounds_of_nest", "two loops exchange their bounds", swapped_bounds_of_nest},
    {"dropped_guards", "a leaf loses its condition", dropped_guards},
    {"dropped_guard", "a leaf loses one part of its condition", dropped_guard},
    {"guard_lets_one_more", "`<` becomes `<=`", guard_lets_one_more},
    {"guard_lets_one_less", "a guard is one too strict", guard_lets_one_less},
    {"negated_guard", "a guard means its opposite", negated_guard},
    {"shifted_binding", "an axis is bound one beside", shifted_binding},
    {"swapped_bindings", "two axes are bound crosswise", swapped_bindings},
    {"wrong_block_size", "a block is one shorter where it is counted", wrong_block_size},
    {"read_beside", "a read is one further", read_beside},
    {"read_before", "a read is one before", read_before},
    {"read_transposed", "a read has its subscripts exchanged", read_transposed},
    {"stale_index", "a subscript stays at 0", stale_index},
    {"read_of_another", "another input of the same shape is read", read_of_another},
    {"written_beside", "a cell is written one further", written_beside},
    {"written_transposed", "a cell is written with its subscripts exchanged", written_transposed},
    {"lost_otherwise", "a tried read is a plain one", lost_otherwise},
    {"wrong_otherwise", "outside, a tried read has another value", wrong_otherwise},
    {"swapped_identity", "a region combines by another reducer, from another identity", swapped_identity},
    {"region_without_identity", "a region does not begin from the identity", region_without_identity},
    {"region_inside_its_loop", "a region begins anew for each iteration", region_inside_its_loop},
    {"narrow_window", "a region's window is one too small", narrow_window},
    {"shifted_window", "a region's window is one beside", shifted_window},
    {"combined_twice", "a term is combined twice", combined_twice},
    {"small_box", "a temporary is one too small", small_box},
    {"late_box", "a temporary begins one too late", late_box},
    {"layout_that_folds", "a layout puts cells into one place", layout_that_folds},
    {"layout_of_another_block", "a layout takes another block size for the rest", layout_of_another_block},
    {"stale_copy", "what an iteration needs is made for the first one only", stale_copy},
    {"reduction_in_parallel", "a reduction's loop is parallel", reduction_in_parallel},
    {"reduction_in_lanes", "a reduction's loop is a vector", reduction_in_lanes},
    {"missed_dependence", "two statements change places", missed_dependence},
    {"nests_out_of_order", "two nests change places", nests_out_of_order},
    {"shared_temporary", "threads share a temporary", shared_temporary},
    {"lost_statement", "a leaf is lost", lost_statement},
    {"lost_check", "a check on data is lost", lost_check},
    {"wrong_operation", "an operation is another one", wrong_operation},
    {"swapped_operands", "operands change places", swapped_operands},
    {"swapped_arms", "the arms of an `if` change places", swapped_arms},
    {"wrong_constant", "a constant is another one", wrong_constant},
    {"another_function", "a function is another one", another_function},
    {"lost_conversion", "two roundings are lost", lost_conversion},
};

}  // namespace

std::span<const Fault> faults() { return rows; }

}  // namespace heddle::fuzz
