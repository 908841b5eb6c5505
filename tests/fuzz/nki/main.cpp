// Damaged NKI texts through the simulator: each ends in a result or a diagnostic, soon and inside its memory; a result is the same in
// every order that is tried.
//
//   fuzz_nki [--seconds N] [--seed S] [--texts N] [--json FILE] [--print]
//
// A finding prints the command that replays it; exit code 1.
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "backend/neuron/simulator/simulate.h"
#include "tests/fuzz/common/random.h"

namespace heddle::fuzz {
namespace {

namespace sim = neuron::sim;
using ir::ScalarType;

constexpr int longest_text = 20;  // seconds of processor time

char now_running[128];  // the replay command, for the handler

void on_signal(int number) {
  const char* what = number == SIGVTALRM ? "\nFOUND: a hang\nreplay: " : "\nFOUND: a crash\nreplay: ";
  (void)!write(2, what, std::strlen(what));
  (void)!write(2, now_running, std::strlen(now_running));
  _exit(1);
}

std::vector<std::string> seeds() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(HEDDLE_SOURCE_DIR) + "/tests/nki")) {
    if (entry.path().extension() != ".py") continue;
    std::ifstream file(entry.path());
    out.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Words, spaces and single symbols.
std::vector<std::string> pieces(const std::string& text) {
  std::vector<std::string> out;
  auto kind = [](unsigned char c) { return std::isalnum(c) || c == '_' ? 1 : c == ' ' ? 2 : 0; };
  for (size_t i = 0; i < text.size();) {
    size_t j = i + 1;
    while (j < text.size() && kind(text[i]) && kind(text[j]) == kind(text[i])) ++j;
    out.push_back(text.substr(i, j - i));
    i = j;
  }
  return out;
}

std::string damaged(const std::vector<std::string>& texts, Random& r) {
  std::vector<std::string> p = pieces(r.pick(texts));
  const std::vector<std::string> other = pieces(r.pick(texts));
  const int changes = r.below(4);
  for (int i = 0; i < changes && !p.empty(); ++i) {
    const size_t at = r.below(static_cast<int>(p.size()));
    switch (r.below(8)) {
      case 0: p.erase(p.begin() + at); break;
      case 1: p.insert(p.begin() + at, p[r.below(static_cast<int>(p.size()))]); break;
      case 2: {  // a word for a word, a symbol for a symbol
        const size_t from = r.below(static_cast<int>(other.size()));
        for (size_t k = from; k < other.size(); ++k)
          if (std::isalpha(static_cast<unsigned char>(other[k][0])) &&
              std::isalpha(static_cast<unsigned char>(p[at][0]))) {
            p[at] = other[k];
            break;
          }
        break;
      }
      case 3: std::swap(p[at], p[r.below(static_cast<int>(p.size()))]); break;
      case 4:  // another number where one stands
      case 5:
        for (size_t k = at; k < p.size(); ++k)
          if (std::isdigit(static_cast<unsigned char>(p[k][0]))) {
            p[k] = r.pick<const char*>({"0",    "1",   "2",     "3",     "7",          "31",
                                        "32",   "33",  "64",    "127",   "128",        "129",
                                        "512",  "513", "65535", "65536", "2147483647", "9223372036854775807",
                                        "1e39", "0.5"});
            break;
          }
        break;
      case 6: {  // a whole line again, or gone
        std::string joined;
        for (const std::string& s : p) joined += s;
        std::vector<std::string> lines;
        for (size_t from = 0; from <= joined.size();) {
          size_t end = std::min(joined.find('\n', from), joined.size());
          lines.push_back(joined.substr(from, end - from) + "\n");
          from = end + 1;
        }
        const size_t a = r.below(static_cast<int>(lines.size())), b = r.below(static_cast<int>(lines.size()));
        if (r.chance(50)) lines.erase(lines.begin() + a);
        else lines.insert(lines.begin() + a, lines[b]);
        joined.clear();
        for (const std::string& l : lines) joined += l;
        p = pieces(joined);
        break;
      }
      default:
        if (r.chance(20)) p.insert(p.begin() + at, std::string(1, static_cast<char>(r.below(256))));
        break;
    }
  }
  std::string out;
  for (const std::string& s : p) out += s;
  return out;
}

// An array for each parameter of the text, or a number where the seeds take one; now and then too few or too many.
std::vector<sim::SimArgument> arguments(const std::string& text, Random& r) {
  std::vector<sim::SimArgument> out;
  const int64_t a = r.pick<int64_t>({1, 4, 20, 100, 130}), b = r.pick<int64_t>({1, 8, 40, 128, 200});
  const ScalarType type = r.pick<ScalarType>({ScalarType::f32, ScalarType::f32, ScalarType::bf16});
  const bool square = r.chance(30);
  auto array = [&](std::vector<int64_t> extents) {
    sim::SimArray x{type, std::move(extents), {}};
    int64_t n = ir::scalar_bytes(type);
    for (int64_t e : x.extents) n *= e;
    x.bytes.resize(n);
    for (size_t k = 0; k + 3 < x.bytes.size(); k += 4) {
      float value = static_cast<float>(r.below(2000) - 1000) / 256;
      std::memcpy(x.bytes.data() + k, &value, 4);  // of bf16 every second one is a small number
    }
    out.emplace_back(std::move(x));
  };
  size_t at = std::min(text.find("def "), text.size()), open = text.find('(', at), close = text.find(')', at);
  if (open != std::string::npos && close != std::string::npos && open < close)
    for (const std::string& word : pieces(text.substr(open, close - open))) {
      if (!std::isalpha(static_cast<unsigned char>(word[0]))) continue;
      if (word == "eps" || word == "scale") out.emplace_back(0.25);
      else if (word == "g" || word == "b") array({b});
      else if (word == "v") array(square ? std::vector<int64_t>{b, b} : std::vector<int64_t>{b, a});
      else array(square ? std::vector<int64_t>{b, b} : std::vector<int64_t>{a, b});
    }
  if (r.chance(3)) array({a, b});
  if (r.chance(3) && !out.empty()) out.pop_back();
  return out;
}

struct Counts {
  int64_t texts = 0, ran = 0;
  std::map<std::string, int64_t> refused;
};

// Empty, or what is wrong.
std::string run_one(const std::string& text, Random& r, Counts& counts) {
  const std::vector<sim::SimArgument> args = arguments(text, r);
  sim::SimulateOptions options;
  options.target = r.pick<const char*>({"trn1", "trn2", "trn2", "trn3"});
  options.max_instructions = 5'000;
  options.timeline = r.chance(10);
  options.seed = r.next();
  ++counts.texts;
  Result<sim::Simulation> first = sim::simulate(text, "<fuzz>", args, options);
  if (!first) {
    const Diagnostic& d = first.errors().front();
    if (d.code.substr(0, 4) != "HD06" || d.message.empty()) return "a strange diagnostic: " + render(first.errors());
    render(first.errors());
    ++counts.refused[d.code];
    return {};
  }
  ++counts.ran;
  if (options.timeline) timeline_json(first->report), timeline_svg(first->report);
  for (int i = 0; i < 2; ++i) {
    options.seed = r.next();
    options.shuffle = i == 0;
    Result<sim::Simulation> again = sim::simulate(text, "<fuzz>", args, options);
    if (!again) return "refused in another order: " + render(again.errors());
    for (size_t k = 0; k < first->outputs.size(); ++k)
      if (first->outputs[k].bytes != again->outputs[k].bytes) return "an order changes the answer";
    if (first->report.ns != again->report.ns) return "the modelled time changes";
  }
  return {};
}

int run(double seconds, uint64_t seed, int64_t most, bool print, const std::string& json) {
  const std::vector<std::string> texts = seeds();
  for (int s : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGVTALRM}) std::signal(s, on_signal);
  const auto start = std::chrono::steady_clock::now();
  auto spent = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  Counts counts;
  int findings = 0;
  for (int64_t i = 0; (most < 0 ? spent() < seconds : i < most) && findings < 10; ++i) {
    std::snprintf(now_running, sizeof now_running, "./dev fuzz nki --texts 1 --print --seed %llu\n",
                  static_cast<unsigned long long>(seed + i));
    itimerval limit{{0, 0}, {longest_text, 0}};
    setitimer(ITIMER_VIRTUAL, &limit, nullptr);
    Random r(seed + i);
    const std::string text = damaged(texts, r);
    if (print) std::cerr << text << "\n";
    const std::string wrong = run_one(text, r, counts);
    if (wrong.empty()) continue;
    ++findings;
    std::cerr << "\nFOUND: " << wrong << "\nreplay: " << now_running;
  }
  if (!json.empty())
    std::ofstream(json) << nlohmann::json{{"texts", counts.texts},
                                          {"ran", counts.ran},
                                          {"refused", counts.refused},
                                          {"findings", findings}}
                               .dump(1)
                        << "\n";
  std::cout << counts.texts << " texts, " << counts.ran << " ran in three orders, " << findings << " findings in "
            << static_cast<int>(spent()) << " s\n";
  return findings ? 1 : 0;
}

}  // namespace
}  // namespace heddle::fuzz

int main(int argc, char** argv) {
  double seconds = 30;
  uint64_t seed = 1;
  int64_t texts = -1;
  bool print = false;
  std::string json;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "0";
    if (word == "--print") print = true;
    else if (word == "--seconds") seconds = std::atof(value), ++i;
    else if (word == "--seed") seed = std::strtoull(value, nullptr, 10), ++i;
    else if (word == "--texts") texts = std::atoll(value), ++i;
    else if (word == "--json") json = value, ++i;
    else {
      std::cerr << "unknown option `" << word << "`\n";
      return 2;
    }
  }
  return heddle::fuzz::run(seconds, seed, texts, print, json);
}
