// The memory plan as text: a table of temporaries, and what the whole needs.
#include <algorithm>
#include <array>

#include "backend/host/lower.h"
#include "backend/host/memory_plan.h"
#include "ir/print.h"
#include "ir/prove.h"

namespace heddle::host {

namespace {

using ir::Expr;

std::string loop_name(const ir::Program& p, ir::SymbolId loop) {
  const ir::Symbol& s = p.symbol(loop);
  return s.owner.empty() ? s.name : s.owner + "." + s.name;
}

std::string buffer_name(const ir::Buffer& b) { return b.field.empty() ? b.name : b.name + "." + b.field; }

// A statement by what a reader of the program looks for.
std::string name_of(const ir::Program& p, const ir::StmtRef& s) {
  if (const auto* l = std::get_if<ir::For>(&s->form)) return loop_name(p, l->loop);
  if (const auto* l = std::get_if<ir::Leaf>(&s->form)) return p.stage(l->stage).name;
  if (const auto* r = std::get_if<ir::Reduce>(&s->form)) return "reduce " + p.buffer(r->windows.front().buffer).name;
  if (const auto* c = std::get_if<ir::Call>(&s->form)) return c->instr;
  return "check";
}

std::string life(const ir::Program& p, const Placement& q) {
  std::string text = q.inside.known() ? "in " + loop_name(p, q.inside) : "";
  if (!q.first) return text + (text.empty() ? "unused" : ", unused");
  const std::string first = name_of(p, q.first), last = name_of(p, q.last);
  return text + (text.empty() ? "" : ", ") + first + (q.first == q.last ? "" : " to " + last);
}

}  // namespace

Result<std::string> memory_text(const ir::Program& program, const ir::Target& target) {
  Result<ir::Program> lowered = lower(program, target);
  if (!lowered) return lowered.errors();
  Result<MemoryPlan> plan = plan_memory(*lowered);
  if (!plan) return plan.errors();
  const ir::Program& p = *lowered;
  std::vector<std::array<std::string, 5>> rows;
  for (size_t id = 0; id < plan->buffers.size(); ++id) {
    const Placement& q = plan->buffers[id];
    if (q.kind != Placement::Kind::registers && q.kind != Placement::Kind::arena) continue;
    const ir::Buffer& b = p.buffers[id];
    Expr bytes = ir::index_constant(ir::scalar_bytes(b.type));
    std::string shape;
    for (const Expr& e : q.extents) {
      bytes = bytes * e;
      shape += (shape.empty() ? "" : ", ") + ir::print(p, e);
    }
    const bool arena = q.kind == Placement::Kind::arena;
    rows.push_back(
        {buffer_name(b), std::string(ir::scalar_type_name(b.type)) + "[" + shape + "]",
         arena ? std::string(ir::memory_name(b.memory)) + " at byte " + ir::print(p, ir::simplify(q.offset)) + ","
               : "registers,",
         ir::print(p, ir::simplify(bytes)) + " bytes", life(p, q)});
  }
  std::array<size_t, 5> widths{};
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string out = "arena of each thread: " + ir::print(p, plan->bytes) + " bytes\n";
  for (const auto& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      // Place and bytes read as one.
      line += (i == 3 ? "" : " ") + row[i];
      if (i + 1 < row.size() && i != 2)
        line += std::string(widths[i] - row[i].size() + (i == 3 ? widths[2] - row[2].size() : 0), ' ') + " ";
      if (i == 2) line += " ";
    }
    out += line + "\n";
  }
  return out;
}

}  // namespace heddle::host
