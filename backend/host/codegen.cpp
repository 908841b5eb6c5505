#include "backend/host/codegen.h"

#include <chrono>
#include <memory>

#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
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
#include "backend/host/lower.h"

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
  for (llvm::Function& f : module)
    if (!f.isDeclaration()) passes.run(f, functions);
}

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
  Result<ir::Program> lowered = lower(program);
  if (!lowered) return lowered.errors();
  Result<MemoryPlan> plan = plan_memory(*lowered);
  if (!plan) return plan.errors();

  llvm::LLVMContext context;
  llvm::Module module(program.name, context);
  std::unique_ptr<llvm::TargetMachine> tm = machine();
  module.setTargetTriple(tm->getTargetTriple());
  module.setDataLayout(tm->createDataLayout());
  Result<std::vector<ir::Check>> checks = emit(module, *lowered, *plan, target, traits, options.zero_registers);
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
  optimize(module, *tm);
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

Result<Compiled> compile(const ir::Program& program, const ir::Target& target, const std::vector<ArgTraits>& traits,
                         const CompileOptions& options) {
  std::optional<Result<Compiled>> out;
  llvm::thread worker(std::optional<unsigned>(stack_bytes), [&] {
    out = build(program, target, traits, options);
    if (!*out || !options.keep_assembly) return;
    CompileOptions plain;
    plain.zero_registers = options.zero_registers;
    Result<Compiled> object = build(program, target, traits, plain);
    if (!object) {
      out = std::move(object);
      return;
    }
    (*out)->object = std::move(object->object);
    (*out)->lower_ms = object->lower_ms;
    (*out)->llvm_ms = object->llvm_ms;
  });
  worker.join();
  return std::move(*out);
}

}  // namespace heddle::host
