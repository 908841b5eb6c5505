// What stands behind the public handles.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "api/heddle/heddle.h"
#include "api/module.h"
#include "api/session.h"
#include "backend/host/codegen.h"
#include "frontend/module.h"
#include "ir/interpret.h"
#include "jit/plan.h"
#include "schedule/schedule.h"

namespace heddle::api {

struct OpImpl {
  std::shared_ptr<const ModuleImpl> module;
  std::string name;
  const OpOutline& outline() const { return *module->outline().op(name); }
};

struct ProgramImpl {
  ir::Program program;
};

/// The machine code of a kernel for one choice of argument traits.
struct Variant {
  std::shared_ptr<jit::LoadedKernel> code;
  std::vector<std::string> checks;  ///< what each says, by its number in reports
};

/// A packed operand: its own memory, 64-byte aligned.
struct PackedImpl {
  std::string text;  ///< of its jit::Packing
  ScalarType type = ScalarType::f32;
  std::vector<int64_t> extents, strides;  ///< of the array; the data lies by `text`
  int64_t bytes = 0;
  unsigned char* data = nullptr;
  PackedImpl() = default;
  PackedImpl(const PackedImpl&) = delete;
  PackedImpl& operator=(const PackedImpl&) = delete;
  ~PackedImpl();
};

/// How arrays and scalars of the op become those of an NKI text.
struct NeuronCall {
  jit::CallPlan plan;
  std::string name;  ///< of the op, for messages
};
Result<NeuronReport> simulate(const NeuronText& text, const std::vector<jit::ArrayArg>& arrays,
                              const std::vector<jit::ScalarArg>& scalars, const SimulateOptions& options);

struct KernelImpl {
  std::string name;
  std::string program_text;  ///< after all steps
  std::string schedule;
  ir::Target target;
  jit::CallPlan plan;
  int threads = 0;
  Times times;
  std::string key;
  bool printed = false;  ///< read from a printed program: not the result of steps alone
  bool cached = false;   ///< found on disk (api/store.cpp)
  bool foreign =
      false;  ///< for a target that this machine lacks: texts and objects can be had of it, calls are refused
  /// Makes the program again, of a kernel that was found on disk without it.
  std::function<Result<ir::Program>()> remake;

  /// Runs the kernel. `arrays` are all array parameters; on failure the error says which argument. `report` is filled for a failed check.
  jit::CallError run(const jit::ArrayArg* arrays, const jit::ScalarArg* scalars, host::CheckReport& report,
                     int threads_wanted);
  /// A failed run as a diagnostic.
  Diagnostic explain(const jit::CallError& error, const jit::ArrayArg* arrays, const host::CheckReport& report) const;
  /// Machine code for arrays of which those in the mask `strided` have no unit inner stride; compiled on first use.
  Result<const Variant*> variant(uint64_t strided);
  /// The program after all steps.
  Result<ir::Program> program();
  void set_program(ir::Program program) { program_ = std::move(program); }
  /// Takes code that was found on disk.
  const Variant* adopt(uint64_t strided, Variant variant);

  /// Packs one array for a parameter.
  Result<std::shared_ptr<const PackedImpl>> pack(const std::string& parameter, const jit::ArrayArg& array);

