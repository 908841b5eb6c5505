// From the lines of a schedule to steps: `tune`, `let`, `if`, derived steps, `apply`. Over 500 lines: all of them evaluate terms in one scope
// and expand into one list.
#include "schedule/resolve.h"

#include <algorithm>

#include "ir/parts.h"
#include "schedule/codes.h"
#include "schedule/names.h"
#include "support/limits.h"

namespace heddle::schedule {

using namespace ir;

namespace {

constexpr int expansion_depth = 32;
constexpr size_t max_choices = 10'000;

using Names = std::map<std::string, Term>;  // integers of tune and let; any term for a parameter of a derived step

Term integer_term(int64_t value, const Place& place) {
  Term t;
  t.kind = Term::Kind::integer;
  t.integer = value;
  t.place = place;
  return t;
}

// The module that a derived step comes from, as names have it: "cs.".
std::string home_of(const DerivedStep& d) { return d.name.substr(0, d.name.rfind('.') + 1); }

// The derived step that a line of a module means: one of its own comes first. What an imported module imports is not the line's to name.
const DerivedStep* derived_step(const DerivedSteps& derived, const std::string& home, const std::string& name) {
  if (std::count(name.begin(), name.end(), '.') > 1) return nullptr;
  for (const std::string& full : {home + name, name})
    for (const auto& d : derived)
      if (d->name == full) return d.get();
  return nullptr;
}

bool any_step_of(const std::vector<ScheduleLine>& lines, const std::string& home, const DerivedSteps& derived,
                 const std::function<bool(const StepCall&)>& test, std::vector<const DerivedStep*>& seen) {
  for (const ScheduleLine& line : lines) {
    if (any_step_of(line.then, home, derived, test, seen) || any_step_of(line.otherwise, home, derived, test, seen))
      return true;
    if (line.kind != ScheduleLine::Kind::step) continue;
    if (test(line.step)) return true;
    const DerivedStep* d = derived_step(derived, home, line.step.name);
    if (!d || std::find(seen.begin(), seen.end(), d) != seen.end()) continue;
    seen.push_back(d);
    if (any_step_of(d->lines, home_of(*d), derived, test, seen)) return true;
  }
  return false;
}

class Resolver {
 public:
  Resolver(const ScheduleText& text, const std::map<std::string, int64_t>& tune, const Target& target,
           const DerivedSteps& derived, const Called& called)
      : text_(text), tune_(tune), target_(target), derived_(derived), called_(called), op_(text.op) {}

  Resolved out;

  Result<Done> lines(const std::vector<ScheduleLine>& list, Names& names) {
    for (const ScheduleLine& line : list) {
      Result<Done> done = one(line, names);
      if (!done) return done;
      if (out.steps.size() > limits::steps)
        return Diagnostic(codes::too_large, line.place,
                          "the schedule has more than " + std::to_string(limits::steps) + " steps");
    }
    return Done{};
  }

  Result<Done> unknown_settings(const Place& place) {
    std::vector<std::string> known;
    for (const TunedName& t : out.tuned) known.push_back(t.name);
    for (const auto& [name, value] : tune_) {
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      Diagnostic d(codes::unknown_setting, place, "the schedule has no tuned name `" + name + "`");
      std::string near = nearest(name, known);
      if (!near.empty()) d.help = "did you mean `" + near + "`?";
      else if (known.empty()) d.help = "the schedule has no line `tune NAME = ..`";
      else d.help = "its tuned names: " + quoted_list(known);
      return d;
    }
    return Done{};
  }

  // The schedule's own lines. The op's consts are known to them as what `let` names.
  Result<Done> all() {
    Names names;
    if (called_.program)
      if (const InlinedCall* own = own_values(*called_.program)) names = consts_of(*own, text_.place);
    Result<Done> done = lines(text_.lines, names);
    return done ? unknown_settings(text_.place) : done;
  }

