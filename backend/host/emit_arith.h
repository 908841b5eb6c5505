// Operations on values of element types as LLVM code: scalars, or vectors with one lane for each iteration of a vector loop.
// What each means stands in docs/numerics.md; the reference is ir/float_format.h, ir/integer.h and ir/math.h.
//
// In SSA a value has one of these forms: f64 as double; every other float as the f32 that it equals; integers in their own width;
// bool as i1; index as i64. Only loads and stores see the narrow float formats.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include "ir/expr.h"
#include "ir/math.h"
#include "ir/program.h"
#include "ir/target.h"

namespace heddle::host {

/// A value of an expression. Inside a vector loop, one that is the same for all lanes stays scalar until it meets one that is not:
/// so a broadcast becomes a load and a splat, which folds into one instruction.
struct Val {
  llvm::Value* v = nullptr;
  bool lanes = false;  ///< v is a vector
};

class Arith {
 public:
  Arith(llvm::IRBuilder<>& builder, const ir::Target& target, const ir::Allow& allow)
      : b(builder), target_(target), contract_(allow.contract), flush_(allow.flush_denormals) {
    for (const std::string& f : target.features) halves = halves || f == "+f16c";
  }

  int width = 1;        ///< lanes of the vector loop around; 1 outside of one
  bool halves = false;  ///< the machine converts f16

  llvm::Type* value_type(ir::ScalarType type) const;
  llvm::Type* memory_type(ir::ScalarType type) const;
  llvm::Type* with_lanes(llvm::Type* element, bool lanes) const;
  llvm::Value* spread(Val x) const;  ///< as a vector of `width` lanes
  llvm::Value* iota(llvm::Type* element, int64_t first) const;

  Val constant(ir::ScalarType type, const ir::Constant& value) const;
  Val index(int64_t value) const;

  Val from_memory(ir::ScalarType type, Val stored) const;
  Val to_memory(ir::ScalarType type, Val value) const;

  Val unary(ir::UnaryOp op, ir::ScalarType type, Val x) const;
  /// Not the lazy ones: both sides are evaluated. `type` is that of the operands.
  Val binary(ir::BinaryOp op, ir::ScalarType type, Val x, Val y) const;
  Val select(Val condition, Val yes, Val no) const;
  Val convert(ir::ConvertMode mode, ir::ScalarType to, ir::ScalarType from, Val x) const;
  Val math(ir::MathOp op, ir::ScalarType type, Val x, Val y) const;
  Val random(Val seed, Val counter) const;  ///< ir/random.h
  void far_quadrant(Val near, Val x, Val& r, Val& q) const;
  Val identity(ir::BuiltinReducer reducer, ir::ScalarType type) const;
  Val combine(ir::BuiltinReducer reducer, ir::ScalarType type, Val state, Val x) const;

  // Index arithmetic. `small`: made of loops and dims only, so it cannot wrap.
  Val add(Val x, Val y, bool small) const;
  Val mul(Val x, Val y, bool small) const;

  /// Makes both scalar or both vectors.
  bool unify(Val& x, Val& y) const;

 private:
  friend struct MathBuilder;
  friend struct WordBuilder;
  template <class F>
  Val lift(Val x, F make) const {
    return {make(x.v), x.lanes};
  }
  template <class F>
  Val lift(Val x, Val y, F make) const {
    const bool lanes = unify(x, y);
    return {make(x.v, y.v), lanes};
  }
  llvm::Constant* real(bool lanes, double value, bool f64) const;
  llvm::Constant* integer(llvm::Type* like, uint64_t value) const;
  Val float_binary(ir::BinaryOp op, ir::ScalarType type, Val x, Val y) const;
  Val compare(ir::BinaryOp op, ir::ScalarType type, Val x, Val y) const;
  llvm::Value* floor_divide(llvm::Value* x, llvm::Value* y, bool is_signed, bool remainder) const;
  llvm::Value* shift(llvm::Value* x, llvm::Value* count, bool left, bool is_signed) const;
  llvm::Value* round_narrow(ir::ScalarType type, llvm::Value* f32) const;
  llvm::Value* to_bf16(llvm::Value* f32) const;
  llvm::Value* odd_f32(llvm::Value* f64) const;
  Val round_float(ir::ScalarType to, ir::ScalarType from, Val x) const;
  Val saturate(ir::ScalarType to, ir::ScalarType from, Val x) const;
  Val saturate_integer(ir::ScalarType to, ir::ScalarType from, Val x) const;
  Val float_to_integer(ir::ScalarType to, Val x) const;
  llvm::Value* integer_to_float(ir::ScalarType to, ir::ScalarType from, llvm::Value* x) const;
  llvm::Value* encode_narrow(ir::ScalarType type, llvm::Value* f32) const;
  llvm::Value* to_half(llvm::Value* x) const;
  llvm::Value* quiet(llvm::Value* x) const;
  llvm::Value* decode_narrow(ir::ScalarType type, llvm::Value* bits) const;

  llvm::IRBuilder<>& b;
  const ir::Target& target_;
  bool contract_, flush_;
};

}  // namespace heddle::host
