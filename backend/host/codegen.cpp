#include "backend/host/codegen.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <list>
#include <memory>
#include <mutex>

#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/OptBisect.h>
#include <llvm/IR/PassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Support/thread.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/SROA.h>

#include "backend/host/codes.h"
#include "backend/host/emit.h"
#include "backend/host/lane_sums.h"
#include "backend/host/lower.h"
#include "support/build_id.h"
#include "support/stop.h"

namespace heddle::host {
namespace {

// LLVM recurses as deep as the code it is given.
constexpr unsigned stack_bytes = 64u << 20;

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::unique_ptr<llvm::TargetMachine> machine() {
  static const bool ready = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    return true;
  }();
  (void)ready;
  const llvm::Triple triple("x86_64-unknown-linux-gnu");
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, error);
  llvm::TargetOptions options;
  // Features stand on each function: see Emitter::declare.
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, "x86-64", "", options, llvm::Reloc::PIC_, llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
}

// Few passes, because the code arrives clean: accumulators become values (sroa), repeated loads and address sums meet (early-cse),
// narrow arithmetic folds (instcombine), what does not change leaves the loops (licm). Without licm matmul falls to a third; the
// whole O2 pipeline costs five times as much and gains nothing.
void optimize(llvm::Module& module, llvm::TargetMachine& tm) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graphs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&tm);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), /*UseMemorySSA=*/true));
  passes.addPass(llvm::EarlyCSEPass(true));
  for (llvm::Function& f : module) {
    stop_point_now();
    if (!f.isDeclaration()) passes.run(f, functions);
  }
}

// Keeps the row that a guarded read is held to (the smaller of its own and the last one) out of the loops that read along it. Loop strength
// reduction would compute it there anew for each element, as a sum that it takes for free; a frozen value it takes as it is.
void hold_clamps(llvm::Module& module) {
  std::vector<llvm::IntrinsicInst*> found;
  for (llvm::Function& f : module)
    for (llvm::Instruction& i : llvm::instructions(f)) {
      auto* clamp = llvm::dyn_cast<llvm::MinMaxIntrinsic>(&i);
      if (!clamp || !clamp->getType()->isIntegerTy()) continue;
      const bool addresses = llvm::all_of(clamp->users(), [](const llvm::User* u) {
        const auto* by = llvm::dyn_cast<llvm::Instruction>(u);
        return by && (by->getOpcode() == llvm::Instruction::Mul || by->getOpcode() == llvm::Instruction::Shl ||
                      llvm::isa<llvm::GetElementPtrInst>(by));
      });
      if (addresses) found.push_back(clamp);
    }
  for (llvm::IntrinsicInst* clamp : found) {
    auto* held = new llvm::FreezeInst(clamp, "", std::next(clamp->getIterator()));
    clamp->replaceUsesWithIf(held, [&](const llvm::Use& u) { return u.getUser() != held; });
  }
}

std::vector<llvm::IntrinsicInst*> calls_of(llvm::Module& module, llvm::Intrinsic::ID id) {
  std::vector<llvm::IntrinsicInst*> found;
  for (llvm::Function& f : module)
    for (llvm::Instruction& i : llvm::instructions(f))
      if (auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(&i); call && call->getIntrinsicID() == id)
        found.push_back(call);
  return found;
}

// What is asked for ahead is asked for at the end of its block: between loads that sums use it would keep these from being operands of the
// sums, and each takes a register then. Six rows by four vectors have none left for that.
void prefetch_last(llvm::Module& module) {
  for (llvm::IntrinsicInst* call : calls_of(module, llvm::Intrinsic::prefetch))
    call->moveBefore(call->getParent()->getTerminator()->getIterator());
}

// The one lane that a constant mask leaves on, or -1.
int only_lane(const llvm::Value* mask) {
  const auto* constant = llvm::dyn_cast<llvm::Constant>(mask);
  const auto* type = llvm::dyn_cast<llvm::FixedVectorType>(mask->getType());
  int found = -1;
  for (unsigned i = 0; constant && type && i < type->getNumElements(); ++i) {
    const llvm::Constant* lane = constant->getAggregateElement(i);
    if (!lane || (!lane->isOneValue() && !lane->isZeroValue())) return -1;
    if (lane->isZeroValue()) continue;
    if (found >= 0) return -1;
    found = static_cast<int>(i);
  }
  return found;
}