 private:
  Result<Done> one(const ScheduleLine& line, Names& names) {
    switch (line.kind) {
      case ScheduleLine::Kind::tune: return tune_line(line, names);
      case ScheduleLine::Kind::let: {
        if (line.value.kind == Term::Kind::call && line.value.text == "contraction") return contraction(line, names);
        Result<int64_t> value = evaluate(line.value, names);
        if (!value) return value.errors();
        names[line.name] = integer_term(*value, line.place);
        return Done{};
      }
      case ScheduleLine::Kind::branch: {
        Result<int64_t> condition = evaluate(line.value, names);
        if (!condition) return condition.errors();
        Names inner = names;
        return lines(*condition ? line.then : line.otherwise, inner);
      }
      case ScheduleLine::Kind::step: return step(line.step, names);
    }
    return Done{};
  }

  // What the parts are is known once the line is reached: until then `c.m` stands for itself, under a name of its own.
  Result<Done> contraction(const ScheduleLine& line, Names& names) {
    if (line.value.args.size() != 1)
      return Diagnostic(codes::wrong_operands, line.place, "`contraction` takes one stage");
    StepCall call;
    call.name = "contraction";
    call.operands = {fold(line.value.args[0], names)};
    call.place = line.place;
    Term own = line.value.args[0];
    own.kind = Term::Kind::path;
    own.args.clear();
    own.text = line.name + "#" + std::to_string(++contractions_);
    names[line.name] = own;
    out.steps.push_back({std::move(call), own.text, expanded_from_});
    return Done{};
  }

  Result<std::vector<int64_t>> choices_of(const ScheduleLine& line, const Names& names) {
    std::vector<int64_t> choices;
    for (const Term& t : line.choices) {
      Result<int64_t> value = evaluate(t, names);
      if (!value) return value.errors();
      choices.push_back(*value);
    }
    if (line.range.size() < 2) return choices;
    Result<int64_t> lo = evaluate(line.range[0], names), hi = evaluate(line.range[1], names);
    if (!lo) return lo.errors();
    if (!hi) return hi.errors();
    int64_t factor = 0;
    if (line.range.size() > 2) {
      Result<int64_t> f = evaluate(line.range[2], names);
      if (!f) return f.errors();
      factor = *f;
      if (factor < 2 || *lo < 1)
        return Diagnostic(
            codes::bad_value, line.range[2].place,
            "`by *" + std::to_string(factor) + "` needs a factor of at least 2 and a start of at least 1");
    }
    for (int64_t v = *lo; v < *hi;) {
      choices.push_back(v);
      if (choices.size() > max_choices) return Diagnostic(codes::too_large, line.place, "more than 10,000 choices");
      if (factor ? __builtin_mul_overflow(v, factor, &v) : __builtin_add_overflow(v, 1, &v)) break;
    }
    return choices;
  }

  Result<Done> tune_line(const ScheduleLine& line, Names& names) {
    Result<int64_t> value = evaluate(line.value, names);
    if (!value) return value.errors();
    Result<std::vector<int64_t>> choices = choices_of(line, names);
    if (!choices) return choices.errors();
    const bool own = prefix_.empty();  // those of an applied schedule keep their defaults
    if (own) out.tuned.push_back({line.name, *value, *choices});
    auto given = tune_.find(line.name);
    bool from_outside = own && given != tune_.end();
    if (from_outside) value = given->second;
    if (choices->empty())
      return Diagnostic(codes::bad_value, line.place, "`" + line.name + "` has no choices: its range is empty");
    if (std::find(choices->begin(), choices->end(), *value) == choices->end()) {
      std::string list;
      for (size_t i = 0; i < choices->size() && i < 12; ++i) list += (i ? ", " : "") + std::to_string((*choices)[i]);
      if (choices->size() > 12) list += ", ..";
      return Diagnostic(codes::bad_value, line.place,
                        std::string(from_outside ? "the value given for" : "the default of") + " `" + line.name +
                            "`, " + std::to_string(*value) + ", is not among its choices")
          .with_help("the choices are " + list);
    }
    names[line.name] = integer_term(*value, line.place);
    if (own) out.choices[line.name] = *value;
    if (!line.has_where) return Done{};
    Result<int64_t> holds = evaluate(line.where, names);
    if (!holds) return holds.errors();
    if (!*holds)
      return Diagnostic(codes::bad_value, line.where.place,
                        "`" + line.name + " = " + std::to_string(*value) + "` breaks its `where`");
    return Done{};
  }

