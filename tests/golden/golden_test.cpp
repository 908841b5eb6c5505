// Golden files: input and expectation in one text. The first line says what runs, the text follows, and after a line of dashes what must
// come out. `golden --update` rewrites the expectations; a failing case prints the command that accepts it.
//
//   // golden: check                                    the diagnostics of the text and its schedules, or `ok`
//   // golden: lower OP [SCHEDULE] TYPE[..] .. WORD..   the program after the schedule, or the refusal
//   // golden: states OP SCHEDULE ..                    every state with its certificate
//   // golden: program                                  each printed program of the text, read and printed again
//   // golden: nki OP SCHEDULE ..                       NKI text, target:neuron/trn2 and profile:basic as words, or the refusal
//   // golden: compile [TARGET]                         `ok` for each printed program that becomes machine code, else why not
//
// WORD: const:stride=2  fix:cols=1024  tune:block=8  target:cpu/avx2. Every program that is printed must read back to the same program.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "api/heddle/heddle.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;
const char* const separator = "----\n";
bool update = false;

struct Case {
  std::string command, text, expected;
};

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Case parse_case(const std::string& all) {
  Case c;
  const std::string mark = "// golden: ";
  size_t end = all.find('\n');
  if (all.compare(0, mark.size(), mark) == 0) c.command = all.substr(mark.size(), end - mark.size());
  size_t split = all.find(std::string("\n") + separator);
  c.text = all.substr(0, split == std::string::npos ? all.size() : split + 1);
  if (split != std::string::npos) c.expected = all.substr(split + 1 + std::strlen(separator));
  return c;
}

std::string errors(const Diagnostics& d) { return render(d); }

// The printed program must be legal input that prints the same.
std::string reads_back(const std::string& program) {
  Result<Module> module = Module::parse(program, "<printed>");
  if (!module) return "the printed program does not read back:\n" + errors(module.errors());
  Result<Program> again = module->program(module->programs().back());
  if (!again) return "the printed program does not read back:\n" + errors(again.errors());
  std::string second = again->text();
  return second == program ? "" : "the printed program reads back to another one:\n" + second;
}

struct Request {
  std::string op;
  CompileOptions options;
  NeuronOptions neuron;
};

Request parse_request(std::istringstream& words) {
  Request r;
  r.options.schedule = "";
  words >> r.op;
  for (std::string word; words >> word;) {
    size_t colon = word.find(':'), equals = word.find('='), bracket = word.find('[');
    if (colon != std::string::npos && word.compare(0, 7, "target:") == 0) {
      r.options.target = word.substr(7);
    } else if (word.compare(0, 8, "profile:") == 0) {
      r.neuron.profile = word.substr(8);
    } else if (word.compare(0, 7, "budget:") == 0) {
      r.neuron.instructions = std::stoll(word.substr(7));
    } else if (colon != std::string::npos) {
      std::string kind = word.substr(0, colon), name = word.substr(colon + 1, equals - colon - 1);
      auto& map = kind == "fix" ? r.options.fix : kind == "tune" ? r.options.tune : r.options.consts;
      map[name] = std::stoll(word.substr(equals + 1));
    } else if (bracket != std::string::npos) {
      Spec spec;
      spec.type = *ir::parse_scalar_type(word.substr(0, bracket));
      std::istringstream dims(word.substr(bracket + 1, word.size() - bracket - 2));
      for (std::string dim; std::getline(dims, dim, ',');) spec.extents.push_back(dim == "?" ? -1 : std::stoll(dim));
      r.options.arrays.push_back(spec);
    } else {
      r.options.schedule = word;
    }
  }
  return r;
}

std::string run_program(const Module& module) {
  std::string out;
  for (const std::string& name : module.programs()) {
    Result<Program> program = module.program(name);
    if (!program) return errors(program.errors());
    out += program->text();
    out += reads_back(program->text());
  }
  return out;
}

std::string run_compile(const Module& module, std::istringstream& words) {
  std::string out, target = "cpu/x86-64-v2";
  words >> target;
  for (const std::string& name : module.programs()) {
    Result<Program> program = module.program(name);
    if (!program) {
      out += errors(program.errors());
      continue;
    }
    Result<Kernel> kernel = program->compile(target);
    out += kernel ? "ok\n" : errors(kernel.errors());
  }
  return out;
}

std::string run_states(const Module& module, std::istringstream& words, bool all) {
  Request r = parse_request(words);
  Result<Op> op = module.op(r.op);
  if (!op) return errors(op.errors());
  Result<Op::States> states = op->states(r.options);
  if (!states) return errors(states.errors());
  std::string out;
  for (size_t i = 0; i < states->states.size(); ++i) {
    const StateInfo& s = states->states[i];
    std::string wrong = reads_back(s.program);
    bool last = i + 1 == states->states.size();
    if (all) {
      out += "after: " + (s.step.empty() ? "(canonical)" : s.step) + "\n";
      for (const std::string& line : s.certificate) out += "  relies on: " + line + "\n";
    }
    if (all || (last && states->refusal.empty())) out += s.program;
    out += wrong;
  }
  return out + errors(states->refusal);
}

std::string run_nki(const Module& module, std::istringstream& words) {
  Request r = parse_request(words);
  if (r.options.target == "auto") r.options.target = "neuron/trn2";
  Result<Op> op = module.op(r.op);
  if (!op) return errors(op.errors());
  Result<NeuronText> text = op->neuron(r.options, r.neuron);
  return text ? text->nki : errors(text.errors());
}

std::string run(const Case& c) {
  std::istringstream words(c.command);
  std::string mode;
  words >> mode;
  Result<Module> module = Module::parse(c.text, "case.hd");
  if (mode == "check") {
    Diagnostics found = module ? module->check_schedules() : module.errors();
    return found.empty() ? "ok\n" : errors(found);
  }
  if (!module) return errors(module.errors());
  if (mode == "program") return run_program(*module);
  if (mode == "nki") return run_nki(*module, words);
  if (mode == "compile") return run_compile(*module, words);
  if (mode == "lower" || mode == "states") return run_states(*module, words, mode == "states");
  return "unknown command `" + mode + "`\n";
}

class Golden : public testing::Test {
 public:
  explicit Golden(fs::path path) : path_(std::move(path)) {}
  void TestBody() override {
    std::string all = read_file(path_);
    Case c = parse_case(all);
    std::string seen = run(c);
    if (seen == c.expected) return;
    if (update) {
      std::ofstream(path_, std::ios::binary) << c.text << separator << seen;
      std::cout << "updated " << path_ << "\n";
      return;
    }
    FAIL() << path_.string() << "\nseen:\n"
           << seen << "expected:\n"
           << c.expected << "accept it: ./dev run golden --update --gtest_filter='"
           << "*" << path_.stem().string() << "'";
  }

 private:
  fs::path path_;
};

void register_cases() {
  fs::path root = fs::path(HEDDLE_SOURCE_DIR) / "tests/golden/cases";
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.path().extension() == ".hd") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& path : files) {
    std::string suite = path.parent_path().filename().string();
    testing::RegisterTest(suite.c_str(), path.stem().c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [path]() -> testing::Test* { return new Golden(path); });
  }
}

}  // namespace
}  // namespace heddle

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i)
    if (std::string(argv[i]) == "--update") heddle::update = true;
  heddle::register_cases();
  return RUN_ALL_TESTS();
}
