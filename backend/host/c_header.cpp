#include "backend/host/c_header.h"

#include <algorithm>

#include "ir/print.h"

namespace heddle::host {

namespace {

const char* c_type(ir::ScalarType type) {
  using S = ir::ScalarType;
  switch (type) {
    case S::f64: return "double";
    case S::f32: return "float";
    case S::f16:
    case S::bf16: return "uint16_t";
    case S::i8: return "int8_t";
    case S::i16: return "int16_t";
    case S::i32: return "int32_t";
    case S::i64: return "int64_t";
    case S::u16: return "uint16_t";
    case S::u32: return "uint32_t";
    case S::u64: return "uint64_t";
    default: return "uint8_t";
  }
}

const char* const before = R"(
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef HEDDLE_THREADS
#define HEDDLE_THREADS
struct heddle_context;
/* A part of a parallel loop: iterations begin .. end. `thread` is below the number of threads, and no two parts that run at the
   same time have the same. */
typedef int64_t (*heddle_body)(struct heddle_context* context, void* closure, int64_t thread, int64_t begin, int64_t end);
/* How parallel loops run. `parallel_for` runs the body over parts of 0 .. n and returns when all are done: 0, or the first result
   that is not. It finds `pool` as the second word of the context. */
typedef struct heddle_threads {
  int64_t count;
  int64_t (*parallel_for)(struct heddle_context* context, heddle_body body, void* closure, int64_t n);
  void* pool;
} heddle_threads;
enum {
  heddle_ok = 0,
  heddle_check_failed = 1, /* data points outside of an array; outputs are incomplete, nothing else was written */
  heddle_unmet = 3,        /* a dim is negative, or a requirement does not hold; nothing was done */
  heddle_no_workspace = 4  /* `workspace` is null, and some is needed; nothing was done */
};
#endif
)";

}  // namespace

std::string c_name(const std::string& name) {
  static const std::vector<std::string> words = {
      "auto",   "break",    "case",     "char",     "const",     "continue", "default", "do",     "double",
      "else",   "enum",     "extern",   "float",    "for",       "goto",     "if",      "inline", "int",
      "long",   "register", "restrict", "return",   "short",     "signed",   "sizeof",  "static", "struct",
      "switch", "typedef",  "union",    "unsigned", "void",      "volatile", "while",   "class",  "new",
      "delete", "this",     "template", "operator", "workspace", "threads",  "bool",    "true",   "false"};
  std::string out = name;
  std::replace(out.begin(), out.end(), '.', '_');
  std::replace(out.begin(), out.end(), '@', '_');
  return std::find(words.begin(), words.end(), out) == words.end() ? out : out + "_";
}

std::string c_header(const ir::Program& p, const std::string& name, const std::string& target,
                     const std::vector<ir::Check>& checks) {
  std::string guard = name + "_H";
  std::transform(guard.begin(), guard.end(), guard.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string arrays, dims, scalars, notes;
  auto add = [](std::string& list, const std::string& one) { list += one + ", "; };
  for (const ir::Parameter& q : p.parameters) {
    if (!q.buffer.known()) {
      const ir::Symbol& s = p.symbol(q.scalar);
      const bool real = s.type == ir::ScalarType::f32 || s.type == ir::ScalarType::f64;
      add(scalars, std::string(real ? c_type(s.type) : "int64_t") + " " + c_name(s.name));
      if (q.default_value.known()) notes += "     " + s.name + " is " + ir::print(p, q.default_value) + " by default\n";
      continue;
    }
    const ir::Buffer& b = p.buffer(q.buffer);
    add(arrays, std::string(b.role == ir::Role::in ? "const " : "") + c_type(b.type) + "* " + c_name(b.name));
    std::string shape;
    for (const ir::BoxDim& d : b.box) shape += (shape.empty() ? "" : ", ") + ir::print(p, d.hi - d.lo);
    notes += "     " + b.name + ": " + std::string(ir::scalar_type_name(b.type)) + "[" + shape + "]";
    if (b.role == ir::Role::out) notes += ", written";
    if (b.role == ir::Role::inout) notes += ", updated";
    if (b.layout) {
      notes += ", packed as (";
      for (size_t i = 0; i < b.layout->to.size(); ++i) notes += (i ? ", " : "") + ir::print(p, b.layout->to[i]);
      notes += ")";
    }
    notes += "\n";
  }
  for (const ir::DimDefinition& d : p.dims)
    if (!d.value.known()) add(dims, "int64_t " + c_name(p.symbol(d.dim).name));
  for (const ir::DimDefinition& d : p.dims)
    if (d.value.known()) notes += "     " + p.symbol(d.dim).name + " = " + ir::print(p, d.value) + "\n";
  for (const ir::Requirement& r : p.requirements)
    notes += "     requires " + ir::print(p, r.condition) + ": " + r.text + "\n";
  for (const ir::Check& c : checks) notes += "     checks: " + c.text + "\n";
  // Nothing that a text says may end the comment.
  for (size_t at; (at = notes.find("*/")) != std::string::npos;) notes.replace(at, 2, "* /");
  std::string out = "/* `" + p.name + "` for " + target + ". Made by Heddle, and needs nothing of it to run. */\n";
  out += "#ifndef " + guard + "\n#define " + guard + "\n" + before;
  out += "\n/* Arrays are dense and row-major; outputs overlap nothing else.\n" + notes;
  out += "   `workspace`: " + name +
         "_workspace(..) bytes at a multiple of 64, or null where that is 0. `threads`: null for the calling\n"
         "   thread alone. */\n";
  out += "int64_t " + name + "(" + arrays + dims + scalars + "void* workspace, const heddle_threads* threads);\n";
  out += "/* Bytes of workspace for these dims and number of threads; -1 where there is no such size. */\n";
  out += "int64_t " + name + "_workspace(" + dims + "int64_t threads);\n";
  return out + "\n#ifdef __cplusplus\n}\n#endif\n#endif\n";
}

}  // namespace heddle::host
