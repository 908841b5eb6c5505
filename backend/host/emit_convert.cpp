// Conversions between element types, in registers and to the bits of memory. Exactly ir/float_format.h, without library calls.
#include <bit>
#include <cmath>

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include "backend/host/emit_arith.h"

namespace heddle::host {

using ir::ScalarType;
using llvm::Value;

namespace {

bool narrow(ScalarType type) { return ir::is_float(type) && type != ScalarType::f32 && type != ScalarType::f64; }

// What a double rounds to in f32, as that f32's bits.
uint64_t f32_bits(double value) { return std::bit_cast<uint32_t>(static_cast<float>(value)); }

}  // namespace

// An f64 as f32 with the last bit set where it is inexact: one more rounding to a narrower type is then as if it were the only one.
Value* Arith::odd_f32(Value* x) const {
  llvm::Type* bits_type = with_lanes(b.getInt32Ty(), x->getType()->isVectorTy());
  llvm::Type* f32 = with_lanes(b.getFloatTy(), x->getType()->isVectorTy());
  Value* near = b.CreateFPTrunc(x, f32);
  Value* back = b.CreateFPExt(near, x->getType());
  Value* bits = b.CreateBitCast(near, bits_type);
  Value* past = b.CreateFCmpOGT(b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, back),
                                b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x));
  Value* inexact = b.CreateFCmpONE(back, x);
  Value* toward_zero = b.CreateSub(bits, b.CreateZExt(past, bits_type));
  Value* odd = b.CreateOr(toward_zero, b.CreateZExt(inexact, bits_type));
  return b.CreateBitCast(odd, f32);
}

// The nearest value of a narrow type, ties to even, as f32.
Value* Arith::round_narrow(ScalarType type, Value* x) const {
  const ir::ScalarRow& row = ir::scalar_row(type);
  const bool lanes = x->getType()->isVectorTy();
  llvm::Type* bits_type = with_lanes(b.getInt32Ty(), lanes);
  if (type == ScalarType::f16 && halves) return quiet(b.CreateFPExt(to_half(x), x->getType()));
  if (type == ScalarType::bf16)
    if (Value* stored = to_bf16(x)) return decode_narrow(type, stored);
  const unsigned drop = static_cast<unsigned>(24 - row.precision);
  Value* bits = b.CreateBitCast(x, bits_type);
  Value* sign = b.CreateAnd(bits, integer(bits_type, 0x80000000u));
  // Add half of the last kept place, less one where that place is even: a carry runs into the exponent, which is right.
  Value* last = b.CreateAnd(b.CreateLShr(bits, integer(bits_type, drop)), integer(bits_type, 1));
  Value* bias = b.CreateAdd(last, integer(bits_type, (1u << (drop - 1)) - 1));
  Value* kept = b.CreateAnd(b.CreateAdd(bits, bias), integer(bits_type, ~((1u << drop) - 1)));
  if (type != ScalarType::bf16) {
    // Below the least normal number: to a multiple of the least one, by a sum whose last place is that.
    Value* magic = real(lanes, std::ldexp(1.5, row.min_exponent - row.precision + 24), false);
    Value* size = b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
    Value* tiny = b.CreateFSub(b.CreateFAdd(size, magic), magic);
    Value* tiny_bits = b.CreateOr(b.CreateBitCast(tiny, bits_type), sign);
    Value* below = b.CreateFCmpOLT(size, real(lanes, std::ldexp(1.0, row.min_exponent), false));
    kept = b.CreateSelect(below, tiny_bits, kept);
    Value* magnitude = b.CreateAnd(kept, integer(bits_type, 0x7fffffffu));
    Value* over = b.CreateICmpUGT(magnitude, integer(bits_type, f32_bits(row.max_finite)));
    Value* limit = integer(bits_type, row.has_infinity ? 0x7f800000u : 0x7fc00000u);
    kept = b.CreateSelect(over, b.CreateOr(sign, limit), kept);
  }
  Value* quiet = b.CreateOr(sign, integer(bits_type, 0x7fc00000u));
  return b.CreateBitCast(b.CreateSelect(b.CreateFCmpUNO(x, x), quiet, kept), x->getType());
}

