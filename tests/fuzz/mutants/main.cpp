// Planted faults: does testing notice them? For each kind of fault, random ops under random schedules are damaged by it, after the steps and
// between lowering passes, until an oracle speaks. A kind that no oracle notices within its time is a survivor.
//
//   fuzz_mutants [--seconds N] [--seed S] [--only WORD] [--json FILE]      N: for each kind and place
//
// Each kind runs in a process of its own: a damaged program may crash, which counts as noticed, as a touched fence does. Exit code 1 when one
// survives.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "backend/host/lower.h"
#include "backend/host/passes.h"
#include "backend/host/target.h"
#include "ir/safety.h"
#include "ir/verify.h"
#include "tests/fuzz/common/trial.h"
#include "tests/fuzz/mutants/faults.h"

namespace heddle::fuzz {
namespace {

struct Arguments {
  double seconds = 20;
  uint64_t seed = 1;
  std::string only, json;
};

/// Where a fault is planted: in what the steps made, or after some lowering pass.
enum class Site { steps, lowering };

// What parent and child both see.
struct Outcome {
  volatile int64_t planted;  // damaged programs that were judged
  volatile int64_t seed;     // of the op at hand
  volatile bool killed;
  char oracle[32];
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The program after some steps that apply.
ir::Program scheduled(Trial& trial, Random& r, bool& exact) {
  ir::Program program = trial.canonical();
  exact = !program.allow.contract && !program.allow.reassociate;
  for (int left = 1 + r.below(8); left > 0; --left) {
    ir::StepCall call;
    if (Result<schedule::State> state = trial.random_step(program, call)) program = std::move(state->program);
  }
  return program;
}

// Runs the passes with a fault after one of them; nothing when it fits nowhere.
std::optional<ir::Program> lowered_with(const Fault& fault, ir::Program program, Random& r) {
  const auto passes = host::lowering_passes();
  const size_t at = static_cast<size_t>(r.below(static_cast<int>(passes.size()) + 1));
  for (size_t i = 0; i <= passes.size(); ++i) {
    if (i < passes.size()) program = passes[i].run(std::move(program));
    else program = host::unswitch(std::move(program), *host::target_for_emission("cpu/avx2"));
    if (i != at) continue;
    std::optional<ir::Program> damaged = fault.plant(program, r);
    if (!damaged) return std::nullopt;
    program = std::move(*damaged);
    if (!ir::verify(program).empty()) return program;  // passes take only what obeys the invariants
  }
  return program;
}

// The first oracle that notices, or nothing.
std::string judged(Trial& trial, const ir::Program& program, Site site, bool exact) {
  if (!ir::verify(program).empty()) return "verifier";
  if (!ir::check_safety(program, {site == Site::steps, true}).empty()) return "safety";
  if (Verdict v = trial.interpreted(program, exact); !v.fine())
    return v.oracle == "unproved" ? "" : v.oracle;  // too long
  if (Verdict v = trial.compiled(program); !v.fine()) return v.oracle;
  return "";
}

// What the fault was planted into: an oracle that complains of this as well has noticed nothing.
ir::Program undamaged(ir::Program program, Site site) {
  if (site == Site::lowering)
    for (const host::LoweringPass& pass : host::lowering_passes()) program = pass.run(std::move(program));
  return program;
}

[[noreturn]] void child(const Fault& fault, Site site, uint64_t seed, double end, Outcome& out) {
  alarm(static_cast<unsigned>(end - now()) + 10);
  for (; now() < end; out.seed = out.seed + 1) {
    Random r(seed + static_cast<uint64_t>(out.seed));
    Trial trial(r);
    if (!trial.make().fine()) continue;
    bool exact = true;
    const ir::Program program = scheduled(trial, r, exact);
    std::optional<ir::Program> damaged =
        site == Site::steps ? fault.plant(program, r) : lowered_with(fault, program, r);
    if (!damaged) continue;
    out.planted = out.planted + 1;
    const std::string oracle = judged(trial, *damaged, site, exact);
    if (oracle.empty() || !judged(trial, undamaged(program, site), site, exact).empty()) continue;
    std::snprintf(out.oracle, sizeof out.oracle, "%s", oracle.c_str());
    out.killed = true;
    break;
  }
  _exit(0);
}

nlohmann::json hunt(const Fault& fault, Site site, const Arguments& a) {
  auto* out =
      static_cast<Outcome*>(mmap(nullptr, sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (out == MAP_FAILED) std::exit(2);
  new (out) Outcome{};
  const double start = now();
  const pid_t pid = fork();
  if (pid == 0) {
    std::freopen("/dev/null", "w", stderr);
    child(fault, site, a.seed, start + a.seconds, *out);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM) {
    out->killed = true;
    std::snprintf(out->oracle, sizeof out->oracle, "%s", "fence");
  }
  nlohmann::json row = {{"fault", fault.name},
                        {"what", fault.what},
                        {"after", site == Site::steps ? "steps" : "a pass"},
                        {"killed", bool{out->killed}},
                        {"by", out->oracle},
                        {"programs", int64_t{out->planted}},
                        {"seconds", std::round((now() - start) * 1000) / 1000}};
  munmap(out, sizeof(Outcome));
  return row;
}

int run(const Arguments& a) {
  nlohmann::json rows = nlohmann::json::array(), survivors = nlohmann::json::array();
  int killed = 0;
  std::printf("%-28s %-8s %-12s %9s %9s\n", "fault", "after", "noticed by", "programs", "seconds");
  for (const Fault& fault : faults())
    for (Site site : {Site::steps, Site::lowering}) {
      if (!a.only.empty() && std::string(fault.name).find(a.only) == std::string::npos) continue;
      nlohmann::json row = hunt(fault, site, a);
      const std::string name = row["fault"].get<std::string>() + " after " + row["after"].get<std::string>();
      if (row["killed"]) ++killed;
      else survivors.push_back(name);
      std::printf("%-28s %-8s %-12s %9lld %9.2f\n", fault.name, row["after"].get<std::string>().c_str(),
                  row["killed"] ? row["by"].get<std::string>().c_str() : "NOBODY",
                  static_cast<long long>(row["programs"].get<int64_t>()), row["seconds"].get<double>());
      std::fflush(stdout);
      rows.push_back(std::move(row));
    }
  std::printf("%zu faults, %d noticed, %zu survivors\n", rows.size(), killed, survivors.size());
  if (!a.json.empty())
    std::ofstream(a.json)
        << nlohmann::json{{"faults", rows.size()}, {"killed", killed}, {"survivors", survivors}, {"rows", rows}}.dump(1)
        << "\n";
  return survivors.empty() ? 0 : 1;
}

}  // namespace
}  // namespace heddle::fuzz

int main(int argc, char** argv) {
  heddle::fuzz::Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool more = i + 1 < argc;
    if (word == "--seconds" && more) a.seconds = std::atof(argv[++i]);
    else if (word == "--seed" && more) a.seed = std::strtoull(argv[++i], nullptr, 10);
    else if (word == "--only" && more) a.only = argv[++i];
    else if (word == "--json" && more) a.json = argv[++i];
    else {
      std::cerr << "usage: fuzz_mutants [--seconds N] [--seed S] [--only WORD] [--json FILE]\n";
      return 2;
    }
  }
  return heddle::fuzz::run(a);
}
