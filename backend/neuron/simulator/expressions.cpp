// Expressions of a kernel's text, calls of its functions and of Python's own.
#include <algorithm>
#include <cmath>

#include "backend/neuron/simulator/evaluator.h"

namespace heddle::neuron::sim {

int64_t Range::count() const {
  if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
  return start > stop ? (start - stop - 1) / -step + 1 : 0;
}

std::string kind_of(const Value& value) {
  static constexpr const char* names[] = {"None",       "a bool",
                                          "an integer", "a number",
                                          "a string",   "a name of NKI",
                                          "a tensor",   "a tuple",
                                          "a range",    "a slice",
                                          "`...`",      "a function",
                                          "a method",   "the number of a loop on the device"};
  if (const Sequence* s = value.as<Sequence>()) return s->list ? "a list" : "a tuple";
  if (const Symbol* s = value.as<Symbol>()) return "`" + s->path + "`";
  return names[value.v.index()];
}

void Evaluator::spend(const Expr& e, int64_t work) {
  if ((work_ += work) > limits_.work)
    refuse(codes::nki_limit, at(e),
           "the kernel takes more than " + std::to_string(limits_.work) + " steps to specialise");
}

int64_t Evaluator::integer(const Place& place, const Value& value, const char* what) const {
  if (const int64_t* n = value.as<int64_t>()) return *n;
  if (const bool* b = value.as<bool>()) return *b;
  if (value.as<Register>()) steered(place, what);
  refuse(codes::nki_value, place, std::string(what) + " is an integer, not " + kind_of(value));
}

int64_t Evaluator::address(const Place& place, const Value& value, const char* what) const {
  if (const Register* r = value.as<Register>()) return r->value;
  return integer(place, value, what);
}

void Evaluator::steered(const Place& place, const std::string& what) const {
  refuse_rule(
      RuleId::dynamic_loop, place,
      what +
          " is the number of a loop on the device: a register moves addresses, and steers nothing that Python decides");
}

std::vector<int64_t> Evaluator::integers(const Place& place, const Value& value, const char* what) const {
  std::vector<int64_t> out;
  if (const Sequence* s = value.as<Sequence>()) {
    if (s->items->size() > 64) refuse(codes::nki_value, place, std::string(what) + " has too many entries");
    for (const Value& v : *s->items) out.push_back(integer(place, v, what));
  } else {
    out.push_back(integer(place, value, what));
  }
  return out;
}

bool Evaluator::truth(const Expr& e, const Value& value) {
  if (const bool* b = value.as<bool>()) return *b;
  if (const int64_t* n = value.as<int64_t>()) return *n != 0;
  if (const double* d = value.as<double>()) return *d != 0;
  if (value.as<None>()) return false;
  if (value.as<Register>()) steered(at(e), "the condition");
  if (const Sequence* s = value.as<Sequence>()) return !s->items->empty();
  if (value.as<View>())
    refuse_rule(RuleId::removed_syntax, at(e), "a tensor steers no branch: its contents are unknown at specialisation");
  wrong(e, kind_of(value) + " is neither true nor false");
}

Value Evaluator::evaluate(const Expr& e, const ScopeRef& scope) {
  spend(e);
  Nested deep(*this, at(e));
  switch (e.kind) {
    case Expr::Kind::none: return {};
    case Expr::Kind::integer: return {e.integer};
    case Expr::Kind::real: return {e.real};
    case Expr::Kind::string: return {e.text};
    case Expr::Kind::name: return name(e, *scope);
    case Expr::Kind::attribute: return attribute(e, evaluate(e.kids[0], scope));
    case Expr::Kind::call: return call(e, scope);
    case Expr::Kind::subscript: {
      Value object = evaluate(e.kids[0], scope);
      std::vector<Value> index;
      for (size_t i = 1; i < e.kids.size(); ++i) index.push_back(evaluate(e.kids[i], scope));
      return subscript(e, object, index);
    }
    case Expr::Kind::slice: {
      SliceValue s;
      auto part = [&](int i, bool& has, int64_t& to) {
        if (e.kids[i].kind == Expr::Kind::none) return;
        Value v = evaluate(e.kids[i], scope);
        if (v.as<None>()) return;
        has = true;
        to = address(at(e.kids[i]), v, "a bound of a slice");
      };
      part(0, s.has_start, s.start);
      part(1, s.has_stop, s.stop);
      part(2, s.has_step, s.step);
      return {s};
    }
    case Expr::Kind::tuple:
    case Expr::Kind::list: {
      Sequence s{std::make_shared<std::vector<Value>>(), e.kind == Expr::Kind::list};
      for (const Expr& k : e.kids) s.items->push_back(evaluate(k, scope));
      return {s};
    }
    case Expr::Kind::unary: {
      Value v = evaluate(e.kids[0], scope);
      if (e.text == "not") return {!truth(e.kids[0], v)};
      if (const double* d = v.as<double>(); d && e.text != "~") return {e.text == "-" ? -*d : *d};
      int64_t n = integer(at(e.kids[0]), v, "the operand");
      if (e.text == "-" && n == INT64_MIN) wrong(e, "this integer does not fit in 64 bits");
      return {e.text == "-" ? -n : e.text == "~" ? ~n : n};
    }
    case Expr::Kind::binary: return binary(e, evaluate(e.kids[0], scope), e.text, evaluate(e.kids[1], scope));
    case Expr::Kind::compare: {
      Value left = evaluate(e.kids[0], scope);
      for (size_t i = 0; i < e.keywords.size(); ++i) {
        Value right = evaluate(e.kids[i + 1], scope);
        if (!compare(e, left, e.keywords[i], right)) return {false};
        left = std::move(right);
      }
      return {true};
    }
    case Expr::Kind::all:
    case Expr::Kind::any: {
      Value v;
      for (const Expr& k : e.kids) {
        v = evaluate(k, scope);
        if (truth(k, v) == (e.kind == Expr::Kind::any)) return v;
      }
      return v;
    }
    case Expr::Kind::choose:
      return evaluate(truth(e.kids[0], evaluate(e.kids[0], scope)) ? e.kids[1] : e.kids[2], scope);
  }
  return {};
}

Value Evaluator::name(const Expr& e, const Scope& scope) {
  for (const Scope* s = &scope; s; s = s->outer.get())
    if (auto found = s->names.find(e.text); found != s->names.end()) return found->second;
  if (e.text == "None") return {};
  if (e.text == "True") return {true};
  if (e.text == "False") return {false};
  if (e.text == "...") return {Ellipsis{}};
  static const std::vector<std::string> builtins = {"range", "min",   "max", "len",       "tuple", "list", "abs",
                                                    "int",   "float", "sum", "enumerate", "zip",   "bool", "print"};
  for (const std::string& b : builtins)
    if (b == e.text) return {Symbol{"builtin." + e.text}};
  std::vector<std::string> near = builtins;
  for (const Scope* s = &scope; s; s = s->outer.get())
    for (const auto& [n, value] : s->names) near.push_back(n);
  std::string close = nearest(e.text, near);
  wrong(e, "`" + e.text + "` is not defined", close.empty() ? "" : "did you mean `" + close + "`?");
}

Value Evaluator::binary(const Expr& e, const Value& a, const std::string& op, const Value& b) {
  const Sequence *sa = a.as<Sequence>(), *sb = b.as<Sequence>();
  if (op == "+" && sa && sb) {
    Sequence s{std::make_shared<std::vector<Value>>(*sa->items), sa->list};
    s.items->insert(s.items->end(), sb->items->begin(), sb->items->end());
    spend(e, 20 * static_cast<int64_t>(s.items->size()));
    return {s};
  }
  if (op == "*" && sa && b.as<int64_t>()) {
    Sequence s{std::make_shared<std::vector<Value>>(), sa->list};
    int64_t times = std::max<int64_t>(0, *b.as<int64_t>());
    int64_t size = static_cast<int64_t>(sa->items->size());
    if (size && times > 1'000'000 / size) refuse(codes::nki_limit, at(e), "this sequence is too long");
    spend(e, 20 * times * size);
    for (int64_t i = 0; i < times; ++i) s.items->insert(s.items->end(), sa->items->begin(), sa->items->end());
    return {s};
  }
  if (a.as<View>() || b.as<View>())
    refuse_rule(RuleId::removed_syntax, at(e), "arithmetic on a tensor: tiles are computed by instructions");
  if (a.as<Register>() || b.as<Register>()) {
    if (op != "+" && op != "-" && op != "*") steered(at(e), "an operand of `" + op + "`");
    const Value left{address(at(e), a, "an operand")}, right{address(at(e), b, "an operand")};
    return {Register{*binary(e, left, op, right).as<int64_t>()}};
  }
  auto number = [&](const Value& v) -> double {
    if (const double* d = v.as<double>()) return *d;
    return static_cast<double>(integer(at(e), v, "an operand"));
  };
  if (a.as<double>() || b.as<double>() || op == "/") {
    double x = number(a), y = number(b);
    if (op == "+") return {x + y};
    if (op == "-") return {x - y};
    if (op == "*") return {x * y};
    if ((op == "/" || op == "//" || op == "%") && y == 0) wrong(e, "division by zero");
    if (op == "/") return {x / y};
    if (op == "//") return {std::floor(x / y)};
    if (op == "%") return {x - std::floor(x / y) * y};
    if (op == "**") return {std::pow(x, y)};
    wrong(e, "`" + op + "` takes integers");
  }
  int64_t x = integer(at(e), a, "an operand"), y = integer(at(e), b, "an operand"), r = 0;
  bool over = false;
  if (op == "+") over = __builtin_add_overflow(x, y, &r);
  else if (op == "-") over = __builtin_sub_overflow(x, y, &r);
  else if (op == "*") over = __builtin_mul_overflow(x, y, &r);
  else if (op == "//" || op == "%") {
    if (y == 0) wrong(e, "division by zero");
    if (x == INT64_MIN && y == -1) over = true;
    else {
      int64_t q = x / y, m = x % y;
      if (m != 0 && (m < 0) != (y < 0)) --q, m += y;
      r = op == "//" ? q : m;
    }
  } else if (op == "**") {
    if (y < 0) return {std::pow(static_cast<double>(x), static_cast<double>(y))};
    r = 1;
    for (int64_t i = 0; i < y && !over; ++i) {
      over = __builtin_mul_overflow(r, x, &r);
      if (i > 64 && (x == 0 || x == 1 || x == -1)) {
        r = x == -1 ? (y % 2 ? -1 : 1) : x;
        break;
      }
    }
  } else if (op == "<<" || op == ">>") {
    if (y < 0 || y > 62) wrong(e, "a shift by " + std::to_string(y));
    if (op == ">>") r = x >> y;
    else over = __builtin_mul_overflow(x, int64_t{1} << y, &r);
  } else if (op == "&") r = x & y;
  else if (op == "|") r = x | y;
  else if (op == "^") r = x ^ y;
  else wrong(e, "`" + op + "` is not computed here");
  if (over) wrong(e, "this integer does not fit in 64 bits");
  return {r};
}

bool Evaluator::compare(const Expr& e, const Value& a, const std::string& op, const Value& b) {
  if (a.as<Register>() || b.as<Register>()) steered(at(e), "an operand of `" + op + "`");
  auto number = [](const Value& v, double& to) {
    if (const int64_t* n = v.as<int64_t>()) return to = static_cast<double>(*n), true;
    if (const bool* n = v.as<bool>()) return to = *n, true;
    if (const double* d = v.as<double>()) return to = *d, true;
    return false;
  };
  const int64_t *ia = a.as<int64_t>(), *ib = b.as<int64_t>();
  double x = 0, y = 0;
  if (ia && ib) {
    if (op == "<") return *ia < *ib;
    if (op == "<=") return *ia <= *ib;
    if (op == ">") return *ia > *ib;
    if (op == ">=") return *ia >= *ib;
    return (*ia == *ib) == (op == "==");
  }
  if (number(a, x) && number(b, y)) {
    if (op == "<") return x < y;
    if (op == "<=") return x <= y;
    if (op == ">") return x > y;
    if (op == ">=") return x >= y;
    return (x == y) == (op == "==");
  }
  if (op != "==" && op != "!=") wrong(e, kind_of(a) + " and " + kind_of(b) + " have no order");
  bool same = false;
  if (const Sequence *sa = a.as<Sequence>(), *sb = b.as<Sequence>(); sa && sb) {
    same = sa->items->size() == sb->items->size();
    for (size_t i = 0; same && i < sa->items->size(); ++i) same = compare(e, (*sa->items)[i], "==", (*sb->items)[i]);
  } else if (const Symbol* ya = a.as<Symbol>(), *yb = b.as<Symbol>(); ya && yb) {
    same = ya->path == yb->path;
  } else if (const std::string* ta = a.as<std::string>(), *tb = b.as<std::string>(); ta && tb) {
    same = *ta == *tb;
  } else {
    same = a.as<None>() && b.as<None>();
  }
  return same == (op == "==");
}

Value Evaluator::attribute(const Expr& e, const Value& object) {
  if (const Symbol* s = object.as<Symbol>()) {
    std::string path = s->path == "nki" && e.text == "language" ? "nl"
                       : s->path == "nki" && e.text == "isa"    ? "nisa"
                                                                : s->path + "." + e.text;
    if (path == "nl" || path == "nisa") return {Symbol{path}};
    check_symbol(e, path);
    static const std::map<std::string_view, int64_t> constants = {{"nl.tile_size.pmax", 128},
                                                                  {"nl.tile_size.psum_fmax", 512},
                                                                  {"nl.tile_size.gemm_stationary_fmax", 128},
                                                                  {"nl.tile_size.gemm_moving_fmax", 512},
                                                                  {"nl.tile_size.bn_stats_fmax", 512}};
    if (auto c = constants.find(path); c != constants.end()) return {c->second};
    return {Symbol{path}};
  }
  if (const View* v = object.as<View>()) {
    if (e.text == "shape") {
      Sequence s{std::make_shared<std::vector<Value>>(), false};
      for (int i = 0; i < v->rank; ++i) s.items->push_back({v->size[i]});
      return {s};
    }
    if (e.text == "dtype") return {Symbol{"nl." + std::string(dtype_name(v->dtype))}};
    if (e.text == "ndim") return {int64_t{v->rank}};
    return {Method{std::make_shared<Value>(object), e.text}};
  }
  if (const Sequence* s = object.as<Sequence>(); s && s->list && e.text == "append")
    return {Method{std::make_shared<Value>(object), e.text}};
  wrong(e, kind_of(object) + " has no `." + e.text + "`");
}

Value Evaluator::subscript(const Expr& e, const Value& object, const std::vector<Value>& index) {
  if (const View* v = object.as<View>()) {
    if (index.size() == 1)
      if (const Sequence* s = index[0].as<Sequence>()) return slice_tensor(e, *v, *s->items);
    return slice_tensor(e, *v, index);
  }
  const Sequence* s = object.as<Sequence>();
  if (!s) wrong(e, kind_of(object) + " has no elements");
  if (index.size() != 1) wrong(e, "one index to a tuple or list");
  int64_t n = static_cast<int64_t>(s->items->size());
  if (const SliceValue* c = index[0].as<SliceValue>()) {
    if (c->has_step && c->step != 1) wrong(e, "a slice of a tuple has step 1");
    auto clamp = [n](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + n : i, 0, n); };
    int64_t from = c->has_start ? clamp(c->start) : 0, to = c->has_stop ? clamp(c->stop) : n;
    Sequence out{std::make_shared<std::vector<Value>>(), s->list};
    for (int64_t i = from; i < to; ++i) out.items->push_back((*s->items)[i]);
    spend(e, std::max<int64_t>(0, to - from));
    return {out};
  }
  int64_t i = integer(at(e), index[0], "an index");
  if (i < -n || i >= n) wrong(e, "index " + std::to_string(i) + " of " + std::to_string(n) + " elements");
  return (*s->items)[i < 0 ? i + n : i];
}

