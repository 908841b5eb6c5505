// ir/math/quadrant.h in LLVM's words: an internal function of the module, called for arguments of sin and cos past 2^20.
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>

#include "backend/host/emit_arith.h"
#include "ir/math/quadrant.h"

namespace heddle::host {

using llvm::Value;

namespace {

constexpr const char* name = "heddle.far_quadrant";

llvm::GlobalVariable* bits_table(llvm::Module& module) {
  auto* data = llvm::ConstantDataArray::get(module.getContext(), llvm::ArrayRef<uint64_t>(ir::math::two_over_pi_bits));
  auto* table = new llvm::GlobalVariable(module, data->getType(), true, llvm::GlobalValue::PrivateLinkage, data,
                                         "heddle.two_over_pi");
  table->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
  return table;
}

// {r, q} of a finite x from 2^20 on, {NaN, 0} of infinity and NaN; of a smaller x, nothing of meaning, but nothing is read outside.
llvm::Function* make_function(llvm::Module& module, const llvm::Function& like) {
  llvm::IRBuilder<> b(module.getContext());
  llvm::Type* i64 = b.getInt64Ty();
  llvm::Type* wide = b.getInt128Ty();
  auto* result = llvm::StructType::get(b.getDoubleTy(), i64);
  auto* type = llvm::FunctionType::get(result, {b.getDoubleTy()}, false);
  auto* fn = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, name, module);
  for (const char* word : {"target-cpu", "target-features", "tune-cpu", "prefer-vector-width"})
    if (like.hasFnAttribute(word)) fn->addFnAttr(like.getFnAttribute(word));
  fn->addFnAttr(llvm::Attribute::NoInline);
  fn->setDoesNotThrow();
  fn->setDoesNotAccessMemory();
  fn->setWillReturn();
  b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "entry", fn));
  auto word = [&](uint64_t v) { return b.getInt64(v); };
  auto widened = [&](Value* v) { return b.CreateZExt(v, wide); };
  auto upper = [&](Value* v) { return b.CreateTrunc(b.CreateLShr(v, llvm::ConstantInt::get(wide, 64)), i64); };

  Value* bits = b.CreateBitCast(fn->getArg(0), i64);
  Value* exponent = b.CreateAnd(b.CreateLShr(bits, word(52)), word(0x7ff));
  Value* infinite = b.CreateICmpEQ(exponent, word(0x7ff));
  Value* m = b.CreateOr(b.CreateAnd(bits, word((uint64_t{1} << 52) - 1)), word(uint64_t{1} << 52));
  Value* start = b.CreateSub(exponent, word(1075 + 1 - 63));
  start = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, start, word(0));
  start =
      b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, start, word(64 * (ir::math::two_over_pi_bits.size() - 4) + 63));
  Value* first = b.CreateLShr(start, word(6));
  Value* shift = b.CreateAnd(start, word(63));
  llvm::GlobalVariable* table = bits_table(module);
  auto at = [&](uint64_t i) {
    Value* index = b.CreateAdd(first, word(i));
    return b.CreateLoad(i64, b.CreateInBoundsGEP(table->getValueType(), table, {word(0), index}));
  };
  Value* words[] = {at(0), at(1), at(2), at(3)};
  auto window = [&](size_t i) {
    return b.CreateIntrinsic(llvm::Intrinsic::fshl, {i64}, {words[i], words[i + 1], shift});
  };
  Value* product = b.CreateShl(widened(b.CreateMul(window(0), m)), llvm::ConstantInt::get(wide, 64));
  product = b.CreateAdd(product, b.CreateMul(widened(window(1)), widened(m)));
  product = b.CreateAdd(product, widened(upper(b.CreateMul(widened(window(2)), widened(m)))));
  Value* half = b.CreateShl(llvm::ConstantInt::get(wide, 1), llvm::ConstantInt::get(wide, 125));
  Value* q = b.CreateTrunc(b.CreateLShr(b.CreateAdd(product, half), llvm::ConstantInt::get(wide, 126)), i64);
  Value* f = b.CreateShl(product, llvm::ConstantInt::get(wide, 2));
  Value* below = b.CreateICmpSLT(f, llvm::ConstantInt::get(wide, 0));
  f = b.CreateSelect(below, b.CreateNeg(f), f);
  auto zeros_of = [&](Value* v) { return b.CreateIntrinsic(llvm::Intrinsic::ctlz, {i64}, {v, b.getFalse()}); };
  Value* high = upper(f);
  Value* low = b.CreateTrunc(f, i64);
  Value* empty = b.CreateICmpEQ(high, word(0));
  Value* low_zeros = b.CreateSelect(b.CreateICmpEQ(low, word(0)), word(0), zeros_of(low));
  Value* zeros = b.CreateSelect(empty, b.CreateAdd(low_zeros, word(64)), zeros_of(high));
  Value* leading = upper(b.CreateShl(f, widened(zeros)));
  Value* scaled = b.CreateMul(widened(leading), widened(word(ir::math::half_pi_bits)));
  scaled = b.CreateTrunc(b.CreateLShr(scaled, llvm::ConstantInt::get(wide, 65)), i64);
  Value* unit = b.CreateBitCast(b.CreateShl(b.CreateSub(word(1023 - 62), zeros), word(52)), b.getDoubleTy());
  Value* r = b.CreateFMul(b.CreateSIToFP(scaled, b.getDoubleTy()), unit);
  Value* minus = b.CreateICmpSLT(bits, word(0));
  q = b.CreateSelect(minus, b.CreateNeg(q), q);
  r = b.CreateSelect(b.CreateXor(minus, below), b.CreateFNeg(r), r);
  r = b.CreateSelect(infinite, llvm::ConstantFP::getNaN(b.getDoubleTy()), r);
  q = b.CreateSelect(infinite, word(0), b.CreateAnd(q, word(3)));
  Value* out = b.CreateInsertValue(llvm::PoisonValue::get(result), r, 0);
  b.CreateRet(b.CreateInsertValue(out, q, 1));
  return fn;
}

}  // namespace

