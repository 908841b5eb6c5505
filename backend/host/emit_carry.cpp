// Cells that one iteration of a loop stores and the next one reads: they travel in registers, as a store and a load of the same
// place cost several times what most recurrences compute. The store stays; the first iteration reads what it always did.
#include <algorithm>

#include "backend/host/emitter.h"
#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Expr;
using llvm::Value;

namespace {

constexpr size_t most_points = 64;  // written-out leaves of one iteration

// A read that may be carried, or a store that may feed it, where the loop leaves no doubt when it happens.
struct Cell {
  ir::StmtRef lanes;  // vector loop around, or none
  Expr predicate;
  ir::BufferId buffer;
  std::vector<Expr> subs;
  Expr read;  // of reads: the load
};

// Whether two cells differ whatever the loops are at.
bool apart(const std::vector<Expr>& a, const std::vector<Expr>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    const Expr difference = ir::simplify(a[i] - b[i]);
    if (const int64_t* n = ir::constant_value(difference); n && *n != 0) return true;
  }
  return false;
}

bool equal_cells(const std::vector<Expr>& a, const std::vector<Expr>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!ir::equal(a[i], b[i])) return false;
  return true;
}

bool both_or_neither(const Expr& a, const Expr& b) { return a.known() == b.known() && (!a.known() || ir::same(a, b)); }

// Buffers that some leaf defines and some leaf reads: most loops have none, and are done with here.
std::vector<ir::BufferId> defined_and_read(const ir::Program& p, const ir::Body& body) {
  std::vector<ir::BufferId> defined, out;
  bool parallel = false;
  auto each_leaf = [&](const std::function<void(const ir::Leaf&)>& f) {
    ir::walk(body, [&](const ir::StmtRef& s) {
      if (const auto* leaf = std::get_if<ir::Leaf>(&s->form)) f(*leaf);
      if (const auto* loop = std::get_if<ir::For>(&s->form)) parallel |= loop->kind == ir::LoopKind::parallel;
      return true;
    });
  };
  auto has = [](const std::vector<ir::BufferId>& list, ir::BufferId id) {
    return std::find(list.begin(), list.end(), id) != list.end();
  };
  each_leaf([&](const ir::Leaf& leaf) {
    for (const ir::Assign& a : leaf.assigns)
      if (a.kind == ir::AssignKind::define && p.buffer(a.buffer).memory != ir::Memory::tile && !has(defined, a.buffer))
        defined.push_back(a.buffer);
  });
  if (parallel || defined.empty()) return {};
  each_leaf([&](const ir::Leaf& leaf) {
    for (const ir::Assign& a : leaf.assigns)
      ir::walk(a.value, [&](const Expr& e) {
        if (const auto* l = e.as<ir::Load>(); l && has(defined, l->buffer) && !has(out, l->buffer))
          out.push_back(l->buffer);
        return true;
      });
  });
  return out;
}

}  // namespace

