// Square blocks that change rows for columns: whole vectors are read along the rows, exchanged in registers and written along the
// columns, where lanes of the vector loop alone would each read an element of another line.
#include <algorithm>
#include <optional>

#include "backend/host/emitter.h"
#include "ir/array_axes.h"
#include "ir/prove.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Expr;
using llvm::Value;

namespace {

// Serial loops from 0 that each stand alone in the one before, and the vector loop inside the last.
struct Nest {
  std::vector<const ir::For*> loops;
  const ir::For* lanes = nullptr;
};

Nest nest_of(const ir::For& first) {
  constexpr size_t deepest = 4;
  Nest out;
  for (const ir::For* at = &first; at && out.loops.size() < deepest;) {
    const bool walks = at->kind == ir::LoopKind::serial || at->kind == ir::LoopKind::unrolled;
    const bool apart = std::none_of(out.loops.begin(), out.loops.end(),
                                    [&](const ir::For* outer) { return ir::mentions(at->hi, outer->loop); });
    if (!walks || !apart || !ir::is_constant(at->lo, 0) || ir::mentions_load(at->hi) || at->body.size() != 1) return {};
    out.loops.push_back(at);
    at = std::get_if<ir::For>(&at->body[0]->form);
    if (!at || at->kind != ir::LoopKind::vector) continue;
    out.lanes = at;
    return out;
  }
  return {};
}

// The place of the loops' box where a condition that is linear in all of them holds last: where it holds there, it holds in all of it.
// Nothing for other conditions.
Expr at_worst(const Expr& condition, const Nest& nest) {
  const auto* test = condition.as<ir::Binary>();
  if (!test || (test->op != ir::BinaryOp::lt && test->op != ir::BinaryOp::le) ||
      test->left.type() != ir::ScalarType::index || ir::mentions_load(condition))
    return {};
  Expr ahead = ir::simplify(test->left - test->right);
  ir::Substitution worst;
  auto place = [&](const ir::For& l) {
    const ir::AffineIn over = ir::affine_in(ahead, l.loop);
    if (!over.ok) return false;
    worst.emplace_back(l.loop, over.coefficient > 0 ? l.hi - 1 : ir::index_constant(0));
    ahead = over.rest;
    return true;
  };
  for (const ir::For* l : nest.loops)
    if (!place(*l)) return {};
  return place(*nest.lanes) ? ir::substitute(condition, worst) : Expr();
}

// A copy in lanes: what it reads and writes, and what holds where no cell of the nest is left out, filled or read from an edge again.
struct Copy {
  Nest nest;
  int lanes = 0;
  Expr count;  // of iterations of the loops
  const ir::Leaf* leaf = nullptr;
  const ir::Load* load = nullptr;
  std::vector<Expr> from, to;
  std::vector<Expr> whole;

  bool one_square() const { return ir::is_constant(count, lanes); }
};

std::optional<Copy> copy_of(const ir::Program& p, const ir::For& loop) {
  Copy out;
  out.nest = nest_of(loop);
  const Nest& nest = out.nest;
  if (!nest.lanes || nest.lanes->body.size() != 1 || !ir::is_constant(nest.lanes->lo, 0)) return {};
  const int64_t* extent = ir::constant_value(nest.lanes->hi);
  out.leaf = std::get_if<ir::Leaf>(&nest.lanes->body[0]->form);
  if (!extent || *extent < 4 || *extent > 16 || (*extent & (*extent - 1)) || !out.leaf || out.leaf->assigns.size() != 1)
    return {};
  out.lanes = static_cast<int>(*extent);
  out.count = ir::index_constant(1);
  for (const ir::For* l : nest.loops) out.count = ir::simplify(out.count * l->hi);
  const int64_t* known = ir::constant_value(out.count);
  if (known && *known < *extent) return {};
  for (const ir::For* l : nest.loops)
    if (!l->prefetch.empty() && !out.one_square()) return {};

  if (!known) out.whole.push_back(ir::less_equal(ir::index_constant(*extent), out.count));
  for (const ir::For* l : nest.loops)
    if (!known && nest.loops.size() > 1) out.whole.push_back(ir::less_equal(ir::index_constant(1), l->hi));
  auto holds_throughout = [&](const Expr& condition) {
    out.whole.push_back(at_worst(condition, nest));
    return out.whole.back().known();
  };
  for (const Expr& part : ir::conjuncts(out.leaf->predicate))
    if (!holds_throughout(part)) return {};
  const ir::Assign& assign = out.leaf->assigns[0];
  const ir::Substitution point = ir::point_of(p, *out.leaf);
  out.load = assign.value.as<ir::Load>();
  if (const auto* filled = assign.value.as<ir::Select>()) {
    out.load = filled->yes.as<ir::Load>();
    for (const Expr& part : ir::conjuncts(ir::substitute(filled->condition, point)))
      if (!holds_throughout(part)) return {};
  }
  if (!out.load || out.load->otherwise.known() || out.load->buffer == assign.buffer ||
      assign.kind != ir::AssignKind::define || !assign.over.empty())
    return {};
  out.from = ir::substitute(out.load->subs, point), out.to = ir::substitute(assign.subs, point);
  auto moves = [&](const Expr& e) {
    return ir::mentions(e, nest.lanes->loop) || std::any_of(nest.loops.begin(), nest.loops.end(),
                                                            [&](const ir::For* l) { return ir::mentions(e, l->loop); });
  };
  for (Expr& e : out.from) {
    if (ir::mentions_load(e)) return {};
    const auto* least = e.as<ir::Binary>();
    if (!least || least->op != ir::BinaryOp::min) continue;
    const bool left = moves(least->left);
    const Expr at = left ? least->left : least->right, edge = left ? least->right : least->left;
    if (!holds_throughout(ir::less_equal(at, edge))) return {};
    e = at;
  }
  return out;
}

}  // namespace

