// Ahead of time: the C functions NAME and NAME_workspace over dense arrays, in front of the kernel (c_header.h describes them to C).
#include <algorithm>
#include <cstddef>

#include <llvm/IR/Intrinsics.h>

#include "backend/host/emitter.h"
#include "ir/array_axes.h"

namespace heddle::host {

using llvm::Value;

namespace {

constexpr int64_t status_unmet = 3, status_no_workspace = 4;

}  // namespace

// Dims that callers give, then those that follow from them; true where all of the program's facts hold.
Value* Emitter::entry_dims(unsigned first) {
  Value* holds = b_.getTrue();
  auto require = [&](const Expr& condition) { holds = b_.CreateAnd(holds, value(condition).v); };
  for (const ir::DimDefinition& d : p_.dims) {
    if (!d.value.known()) f_.symbols[d.dim.value] = {f_.fn->getArg(first++)};
    else f_.symbols[d.dim.value] = {value(d.value).v};
    require(ir::less_equal(ir::index_constant(0), ir::var(d.dim)));
  }
  return holds;
}

void Emitter::entry_words(Value* args) {
  auto put = [&](int word, Value* v) {
    b_.CreateStore(v, b_.CreateConstGEP1_64(b_.getInt64Ty(), args, static_cast<uint64_t>(word)));
  };
  for (const auto& [dim, word] : layout_.dims) put(word, f_.symbols[dim.value].v);
}

// int64_t in_turn(context, body, closure, n): the loop on the calling thread.
llvm::Function* Emitter::in_turn() {
  if (llvm::Function* made = module_.getFunction("heddle.in_turn")) return made;
  llvm::Type *pointer = b_.getPtrTy(), *word = b_.getInt64Ty();
  llvm::Function* fn = declare("heddle.in_turn", {pointer, pointer, pointer, word}, false);
  llvm::IRBuilder<>::InsertPointGuard guard(b_);
  b_.SetInsertPoint(llvm::BasicBlock::Create(module_.getContext(), "entry", fn));
  auto* type = llvm::FunctionType::get(word, {pointer, pointer, word, word, word}, false);
  Value* zero = b_.getInt64(0);
  b_.CreateRet(b_.CreateCall(type, fn->getArg(1), {fn->getArg(0), fn->getArg(2), zero, zero, fn->getArg(3)}));
  return fn;
}

void Emitter::entry(const std::string& name) {
  llvm::LLVMContext& c = module_.getContext();
  llvm::Function *kernel = module_.getFunction("kernel"), *arena = module_.getFunction("kernel_arena");
  kernel->setLinkage(llvm::GlobalValue::InternalLinkage);
  arena->setLinkage(llvm::GlobalValue::InternalLinkage);
  llvm::Type *pointer = b_.getPtrTy(), *word = b_.getInt64Ty();
  const std::vector<llvm::Type*> dims(
      static_cast<size_t>(
          std::count_if(p_.dims.begin(), p_.dims.end(), [](const auto& d) { return !d.value.known(); })),
      word);
  auto start = [&](const std::string& symbol, std::vector<llvm::Type*> parameters) {
    f_ = Function{};
    storages_.clear();
    known_.clear();
    if (llvm::GlobalValue* held = module_.getNamedValue(symbol)) held->setName("heddle." + symbol);
    f_.fn = declare(symbol.c_str(), std::move(parameters), true);
    begin(f_);
    known_.emplace_back();
  };
  auto leave_unless = [&](Value* condition, int64_t status) {
    auto *stop = llvm::BasicBlock::Create(c, "stop", f_.fn), *go = llvm::BasicBlock::Create(c, "go", f_.fn);
    b_.CreateCondBr(condition, go, stop);
    b_.SetInsertPoint(stop);
    b_.CreateRet(b_.getInt64(static_cast<uint64_t>(status)));
    b_.SetInsertPoint(go);
  };
  auto rounded = [&](Value* bytes) { return b_.CreateAnd(b_.CreateAdd(bytes, b_.getInt64(63)), ~uint64_t{63}); };

  // NAME_workspace(dims.., threads)
  std::vector<llvm::Type*> types = dims;
  types.push_back(word);
  start(name + "_workspace", types);
  Value* holds = entry_dims(0);
  leave_unless(holds, -1);
  Value* args = stack_slot(word, std::max(1, layout_.words));
  entry_words(args);
  Value* each = b_.CreateCall(arena, {args});
  leave_unless(b_.CreateICmpULT(each, b_.getInt64(uint64_t{1} << 62)), -1);
  Value* both = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smul_with_overflow, rounded(each),
                                         f_.fn->getArg(static_cast<unsigned>(dims.size())));
  leave_unless(b_.CreateNot(b_.CreateExtractValue(both, 1)), -1);
  b_.CreateRet(b_.CreateExtractValue(both, 0));

