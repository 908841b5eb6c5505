// Damaged texts through the whole pipeline: nothing may crash, hang, or touch memory outside its arrays.
//
//   fuzz_source [--seconds N] [--seed S] [--texts N] [--json FILE] [--print]
//
// Texts run in a child process; when it dies or hangs, that is a finding and another child goes on with the next text. A finding
// prints the command that replays it (with --print: the text); exit code 1.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "tests/fuzz/source/mutate.h"
#include "tests/fuzz/source/run_text.h"

namespace heddle::fuzz {
namespace {

constexpr double longest_text = 2;  // seconds of processor time

struct Arguments {
  double seconds = 30;
  uint64_t seed = 1;
  int64_t texts = -1;
  std::string json;
  bool print = false;
};

// What parent and child both see.
struct Shared {
  volatile int64_t next;    // the text that runs, as an offset to the first seed
  volatile double started;  // processor time of the child then
  volatile int64_t findings;
  Counts counts;
};

double wall() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

std::string text_of(const std::vector<std::string>& texts, uint64_t seed, Random& r) {
  r = Random(seed);
  return mutated(texts, r);
}

void report(const Arguments& a, int64_t at, const std::string& what) {
  std::cerr << "\nFOUND: " << what << "\nreplay: ./dev fuzz source --texts 1 --print --seed "
            << a.seed + static_cast<uint64_t>(at) << "\n";
}

[[noreturn]] void child(const Arguments& a, const std::vector<std::string>& texts, Shared& s, double end) {
  for (int64_t i = s.next; (a.texts < 0 || i < a.texts) && wall() < end && s.findings < 10; s.next = ++i) {
    s.started = cpu_of(CLOCK_PROCESS_CPUTIME_ID);
    Random r(0);
    const std::string text = text_of(texts, a.seed + static_cast<uint64_t>(i), r);
    if (a.print) std::cerr << text << "\n";
    const std::string wrong = run_text(text, r, s.counts);
    if (wrong.empty()) continue;
    report(a, i, wrong);
    s.findings = s.findings + 1;
  }
  _exit(0);
}

// Waits for the child; false when it ended well.
bool died(pid_t pid, Shared& s, std::string& how) {
  clockid_t clock = 0;
  const bool timed = clock_getcpuclockid(pid, &clock) == 0;
  for (;;) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
      how = WIFSIGNALED(status) ? std::string("a crash: ") + strsignal(WTERMSIG(status)) : "the process ended";
      return true;
    }
    const int64_t at = s.next;
    const double used = timed ? cpu_of(clock) - s.started : 0;
    if (used > longest_text && at == s.next) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      how = "a hang: more than " + std::to_string(static_cast<int>(longest_text)) + " s of processor time";
      return true;
    }
    usleep(20'000);
  }
}

int run(const Arguments& a) {
  auto* s =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (s == MAP_FAILED) return 2;
  new (s) Shared{};
  const double start = wall(), end = a.texts >= 0 ? start + 1e9 : start + a.seconds;
  // Made in a child of its own: the parent must stay without threads.
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return 2;
  if (fork() == 0) {
    nlohmann::json list = seed_texts(HEDDLE_SOURCE_DIR);
    const std::string bytes = list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n = write(pipe_ends[1], bytes.data() + at, bytes.size() - at);
      if (n <= 0) _exit(2);
      at += static_cast<size_t>(n);
    }
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string bytes;
  char block[65536];
  for (ssize_t n; (n = read(pipe_ends[0], block, sizeof block)) > 0;) bytes.append(block, static_cast<size_t>(n));
  wait(nullptr);
  const auto texts = nlohmann::json::parse(bytes).get<std::vector<std::string>>();

  while ((a.texts < 0 || s->next < a.texts) && wall() < end && s->findings < 10) {
    s->started = 1e18;
    const pid_t pid = fork();
    if (pid == 0) child(a, texts, *s, end);
    std::string how;
    if (!died(pid, *s, how)) break;
    report(a, s->next, how);
    s->findings = s->findings + 1;
    s->next = s->next + 1;
  }
  const Counts& c = s->counts;
  const int64_t findings = s->findings;
  if (!a.json.empty())
    std::ofstream(a.json) << nlohmann::json{{"texts", c.texts},    {"parsed", c.parsed},     {"programs", c.programs},
                                            {"safe", c.safe},      {"compiled", c.compiled}, {"ran", c.ran},
                                            {"findings", findings}}
                                 .dump(1)
                          << "\n";
  std::cout << c.texts << " texts, " << c.parsed << " parsed, " << c.programs << " programs, " << c.safe
            << " shown safe, " << c.unproved << " not, " << c.compiled << " compiled, " << c.ran << " ran, " << findings
            << " findings in " << static_cast<int>(wall() - start) << " s\n";
  return findings ? 1 : 0;
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
    else if (word == "--texts" && more) a.texts = std::atoll(argv[++i]);
    else if (word == "--json" && more) a.json = argv[++i];
    else if (word == "--print") a.print = true;
    else {
      std::cerr << "usage: fuzz_source [--seconds N] [--seed S] [--texts N] [--json FILE] [--print]\n";
      return 2;
    }
  }
  return heddle::fuzz::run(a);
}