// A masked store of one lane by itself: LLVM 22's x86 backend does that too, but where the value is narrowed from wider lanes it stores
// the wide one, past the end of the array.
void store_single_lanes(llvm::Module& module) {
  for (llvm::IntrinsicInst* call : calls_of(module, llvm::Intrinsic::masked_store)) {
    if (only_lane(call->getArgOperand(2)) < 0) continue;
    llvm::IRBuilder<> b(call);
    const auto lane = static_cast<uint64_t>(only_lane(call->getArgOperand(2)));
    llvm::Value* value = b.CreateExtractElement(call->getArgOperand(0), lane);
    llvm::Value* to = b.CreateConstGEP1_64(value->getType(), call->getArgOperand(1), lane);
    llvm::StoreInst* store = b.CreateAlignedStore(value, to, llvm::Align(value->getType()->getScalarSizeInBits() / 8));
    store->copyMetadata(*call);
    call->eraseFromParent();
  }
}

// Which optional passes of code generation run: all, and none once the work is to stop, so that an abandoned compile ends soon.
class Gate final : public llvm::OptPassGate {
 public:
  explicit Gate(const StopRule* rule) : rule_(rule) {}
  bool isEnabled() const override { return true; }
  bool shouldRunPass(llvm::StringRef, llvm::StringRef) const override {
    return !(rule_ && rule_->asked && rule_->asked());
  }

 private:
  const StopRule* rule_;
};

bool generate(llvm::Module& module, llvm::TargetMachine& tm, llvm::CodeGenFileType type,
              llvm::SmallVectorImpl<char>& out) {
  llvm::legacy::PassManager passes;
  llvm::raw_svector_ostream stream(out);
  if (tm.addPassesToEmitFile(passes, stream, nullptr, type, /*DisableVerify=*/true)) return false;
  passes.run(module);
  return true;
}

Result<Compiled> build(const ir::Program& program, const ir::Target& target, const std::vector<ArgTraits>& traits,
                       const CompileOptions& options) {
  const double start = now_ms();
  Result<ir::Program> lowered = lower(program, target);
  if (!lowered) return lowered.errors();
  Result<MemoryPlan> plan = plan_memory(*lowered);
  if (!plan) return plan.errors();

  llvm::LLVMContext context;
  Gate gate(stop_rule());
  context.setOptPassGate(gate);
  llvm::Module module(program.name, context);
  std::unique_ptr<llvm::TargetMachine> tm = machine();
  module.setTargetTriple(tm->getTargetTriple());
  module.setDataLayout(tm->createDataLayout());
  Result<std::vector<ir::Check>> checks =
      emit(module, *lowered, *plan, target, traits, options.zero_registers, options.entry);
  if (!checks) return checks.errors();
#ifdef HEDDLE_VERIFY
  std::string broken;
  llvm::raw_string_ostream report(broken);
  if (llvm::verifyModule(module, &report))
    return Diagnostic(codes::broken_code, {}, "LLVM refuses the module: " + broken);
#endif

  Compiled out;
  out.layout = arg_layout(*lowered);
  out.checks = std::move(*checks);
  const double emitted = now_ms();
  out.lower_ms = emitted - start;
  stop_point_now();
  optimize(module, *tm);
  lane_sums(module);
  store_single_lanes(module);
  stop_point_now();
  hold_clamps(module);
  prefetch_last(module);
  if (options.keep_llvm) {
    llvm::raw_string_ostream text(out.llvm_ir);
    module.print(text, nullptr);
  }
  llvm::SmallVector<char, 0> bytes;
  if (options.keep_assembly) {
    if (!generate(module, *tm, llvm::CodeGenFileType::AssemblyFile, bytes))
      return Diagnostic(codes::broken_code, {}, "LLVM cannot write assembly for this target");
    out.assembly.assign(bytes.begin(), bytes.end());
    return out;  // code generation uses the module up: the object comes from a call of its own
  }
  if (!generate(module, *tm, llvm::CodeGenFileType::ObjectFile, bytes))
    return Diagnostic(codes::broken_code, {}, "LLVM cannot write an object for this target");
  out.object.assign(bytes.begin(), bytes.end());
  out.llvm_ms = now_ms() - emitted;
  return out;
}

}  // namespace

