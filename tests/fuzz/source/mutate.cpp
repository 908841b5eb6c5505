#include "tests/fuzz/source/mutate.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/heddle/heddle.h"

namespace heddle::fuzz {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  std::string all = text.str();
  return all.substr(0, all.find("\n----\n"));
}

// What schedules make of the ops of a text, printed: long programs that use most forms.
void add_programs(const std::string& text, std::vector<std::string>& out) {
  Result<Module> module = Module::parse(text);
  if (!module) return;
  for (const std::string& name : module->ops()) {
    Result<Op> op = module->op(name);
    CompileOptions options;
    for (const ParameterInfo& p : op->parameters()) {
      if (p.kind != ParameterInfo::Kind::array || (p.output && !p.inout)) continue;
      auto type = ir::parse_scalar_type(p.type);
      options.arrays.push_back({type.value_or(ScalarType::f32), std::vector<int64_t>(p.dims.size(), -1)});
    }
    std::vector<std::string> schedules = op->schedules();
    schedules.push_back("");
    for (const std::string& s : schedules) {
      options.schedule = s;
      options.target = "cpu/avx2";
      if (Result<Op::States> states = op->states(options); states && !states->states.empty())
        out.push_back(states->states.back().program);
    }
  }
}

struct Token {
  size_t begin, end;
};

bool word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::vector<Token> tokens_of(const std::string& text) {
  std::vector<Token> out;
  for (size_t i = 0; i < text.size();) {
    size_t from = i++;
    if (std::isspace(static_cast<unsigned char>(text[from]))) continue;
    if (word(text[from])) {
      while (i < text.size() && word(text[i])) ++i;
    } else if (i < text.size() && std::string("=&|<>.").find(text[from]) != std::string::npos &&
               std::string("=&|.<>-").find(text[i]) != std::string::npos) {
      ++i;
    }
    out.push_back({from, i});
  }
  return out;
}

std::vector<size_t> line_starts(const std::string& text) {
  std::vector<size_t> out{0};
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\n' && i + 1 < text.size()) out.push_back(i + 1);
  return out;
}

std::string line_at(const std::string& text, size_t from) {
  return text.substr(from, text.find('\n', from) - from + 1);
}

const std::vector<std::string>& words() {
  static const std::vector<std::string> list = {"parallel",
                                                "vector",
                                                "unrolled",
                                                "pipelined 2",
                                                "on partition",
                                                "recomputed",
                                                "nontemporal",
                                                "prefetch x by 2",
                                                "pipelined 2 at (0, 1)",
                                                "registers",
                                                "dram",
                                                "l1",
                                                "l2",
                                                "tile",
                                                "psum",
                                                "in",
                                                "out",
                                                "inout",
                                                "map",
                                                "reduce",
                                                "scan",
                                                "scatter",
                                                "sum",
                                                "prod",
                                                "max",
                                                "min",
                                                "argmax",
                                                "any",
                                                "all",
                                                "f32",
                                                "f64",
                                                "bf16",
                                                "i8",
                                                "i32",
                                                "i64",
                                                "u8",
                                                "u64",
                                                "bool",
                                                "where",
                                                "for",
                                                "at",
                                                "alloc",
                                                "check",
                                                "call",
                                                "stage",
                                                "let",
                                                "require",
                                                "or",
                                                "if",
                                                "then",
                                                "else",
                                                "&&",
                                                "||",
                                                "!",
                                                "==",
                                                "<",
                                                "<=",
                                                ">",
                                                ">=",
                                                "+",
                                                "-",
                                                "*",
                                                "/",
                                                "%",
                                                "<<",
                                                "(",
                                                ")",
                                                "[",
                                                "]",
                                                "{",
                                                "}",
                                                "..",
                                                ",",
                                                ":",
                                                "<-",
                                                "=",
                                                "index(",
                                                "widen(",
                                                "saturate(i8, ",
                                                "exp(",
                                                "ceildiv(",
                                                "min(",
                                                "0",
                                                "1",
                                                "2",
                                                "7",
                                                "16",
                                                "255",
                                                "256",
                                                "257",
                                                "1000000",
                                                "4611686018427387904",
                                                "9223372036854775807",
                                                "-1",
                                                "0.5",
                                                "1e300",
                                                "-inf",
                                                "nan",
                                                "facts",
                                                "allow",
                                                "n",
                                                "i",
                                                "y",
                                                "x",
                                                "layout(i) -> (i/2, i%2)",
                                                "pad 0",
                                                "copies 2"};
  return list;
}

