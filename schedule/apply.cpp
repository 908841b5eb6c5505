// One step, and a whole schedule.
#include <algorithm>
#include <sstream>

#include "ir/print.h"
#include "ir/verify.h"
#include "ir/visit.h"
#include "schedule/contraction.h"
#include "schedule/folds.h"
#include "schedule/loops.h"
#include "schedule/names.h"
#include "schedule/pipelines.h"
#include "schedule/resolve.h"
#include "schedule/tiles.h"
#include "support/limits.h"
#include "support/stop.h"

namespace heddle::schedule {

using namespace ir;

namespace {

struct StepEntry {
  const char* name;
  const char* operands;
  const char* prepositions;
  const char* required;
  Result<Done> (*function)(Step&);
};

constexpr StepEntry entries[] = {
#define HEDDLE_STEP(name, operands, prepositions, required, usage, help) \
  {#name, operands, prepositions, required, name##_step},
#include "schedule/steps.def"
#undef HEDDLE_STEP
};

constexpr StepRow rows[] = {
#define HEDDLE_STEP(name, operands, prepositions, required, usage, help) {#name, usage, help},
#include "schedule/steps.def"
#undef HEDDLE_STEP
};

bool contains_word(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string w; words >> w;)
    if (w == word) return true;
  return false;
}

std::string usage_of(const std::string& name) {
  for (const StepRow& row : rows)
    if (row.name == name) return std::string(row.usage);
  return {};
}

bool takes_list(const std::string& name) {
  return std::any_of(std::begin(entries), std::end(entries),
                     [&](const StepEntry& e) { return name == e.name && e.operands[0] == '+'; });
}

Diagnostic wrong_operands(const StepCall& call, const Place& place, std::string text) {
  return Diagnostic(codes::wrong_operands, place, std::move(text)).with_help("usage: " + usage_of(call.name));
}

Result<const StepEntry*> find_step(const StepCall& call) {
  std::vector<std::string> known;
  for (const StepEntry& entry : entries) {
    known.emplace_back(entry.name);
    if (call.name == entry.name) return &entry;
  }
  Diagnostic d(codes::unknown_step, call.name_place.known() ? call.name_place : call.place,
               "there is no step `" + call.name + "`");
  std::string near = nearest(call.name, known);
  d.help = near.empty() ? "`heddle list steps` shows all steps" : "did you mean `" + near + "`?";
  return d;
}

Result<Done> check_operands(const StepEntry& entry, const StepCall& call) {
  if (call.operands.empty()) return wrong_operands(call, call.place, "`" + call.name + "` needs an operand");
  if (entry.operands[0] == '1' && call.operands.size() != 1)
    return wrong_operands(call, call.operands[1].place,
                          "`" + call.name + "` takes one operand, not " + std::to_string(call.operands.size()));
  for (const auto& [preposition, terms] : call.with) {
    const Place& place = terms.empty() ? call.place : terms[0].place;
    if (!contains_word(entry.prepositions, preposition))
      return wrong_operands(call, place, "`" + call.name + "` takes no `" + preposition + "`");
    if (terms.empty()) return wrong_operands(call, place, "`" + preposition + "` needs an operand");
    bool list = preposition == "into" || (call.name == "layout" && preposition == "to") ||
                (call.name == "offset" && preposition == "as");
    if (!list && terms.size() != 1)
      return wrong_operands(call, terms[1].place, "`" + preposition + "` takes one operand");
  }
  std::istringstream words(entry.required);
  for (std::string w; words >> w;)
    if (!has(call, w)) return wrong_operands(call, call.place, "`" + call.name + "` needs `" + w + "`");
  return Done{};
}

bool too_deep(const Program& program) {
  bool deep = false;
  for (const StmtRef& s : program.body)
    map_exprs(s, [&](const Expr& e) {
      deep |= e->depth > static_cast<uint32_t>(limits::nesting);
      return e;
    });
  return deep;
}

int depth_of(const Body& body) {
  int depth = 0;
  for (const StmtRef& s : body) depth = std::max(depth, 1 + depth_of(children(s)));
  return depth;
}

// What would print past a limit is refused, so that printed text is always legal input.
Result<Done> fits_limits(const Step& step, const Program& before) {
  if (depth_of(step.program.body) > limits::loop_nesting)
    return step.refusal(codes::too_large,
                        "loops would be nested past " + std::to_string(limits::loop_nesting) + " levels");
  if (size_of(step.program) > limits::program_nodes)
    return step.refusal(codes::too_large,
                        "the program would have more than " + std::to_string(limits::program_nodes) + " nodes");
  if (too_deep(step.program) && !too_deep(before))
    return step.refusal(codes::too_large,
                        "an expression would be nested past " + std::to_string(limits::nesting) + " levels");
  return Done{};
}

}  // namespace

std::span<const StepRow> step_rows() { return rows; }

Result<State> apply_step(const Context& context, const Program& program, const StepCall& call) {
  stop_point_now();
  Result<const StepEntry*> entry = find_step(call);
  if (!entry) return entry.errors();
  Result<Done> fits = check_operands(**entry, call);
  if (!fits) return fits.errors();
  Step step{context, call, program, {}};
  Result<Done> done = (*entry)->function(step);
  if (!done) return done.errors();
  drop_idle_prefetches(step.program);
  fits = fits_limits(step, program);
  if (!fits) return fits.errors();
  Result<Done> pipelines = pipelines_hold(step);
  if (!pipelines) return pipelines.errors();
  Result<Done> folds = folds_hold(step);
  if (!folds) return folds.errors();
  fits = fits_tiles(step);
  if (!fits) return fits.errors();
#ifdef HEDDLE_VERIFY
  if (Diagnostics broken = verify(step.program); !broken.empty()) {
    Diagnostic bug(codes::broken_step, call.place, "`" + call.name + "` made a broken program: " + broken[0].message);
    return std::move(bug).with_help(print(step.program));
  }
#endif
  return State{call, std::move(step.program), std::move(step.certificate)};
}

namespace {

// What types and consts decide.
Diagnostic never_holds(const Program& canonical, const std::string& schedule, const Place& where) {
  return Diagnostic(codes::bad_header, where,
                    schedule + " is not for these types" + (own_values(canonical) ? " and consts" : "") +
                        ": its `where` never holds");
}

Result<Done> read_header(Program& program, const ScheduleText& text) {
  for (const auto& [word, place] : text.allow) {
    if (word == "reassociate") program.allow.reassociate = true;
    else if (word == "flush_denormals") program.allow.flush_denormals = true;
    else if (word == "contract") program.allow.contract = true;
    else {
      Diagnostic d(codes::bad_header, place, "`allow` knows no `" + word + "`");
      std::string near = nearest(word, {"reassociate", "flush_denormals", "contract"});
      d.help =
          near.empty() ? "it takes `reassociate`, `flush_denormals` and `contract`" : "did you mean `" + near + "`?";
      return d;
    }
  }
  return Done{};
}

}  // namespace

Result<Expr> whole_where(const Program& canonical, const ScheduleText& text, const Target& target,
                         const DerivedSteps& derived, const std::vector<std::shared_ptr<const ScheduleText>>& called,
                         const ParameterOf& parameter_of) {
  Result<Expr> where = schedule_where(canonical, text);
  if (!where) return where;
  Result<Resolved> resolved = resolve(text, {}, target, derived, Called{&canonical, &called, parameter_of});
  if (!resolved) return where;  // what is wrong is said when the schedule is applied
  Expr all = *where;
  for (const Term& condition : resolved->where) {
    ScheduleText header;
    header.has_where = true;
    header.where = condition;
    Result<Expr> holds = schedule_where(canonical, header);
    if (!holds || is_constant(*holds, 0)) return holds;
    if (!is_constant(*holds, 1)) all = all.known() ? both(all, *holds) : *holds;
  }
  // `fix n = 4` implies `where n == 4`.
  for (const FlatStep& flat : resolved->steps)
    if (flat.call.name == "fix")
      for (Term equal : flat.call.operands) {
        if (equal.text == "=") equal.text = "==";
        Result<Expr> holds = index_expr(canonical, equal);
        if (!holds || holds->type() != ScalarType::boolean) return where;  // refused when the schedule is applied
        all = all.known() ? both(all, *holds) : *holds;
      }
  return all;
}

Result<Scheduled> apply_schedule(const Program& canonical, const ScheduleText& text,
                                 const std::map<std::string, int64_t>& tune, const Target& target,
                                 const DerivedSteps& derived, std::vector<State>* so_far, const InstrTable& instrs,
                                 const std::vector<std::shared_ptr<const ScheduleText>>& called,
                                 const ParameterOf& parameter_of) {
  Scheduled out;
  std::vector<State> none;
  std::vector<State>& states = so_far ? *so_far : none;
  states.clear();
  Program program = canonical;
  program.name = canonical.name + "." + text.name;
  program.target = text.target;
  if (Result<Done> header = read_header(program, text); !header) return header.errors();
  Result<Expr> where = schedule_where(canonical, text);
  if (!where) return where.errors();
  if (where->known()) {
    if (is_constant(*where, 0)) return never_holds(canonical, "`" + program.name + "`", text.where.place);
    if (!is_constant(*where, 1)) {
      out.where.push_back(*where);
      program.facts.push_back(*where);
    }
  }
  Result<Resolved> resolved = resolve(text, tune, target, derived, Called{&canonical, &called, parameter_of});
  if (!resolved) return resolved.errors();
  for (const Term& condition : resolved->where) {
    ScheduleText header;
    header.has_where = true;
    header.where = condition;
    Result<Expr> holds = schedule_where(canonical, header);
    if (!holds) return holds.errors();
    if (is_constant(*holds, 1)) continue;
    if (is_constant(*holds, 0)) return never_holds(canonical, "a schedule that it applies", condition.place);
    out.where.push_back(*holds);
    program.facts.push_back(*holds);
  }
  out.choices = resolved->choices;
  const Context context{target, instrs};
  std::map<std::string, Contraction> contractions;
  for (const FlatStep& flat : resolved->steps) {
    auto expanded = [&](Diagnostics refused) {
      for (const auto& [place, name] : flat.expanded_from)
        refused[0].labels.push_back({place, "in the derived step `" + name + "`, expanded here"});
      return refused;
    };
    if (!flat.contraction.empty()) {
      Result<StageId> stage = find_stage(Step{context, flat.call, program, {}}, flat.call.operands[0]);
      if (!stage) return expanded(stage.errors());
      Result<Contraction> parts = contraction_of(program, *stage, flat.call.place);
      if (!parts) return expanded(parts.errors());
      contractions[flat.contraction] = *std::move(parts);
      continue;
    }
    Result<StepCall> call = with_contractions(contractions, flat.call, takes_list(flat.call.name));
    if (!call) return expanded(call.errors());
    Result<State> state = apply_step(context, program, *call);
    if (!state) return expanded(state.errors());
    program = state->program;
    states.push_back(*std::move(state));
  }
  // What `fix` made a constant holds only for calls with that value.
  for (const DimDefinition& before : canonical.dims)
    for (const DimDefinition& after : program.dims)
      if (before.dim == after.dim && !before.value.known() && after.value.known())
        out.where.push_back(binary(BinaryOp::eq, var(after.dim), after.value));
  out.states = states;
  out.program = std::move(program);
  return out;
}

}  // namespace heddle::schedule
