// Functions: the kernel, the arena's size. What a function needs of its arguments is loaded once, at
// its entry, when first asked for.
#include <cstddef>

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/MDBuilder.h>

#include "backend/host/codes.h"
#include "backend/host/emit.h"
#include "backend/host/emitter.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using llvm::Value;

Emitter::Emitter(llvm::Module& module, ir::Program program, MemoryPlan plan, const ir::Target& target,
                 const std::vector<ArgTraits>& traits, bool zero_registers)
    : module_(module),
      b_(module.getContext()),
      p_(std::move(program)),
      plan_(std::move(plan)),
      target_(target),
      traits_(traits),
      zero_registers_(zero_registers),
      tiles_(plan_tiles(p_, target)),
      layout_(arg_layout(p_)),
      arith_(b_, target, p_.allow) {
  for (const auto& [dim, word] : layout_.dims) ranges_.set(dim, {0, INT64_MAX});
}

Result<std::vector<ir::Check>> Emitter::run(const std::string& entry_name) {
  llvm::MDBuilder md(module_.getContext());
  llvm::MDNode* domain = md.createAnonymousAliasScopeDomain();
  std::vector<int> groups;
  for (size_t i = 0; i < plan_.buffers.size(); ++i) {
    const auto kind = plan_.buffers[i].kind;
    const bool memory = kind == Placement::Kind::parameter || kind == Placement::Kind::arena;
    if (memory && plan_.buffers[i].group == static_cast<int>(i)) groups.push_back(static_cast<int>(i));
  }
  std::vector<llvm::Metadata*> all;
  for (size_t i = 0; i < groups.size(); ++i) all.push_back(md.createAnonymousAliasScope(domain));
  for (size_t i = 0; i < groups.size(); ++i) {
    std::vector<llvm::Metadata*> others = all;
    others.erase(others.begin() + static_cast<ptrdiff_t>(i));
    scopes_[groups[i]] = {llvm::MDNode::get(module_.getContext(), {all[i]}),
                          llvm::MDNode::get(module_.getContext(), others)};
  }
  kernel();
  // Without temporaries in memory nobody asks: a function of its own is a tenth of the time of a small kernel.
  if (errors_.empty() && (!entry_name.empty() || !ir::is_constant(plan_.bytes, 0))) arena_size();
  if (errors_.empty() && !entry_name.empty()) entry(entry_name);
  if (!errors_.empty()) return std::move(errors_);
  return std::move(checks_);
}

llvm::Function* Emitter::declare(const char* name, std::vector<llvm::Type*> parameters, bool external) {
  auto* type = llvm::FunctionType::get(b_.getInt64Ty(), parameters, false);
  auto* fn = llvm::Function::Create(
      type, external ? llvm::GlobalValue::ExternalLinkage : llvm::GlobalValue::InternalLinkage, name, module_);
  fn->setDoesNotThrow();
  std::string features;
  for (const std::string& word : target_.features) features += (features.empty() ? "" : ",") + word;
  fn->addFnAttr("target-cpu", "x86-64");
  fn->addFnAttr("target-features", features);
  // Only the order of instructions: what may be used is said by the features.
  if (target_.vector_bytes >= 32) fn->addFnAttr("tune-cpu", target_.vector_bytes == 64 ? "sapphirerapids" : "skylake");
  fn->addFnAttr("prefer-vector-width", std::to_string(8 * target_.vector_bytes));
  return fn;
}

void Emitter::begin(Function& f) {
  f.entry = llvm::BasicBlock::Create(module_.getContext(), "entry", f.fn);
  auto* start = llvm::BasicBlock::Create(module_.getContext(), "start", f.fn);
  b_.SetInsertPoint(f.entry);
  b_.CreateBr(start);
  b_.SetInsertPoint(start);
}

void Emitter::kernel() {
  f_ = Function{};
  f_.fn = declare("kernel", {b_.getPtrTy(), b_.getPtrTy()}, true);
  f_.context = f_.fn->getArg(0);
  f_.args = f_.fn->getArg(1);
  f_.fn->addParamAttr(1, llvm::Attribute::NoAlias);
  begin(f_);
  ir::walk(p_.body, [&](const ir::StmtRef& s) {
    const auto* leaf = std::get_if<ir::Leaf>(&s->form);
    streams_ |= leaf && leaf->nontemporal;
    return !streams_;
  });
  body(p_.body);
  fence();
  // The caller's thread holds no tiles that the system would have to keep for it.
  if (configured_) b_.CreateIntrinsic(llvm::Intrinsic::x86_tilerelease, llvm::ArrayRef<llvm::Type*>{}, {});
  b_.CreateRet(b_.getInt64(status_ok));
}

void Emitter::arena_size() {
  f_ = Function{};
  storages_.clear();
  f_.fn = declare("kernel_arena", {b_.getPtrTy()}, true);
  f_.args = f_.fn->getArg(0);
  begin(f_);
  b_.CreateRet(size_or_too_large(plan_.bytes));
}

