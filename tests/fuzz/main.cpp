// Random ops under random schedules, judged three ways: each state against the canonical program in the interpreter, printed text
// against the program it was printed from, compiled code against the interpreter on arrays between fences.
//
//   fuzz_schedule [--seconds N] [--seed S] [--pairs N] [--json FILE] [--verbose]
//
// A finding prints the op, the steps and the command that replays it; exit code 1.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "api/impl.h"
#include "frontend/module.h"
#include "frontend/parse.h"
#include "frontend/program_text.h"
#include "ir/float_format.h"
#include "ir/op.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/fuzz/fenced.h"
#include "tests/fuzz/op_generator.h"
#include "tests/fuzz/step_generator.h"

namespace heddle::fuzz {
namespace {

struct Counts {
  int64_t pairs = 0, applied = 0, refused = 0, mismatches = 0, rejected_ops = 0, compiled = 0;
  std::map<std::string, std::pair<int64_t, int64_t>> by_step;  // applied, refused
};

char replay_line[256];

extern "C" void on_crash(int signal) {
  const char text[] = "\ncrash; replay: ";
  if (write(2, text, sizeof text - 1) < 0 || write(2, replay_line, std::strlen(replay_line)) < 0) _exit(3);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

double element(const unsigned char* data, ir::ScalarType type, int64_t i) {
  switch (type) {
    case ir::ScalarType::f64: return reinterpret_cast<const double*>(data)[i];
    case ir::ScalarType::f32: return reinterpret_cast<const float*>(data)[i];
    case ir::ScalarType::i32: return reinterpret_cast<const int32_t*>(data)[i];
    case ir::ScalarType::i8: return reinterpret_cast<const int8_t*>(data)[i];
    case ir::ScalarType::u8: return data[i];
    case ir::ScalarType::bf16: {
      uint32_t bits = static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(data)[i]) << 16;
      return std::bit_cast<float>(bits);
    }
    default: return 0;
  }
}

class Pair {
 public:
  Pair(uint64_t seed, Counts& counts, bool verbose) : r_(seed), counts_(counts), verbose_(verbose) {}

  /// False on a finding.
  bool run() {
    op_ = random_op(r_);
    Result<frontend::ast::Module> tree = frontend::parse(Source::make("random.hd", op_.text));
    if (!tree) return found("the generator's op does not parse:\n" + render(tree.errors()));
    Result<frontend::Module> module = frontend::check_module(std::move(*tree));
    if (!module) {
      ++counts_.rejected_ops;  // shapes that the generator did not foresee; counted, so that they stay few
      if (verbose_) std::cerr << op_.text << render(module.errors());
      return true;
    }
    Result<ir::Op> op = frontend::instantiate(*module, "f", {});
    if (!op) return found("a checked op cannot be instantiated:\n" + render(op.errors()));
    module_ = std::move(*module);
    canonical_ = ir::canonical(*op);
    canonical_.allow.reassociate = r_.chance(60);
    canonical_.allow.contract = r_.chance(15);
    ++counts_.pairs;
    make_arrays();
    return interpret_canonical() && steps() && compile();
  }

 private:
  bool found(const std::string& what) {
    ++counts_.mismatches;
    std::cerr << "\nFOUND: " << what << "\n" << op_.text;
    for (const auto& [dim, extent] : op_.dims) std::cerr << "  " << dim << " = " << extent;
    std::cerr << "\n";
    for (const std::string& s : steps_) std::cerr << "  " << s << "\n";
    std::cerr << "replay: " << replay_line << "\n";
    return false;
  }

  int64_t value(const ir::Expr& e) {
    if (const int64_t* c = ir::constant_value(e)) return *c;
    if (const ir::Var* v = e.as<ir::Var>()) return op_.dims.at(canonical_.symbol(v->symbol).name);
    return 0;
  }

  void make_arrays() {
    for (const ir::Parameter& q : canonical_.parameters) {
      const ir::Buffer& b = canonical_.buffer(q.buffer);
      std::vector<int64_t> extents;
      for (const ir::BoxDim& d : b.box) extents.push_back(value(d.hi));
      FencedArray a(b.type, extents, r_.chance(60));
      if (b.role == ir::Role::in) fill(a);
      else outputs_.push_back(arrays_.size());
      arrays_.push_back(std::move(a));
    }
  }

  void fill(FencedArray& a) {
    for (int64_t i = 0; i < a.count(); ++i) {
      double v = (r_.below(4001) - 2000) / 500.0;
      if (r_.chance(1)) v = r_.pick({0.0, 1e30, -1e30, 1e-40, std::numeric_limits<double>::infinity(), std::nan("")});
      switch (a.type()) {
        case ir::ScalarType::f64: reinterpret_cast<double*>(a.data())[i] = v; break;
        case ir::ScalarType::f32: reinterpret_cast<float*>(a.data())[i] = static_cast<float>(v); break;
        case ir::ScalarType::bf16:
          reinterpret_cast<uint16_t*>(a.data())[i] = std::bit_cast<uint32_t>(static_cast<float>(v)) >> 16;
          break;
        case ir::ScalarType::i32:
          reinterpret_cast<int32_t*>(a.data())[i] = static_cast<int32_t>(r_.next() >> (r_.chance(50) ? 0 : 26));
          break;
        default: a.data()[i] = static_cast<unsigned char>(r_.next());
      }
    }
  }