  // Constants ---------------------------------------------------------------------------------------------------------

  Result<int64_t> evaluate(const Term& t, const Names& names) {
    Term folded = fold(t, names);
    if (folded.kind == Term::Kind::integer) return folded.integer;
    Diagnostic d(codes::bad_value, t.place, "this is not a constant");
    if (folded.kind == Term::Kind::path) {
      d.message = "`" + folded.text + "` is not a constant of the schedule";
      std::vector<std::string> known;
      for (const auto& [name, value] : names) known.push_back(name);
      std::string near = nearest(folded.text, known);
      d.help = near.empty() ? "declare it with `tune` or `let` above this line" : "did you mean `" + near + "`?";
    }
    return d;
  }

  // Names put in and constants folded; what is not constant stays as it is.
  Term fold(const Term& t, const Names& names) {
    if (t.kind == Term::Kind::path) return path(t, names);
    Term next = t;
    for (Term& a : next.args) a = fold(a, names);
    auto is_integer = [](const Term& a) { return a.kind == Term::Kind::integer; };
    bool constants = !next.args.empty() && std::all_of(next.args.begin(), next.args.end(), is_integer);
    int64_t value = 0;
    if (t.kind == Term::Kind::tuple && next.args.size() == 1)
      return constants ? integer_term(next.args[0].integer, t.place) : next;
    if (t.kind == Term::Kind::call && t.text == "lanes" && next.args.size() == 1 && lanes(t.args[0], value))
      return integer_term(value, t.place);
    if (!constants) return next;
    if (t.kind == Term::Kind::unary && unary_value(t.text, next.args[0].integer, value))
      return integer_term(value, t.place);
    if ((t.kind == Term::Kind::binary || t.kind == Term::Kind::call) && next.args.size() == 2 &&
        binary_value(t.text, next.args[0].integer, next.args[1].integer, value))
      return integer_term(value, t.place);
    return next;
  }

  // A name stands for its value; as the first part of a dotted path, a parameter of a derived step for a stage.
  Term path(const Term& t, const Names& names) {
    if (auto found = names.find(t.text); found != names.end()) {
      Term next = found->second;
      if (next.kind == Term::Kind::integer) next.place = t.place;
      return next;
    }
    // `s@tail.j`: the part of what `s` stands for.
    const size_t dot = std::min(t.text.find('.'), t.text.size()), part = t.text.find('@');
    if (dot == t.text.size() && part == std::string::npos) return t;
    auto found = names.find(t.text.substr(0, std::min(dot, part)));
    if (found == names.end() || found->second.kind != Term::Kind::path) return with_own_loop(t, names);
    Term next = t;
    next.text = found->second.text;
    if (part < dot) next.text = part_name(next.text, t.text.substr(part + 1, dot - part - 1));
    next.text += t.text.substr(dot);
    return found->second.text.find('#') == std::string::npos ? with_own_loop(next, names) : next;
  }

  // `s.o` for a loop `o` that the derived step made.
  static Term with_own_loop(Term t, const Names& names) {
    size_t dot = t.text.rfind('.');
    if (dot == std::string::npos) return t;
    auto found = names.find(t.text.substr(dot + 1));
    if (found != names.end() && found->second.kind == Term::Kind::path &&
        found->second.text.find('.') == std::string::npos)
      t.text = t.text.substr(0, dot + 1) + found->second.text;
    return t;
  }

  bool lanes(const Term& t, int64_t& value) {
    std::optional<ScalarType> type = t.kind == Term::Kind::path ? type_named(t.text) : std::nullopt;
    if (!type) return false;
    value = std::max(1, target_.lanes(*type));
    return true;
  }