// Rows become columns: blocks of n/2, n/4, .. 1 change places across the diagonal of each block twice as large.
void Emitter::exchange(std::vector<Value*>& rows) {
  const int n = static_cast<int>(rows.size());
  for (int d = n / 2; d > 0; d /= 2)
    for (int i = 0; i < n; ++i) {
      if (i & d) continue;
      std::vector<int> upper, lower;
      for (int e = 0; e < n; ++e) {
        upper.push_back(e & d ? n + e - d : e);
        lower.push_back(e & d ? n + e : e + d);
      }
      Value *a = rows[static_cast<size_t>(i)], *b = rows[static_cast<size_t>(i + d)];
      rows[static_cast<size_t>(i)] = b_.CreateShuffleVector(a, b, upper);
      rows[static_cast<size_t>(i + d)] = b_.CreateShuffleVector(a, b, lower);
    }
}

// An argument as it is where its rows follow each other without gaps, and the strides that say so.
std::optional<Emitter::Storage> Emitter::without_gaps(ir::BufferId id, std::vector<Expr>& where) {
  Storage out = storage(id);
  const auto strides = stride_symbols_.find(id.value);
  if (strides == stride_symbols_.end() || redirects_.count(id.value)) return {};
  const ir::Buffer& buffer = p_.buffer(id);
  const std::vector<ir::AxisSpan> axes = ir::array_axes(buffer);
  Expr stride = ir::index_constant(1);
  for (size_t axis = axes.size(); axis-- > 0;) {
    const Expr& given = out.strides[axes[axis].end - 1];
    if (!ir::same(given, stride)) where.push_back(ir::binary(ir::BinaryOp::eq, given, stride));
    for (size_t dim = axes[axis].end; dim-- > axes[axis].begin;) {
      out.strides[dim] = stride;
      stride = stride * (buffer.box[dim].hi - buffer.box[dim].lo);
    }
  }
  return out;
}

// Whether iterations of the loops, counted as one, are evenly spaced in memory: each loop steps over all of those inside it.
bool Emitter::evenly_spaced(ir::BufferId buffer, const std::vector<Expr>& subs,
                            const std::vector<const ir::For*>& loops) {
  if (loops.size() == 1) return true;
  // Squares run past the end of the last loop: its range takes no division away.
  for (const ir::For* l : loops) ranges_.set(l->loop, {0, INT64_MAX});
  RangedContext ranged(ranges_);
  ir::AffineContext& context = ranged.context;
  const ir::Affine all = offset_of(storage(buffer), subs, context);
  if (!all.ok) return false;
  auto step_of = [&](const ir::For& l) {
    const ir::Affine symbol = context.convert(ir::var(l.loop));
    ir::Affine out;
    for (const ir::AffineTerm& t : all.terms) {
      ir::AffineTerm rest{0, t.c};
      ir::Affine one;
      if (ir::divide(t.m, symbol.terms[0].m, rest.m)) {
        one.terms.push_back(rest);
        if (context.mentions(one, l.loop)) return ir::Affine::unknown();
        if (rest.m) out.add(one);
        else out.add(rest.c);
      } else {
        one.terms.push_back(t);
        if (context.mentions(one, l.loop)) return ir::Affine::unknown();
      }
    }
    return out;
  };
  for (size_t i = 0; i + 1 < loops.size(); ++i) {
    const ir::Affine inner = ir::product(step_of(*loops[i + 1]), context.convert(loops[i + 1]->hi));
    const ir::Affine apart = ir::difference(step_of(*loops[i]), inner);
    if (!apart.ok || !apart.is_constant() || apart.constant != 0) return false;
  }
  return true;
}

