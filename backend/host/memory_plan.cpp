#include "backend/host/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "backend/host/codes.h"
#include "ir/digits.h"
#include "ir/prove.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {
namespace {

using ir::Expr;

// More than this does not belong on the stack.
constexpr int64_t largest_stack_slot = 32 * 1024;
constexpr int64_t largest_stack = 512 * 1024;  // all of them
constexpr int64_t line = 64;

// The extents of a layout's physical dims for logical extents; empty when one has no bound.
std::vector<Expr> physical_extents(const ir::Layout& layout, const std::vector<Expr>& extents, const ir::Facts& facts) {
  std::vector<Expr> out;
  for (const Expr& e : layout.to) {
    out.push_back(ir::places_of(e, layout.from, extents, facts));
    if (!out.back().known()) return {};
  }
  return out;
}

class Planner {
 public:
  explicit Planner(const ir::Program& p) : p_(p), facts_(ir::facts_of(p)) {
    plan_.buffers.resize(p.buffers.size());
    parent_.resize(p.buffers.size());
    std::iota(parent_.begin(), parent_.end(), 0);
    plan_.bytes = ir::index_constant(0);
  }

  Result<MemoryPlan> run() {
    for (const ir::Parameter& q : p_.parameters)
      if (q.buffer.known()) parameter(q.buffer);
    plan_.bytes = ir::simplify(body(p_.body, ir::index_constant(0)).peak, facts_);
    if (!errors_.empty()) return std::move(errors_);
    for (size_t i = 0; i < parent_.size(); ++i) plan_.buffers[i].group = root(static_cast<int>(i));
    return std::move(plan_);
  }

 private:
  // Packed inputs lie as jit/packing.h packs them.
  void parameter(ir::BufferId id) {
    const ir::Buffer& b = p_.buffer(id);
    plan_.buffers[id.value].kind = Placement::Kind::parameter;
    if (!b.layout) return;
    std::optional<std::vector<ir::Digit>> digits = b.role == ir::Role::in ? ir::digits_of(*b.layout) : std::nullopt;
    if (!digits) {
      errors_.push_back(Diagnostic(codes::unsupported_on_host, b.place,
                                   "`" + b.name +
                                       "` cannot be packed: a layout of an input is made of its indices, their "
                                       "quotients and remainders, and outputs have none"));
      return;
    }
    for (const ir::Digit& d : *digits) {
      const ir::BoxDim& dim = b.box[d.index];
      plan_.buffers[id.value].extents.push_back(ir::extent_of(d, dim.hi - dim.lo));
    }
  }

  /// Bytes of the arena that temporaries of one body hold one after another.
  struct Slot {
    Expr size, offset;
    size_t first = 0;  // statement that uses it first
    size_t last = 0;   // that uses it last, so far
    std::vector<int> buffers;
  };
  struct Used {
    Expr peak;
    std::vector<int> buffers;
  };