  // An element type, or a generic one of the op: what stands for it here is seen at a parameter of that type.
  std::optional<ScalarType> type_named(const std::string& word) const {
    if (std::optional<ScalarType> plain = parse_scalar_type(word)) return plain;
    if (!called_.program || !called_.parameter_of) return {};
    std::string tensor = called_.parameter_of(op_, word);
    for (const InlinedCall& c : called_.program->calls)
      if (c.prefix + "." == prefix_)
        for (const auto& [parameter, own] : c.tensors)
          if (parameter == tensor) tensor = own;
    for (const Buffer& b : called_.program->buffers)
      if (b.name == tensor) return b.type;
    return {};
  }

  static bool unary_value(const std::string& op, int64_t a, int64_t& value) {
    if (op == "-") return !__builtin_sub_overflow(int64_t{0}, a, &value);
    if (op == "!") return value = a == 0, true;
    return false;
  }

  static bool binary_value(const std::string& op, int64_t a, int64_t b, int64_t& value) {
    if (op == "+") return !__builtin_add_overflow(a, b, &value);
    if (op == "-") return !__builtin_sub_overflow(a, b, &value);
    if (op == "*") return !__builtin_mul_overflow(a, b, &value);
    if (op == "/" || op == "%" || op == "ceildiv") {
      if (b <= 0) return false;
      int64_t quotient = a / b - (a % b < 0 ? 1 : 0);
      value = op == "/" ? quotient : op == "%" ? a - quotient * b : quotient + (a % b != 0 ? 1 : 0);
      return true;
    }
    if (op == "min") return value = std::min(a, b), true;
    if (op == "max") return value = std::max(a, b), true;
    if (op == "==") return value = a == b, true;
    if (op == "!=") return value = a != b, true;
    if (op == "<") return value = a < b, true;
    if (op == "<=") return value = a <= b, true;
    if (op == ">") return value = a > b, true;
    if (op == ">=") return value = a >= b, true;
    if (op == "&&") return value = a && b, true;
    if (op == "||") return value = a || b, true;
    return false;
  }

  // Steps -------------------------------------------------------------------------------------------------------------

  Result<Done> step(const StepCall& call, Names& names) {
    StepCall folded = call;
    for (Term& t : folded.operands) t = fold(t, names);
    for (auto& [preposition, terms] : folded.with) {
      bool makes_names = preposition == "into" || preposition == "as";
      for (Term& t : terms)
        if (!makes_names || is_parameter(t, names)) t = fold(t, names);
    }
    if (call.name == "apply") return apply(folded);
    if (call.name != "fuse") folded.own = own_;  // fused loops keep the name of the first
    if (const DerivedStep* d = derived_step(derived_, home_, call.name)) return expand(*d, folded);
    out.steps.push_back({std::move(folded), {}, expanded_from_});
    return Done{};
  }

  static bool is_parameter(const Term& t, const Names& names) {
    auto found = names.find(t.text);
    return t.kind == Term::Kind::path && found != names.end() && found->second.kind == Term::Kind::path;
  }

  // Names made inside are the step's own, unless a parameter passes them in: they get its name in front.
  static void make_private(const std::vector<ScheduleLine>& list, const std::string& own, Names& names) {
    for (const ScheduleLine& line : list) {
      make_private(line.then, own, names);
      make_private(line.otherwise, own, names);
      if (line.kind != ScheduleLine::Kind::step) continue;
      for (const auto& [preposition, terms] : line.step.with) {
        if (preposition != "into" && preposition != "as") continue;
        for (const Term& t : terms)
          if (t.kind == Term::Kind::path) rename(t.text, own + t.text, t.place, names);
      }
      for (const Term& t : line.step.operands) defaults_private(line.step, t, own, names);
    }
  }

  static void rename(const std::string& from, const std::string& to, const Place& place, Names& names) {
    Term renamed;
    renamed.text = to;
    renamed.place = place;
    names.try_emplace(from, std::move(renamed));
  }