 private:
  Result<const Variant*> make_variant(uint64_t strided);
  const Variant* keep(uint64_t strided, Variant variant);
  std::mutex program_mutex_;
  std::optional<ir::Program> program_;
  /// Arrays that come as they are are packed for this call; false without memory.
  bool pack_operands(const jit::ArrayArg* arrays, uint64_t* words, int threads_wanted,
                     std::vector<Arenas::Block>& held);
  std::mutex mutex_;
  std::unordered_map<uint64_t, std::unique_ptr<Variant>> variants_;
  std::atomic<const Variant*> dense_{nullptr};
  Diagnostics compile_error_;
};

/// The step `fix DIM = N`, as a schedule would have it.
ir::StepCall fix_call(const std::string& dim, int64_t value);

/// What a request resolves to before code generation.
struct Lowered {
  ir::Program canonical;
  schedule::Scheduled scheduled;
  std::string schedule;
};

/// The target that a request names: "auto" and "cpu" are the best of this machine. Others than it can run only `for_emission`.
Result<ir::Target> resolve_target(const std::string& name, bool for_emission = false);
/// Types, ranks and consts from the request's arrays.
Result<frontend::Instance> instance_for(const OpImpl& op, const CompileOptions& options);
/// The dims that a call of these extents would have; false where an extent is not given or does not fit.
bool dims_of_request(const jit::CallPlan& plan, const CompileOptions& options, std::vector<int64_t>& dims);
/// Text -> op for the request's types: instantiated, canonical, dims fixed.
Result<ir::Program> canonical_program(const OpImpl& op, const CompileOptions& options);
/// The schedules of an op that may run on the target, in the order of the file; none for packs without axes.
std::vector<const ir::ScheduleText*> candidates(const OpImpl& op, const CompileOptions& options,
                                                const ir::Target& target);
/// The schedule's `where` on the canonical program's dims, with what it fixes and those of the schedules that it applies; none when there
/// is none.
Result<ir::Expr> where_of(const OpImpl& op, const ir::Program& canonical, const ir::ScheduleText& schedule,
                          const ir::Target& target);
/// The tuned names of a schedule for a canonical program of its op.
Result<std::vector<schedule::TunedName>> tuned_names(const OpImpl& op, const ir::Program& canonical,
                                                     const ir::ScheduleText& schedule, const ir::Target& target);
/// The schedule that the request names, or the first that fits; null for none.
Result<const ir::ScheduleText*> find_schedule(const OpImpl& op, const ir::Program& canonical,
                                              const CompileOptions& options, const ir::Target& target);
/// Of the ops of a module, for schedules that apply those of the ops they call.
schedule::ParameterOf parameters_of_types(const OpImpl& op);
/// Applies the schedule that the request names, or the first that fits. States before a refused step go to `states` when given.
Result<Lowered> schedule_program(const OpImpl& op, ir::Program canonical, const CompileOptions& options,
                                 const ir::Target& target, std::vector<schedule::State>* states = nullptr);
/// A request with a type for each array, for checking a schedule without arrays: f32 where it fits, else another type for which
/// its `where` may hold.
CompileOptions typical_request(const OpImpl& op, const ir::ScheduleText* schedule = nullptr);
/// Program -> kernel; `times` holds what came before.
Result<std::shared_ptr<KernelImpl>> compile_program(ir::Program program, const ir::Target& target,
                                                    const std::string& schedule, int threads, uint64_t strided,
                                                    Times times, bool printed = false, bool foreign = false);
// What is kept on disk (store.cpp).
/// A module whose text an earlier process has found right; null when there is none.
std::shared_ptr<ModuleImpl> find_module(const SourceRef& source, const std::shared_ptr<const ModuleImpl>& base);
void store_module(const ModuleImpl& module);
/// The key of what chooses between an op's schedules for types, ranks and consts; empty when the cache is off.
std::string chooser_key(const OpImpl& op, const CompileOptions& options, const ir::Target& target);
/// The key of a request; empty when the cache is off.
std::string front_key(const OpImpl& op, const CompileOptions& options, const ir::Target& target);
/// A kernel without its program, from what an earlier process stored under the key; null when there is none.
std::shared_ptr<KernelImpl> find_front(const std::string& front, const OpImpl& op, const CompileOptions& options,
                                       const ir::Target& target);
void store_front(const std::string& front, const KernelImpl& kernel);
/// Machine code of a kernel's program for one choice of argument traits.
std::optional<Variant> find_code(const KernelImpl& kernel, uint64_t strided);
void store_code(const KernelImpl& kernel, uint64_t strided, const std::vector<char>& object,
                const std::vector<std::string>& checks);

/// The flags of array inputs without a unit inner stride.
uint64_t strided_inputs(const CompileOptions& options);
/// The key under which a live kernel is found.
std::string kernel_key(const ir::Target& target, int threads, const std::string& schedule,
                       const std::string& program_text);
/// The whole story: request -> kernel.
Result<std::shared_ptr<KernelImpl>> compile(const OpImpl& op, const CompileOptions& options);

}  // namespace heddle::api