  ir::Arguments arguments() {
    ir::Arguments args;
    for (FencedArray& a : arrays_) args.arrays.push_back(a.ref());
    return args;
  }
  void poison_outputs() {
    for (size_t i : outputs_) std::memset(arrays_[i].data(), 0xA5, arrays_[i].bytes());
  }
  std::vector<std::vector<unsigned char>> taken() {
    std::vector<std::vector<unsigned char>> out;
    for (size_t i : outputs_) out.push_back(arrays_[i].copy());
    return out;
  }

  bool interpret_canonical() {
    ir::InterpretOptions how;
    how.has_fma = true;
    Result<ir::InterpretResult> done = ir::interpret(canonical_, arguments(), how);
    if (!done) return found("the canonical program does not run:\n" + render(done.errors()));
    expected_ = taken();
    how.mode = ir::InterpretMode::bounded;
    Result<ir::InterpretResult> bounded = ir::interpret(canonical_, arguments(), how);
    if (!bounded) return found("the canonical program does not run in bounded mode:\n" + render(bounded.errors()));
    bounded_ = std::move(bounded->bounded);
    return true;
  }

  // The same numbers: bit by bit, NaN payloads and the sign of zero aside; "" when they are.
  std::string differs(const std::vector<std::vector<unsigned char>>& want,
                      const std::vector<std::vector<unsigned char>>& seen) {
    for (size_t o = 0; o < outputs_.size(); ++o) {
      const FencedArray& a = arrays_[outputs_[o]];
      for (int64_t i = 0; i < a.count(); ++i) {
        double x = element(want[o].data(), a.type(), i), y = element(seen[o].data(), a.type(), i);
        if (x == y || (std::isnan(x) && std::isnan(y))) continue;
        return "element " + std::to_string(i) + " is " + std::to_string(y) + ", not " + std::to_string(x);
      }
    }
    return "";
  }

  // Within the bound that the interpreter carries.
  std::string outside(const std::vector<std::vector<unsigned char>>& seen) {
    for (size_t o = 0; o < outputs_.size(); ++o) {
      const FencedArray& a = arrays_[outputs_[o]];
      for (int64_t i = 0; i < a.count(); ++i) {
        double x = bounded_[o].value[i], bound = bounded_[o].bound[i], y = element(seen[o].data(), a.type(), i);
        if (std::isnan(x) || !std::isfinite(bound) || std::abs(x - y) <= bound || x == y) continue;
        return "element " + std::to_string(i) + " is " + std::to_string(y) + ", not " + std::to_string(x) + " +- " +
               std::to_string(bound);
      }
    }
    return "";
  }

  bool steps() {
    program_ = canonical_;
    exact_ = !canonical_.allow.contract;
    schedule::Context context{api::session().host};
    int wanted = 1 + r_.below(9);
    for (int i = 0; i < wanted; ++i) {
      ir::StepCall call = random_step(program_, op_.dims, r_);
      Result<schedule::State> state = schedule::apply_step(context, program_, call);
      auto& row = counts_.by_step[call.name];
      if (!state) {
        ++counts_.refused, ++row.second;
        continue;
      }
      ++counts_.applied, ++row.first;
      steps_.push_back(text_of(call));
      program_ = std::move(state->program);
      if (call.name == "rfactor" || call.name == "reorder" || call.name == "cache")
        exact_ = exact_ && !canonical_.allow.reassociate;
      if (!check_state()) return false;
    }
    return true;
  }

  bool check_state() {
    if (Diagnostics broken = ir::verify(program_); !broken.empty())
      return found("the state breaks an invariant:\n" + render(broken) + ir::print(program_));
    std::string text = ir::print(program_);
    if (std::string wrong = reads_back(text); !wrong.empty()) return found(wrong + "\n" + text);
    ir::InterpretOptions how;
    how.seed = r_.next();
    poison_outputs();
    Result<ir::InterpretResult> done = ir::interpret(program_, arguments(), how);
    if (!done) return found("the state does not run:\n" + render(done.errors()) + text);
    std::string wrong = exact_ ? differs(expected_, taken()) : outside(taken());
    if (!wrong.empty()) return found("the state gives another answer: " + wrong + "\n" + text);
    return true;
  }

  std::string reads_back(const std::string& text) {
    Result<frontend::ast::Module> tree = frontend::parse(Source::make("printed.hd", text));
    if (!tree) return "the printed program does not parse:\n" + render(tree.errors());
    Result<frontend::Module> read = frontend::check_module(std::move(*tree), &module_);
    if (!read || read->programs.size() != 1) return "the printed text is no program";
    Result<ir::Program> again = frontend::read_program(*read->programs[0], *read);
    if (!again) return "the printed program does not read back:\n" + render(again.errors());
    if (!ir::equal_up_to_names(program_, *again))
      return "the printed program reads back to another one:\n" + ir::print(*again);
    return "";
  }