// f32 -> the bits of bf16 by AVX512-BF16, which takes denormals as zero; null where the program or the machine has no leave for it.
Value* Arith::to_bf16(Value* x) const {
  const auto* lanes = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  if (!flush_ || !target_.has_bf16 || !lanes || (lanes->getNumElements() != 8 && lanes->getNumElements() != 16))
    return nullptr;
  const auto id = lanes->getNumElements() == 16 ? llvm::Intrinsic::x86_avx512bf16_cvtneps2bf16_512
                                                : llvm::Intrinsic::x86_avx512bf16_cvtneps2bf16_256;
  return b.CreateBitCast(b.CreateIntrinsic(id, {}, {x}), with_lanes(b.getInt16Ty(), true));
}

// f32 -> f16 by F16C. What was rounded from f64 is rounded twice, as in ir/float_format.h: without the fence LLVM makes one rounding of the two,
// a call of the compiler's run-time library.
Value* Arith::to_half(Value* x) const {
  return b.CreateFPTrunc(b.CreateArithmeticFence(x, x->getType()),
                         with_lanes(b.getHalfTy(), x->getType()->isVectorTy()));
}

// F16C rounds and widens halves as ir/float_format.h does, but for the bits of what is not a number.
Value* Arith::quiet(Value* x) const {
  llvm::Type* bits_type = with_lanes(b.getInt32Ty(), x->getType()->isVectorTy());
  Value* sign = b.CreateAnd(b.CreateBitCast(x, bits_type), integer(bits_type, 0x80000000u));
  Value* none = b.CreateBitCast(b.CreateOr(sign, integer(bits_type, 0x7fc00000u)), x->getType());
  return b.CreateSelect(b.CreateFCmpUNO(x, x), none, x);
}

// f32 that equals a value of the type -> the type's bits.
Value* Arith::encode_narrow(ScalarType type, Value* x) const {
  const ir::ScalarRow& row = ir::scalar_row(type);
  const bool lanes = x->getType()->isVectorTy();
  llvm::Type* bits_type = with_lanes(b.getInt32Ty(), lanes);
  llvm::Type* out = with_lanes(memory_type(type), lanes);
  Value* bits = b.CreateBitCast(x, bits_type);
  if (type == ScalarType::bf16) return b.CreateTrunc(b.CreateLShr(bits, integer(bits_type, 16)), out);
  if (type == ScalarType::f16 && halves) return b.CreateBitCast(to_half(x), out);
  const unsigned width = static_cast<unsigned>(8 * row.bytes), fraction = static_cast<unsigned>(row.precision - 1);
  Value* sign = b.CreateShl(b.CreateLShr(bits, integer(bits_type, 31)), integer(bits_type, width - 1));
  Value* magnitude = b.CreateAnd(bits, integer(bits_type, 0x7fffffffu));
  Value* normal = b.CreateSub(b.CreateLShr(magnitude, integer(bits_type, 23 - fraction)),
                              integer(bits_type, static_cast<uint64_t>(126 + row.min_exponent) << fraction));
  // Denormals are whole multiples of the least number.
  Value* size = b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
  Value* scaled = b.CreateFMul(size, real(lanes, std::ldexp(1.0, row.precision - 1 - row.min_exponent), false));
  Value* below = b.CreateFCmpOLT(size, real(lanes, std::ldexp(1.0, row.min_exponent), false));
  Value* units = b.CreateFPToSI(b.CreateSelect(below, scaled, real(lanes, 0, false)), bits_type);
  Value* code = b.CreateSelect(below, units, normal);
  const uint64_t top = static_cast<uint64_t>(row.max_exponent - row.min_exponent + 2) << fraction;
  const uint64_t infinity = row.has_infinity ? top : top - 1;
  const uint64_t nan = row.has_infinity ? top | uint64_t{1} << (fraction - 1) : infinity;
  code = b.CreateSelect(b.CreateICmpEQ(magnitude, integer(bits_type, 0x7f800000u)), integer(bits_type, infinity), code);
  code = b.CreateSelect(b.CreateFCmpUNO(x, x), integer(bits_type, nan), code);
  return b.CreateTrunc(b.CreateOr(code, sign), out);
}

