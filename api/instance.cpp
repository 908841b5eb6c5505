// What the arrays of a request say about an op: the types of its generics, the ranks of its packs, values of its consts.
#include <algorithm>
#include <set>

#include "api/codes.h"
#include "api/impl.h"
#include "jit/codes.h"

namespace heddle::api {
namespace {

using Kind = frontend::SignatureParam::Kind;

Result<Done> bind_type(const frontend::SignatureParam& p, const Spec& spec, frontend::Instance& out) {
  if (p.type) {
    if (*p.type == spec.type) return Done{};
    return Diagnostic(jit::codes::wrong_type, p.place,
                      "the argument `" + p.name + "` has elements of type `" +
                          std::string(ir::scalar_type_name(spec.type)) + "`, declared `" + p.type_text + "`");
  }
  auto [at, fresh] = out.types.try_emplace(p.type_text, spec.type);
  if (fresh || at->second == spec.type) return Done{};
  return Diagnostic(jit::codes::wrong_type, p.place,
                    "the argument `" + p.name + "` has elements of type `" +
                        std::string(ir::scalar_type_name(spec.type)) + "`, but `" + p.type_text + "` is `" +
                        std::string(ir::scalar_type_name(at->second)) + "` from an argument before");
}

Result<Done> bind_rank(const frontend::SignatureParam& p, const Spec& spec, frontend::Instance& out) {
  int rank = static_cast<int>(spec.extents.size());
  int rest = rank - p.fixed_rank;
  bool fits = p.packs.empty() ? rest == 0 : rest >= 0;
  std::string dims;
  for (const std::string& d : p.dims) dims += (dims.empty() ? "" : ", ") + d;
  if (fits && p.packs.size() == 1) {
    auto [at, fresh] = out.packs.try_emplace(p.packs.front(), rest);
    fits = fresh || at->second == rest;
  }
  if (fits) return Done{};
  return Diagnostic(jit::codes::wrong_rank, p.place,
                    "the argument `" + p.name + "` has " + std::to_string(rank) + (rank == 1 ? " axis" : " axes") +
                        "; it is declared [" + dims + "]");
}

}  // namespace

Result<frontend::Instance> instance_for(const OpImpl& op, const CompileOptions& options) {
  const frontend::OpSignature& signature = op.module->module().op(op.name)->signature;
  frontend::Instance out;
  size_t next = 0;
  std::vector<std::string> consts;
  for (const frontend::SignatureParam& p : signature.params) {
    if (p.kind == Kind::constant) {
      consts.push_back(p.name);
      auto given = options.consts.find(p.name);
      if (given != options.consts.end()) out.consts[p.name] = given->second;
      else if (p.default_text.empty())
        return Diagnostic(codes::wrong_arguments, p.place,
                          "the const `" + p.name + "` is not given and has no default");
    }
    if (p.kind != Kind::array && p.kind != Kind::inout) continue;
    if (next == options.arrays.size())
      return Diagnostic(codes::wrong_arguments, p.place, "the array `" + p.name + "` is not given");
    const Spec& spec = options.arrays[next++];
    if (Result<Done> r = bind_type(p, spec, out); !r) return r.errors();
    if (Result<Done> r = bind_rank(p, spec, out); !r) return r.errors();
  }
  if (next != options.arrays.size())
    return Diagnostic(
        codes::wrong_arguments, {},
        std::to_string(options.arrays.size()) + " arrays are given; `" + op.name + "` takes " + std::to_string(next));
  for (const auto& [name, value] : options.consts)
    if (std::find(consts.begin(), consts.end(), name) == consts.end())
      return Diagnostic(codes::wrong_arguments, {}, "`" + op.name + "` has no const `" + name + "`");
  return out;
}

namespace {

// The `round`th type of each generic, f32 first; each pack with so many axes.
CompileOptions request_of(const OpImpl& op, size_t round, size_t rank = 1) {
  const frontend::OpSignature& signature = op.module->module().op(op.name)->signature;
  std::map<std::string, ScalarType> types;
  for (const frontend::GenericParam& g : signature.generics) {
    const std::span<const ScalarType> all = ir::class_members(g.cls);
    std::vector<ScalarType> members(all.begin(), all.end());
    auto f32 = std::find(members.begin(), members.end(), ScalarType::f32);
    if (f32 != members.end()) std::rotate(members.begin(), f32, f32 + 1);
    types[g.name] = members.empty() ? ScalarType::f32 : members[round % members.size()];
  }
  CompileOptions out;
  for (const frontend::SignatureParam& p : signature.params) {
    if (p.kind == Kind::constant && p.default_text.empty()) out.consts[p.name] = 1;
    if (p.kind != Kind::array && p.kind != Kind::inout) continue;
    Spec spec{p.type ? *p.type : types[p.type_text], {}, true};
    spec.extents.assign(p.fixed_rank + rank * p.packs.size(), -1);
    out.arrays.push_back(std::move(spec));
  }
  return out;
}

// The integers of a condition, and whether it names the const.
bool integers_of(const ir::Term& t, const std::string& name, std::set<int64_t>& out) {
  bool named = t.kind == ir::Term::Kind::path && t.text == name;
  if (t.kind == ir::Term::Kind::integer) out.insert(t.integer);
  for (const ir::Term& a : t.args) named |= integers_of(a, name, out);
  return named;
}

// Of a const that the condition names, or one of a schedule that is applied: small numbers, and the integers of the condition with their
// neighbours, beside each choice so far.
void add_values(const ir::Term& where, const std::string& name, bool applies,
                std::vector<std::map<std::string, int64_t>>& choices) {
  constexpr size_t most = 64;  // each is a check of the op
  std::set<int64_t> near = {0, 1, 2, 3, 4};
  if (!integers_of(where, name, near) && !applies) return;
  for (int64_t n : std::set<int64_t>(near))
    for (int64_t beside : {n - 1, n + 1}) near.insert(beside);
  std::vector<int64_t> values(near.begin(), near.end());
  // Sizes and strides are mostly positive.
  std::rotate(values.begin(), std::upper_bound(values.begin(), values.end(), 0), values.end());
  const size_t before = choices.size();
  for (int64_t value : values)
    for (size_t i = 0; i < before && choices.size() < most; ++i) {
      choices.push_back(choices[i]);
      choices.back()[name] = value;
    }
}

}  // namespace

bool dims_of_request(const jit::CallPlan& plan, const CompileOptions& options, std::vector<int64_t>& dims) {
  std::vector<jit::ArrayArg> args(plan.array_count());
  size_t next = 0;
  for (int i = 0; i < plan.array_count(); ++i) {
    if (plan.arrays()[i].role == ir::Role::out) continue;
    if (next >= options.arrays.size()) return false;
    const Spec& spec = options.arrays[next++];
    if (std::any_of(spec.extents.begin(), spec.extents.end(), [](int64_t extent) { return extent < 0; })) return false;
    args[i] = {spec.type, static_cast<int>(spec.extents.size()), spec.extents.data(), nullptr, nullptr, false};
  }
  dims.resize(plan.dim_count());
  return !plan.bind_dims(args.data(), dims.data()).kind;
}

CompileOptions typical_request(const OpImpl& op, const ir::ScheduleText* schedule) {
  const frontend::OpSignature& signature = op.module->module().op(op.name)->signature;
  size_t rounds = 1;
  for (const frontend::GenericParam& g : signature.generics) rounds = std::max(rounds, ir::class_members(g.cls).size());
  const bool applies = schedule && has_step(schedule->lines, "apply");
  if (!schedule || (!schedule->has_where && !applies)) return request_of(op, 0);
  std::vector<std::map<std::string, int64_t>> consts = {{}};
  for (const frontend::SignatureParam& p : signature.params)
    if (p.kind == Kind::constant) add_values(schedule->where, p.name, applies, consts);
  Result<ir::Target> target = resolve_target(schedule->target);
  // A `where` may ask for a type, for a second axis of a pack, or for values of consts.
  bool read = false, wrong = false;
  for (const auto& values : consts) {
    for (size_t rank = 1; rank <= 2; ++rank)
      for (size_t round = 0; round < rounds; ++round) {
        CompileOptions request = request_of(op, round, rank);
        for (const auto& [name, value] : values) request.consts[name] = value;
        Result<ir::Program> canonical = canonical_program(op, request);
        if (!canonical) continue;
        Result<ir::Expr> where =
            target ? where_of(op, *canonical, *schedule, *target) : schedule::schedule_where(*canonical, *schedule);
        if (where && !ir::is_constant(*where, 0)) return request;
        (where ? read : wrong) = true;
      }
    if (wrong && !read) break;  // it is wrong for other consts too
  }
  return request_of(op, 0);
}

}  // namespace heddle::api