void change_token(std::string& text, Random& r) {
  std::vector<Token> tokens = tokens_of(text);
  if (tokens.empty()) return;
  const Token at = tokens[r.below(static_cast<int>(tokens.size()))],
              other = tokens[r.below(static_cast<int>(tokens.size()))];
  std::string with = r.chance(60) ? text.substr(other.begin, other.end - other.begin) : r.pick(words());
  if (r.chance(15)) with.clear();
  if (r.chance(15)) with = text.substr(at.begin, at.end - at.begin) + " " + with;
  text.replace(at.begin, at.end - at.begin, with);
}

void change_number(std::string& text, Random& r) {
  std::vector<Token> numbers;
  for (const Token& t : tokens_of(text))
    if (std::isdigit(static_cast<unsigned char>(text[t.begin])) && t.end - t.begin < 10) numbers.push_back(t);
  if (numbers.empty()) return;
  const Token at = numbers[r.below(static_cast<int>(numbers.size()))];
  const long long old = std::atoll(text.substr(at.begin, at.end - at.begin).c_str());
  const long long value = r.pick({old + 1, old - 1, old * 2, old / 2, 0ll, 1ll, -old, old * 1000003, 1ll << 62, 3ll});
  text.replace(at.begin, at.end - at.begin, std::to_string(value));
}

void change_line(std::string& text, const std::string& other, Random& r) {
  std::vector<size_t> lines = line_starts(text);
  const size_t at = lines[r.below(static_cast<int>(lines.size()))];
  const std::string line = line_at(text, at);
  switch (r.below(4)) {
    case 0: text.erase(at, line.size()); break;
    case 1: text.insert(at, line); break;
    case 2: {
      const std::string moved = line_at(text, lines[r.below(static_cast<int>(lines.size()))]);
      text.replace(at, line.size(), moved);
      break;
    }
    default: {
      std::vector<size_t> there = line_starts(other);
      text.insert(at, line_at(other, there[r.below(static_cast<int>(there.size()))]));
    }
  }
}

void change_bytes(std::string& text, Random& r) {
  if (text.empty()) return;
  const size_t at = r.next() % text.size();
  switch (r.below(4)) {
    case 0: text[at] = static_cast<char>(r.next()); break;
    case 1: text.erase(at, 1 + r.below(8)); break;
    case 2:
      text.insert(at, 1, static_cast<char>(r.chance(80) ? 32 + r.below(95) : static_cast<int>(r.next() & 0xFF)));
      break;
    default: text.resize(at);
  }
}

// A piece of the text many times: deep nesting, long chains.
void repeat(std::string& text, Random& r) {
  std::vector<Token> tokens = tokens_of(text);
  if (tokens.empty()) return;
  const int from = r.below(static_cast<int>(tokens.size()));
  const int to = std::min<int>(from + 1 + r.below(6), static_cast<int>(tokens.size()) - 1);
  const std::string piece = " " + text.substr(tokens[from].begin, tokens[to].end - tokens[from].begin);
  std::string many;
  for (int i = r.pick({2, 3, 10, 100, 1000}); i-- > 0 && many.size() < 200'000;) many += piece;
  text.insert(tokens[from].begin, many);
}

}  // namespace

std::vector<std::string> seed_texts(const std::string& root) {
  std::vector<std::string> out;
  for (const char* folder : {"stdlib", "tests/golden/cases", "tests/grammar/corpus"}) {
    if (!fs::exists(fs::path(root) / folder)) continue;
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(root) / folder))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& path : files) {
      std::string text = read_file(path);
      if (text.size() > 64'000) continue;
      out.push_back(text);
      if (std::string(folder) == "stdlib") add_programs(text, out);
    }
  }
  return out;
}

std::string mutated(const std::vector<std::string>& texts, Random& r) {
  std::string text = r.pick(texts);
  const std::string& other = r.pick(texts);
  for (int changes = 1 + r.below(4); changes-- > 0;) {
    const int kind = r.below(100);
    if (kind < 40) change_token(text, r);
    else if (kind < 65) change_number(text, r);
    else if (kind < 85) change_line(text, other, r);
    else if (kind < 97) change_bytes(text, r);
    else repeat(text, r);
  }
  return text;
}

}  // namespace heddle::fuzz