Value* Arith::decode_narrow(ScalarType type, Value* stored) const {
  const ir::ScalarRow& row = ir::scalar_row(type);
  const bool lanes = stored->getType()->isVectorTy();
  llvm::Type* bits_type = with_lanes(b.getInt32Ty(), lanes);
  llvm::Type* f32 = with_lanes(b.getFloatTy(), lanes);
  if (type == ScalarType::f16 && halves)
    return quiet(b.CreateFPExt(b.CreateBitCast(stored, with_lanes(b.getHalfTy(), lanes)), f32));
  Value* bits = b.CreateZExt(stored, bits_type);
  if (type == ScalarType::bf16) return b.CreateBitCast(b.CreateShl(bits, integer(bits_type, 16)), f32);
  const unsigned width = static_cast<unsigned>(8 * row.bytes), fraction = static_cast<unsigned>(row.precision - 1);
  Value* sign = b.CreateShl(b.CreateLShr(bits, integer(bits_type, width - 1)), integer(bits_type, 31));
  Value* magnitude = b.CreateAnd(bits, integer(bits_type, (1u << (width - 1)) - 1));
  Value* normal = b.CreateAdd(b.CreateShl(magnitude, integer(bits_type, 23 - fraction)),
                              integer(bits_type, static_cast<uint64_t>(126 + row.min_exponent) << 23));
  Value* units = b.CreateSIToFP(magnitude, f32);
  Value* tiny = b.CreateFMul(units, real(lanes, std::ldexp(1.0, row.min_exponent - row.precision + 1), false));
  Value* below = b.CreateICmpULT(magnitude, integer(bits_type, uint64_t{1} << fraction));
  Value* code = b.CreateSelect(below, b.CreateBitCast(tiny, bits_type), normal);
  const uint64_t top = static_cast<uint64_t>(row.max_exponent - row.min_exponent + 2) << fraction;
  if (row.has_infinity) {
    code = b.CreateSelect(b.CreateICmpUGE(magnitude, integer(bits_type, top)), integer(bits_type, 0x7f800000u), code);
    code = b.CreateSelect(b.CreateICmpUGT(magnitude, integer(bits_type, top)), integer(bits_type, 0x7fc00000u), code);
  } else {
    code =
        b.CreateSelect(b.CreateICmpUGE(magnitude, integer(bits_type, top - 1)), integer(bits_type, 0x7fc00000u), code);
  }
  return b.CreateBitCast(b.CreateOr(code, sign), f32);
}

Val Arith::from_memory(ScalarType type, Val stored) const {
  if (type == ScalarType::boolean) return {b.CreateICmpNE(stored.v, integer(stored.v->getType(), 0)), stored.lanes};
  return narrow(type) ? Val{decode_narrow(type, stored.v), stored.lanes} : stored;
}

Val Arith::to_memory(ScalarType type, Val value) const {
  if (type == ScalarType::boolean) return {b.CreateZExt(value.v, with_lanes(b.getInt8Ty(), value.lanes)), value.lanes};
  return narrow(type) ? Val{encode_narrow(type, value.v), value.lanes} : value;
}

// ---------------------------------------------------------------------------------------------------------------------

Val Arith::round_float(ScalarType to, ScalarType from, Val x) const {
  if (to == from || to == ScalarType::f64) {
    if (to == ScalarType::f64 && from != ScalarType::f64)
      return {b.CreateFPExt(x.v, with_lanes(b.getDoubleTy(), x.lanes)), x.lanes};
    return x;
  }
  if (to == ScalarType::f32) {
    if (from == ScalarType::f64) return {b.CreateFPTrunc(x.v, with_lanes(b.getFloatTy(), x.lanes)), x.lanes};
    return x;
  }
  Value* f32 = from == ScalarType::f64 ? odd_f32(x.v) : x.v;
  return {round_narrow(to, f32), x.lanes};
}

