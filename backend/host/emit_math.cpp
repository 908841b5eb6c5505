// The rows of ir/math.h as LLVM code: the same templates that the interpreter runs, over values of one or many lanes.
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include "backend/host/emit_arith.h"
#include "ir/random.h"

namespace heddle::host {

using ir::MathOp;
using ir::ScalarType;
using llvm::Value;

struct MathBuilder {
  using V = Val;
  using I = Val;
  using M = Val;
  const Arith& a;
  llvm::IRBuilder<>& b;
  bool f64;

  int bits() const { return f64 ? 64 : 32; }
  llvm::Type* float_type(bool lanes) const { return a.with_lanes(f64 ? b.getDoubleTy() : b.getFloatTy(), lanes); }
  llvm::Type* integer_type(bool lanes) const { return a.with_lanes(f64 ? b.getInt64Ty() : b.getInt32Ty(), lanes); }

  bool fma() const { return a.target_.has_fma; }
  MathBuilder wide() const { return {a, b, true}; }
  V widen(V x) const { return f64 ? x : V{b.CreateFPExt(x.v, a.with_lanes(b.getDoubleTy(), x.lanes)), x.lanes}; }
  V narrow(V x) const { return f64 ? x : V{b.CreateFPTrunc(x.v, a.with_lanes(b.getFloatTy(), x.lanes)), x.lanes}; }
  void far_quadrant(M near, V x, V& r, I& q) const { a.far_quadrant(near, x, r, q); }
  V constant(double value) const { return {llvm::ConstantFP::get(float_type(false), value), false}; }
  I integer(uint64_t value) const { return {a.integer(integer_type(false), value), false}; }
  V add(V x, V y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateFAdd(l, r); });
  }
  V sub(V x, V y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateFSub(l, r); });
  }
  V mul(V x, V y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateFMul(l, r); });
  }
  V div(V x, V y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateFDiv(l, r); });
  }
  V mad(V x, V y, V z) const {
    if (!a.target_.has_fma) return add(mul(x, y), z);
    bool lanes = x.lanes || y.lanes || z.lanes;
    if (lanes) x = {a.spread(x), true}, y = {a.spread(y), true}, z = {a.spread(z), true};
    return {b.CreateIntrinsic(llvm::Intrinsic::fma, {x.v->getType()}, {x.v, y.v, z.v}), lanes};
  }
  V by_intrinsic(llvm::Intrinsic::ID id, V x) const {
    return a.lift(x, [&](Value* v) { return b.CreateUnaryIntrinsic(id, v); });
  }
  V sqrt(V x) const { return by_intrinsic(llvm::Intrinsic::sqrt, x); }
  V floor(V x) const { return by_intrinsic(llvm::Intrinsic::floor, x); }
  V ceil(V x) const { return by_intrinsic(llvm::Intrinsic::ceil, x); }
  V round_even(V x) const { return by_intrinsic(llvm::Intrinsic::roundeven, x); }
  V min_of(V x, V y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateSelect(b.CreateFCmpOLT(l, r), l, r); });
  }
  V max_of(V x, V y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateSelect(b.CreateFCmpOGT(l, r), l, r); });
  }
  M less(V x, V y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateFCmpOLT(l, r); });
  }
  M equal(V x, V y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateFCmpOEQ(l, r); });
  }
  M is_nan(V x) const {
    return a.lift(x, [&](Value* v) { return b.CreateFCmpUNO(v, v); });
  }
  M both(M x, M y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateAnd(l, r); });
  }
  V select(M m, V x, V y) const { return a.select(m, x, y); }
  I to_bits(V x) const { return {b.CreateBitCast(x.v, integer_type(x.lanes)), x.lanes}; }
  V from_bits(I x) const { return {b.CreateBitCast(x.v, float_type(x.lanes)), x.lanes}; }
  I iadd(I x, I y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateAdd(l, r); });
  }
  I isub(I x, I y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateSub(l, r); });
  }
  I iand(I x, I y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateAnd(l, r); });
  }
  I ior(I x, I y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateOr(l, r); });
  }
  I shift_left(I x, int n) const {
    return a.lift(x, [&](Value* v) { return b.CreateShl(v, a.integer(v->getType(), static_cast<uint64_t>(n))); });
  }
  I shift_right(I x, int n) const {
    return a.lift(x, [&](Value* v) { return b.CreateLShr(v, a.integer(v->getType(), static_cast<uint64_t>(n))); });
  }

  // vscalefps does the work of two products and the integer operations that make their powers. Wide vectors go through it in parts
  // of one register, as they would be split anyway.
  int scale_lanes() const { return 512 / bits(); }
  bool has_scale() const { return a.target_.has_masks && a.width > 1 && a.width % scale_lanes() == 0; }
  V scale(V p, V n) const {
    Value *x = a.spread(p), *y = a.spread(n);
    const int part = scale_lanes();
    const auto id =
        f64 ? llvm::Intrinsic::x86_avx512_mask_scalef_pd_512 : llvm::Intrinsic::x86_avx512_mask_scalef_ps_512;
    Value* all = llvm::Constant::getAllOnesValue(b.getIntNTy(static_cast<unsigned>(part)));
    return in_parts(part, [&](int from) {
      Value *one = part_of(x, from, part), *by = part_of(y, from, part);
      return b.CreateIntrinsic(id, {}, {one, by, one, all, b.getInt32(4)});  // rounding mode 4: the current one
    });
  }

  // One permutation of a register that holds the table; without registers so wide, of its two halves (every target with FMA has
  // AVX2). A single lane, and lanes without AVX2, look into memory.
  V lookup(const std::array<double, 16>& table, I index) const {
    std::vector<llvm::Constant*> entries;
    for (double e : table) entries.push_back(llvm::ConstantFP::get(float_type(false), e));
    const bool permutes = a.target_.has_fma && !f64 && index.lanes && a.width >= 8;
    if (!permutes) return looked_up(entries, index);
    const int part = a.target_.has_masks && a.width >= 16 ? 16 : 8;
    return in_parts(part, [&](int from) { return permuted(entries, part_of(index.v, from, part)); });
  }
  Value* permuted(const std::vector<llvm::Constant*>& entries, Value* index) const {
    const bool whole = llvm::cast<llvm::FixedVectorType>(index->getType())->getNumElements() == 16;
    if (whole)
      return b.CreateIntrinsic(llvm::Intrinsic::x86_avx512_permvar_sf_512, {},
                               {llvm::ConstantVector::get(entries), index});
    auto half = [&](size_t from) {
      const std::vector<llvm::Constant*> of(entries.begin() + from, entries.begin() + from + 8);
      return b.CreateIntrinsic(llvm::Intrinsic::x86_avx2_permps, {}, {llvm::ConstantVector::get(of), index});
    };
    Value *eight = llvm::ConstantInt::get(index->getType(), 8), *none = llvm::Constant::getNullValue(index->getType());
    return b.CreateSelect(b.CreateICmpEQ(b.CreateAnd(index, eight), none), half(0), half(8));
  }
  V looked_up(const std::vector<llvm::Constant*>& entries, I index) const {
    llvm::Type* element = float_type(false);
    auto* type = llvm::ArrayType::get(element, entries.size());
    llvm::Module& module = *b.GetInsertBlock()->getModule();
    auto* table = new llvm::GlobalVariable(module, type, true, llvm::GlobalValue::PrivateLinkage,
                                           llvm::ConstantArray::get(type, entries), "heddle.table");
    table->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
    auto entry = [&](Value* at) {
      Value* low = b.CreateAnd(at, llvm::ConstantInt::get(at->getType(), 15));
      return b.CreateLoad(element,
                          b.CreateInBoundsGEP(type, table, {b.getInt64(0), b.CreateZExt(low, b.getInt64Ty())}));
    };
    if (!index.lanes) return {entry(index.v), false};
    Value* out = llvm::PoisonValue::get(float_type(true));
    for (int i = 0; i < a.width; ++i)
      out = b.CreateInsertElement(out, entry(b.CreateExtractElement(index.v, static_cast<uint64_t>(i))),
                                  static_cast<uint64_t>(i));
    return {out, true};
  }

  // Lanes in parts of one register; the last one may have some to spare.
  template <class Make>
  V in_parts(int part, Make make) const {
    std::vector<Value*> parts;
    for (int from = 0; from < a.width; from += part) parts.push_back(make(from));
    Value* all = joined(parts, part);
    if (a.width % part == 0) return {all, true};
    std::vector<int> lanes;
    for (int i = 0; i < a.width; ++i) lanes.push_back(i);
    return {b.CreateShuffleVector(all, lanes), true};
  }
  Value* part_of(Value* all, int from, int part) const {
    if (a.width == part) return all;
    std::vector<int> lanes;
    for (int i = from; i < from + part; ++i) lanes.push_back(i < a.width ? i : -1);
    return b.CreateShuffleVector(all, lanes);
  }
  Value* joined(const std::vector<Value*>& parts, int lanes) const {
    Value* out = parts[0];
    for (size_t i = 1; i < parts.size(); ++i) {
      const int have = static_cast<int>(i) * lanes;
      std::vector<int> wide, both;
      for (int k = 0; k < have; ++k) wide.push_back(k < lanes ? k : -1), both.push_back(k);
      for (int k = 0; k < lanes; ++k) both.push_back(have + k);
      Value* next = i == 1 ? parts[i] : b.CreateShuffleVector(parts[i], wide);
      out = b.CreateShuffleVector(out, next, both);
    }
    return out;
  }
};

