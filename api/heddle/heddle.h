// Heddle's public C++ surface: everything an application needs, and nothing of LLVM or ANTLR.
//
//   auto module = heddle::Module::load("softmax.hd");            // or Module::parse(text)
//   auto op     = module->op("softmax");
//   auto kernel = op->compile({.arrays = {heddle::Spec{heddle::ScalarType::f32, {rows, cols}}}});
//   auto done   = (*kernel)({heddle::Buffer::of(x, {rows, cols}), heddle::Buffer::of(y, {rows, cols})});
//
// Everything is a value that may be copied cheaply and called from many threads. Nothing prints, installs a signal handler or exits.
// Failures are `Result`s that carry diagnostics: a code, a place in the text, labels and what to do.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ir/numerics.h"
#include "ir/scalar_type.h"
#include "support/result.h"

namespace heddle {

using ir::Numerics;
using ir::ScalarType;

/// The element type of a C++ number: floats and integers of either sign by their size, and bool.
template <class T>
constexpr ScalarType scalar_type_of() {
  constexpr bool whole = std::is_integral_v<T>, sign = std::is_signed_v<T>;
  static_assert((whole || std::is_same_v<T, float> || std::is_same_v<T, double>) && sizeof(T) <= 8, "no element type");
  if constexpr (std::is_same_v<T, bool>) return ScalarType::boolean;
  else if constexpr (!whole) return sizeof(T) == 4 ? ScalarType::f32 : ScalarType::f64;
  else if constexpr (sizeof(T) == 1) return sign ? ScalarType::i8 : ScalarType::u8;
  else if constexpr (sizeof(T) == 2) return sign ? ScalarType::i16 : ScalarType::u16;
  else if constexpr (sizeof(T) == 4) return sign ? ScalarType::i32 : ScalarType::u32;
  else return sign ? ScalarType::i64 : ScalarType::u64;
}

namespace api {
struct KernelImpl;
struct ModuleImpl;
struct NeuronCall;
struct OpImpl;
struct PackedImpl;
struct ProgramImpl;
}  // namespace api

/// An array of the caller's: never owned, never kept past the call.
struct Buffer {
  void* data = nullptr;
  ScalarType type = ScalarType::f32;
  std::vector<int64_t> extents;
  std::vector<int64_t> strides;  ///< in elements, one for each axis; may be 0 or negative for inputs
  bool readonly = false;
  std::shared_ptr<const api::PackedImpl> packed;  ///< of Packed::buffer

