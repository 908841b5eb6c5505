// Statements: loops of each kind, allocations, leaves, checks.
#include <cstddef>

#include "backend/host/codes.h"
#include "backend/host/emitter.h"
#include "ir/region.h"
#include "ir/visit.h"
#include "support/limits.h"

namespace heddle::host {

using ir::LoopKind;
using llvm::Value;

namespace {

// Emitted leaves of one kernel: beyond, unrolling has multiplied too much.
constexpr int64_t most_leaves = 20'000;

void flatten(const ir::Expr& e, std::vector<ir::Expr>& out) {
  if (!e.known()) return;
  const ir::Binary* both = e.as<ir::Binary>();
  if (both && both->op == ir::BinaryOp::logical_and) {
    flatten(both->left, out);
    flatten(both->right, out);
  } else {
    out.push_back(e);
  }
}

}  // namespace

void Emitter::body(const ir::Body& statements) {
  for (const ir::StmtRef& s : statements) {
    if (!errors_.empty()) return;
    statement(s);
  }
}

void Emitter::statement(const ir::StmtRef& s) {
  std::visit([&](const auto& form) { stmt(form, s); }, s->form);
}

void Emitter::enter_range(ir::SymbolId symbol, const Expr& lo, const Expr& hi) {
  Interval range{ranges_.of(lo).lo, ranges_.of(hi).hi};
  if (range.hi != INT64_MAX && range.hi != INT64_MIN) --range.hi;
  ranges_.set(symbol, range);
}

void Emitter::stmt(const ir::For& loop, const ir::StmtRef& s) {
  if (loop.kind == LoopKind::vector && arith_.width == 1 && can_vectorize(loop)) return vector_loop(loop, s);
  if ((loop.kind == LoopKind::serial || loop.kind == LoopKind::unrolled) && horizontal(loop, s)) return;
  if ((loop.kind == LoopKind::serial || loop.kind == LoopKind::unrolled) &&
      transposed(loop, [&] { iterated(loop, s); }))
    return;
  iterated(loop, s);
}

void Emitter::iterated(const ir::For& loop, const ir::StmtRef& s) {
  if (loop.kind == LoopKind::unrolled && ir::constant_value(ir::simplify(loop.hi - loop.lo))) return unrolled(loop, s);
  if (loop.kind == LoopKind::parallel && !f_.thread && arith_.width == 1 && f_.context) return parallel(loop, s);
  path_.push_back(s);
  for (const ir::Prefetch& f : loop.prefetch) ahead_.push_back({loop.loop, f});
  const size_t outer = carried_.size();
  std::vector<Carried> carried = recurrences(loop);
  auto iteration = [&] {
    for (const Carried& c : carried) next_carried(c);
    carried_.insert(carried_.end(), carried.begin(), carried.end());
    body(loop.body);
    carried_.resize(outer);
  };
  auto iterations = [&] {
    serial(loop.loop, loop.lo, loop.hi, iteration, [&] {
      for (Carried& c : carried) begin_carried(c);
    });
  };
  // Guards of recurrences are the same in all iterations: where all hold, the loop is without them.
  if (const std::vector<Expr> guards = guards_of(carried); !guards.empty()) {
    Value* all = nullptr;
    for (const Expr& e : guards) {
      Value* holds = value(e).v;
      all = all ? b_.CreateAnd(all, holds) : holds;
    }
    auto without_guards = [&] {
      const size_t before = sure_.size();
      sure_.insert(sure_.end(), guards.begin(), guards.end());
      conditions_.insert(conditions_.end(), guards.begin(), guards.end());
      iterations();
      sure_.resize(before);
      conditions_.resize(conditions_.size() - guards.size());
    };
    either(all, without_guards, iterations);
  } else {
    iterations();
  }
  ahead_.resize(ahead_.size() - loop.prefetch.size());
  path_.pop_back();
}

// A vector loop whose body is leaves, regions and loops that do not depend on it. What is not, runs one iteration after another.
bool Emitter::can_vectorize(const ir::For& loop) const {
  const int64_t* lo = ir::constant_value(loop.lo);
  const int64_t* hi = ir::constant_value(loop.hi);
  if (!lo || !hi || *hi - *lo < 2 || *hi - *lo > limits::vector_extent) return false;
  bool fits = true;
  auto unit_if_bound = [&](const std::vector<ir::Window>& windows) {
    for (const ir::Window& w : windows)
      for (const ir::Range& r : w.ranges) {
        if (!ir::mentions(r.lo, loop.loop) && !ir::mentions(r.hi, loop.loop)) continue;
        if (!ir::is_constant(ir::simplify(r.hi - r.lo), 1)) fits = false;
      }
  };
  auto lane_wise = [&](const ir::Reducer& reducer) {
    return std::none_of(reducer.fields.begin(), reducer.fields.end(),
                        [](const ir::ReducerField& f) { return !f.extents.empty(); });
  };
  auto leaf_fits = [&](const ir::Leaf& l) {
    const ir::Stage& stage = p_.stage(l.stage);
    for (const ir::Assign& a : l.assigns) {
      // A cell that is not one for each lane would be written by all of them.
      bool bound = false;
      for (const Expr& sub : a.subs)
        for (size_t i = 0; i < stage.axes.size(); ++i)
          bound |= ir::mentions(sub, stage.axes[i].symbol) && ir::mentions(l.bindings[i], loop.loop);
      fits =
          fits && bound && a.over.empty() && (a.kind != ir::AssignKind::combine || lane_wise(*p_.reducer(l.reducer)));
    }
  };
  ir::walk(loop.body, [&](const ir::StmtRef& s) {
    if (const auto* f = std::get_if<ir::For>(&s->form))
      fits = fits && f->kind != LoopKind::vector && !ir::mentions(f->lo, loop.loop) && !ir::mentions(f->hi, loop.loop);
    else if (const auto* r = std::get_if<ir::Reduce>(&s->form)) {
      unit_if_bound(r->windows);
      fits = fits && lane_wise(*p_.reducer(r->reducer));
    } else if (const auto* l = std::get_if<ir::Leaf>(&s->form)) leaf_fits(*l);
    else fits = false;
    return fits;
  });
  return fits;
}

void Emitter::with_lanes(ir::SymbolId symbol, int64_t lo, int width, const Work& work) {
  arith_.width = width;
  vector_ = symbol;
  vector_lo_ = lo;
  ranges_.set(symbol, {lo, lo + width - 1});
  work();
  arith_.width = 1;
  vector_ = {};
  f_.symbols.erase(symbol.value);
}

void Emitter::vector_loop(const ir::For& loop, const ir::StmtRef& s) {
  const int64_t lo = *ir::constant_value(loop.lo);
  path_.push_back(s);
  with_lanes(loop.loop, lo, static_cast<int>(*ir::constant_value(loop.hi) - lo), [&] { body(loop.body); });
  path_.pop_back();
}

void Emitter::unrolled(const ir::For& loop, const ir::StmtRef&) {
  const int64_t extent = *ir::constant_value(ir::simplify(loop.hi - loop.lo));
  if (extent > limits::unroll_product) {
    fail(codes::code_too_large, p_.symbol(loop.loop).place,
         "the loop `" + p_.symbol(loop.loop).name + "` is unrolled " + std::to_string(extent) + " times");
    return;
  }
  for (int64_t i = 0; i < extent && errors_.empty(); ++i) {
    const Expr at = ir::simplify(loop.lo + i);
    // Boxes of what is allocated inside speak of the loop as well.
    std::vector<std::pair<ir::BufferId, std::vector<ir::BoxDim>>> boxes;
    ir::walk(loop.body, [&](const ir::StmtRef& s) {
      if (const auto* alloc = std::get_if<ir::Alloc>(&s->form))
        for (ir::BufferId id : alloc->buffers) boxes.emplace_back(id, p_.buffers[id.value].box);
      return true;
    });
    for (const auto& [id, box] : boxes)
      for (ir::BoxDim& d : p_.buffers[id.value].box)
        d = {d.name, ir::substitute(d.lo, {{loop.loop, at}}), ir::substitute(d.hi, {{loop.loop, at}})};
    for (const auto& [id, box] : boxes) storages_.erase(id.value);
    for (const ir::StmtRef& s : loop.body) statement(ir::substitute_loops(s, {{loop.loop, at}}));
    for (auto& [id, box] : boxes) p_.buffers[id.value].box = std::move(box), storages_.erase(id.value);
  }
}

void Emitter::serial(ir::SymbolId symbol, const Expr& lo, const Expr& hi, const Work& work, const Work& first) {
  enter_range(symbol, lo, hi);
  const bool sure = ranges_.decide(ir::less(lo, hi)) == 1;
  counted(symbol, value(lo).v, value(hi).v, nullptr, sure, work, first);
}

// for (i = from; i < to; ++i), tested at the end of each iteration, so that what does not change can be moved before the loop.
// The symbol is i, or i + offset. `first` is written once, where the loop is known to run.
void Emitter::counted(ir::SymbolId symbol, Value* from, Value* to, Value* offset, bool sure, const Work& work,
                      const Work& first) {
  llvm::LLVMContext& c = module_.getContext();
  auto* before = llvm::BasicBlock::Create(c, "before", f_.fn);
  auto* head = llvm::BasicBlock::Create(c, "loop", f_.fn);
  auto* done = llvm::BasicBlock::Create(c, "done", f_.fn);
  auto* after = llvm::BasicBlock::Create(c, "after", f_.fn);
  if (sure) b_.CreateBr(before);
  else b_.CreateCondBr(b_.CreateICmpSLT(from, to), before, after);
  b_.SetInsertPoint(before);
  if (first) {
    fetched_.emplace_back();
    first();
    fetched_.pop_back();
  }
  before = b_.GetInsertBlock();
  b_.CreateBr(head);
  b_.SetInsertPoint(head);
  llvm::PHINode* i = b_.CreatePHI(b_.getInt64Ty(), 2, p_.symbol(symbol).name);
  i->addIncoming(from, before);
  f_.symbols[symbol.value] = {offset ? b_.CreateNSWAdd(i, offset) : i};
  depth_[symbol.value] = static_cast<int>(depth_.size()) + 1;
  const ir::SymbolId outer = innermost_;
  innermost_ = symbol;
  fetched_.emplace_back();
  work();
  fetched_.pop_back();
  innermost_ = outer;
  depth_.erase(symbol.value);
  f_.symbols.erase(symbol.value);
  ranges_.forget(symbol);
  Value* next = b_.CreateNSWAdd(i, b_.getInt64(1));
  i->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSLT(next, to), head, done);
  b_.SetInsertPoint(done);
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

void Emitter::stmt(const ir::Alloc& alloc, const ir::StmtRef&) {
  for (ir::BufferId id : alloc.buffers) {
    const Placement& place = plan_.buffers[id.value];
    storages_.erase(id.value);
    if (place.kind == Placement::Kind::registers) {
      llvm::Type* element = arith_.memory_type(p_.buffer(id).type);
      Value*& slot = f_.bases[id.value];
      if (slot) continue;
      const int64_t elements = std::max<int64_t>(1, place.elements);
      slot = stack_slot(element, elements);
      if (!zero_registers_) continue;
      const uint64_t bytes = static_cast<uint64_t>(elements) * element->getScalarSizeInBits() / 8;
      at_entry([&] { b_.CreateMemSet(slot, b_.getInt8(0), bytes, llvm::MaybeAlign(64)); });
      continue;
    }
    Value* offset = value(place.offset).v;
    f_.bases[id.value] = b_.CreateGEP(b_.getInt8Ty(), slice(), offset);
  }
}

void Emitter::stmt(const ir::Check& check, const ir::StmtRef&) {
  std::vector<Expr> parts;
  flatten(check.condition, parts);
  known_.emplace_back();
  Value* holds = value(check.condition).v;
  known_.pop_back();
  llvm::LLVMContext& c = module_.getContext();
  auto* failed = llvm::BasicBlock::Create(c, "failed", f_.fn);
  auto* report = llvm::BasicBlock::Create(c, "report", f_.fn);
  auto* stop = llvm::BasicBlock::Create(c, "stop", f_.fn);
  auto* next = llvm::BasicBlock::Create(c, "holds", f_.fn);
  b_.CreateCondBr(holds, next, failed);
  b_.SetInsertPoint(failed);
  // Threads may fail at the same time: the first one writes the report.
  auto field = [&](size_t offset) {
    return b_.CreateConstGEP1_64(b_.getInt8Ty(), f_.context, offsetof(Context, report) + offset);
  };
  Value* number = b_.getInt64(checks_.size());
  auto* first =
      b_.CreateAtomicCmpXchg(field(offsetof(CheckReport, check)), b_.getInt64(static_cast<uint64_t>(-1)), number,
                             llvm::Align(8), llvm::AtomicOrdering::Monotonic, llvm::AtomicOrdering::Monotonic);
  b_.CreateCondBr(b_.CreateExtractValue(first, 1), report, stop);
  b_.SetInsertPoint(report);
  known_.emplace_back();
  const size_t count = std::min<size_t>(check.coordinates.size(), 8);
  for (size_t i = 0; i < count; ++i)
    b_.CreateStore(value(check.coordinates[i]).v, field(offsetof(CheckReport, coordinates) + 8 * i));
  known_.pop_back();
  b_.CreateStore(b_.getInt64(count), field(offsetof(CheckReport, count)));
  b_.CreateBr(stop);
  b_.SetInsertPoint(stop);
  b_.CreateRet(b_.getInt64(status_check_failed));
  b_.SetInsertPoint(next);
  checks_.push_back(check);
}

void Emitter::branch(Value* condition, const Work& work) {
  if (auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition)) {
    if (known->isOne()) work();
    return;
  }
  auto* yes = llvm::BasicBlock::Create(module_.getContext(), "if", f_.fn);
  auto* after = llvm::BasicBlock::Create(module_.getContext(), "end", f_.fn);
  b_.CreateCondBr(condition, yes, after);
  arm(yes, work, after);
  b_.SetInsertPoint(after);
}