Val Arith::math(MathOp op, ScalarType type, Val x, Val y) const {
  if (!ir::is_float(type)) {
    if (op == MathOp::min || op == MathOp::max)
      return binary(op == MathOp::min ? ir::BinaryOp::min : ir::BinaryOp::max, type, x, y);
    if (!ir::is_signed(type)) return x;
    return lift(x, [&](Value* v) { return b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, v, b.CreateNeg(v)); });
  }
  MathBuilder builder{*this, b, type == ScalarType::f64};
  if (ir::math_row(op).arity == 2) unify(x, y);
  if ((op == MathOp::min || op == MathOp::max) && !llvm::isa<llvm::Constant>(x.v) && !llvm::isa<llvm::Constant>(y.v)) {
    // LLVM's own NaN-carrying form, the sign of zero left free, becomes the same three instructions as the row. The row itself it
    // would fold into two compares and a blend; constants it would put second, which the row does not.
    llvm::IRBuilder<>::FastMathFlagGuard guard(b);
    llvm::FastMathFlags flags;
    flags.setNoSignedZeros();
    b.setFastMathFlags(flags);
    return {b.CreateBinaryIntrinsic(op == MathOp::min ? llvm::Intrinsic::minimum : llvm::Intrinsic::maximum, x.v, y.v),
            x.lanes};
  }
  Val out = ir::math::apply(builder, op, x, y);
  const bool wide = type == ScalarType::f64 || type == ScalarType::f32;
  return wide || (ir::math_row(op).exact && op != MathOp::sqrt) ? out : Val{round_narrow(type, out.v), out.lanes};
}

