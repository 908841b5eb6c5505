#include "backend/host/emit_arith.h"

#include <llvm/IR/Intrinsics.h>

#include <cmath>

namespace heddle::host {

using ir::BinaryOp;
using ir::BuiltinReducer;
using ir::ScalarType;
using llvm::Value;

// ---------------------------------------------------------------------------------------------------------------------
// Types and lanes

llvm::Type* Arith::value_type(ScalarType type) const {
  if (type == ScalarType::f64) return b.getDoubleTy();
  if (ir::is_float(type)) return b.getFloatTy();
  return b.getIntNTy(static_cast<unsigned>(ir::scalar_bits(type)));
}

llvm::Type* Arith::memory_type(ScalarType type) const {
  if (type == ScalarType::f64) return b.getDoubleTy();
  if (type == ScalarType::f32) return b.getFloatTy();
  return b.getIntNTy(static_cast<unsigned>(8 * ir::scalar_bytes(type)));
}

llvm::Type* Arith::with_lanes(llvm::Type* element, bool lanes) const {
  return lanes ? static_cast<llvm::Type*>(llvm::FixedVectorType::get(element, static_cast<unsigned>(width))) : element;
}

Value* Arith::spread(Val x) const {
  return x.lanes || width == 1 ? x.v : b.CreateVectorSplat(static_cast<unsigned>(width), x.v);
}

Value* Arith::iota(llvm::Type* element, int64_t first) const {
  if (width == 1) return llvm::ConstantInt::getSigned(element, first);
  std::vector<llvm::Constant*> lanes;
  for (int i = 0; i < width; ++i) lanes.push_back(llvm::ConstantInt::getSigned(element, first + i));
  return llvm::ConstantVector::get(lanes);
}

bool Arith::unify(Val& x, Val& y) const {
  if (x.lanes == y.lanes) return x.lanes;
  Val& narrow = x.lanes ? y : x;
  narrow = {spread(narrow), true};
  return true;
}

llvm::Constant* Arith::real(bool lanes, double value, bool f64) const {
  return llvm::ConstantFP::get(with_lanes(f64 ? b.getDoubleTy() : b.getFloatTy(), lanes), value);
}
llvm::Constant* Arith::integer(llvm::Type* like, uint64_t value) const {
  const unsigned bits = like->getScalarSizeInBits();
  return llvm::ConstantInt::get(like, llvm::APInt(64, value).zextOrTrunc(bits));
}

Val Arith::constant(ScalarType type, const ir::Constant& value) const {
  if (ir::is_float(type)) return {llvm::ConstantFP::get(value_type(type), value.real), false};
  return {integer(value_type(type), static_cast<uint64_t>(value.integer)), false};
}
Val Arith::index(int64_t value) const { return {b.getInt64(static_cast<uint64_t>(value)), false}; }

Val Arith::add(Val x, Val y, bool small) const {
  return lift(x, y, [&](Value* l, Value* r) { return b.CreateAdd(l, r, "", false, small); });
}
Val Arith::mul(Val x, Val y, bool small) const {
  return lift(x, y, [&](Value* l, Value* r) { return b.CreateMul(l, r, "", false, small); });
}

// ---------------------------------------------------------------------------------------------------------------------
// Operators

Val Arith::unary(ir::UnaryOp op, ScalarType type, Val x) const {
  return lift(x, [&](Value* v) {
    if (op == ir::UnaryOp::negate) return ir::is_float(type) ? b.CreateFNeg(v) : b.CreateNeg(v);
    return b.CreateNot(v);
  });
}

Val Arith::select(Val condition, Val yes, Val no) const {
  if (condition.lanes && !yes.lanes) yes = {spread(yes), true};
  const bool lanes = unify(yes, no);
  return {b.CreateSelect(condition.v, yes.v, no.v), lanes};
}

Val Arith::compare(BinaryOp op, ScalarType type, Val x, Val y) const {
  using P = llvm::CmpInst;
  const int row = static_cast<int>(op) - static_cast<int>(BinaryOp::eq);
  static constexpr P::Predicate floats[] = {P::FCMP_OEQ, P::FCMP_UNE, P::FCMP_OLT,
                                            P::FCMP_OLE, P::FCMP_OGT, P::FCMP_OGE};
  static constexpr P::Predicate signs[] = {P::ICMP_EQ, P::ICMP_NE, P::ICMP_SLT, P::ICMP_SLE, P::ICMP_SGT, P::ICMP_SGE};
  static constexpr P::Predicate plain[] = {P::ICMP_EQ, P::ICMP_NE, P::ICMP_ULT, P::ICMP_ULE, P::ICMP_UGT, P::ICMP_UGE};
  return lift(x, y, [&](Value* l, Value* r) {
    if (ir::is_float(type)) return b.CreateFCmp(floats[row], l, r);
    return b.CreateICmp(ir::is_signed(type) ? signs[row] : plain[row], l, r);
  });
}

Val Arith::float_binary(BinaryOp op, ScalarType type, Val x, Val y) const {
  if (op == BinaryOp::min || op == BinaryOp::max)
    return math(op == BinaryOp::min ? ir::MathOp::min : ir::MathOp::max, type, x, y);
  if (op == BinaryOp::mod) {
    // x - y * floor(x / y), each operation rounded; by zero 0
    Val q = float_binary(BinaryOp::div, type, x, y);
    q = math(ir::MathOp::floor, type, q, q);
    return float_binary(BinaryOp::sub, type, x, float_binary(BinaryOp::mul, type, y, q));
  }
  const bool wide = type == ScalarType::f64 || type == ScalarType::f32;
  llvm::FastMathFlags flags;
  flags.setAllowContract(contract_ && wide);
  Val out = lift(x, y, [&](Value* l, Value* r) {
    llvm::IRBuilder<>::FastMathFlagGuard guard(b);
    b.setFastMathFlags(flags);
    switch (op) {
      case BinaryOp::add: return b.CreateFAdd(l, r);
      case BinaryOp::sub: return b.CreateFSub(l, r);
      case BinaryOp::mul: return b.CreateFMul(l, r);
      default: return b.CreateFDiv(l, r);
    }
  });
  return wide ? out : Val{round_narrow(type, out.v), out.lanes};
}

Val Arith::binary(BinaryOp op, ScalarType type, Val x, Val y) const {
  if (op >= BinaryOp::eq && op <= BinaryOp::ge) return compare(op, type, x, y);
  if (ir::is_float(type)) return float_binary(op, type, x, y);
  const bool sign = ir::is_signed(type);
  return lift(x, y, [&](Value* l, Value* r) -> Value* {
    switch (op) {
      case BinaryOp::add: return b.CreateAdd(l, r);
      case BinaryOp::sub: return b.CreateSub(l, r);
      case BinaryOp::mul: return b.CreateMul(l, r);
      case BinaryOp::div: return floor_divide(l, r, sign, false);
      case BinaryOp::mod: return floor_divide(l, r, sign, true);
      case BinaryOp::ceildiv: {
        // ceil(x / y) = -floor(-x / y)
        return b.CreateNeg(floor_divide(b.CreateNeg(l), r, true, false));
      }
      case BinaryOp::min: return b.CreateBinaryIntrinsic(sign ? llvm::Intrinsic::smin : llvm::Intrinsic::umin, l, r);
      case BinaryOp::max: return b.CreateBinaryIntrinsic(sign ? llvm::Intrinsic::smax : llvm::Intrinsic::umax, l, r);
      case BinaryOp::shift_left: return shift(l, r, true, sign);
      case BinaryOp::shift_right: return shift(l, r, false, sign);
      case BinaryOp::bit_and:
      case BinaryOp::logical_and: return b.CreateAnd(l, r);
      case BinaryOp::bit_or:
      case BinaryOp::logical_or: return b.CreateOr(l, r);
      default: return b.CreateXor(l, r);
    }
  });
}

Value* Arith::floor_divide(Value* x, Value* y, bool is_signed, bool remainder) const {
  llvm::Type* type = x->getType();
  Value* zero = integer(type, 0);
  auto* known = llvm::dyn_cast<llvm::Constant>(y);
  if (known && known->getType()->isVectorTy()) known = known->getSplatValue();
  if (auto* c = llvm::dyn_cast_or_null<llvm::ConstantInt>(known)) {
    const llvm::APInt& d = c->getValue();
    if (d.isZero()) return zero;
    // Floor division by a power of two is a shift, its remainder a mask, for negative numbers too.
    if (d.isPowerOf2() && (!is_signed || !d.isNegative())) {
      if (remainder) return b.CreateAnd(x, integer(type, d.getZExtValue() - 1));
      Value* count = integer(type, d.logBase2());
      return is_signed ? b.CreateAShr(x, count) : b.CreateLShr(x, count);
    }
  }
  Value* one = integer(type, 1);
  Value* by_zero = b.CreateICmpEQ(y, zero);
  if (!is_signed) {
    Value* safe = b.CreateSelect(by_zero, one, y);
    return b.CreateSelect(by_zero, zero, remainder ? b.CreateURem(x, safe) : b.CreateUDiv(x, safe));
  }
  // By -1 the least value would trap: its quotient is 0 - x, its remainder 0.
  Value* by_minus = b.CreateICmpEQ(y, llvm::Constant::getAllOnesValue(type));
  Value* safe = b.CreateSelect(b.CreateOr(by_zero, by_minus), one, y);
  Value* q = b.CreateSDiv(x, safe);
  Value* r = b.CreateSub(x, b.CreateMul(q, safe));
  Value* odd = b.CreateAnd(b.CreateICmpNE(r, zero), b.CreateICmpSLT(b.CreateXor(r, safe), zero));
  Value* out = nullptr;
  if (remainder) {
    out = b.CreateSelect(b.CreateOr(by_zero, by_minus), zero, b.CreateSelect(odd, b.CreateAdd(r, safe), r));
  } else {
    out = b.CreateSelect(odd, b.CreateSub(q, one), q);
    out = b.CreateSelect(by_minus, b.CreateNeg(x), b.CreateSelect(by_zero, zero, out));
  }
  return out;
}

Value* Arith::shift(Value* x, Value* count, bool left, bool is_signed) const {
  llvm::Type* type = x->getType();
  Value* inside = b.CreateICmpULT(count, integer(type, type->getScalarSizeInBits()));
  Value* safe = b.CreateSelect(inside, count, integer(type, 0));
  Value* out = left ? b.CreateShl(x, safe) : is_signed ? b.CreateAShr(x, safe) : b.CreateLShr(x, safe);
  return b.CreateSelect(inside, out, integer(type, 0));
}

// ---------------------------------------------------------------------------------------------------------------------
// Reducers

Val Arith::identity(BuiltinReducer reducer, ScalarType type) const {
  return constant(type, ir::identity_of(reducer, type));
}

Val Arith::combine(BuiltinReducer reducer, ScalarType type, Val state, Val x) const {
  switch (reducer) {
    case BuiltinReducer::prod: return binary(BinaryOp::mul, type, state, x);
    // Machine code looks whether the first is NaN: that of a new value is no part of the chain from state to state.
    case BuiltinReducer::max: return binary(BinaryOp::max, type, x, state);
    case BuiltinReducer::min: return binary(BinaryOp::min, type, x, state);
    case BuiltinReducer::any: return binary(BinaryOp::bit_or, type, state, x);
    case BuiltinReducer::all: return binary(BinaryOp::bit_and, type, state, x);
    default: return binary(BinaryOp::add, type, state, x);
  }
}

}  // namespace heddle::host