  bool compile() {
    std::vector<std::string> members = targets();
    Result<ir::Target> target = api::resolve_target(r_.pick(members));
    ir::InterpretOptions how;
    how.has_fma = target->has_fma;
    poison_outputs();
    if (Result<ir::InterpretResult> done = ir::interpret(program_, arguments(), how); !done)
      return found("the last state does not run:\n" + render(done.errors()));
    std::vector<std::vector<unsigned char>> want = taken();
    std::vector<std::vector<unsigned char>> inputs;
    for (FencedArray& a : arrays_) inputs.push_back(a.copy());

    poison_outputs();
    Result<std::shared_ptr<api::KernelImpl>> kernel = api::compile_program(program_, *target, "", 2, 0, {});
    if (!kernel)
      return found("the last state does not compile for " + target->name + ":\n" + render(kernel.errors()) +
                   ir::print(program_));
    std::vector<jit::ArrayArg> args;
    for (FencedArray& a : arrays_)
      args.push_back(
          {a.type(), static_cast<int>(a.extents().size()), a.extents().data(), a.strides().data(), a.data(), false});
    host::CheckReport report;
    jit::CallError error = (*kernel)->run(args.data(), nullptr, report, 1 + r_.below(2));
    if (error.kind)
      return found("compiled code refuses the call: " + render((*kernel)->explain(error, args.data(), report)));
    ++counts_.compiled;
    for (size_t i = 0; i < arrays_.size(); ++i)
      if (std::find(outputs_.begin(), outputs_.end(), i) == outputs_.end() && arrays_[i].copy() != inputs[i])
        return found("compiled code wrote into an input on " + target->name + "\n" + ir::print(program_));
    bool leave = canonical_.allow.contract || canonical_.allow.reassociate;
    std::string wrong = leave ? outside(taken()) : differs(want, taken());
    if (!wrong.empty())
      return found("compiled code differs from the interpreter on " + target->name + ": " + wrong + "\n" +
                   ir::print(program_));
    return true;
  }

  Random r_;
  Counts& counts_;
  bool verbose_;
  RandomOp op_;
  frontend::Module module_;
  ir::Program canonical_, program_;
  bool exact_ = true;
  std::vector<FencedArray> arrays_;
  std::vector<size_t> outputs_;
  std::vector<std::vector<unsigned char>> expected_;
  std::vector<ir::BoundedArray> bounded_;
  std::vector<std::string> steps_;
};

struct Arguments {
  double seconds = 30;
  uint64_t seed = 1;
  int64_t pairs = -1;
  std::string json;
  bool verbose = false;
};

int run(const Arguments& a) {
  for (int s : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) std::signal(s, on_crash);
  Counts counts;
  auto start = std::chrono::steady_clock::now();
  auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  int findings = 0;
  for (int64_t i = 0; (a.pairs < 0 || i < a.pairs) && (a.pairs >= 0 || seconds() < a.seconds) && findings < 5; ++i) {
    uint64_t seed = a.seed + i;
    std::snprintf(replay_line, sizeof replay_line, "./dev fuzz schedule --pairs 1 --seed %llu\n",
                  static_cast<unsigned long long>(seed));
    if (!Pair(seed, counts, a.verbose).run()) ++findings;
  }
  nlohmann::json j = {{"pairs", counts.pairs},       {"applied", counts.applied},
                      {"refused", counts.refused},   {"mismatches", counts.mismatches},
                      {"compiled", counts.compiled}, {"rejected_ops", counts.rejected_ops}};
  for (const auto& [name, n] : counts.by_step) j["by_step"][name] = {{"applied", n.first}, {"refused", n.second}};
  if (!a.json.empty()) std::ofstream(a.json) << j.dump(1) << "\n";
  std::cout << counts.pairs << " pairs, " << counts.applied << " steps applied, " << counts.refused << " refused, "
            << counts.compiled << " compiled, " << counts.rejected_ops << " ops rejected, " << counts.mismatches
            << " mismatches in " << static_cast<int>(seconds()) << " s\n";
  for (const auto& [name, n] : counts.by_step)
    std::cout << "  " << name << ": " << n.first << " applied, " << n.second << " refused\n";
  return counts.mismatches ? 1 : 0;
}

}  // namespace
}  // namespace heddle::fuzz

int main(int argc, char** argv) {
  heddle::fuzz::Arguments a;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    bool more = i + 1 < argc;
    if (word == "--seconds" && more) a.seconds = std::atof(argv[++i]);
    else if (word == "--seed" && more) a.seed = std::strtoull(argv[++i], nullptr, 10);
    else if (word == "--pairs" && more) a.pairs = std::atoll(argv[++i]);
    else if (word == "--json" && more) a.json = argv[++i];
    else if (word == "--verbose") a.verbose = true;
    else {
      std::cerr << "usage: fuzz_schedule [--seconds N] [--seed S] [--pairs N] [--json FILE] [--verbose]\n";
      return 2;
    }
  }
  return heddle::fuzz::run(a);
}