void Emitter::either(Value* condition, const Work& yes, const Work& no) {
  if (auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition)) return known->isOne() ? yes() : no();
  auto* then = llvm::BasicBlock::Create(module_.getContext(), "if", f_.fn);
  auto* otherwise = llvm::BasicBlock::Create(module_.getContext(), "else", f_.fn);
  auto* after = llvm::BasicBlock::Create(module_.getContext(), "end", f_.fn);
  b_.CreateCondBr(condition, then, otherwise);
  arm(then, yes, after);
  arm(otherwise, no, after);
  b_.SetInsertPoint(after);
}

// What a block does, of whose values nothing is known behind it.
void Emitter::arm(llvm::BasicBlock* block, const Work& work, llvm::BasicBlock* after) {
  b_.SetInsertPoint(block);
  known_.emplace_back();
  work();
  known_.pop_back();
  b_.CreateBr(after);
}

void Emitter::guarded(const std::vector<Expr>& given, const Work& work) {
  std::vector<Expr> all;
  for (const Expr& e : given) flatten(e, all);
  std::vector<Expr> uniform, late;
  std::vector<Expr> lanes;
  for (const Expr& e : all) {
    const int known = ranges_.decide(e);
    if (known == 0) return;
    if (known == 1 || std::any_of(sure_.begin(), sure_.end(), [&](const Expr& s) { return ir::same(s, e); })) continue;
    // Conditions that read memory come last, each under those before it.
    (ir::mentions_load(e) ? late : depends_on_lane(e) ? lanes : uniform).push_back(e);
  }
  const size_t held = conditions_.size();
  Value* mask = mask_;
  std::function<void(size_t)> later = [&](size_t i) {
    if (i == late.size()) return work();
    Val c = condition(late[i]);
    auto rest = [&] { later(i + 1); };
    if (!c.lanes) return branch(c.v, rest);
    Value* outer = mask_;
    mask_ = mask_ ? b_.CreateAnd(mask_, c.v) : c.v;
    rest();
    mask_ = outer;
  };
  auto masked = [&] {
    for (const Expr& e : lanes) {
      Val c = condition(e);
      Value* bits = arith_.spread(c);
      mask_ = mask_ ? b_.CreateAnd(mask_, bits) : bits;
    }
    later(0);
  };
  conditions_.insert(conditions_.end(), uniform.begin(), uniform.end());
  Value* here = nullptr;
  for (const Expr& e : uniform) {
    Value* c = condition(e).v;
    here = here ? b_.CreateAnd(here, c) : c;
  }
  if (here) branch(here, masked);
  else masked();
  mask_ = mask;
  conditions_.resize(held);
}

