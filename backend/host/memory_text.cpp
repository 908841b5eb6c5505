#include <algorithm>

#include "backend/host/lower.h"
#include "backend/host/memory_plan.h"
#include "ir/print.h"

namespace heddle::host {
namespace {

std::string shape(const ir::Program& program, const std::vector<ir::Expr>& extents) {
  std::string out = "[";
  for (const ir::Expr& e : extents) out += (out.size() > 1 ? ", " : "") + ir::print(program, e);
  return out + "]";
}

}  // namespace

Result<std::string> memory_text(const ir::Program& program) {
  Result<ir::Program> lowered = lower(program);
  if (!lowered) return lowered.errors();
  Result<MemoryPlan> plan = plan_memory(*lowered);
  if (!plan) return plan.errors();
  std::string out = "arena of each thread: " + ir::print(*lowered, plan->bytes) + " bytes\n";
  size_t wide = 0;
  for (const ir::Buffer& b : lowered->buffers) wide = std::max(wide, b.name.size() + b.field.size() + !b.field.empty());
  for (size_t i = 0; i < plan->buffers.size(); ++i) {
    const Placement& p = plan->buffers[i];
    const ir::Buffer& b = lowered->buffers[i];
    if (p.kind != Placement::Kind::registers && p.kind != Placement::Kind::arena) continue;
    std::string name = b.name + (b.field.empty() ? "" : "." + b.field);
    out += "  " + name + std::string(wide - name.size() + 2, ' ') + std::string(ir::scalar_type_name(b.type)) +
           shape(*lowered, p.extents);
    if (p.kind == Placement::Kind::registers)
      out += "  registers, " + std::to_string(p.elements * ir::scalar_bytes(b.type)) + " bytes\n";
    else out += "  " + std::string(ir::memory_name(b.memory)) + ", at byte " + ir::print(*lowered, p.offset) + "\n";
  }
  return out;
}

}  // namespace heddle::host
