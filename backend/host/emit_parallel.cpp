// Parallel loops: bodies as functions of their own, over ranges of iterations of a whole nest.
#include <algorithm>
#include <cstddef>

#include <llvm/IR/Intrinsics.h>

#include "backend/host/effort.h"
#include "backend/host/emitter.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using llvm::Value;

// What a parallel body uses of the scope around it: loop variables, and buffers that were allocated outside.
Emitter::Captured Emitter::captured(const ir::For& loop) {
  Captured out;
  auto& [symbols, bases, words] = out;
  words = {f_.args};
  for (const auto& [id, val] : f_.symbols) {
    const ir::SymbolKind kind = p_.symbols[id].kind;
    if (kind != ir::SymbolKind::loop && kind != ir::SymbolKind::local) continue;
    if (!depth_.count(id) || val.v->getType() != b_.getInt64Ty()) continue;
    symbols.push_back(id);
    words.push_back(val.v);
  }
  for (const ir::Access& a : ir::accesses(p_, loop.body)) {
    const uint32_t id = a.buffer.value;
    if (plan_.buffers[id].kind == Placement::Kind::parameter && !redirects_.count(id)) continue;
    if (std::find(bases.begin(), bases.end(), id) != bases.end()) continue;
    Value* base = redirects_.count(id) ? redirects_[id].slot : f_.bases.count(id) ? f_.bases[id] : nullptr;
    if (!base) continue;  // allocated inside
    bases.push_back(id);
    words.push_back(base);
  }
  return out;
}

namespace {

// A parallel loop and those that stand alone inside it, of ranges that are the same in every iteration: one region runs them all, so
// that an outer loop of one iteration keeps no thread from working.
std::vector<ir::StmtRef> parallel_nest(const ir::StmtRef& outermost) {
  std::vector<ir::StmtRef> nest = {outermost};
  for (;;) {
    const ir::Body& body = std::get<ir::For>(nest.back()->form).body;
    const auto* below = body.size() == 1 ? std::get_if<ir::For>(&body[0]->form) : nullptr;
    if (!below || below->kind != ir::LoopKind::parallel || ir::mentions_load(below->lo) || ir::mentions_load(below->hi))
      return nest;
    for (const ir::StmtRef& s : nest) {
      const ir::SymbolId around = std::get<ir::For>(s->form).loop;
      if (ir::mentions(below->lo, around) || ir::mentions(below->hi, around)) return nest;
    }
    nest.push_back(body[0]);
  }
}

}  // namespace

// The iterations `begin .. end` of loop `level` and those inside it, counted through in their order. `below[level]` is how many
// iterations of the loops inside it each of its own has.
void Emitter::part_of_nest(const std::vector<ir::StmtRef>& nest, size_t level, const std::vector<Value*>& los,
                           const std::vector<Value*>& below, Value* begin, Value* end) {
  const ir::For& loop = std::get<ir::For>(nest[level]->form);
  path_.push_back(nest[level]);
  enter_range(loop.loop, loop.lo, loop.hi);
  Value* lo = ir::is_constant(loop.lo, 0) ? nullptr : los[level];
  if (level + 1 == nest.size()) {
    counted(loop.loop, begin, end, lo, false, [&] { body(loop.body); });
  } else {
    Value *each = below[level], *zero = b_.getInt64(0), *one = b_.getInt64(1);
    // A range without iterations is one of a nest that has none: nothing may be divided by their number.
    Value* divisor = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, each, one);
    Value* first = b_.CreateUDiv(begin, divisor);
    Value* past = b_.CreateAdd(b_.CreateUDiv(b_.CreateSub(end, one), divisor), one);
    Value* stop = b_.CreateSelect(b_.CreateICmpSLT(begin, end), past, first);
    counted(loop.loop, first, stop, lo, false, [&] {
      Value* at = f_.symbols[loop.loop.value].v;
      Value* start = b_.CreateNSWMul(lo ? b_.CreateSub(at, lo) : at, each);
      Value* from = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, b_.CreateSub(begin, start), zero);
      Value* to = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b_.CreateSub(end, start), each);
      part_of_nest(nest, level + 1, los, below, from, to);
    });
  }
  path_.pop_back();
}

// How many iterations a nest has in all: `below[i]` of the loops inside loop i. What passes 2^63 would never end; it stays large.
Value* Emitter::iterations(const std::vector<ir::StmtRef>& nest, std::vector<Value*>& los, std::vector<Value*>& below) {
  Value* total = nullptr;
  los.resize(nest.size()), below.resize(nest.size());
  for (size_t i = nest.size(); i-- > 0;) {
    const ir::For& loop = std::get<ir::For>(nest[i]->form);
    los[i] = value(loop.lo).v;
    Value* n = b_.CreateSub(value(loop.hi).v, los[i]);
    below[i] = total;
    if (nest.size() > 1) n = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, n, b_.getInt64(0));
    if (!total) {
      total = n;
      continue;
    }
    Value* both = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smul_with_overflow, n, total);
    total = b_.CreateSelect(b_.CreateExtractValue(both, 1), b_.getInt64(INT64_MAX), b_.CreateExtractValue(both, 0));
  }
  return total;
}

