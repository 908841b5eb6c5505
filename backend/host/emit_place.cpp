// Addresses, loads and stores. An offset is one affine form over loops, dims and strides: terms of outer loops are added first, so
// that they move out of inner ones; constants come last and fold into the instruction.
#include <algorithm>

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include "backend/host/emitter.h"
#include "ir/array_axes.h"
#include "ir/visit.h"

namespace heddle::host {

using llvm::Value;

namespace {

// `min(x, n)`, a row that is held to the last one, as x.
ir::Expr unheld(const ir::Expr& e) {
  const ir::Binary* least = e.as<ir::Binary>();
  return least && least->op == ir::BinaryOp::min ? least->left : e;
}

// Up to three elements after it.
bool shortly_after(const ir::Expr& first, const ir::Expr& later) {
  const ir::Expr apart = ir::simplify(unheld(later) - unheld(first));
  const int64_t* n = ir::constant_value(apart);
  return n && *n > 0 && *n < 4;
}

}  // namespace

const Emitter::Storage& Emitter::storage(ir::BufferId id) {
  auto known = storages_.find(id.value);
  if (known != storages_.end()) return known->second;
  Storage s;
  const ir::Buffer& buffer = p_.buffer(id);
  const Placement& place = plan_.buffers[id.value];
  auto row_major = [&](const std::vector<Expr>& extents) {
    s.strides.assign(extents.size(), ir::index_constant(1));
    for (size_t i = extents.size(); i-- > 1;) s.strides[i - 1] = s.strides[i] * extents[i];
  };
  if (auto to = redirects_.find(id.value); to != redirects_.end()) {
    std::vector<Expr> extents;
    s.elements = 1;
    for (int64_t n : to->second.extents) extents.push_back(ir::index_constant(n)), s.elements *= n;
    s.base = to->second.slot;
    s.origin = to->second.origin;
    row_major(extents);
    return storages_[id.value] = std::move(s);
  }
  for (const ir::BoxDim& d : buffer.box) s.origin.push_back(d.lo);
  if (place.kind != Placement::Kind::parameter) {
    s.base = f_.bases[id.value];
    s.layout = buffer.layout ? &*buffer.layout : nullptr;
    row_major(place.extents);
    if (place.kind == Placement::Kind::registers) s.elements = std::max<int64_t>(1, place.elements);
    else s.group = place.group;
    return storages_[id.value] = std::move(s);
  }
  if (buffer.layout) {  // packed
    const ArgLayout::Array* array = &layout_.arrays[0];
    while (array->buffer != id) ++array;
    if (Value*& base = f_.bases[id.value]; !base) at_entry([&] { base = argument_word(array->word, b_.getPtrTy()); });
    s.base = f_.bases[id.value];
    s.layout = &*buffer.layout;
    s.group = place.group;
    row_major(place.extents);
    return storages_[id.value] = std::move(s);
  }
  // A parameter: strides are arguments, one for each array axis; the dims of a composite axis are row-major in it.
  size_t index = 0;
  while (layout_.arrays[index].buffer != id) ++index;
  const ArgLayout::Array& array = layout_.arrays[index];
  const bool unit = index < traits_.size() && traits_[index].unit_inner_stride;
  std::vector<ir::SymbolId>& symbols = stride_symbols_[id.value];
  if (symbols.empty())
    for (int axis = 0; axis < array.rank; ++axis) {
      symbols.push_back(p_.add(ir::Symbol{buffer.name + ".stride" + std::to_string(axis), ir::SymbolKind::scalar}));
      strides_[symbols.back().value] = {array.word + 1 + axis, {}};
    }
  s.strides.resize(buffer.box.size());
  const std::vector<ir::AxisSpan> axes = ir::array_axes(buffer);
  for (size_t axis = axes.size(); axis-- > 0;) {
    const bool inner = axis + 1 == axes.size();
    Expr stride = inner && unit ? ir::index_constant(1) : ir::var(symbols[axis]);
    for (size_t dim = axes[axis].end; dim-- > axes[axis].begin;) {
      s.strides[dim] = stride;
      stride = stride * (buffer.box[dim].hi - buffer.box[dim].lo);
    }
  }
  if (Value*& base = f_.bases[id.value]; !base) at_entry([&] { base = argument_word(array.word, b_.getPtrTy()); });
  s.base = f_.bases[id.value];
  s.group = place.group;
  return storages_[id.value] = std::move(s);
}

// ---------------------------------------------------------------------------------------------------------------------

int Emitter::depth(ir::AffineContext& context, ir::Monomial m) const {
  int most = 0;
  for (int place = 0; place < 4 && ir::factor(m, place); ++place) {
    const uint32_t number = ir::factor(m, place);
    const ir::Atom& x = context.atom(number);
    if (x.kind == ir::Atom::Kind::symbol) {
      auto at = depth_.find(x.expr.as<ir::Var>()->symbol.value);
      if (at != depth_.end()) most = std::max(most, at->second);
      continue;
    }
    for (const auto& [symbol, level] : depth_)
      if (context.mentions(number, ir::SymbolId{symbol})) most = std::max(most, level);
  }
  return most;
}

// The value of a form that is the same for all lanes. What it reads is still read under the mask.
Value* Emitter::affine(ir::AffineContext& context, const ir::Affine& a) {
  const int width = arith_.width;
  const ir::SymbolId vector = vector_;
  arith_.width = 1, vector_ = {};
  std::vector<std::pair<int, size_t>> order;
  for (size_t i = 0; i < a.terms.size(); ++i) order.emplace_back(depth(context, a.terms[i].m), i);
  std::sort(order.begin(), order.end());
  Value* sum = nullptr;
  bool small = true;
  for (const auto& [level, index] : order) {
    const ir::AffineTerm& t = a.terms[index];
    Value* part = nullptr;
    for (int place = 0; place < 4 && ir::factor(t.m, place); ++place) {
      const ir::Atom& x = context.atom(ir::factor(t.m, place));
      // Loops and dims cannot wrap; what comes from data may, and must then wrap, not be undefined.
      const bool data = x.kind != ir::Atom::Kind::symbol || x.expr.type() != ir::ScalarType::index;
      small = small && !data;
      Value* factor = x.kind == ir::Atom::Kind::symbol && x.expr.type() == ir::ScalarType::index
                          ? value(x.expr).v
                          : value(context.rebuild(ir::Affine::of(ir::factor(t.m, place)))).v;
      part = part ? b_.CreateMul(part, factor, "", false, small) : factor;
    }
    if (t.c == -1 && sum) {
      sum = b_.CreateSub(sum, part, "", false, small);
      continue;
    }
    if (t.c != 1) part = b_.CreateMul(part, b_.getInt64(static_cast<uint64_t>(t.c)), "", false, small);
    sum = sum ? b_.CreateAdd(sum, part, "", false, small) : part;
  }
  if (!sum) sum = b_.getInt64(static_cast<uint64_t>(a.constant));
  else if (a.constant != 0) sum = b_.CreateAdd(sum, b_.getInt64(static_cast<uint64_t>(a.constant)), "", false, small);
  arith_.width = width, vector_ = vector;
  return sum;
}

// The same of a form that differs between lanes.
Value* Emitter::affine_lanes(ir::AffineContext& context, const ir::Affine& a) {
  ir::Affine rest(a.constant);
  Value* sum = nullptr;
  for (const ir::AffineTerm& t : a.terms) {
    ir::Affine one;
    one.terms.push_back(t);
    if (!context.mentions(one, vector_)) {
      rest.terms.push_back(t);
      continue;
    }
    Val part{b_.getInt64(static_cast<uint64_t>(t.c))};
    for (int place = 0; place < 4 && ir::factor(t.m, place); ++place)
      part = arith_.mul(part, value(context.rebuild(ir::Affine::of(ir::factor(t.m, place)))), false);
    Value* lanes = arith_.spread(part);
    sum = sum ? b_.CreateAdd(sum, lanes) : lanes;
  }
  Value* base = arith_.spread({affine(context, rest)});
  return sum ? b_.CreateAdd(base, sum) : base;
}

Value* Emitter::advance(Value* pointer, ir::BufferId buffer, ir::AffineContext& context, const ir::Affine& offset) {
  llvm::Type* element = arith_.memory_type(p_.buffer(buffer).type);
  int deepest = 0;
  for (const ir::AffineTerm& t : offset.terms) deepest = std::max(deepest, depth(context, t.m));
  ir::Affine outer, inner;
  for (const ir::AffineTerm& t : offset.terms) (depth(context, t.m) < deepest ? outer : inner).terms.push_back(t);
  if (!outer.terms.empty()) pointer = b_.CreateGEP(element, pointer, affine(context, outer));
  if (!inner.terms.empty()) pointer = b_.CreateGEP(element, pointer, affine(context, inner));
  if (offset.constant != 0)
    pointer = b_.CreateGEP(element, pointer, b_.getInt64(static_cast<uint64_t>(offset.constant)));
  return pointer;
}

// An offset too large for the normal form: by plain arithmetic.
Emitter::Spot Emitter::plain_spot(ir::BufferId buffer, const Storage& at, const std::vector<Expr>& coordinates) {
  Val sum = arith_.index(0);
  for (size_t i = 0; i < coordinates.size(); ++i) {
    Val c = value(at.layout ? coordinates[i] : coordinates[i] - at.origin[i]);
    sum = arith_.add(sum, arith_.mul(c, value(at.strides[i]), false), false);
  }
  Spot out;
  out.storage = &at;
  out.shape = sum.lanes ? Spot::scattered : Spot::one;
  out.pointer = sum.lanes ? at.base : b_.CreateGEP(arith_.memory_type(p_.buffer(buffer).type), at.base, sum.v);
  out.offsets = sum.lanes ? sum.v : nullptr;
  return out;
}

// Elements from the storage's base, in normal form; not ok where that is too large.
ir::Affine Emitter::offset_of(const Storage& at, const std::vector<Expr>& subs, ir::AffineContext& context) {
  const std::vector<Expr> coordinates = coordinates_of(at, subs);
  ir::Affine offset;
  for (size_t i = 0; i < coordinates.size(); ++i) {
    ir::Affine c = context.convert(coordinates[i]);
    if (!at.layout) c.add(context.convert(at.origin[i]), -1);
    offset.add(product(c, context.convert(at.strides[i])));
  }
  return offset;
}

// What a layout makes of subscripts.
std::vector<ir::Expr> Emitter::coordinates_of(const Storage& at, const std::vector<Expr>& subs) {
  if (!at.layout) return subs;
  ir::Substitution relative;
  for (size_t i = 0; i < subs.size(); ++i) relative.emplace_back(at.layout->from[i], subs[i] - at.origin[i]);
  return ir::substitute(at.layout->to, relative);
}

Emitter::Spot Emitter::spot(ir::BufferId buffer, const std::vector<Expr>& subs) {
  const Storage& at = storage(buffer);
  RangedContext ranged(ranges_);
  ir::AffineContext& context = ranged.context;
  const ir::Affine offset = offset_of(at, subs, context);
  Spot out;
  out.storage = &at;
  const bool varies = arith_.width > 1;
  if (!offset.ok) return plain_spot(buffer, at, coordinates_of(at, subs));
  ir::Affine same(offset.constant), lanes;
  for (const ir::AffineTerm& t : offset.terms) {
    ir::Affine one;
    one.terms.push_back(t);
    (varies && context.mentions(one, vector_) ? lanes : same).terms.push_back(t);
  }
  if (lanes.terms.empty()) {
    out.pointer = advance(at.base, buffer, context, same);
    return out;
  }
  const ir::AffineTerm& first = lanes.terms[0];
  const ir::Atom& atom = context.atom(ir::factor(first.m, 0));
  const bool simple = lanes.terms.size() == 1 && ir::is_linear(first.m) && atom.kind == ir::Atom::Kind::symbol;
  if (simple && first.c == 1) {
    same.add(vector_lo_);
    out.shape = Spot::contiguous;
    if (!fetched_.empty()) {
      // How far the address moves in one iteration of the innermost loop, where that is constant.
      for (const ir::AffineTerm& t : same.terms)
        if (ir::is_linear(t.m) && context.atom(ir::factor(t.m, 0)).kind == ir::Atom::Kind::symbol &&
            context.atom(ir::factor(t.m, 0)).expr.as<ir::Var>()->symbol == innermost_)
          out.step_bytes = t.c * ir::scalar_bytes(p_.buffer(buffer).type);
    }
    out.inside_slot =
        at.elements && same.is_constant() && same.constant >= 0 && same.constant + arith_.width <= at.elements;
    out.pointer = advance(at.base, buffer, context, same);
    return out;
  }
  out.shape = Spot::scattered;
  out.pointer = advance(at.base, buffer, context, same);
  out.offsets = affine_lanes(context, lanes);
  if (simple && first.c == 2) {
    same.add(2 * vector_lo_);
    out.by_twos = advance(at.base, buffer, context, same);
  }
  return out;
}

// ---------------------------------------------------------------------------------------------------------------------

llvm::Instruction* Emitter::tagged(llvm::Instruction* access, const Storage& where) {
  auto scope = scopes_.find(where.group);
  if (where.group >= 0 && scope != scopes_.end()) {
    access->setMetadata(llvm::LLVMContext::MD_alias_scope, scope->second.first);
    access->setMetadata(llvm::LLVMContext::MD_noalias, scope->second.second);
  }
  return access;
}

Value* Emitter::all_lanes() {
  return mask_ ? mask_
               : llvm::Constant::getAllOnesValue(
                     llvm::FixedVectorType::get(b_.getInt1Ty(), static_cast<unsigned>(arith_.width)));
}

// An address that all lanes share is read once. Where some lane may be off, all may be: then the read must be shown to be inside, or
// goes to a place of its own when no lane is on.
Value* Emitter::readable(Value* pointer, ir::BufferId buffer, const std::vector<Expr>& subs) {
  if (!mask_ || redirects_.count(buffer.value) || not_shown_inside(buffer, subs).empty()) return pointer;
  if (!nowhere_ || llvm::cast<llvm::Instruction>(nowhere_)->getFunction() != f_.fn) {
    nowhere_ = stack_slot(b_.getInt64Ty(), 1);
    at_entry([&] { b_.CreateStore(b_.getInt64(0), nowhere_); });
  }
  return b_.CreateSelect(b_.CreateOrReduce(mask_), pointer, nowhere_);
}

// What stands in `l2` is read from there as a stream: each line is asked for some iterations ahead, so that it waits in L1. Without
// that a matmul over a panel of 128 KiB loses some 3 %.
void Emitter::prefetch(const Spot& at, ir::BufferId buffer, const std::vector<Expr>& subs, int64_t read_bytes) {
  constexpr int64_t ahead_bytes = 1024;
  if (p_.buffer(buffer).memory != ir::Memory::l2 || !at.step_bytes || at.storage->elements) return;
  // A schedule that says what to ask for knows better.
  for (const Ahead& a : ahead_)
    if (a.what.buffer == buffer) return;
  if (!first_time(buffer, subs)) return;
  const int64_t bytes = at.step_bytes * std::max<int64_t>(1, ahead_bytes / at.step_bytes);
  fetch_lines(b_.CreateConstGEP1_64(b_.getInt8Ty(), at.pointer, static_cast<uint64_t>(bytes)), read_bytes);
}

// Where loops around ask for the buffer: the place that is read here some iterations later. It may lie past the buffer, where
// asking does nothing.
void Emitter::prefetch_ahead(ir::BufferId buffer, const std::vector<Expr>& subs) {
  for (const Ahead& a : ahead_) {
    if (a.what.buffer != buffer || redirects_.count(buffer.value)) continue;
    std::vector<Expr> later;
    bool moves = false, data = false;
    for (const Expr& sub : subs) {
      moves |= ir::mentions(sub, a.loop);
      ir::walk(sub, [&](const Expr& node) {
        data |= node.as<ir::Load>() != nullptr;
        return !data;
      });
      later.push_back(ir::substitute(sub, {{a.loop, ir::var(a.loop) + a.what.ahead}}));
    }
    if (!moves || data || !first_time(buffer, later)) continue;
    const Spot at = spot(buffer, later);
    if (at.storage->elements || at.shape == Spot::scattered) continue;
    fetch_lines(at.pointer,
                (at.shape == Spot::contiguous ? arith_.width : 1) * ir::scalar_bytes(p_.buffer(buffer).type));
  }
}

// Of elements that follow each other every fourth: they lie in one line, or in two of which the last is asked for, too.
bool Emitter::first_time(ir::BufferId buffer, const std::vector<Expr>& subs) {
  constexpr size_t neighbours = 16;
  std::vector<Asked>& seen = fetched_.back();
  auto asks = [&](const Asked& a, bool nearly) {
    if (a.buffer != buffer || a.subs.size() != subs.size()) return false;
    for (size_t d = 0; d < subs.size(); ++d)
      if (!ir::same(a.subs[d], subs[d]) && !(nearly && d + 1 == subs.size() && shortly_after(a.subs[d], subs[d])))
        return false;
    return true;
  };
  for (size_t i = seen.size(); i-- > 0;)
    if (asks(seen[i], seen.size() - i <= neighbours)) return false;
  seen.push_back({buffer, subs});
  return true;
}

void Emitter::fetch_lines(Value* from, int64_t bytes) {
  constexpr int64_t line = 64;
  for (int64_t at = 0; at < bytes; at += line) {
    Value* to = b_.CreateConstGEP1_64(b_.getInt8Ty(), from, static_cast<uint64_t>(at));
    b_.CreateIntrinsic(llvm::Intrinsic::prefetch, {b_.getPtrTy()},
                       {to, b_.getInt32(0), b_.getInt32(3), b_.getInt32(1)});
  }
}

// Two vectors, of which the second ends with the last lane's element, and their even and odd elements.
Value* Emitter::every_other(llvm::Type* lanes, const Spot& at, llvm::Align align) {
  const int n = arith_.width;
  auto vector = [&](int64_t from) {
    Value* pointer = b_.CreateConstGEP1_64(lanes->getScalarType(), at.by_twos, static_cast<uint64_t>(from));
    return tagged(b_.CreateAlignedLoad(lanes, pointer, align), *at.storage);
  };
  Value *first = vector(0), *second = vector(n - 1);
  llvm::SmallVector<int> pick;
  for (int i = 0; i < n; ++i) pick.push_back(2 * i < n ? 2 * i : n + 2 * i - (n - 1));
  return b_.CreateShuffleVector(first, second, pick);
}

Val Emitter::load(ir::BufferId buffer, const std::vector<Expr>& subs) {
  const ir::ScalarType type = p_.buffer(buffer).type;
  llvm::Type* element = arith_.memory_type(type);
  const llvm::Align align(static_cast<uint64_t>(ir::scalar_bytes(type)));
  if (!ahead_.empty()) prefetch_ahead(buffer, subs);
  const Spot at = spot(buffer, subs);
  if (at.shape == Spot::one) {
    Value* from = readable(at.pointer, buffer, subs);
    return arith_.from_memory(type, {tagged(b_.CreateAlignedLoad(element, from, align), *at.storage)});
  }
  llvm::Type* lanes = arith_.with_lanes(element, true);
  Value* zero = llvm::Constant::getNullValue(lanes);
  Value* read = nullptr;
  if (at.by_twos && !mask_) {
    read = every_other(lanes, at, align);
  } else if (at.shape == Spot::scattered) {
    Value* pointers = b_.CreateGEP(element, at.pointer, at.offsets);
    read = tagged(b_.CreateMaskedGather(lanes, pointers, align, all_lanes(), zero), *at.storage);
  } else if (!mask_ || at.inside_slot) {
    prefetch(at, buffer, subs, arith_.width * ir::scalar_bytes(type));
    read = tagged(b_.CreateAlignedLoad(lanes, at.pointer, align), *at.storage);
  } else {
    read = masked_load(element, at.pointer, align, *at.storage);
  }
  return arith_.from_memory(type, {read, true});
}

// A whole vector past the caches. The machine can do that only where the address is a multiple of the register's width, or of 16
// for pieces of 16 bytes: which it is, is known when the kernel runs. Rows of any length and outputs of any alignment are right;
// one of NumPy's (16) loses nothing, because four pieces fill a line as well as one register.
void Emitter::stream(Value* lanes, const Spot& at, llvm::Align align) {
  constexpr uint64_t piece = 16;
  const uint64_t bytes = lanes->getType()->getPrimitiveSizeInBits() / 8;
  const uint64_t whole = std::min<uint64_t>(static_cast<uint64_t>(target_.vector_bytes), bytes & -bytes);
  auto plain = [&] { tagged(b_.CreateAlignedStore(lanes, at.pointer, align), *at.storage); };
  if (bytes % piece != 0) return plain();
  auto past = [&](uint64_t aligned) {
    llvm::Instruction* s = tagged(b_.CreateAlignedStore(lanes, at.pointer, llvm::Align(aligned)), *at.storage);
    s->setMetadata(llvm::LLVMContext::MD_nontemporal,
                   llvm::MDNode::get(module_.getContext(), {llvm::ConstantAsMetadata::get(b_.getInt32(1))}));
  };
  Value* place = b_.CreatePtrToInt(at.pointer, b_.getInt64Ty());
  auto is_multiple = [&](uint64_t n) { return b_.CreateICmpEQ(b_.CreateAnd(place, n - 1), b_.getInt64(0)); };
  auto block = [&](const char* name) { return llvm::BasicBlock::Create(module_.getContext(), name, f_.fn); };
  auto *wide = block("stream"), *other = block("narrow"), *narrow = block("stream16"), *unaligned = block("store"),
       *after = block("stored");
  b_.CreateCondBr(is_multiple(whole), wide, other);
  b_.SetInsertPoint(wide);
  past(whole);
  b_.CreateBr(after);
  b_.SetInsertPoint(other);
  b_.CreateCondBr(whole > piece ? is_multiple(piece) : b_.getFalse(), narrow, unaligned);
  b_.SetInsertPoint(narrow);
  past(piece);
  b_.CreateBr(after);
  b_.SetInsertPoint(unaligned);
  plain();
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

// Stores past the caches are in no order with others: whoever is told that the work is done must find them.
void Emitter::fence() {
  if (streams_) b_.CreateIntrinsic(b_.getVoidTy(), llvm::Intrinsic::x86_sse_sfence, {});
}

void Emitter::store(ir::BufferId buffer, const std::vector<Expr>& subs, Val x) {
  const ir::ScalarType type = p_.buffer(buffer).type;
  const llvm::Align align(static_cast<uint64_t>(ir::scalar_bytes(type)));
  if (!ahead_.empty() && !nontemporal_) prefetch_ahead(buffer, subs);
  const Spot at = spot(buffer, subs);
  Val bits = arith_.to_memory(type, x);
  if (!carried_.empty()) store_carried(buffer, subs, bits);
  if (at.shape == Spot::one && (bits.lanes || mask_)) {
    // All lanes meet in one cell: the last that is on wins, as lanes are written in their order.
    Value* pointers = arith_.spread({at.pointer});
    tagged(b_.CreateMaskedScatter(arith_.spread(bits), pointers, align, all_lanes()), *at.storage);
    return;
  }
  if (at.shape == Spot::one) {
    tagged(b_.CreateAlignedStore(bits.v, at.pointer, align), *at.storage);
    return;
  }
  Value* lanes = arith_.spread(bits);
  if (at.shape == Spot::scattered) {
    Value* pointers = b_.CreateGEP(arith_.memory_type(type), at.pointer, at.offsets);
    tagged(b_.CreateMaskedScatter(lanes, pointers, align, all_lanes()), *at.storage);
  } else if (!mask_ && nontemporal_ && !at.storage->elements) {
    stream(lanes, at, align);
  } else if (!mask_) {
    tagged(b_.CreateAlignedStore(lanes, at.pointer, align), *at.storage);
  } else if (at.inside_slot) {
    // A blend keeps the slot a value; a masked store would keep it memory.
    Value* old = b_.CreateAlignedLoad(lanes->getType(), at.pointer, align);
    b_.CreateAlignedStore(b_.CreateSelect(mask_, lanes, old), at.pointer, align);
  } else {
    masked_store(lanes, arith_.memory_type(type), at.pointer, align, *at.storage);
  }
}

}  // namespace heddle::host