Value Evaluator::call(const Expr& e, const ScopeRef& scope) {
  Value callee = evaluate(e.kids[0], scope);
  Arguments arguments;
  for (size_t i = 1; i < e.kids.size(); ++i) {
    arguments.values.push_back(evaluate(e.kids[i], scope));
    arguments.names.push_back(e.keywords[i - 1]);
    arguments.places.push_back(at(e.kids[i]));
  }
  return call_value(e, callee, arguments);
}

Value Evaluator::call_value(const Expr& e, const Value& callee, Arguments& arguments) {
  if (const Symbol* s = callee.as<Symbol>()) {
    if (s->path.substr(0, 8) == "builtin.") return builtin(e, s->path.substr(8), arguments);
    if (s->path.substr(0, 5) == "nisa.") return isa_call(e, s->path.substr(5), arguments), Value{};
    return language_call(e, s->path, arguments);
  }
  if (const Closure* c = callee.as<Closure>()) return call_closure(e, *c, arguments);
  if (const Method* m = callee.as<Method>()) {
    if (const View* v = m->object->as<View>()) return tensor_method(e, *v, m->name, arguments);
    if (arguments.values.size() != 1) wrong(e, "`append` takes one value");
    const Sequence& list = std::get<Sequence>(m->object->v);
    // A list that holds itself would never be freed.
    if (arguments.values[0].as<Sequence>() && arguments.values[0].as<Sequence>()->list)
      wrong(e, "a list in a list is not followed; append tuples");
    if (list.items->size() >= 1'000'000) refuse(codes::nki_limit, at(e), "this list is too long");
    // Tiles of a list bear its name.
    const Expr* of = e.kids[0].kind == Expr::Kind::attribute ? &e.kids[0].kids[0] : nullptr;
    if (const View* v = arguments.values[0].as<View>(); v && of && of->kind == Expr::Kind::name)
      if (Tensor& t = trace_.tensors[v->tensor]; t.name.empty()) t.name = of->text;
    list.items->push_back(arguments.values[0]);
    return {};
  }
  wrong(e, kind_of(callee) + " cannot be called");
}