void Emitter::stmt(const ir::Leaf& leaf, const ir::StmtRef& s) {
  if (++leaves_ > most_leaves) {
    fail(codes::code_too_large, s->place,
         "unrolling makes more than " + std::to_string(most_leaves) + " copies of leaves");
    return;
  }
  const ir::Substitution point = ir::point_of(p_, leaf);
  known_.emplace_back();
  guarded({leaf.predicate}, [&] {
    const ir::Assign& first = leaf.assigns[0];
    const ir::Reducer* reducer = first.kind == ir::AssignKind::combine ? p_.reducer(leaf.reducer) : nullptr;
    if (reducer && reducer->builtin == ir::BuiltinReducer::none) return combine_state(leaf, *reducer, point);
    for (const ir::Assign& a : leaf.assigns) {
      over_axes(a.over, 0, point, [&] {
        std::vector<Expr> subs;
        for (const Expr& sub : a.subs) subs.push_back(ir::substitute(sub, point));
        const Expr made = ir::substitute(a.value, point);
        Val x = reducer ? combined_with(*reducer, a.buffer, subs, made) : value(made);
        nontemporal_ = leaf.nontemporal;
        store(a.buffer, subs, x);
        nontemporal_ = false;
      });
    }
  });
  known_.pop_back();
}

ir::Facts Emitter::facts() const {
  ir::Facts all = ir::facts_at(p_, path_);
  for (const Expr& e : conditions_) all.add(e);
  return all;
}

}  // namespace heddle::host
