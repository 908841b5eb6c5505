#include "schedule/names.h"

#include <algorithm>

#include "ir/parts.h"
#include "ir/region.h"
#include "schedule/tree.h"
#include "support/limits.h"
#include "support/words.h"

namespace heddle::schedule {

using namespace ir;

namespace {

std::vector<SymbolId> all_loops(const Program& program) {
  std::vector<SymbolId> out;
  walk(program.body, [&](const StmtRef& s) {
    if (const For* l = as<For>(s)) out.push_back(l->loop);
    return true;
  });
  return out;
}

std::string line_of(const Place& place) {
  return place.known() ? " at line " + std::to_string(place.source->at(place.begin).line) : "";
}

// "split into `ro`, `ri`" and its place -> "split at line 12 into `ro`, `ri`"
std::string what_became(const ConsumedName& c) {
  size_t space = c.became.find(' ');
  if (space == std::string::npos) return c.became + line_of(c.place);
  return c.became.substr(0, space) + line_of(c.place) + c.became.substr(space);
}

// The loop around a scan's stages that runs an index of one of them; "" when there is none.
std::string loop_of_scan(const Program& p, const std::string& stage, const std::string& index) {
  std::string out;
  for (const LeafSite& site : leaves(p.body)) {
    const Stage& row = p.stage(site.leaf().stage);
    if (row.name != stage) continue;
    for (size_t i = 0; i < row.axes.size(); ++i) {
      const AxisClass cls = row.axes[i].cls;
      if (cls != AxisClass::scan && cls != AxisClass::scan_reverse) continue;
      if (p.symbol(row.axes[i].symbol).name != index) continue;
      for (const StmtRef& s : site.path)
        if (const For* l = as<For>(s); l && mentions(site.leaf().bindings[i], l->loop)) out = loop_name(p, l->loop);
    }
  }
  return out;
}

Diagnostic unknown_loop(const Step& step, const Term& term) {
  const std::string& text = term.text;
  std::string bare = text.substr(text.rfind('.') + 1);
  // Newest first: a name may be made and used up several times.
  for (auto c = step.program.consumed.rbegin(); c != step.program.consumed.rend(); ++c)
    if (c->name == text || (text == bare && c->name.substr(c->name.rfind('.') + 1) == text)) {
      Diagnostic d(codes::consumed_name, term.place, "`" + c->name + "` was " + what_became(*c));
      if (c->place.known()) d.labels.push_back({c->place, "here"});
      return d;
    }
  std::vector<std::string> known, own;
  size_t dot = text.rfind('.');
  std::string owner = dot == std::string::npos ? text : text.substr(0, dot);
  for (SymbolId id : all_loops(step.program)) {
    known.push_back(loop_name(step.program, id));
    if (step.program.symbol(id).owner == owner) own.push_back(known.back());
    if (dot == std::string::npos) known.push_back(step.program.symbol(id).name);
  }
  Diagnostic d(codes::unknown_name, term.place, "there is no loop `" + text + "`");
  if (dot == std::string::npos && !own.empty()) {
    d.message = "`" + text + "` is a stage, not a loop";
    d.help = "its loops are " + quoted_list(own);
    return d;
  }
  if (std::string shared = loop_of_scan(step.program, owner, bare); !shared.empty()) {
    d.help = "the stages of a scan share its loop, `" + shared + "`";
    return d;
  }
  std::string near = nearest(text, known);
  if (const std::string best = owner + "_best." + bare; std::find(known.begin(), known.end(), best) != known.end())
    d.help = "`" + owner + "` takes the position from `" + owner + "_best`, whose loop is `" + best + "`";
  else if (!near.empty()) d.help = "did you mean `" + near + "`?";
  else if (!own.empty()) d.help = "the loops of `" + owner + "` are " + quoted_list(own);
  else if (known.size() <= 12) d.help = "the loops are " + quoted_list(known);
  return d;
}

}  // namespace

std::string quoted_list(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& n : names) out += (out.empty() ? "`" : ", `") + n + "`";
  return out;
}

namespace {

// `p.ro`: the loops named `ro` of the stages `p.y`, ..; what `ro` means in a schedule that is applied to the call `p`.
std::vector<SymbolId> loops_of_call(const Program& p, const std::string& text) {
  const size_t dot = text.rfind('.');
  std::vector<SymbolId> out;
  if (dot == std::string::npos) return out;
  for (SymbolId id : all_loops(p))
    if (p.symbol(id).name == text.substr(dot + 1) && p.symbol(id).owner.rfind(text.substr(0, dot + 1), 0) == 0)
      out.push_back(id);
  return out;
}

}  // namespace

