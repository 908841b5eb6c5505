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

}  // namespace

void Emitter::stmt(const ir::Call& call, const ir::StmtRef& s) {
  // expand_calls has left those that are machine code as they stand.
  const InstrRow* row = spelled(p_, *p_.instr(call.instr), target_);
  if (row && (row->kind == InstrRow::Kind::dot || row->kind == InstrRow::Kind::sum)) dot(call, *row);
  else if (row && row->kind == InstrRow::Kind::interleave) {
    const std::vector<size_t> dims = ir::operand_dims(call.windows[1]);
    interleave(call.windows[0], call.windows[1], {dims[0], dims[1], row->group(), row->lanes()});
  } else if (row && row->kind == InstrRow::Kind::turn) turn(call.windows[0], call.windows[1]);
  else if (row && row->kind == InstrRow::Kind::turn_columns) turn_columns(call.windows[0], call.windows[1]);
  else if (row) tile_call(call, *row);
  else fail(codes::unsupported_on_host, s->place, "the instruction `" + call.instr + "` has no machine code");
}

// Whether a window's cells along its last dim lie behind each other: in an array with steps between elements they do not, and of a layout
// it is not known here.
bool Emitter::neighbours(const ir::Window& w) {
  const Storage& s = storage(w.buffer);
  return !s.layout && ir::is_constant(s.strides[ir::operand_dims(w).back()], 1);
}

Value* Emitter::extent(const ir::Window& w, size_t d) { return value(ir::simplify(w.ranges[d].hi - w.ranges[d].lo)).v; }

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
  const bool as_needed = product && p_.buffer(call.windows[1].buffer).layout;  // is_machine_code has asked
  if (product)
    group = as_needed || neighbours(call.windows[1]) ? read(1, b_.getInt32Ty(), bytes, at)
                                                     : gathered(call.windows[1], row.group());
  const auto lanes = static_cast<unsigned>(row.lanes());
  Value* all = b_.CreateVectorSplat(lanes, group);
  Value* columns = read(product ? 2 : 1, type->getParamType(2), bytes, at);
  Value* before = read(0, type->getParamType(0), bytes, at);
  Value* after = b_.CreateCall(fn, {before, b_.CreateBitCast(all, type->getParamType(1)), columns});
  tagged(b_.CreateAlignedStore(after, at.pointer, llvm::Align(static_cast<uint64_t>(bytes))), *at.storage);
}

// One vector of `type`, a lane for each of `how.lanes` columns, from row p of the group.
Value* Emitter::row_of(const ir::Window& from, const Packing& how, llvm::Type* type, int p, Value* on) {
  llvm::Type* element = arith_.memory_type(p_.buffer(from.buffer).type);
  const llvm::Align align(static_cast<uint64_t>(ir::scalar_bytes(p_.buffer(from.buffer).type)));
  const auto width = static_cast<unsigned>(how.lanes);
  Value* columns = extent(from, how.across);
  const ir::SymbolId lane = p_.add(ir::Symbol{"lane", ir::SymbolKind::loop});
  Value* out = nullptr;
  with_lanes(lane, 0, how.lanes, [&] {
    std::vector<Expr> subs = corner(from);
    subs[how.along] = ir::simplify(subs[how.along] + p);
    subs[how.across] = subs[how.across] + ir::var(lane);
    Value* inside = columns == b_.getInt64(width)
                        ? llvm::Constant::getAllOnesValue(llvm::FixedVectorType::get(b_.getInt1Ty(), width))
                        : b_.CreateICmpSLT(arith_.iota(b_.getInt64Ty(), 0), b_.CreateVectorSplat(width, columns));
    mask_ = b_.CreateAnd(inside, b_.CreateVectorSplat(width, on));
    if (!ahead_.empty()) prefetch_ahead(from.buffer, subs);
    const Spot at = spot(from.buffer, subs);
    if (at.shape == Spot::contiguous && type == element) {
      out = masked_load(element, at.pointer, align, *at.storage);
    } else {
      llvm::Type* lanes = arith_.with_lanes(type, true);
      Value* pointers = at.offsets ? b_.CreateGEP(element, at.pointer, at.offsets) : arith_.spread({at.pointer});
      out = tagged(b_.CreateMaskedGather(lanes, pointers, align, mask_, llvm::Constant::getNullValue(lanes)),
                   *at.storage);
    }
    mask_ = nullptr;
  });
  return out;
}