Val Arith::float_to_integer(ScalarType to, Val x) const {
  if (to == ScalarType::boolean) return {b.CreateFCmpUNE(x.v, llvm::ConstantFP::get(x.v->getType(), 0.0)), x.lanes};
  const auto id = ir::is_signed(to) ? llvm::Intrinsic::fptosi_sat : llvm::Intrinsic::fptoui_sat;
  llvm::Type* type = with_lanes(value_type(to), x.lanes);
  return {b.CreateIntrinsic(id, {type, x.v->getType()}, {x.v}), x.lanes};
}

Value* Arith::integer_to_float(ScalarType to, ScalarType from, Value* x) const {
  llvm::Type* type = with_lanes(to == ScalarType::f64 ? b.getDoubleTy() : b.getFloatTy(), x->getType()->isVectorTy());
  Value* near = ir::is_signed(from) ? b.CreateSIToFP(x, type) : b.CreateUIToFP(x, type);
  return narrow(to) ? round_narrow(to, near) : near;
}

Val Arith::saturate_integer(ScalarType to, ScalarType from, Val x) const {
  // In 64 bits (u64 as its bits) both bounds of the target can be compared by the source's sign.
  llvm::Type* wide = with_lanes(b.getInt64Ty(), x.lanes);
  const bool sign = ir::is_signed(from);
  Value* v = sign ? b.CreateSExt(x.v, wide) : b.CreateZExt(x.v, wide);
  const auto greatest = static_cast<uint64_t>(ir::integer_max(to));
  if (sign) {
    const int64_t least = ir::is_signed(to) ? ir::integer_min(to) : 0;
    v = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, v, integer(wide, static_cast<uint64_t>(least)));
    if (to != ScalarType::u64) v = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, v, integer(wide, greatest));
  } else {
    v = b.CreateBinaryIntrinsic(llvm::Intrinsic::umin, v, integer(wide, greatest));
  }
  return {b.CreateTrunc(v, with_lanes(value_type(to), x.lanes)), x.lanes};
}

Val Arith::saturate(ScalarType to, ScalarType from, Val x) const {
  if (ir::is_float(to)) {
    if (!ir::is_float(from)) {
      x = {integer_to_float(to == ScalarType::f64 ? to : ScalarType::f32, from, x.v), x.lanes};
      from = to == ScalarType::f64 ? to : ScalarType::f32;
    }
    const double greatest = ir::scalar_row(to).max_finite;
    const bool wide = from == ScalarType::f64;
    if (!wide && greatest > ir::scalar_row(ScalarType::f32).max_finite)
      return round_float(to, from, x);  // f64 holds all
    Value* top = real(x.lanes, greatest, wide);
    Value* bottom = real(x.lanes, -greatest, wide);
    Value* v = b.CreateSelect(b.CreateFCmpOGT(x.v, top), top, x.v);
    v = b.CreateSelect(b.CreateFCmpOLT(v, bottom), bottom, v);
    return round_float(to, from, {v, x.lanes});
  }
  if (ir::is_float(from)) return float_to_integer(to, x);
  if (to == ScalarType::boolean) return convert(ir::ConvertMode::value, to, from, x);
  return saturate_integer(to, from, x);
}

Val Arith::convert(ir::ConvertMode mode, ScalarType to, ScalarType from, Val x) const {
  if (to == from) {
    // A finite bound for infinities is what saturation of a type to itself means.
    return mode == ir::ConvertMode::saturate && ir::is_float(to) ? saturate(to, from, x) : x;
  }
  if (mode == ir::ConvertMode::saturate) return saturate(to, from, x);
  if (ir::is_float(from)) return ir::is_float(to) ? round_float(to, from, x) : float_to_integer(to, x);
  if (ir::is_float(to)) return {integer_to_float(to, from, x.v), x.lanes};
  if (to == ScalarType::boolean) return {b.CreateICmpNE(x.v, integer(x.v->getType(), 0)), x.lanes};
  llvm::Type* type = with_lanes(value_type(to), x.lanes);
  return {b.CreateIntCast(x.v, type, ir::is_signed(from)), x.lanes};
}

}  // namespace heddle::host