Value Evaluator::call_closure(const Expr& e, const Closure& closure, Arguments& arguments) {
  const Stmt& f = *closure.definition;
  if (++depth_ > 30) refuse(codes::nki_limit, at(e), "calls nest more than 30 deep");
  auto scope = std::make_shared<Scope>();
  scope->outer = closure.scope;
  for (size_t i = 0; i < arguments.values.size(); ++i) {
    std::string name = arguments.names[i];
    if (name.empty()) {
      if (i >= f.parameters.size())
        wrong(e, "`" + f.text + "` takes " + std::to_string(f.parameters.size()) + " arguments");
      name = f.parameters[i].name;
    }
    bool known = false;
    for (const Parameter& p : f.parameters) known |= p.name == name;
    if (!known || scope->names.count(name)) wrong(e, "`" + f.text + "` takes no second or unknown `" + name + "`");
    scope->names[name] = arguments.values[i];
  }
  for (const Parameter& p : f.parameters) {
    if (scope->names.count(p.name)) continue;
    if (p.fallback.kind == Expr::Kind::none) wrong(e, "`" + f.text + "` needs `" + p.name + "`");
    scope->names[p.name] = evaluate(p.fallback, closure.scope);
  }
  bool returned = block(f.body, scope);
  --depth_;
  return returned ? returned_ : Value{};
}