// Replaces r and q where not near. The lanes are near all together but rarely: one branch around calls for each.
void Arith::far_quadrant(Val near, Val x, Val& r, Val& q) const {
  llvm::Function* here = b.GetInsertBlock()->getParent();
  llvm::Module& module = *here->getParent();
  llvm::Function* fn = module.getFunction(name);
  if (!fn) fn = make_function(module, *here);
  llvm::LLVMContext& c = module.getContext();
  auto* far = llvm::BasicBlock::Create(c, "far", here);
  auto* after = llvm::BasicBlock::Create(c, "reduced", here);
  llvm::BasicBlock* before = b.GetInsertBlock();
  b.CreateCondBr(near.lanes ? b.CreateAndReduce(near.v) : near.v, after, far);
  b.SetInsertPoint(far);
  Val far_r = r, far_q = q;
  auto call = [&](Value* one) { return b.CreateCall(fn, {one}); };
  if (!near.lanes) {
    Value* both = call(x.v);
    far_r.v = b.CreateExtractValue(both, 0), far_q.v = b.CreateExtractValue(both, 1);
  } else {
    for (int i = 0; i < width; ++i) {
      const auto lane = static_cast<uint64_t>(i);
      Value* is_near = b.CreateExtractElement(near.v, lane);
      Value* both = call(b.CreateExtractElement(x.v, lane));
      auto put = [&](Value* to, Value* from) {
        return b.CreateInsertElement(to, b.CreateSelect(is_near, b.CreateExtractElement(to, lane), from), lane);
      };
      far_r.v = put(far_r.v, b.CreateExtractValue(both, 0));
      far_q.v = put(far_q.v, b.CreateExtractValue(both, 1));
    }
  }
  llvm::BasicBlock* from = b.GetInsertBlock();
  b.CreateBr(after);
  b.SetInsertPoint(after);
  auto merged = [&](Val& out, const Val& other) {
    llvm::PHINode* phi = b.CreatePHI(out.v->getType(), 2);
    phi->addIncoming(out.v, before);
    phi->addIncoming(other.v, from);
    out.v = phi;
  };
  merged(r, far_r);
  merged(q, far_q);
}

}  // namespace heddle::host