  int root(int i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void may_share(int a, int b) { parent_[root(a)] = root(b); }

  static bool uses(const ir::StmtRef& s, ir::BufferId buffer) {
    bool found = false;
    auto in_expr = [&](const Expr& e) {
      if (!found)
        ir::walk(e, [&](const Expr& node) {
          if (const ir::Load* l = node.as<ir::Load>()) found |= l->buffer == buffer;
          return !found;
        });
      return e;
    };
    ir::walk({s}, [&](const ir::StmtRef& at) {
      if (found) return false;
      auto windows = [&](const std::vector<ir::Window>& list) {
        for (const ir::Window& w : list) found |= w.buffer == buffer;
      };
      if (const auto* r = std::get_if<ir::Reduce>(&at->form)) windows(r->windows);
      if (const auto* c = std::get_if<ir::Call>(&at->form)) windows(c->windows);
      if (const auto* l = std::get_if<ir::Leaf>(&at->form))
        for (const ir::Assign& a : l->assigns) found |= a.buffer == buffer;
      return !found;
    });
    if (!found) ir::map_exprs(s, in_expr);
    return found;
  }

  // First the slots of the body, then what is below: at each statement above the slots that are there by then.
  Used body(const ir::Body& statements, const Expr& top) {
    Used used{top, {}};
    std::vector<Slot> slots = slots_of(statements, top);
    for (const Slot& slot : slots) used.buffers.insert(used.buffers.end(), slot.buffers.begin(), slot.buffers.end());
    std::vector<int> nested_before;
    Expr end = top;
    size_t next = 0;
    for (size_t i = 0; i < statements.size(); ++i) {
      const ir::StmtRef& s = statements[i];
      for (; next < slots.size() && slots[next].first <= i; ++next) {
        end = ir::simplify(slots[next].offset + slots[next].size);
        used.peak = larger(used.peak, end);
        // Nests that ran before used the bytes above the slots of that time.
        for (int id : slots[next].buffers)
          for (int other : nested_before) may_share(id, other);
      }
      if (std::holds_alternative<ir::Alloc>(s->form)) continue;
      const auto* l = std::get_if<ir::For>(&s->form);
      if (l) loops_.push_back({l->loop, l->lo, l->hi});
      Used inner = body(ir::children(s), end);
      if (l) loops_.pop_back();
      for (int x : inner.buffers)
        for (int y : nested_before) may_share(x, y);
      nested_before.insert(nested_before.end(), inner.buffers.begin(), inner.buffers.end());
      used.peak = larger(used.peak, inner.peak);
    }
    used.buffers.insert(used.buffers.end(), nested_before.begin(), nested_before.end());
    return used;
  }

  Expr larger(const Expr& a, const Expr& b) {
    if (ir::prove(facts_, ir::less_equal(b, a))) return a;
    if (ir::prove(facts_, ir::less_equal(a, b))) return b;
    return ir::max(a, b);
  }

  // What the body allocates in the arena, in slots that a temporary hands on when its last use has passed. A slot is as large as its
  // largest holder, so taking one over is never worse than a new one.
  std::vector<Slot> slots_of(const ir::Body& statements, Expr top) {
    struct Life {
      ir::BufferId id;
      size_t first, last;
    };
    std::vector<Life> lives;
    for (size_t i = 0; i < statements.size(); ++i) {
      const auto* a = std::get_if<ir::Alloc>(&statements[i]->form);
      if (!a) continue;
      for (ir::BufferId id : a->buffers) {
        if (!place(id, statements[i]->place)) continue;
        Placement& q = plan_.buffers[id.value];
        q.inside = loops_.empty() ? ir::SymbolId{} : loops_.back().symbol;
        Life life{id, i, i};
        for (size_t k = i + 1; k < statements.size(); ++k)
          if (uses(statements[k], id)) {
            if (!q.first) q.first = statements[k], life.first = k;
            q.last = statements[k];
            life.last = k;
          }
        // Bytes are held from the first use on, wherever the alloc stands.
        if (q.kind == Placement::Kind::arena)
          lives.insert(std::upper_bound(lives.begin(), lives.end(), life,
                                        [](const Life& a, const Life& b) { return a.first < b.first; }),
                       life);
      }
    }
    std::vector<Slot> slots;
    for (const Life& life : lives) hold(life.id, life.first, life.last, slots);
    for (Slot& slot : slots) {
      slot.offset = top;
      for (int id : slot.buffers) {
        plan_.buffers[static_cast<size_t>(id)].offset = top;
        may_share(id, slot.buffers[0]);
      }
      top = ir::simplify(top + slot.size);
    }
    return slots;
  }

  void hold(ir::BufferId id, size_t at, size_t last, std::vector<Slot>& slots) {
    const ir::Buffer& b = p_.buffer(id);
    Expr size = ir::index_constant(ir::scalar_bytes(b.type) * std::max(1, b.copies));
    for (const Expr& e : plan_.buffers[id.value].extents) size = size * e;
    size = ir::simplify(ir::ceildiv(size, ir::index_constant(line)) * line);
    Slot* best = nullptr;
    int best_fit = 0;
    for (Slot& slot : slots) {
      if (slot.last >= at) continue;
      const int fit = ir::equal(slot.size, size)                           ? 4
                      : ir::prove(facts_, ir::less_equal(size, slot.size)) ? 3
                      : ir::prove(facts_, ir::less_equal(slot.size, size)) ? 2
                                                                           : 1;
      if (fit > best_fit) best = &slot, best_fit = fit;
    }
    if (!best) {
      slots.push_back({size, {}, at, last, {static_cast<int>(id.value)}});
      return;
    }
    if (best_fit < 3) best->size = best_fit == 2 ? size : ir::max(best->size, size);
    best->last = last;
    best->buffers.push_back(static_cast<int>(id.value));
  }

  // The shape; false on refusal.
  bool place(ir::BufferId id, const Place& where) {
    const ir::Buffer& buffer = p_.buffer(id);
    Placement& q = plan_.buffers[id.value];
    if (q.kind != Placement::Kind::none) {
      errors_.push_back(Diagnostic(codes::unbounded_memory, where,
                                   "`" + buffer.name + "` is allocated in two places: each needs a name of its own"));
      return false;
    }
    std::vector<Expr> extents;
    for (const ir::BoxDim& d : buffer.box) {
      Expr extent = extent_bound(ir::simplify(d.hi - d.lo));
      if (!extent.known()) extent = extent_of_ends(d);
      if (!extent.known()) {
        errors_.push_back(Diagnostic(codes::unbounded_memory, buffer.place.known() ? buffer.place : where,
                                     "the extent of `" + buffer.name + "` cannot be bounded before the kernel runs"));
        return false;
      }
      extents.push_back(extent);
    }
    q.extents = buffer.layout ? physical_extents(*buffer.layout, extents, facts_) : extents;
    if (q.extents.empty() && !extents.empty()) {
      errors_.push_back(
          Diagnostic(codes::unbounded_memory, where, "the layout of `" + buffer.name + "` has no bounds"));
      return false;
    }
    int64_t elements = 1;
    bool constant = true;
    for (const Expr& e : q.extents) {
      const int64_t* n = ir::constant_value(e);
      constant = constant && n && !__builtin_mul_overflow(elements, *n, &elements);
    }
    const bool small = constant && elements * ir::scalar_bytes(buffer.type) <= largest_stack_slot;
    const bool wanted = buffer.memory == ir::Memory::registers || buffer.memory == ir::Memory::tile;
    const bool fits = small && stack_ + elements * ir::scalar_bytes(buffer.type) <= largest_stack;
    q.kind = wanted && fits ? Placement::Kind::registers : Placement::Kind::arena;
    if (q.kind == Placement::Kind::registers) stack_ += elements * ir::scalar_bytes(buffer.type);
    q.elements = elements;
    return true;
  }

  // Without loops: its greatest value over the loops around; none when that cannot be written.
  Expr extent_bound(const Expr& extent) {
    if (ir::constant_value(extent)) return ir::max(extent, ir::index_constant(0));
    ir::Facts facts = facts_;
    bool loops = false;
    for (const ir::SymbolRange& r : loops_) {
      facts.add_range(r.symbol, r.lo, r.hi);
      loops |= ir::mentions(extent, r.symbol);
    }
    int64_t bound = 0;
    if (ir::constant_upper_bound(extent, facts, bound) && bound <= largest_stack_slot)
      return ir::index_constant(std::max<int64_t>(bound, 0));
    if (!loops)
      return ir::prove(facts_, ir::less_equal(ir::index_constant(0), extent)) ? extent
                                                                              : ir::max(extent, ir::index_constant(0));
    ir::Bounds bounds = ir::bounds_over(extent, loops_, facts_);
    if (!bounds.ok || ir::mentions_loops(p_, bounds.hi)) return {};
    return ir::max(bounds.hi, ir::index_constant(0));
  }

  // Each end by itself: of `max(0, data) .. min(data, k)` the data does not matter.
  Expr extent_of_ends(const ir::BoxDim& d) {
    const Expr hi = end_bound(d.hi, true), lo = end_bound(d.lo, false);
    return hi.known() && lo.known() ? ir::max(ir::simplify(hi - lo), ir::index_constant(0)) : Expr{};
  }

  // What an end does not pass; none where that is up to loops or data.
  Expr end_bound(const Expr& end, bool upper) {
    if (const auto* b = end.as<ir::Binary>(); b && b->op == (upper ? ir::BinaryOp::min : ir::BinaryOp::max)) {
      const Expr left = end_bound(b->left, upper), right = end_bound(b->right, upper);
      if (!left.known() || !right.known()) return left.known() ? left : right;
      return ir::simplify(ir::binary(b->op, left, right));
    }
    const ir::Bounds bounds = ir::bounds_over(end, loops_, facts_);
    const Expr bound = upper ? bounds.hi : bounds.lo;
    return bounds.ok && !ir::mentions_load(bound) && !ir::mentions_loops(p_, bound) ? bound : Expr{};
  }

  const ir::Program& p_;
  ir::Facts facts_;
  MemoryPlan plan_;
  std::vector<int> parent_;
  std::vector<ir::SymbolRange> loops_;
  int64_t stack_ = 0;
  Diagnostics errors_;
};

}  // namespace

Result<MemoryPlan> plan_memory(const ir::Program& program) { return Planner(program).run(); }

}  // namespace heddle::host