  /// A dense row-major array.
  template <class T>
  static Buffer of(T* data, std::vector<int64_t> extents) {
    return dense(const_cast<std::remove_const_t<T>*>(data), scalar_type_of<std::remove_const_t<T>>(),
                 std::move(extents), std::is_const_v<T>);
  }
  static Buffer dense(void* data, ScalarType type, std::vector<int64_t> extents, bool readonly = false);
};

/// Stands for an array when compiling: its element type and extents; -1 where any extent may come.
struct Spec {
  ScalarType type = ScalarType::f32;
  std::vector<int64_t> extents;
  bool unit_inner_stride = true;
};

/// A run-time scalar argument; floats in `real`, integers in `integer`.
struct Scalar {
  double real = 0;
  int64_t integer = 0;
  static Scalar of(double value) {
    const bool fits = value > -0x1p63 && value < 0x1p63;  // else, and for NaN, there is no such integer
    return {value, fits ? static_cast<int64_t>(value) : 0};
  }
  static Scalar of(int64_t value) { return {static_cast<double>(value), value}; }
  bool left_out = false;  ///< takes its default, one before others that are given
};

struct CompileOptions {
  std::vector<Spec> arrays;               ///< for each array input, in the order of declaration
  std::map<std::string, int64_t> consts;  ///< values of `const` parameters; defaults are taken for the rest
  std::optional<std::string> schedule;    ///< a schedule's name; "" = none; not given = the first one that fits
  std::map<std::string, int64_t> tune;    ///< values for the schedule's `tune` variables
  std::map<std::string, int64_t> fix;     ///< dims that become constants
  std::string target = "auto";            ///< "auto", "cpu", "cpu/avx512", "cpu/avx2", "cpu/x86-64-v2"
  bool for_emission = false;              ///< any member of the family: what this machine lacks is printed, not called
  int threads = 0;                        ///< 0 = the session's number
  double time_limit_s = 0;                ///< work that takes longer ends with a diagnostic; 0 = no limit
  std::function<bool()> stop;             ///< asked every few milliseconds, from the calling thread: true ends the work
};

/// Of a request for NKI text.
struct NeuronOptions {
  std::string profile = "full";  ///< "full" or "basic"
  int64_t instructions = 50000;  ///< budget of unrolled instructions
};

struct SimulateOptions {
  uint64_t seed = 1;  ///< of the random order of the engines
  bool timeline = false;
};

/// What the simulator says of a run. Every time is modelled: docs/neuron-model.md.
struct NeuronReport {
  double modelled_us = 0;
  double utilisation = 0;                       ///< of the Tensor engine's peak, by the products computed
  std::string critical;                         ///< the engine that is busy longest
  std::map<std::string, double> engines;        ///< busy fractions
  std::map<std::string, int64_t> instructions;  ///< of each engine
  int64_t dma_bytes = 0, hbm_read_bytes = 0, hbm_written_bytes = 0;
  double flops = 0;
  int64_t sbuf_peak_bytes = 0;  ///< of a partition
  int psum_peak_banks = 0;
  int64_t static_instructions = 0;
  std::string text;               ///< lines that a person reads
  std::string timeline, picture;  ///< with `timeline`: a Chrome trace, and the same as SVG
};

/// A kernel for a NeuronCore as NKI text. It is a function of the op's inputs, its run-time scalars and then the tables.
struct NeuronText {
  struct Table {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> data;
  };
  /// An input with a `layout`: the text takes an array of `shape`, which `pack` makes of the op's own, dense one.
  struct Packing {
    size_t input = 0;  ///< which array input
    std::string name;
    std::vector<int64_t> shape;
    std::function<void(const void* from, void* to)> pack;
  };
  std::string nki;       ///< Python source
  std::string program;   ///< printed, after all steps
  std::string schedule;  ///< its name, empty when none was chosen
  std::string target;    ///< "neuron/trn2"
  std::vector<Table> tables;
  std::vector<Packing> packings;
  int64_t instructions = 0;  ///< once its loops are unrolled
  int64_t sbuf_bytes = 0;    ///< of a partition, at the worst moment
  int psum_banks = 0;
  std::shared_ptr<const api::NeuronCall> call;

  /// Runs the text on the simulator. Arrays and scalars are those of a call of `Kernel`: inputs and then outputs, in the op's own types and
  /// order; outputs and `inout` arrays are written.
  Result<NeuronReport> simulate(const std::vector<Buffer>& arrays, const std::vector<Scalar>& scalars = {},
                                const SimulateOptions& options = {}) const;
};

/// Milliseconds of each stage of one compile.
struct Times {
  double parse = 0, check = 0, steps = 0, lower = 0, llvm = 0, link = 0;
  double cache = 0;  ///< looking on disk, and loading what was found there
};

/// One parameter of an op as declared.
struct ParameterInfo {
  enum class Kind { array, scalar, constant };
  std::string name;
  Kind kind = Kind::array;
  std::string type;  ///< "f32", or a generic's name
  std::vector<std::string> dims;
  bool output = false, inout = false;
  std::optional<double> default_value;  ///< to be shown: a call takes what is left out as the text has it
};

/// A state of a schedule: the program after one step.
struct StateInfo {
  std::string step;                      ///< the step as written; empty for the canonical program
  std::string program;                   ///< printed
  std::vector<std::string> certificate;  ///< what the step relied on
};

/// One declaration `tune block = 4 in [1, 2, 4, 8]`.
struct TuneVariable {
  std::string name;
  int64_t value = 0;  ///< the default
  std::vector<int64_t> choices;
};

/// An operand whose parameter has a `layout`: packed once, passed to many calls. Holds its own memory.
class Packed {
 public:
  explicit Packed(std::shared_ptr<const api::PackedImpl> impl) : impl_(std::move(impl)) {}
  Buffer buffer() const;              ///< stands for the array in calls
  const std::string& layout() const;  ///< "f32 (i1/16, i0, i1%16) with 0"
  const std::vector<int64_t>& extents() const;
  int64_t bytes() const;
  const std::shared_ptr<const api::PackedImpl>& impl() const { return impl_; }

