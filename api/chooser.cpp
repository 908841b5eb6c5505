#include "api/chooser.h"

namespace heddle::api {

Result<Chooser> Chooser::make(const OpImpl& op, const CompileOptions& options) {
  Result<ir::Target> target = resolve_target(options.target);
  if (!target) return target.errors();
  Result<ir::Program> canonical = canonical_program(op, options);
  if (!canonical) return canonical.errors();
  Result<jit::CallPlan> plan = jit::CallPlan::make(*canonical);
  if (!plan) return plan.errors();
  Chooser out;
  out.plan_ = std::move(*plan);
  for (const ir::ScheduleText* s : candidates(op, options, *target)) {
    Result<ir::Expr> where = where_of(op, *canonical, *s, *target);
    if (!where) return where.errors();
    if (ir::is_constant(*where, 0)) continue;
    Row row;
    row.schedule = s->name;
    row.conditional = where->known();
    // A `where` that cannot be computed from dims never holds.
    if (row.conditional && !row.where.compile(*where, out.plan_.dim_symbols())) continue;
    bool last = !row.conditional;
    out.rows_.push_back(std::move(row));
    if (last) break;
  }
  return out;
}

const std::string& Chooser::choose(const jit::ArrayArg* arrays) const {
  if (rows_.empty()) return none_;
  if (!rows_.front().conditional) return rows_.front().schedule;
  std::vector<int64_t> dims(plan_.dim_count());
  if (plan_.bind_dims(arrays, dims.data()).kind) return none_;
  for (const Row& row : rows_) {
    int64_t holds = 0;
    if (!row.conditional || (row.where.run(dims.data(), holds) && holds)) return row.schedule;
  }
  return none_;
}

}  // namespace heddle::api