  // NAME(arrays.., dims.., scalars.., workspace, threads)
  types.assign(layout_.arrays.size(), pointer);
  types.insert(types.end(), dims.begin(), dims.end());
  for (const auto& [scalar, at] : layout_.scalars) {
    const ir::ScalarType type = p_.symbol(scalar).type;
    types.push_back(type == ir::ScalarType::f32   ? b_.getFloatTy()
                    : type == ir::ScalarType::f64 ? b_.getDoubleTy()
                                                  : word);
  }
  types.push_back(pointer);
  types.push_back(pointer);
  start(name, types);
  const auto arrays = static_cast<unsigned>(layout_.arrays.size());
  args = stack_slot(word, std::max(1, layout_.words));
  auto put = [&](int at, Value* v) { b_.CreateStore(v, b_.CreateConstGEP1_64(word, args, static_cast<uint64_t>(at))); };
  unsigned next = arrays + static_cast<unsigned>(dims.size());
  for (const auto& [scalar, at] : layout_.scalars) {
    const ir::ScalarType type = p_.symbol(scalar).type;
    Value* given = f_.fn->getArg(next++);
    llvm::Type* memory = arith_.memory_type(type);
    Value* bits = given;
    if (given->getType()->isFloatTy()) bits = b_.CreateZExt(b_.CreateBitCast(given, b_.getInt32Ty()), word);
    if (given->getType()->isDoubleTy()) bits = b_.CreateBitCast(given, word);
    put(at, bits);
    Value* own = given;
    if (given->getType() == word && memory != word)
      own = memory->isIntegerTy()
                ? b_.CreateTrunc(given, memory)
                : b_.CreateBitCast(b_.CreateTrunc(given, b_.getIntNTy(memory->getScalarSizeInBits())), memory);
    f_.symbols[scalar.value] = arith_.from_memory(type, {own});
  }
  holds = entry_dims(arrays);
  for (const ir::Requirement& r : p_.requirements) holds = b_.CreateAnd(holds, value(r.condition).v);
  for (const Expr& fact : p_.facts) holds = b_.CreateAnd(holds, value(fact).v);
  leave_unless(holds, status_unmet);
  entry_words(args);
  for (size_t i = 0; i < layout_.arrays.size(); ++i) {
    const ArgLayout::Array& array = layout_.arrays[i];
    put(array.word, b_.CreatePtrToInt(f_.fn->getArg(static_cast<unsigned>(i)), word));
    const ir::Buffer& buffer = p_.buffer(array.buffer);
    Expr stride = ir::index_constant(1);
    const std::vector<ir::AxisSpan> axes = ir::array_axes(buffer);
    for (int axis = array.rank; axis-- > 0;) {
      put(array.word + 1 + axis, value(stride).v);
      const ir::AxisSpan& dims = axes[static_cast<size_t>(axis)];
      for (size_t dim = dims.end; dim-- > dims.begin;) stride = stride * (buffer.box[dim].hi - buffer.box[dim].lo);
    }
  }
  Value *workspace = f_.fn->getArg(next), *threads = f_.fn->getArg(next + 1);
  each = b_.CreateCall(arena, {args});
  Value* enough =
      b_.CreateOr(b_.CreateICmpEQ(each, b_.getInt64(0)),
                  b_.CreateAnd(b_.CreateIsNotNull(workspace), b_.CreateICmpULT(each, b_.getInt64(uint64_t{1} << 62))));
  leave_unless(enough, status_no_workspace);
  Value* context = stack_slot(b_.getInt8Ty(), sizeof(Context));
  auto set = [&](size_t offset, Value* v) {
    b_.CreateStore(v, b_.CreateConstGEP1_64(b_.getInt8Ty(), context, offset));
  };
  set(offsetof(Context, parallel_for), in_turn());
  set(offsetof(Context, pool), llvm::ConstantPointerNull::get(b_.getPtrTy()));
  set(offsetof(Context, arena), workspace);
  set(offsetof(Context, arena_stride), rounded(each));
  set(offsetof(Context, threads), b_.getInt64(1));
  set(offsetof(Context, shared_from), b_.getInt64(worth_sharing));
  set(offsetof(Context, report) + offsetof(CheckReport, check), b_.getInt64(static_cast<uint64_t>(-1)));
  branch(b_.CreateIsNotNull(threads), [&] {
    auto field = [&](uint64_t index, llvm::Type* type) {
      return b_.CreateLoad(type, b_.CreateConstGEP1_64(word, threads, index));
    };
    set(offsetof(Context, threads), field(0, word));
    set(offsetof(Context, parallel_for), field(1, pointer));
    set(offsetof(Context, pool), field(2, pointer));
  });
  b_.CreateRet(b_.CreateCall(kernel, {context, args}));
  known_.clear();
}

}  // namespace heddle::host