// The rows of a group, from `first` on, element by element, each column's beside each other. Rows beyond the window are zero.
Value* Emitter::zipped(const ir::Window& from, const Packing& how, int first) {
  // Pairs, then pairs of pairs: rows 0, 2 with 1, 3.
  auto zip = [&](Value* a, Value* b, int each, int count) {
    llvm::SmallVector<int> order;
    for (int i = 0; i < count; i += each) {
      for (int k = 0; k < each; ++k) order.push_back(i + k);
      for (int k = 0; k < each; ++k) order.push_back(count + i + k);
    }
    return b_.CreateShuffleVector(a, b, order);
  };
  llvm::Type* element = arith_.memory_type(p_.buffer(from.buffer).type);
  Value* rows = extent(from, how.along);
  llvm::SmallVector<Value*> of;
  for (int p = first; p < first + how.group; ++p)
    of.push_back(row_of(from, how, element, p, b_.CreateICmpSLT(b_.getInt64(static_cast<uint64_t>(p)), rows)));
  if (how.group == 2) return zip(of[0], of[1], 1, how.lanes);
  return zip(zip(of[0], of[1], 1, how.lanes), zip(of[2], of[3], 1, how.lanes), 2, 2 * how.lanes);
}

// A whole window is written at once, of another only its cells. What one lane gets is one word where it lies as neighbours.
void Emitter::interleave(const ir::Window& to, const ir::Window& from, const Packing& how) {
  const auto [along, across, group, lanes] = how;
  llvm::Type* element = arith_.memory_type(p_.buffer(from.buffer).type);
  const llvm::Align align(static_cast<uint64_t>(ir::scalar_bytes(p_.buffer(from.buffer).type)));
  const auto width = static_cast<unsigned>(lanes);
  Value *rows = extent(from, along), *columns = extent(from, across);
  Value* full = b_.CreateICmpSGE(rows, b_.getInt64(static_cast<uint64_t>(group)));
  auto write = [&](Value* packed) {
    const Spot at = spot(to.buffer, corner(to));
    Value* whole = b_.CreateAnd(full, b_.CreateICmpSGE(columns, b_.getInt64(width)));
    auto at_once = [&] { tagged(b_.CreateAlignedStore(packed, at.pointer, align), *at.storage); };
    either(whole, at_once, [&] {
      const int cells = how.lanes * how.group;
      with_lanes(p_.add(ir::Symbol{"lane", ir::SymbolKind::loop}), 0, cells, [&] {
        Value* cell = arith_.iota(b_.getInt64Ty(), 0);
        auto all = [&](Value* v) { return b_.CreateVectorSplat(static_cast<unsigned>(cells), v); };
        auto constant = [&](int n) { return all(b_.getInt64(static_cast<uint64_t>(n))); };
        mask_ = b_.CreateAnd(b_.CreateICmpSLT(b_.CreateUDiv(cell, constant(how.group)), all(columns)),
                             b_.CreateICmpSLT(b_.CreateURem(cell, constant(how.group)), all(rows)));
        masked_store(packed, element, at.pointer, align, *at.storage);
        mask_ = nullptr;
      });
    });
  };
  if (along + 1 != from.ranges.size() || !neighbours(from)) return write(zipped(from, how, 0));
  auto as_words = [&] {
    Value* words = row_of(from, how, b_.getInt32Ty(), 0, b_.getTrue());
    write(b_.CreateBitCast(words, llvm::FixedVectorType::get(element, width * static_cast<unsigned>(how.group))));
  };
  either(full, as_words, [&] { write(zipped(from, how, 0)); });
}