  // The names that a step makes where none are written, as far as they follow from its text: `po` of `split s.p by 4`.
  static void defaults_private(const StepCall& call, const Term& operand, const std::string& own, Names& names) {
    static const std::map<std::string, const char*> suffixes = {
        {"split", "oi"}, {"vectorize", "ov"}, {"unroll", "ou"}, {"rfactor", "ov"}};
    auto made = suffixes.find(call.name);
    if (operand.kind != Term::Kind::path || made == suffixes.end() || !call.with.count("by")) return;
    std::string path = operand.text;
    if (auto parameter = names.find(path); parameter != names.end()) path = parameter->second.text;
    const size_t dot = path.rfind('.');
    const std::string written = path.substr(dot == std::string::npos ? 0 : dot + 1);
    if (path.find('#') != std::string::npos) return;  // of a contraction
    auto own_loop = names.find(written);
    const bool is_own = own_loop != names.end() && own_loop->second.text == own + written;
    for (const char* suffix = made->second; *suffix; ++suffix)
      rename(written + *suffix, (is_own || written.rfind(own, 0) != 0 ? own : "") + written + *suffix, operand.place,
             names);
    if (call.name == "rfactor" && dot != std::string::npos)
      rename(path.substr(0, dot) + "_part", own + path.substr(0, dot) + "_part", operand.place, names);
  }

  Result<Done> expand(const DerivedStep& d, const StepCall& call) {
    // Derived steps that hold no step make none, however many call each other.
    if (++all_expansions_ > limits::steps)
      return Diagnostic(codes::too_large, call.place,
                        "derived steps are expanded more than " + std::to_string(limits::steps) + " times");
    if (expanded_from_.size() >= expansion_depth)
      return Diagnostic(codes::too_large, call.place,
                        "`" + d.name + "` calls itself, or derived steps are nested past 32");
    if (call.operands.size() != d.params.size() || !call.with.empty())
      return Diagnostic(codes::wrong_operands, call.place,
                        "`" + d.name + "` takes " + std::to_string(d.params.size()) + " operands and no prepositions")
          .label(d.place, "declared here");
    Names inner;
    for (size_t i = 0; i < d.params.size(); ++i) {
      bool number = call.operands[i].kind == Term::Kind::integer;
      if ((d.params[i].kind == "int") != number)
        return Diagnostic(codes::wrong_operands, call.operands[i].place,
                          "`" + d.params[i].name + "` of `" + d.name + "` is a " + d.params[i].kind)
            .label(d.place, "declared here");
      inner[d.params[i].name] = call.operands[i];
    }
    const std::string short_name = d.name.substr(d.name.rfind('.') + 1);
    const int made = ++expansions_[short_name];
    const std::string own = short_name + (made > 1 ? std::to_string(made) : "") + "_";
    make_private(d.lines, own, inner);
    const std::string outer_own = std::exchange(own_, own);
    expanded_from_.emplace_back(call.place, d.name);
    // Steps that it calls are those of its own module.
    const std::string home = std::exchange(home_, home_of(d));
    Result<Done> done = lines(d.lines, inner);
    home_ = home;
    own_ = outer_own;
    expanded_from_.pop_back();
    return done;
  }

  // Applied schedules --------------------------------------------------------------------------------------------------

  Result<const InlinedCall*> called_as(const Term& term) {
    std::vector<std::string> known;
    for (const InlinedCall& c : called_.program->calls) {
      if (c.prefix == prefix_ + term.text) return &c;
      if (!c.prefix.empty() && c.prefix.rfind(prefix_, 0) == 0) known.push_back(c.prefix.substr(prefix_.size()));
    }
    Diagnostic d(codes::unknown_name, term.place, "`" + term.text + "` is no call of an op");
    for (size_t i = 0; i < known.size(); ++i) d.help += (i ? ", `" : "the calls are `") + known[i] + "`";
    if (known.empty()) d.help = "the op calls no other: a call is an equation such as `p = softmax(x)`";
    return d;
  }

  Result<const ScheduleText*> schedule_named(const Term& term, const InlinedCall& c) {
    const size_t dot = term.text.rfind('.');
    const std::string op = dot == std::string::npos ? "" : term.text.substr(0, dot);
    const std::string name = dot == std::string::npos ? term.text : term.text.substr(dot + 1);
    if (op != c.op)
      return Diagnostic(codes::wrong_operands, term.place,
                        "`" + c.prefix.substr(prefix_.size()) + "` is a call of `" + c.op + "`, and `" + term.text +
                            "` is no schedule of it")
          .with_help("name it as `" + c.op + "." + name + "`");
    std::vector<std::string> known;
    for (const auto& s : *called_.schedules) {
      if (s->op != op) continue;
      if (s->name == name) return s.get();
      known.push_back(s->name);
    }
    Diagnostic d(codes::unknown_name, term.place, "`" + op + "` has no schedule `" + name + "`");
    for (size_t i = 0; i < known.size(); ++i) d.help += (i ? ", `" : "its schedules are `") + known[i] + "`";
    return d;
  }

