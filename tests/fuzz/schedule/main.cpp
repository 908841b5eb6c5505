// Random ops under random schedules, judged three ways: each state against the canonical program in the interpreter, printed text
// against the program it was printed from, compiled code against the interpreter on arrays between fences.
//
//   fuzz_schedule [--seconds N] [--seed S] [--pairs N] [--json FILE] [--verbose]
//
// A finding prints the op, the steps and the command that replays it; exit code 1. The counts say how often each step was applied to
// ops with each construct of the language.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "ir/print.h"
#include "tests/fuzz/common/step_generator.h"
#include "tests/fuzz/common/trial.h"

namespace heddle::fuzz {
namespace {

struct Counts {
  int64_t pairs = 0, applied = 0, refused = 0, mismatches = 0, rejected_ops = 0, compiled = 0, unproved = 0;
  std::map<std::string, std::pair<int64_t, int64_t>> by_step;  // applied, refused
  std::map<std::string, std::map<std::string, int64_t>> with;  // step, construct of the op -> applied
  std::map<std::string, int64_t> constructs;                   // ops that have it
};

char replay_line[256];
std::string running;  // the program that is compiled code now

extern "C" void on_crash(int signal) {
  const char text[] = "\ncrash; replay: ";
  if (write(2, text, sizeof text - 1) < 0 || write(2, replay_line, std::strlen(replay_line)) < 0) _exit(3);
  if (write(2, running.data(), running.size()) < 0) _exit(3);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

// A handler with a stack of its own: it also tells of a stack that has run over.
void tell_of_crashes() {
  static std::vector<char> memory(1 << 16);
  stack_t own{};
  own.ss_sp = memory.data();
  own.ss_size = memory.size();
  sigaltstack(&own, nullptr);
  struct sigaction how{};
  how.sa_handler = on_crash;
  how.sa_flags = SA_ONSTACK;
  for (int s : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) sigaction(s, &how, nullptr);
}

// The step, and what is different about it: of a split what becomes of its tail, of a cache which way cells go.
std::string kind_of(const ir::Program& before, const schedule::State& after, const ir::StepCall& call) {
  auto tail = call.with.find("with");
  if ((call.name == "split" || call.name == "rfactor") && tail != call.with.end())
    return call.name + " " + (call.name == "split" ? "" : "with ") + tail->second[0].text;
  if (call.name == "cache") {
    if (call.operands[0].kind == ir::Term::Kind::call) return "cache converted";
    for (const std::string& line : after.certificate.relied_on)
      if (line.find("is written back once") != std::string::npos)
        return after.program.buffers.back().field.empty() ? "cache back" : "cache back of a state";
    for (size_t i = before.stages.size(); i < after.program.stages.size(); ++i)
      if (!after.program.stages[i].reducer.empty()) return "cache accumulating";
  }
  if (call.name == "layout")
    for (const ir::Parameter& q : before.parameters)
      if (q.buffer.known() && !call.operands.empty() && !call.operands[0].args.empty() &&
          before.buffer(q.buffer).name == call.operands[0].args[0].text)
        return "layout of an input";
  return call.name;
}

// One op under one random schedule.
class Pair {
 public:
  Pair(uint64_t seed, Counts& counts, bool verbose) : r_(seed), trial_(r_), counts_(counts), verbose_(verbose) {}

  /// False on a finding.
  bool run() {
    const Verdict made = trial_.make();
    if (made.oracle == "rejected") {
      ++counts_.rejected_ops;  // shapes that the generator did not foresee; counted, so that they stay few
      if (verbose_) std::cerr << trial_.op().text << made.what;
      return true;
    }
    if (!made.fine()) return found(made);
    ++counts_.pairs;
    for (const std::string& construct : trial_.op().constructs) ++counts_.constructs[construct];
    ir::Program program = trial_.canonical();
    bool exact = !program.allow.contract;
    if (Verdict v = trial_.well_formed(program); !v.fine()) return found(v);
    for (int left = 1 + trial_.given() + (trial_.op().long_schedule ? 5 : r_.below(r_.chance(10) ? 40 : 12)); left > 0;
         --left) {
      ir::StepCall call;
      std::string origin;
      Result<schedule::State> state = trial_.random_step(program, call, &origin);
      auto& row = counts_.by_step[call.name];
      if (!state) {
        ++counts_.refused, ++row.second;
        continue;
      }
      ++counts_.applied, ++row.first;
      for (const std::string& construct : trial_.op().constructs) {
        ++counts_.with[kind_of(program, *state, call)][construct];
        if (!origin.empty()) ++counts_.with[origin][construct];
      }
      steps_.push_back(call);
      program = std::move(state->program);
      exact = exact && !(program.allow.reassociate && may_reassociate.count(call.name));
      if (Verdict v = trial_.well_formed(program); !v.fine()) return found(v);
      if (Verdict v = trial_.interpreted(program, exact); !v.fine()) return no_answer(v) || found(v);
    }
    running = trial_.op().text + ir::print(program);
    if (Verdict v = trial_.compiled(program); !v.fine()) return no_answer(v) || found(v);
    running.clear();
    ++counts_.compiled;
    return true;
  }

 private:
  static inline const std::set<std::string> may_reassociate = {"rfactor", "reorder", "cache", "replace"};

  // Refused, or stopped as too long: counted, so that they stay few.
  bool no_answer(const Verdict& v) {
    if (v.oracle != "unproved") return false;
    ++counts_.unproved;
    if (verbose_) std::cerr << v.what;
    return true;
  }

  bool found(const Verdict& v) {
    ++counts_.mismatches;
    std::cerr << "\nFOUND by the " << v.oracle << ": " << v.what << "\n" << trial_.op().text;
    for (const auto& [dim, extent] : trial_.op().dims) std::cerr << "  " << dim << " = " << extent;
    std::cerr << "\n";
    for (const ir::StepCall& s : steps_) std::cerr << "  " << text_of(s) << "\n";
    const std::vector<ir::StepCall> fewer = reduced(v);
    if (fewer.size() < steps_.size()) std::cerr << "of these are enough:\n";
    for (const ir::StepCall& s : fewer.size() < steps_.size() ? fewer : std::vector<ir::StepCall>{})
      std::cerr << "  " << text_of(s) << "\n";
    std::cerr << "replay: " << replay_line << "\n";
    return false;
  }

  // The oracle's words on a list of steps, those that are refused left out.
  Verdict judged(const std::vector<ir::StepCall>& steps, std::vector<ir::StepCall>& applied) {
    ir::Program program = trial_.canonical();
    bool exact = !program.allow.contract;
    for (const ir::StepCall& call : steps) {
      Result<schedule::State> state = trial_.step(program, call);
      if (!state) continue;
      applied.push_back(call);
      program = std::move(state->program);
      exact = exact && !(program.allow.reassociate && may_reassociate.count(call.name));
    }
    if (Verdict v = trial_.well_formed(program); !v.fine()) return v;
    if (Verdict v = trial_.interpreted(program, exact); !v.fine()) return v;
    for (int tries = 4; tries > 0; --tries)  // targets are picked at random
      if (Verdict v = trial_.compiled(program); !v.fine()) return v;
    return {};
  }

  // Steps without which the same oracle still speaks are left out, the last ones first.
  std::vector<ir::StepCall> reduced(const Verdict& found) {
    std::vector<ir::StepCall> left = steps_;
    for (size_t i = left.size(); i-- > 0;) {
      std::vector<ir::StepCall> without = left, applied;
      without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
      if (judged(without, applied).oracle != found.oracle) continue;
      left = applied;
      i = std::min(i, left.size());
    }
    return left;
  }

  Random r_;
  Trial trial_;
  Counts& counts_;
  bool verbose_;
  std::vector<ir::StepCall> steps_;
};

struct Arguments {
  double seconds = 30;
  uint64_t seed = 1;
  int64_t pairs = -1;
  std::string json;
  bool verbose = false;
};

int run(const Arguments& a) {
  tell_of_crashes();
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
                      {"compiled", counts.compiled}, {"rejected_ops", counts.rejected_ops},
                      {"unproved", counts.unproved}};
  for (const auto& [name, n] : counts.by_step) j["by_step"][name] = {{"applied", n.first}, {"refused", n.second}};
  j["constructs"] = counts.constructs;
  j["with"] = counts.with;
  if (!a.json.empty()) std::ofstream(a.json) << j.dump(1) << "\n";
  std::cout << counts.pairs << " pairs, " << counts.applied << " steps applied, " << counts.refused << " refused, "
            << counts.compiled << " compiled, " << counts.unproved << " unproved, " << counts.rejected_ops
            << " ops rejected, " << counts.mismatches << " mismatches in " << static_cast<int>(seconds()) << " s\n";
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
