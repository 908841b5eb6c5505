#include "api/chooser.h"

#include "support/bytes.h"

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

std::string Chooser::bytes() const {
  ByteWriter out;
  plan_.write(out);
  out.list(rows_, [&](const Row& r) {
    out.text(r.schedule);
    out.put(r.conditional);
    r.where.write(out);
  });
  return out.take();
}

std::optional<Chooser> Chooser::of_bytes(std::string_view bytes) {
  ByteReader in(bytes);
  std::optional<jit::CallPlan> plan = jit::CallPlan::read(in);
  if (!plan) return {};
  Chooser out;
  out.plan_ = std::move(*plan);
  bool good = true;
  in.list([&] {
    Row& r = out.rows_.emplace_back();
    r.schedule = in.text();
    r.conditional = in.get<bool>();
    good &= r.where.read(in, out.plan_.dim_count());
  });
  if (!good || !in.done()) return {};
  return out;
}

Result<Chooser> Chooser::find_or_make(const OpImpl& op, const CompileOptions& options) {
  Result<ir::Target> target = resolve_target(options.target);
  if (!target) return target.errors();
  const std::string key = chooser_key(op, options, *target);
  if (key.empty()) return make(op, options);
  jit::DiskCache& cache = session().cache();
  if (std::optional<std::string> found = cache.find(key))
    if (std::optional<Chooser> known = of_bytes(*found)) return std::move(*known);
  Result<Chooser> made = make(op, options);
  if (made) cache.store(key, made->bytes());
  return made;
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