// Whether a region is done before other threads would have begun, so that it runs on the calling one; null where that is not known.
// It changes no bit: partial results are the program's own.
Value* Emitter::is_little(const ir::StmtRef& region) {
  const std::optional<std::vector<Effort>> effort = effort_of(p_, region, facts());
  if (!effort) return nullptr;
  llvm::Type* real = b_.getDoubleTy();
  Value* sum = llvm::ConstantFP::get(real, 0);
  for (const Effort& e : *effort) {
    Value* each = llvm::ConstantFP::get(real, e.operations);
    for (const ir::Expr& n : e.trips) {
      Value* trips = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, value(n).v, b_.getInt64(0));
      each = b_.CreateFMul(each, b_.CreateSIToFP(trips, real));
    }
    sum = b_.CreateFAdd(sum, each);
  }
  Value* least = context_field(offsetof(Context, shared_from), b_.getInt64Ty());
  return b_.CreateFCmpOLT(sum, b_.CreateSIToFP(least, real));
}

// The body becomes a function of its own over a range of iterations; what it uses of the scope around it crosses in a closure of
// 8-byte words.
void Emitter::parallel(const ir::For& loop, const ir::StmtRef& s) {
  const std::vector<ir::StmtRef> nest = parallel_nest(s);
  std::vector<Value*> los, below;
  Value* n = iterations(nest, los, below);

  auto [symbols, bases, words] = captured(loop);
  words.insert(words.end(), los.begin(), los.end());
  words.insert(words.end(), below.begin(), below.end() - 1);
  Value* closure = stack_slot(b_.getInt64Ty(), static_cast<int64_t>(words.size()));
  for (size_t i = 0; i < words.size(); ++i)
    b_.CreateStore(words[i], b_.CreateConstGEP1_64(b_.getInt64Ty(), closure, i));

  Function outer = std::move(f_);
  auto outer_storages = std::move(storages_);
  auto outer_redirects = redirects_;
  auto known = std::move(known_);
  known_.clear();
  storages_.clear();
  const auto resume = b_.saveIP();
  f_ = Function{};
  llvm::Type *word = b_.getInt64Ty(), *pointer = b_.getPtrTy();
  f_.fn = declare("kernel_part", {pointer, pointer, word, word, word}, false);
  f_.context = f_.fn->getArg(0);
  f_.thread = f_.fn->getArg(2);
  begin(f_);
  at_entry([&] {
    size_t at = 0;
    auto next = [&](llvm::Type* type) {
      return b_.CreateLoad(type, b_.CreateConstGEP1_64(word, f_.fn->getArg(1), at++));
    };
    f_.args = next(pointer);
    for (uint32_t id : symbols) f_.symbols[id] = {next(word)};
    for (uint32_t id : bases) {
      Value* base = next(pointer);
      f_.bases[id] = base;
      if (redirects_.count(id)) redirects_[id].slot = base;
    }
    for (Value*& lo : los) lo = next(word);
    for (size_t i = 0; i + 1 < below.size(); ++i) below[i] = next(word);
  });
  part_of_nest(nest, 0, los, below, f_.fn->getArg(3), f_.fn->getArg(4));
  fence();
  b_.CreateRet(b_.getInt64(status_ok));

  llvm::Function* part = f_.fn;
  f_ = std::move(outer);
  storages_ = std::move(outer_storages);
  redirects_ = std::move(outer_redirects);
  known_ = std::move(known);
  b_.restoreIP(resume);
  Value* run = context_field(offsetof(Context, parallel_for), pointer);
  if (Value* little = is_little(s)) run = b_.CreateSelect(little, in_turn(), run);
  auto* type = llvm::FunctionType::get(word, {pointer, pointer, pointer, word}, false);
  Value* status = b_.CreateCall(type, run, {f_.context, part, closure, n});
  auto* failed = llvm::BasicBlock::Create(module_.getContext(), "stopped", f_.fn);
  auto* next = llvm::BasicBlock::Create(module_.getContext(), "joined", f_.fn);
  b_.CreateCondBr(b_.CreateICmpNE(status, b_.getInt64(0)), failed, next);
  b_.SetInsertPoint(failed);
  b_.CreateRet(status);
  b_.SetInsertPoint(next);
}

}  // namespace heddle::host