std::string llvm_build() {
  const std::string id = build_id(reinterpret_cast<const void*>(&llvm::TargetRegistry::targets));
  return id.empty() ? "" : LLVM_VERSION_STRING " " + id;
}

namespace {

// A compile on a thread of its own, with all it needs: whoever asked may have left before it ends.
struct Job {
  Job(ir::Program program, ir::Target target, std::vector<ArgTraits> traits, const CompileOptions& options)
      : program(std::move(program)), target(std::move(target)), traits(std::move(traits)), options(options) {}
  const ir::Program program;
  const ir::Target target;
  const std::vector<ArgTraits> traits;
  const CompileOptions options;
  std::atomic<bool> abandoned = false;
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
  std::optional<Result<Compiled>> result;  // none when it was stopped

  void run() {
    StopRule rule;
    rule.asked = [this] { return abandoned.load(std::memory_order_relaxed); };
    std::optional<Result<Compiled>> made;
    try {
      StopScope scope(rule);
      made = work();
    } catch (const Stopped&) {
    }
    std::lock_guard lock(mutex);
    result = std::move(made);
    ended = true;
    changed.notify_all();
  }

  Result<Compiled> work() const {
    Result<Compiled> out = build(program, target, traits, options);
    if (!out || !options.keep_assembly) return out;
    CompileOptions plain;
    plain.zero_registers = options.zero_registers;
    plain.entry = options.entry;
    Result<Compiled> object = build(program, target, traits, plain);
    if (!object) return object;
    out->object = std::move(object->object);
    out->lower_ms = object->lower_ms;
    out->llvm_ms = object->llvm_ms;
    return out;
  }
};

// Compiles that nobody waits for. LLVM cannot be stopped in the middle of a pass, and its globals go when the process ends, so the end
// of the process waits for them.
class Abandoned {
 public:
  void add(std::shared_ptr<Job> job, llvm::thread thread) {
    std::lock_guard lock(mutex_);
    std::erase_if(list_, [](auto& each) {
      std::lock_guard ended(each.first->mutex);
      if (each.first->ended) each.second.join();
      return each.first->ended;
    });
    list_.emplace_back(std::move(job), std::move(thread));
    // What is registered last runs first: before the globals that LLVM has made by now are gone.
    std::atexit(finish_abandoned);
  }
  void finish() {
    std::lock_guard lock(mutex_);
    for (auto& [job, thread] : list_) thread.join();
    list_.clear();
  }

 private:
  std::mutex mutex_;
  std::list<std::pair<std::shared_ptr<Job>, llvm::thread>> list_;
};

Abandoned& abandoned() {
  static Abandoned* list = new Abandoned;
  return *list;
}

// Until the job ends, or this thread's rule says to stop.
void wait_for(Job& job) {
  std::unique_lock lock(job.mutex);
  if (!stop_rule()) return job.changed.wait(lock, [&] { return job.ended; });
  while (!job.changed.wait_for(lock, std::chrono::milliseconds(5), [&] { return job.ended; })) {
    lock.unlock();
    stop_point_now();
    lock.lock();
  }
}

}  // namespace

void finish_abandoned() { abandoned().finish(); }

Result<Compiled> compile(const ir::Program& program, const ir::Target& target, const std::vector<ArgTraits>& traits,
                         const CompileOptions& options) {
  auto job = std::make_shared<Job>(program, target, traits, options);
  llvm::thread worker(std::optional<unsigned>(stack_bytes), [job] { job->run(); });
  try {
    wait_for(*job);
  } catch (const Stopped&) {
    job->abandoned = true;
    abandoned().add(job, std::move(worker));
    throw;
  }
  worker.join();
  return std::move(*job->result);
}

}  // namespace heddle::host