// Words are the low halves of 64-bit lanes, where a product of two of them is one instruction.
struct WordBuilder {
  const Arith& a;
  llvm::IRBuilder<>& b;

  Val word(uint32_t v) const { return {b.getInt64(v), false}; }
  Val multiply(Val x, Val y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateMul(l, r); });
  }
  Val exclusive_or(Val x, Val y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateXor(l, r); });
  }
  Val add(Val x, Val y) const {
    return a.lift(x, y, [&](Value* l, Value* r) { return b.CreateAdd(l, r); });
  }
  Val low(Val x) const {
    return a.lift(x, [&](Value* v) { return b.CreateAnd(v, llvm::ConstantInt::get(v->getType(), 0xFFFFFFFF)); });
  }
  Val high(Val x) const {
    return a.lift(x, [&](Value* v) { return b.CreateLShr(v, llvm::ConstantInt::get(v->getType(), 32)); });
  }
  Val join(Val x, Val y) const {
    return a.lift(x, y, [&](Value* l, Value* r) {
      return b.CreateOr(l, b.CreateShl(r, llvm::ConstantInt::get(r->getType(), 32)));
    });
  }
};

Val Arith::random(Val seed, Val counter) const {
  WordBuilder builder{*this, b};
  return ir::philox(builder, seed, counter);
}

}  // namespace heddle::host
