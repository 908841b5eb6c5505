// What all commands share: reading the text, printing diagnostics, choosing the op. Exit codes: 0 done, 1 the input was refused,
// 2 wrong usage, 3 our own bug.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/heddle/heddle.h"
#include "tools/npy.h"

namespace heddle::tools {

enum ExitCode { exit_done = 0, exit_refused = 1, exit_usage = 2, exit_bug = 3 };

struct Options {
  std::string file;
  std::vector<std::string> files;
  std::string op;
  std::string schedule;
  bool has_schedule = false;
  std::string target = "auto";
  int threads = 0;
  std::vector<std::string> fix, tune, consts, scalars;  ///< NAME=VALUE
  std::vector<std::string> types;                       ///< T=f32, or `f32[rows,cols]` for each array
  std::vector<std::string> in, out;
  bool json = false, why = false;
  bool only_check = false;  ///< fmt: change nothing
  double seconds = 1;       ///< bench: for all schedules together
  int after = -1;
  uint64_t seed = 1;     ///< simulate: of the random order
  std::string timeline;  ///< simulate: a file
  std::string as = "program";
  std::string output;
  std::string function;  ///< name of the C function of an object
  std::string profile = "full";
  int64_t instructions = 0;
};

/// The text of a file, `-` is standard input; `parse` and `load` in one.
Result<Module> open_module(const std::string& file);
/// The request that the options make, with a type for each array input: from `--in`, from `--types`, else f32 of any extent.
Result<CompileOptions> request_of(const Op& op, const Options& options, const std::vector<Array>& inputs,
                                  bool for_emission = false);
/// NAME=VALUE pairs as integers.
Result<std::map<std::string, int64_t>> numbers(const std::vector<std::string>& pairs, const char* option);

/// The op of the file that `--op` names, or the only one.
Result<Op> open_op(const Options& options);
/// The arrays of `--in`.
Result<std::vector<Array>> read_arrays(const Options& options);
/// Run-time scalars in the order of declaration: `--scalar`, then defaults.
Result<std::vector<Scalar>> scalars_of(const Op& op, const Options& options);
/// Zeroed arrays of the shapes that the kernel gives for these inputs.
Result<std::vector<Array>> make_outputs(const Op& op, const Kernel& kernel, std::vector<Array>& inputs);
/// A wrong option, as a diagnostic.
Diagnostic wrong(const std::string& text);
/// The folder of the standard library beside this program; empty when there is none.
std::string library_folder();

int check(const Options& options);
int run(const Options& options, bool interpret);
int lower(const Options& options);
int emit(const Options& options);
int list(const std::string& what, const Options& options);
int explain(std::string code);
int doctor();
/// Rewrites files in place; standard input goes to standard output.
int fmt(const Options& options);
/// Times an op, each schedule that fits in turns with the others.
int bench(const Options& options);
/// Runs NKI text on the simulator of NeuronCore.
int simulate(const Options& options);
/// Hands the arguments on to the Python package: `python3 -m heddle.command WORD ..`. Returns only where that fails.
int python_command(int argc, char** argv);

/// Prints to standard error; returns exit_refused.
int refuse(const Diagnostics& diagnostics);

}  // namespace heddle::tools
