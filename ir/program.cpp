#include "ir/program.h"

#include <cmath>

namespace heddle::ir {

StmtRef make_stmt(StmtForm form, Place place) {
  return std::make_shared<const Stmt>(Stmt{std::move(form), std::move(place)});
}

const Reducer* Program::reducer(const std::string& name) const {
  for (const Reducer& r : reducers)
    if (r.name == name) return &r;
  return nullptr;
}

const Instr* Program::instr(const std::string& name) const {
  for (const Instr& i : instrs)
    if (i.name == name) return &i;
  return nullptr;
}

std::vector<size_t> operand_dims(const Window& window) {
  std::vector<size_t> out;
  for (size_t d = 0; d < window.ranges.size(); ++d)
    if (!window.ranges[d].point) out.push_back(d);
  return out;
}

SymbolId Program::add(Symbol symbol) {
  symbols.push_back(std::move(symbol));
  return {static_cast<uint32_t>(symbols.size() - 1)};
}
BufferId Program::add(Buffer buffer) {
  buffers.push_back(std::move(buffer));
  return {static_cast<uint32_t>(buffers.size() - 1)};
}
StageId Program::add(Stage stage) {
  stages.push_back(std::move(stage));
  return {static_cast<uint32_t>(stages.size() - 1)};
}

std::vector<Reducer> builtin_reducers() {
  auto row = [](const char* name, BuiltinReducer builtin, bool exact) {
    Reducer r;
    r.name = name;
    r.builtin = builtin;
    r.exact = exact;
    return r;
  };
  return {
      row("sum", BuiltinReducer::sum, false), row("prod", BuiltinReducer::prod, false),
      row("max", BuiltinReducer::max, true),  row("min", BuiltinReducer::min, true),
      row("any", BuiltinReducer::any, true),  row("all", BuiltinReducer::all, true),
  };
}

Constant identity_of(BuiltinReducer reducer, ScalarType type) {
  const bool real = is_float(type);
  const double far = real && !scalar_row(type).has_infinity ? scalar_row(type).max_finite : HUGE_VAL;
  switch (reducer) {
    case BuiltinReducer::prod: return {1, 1};
    case BuiltinReducer::all: return {1, 1};
    case BuiltinReducer::max: return {real ? 0 : integer_min(type), -far};
    case BuiltinReducer::min: return {real ? 0 : integer_max(type), far};
    default: return {};
  }
}

bool exact_on(const Reducer& reducer, ScalarType type) {
  if (reducer.builtin == BuiltinReducer::sum || reducer.builtin == BuiltinReducer::prod) return !is_float(type);
  return reducer.exact;
}

namespace {
struct MemoryRow {
  Memory memory;
  const char* name;
};
constexpr MemoryRow memory_rows[] = {
    {Memory::dram, "dram"}, {Memory::l2, "l2"},     {Memory::l1, "l1"},     {Memory::registers, "registers"},
    {Memory::tile, "tile"}, {Memory::sbuf, "sbuf"}, {Memory::psum, "psum"},
};
}  // namespace

const char* memory_name(Memory memory) {
  for (const MemoryRow& row : memory_rows)
    if (row.memory == memory) return row.name;
  return "dram";
}

std::optional<Memory> parse_memory(std::string_view name) {
  for (const MemoryRow& row : memory_rows)
    if (row.name == name) return row.memory;
  return std::nullopt;
}

}  // namespace heddle::ir