Result<SymbolId> find_loop(const Step& step, const Term& term) {
  if (term.kind != Term::Kind::path)
    return Diagnostic(codes::wrong_operands, term.place, "`" + step.call.name + "` takes a loop here, such as `y.r`");
  std::vector<SymbolId> found;
  for (SymbolId id : all_loops(step.program)) {
    if (loop_name(step.program, id) == term.text) return id;
    if (step.program.symbol(id).name == term.text) found.push_back(id);
  }
  // A plain name means the main part.
  if (found.size() > 1) {
    std::vector<SymbolId> main;
    for (SymbolId id : found)
      if (step.program.symbol(id).owner.find('@') == std::string::npos) main.push_back(id);
    if (main.size() == 1) return main[0];
  }
  if (found.empty()) found = loops_of_call(step.program, term.text);
  if (found.size() == 1) return found[0];
  if (found.empty()) return unknown_loop(step, term);
  std::vector<std::string> names;
  for (SymbolId id : found) names.push_back(loop_name(step.program, id));
  return Diagnostic(codes::ambiguous_name, term.place, "`" + term.text + "` names several loops: " + quoted_list(names))
      .with_help("write the stage too, as in `" + names[0] + "`");
}

namespace {

// `y@*.ri`: the loop in every part of the nest.
std::vector<SymbolId> loops_of_all_parts(const Step& step, const Term& term) {
  std::vector<SymbolId> out;
  size_t star = term.text.find("@*.");
  if (term.kind != Term::Kind::path || star == std::string::npos) return out;
  for (SymbolId id : all_loops(step.program)) {
    const Symbol& s = step.program.symbol(id);
    if (main_part(s.owner) == term.text.substr(0, star) && s.name == term.text.substr(star + 3)) out.push_back(id);
  }
  return out;
}

}  // namespace

Result<std::vector<SymbolId>> find_loops(const Step& step, const std::vector<Term>& terms) {
  std::vector<SymbolId> out;
  for (const Term& t : terms) {
    std::vector<SymbolId> named = loops_of_all_parts(step, t);
    if (named.empty()) {
      Result<SymbolId> one = find_loop(step, t);
      if (!one) return one.errors();
      named.push_back(*one);
    }
    for (SymbolId one : named) {
      if (std::find(out.begin(), out.end(), one) != out.end())
        return Diagnostic(codes::wrong_operands, t.place, "`" + loop_name(step.program, one) + "` stands here twice");
      out.push_back(one);
    }
  }
  return out;
}

Result<StageId> find_stage(const Step& step, const Term& term) {
  if (term.kind != Term::Kind::path)
    return Diagnostic(codes::wrong_operands, term.place, "`" + step.call.name + "` takes a stage here");
  std::vector<std::string> known;
  for (const LeafSite& site : leaves(step.program.body)) {
    const std::string& name = step.program.stage(site.leaf().stage).name;
    if (name == term.text) return site.leaf().stage;
    known.push_back(name);
  }
  for (const LeafSite& site : leaves(step.program.body)) {  // `p` of a call is the stage that makes it
    const Stage& row = step.program.stage(site.leaf().stage);
    if (row.writes.size() == 1 && step.program.buffer(row.writes[0]).name == term.text) return site.leaf().stage;
  }
  for (auto c = step.program.consumed.rbegin(); c != step.program.consumed.rend(); ++c)
    if (c->name == term.text)
      return Diagnostic(codes::consumed_name, term.place, "`" + c->name + "` was " + what_became(*c));
  Diagnostic d(codes::unknown_name, term.place, "there is no stage `" + term.text + "`");
  for (const Buffer& b : step.program.buffers)
    if (b.name == term.text && b.role == Role::in) d.message = "`" + term.text + "` is an input, not a stage";
  std::string near = nearest(term.text, known);
  if (!near.empty()) d.help = "did you mean `" + near + "`?";
  else d.help = "the stages are " + quoted_list(known);
  for (SymbolId loop : all_loops(step.program))
    if (loop_name(step.program, loop) == term.text) {
      d.message = "`" + term.text + "` is a loop, not a stage";
      d.help = "a stage is named without its loops: `" + step.program.symbol(loop).owner + "`";
    }
  return d;
}