  Result<Done> apply(const StepCall& call) {
    auto to = call.with.find("to");
    const bool formed = call.operands.size() == 1 && call.operands[0].kind == Term::Kind::path &&
                        call.with.size() == 1 && to != call.with.end() && to->second.size() == 1 &&
                        to->second[0].kind == Term::Kind::path;
    if (!formed || !called_.program || !called_.schedules)
      return Diagnostic(codes::wrong_operands, call.place, "`apply` names a schedule and a call")
          .with_help("usage: apply OP.SCHEDULE to CALL");
    if (expanded_from_.size() >= expansion_depth)
      return Diagnostic(codes::too_large, call.place, "applied schedules are nested past 32");
    Result<const InlinedCall*> record = called_as(to->second[0]);
    if (!record) return record.errors();
    Result<const ScheduleText*> found = schedule_named(call.operands[0], **record);
    if (!found) return found.errors();
    const ScheduleText& text = **found;
    auto family = [](const std::string& target) { return target.substr(0, target.find('/')); };
    if (family(text.target) != family(text_.target))
      return Diagnostic(codes::wrong_operands, call.operands[0].place,
                        "`" + call.operands[0].text + "` is for `" + text.target + "`, and this schedule for `" +
                            text_.target + "`")
          .label(text.place, "declared here");
    for (const auto& [word, place] : text.allow)
      if (std::none_of(text_.allow.begin(), text_.allow.end(),
                       [&, &word = word](const auto& a) { return a.first == word; }))
        return Diagnostic(
                   codes::needs_leave, call.operands[0].place,
                   "`" + call.operands[0].text + "` needs the leave `" + word + "`, which this schedule does not give")
            .label(place, "allowed here")
            .with_help("write `allow " + word + "` in the schedule's header");
    const std::string outer = prefix_, outer_home = home_, outer_own = std::exchange(own_, ""),
                      outer_op = std::exchange(op_, text.op);
    const size_t module = text.op.rfind('.');
    home_ = module == std::string::npos ? "" : text.op.substr(0, module + 1);
    prefix_ = (*record)->prefix + ".";
    expanded_from_.emplace_back(call.place, call.operands[0].text);
    const size_t first = out.steps.size();
    Names inner = consts_of(**record, text.place);
    Result<Done> done = lines(text.lines, inner);
    for (size_t i = first; done && i < out.steps.size(); ++i) {
      if (!out.steps[i].placed) place(out.steps[i].call, **record);
      out.steps[i].placed = true;
    }
    if (done && text.has_where) {
      Term where = text.where;
      in_values(where, **record);
      out.where.push_back(std::move(where));
    }
    expanded_from_.pop_back();
    prefix_ = outer;
    home_ = outer_home;
    own_ = outer_own;
    op_ = outer_op;
    return done;
  }

  // The names of a step of the called op's schedule as the caller has them.
  void place(StepCall& call, const InlinedCall& c) {
    auto path = [&](Term& t) {
      if (t.kind != Term::Kind::path || t.text.find('#') != std::string::npos) return;  // of a `contraction`
      auto tensor = std::find_if(c.tensors.begin(), c.tensors.end(), [&](const auto& p) { return p.first == t.text; });
      const bool buffers = call.name == "cache" || call.name == "layout" || call.name == "prefetch";
      t.text = tensor != c.tensors.end() && buffers ? tensor->second : c.prefix + "." + t.text;
    };
    auto term = [&](Term& t) {
      if (t.kind == Term::Kind::path) path(t);
      else if (t.kind == Term::Kind::subscript) path(t.args[0]);
    };
    if (call.name == "fix") {
      for (Term& t : call.operands) in_values(t, c);
      return;
    }
    for (Term& t : call.operands) term(t);
    for (const char* preposition : {"at", "after", "as"})
      if (auto with = call.with.find(preposition); with != call.with.end())
        for (Term& t : with->second) term(t);
    if (auto when = call.with.find("when"); when != call.with.end())
      for (Term& t : when->second) in_values(t, c);
  }