 private:
  std::shared_ptr<const api::PackedImpl> impl_;
};

/// A compiled op: a function over arrays. Its machine code is freed with the last copy.
class Kernel {
 public:
  explicit Kernel(std::shared_ptr<api::KernelImpl> impl) : impl_(std::move(impl)) {}
  /// `arrays`: all array parameters in the order of declaration, inputs and then outputs; `scalars`: those run-time scalars that the
  /// caller gives, the rest take their defaults. Everything is checked before anything runs.
  Result<Done> operator()(const std::vector<Buffer>& arrays, const std::vector<Scalar>& scalars = {}) const;
  template <std::same_as<Buffer>... Buffers>
    requires(sizeof...(Buffers) > 0)
  Result<Done> operator()(const Buffers&... arrays) const {
    return (*this)(std::vector<Buffer>{arrays...});
  }
  /// Extents of the outputs for inputs of the given extents.
  Result<std::vector<std::vector<int64_t>>> output_extents(const std::vector<Buffer>& inputs) const;

  std::vector<ScalarType> output_types() const;
  /// Packs the array for a parameter with a `layout`: `(*kernel)({x, packed->buffer(), y})`. Passed as it is, the array is packed in
  /// each call.
  Result<Packed> pack(std::string_view parameter, const Buffer& array) const;

  const std::string& program() const;  ///< printed, after all steps
  Result<std::string> llvm() const;    ///< LLVM IR after the passes
  Result<std::string> assembly() const;
  /// Where each temporary lives, how long, and how many bytes each thread needs: expressions of the dims.
  Result<std::string> memory() const;
  /// An object file with the C functions NAME and NAME_workspace, and the header that declares them: nothing of Heddle is needed to
  /// run them. `name`: by default the op's.
  struct AheadOfTime {
    std::string name;
    std::vector<char> object;
    std::string header;
  };
  Result<AheadOfTime> ahead_of_time(const std::string& name = "") const;
  const std::string& schedule() const;  ///< the schedule's name, empty when none was chosen
  const std::string& target() const;    ///< "cpu/avx512"
  Times times() const;
  bool cached() const;              ///< its code was found on disk
  const std::string& name() const;  ///< of the op and its schedule
  const std::shared_ptr<api::KernelImpl>& impl() const { return impl_; }

 private:
  std::shared_ptr<api::KernelImpl> impl_;
};

/// One op of a module.
class Op {
 public:
  explicit Op(std::shared_ptr<api::OpImpl> impl) : impl_(std::move(impl)) {}
  const std::string& name() const;
  const std::string& doc() const;
  std::string text() const;  ///< the definition as written
  std::vector<ParameterInfo> parameters() const;
  std::vector<std::string> schedules() const;
  /// The lines of a schedule as written: steps, `tune`, `let` and branches; empty when there is no such schedule.
  std::vector<std::string> schedule_lines(std::string_view schedule) const;
  /// A schedule as text under a new name, with the values of `choices` in place of its `tune` lines: `let block = 8`.
  std::string schedule_text(std::string_view schedule, std::string_view name,
                            const std::map<std::string, int64_t>& choices) const;
  /// The `tune` variables of the schedule that the request names, for its types, consts and target, in the order of the text; those of
  /// branches not taken by default are left out.
  Result<std::vector<TuneVariable>> tune_variables(const CompileOptions& options) const;
  /// The op as NKI text for a target of the neuron family. All dims must be known: from the arrays' extents or by `fix`.
  Result<NeuronText> neuron(const CompileOptions& options, const NeuronOptions& how = {}) const;
  Result<Kernel> compile(const CompileOptions& options) const;
  template <std::same_as<Spec>... Specs>
    requires(sizeof...(Specs) > 0)
  Result<Kernel> compile(const Specs&... arrays) const {
    CompileOptions options;
    options.arrays = {arrays...};
    return compile(options);
  }
  /// The canonical program and the program after each step; when a step is refused, those before it, and `refusal` is set.
  struct States {
    std::vector<StateInfo> states;
    Diagnostics refusal;
  };
  Result<States> states(const CompileOptions& options) const;
  /// Runs the reference interpreter instead of machine code, on the canonical program or on a scheduled one.
  Result<Done> interpret(const CompileOptions& options, const std::vector<Buffer>& arrays,
                         const std::vector<Scalar>& scalars = {}, uint64_t seed = 1) const;
  /// What may be relied on of the numbers of this request's program, after its schedule.
  Result<Numerics> numerics(const CompileOptions& options) const;
  /// f64 values and error bounds of each output by the interpreter's bounded mode (docs/numerics.md), row-major.
  struct Bounded {
    std::vector<double> value, bound;
  };
  Result<std::vector<Bounded>> reference(const CompileOptions& options, const std::vector<Buffer>& arrays,
                                         const std::vector<Scalar>& scalars = {}) const;
  const std::shared_ptr<api::OpImpl>& impl() const { return impl_; }