// What iterations of a serial loop hand on: a read at `i + 1` of the cell that is stored at `i`, by leaves that run in every
// iteration or in none, while no other store can meet the cell in between.
std::vector<Emitter::Carried> Emitter::recurrences(const ir::For& loop) {
  std::vector<Carried> out;
  if (loop.kind != ir::LoopKind::serial) return out;
  std::vector<ir::BufferId> buffers = defined_and_read(p_, loop.body);
  std::erase_if(buffers, [&](ir::BufferId id) { return redirects_.count(id.value) != 0; });
  if (buffers.empty()) return out;

  std::vector<Cell> reads, stores;
  size_t points = 0;
  auto drop_written_by = [&](const ir::StmtRef& s) {
    std::erase_if(buffers, [&](ir::BufferId id) {
      const std::vector<ir::Access> all = ir::accesses(p_, {s}, id);
      return std::any_of(all.begin(), all.end(), [](const ir::Access& a) { return a.writes; });
    });
  };
  std::function<void(const ir::StmtRef&, const ir::StmtRef&)> visit = [&](const ir::StmtRef& s,
                                                                          const ir::StmtRef& lanes) {
    if (points > most_points) return;
    const auto* below = std::get_if<ir::For>(&s->form);
    if (below && below->kind == ir::LoopKind::vector && !lanes && arith_.width == 1 && can_vectorize(*below)) {
      for (const ir::StmtRef& inner : below->body) visit(inner, s);
      return;
    }
    const int64_t* extent = nullptr;
    Expr size;
    if (below && below->kind == ir::LoopKind::unrolled)
      extent = ir::constant_value(size = ir::simplify(below->hi - below->lo));
    if (extent && *extent <= static_cast<int64_t>(most_points)) {
      for (int64_t i = 0; i < *extent; ++i)
        for (const ir::StmtRef& inner : below->body)
          visit(ir::substitute_loops(inner, {{below->loop, ir::simplify(below->lo + i)}}), lanes);
      return;
    }
    const auto* leaf = std::get_if<ir::Leaf>(&s->form);
    if (!leaf) return drop_written_by(s);
    ++points;
    const bool always =
        !leaf->predicate.known() || (!ir::mentions(leaf->predicate, loop.loop) && !ir::mentions_load(leaf->predicate));
    const ir::Substitution point = ir::point_of(p_, *leaf);
    for (const ir::Assign& a : leaf->assigns) {
      if (std::find(buffers.begin(), buffers.end(), a.buffer) == buffers.end()) continue;
      const std::vector<Expr> subs = ir::substitute(a.subs, point);
      if (a.kind != ir::AssignKind::define || !a.over.empty() ||
          std::any_of(subs.begin(), subs.end(), ir::mentions_load)) {
        std::erase(buffers, a.buffer);
        continue;
      }
      // A store that may be skipped feeds nobody, but counts among those that others must not meet.
      stores.push_back({lanes, always ? leaf->predicate : ir::bool_constant(false), a.buffer, subs, {}});
    }
    if (!always) return;
    for (const ir::Assign& a : leaf->assigns) {
      if (!a.over.empty()) continue;
      ir::walk(ir::substitute(a.value, point), [&](const Expr& e) {
        const auto* l = e.as<ir::Load>();
        if (l && std::find(buffers.begin(), buffers.end(), l->buffer) != buffers.end() &&
            std::none_of(l->subs.begin(), l->subs.end(), ir::mentions_load))
          reads.push_back({lanes, leaf->predicate, l->buffer, l->subs, e});
        return true;
      });
    }
  };
  for (const ir::StmtRef& s : loop.body) visit(s, {});
  if (points > most_points) return out;

  const ir::Substitution next = {{loop.loop, ir::var(loop.loop) + 1}};
  for (const Cell& r : reads) {
    if (std::find(buffers.begin(), buffers.end(), r.buffer) == buffers.end()) continue;
    if (std::any_of(out.begin(), out.end(), [&](const Carried& c) { return ir::same(c.read, r.read); })) continue;
    const std::vector<Expr> later = ir::substitute(r.subs, next);
    const Cell* from = nullptr;
    for (const Cell& w : stores)
      if (w.buffer == r.buffer && w.lanes == r.lanes && both_or_neither(w.predicate, r.predicate) &&
          equal_cells(w.subs, later))
        from = &w;
    if (!from) continue;
    bool alone = true;
    for (const Cell& w : stores)
      if (w.buffer == r.buffer)
        alone = alone && apart(ir::substitute(w.subs, next), from->subs) && (&w == from || apart(w.subs, from->subs));
    if (!alone) continue;
    Carried c;
    c.read = r.read;
    c.first = ir::substitute(r.read, {{loop.loop, loop.lo}});
    if (r.predicate.known()) c.predicate = r.predicate;
    c.lanes = r.lanes;
    c.buffer = r.buffer;
    c.stored = from->subs;
    out.push_back(std::move(c));
  }
  return out;
}

std::vector<Expr> Emitter::guards_of(const std::vector<Carried>& carried) const {
  std::vector<Expr> out;
  for (const Carried& c : carried)
    for (const Expr& e : conjuncts(c.predicate)) {
      if ((c.lanes && ir::mentions(e, std::get<ir::For>(c.lanes->form).loop)) || depends_on_lane(e)) continue;
      if (std::none_of(out.begin(), out.end(), [&](const Expr& known) { return ir::same(known, e); })) out.push_back(e);
    }
  return out;
}

// Before the first iteration: what it reads. Where nothing runs, or the place lies outside, nobody asks for the value.
void Emitter::begin_carried(Carried& c) {
  const ir::ScalarType type = p_.buffer(c.buffer).type;
  const auto* first = c.first.as<ir::Load>();  // none where it is known to lie outside
  auto start = [&] {
    llvm::Type* element = arith_.memory_type(type);
    c.type = arith_.with_lanes(element, arith_.width > 1);
    c.now = stack_slot(element, arith_.width);
    c.next = stack_slot(element, arith_.width);
    b_.CreateStore(llvm::Constant::getNullValue(c.type), c.next);
    known_.emplace_back();
    guarded({c.predicate}, [&] {
      auto read = [&] {
        const Val bits = arith_.to_memory(type, value(c.first));
        b_.CreateStore(arith_.width > 1 ? arith_.spread(bits) : bits.v, c.next);
      };
      if (!first || first->otherwise.known()) read();
      else guarded(not_shown_inside(c.buffer, first->subs), read);
    });
    known_.pop_back();
  };
  if (!c.lanes) return start();
  const auto& loop = std::get<ir::For>(c.lanes->form);
  const int64_t lo = *ir::constant_value(loop.lo), hi = *ir::constant_value(loop.hi);
  with_lanes(loop.loop, lo, static_cast<int>(hi - lo), start);
}

void Emitter::next_carried(const Carried& c) { b_.CreateStore(b_.CreateLoad(c.type, c.next), c.now); }

bool Emitter::read_carried(const Expr& load, Val& out) {
  for (const Carried& c : carried_) {
    if (!ir::same(c.read, load)) continue;
    out = arith_.from_memory(p_.buffer(c.buffer).type, {b_.CreateLoad(c.type, c.now), c.type->isVectorTy()});
    return true;
  }
  return false;
}

void Emitter::store_carried(ir::BufferId buffer, const std::vector<Expr>& subs, Val bits) {
  for (const Carried& c : carried_) {
    if (c.buffer != buffer || !std::equal(subs.begin(), subs.end(), c.stored.begin(), ir::same)) continue;
    b_.CreateStore(c.type->isVectorTy() ? arith_.spread(bits) : bits.v, c.next);
  }
}

}  // namespace heddle::host
