// Instructions with machine code.
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include "backend/host/codes.h"
#include "backend/host/emitter.h"
#include "backend/host/instr_rows.h"
#include "ir/instr_layout.h"

namespace heddle::host {

using llvm::Value;

namespace {

std::vector<ir::Expr> corner(const ir::Window& w) {
  std::vector<ir::Expr> subs;
  for (const ir::Range& r : w.ranges) subs.push_back(r.lo);
  return subs;
}

// Of a dot product or an interleaving: lanes of 16 or 8 columns, groups of neighbours in each.
int lanes_of(const InstrRow& row) { return row.extents[row.kind == InstrRow::Kind::dot ? 2 : 0][1]; }
int group_of(const InstrRow& row) { return row.extents[row.kind == InstrRow::Kind::dot ? 2 : 0][0]; }

}  // namespace

void Emitter::stmt(const ir::Call& call, const ir::StmtRef& s) {
  // expand_calls has left those that are machine code as they stand.
  const InstrRow* row = spelled(p_, *p_.instr(call.instr), target_);
  if (row && (row->kind == InstrRow::Kind::dot || row->kind == InstrRow::Kind::sum)) dot(call, *row);
  else if (row && row->kind == InstrRow::Kind::interleave) interleave(call, *row);
  else if (row) tile_call(call, *row);
  else fail(codes::unsupported_on_host, s->place, "the instruction `" + call.instr + "` has no machine code");
}

// Whether a window's cells along its last dim lie behind each other: in an array with steps between elements they do not.
bool Emitter::neighbours(const ir::Window& w) {
  const Storage& s = storage(w.buffer);
  return s.layout || ir::is_constant(s.strides[ir::operand_dims(w).back()], 1);
}

// `count` of them, as the bytes of one word.
Value* Emitter::gathered(const ir::Window& w, int count) {
  const int bits = 8 * ir::scalar_bytes(p_.buffer(w.buffer).type);
  llvm::Type* piece = b_.getIntNTy(static_cast<unsigned>(bits));
  const size_t dim = ir::operand_dims(w).back();
  Value* word = b_.getInt32(0);
  for (int i = 0; i < count; ++i) {
    std::vector<Expr> subs = corner(w);
    subs[dim] = ir::simplify(subs[dim] + i);
    const Spot at = spot(w.buffer, subs);
    Value* cell =
        tagged(b_.CreateAlignedLoad(piece, at.pointer, llvm::Align(static_cast<uint64_t>(bits / 8))), *at.storage);
    word = b_.CreateOr(word, b_.CreateShl(b_.CreateZExt(cell, b_.getInt32Ty()), static_cast<uint64_t>(i * bits)));
  }
  return word;
}

// Windows are whole (fit_calls); the result is a stack slot that becomes a register. Of a sum, the group is 128 in each byte.
void Emitter::dot(const ir::Call& call, const InstrRow& row) {
  auto read = [&](size_t operand, llvm::Type* type, int& bytes, Spot& at) {
    const ir::Window& w = call.windows[operand];
    bytes = ir::scalar_bytes(p_.buffer(w.buffer).type);
    at = spot(w.buffer, corner(w));
    if (type->isVectorTy()) prefetch(at, w.buffer, corner(w), static_cast<int64_t>(type->getPrimitiveSizeInBits()) / 8);
    return tagged(b_.CreateAlignedLoad(type, at.pointer, llvm::Align(static_cast<uint64_t>(bytes))), *at.storage);
  };
  const auto id = llvm::Intrinsic::lookupIntrinsicID(row.intrinsic);
  llvm::Function* fn = llvm::Intrinsic::getOrInsertDeclaration(&module_, id);
  llvm::FunctionType* type = fn->getFunctionType();
  int bytes = 0;
  Spot at;
  const bool product = row.kind == InstrRow::Kind::dot;
  Value* group = b_.getInt32(0x80808080);
  if (product)
    group =
        neighbours(call.windows[1]) ? read(1, b_.getInt32Ty(), bytes, at) : gathered(call.windows[1], group_of(row));
  const auto lanes = static_cast<unsigned>(product ? lanes_of(row) : row.extents[0][0]);
  Value* all = b_.CreateVectorSplat(lanes, group);
  Value* columns = read(product ? 2 : 1, type->getParamType(2), bytes, at);
  Value* before = read(0, type->getParamType(0), bytes, at);
  Value* after = b_.CreateCall(fn, {before, b_.CreateBitCast(all, type->getParamType(1)), columns});
  tagged(b_.CreateAlignedStore(after, at.pointer, llvm::Align(static_cast<uint64_t>(bytes))), *at.storage);
}

// Rows beyond the window are read as zero; a whole window is written at once, of another only its cells.
void Emitter::interleave(const ir::Call& call, const InstrRow& row) {
  const ir::Window &to = call.windows[0], &from = call.windows[1];
  const std::vector<size_t> dims = ir::operand_dims(from);
  const ir::ScalarType type = p_.buffer(from.buffer).type;
  llvm::Type* element = arith_.memory_type(type);
  const llvm::Align align(static_cast<uint64_t>(ir::scalar_bytes(type)));
  auto extent = [&](size_t k) { return value(ir::simplify(from.ranges[dims[k]].hi - from.ranges[dims[k]].lo)).v; };
  Value *rows = extent(0), *columns = extent(1);
  const ir::SymbolId lane = p_.add(ir::Symbol{"lane", ir::SymbolKind::loop});
  llvm::SmallVector<Value*> read;
  Value* inside = nullptr;
  with_lanes(lane, 0, lanes_of(row), [&] {
    Value* count = b_.getInt64(static_cast<uint64_t>(lanes_of(row)));
    inside = b_.CreateICmpSLT(arith_.iota(b_.getInt64Ty(), 0),
                              b_.CreateVectorSplat(static_cast<unsigned>(lanes_of(row)), columns));
    if (columns == count) inside = llvm::Constant::getAllOnesValue(inside->getType());
    for (int p = 0; p < group_of(row); ++p) {
      std::vector<Expr> subs = corner(from);
      subs[dims[0]] = ir::simplify(subs[dims[0]] + p);
      subs[dims[1]] = subs[dims[1]] + ir::var(lane);
      Value* here = b_.CreateVectorSplat(static_cast<unsigned>(lanes_of(row)),
                                         b_.CreateICmpSLT(b_.getInt64(static_cast<uint64_t>(p)), rows));
      mask_ = b_.CreateAnd(inside, here);
      if (!ahead_.empty()) prefetch_ahead(from.buffer, subs);
      const Spot at = spot(from.buffer, subs);
      llvm::Type* lanes = arith_.with_lanes(element, true);
      Value* zero = llvm::Constant::getNullValue(lanes);
      if (at.shape == Spot::contiguous) {
        read.push_back(masked_load(element, at.pointer, align, *at.storage));
      } else {
        Value* pointers = at.offsets ? b_.CreateGEP(element, at.pointer, at.offsets) : arith_.spread({at.pointer});
        read.push_back(tagged(b_.CreateMaskedGather(lanes, pointers, align, mask_, zero), *at.storage));
      }
      mask_ = nullptr;
    }
  });
  // Pairs, then pairs of pairs: rows 0, 2 with 1, 3.
  auto zip = [&](Value* a, Value* b, int each, int count) {
    llvm::SmallVector<int> order;
    for (int i = 0; i < count; i += each) {
      for (int k = 0; k < each; ++k) order.push_back(i + k);
      for (int k = 0; k < each; ++k) order.push_back(count + i + k);
    }
    return b_.CreateShuffleVector(a, b, order);
  };
  Value* packed = nullptr;
  if (group_of(row) == 2) packed = zip(read[0], read[1], 1, lanes_of(row));
  else
    packed =
        zip(zip(read[0], read[1], 1, lanes_of(row)), zip(read[2], read[3], 1, lanes_of(row)), 2, 2 * lanes_of(row));

  const Spot at = spot(to.buffer, corner(to));
  Value* whole = b_.CreateAnd(b_.CreateICmpSGE(rows, b_.getInt64(static_cast<uint64_t>(group_of(row)))),
                              b_.CreateICmpSGE(columns, b_.getInt64(static_cast<uint64_t>(lanes_of(row)))));
  branch(whole, [&] { tagged(b_.CreateAlignedStore(packed, at.pointer, align), *at.storage); });
  branch(b_.CreateNot(whole), [&] {
    const int width = lanes_of(row) * group_of(row);
    with_lanes(lane, 0, width, [&] {
      Value* cell = arith_.iota(b_.getInt64Ty(), 0);
      auto all = [&](Value* v) { return b_.CreateVectorSplat(static_cast<unsigned>(width), v); };
      auto constant = [&](int n) { return all(b_.getInt64(static_cast<uint64_t>(n))); };
      mask_ = b_.CreateAnd(b_.CreateICmpSLT(b_.CreateUDiv(cell, constant(group_of(row))), all(columns)),
                           b_.CreateICmpSLT(b_.CreateURem(cell, constant(group_of(row))), all(rows)));
      masked_store(packed, element, at.pointer, align, *at.storage);
      mask_ = nullptr;
    });
  });
}

// Tiles
// -----------------------------------------------------------------------------------------------------------------

// All tiles as 16 rows of 64 bytes, once for each function that uses them: a kernel, or a thread's part of a parallel loop.
void Emitter::configure_tiles() {
  if (configured_ == f_.fn) return;
  configured_ = f_.fn;
  at_entry([&] {
    Value* config = stack_slot(b_.getInt8Ty(), 64);
    auto byte = [&](uint64_t at) { return b_.CreateConstGEP1_64(b_.getInt8Ty(), config, at); };
    b_.CreateMemSet(config, b_.getInt8(0), 64, llvm::MaybeAlign(64));
    b_.CreateStore(b_.getInt8(1), config);  // palette 1
    for (uint64_t t = 0; t < ir::tile_registers; ++t) {
      b_.CreateStore(b_.getInt16(ir::tile_row_bytes), byte(16 + 2 * t));
      b_.CreateStore(b_.getInt8(ir::tile_rows), byte(48 + t));
    }
    b_.CreateIntrinsic(llvm::Intrinsic::x86_ldtilecfg, {}, {config});
  });
}

Value* Emitter::tile_number(const ir::Window& w) {
  const ir::Expr number = ir::tile_of(p_, w);
  const int64_t* n = number.known() ? ir::constant_value(number) : nullptr;
  auto first = tiles_.find(w.buffer);
  if (!n || first == tiles_.end()) {
    fail(codes::broken_code, {}, "a tile of `" + p_.buffer(w.buffer).name + "` has no number");
    return b_.getInt8(0);
  }
  return b_.getInt8(static_cast<uint8_t>(first->second + *n));
}

void Emitter::tile_call(const ir::Call& call, const InstrRow& row) {
  configure_tiles();
  const auto id = llvm::Intrinsic::lookupIntrinsicID(row.intrinsic);
  if (row.kind == InstrRow::Kind::tile_dot) {
    b_.CreateIntrinsic(id, {},
                       {tile_number(call.windows[0]), tile_number(call.windows[1]), tile_number(call.windows[2])});
    return;
  }
  const bool loads = row.kind == InstrRow::Kind::tile_load;
  const ir::Window &tile = call.windows[loads ? 0 : 1], &memory = call.windows[loads ? 1 : 0];
  std::vector<ir::Expr> subs = corner(memory);
  Value* from = spot(memory.buffer, subs).pointer;
  Value* stride = b_.getInt64(ir::tile_row_bytes);  // of what a layout keeps together
  if (!p_.buffer(memory.buffer).layout) {
    const size_t dim = ir::operand_dims(memory)[0];
    subs[dim] = ir::simplify(subs[dim] + 1);
    stride = b_.CreatePtrDiff(b_.getInt8Ty(), spot(memory.buffer, subs).pointer, from);
  }
  b_.CreateIntrinsic(id, {}, {tile_number(tile), from, stride});
}

bool Emitter::clears_tiles(const ir::Window& w) {
  auto first = tiles_.find(w.buffer);
  if (first == tiles_.end()) return false;
  configure_tiles();
  const int64_t count = *ir::tile_count(p_.buffer(w.buffer));
  for (int64_t t = 0; t < count; ++t)
    b_.CreateIntrinsic(llvm::Intrinsic::x86_tilezero, {}, {b_.getInt8(static_cast<uint8_t>(first->second + t))});
  return true;
}

}  // namespace heddle::host