Value Evaluator::builtin(const Expr& e, const std::string& name, Arguments& arguments) {
  std::vector<Value>& a = arguments.values;
  for (const std::string& n : arguments.names)
    if (!n.empty()) wrong(e, "`" + name + "` takes no keyword");
  auto need = [&](size_t least, size_t most) {
    if (a.size() < least || a.size() > most)
      wrong(e, "`" + name + "` does not take " + std::to_string(a.size()) + " arguments");
  };
  if (name == "range") {
    need(1, 3);
    Range r;
    if (a.size() == 1) r.stop = integer(at(e), a[0], "a bound of `range`");
    else r.start = integer(at(e), a[0], "a bound of `range`"), r.stop = integer(at(e), a[1], "a bound of `range`");
    if (a.size() == 3) r.step = integer(at(e), a[2], "the step of `range`");
    if (r.step == 0) wrong(e, "a range of step 0");
    constexpr int64_t far = int64_t{1} << 40;
    if (std::max({r.start, r.stop, r.step}) > far || std::min({r.start, r.stop, r.step}) < -far)
      wrong(e, "this range is too long");
    return {r};
  }
  if (name == "min" || name == "max") {
    if (a.size() == 1 && a[0].as<Sequence>()) {
      auto items = a[0].as<Sequence>()->items;
      a = *items;
    }
    if (a.empty()) wrong(e, "`" + name + "` of nothing");
    Value best = a[0];
    for (size_t i = 1; i < a.size(); ++i)
      if (compare(e, a[i], name == "min" ? "<" : ">", best)) best = a[i];
    if (!best.as<int64_t>() && !best.as<double>() && !best.as<bool>()) wrong(e, "`" + name + "` of " + kind_of(best));
    return best;
  }
  if (name == "len") {
    need(1, 1);
    if (const Sequence* s = a[0].as<Sequence>()) return {static_cast<int64_t>(s->items->size())};
    if (const Range* r = a[0].as<Range>()) return {r->count()};
    wrong(e, kind_of(a[0]) + " has no length");
  }
  if (name == "abs") {
    need(1, 1);
    if (const double* d = a[0].as<double>()) return {std::fabs(*d)};
    int64_t n = integer(at(e), a[0], "the operand");
    if (n == INT64_MIN) wrong(e, "this integer does not fit in 64 bits");
    return {n < 0 ? -n : n};
  }
  if (name == "int" || name == "float") {
    need(1, 1);
    if (const double* d = a[0].as<double>()) {
      if (name == "float") return {*d};
      if (!(std::fabs(*d) < 9e18)) wrong(e, "this number is no integer of 64 bits");
      return {static_cast<int64_t>(*d)};
    }
    if (const std::string* t = a[0].as<std::string>(); t && name == "float") {
      if (*t == "inf") return {HUGE_VAL};
      if (*t == "-inf") return {-HUGE_VAL};
      wrong(e, "`float` of a string is \"inf\" or \"-inf\"");
    }
    int64_t n = integer(at(e), a[0], "the operand");
    return name == "int" ? Value{n} : Value{static_cast<double>(n)};
  }
  if (name == "bool") {
    need(1, 1);
    return {truth(e, a[0])};
  }
  if (name == "tuple" || name == "list") {
    need(0, 1);
    Sequence s{std::make_shared<std::vector<Value>>(), name == "list"};
    if (a.size() == 1) {
      if (const Range* r = a[0].as<Range>()) {
        spend(e, 20 * r->count());
        for (int64_t i = 0; i < r->count(); ++i) s.items->push_back({r->start + i * r->step});
      } else if (const Sequence* from = a[0].as<Sequence>()) {
        *s.items = *from->items;
        spend(e, static_cast<int64_t>(s.items->size()));
      } else {
        wrong(e, kind_of(a[0]) + " is no sequence");
      }
    }
    return {s};
  }
  if (name == "sum") {
    need(1, 1);
    const Sequence* s = a[0].as<Sequence>();
    if (!s) wrong(e, kind_of(a[0]) + " is no sequence");
    Value total{int64_t{0}};
    for (const Value& v : *s->items) total = binary(e, total, "+", v);
    return total;
  }
  if (name == "enumerate" || name == "zip") {
    need(name == "zip" ? 2 : 1, name == "zip" ? 2 : 1);
    const Sequence *x = a[0].as<Sequence>(), *y = a.size() == 2 ? a[1].as<Sequence>() : nullptr;
    if (!x || (name == "zip" && !y)) wrong(e, "`" + name + "` takes tuples and lists");
    Sequence out{std::make_shared<std::vector<Value>>(), true};
    size_t n = y ? std::min(x->items->size(), y->items->size()) : x->items->size();
    spend(e, static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
      Sequence pair{std::make_shared<std::vector<Value>>(), false};
      if (y) *pair.items = {(*x->items)[i], (*y->items)[i]};
      else *pair.items = {Value{static_cast<int64_t>(i)}, (*x->items)[i]};
      out.items->push_back({pair});
    }
    return {out};
  }
  refuse_rule(RuleId::removed_syntax, at(e), "`" + name + "` is not called in a kernel");
}

}  // namespace heddle::neuron::sim