// Rows of 16 elements, in pairs as words that are exchanged in registers: 16 rows of all elements of a column. Of a window that is not whole
// only its cells are written.
void Emitter::turn_columns(const ir::Window& to, const ir::Window& from) {
  constexpr int n = 16;
  const std::vector<size_t> dims = ir::operand_dims(from), into = ir::operand_dims(to);
  llvm::Type* element = arith_.memory_type(p_.buffer(from.buffer).type);
  const auto bytes = static_cast<uint64_t>(ir::scalar_bytes(p_.buffer(from.buffer).type));
  const Packing how{dims[0], dims[1], static_cast<int>(4 / bytes), n};
  const int length = n * how.group;
  auto* words = llvm::FixedVectorType::get(b_.getInt32Ty(), n);
  std::vector<Value*> block;
  for (int i = 0; i < n; ++i) block.push_back(b_.CreateBitCast(zipped(from, how, i * how.group), words));
  exchange(block);
  Value *rows = extent(from, dims[0]), *columns = extent(from, dims[1]);
  const ir::SymbolId lane = p_.add(ir::Symbol{"lane", ir::SymbolKind::loop});
  for (int i = 0; i < n; ++i) {
    std::vector<Expr> subs = corner(to);
    subs[into[1]] = ir::simplify(subs[into[1]] + i);
    with_lanes(lane, 0, length, [&] {
      auto all = [&](Value* v) { return b_.CreateVectorSplat(static_cast<unsigned>(length), v); };
      Value* on = all(b_.CreateICmpSLT(b_.getInt64(static_cast<uint64_t>(i)), columns));
      const Spot at = spot(to.buffer, subs);
      mask_ = b_.CreateAnd(on, b_.CreateICmpSLT(arith_.iota(b_.getInt64Ty(), 0), all(rows)));
      Value* cells = b_.CreateBitCast(block[static_cast<size_t>(i)],
                                      llvm::FixedVectorType::get(element, static_cast<unsigned>(length)));
      masked_store(cells, element, at.pointer, llvm::Align(bytes), *at.storage);
      mask_ = nullptr;
    });
  }
}

// Whole blocks of 16 rows by 64 bytes are exchanged in registers, others word by word.
void Emitter::turn(const ir::Window& to, const ir::Window& from) {
  constexpr int n = 16;
  const std::vector<size_t> dims = ir::operand_dims(from), into = ir::operand_dims(to);
  const int group = 4 / ir::scalar_bytes(p_.buffer(from.buffer).type);
  auto size = [&](size_t d) { return ir::simplify(from.ranges[d].hi - from.ranges[d].lo); };
  const Expr rows = size(dims[0]), elements = size(dims[1]);
  auto in_registers = [&] {
    auto* words = llvm::FixedVectorType::get(b_.getInt32Ty(), n);
    const llvm::Align align(static_cast<uint64_t>(4 / group));
    std::vector<Value*> block;
    for (int i = 0; i < n; ++i) {
      std::vector<Expr> subs = corner(from);
      subs[dims[0]] = ir::simplify(subs[dims[0]] + i);
      if (!ahead_.empty()) prefetch_ahead(from.buffer, subs);
      const Spot at = spot(from.buffer, subs);
      block.push_back(tagged(b_.CreateAlignedLoad(words, at.pointer, align), *at.storage));
    }
    exchange(block);
    for (int i = 0; i < n; ++i) {
      std::vector<Expr> subs = corner(to);
      subs[into[1]] = ir::simplify(subs[into[1]] + i * group);
      const Spot at = spot(to.buffer, subs);
      tagged(b_.CreateAlignedStore(block[static_cast<size_t>(i)], at.pointer, align), *at.storage);
    }
  };
  auto by_words = [&] {
    const ir::SymbolId word = p_.add(ir::Symbol{"word", ir::SymbolKind::loop});
    Value* count = value(ir::ceildiv(elements, ir::index_constant(group))).v;
    counted(word, b_.getInt64(0), count, nullptr, false,
            [&] {
              auto part = [&](ir::Window w, size_t d) {
                const Expr lo = w.ranges[d].lo + ir::var(word) * group;
                w.ranges[d] = {lo, ir::min(lo + group, w.ranges[d].hi), 0, false};
                return w;
              };
              interleave(part(to, into[1]), part(from, dims[1]), {dims[1], dims[0], group, n});
            },
            {});
  };
  if (!neighbours(from)) return by_words();
  Value* whole = b_.CreateAnd(b_.CreateICmpEQ(value(rows).v, b_.getInt64(n)),
                              b_.CreateICmpEQ(value(elements).v, b_.getInt64(static_cast<uint64_t>(n * group))));
  either(whole, in_registers, by_words);
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
  const size_t o = loads ? 1 : 0;
  const ir::Buffer& buffer = p_.buffer(memory.buffer);
  Value* stride = b_.getInt64(ir::tile_row_bytes);  // of what an operand's layout keeps together
  const ir::Instr& instr = *p_.instr(call.instr);
  if (buffer.layout && !instr.operands[o].layout) {
    stride = b_.getInt64(ir::rows_apart(p_, memory, instr, o).value_or(0) * ir::scalar_bytes(buffer.type));
  } else if (!buffer.layout) {
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