Result<Nest> find_nest(const Step& step, const Term& term) {
  Nest nest;
  nest.owner = term.text;
  Term stage = term;
  stage.text = main_part(term.text);
  Result<StageId> found = find_stage(step, stage);
  if (Result<StageId> own = find_stage(step, term)) found = own;  // a part with a stage of its own
  if (!found) return found.errors();
  nest.stage = *found;
  for (const LeafSite& site : leaves_of(step.program, nest.stage)) {
    size_t at = site.path.size() - 1;
    bool owned = false;
    for (size_t i = site.path.size() - 1; i-- > 0;)
      if (const For* l = as<For>(site.path[i]);
          l && step.program.symbol(l->loop).owner == nest.owner && !is_case_loop(*l))
        at = i, owned = true;
    // A stage without loops of its own: the leaf itself, in the main part only.
    bool has_loops = false;
    for (const StmtRef& s : site.path)
      if (const For* l = as<For>(s); l && !is_case_loop(*l))
        has_loops |= main_part(step.program.symbol(l->loop).owner) == stage.text;
    if (!owned && (has_loops || nest.owner != step.program.stage(nest.stage).name)) continue;
    if (at > 0 && as<Reduce>(site.path[at - 1]) && children(site.path[at - 1]).size() == 1) --at;
    if (!nest.path.empty() && nest.path.back() == site.path[at]) continue;
    if (!nest.path.empty())
      return step.refusal(codes::ambiguous_name, "`" + nest.owner + "` has several nests by now")
          .label(nest.path.back()->place, "one")
          .label(site.path[at]->place, "another")
          .with_help("move this line above the step that took them apart");
    nest.path.assign(site.path.begin(), site.path.begin() + at + 1);
  }
  if (nest.path.empty())
    return Diagnostic(codes::unknown_name, term.place, "there is no nest `" + nest.owner + "`")
        .with_help("parts are named by the step that made them, such as `" + stage.text + "@tail`");
  return nest;
}

Result<std::vector<StageId>> find_stages(const Step& step, const Term& term) {
  std::vector<StageId> group;
  for (const LeafSite& site : leaves(step.program.body)) {
    const StageId id = site.leaf().stage;
    const std::string& name = step.program.stage(id).name;
    if (name == term.text) return std::vector{id};
    if (name.rfind(term.text + ".", 0) == 0 && std::find(group.begin(), group.end(), id) == group.end())
      group.push_back(id);
  }
  if (group.empty() || term.kind != Term::Kind::path) {
    Result<StageId> one = find_stage(step, term);  // says why there is none
    if (!one) return one.errors();
    return std::vector{*one};
  }
  std::reverse(group.begin(), group.end());
  return group;
}

Result<std::vector<BufferId>> find_buffers(const Step& step, const Term& term) {
  std::vector<BufferId> out;
  std::vector<std::string> known;
  std::vector<BufferId> alive = allocated_in(step.program.body);
  for (const Parameter& p : step.program.parameters)
    if (p.buffer.known()) alive.push_back(p.buffer);
  for (BufferId id : alive) {
    known.push_back(step.program.buffer(id).name);
    if (known.back() == term.text) out.push_back(id);
  }
  if (!out.empty() && term.kind == Term::Kind::path) return out;
  for (const LeafSite& site : leaves(step.program.body))  // the result of a call: the stage `p.y` writes `p`
    if (step.program.stage(site.leaf().stage).name == term.text) return step.program.stage(site.leaf().stage).writes;
  Diagnostic d(codes::unknown_name, term.place, "there is no tensor `" + term.text + "` in the program");
  std::string near = nearest(term.text, known);
  d.help = near.empty() ? "the tensors are " + quoted_list(known) : "did you mean `" + near + "`?";
  return d;
}

bool has(const StepCall& call, const std::string& preposition) {
  auto found = call.with.find(preposition);
  return found != call.with.end() && !found->second.empty();
}

Result<int64_t> integer_of(const Step& step, const Term& term) {
  if (term.kind == Term::Kind::integer) return term.integer;
  if (term.kind == Term::Kind::call && term.text == "lanes")
    return Diagnostic(codes::bad_value, term.place, "`lanes` takes an element type, or a generic type of the op")
        .with_help("such as `lanes(f32)`");
  return Diagnostic(codes::bad_value, term.place, "`" + step.call.name + "` needs a constant here")
      .with_help("write a number, or a name declared with `tune` or `let`");
}

Result<int64_t> integer_after(const Step& step, const std::string& preposition, int64_t least, int64_t fallback) {
  if (!has(step.call, preposition)) return fallback;
  const std::vector<Term>& terms = step.call.with.at(preposition);
  if (terms.size() != 1)
    return Diagnostic(codes::wrong_operands, terms[1].place, "`" + preposition + "` takes one number");
  Result<int64_t> value = integer_of(step, terms[0]);
  if (!value) return value;
  if (*value < least)
    return Diagnostic(codes::bad_value, terms[0].place,
                      "`" + preposition + " " + std::to_string(*value) + "` is less than " + std::to_string(least));
  if (*value > limits::split_factor)
    return Diagnostic(
        codes::too_large, terms[0].place,
        "`" + preposition + " " + std::to_string(*value) + "` is more than " + std::to_string(limits::split_factor));
  return *value;
}