  void in_values(Term& t, const InlinedCall& c) {
    if (t.kind == Term::Kind::call && t.text == "type" && t.args.size() == 1) {
      for (const auto& [parameter, tensor] : c.tensors)
        if (parameter == t.args[0].text) return void(t.args[0].text = tensor);
      return;
    }
    for (Term& a : t.args) in_values(a, c);
    if (t.kind != Term::Kind::path) return;
    for (const auto& [name, value] : c.values)
      if (name == t.text) t = value_term(value, t);
  }

  // A dim of the caller, a number, or arithmetic of both.
  Term value_term(const Expr& value, const Term& at) {
    Term t = at;
    t.args.clear();
    if (const int64_t* n = constant_value(value)) {
      if (value.type() != ScalarType::boolean) return integer_term(*n, at.place);
      return t.text = *n ? "true" : "false", t;
    }
    if (const Var* v = value.as<Var>()) return t.text = called_.program->symbol(v->symbol).name, t;
    const Binary* b = value.as<Binary>();
    const char* word = !b                       ? nullptr
                       : b->op == BinaryOp::add ? "+"
                       : b->op == BinaryOp::sub ? "-"
                       : b->op == BinaryOp::mul ? "*"
                       : b->op == BinaryOp::div ? "/"
                       : b->op == BinaryOp::mod ? "%"
                                                : nullptr;
    if (!word) return t;  // no name of the caller's: refused where it is used
    t.kind = Term::Kind::binary;
    t.text = word;
    t.args = {value_term(b->left, at), value_term(b->right, at)};
    return t;
  }

  // What is constant of an op's own values.
  static Names consts_of(const InlinedCall& op, const Place& place) {
    Names out;
    for (const auto& [name, value] : op.values)
      if (const int64_t* n = constant_value(value)) out[name] = integer_term(*n, place);
    return out;
  }

  const ScheduleText& text_;
  const std::map<std::string, int64_t>& tune_;
  const Target& target_;
  const DerivedSteps& derived_;
  const Called& called_;
  std::string op_;      ///< whose schedule is read
  std::string home_;    ///< of the module whose schedule is applied: "nn."
  std::string own_;     ///< in front of the names that the derived step being expanded makes: "tile_"
  std::string prefix_;  ///< of the call whose schedule is applied: "p."
  std::vector<std::pair<Place, std::string>> expanded_from_;
  std::map<std::string, int> expansions_;  // of derived steps of each name, whatever module they come from, so far
  size_t all_expansions_ = 0;
  int contractions_ = 0;
};

}  // namespace

Result<Resolved> resolve(const ScheduleText& text, const std::map<std::string, int64_t>& tune, const Target& target,
                         const DerivedSteps& derived, const Called& called) {
  Resolver resolver(text, tune, target, derived, called);
  Result<Done> done = resolver.all();
  if (!done) return done.errors();
  return std::move(resolver.out);
}

bool any_step(const std::vector<ScheduleLine>& lines, const DerivedSteps& derived,
              const std::function<bool(const StepCall&)>& test) {
  std::vector<const DerivedStep*> seen;
  return any_step_of(lines, "", derived, test, seen);
}

Result<std::vector<TunedName>> tuned_names(const Program& canonical, const ScheduleText& text, const Target& target,
                                           const DerivedSteps& derived,
                                           const std::vector<std::shared_ptr<const ScheduleText>>& called,
                                           const ParameterOf& parameter_of) {
  Result<Resolved> resolved = resolve(text, {}, target, derived, Called{&canonical, &called, parameter_of});
  if (!resolved) return resolved.errors();
  return std::move(resolved->tuned);
}

}  // namespace heddle::schedule