// Exact, or `wrapped` is set somewhere on the way.
Value* Emitter::counted_size(const Expr& e, Value*& wrapped) {
  const auto* op = e.as<ir::Binary>();
  if (!op) return value(e).v;
  Value *left = counted_size(op->left, wrapped), *right = counted_size(op->right, wrapped);
  const bool add = op->op == ir::BinaryOp::add, sub = op->op == ir::BinaryOp::sub;
  if (!add && !sub && op->op != ir::BinaryOp::mul)
    return arith_.binary(op->op, ir::ScalarType::index, {left}, {right}).v;
  const auto id = add   ? llvm::Intrinsic::sadd_with_overflow
                  : sub ? llvm::Intrinsic::ssub_with_overflow
                        : llvm::Intrinsic::smul_with_overflow;
  Value* both = b_.CreateBinaryIntrinsic(id, left, right);
  Value* over = b_.CreateExtractValue(both, 1);
  wrapped = wrapped ? b_.CreateOr(wrapped, over) : over;
  return b_.CreateExtractValue(both, 0);
}

// Sizes of what a caller asks for may pass 2^63: then the answer is one that no allocation can give.
Value* Emitter::size_or_too_large(const Expr& e) {
  Value* wrapped = nullptr;
  Value* bytes = counted_size(e, wrapped);
  Value* far = b_.getInt64(uint64_t{1} << 62);
  return wrapped ? b_.CreateSelect(wrapped, far, bytes) : bytes;
}

void Emitter::at_entry(const Work& work) {
  llvm::IRBuilder<>::InsertPointGuard guard(b_);
  b_.SetInsertPoint(f_.entry->getTerminator());
  const int width = arith_.width;
  arith_.width = 1;
  std::vector<std::unordered_map<const ir::ExprNode*, std::pair<Expr, Val>>> none;
  std::swap(known_, none);
  work();
  std::swap(known_, none);
  arith_.width = width;
}

Value* Emitter::argument_word(int word, llvm::Type* type) {
  Value* at = b_.CreateConstGEP1_64(b_.getInt64Ty(), f_.args, static_cast<uint64_t>(word));
  auto* out = b_.CreateLoad(type, at);
  out->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(module_.getContext(), {}));
  return out;
}

Value* Emitter::context_field(size_t offset, llvm::Type* type) {
  return b_.CreateLoad(type, b_.CreateConstGEP1_64(b_.getInt8Ty(), f_.context, offset));
}

// Dims, run-time scalars, and symbols that stand for strides.
Val Emitter::argument(ir::SymbolId symbol) {
  Val out;
  at_entry([&] {
    if (auto stride = strides_.find(symbol.value); stride != strides_.end()) {
      const auto& [word, e] = stride->second;
      out = e.known() ? value(e) : Val{argument_word(word, b_.getInt64Ty())};
      return;
    }
    for (const auto& [dim, word] : layout_.dims)
      if (dim == symbol) out = {argument_word(word, b_.getInt64Ty())};
    for (const auto& [scalar, word] : layout_.scalars) {
      if (scalar != symbol) continue;
      const ir::ScalarType type = p_.symbol(scalar).type;
      out = arith_.from_memory(type, {argument_word(word, arith_.memory_type(type))});
    }
  });
  if (!out.v)
    return fail(codes::broken_code, p_.symbol(symbol).place, "`" + p_.symbol(symbol).name + "` has no value here");
  f_.symbols[symbol.value] = out;
  return out;
}

Value* Emitter::slice() {
  if (f_.slice) return f_.slice;
  at_entry([&] {
    f_.slice = context_field(offsetof(Context, arena), b_.getPtrTy());
    if (!f_.thread) return;
    Value* stride = context_field(offsetof(Context, arena_stride), b_.getInt64Ty());
    f_.slice = b_.CreateGEP(b_.getInt8Ty(), f_.slice, b_.CreateMul(f_.thread, stride));
  });
  return f_.slice;
}

Value* Emitter::stack_slot(llvm::Type* element, int64_t count) {
  llvm::IRBuilder<>::InsertPointGuard guard(b_);
  b_.SetInsertPoint(f_.entry, f_.entry->begin());
  auto* slot = b_.CreateAlloca(llvm::ArrayType::get(element, static_cast<uint64_t>(count)));
  slot->setAlignment(llvm::Align(64));
  f_.stack_bytes += (count * static_cast<int64_t>(element->getScalarSizeInBits()) / 8 + 63) / 64 * 64;
  return slot;
}

Val Emitter::fail(const Code& code, const Place& place, const std::string& text, ir::ScalarType type) {
  if (errors_.empty()) errors_.push_back(Diagnostic(code, place, text));
  return poison(type);
}

Val Emitter::poison(ir::ScalarType type) { return {llvm::PoisonValue::get(arith_.value_type(type)), false}; }

Result<std::vector<ir::Check>> emit(llvm::Module& module, const ir::Program& program, const MemoryPlan& plan,
                                    const ir::Target& target, const std::vector<ArgTraits>& traits, bool zero_registers,
                                    const std::string& entry) {
  return Emitter(module, program, plan, target, traits, zero_registers).run(entry);
}

}  // namespace heddle::host