Result<std::string> name_of(const Step& step, const Term& term) {
  const size_t dot = term.text.rfind('.');
  bool plain = dot == std::string::npos;  // or behind the prefix of a call, as `apply` makes it
  for (const InlinedCall& c : step.program.calls) plain |= !plain && c.prefix == term.text.substr(0, dot);
  if (term.kind == Term::Kind::path && plain && is_reserved_word(term.text))
    return Diagnostic(codes::wrong_operands, term.place,
                      "`" + term.text + "` is a word of the language, so it cannot be a name");
  if (term.kind == Term::Kind::path && plain) return term.text;
  return Diagnostic(codes::wrong_operands, term.place, "`" + step.call.name + "` takes a new name here, without dots");
}

std::string default_name(const StepCall& call, const std::string& name) {
  const std::string full = name.rfind(call.own, 0) == 0 ? name : call.own + name;
  return is_reserved_word(full) ? full + "_" : full;  // the outer part of a loop `t` is `to_`
}

Result<std::vector<std::string>> names_after(const Step& step, const std::string& preposition,
                                             std::vector<std::string> defaults) {
  if (!has(step.call, preposition)) {
    for (std::string& name : defaults) name = default_name(step.call, name);
    return defaults;
  }
  const std::vector<Term>& terms = step.call.with.at(preposition);
  if (terms.size() != defaults.size())
    return Diagnostic(codes::wrong_operands, terms[0].place,
                      "`" + preposition + "` takes " + std::to_string(defaults.size()) + " names here, not " +
                          std::to_string(terms.size()));
  std::vector<std::string> out;
  for (const Term& t : terms) {
    Result<std::string> one = name_of(step, t);
    if (!one) return one.errors();
    out.push_back(*one);
  }
  return out;
}

Result<Memory> memory_after(const Step& step, const std::string& preposition) {
  const Term& term = step.call.with.at(preposition)[0];
  if (term.kind == Term::Kind::path)
    if (std::optional<Memory> m = parse_memory(term.text)) return *m;
  std::vector<std::string> known{"dram", "l2", "l1", "registers", "tile", "sbuf", "psum"};
  Diagnostic d(codes::unknown_memory, term.place, "there is no memory `" + term.text + "`");
  std::string near = nearest(term.text, known);
  d.help = near.empty() ? "the memories are " + quoted_list(known) : "did you mean `" + near + "`?";
  return d;
}

Result<Done> free_loop_name(const Step& step, const std::string& owner, const std::string& name, SymbolId except) {
  for (SymbolId id : all_loops(step.program))
    if (id != except && step.program.symbol(id).owner == owner && step.program.symbol(id).name == name)
      return step.refusal(codes::name_taken, "`" + owner + "` already has a loop `" + name + "`")
          .with_help("give other names with `into`");
  for (const Buffer& b : step.program.buffers)
    if (b.name == name)
      return step.refusal(codes::name_taken, "`" + name + "` is a tensor, so no loop may have this name");
  for (const Symbol& s : step.program.symbols)
    if (s.name == name && (s.kind == SymbolKind::dim || s.kind == SymbolKind::constant || s.kind == SymbolKind::scalar))
      return step.refusal(codes::name_taken,
                          "`" + name + "` is a dim or scalar of the op, so no loop may have this name");
  return Done{};
}

Result<Done> free_stage_name(const Step& step, const std::string& name) {
  for (const Buffer& b : step.program.buffers)
    if (b.name == name)
      return step.refusal(codes::name_taken, "`" + name + "` is a tensor already")
          .with_help("give another name with `as`");
  for (const Stage& s : step.program.stages)
    if (s.name == name)
      return step.refusal(codes::name_taken, "`" + name + "` is a stage already")
          .with_help("give another name with `as`");
  for (const Symbol& s : step.program.symbols)
    if (s.name == name && s.kind != SymbolKind::local)
      return step.refusal(codes::name_taken, "`" + name + "` names an index or dim already")
          .with_help("give another name with `as`");
  return Done{};
}

void consume(Step& step, const std::string& name, std::string became) {
  step.program.consumed.push_back({name, std::move(became), step.call.place});
}

}  // namespace heddle::schedule