// for l in 0 .. n { for v in 0 .. 16 vector { y[.., l, .., v] = x[.., v, .., l] } }
// Of more loops than one, where both arrays take all of them in even steps; the last square may overlap the one before. Where conditions keep
// some of it out, or there is no square, `plainly` makes the code.
bool Emitter::transposed(const ir::For& loop, const Work& plainly) {
  if (arith_.width != 1 || mask_ || in_plain_form_) return false;
  std::optional<Copy> copy = copy_of(p_, loop);
  if (!copy || redirects_.count(copy->load->buffer.value) || redirects_.count(copy->leaf->assigns[0].buffer.value))
    return false;
  const Nest& nest = copy->nest;
  const ir::For &lanes = *nest.lanes, &last = *nest.loops.back();
  const ir::Load* load = copy->load;
  const ir::Assign& assign = copy->leaf->assigns[0];
  const std::vector<Expr>&from = copy->from, &to = copy->to;
  const int n = copy->lanes;

  // The iterations counted as one: the last loop's, beyond its end, from the first of a square on.
  const ir::SymbolId first = p_.add(ir::Symbol{"square", ir::SymbolKind::loop});
  const Expr begin = copy->one_square() ? ir::index_constant(0) : ir::var(first);
  ir::Substitution counted_as_one;
  for (const ir::For* l : nest.loops)
    counted_as_one.emplace_back(l->loop, l == &last ? begin + ir::var(last.loop) : ir::index_constant(0));
  auto in_lanes = [&](const ir::For& l, const Work& work) {
    known_.emplace_back();
    with_lanes(l.loop, 0, n, work);
    known_.pop_back();
  };
  auto at = [&](std::vector<Expr> subs, const ir::For& l, int i) {
    subs = ir::substitute(subs, counted_as_one);
    return ir::substitute(subs, {{l.loop, ir::index_constant(i)}});
  };
  ranges_.set(first, {0, INT64_MAX});
  auto fits = [&] {
    f_.symbols[first.value] = {b_.getInt64(0)};
    bool rows = false, columns = false;
    in_lanes(last, [&] { rows = spot(load->buffer, at(from, lanes, 0)).shape == Spot::contiguous; });
    in_lanes(lanes, [&] {
      columns = spot(assign.buffer, at(to, last, 0)).shape == Spot::contiguous &&
                spot(load->buffer, at(from, last, 0)).shape == Spot::scattered;
    });
    f_.symbols.erase(first.value);
    return rows && columns && evenly_spaced(load->buffer, from, nest.loops) &&
           evenly_spaced(assign.buffer, to, nest.loops);
  };
  // Loops over several axes follow the rows of an array without gaps.
  std::optional<Storage> read;
  bool found = fits();
  if (!found && nest.loops.size() > 1 && (read = without_gaps(load->buffer, copy->whole))) {
    std::swap(*read, storages_[load->buffer.value]);
    found = fits();
    std::swap(*read, storages_[load->buffer.value]);
  }
  if (!found) {
    ranges_.forget(first);
    return false;
  }

  auto square = [&] {
    std::vector<Value*> block;
    if (read) std::swap(*read, storages_[load->buffer.value]);
    for (int i = 0; i < n; ++i)
      in_lanes(last, [&] { block.push_back(arith_.spread(this->load(load->buffer, at(from, lanes, i)))); });
    if (read) std::swap(*read, storages_[load->buffer.value]);
    exchange(block);
    for (int i = 0; i < n; ++i)
      in_lanes(lanes, [&] {
        nontemporal_ = copy->leaf->nontemporal;
        store(assign.buffer, at(to, last, i), {block[static_cast<size_t>(i)], true});
        nontemporal_ = false;
      });
  };
  auto in_registers = [&] {
    if (copy->one_square()) return square();
    Value *all = value(copy->count).v, *size = b_.getInt64(static_cast<uint64_t>(n));
    Value* end = b_.CreateNSWSub(all, size);
    Value* squares = b_.CreateSDiv(b_.CreateNSWAdd(end, b_.getInt64(static_cast<uint64_t>(2 * n - 1))), size);
    const ir::SymbolId which = p_.add(ir::Symbol{"squares", ir::SymbolKind::loop});
    counted(which, b_.getInt64(0), squares, nullptr, true, [&] {
      Value* next = b_.CreateNSWMul(f_.symbols[which.value].v, size);
      f_.symbols[first.value] = {b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, next, end)};
      depth_[first.value] = depth_[which.value];
      square();
      depth_.erase(first.value);
      f_.symbols.erase(first.value);
    });
  };
  Value* all = b_.getTrue();
  known_.emplace_back();
  for (const Expr& e : copy->whole) all = b_.CreateAnd(all, condition(e).v);
  known_.pop_back();
  either(all, in_registers, [&] {
    in_plain_form_ = true;
    plainly();
    in_plain_form_ = false;
  });
  ranges_.forget(first);
  return true;
}

}  // namespace heddle::host