 private:
  std::shared_ptr<api::OpImpl> impl_;
};

/// A printed program read back: any state of any schedule can be run, compiled and timed on its own.
class Program {
 public:
  explicit Program(std::shared_ptr<api::ProgramImpl> impl) : impl_(std::move(impl)) {}
  const std::string& name() const;
  std::string text() const;
  Result<Kernel> compile(const std::string& target = "auto", int threads = 0) const;
  Result<Done> interpret(const std::vector<Buffer>& arrays, const std::vector<Scalar>& scalars = {},
                         uint64_t seed = 1) const;
  std::vector<ParameterInfo> parameters() const;

 private:
  std::shared_ptr<api::ProgramImpl> impl_;
};

/// A parsed and checked text: ops, schedules, reducers, instructions, printed programs.
class Module {
 public:
  explicit Module(std::shared_ptr<api::ModuleImpl> impl) : impl_(std::move(impl)) {}
  static Result<Module> parse(std::string text, std::string name = "<text>");
  static Result<Module> load(const std::string& path);
  /// A module with more text (schedules, ops that use this module's); this one is unchanged.
  Result<Module> extend(std::string text, std::string name = "<text>") const;
  std::vector<std::string> ops() const;
  Result<Op> op(std::string_view name) const;
  /// Applies every schedule of the text to its op, at f32 (or the first type of each generic's class) and the defaults of consts: what a
  /// step refuses, before anything is compiled. Schedules for targets that are not built are findings too.
  Diagnostics check_schedules() const;
  /// Names of the printed programs in the text, for example "softmax.rows".
  std::vector<std::string> programs() const;
  Result<Program> program(std::string_view name) const;
  const std::shared_ptr<api::ModuleImpl>& impl() const { return impl_; }

 private:
  std::shared_ptr<api::ModuleImpl> impl_;
};

/// Threads that parallel loops use where a compile does not say; at least 1. Default: the processors of this process.
void set_threads(int count);
int threads();
/// The folder in which later processes find what this one compiles; "" switches the cache off. At first: what the environment variable
/// HEDDLE_CACHE names (`off`, or a folder), else `heddle` in the user's cache folder.
void set_cache(const std::string& folder, int64_t megabytes = 256);
struct CacheInfo {
  bool on = false;
  std::string folder, why_off;
  int64_t hits = 0, misses = 0, stored = 0;  ///< of this process
};
/// The state of the cache, once everything is stored.
CacheInfo cache();
/// Members of the `cpu` family that this machine runs, best first.
std::vector<std::string> targets();
std::string_view version();
/// The text as `heddle fmt` writes it: only white space changes. Refused where it does not parse.
Result<std::string> format(std::string text, std::string name = "<text>");
/// All diagnostics codes, for `explain` and `list codes`.
std::vector<Code> codes();

}  // namespace heddle
