#include "tests/fuzz/common/step_generator.h"

#include <algorithm>

#include "ir/visit.h"
#include "tests/fuzz/common/ready_steps.h"
#include "tests/fuzz/common/terms.h"

namespace heddle::fuzz {
namespace {

using ir::StepCall;
using ir::Term;

struct Site {
  std::string name;
  std::vector<std::string> around;  // loops outside of it, outermost first
  std::vector<std::string> inside;
};

void collect(const ir::Program& p, const ir::Body& body, std::vector<std::string>& around, std::vector<Site>& out) {
  for (const ir::StmtRef& s : body) {
    const ir::For* l = std::get_if<ir::For>(&s->form);
    if (!l) {
      collect(p, ir::children(s), around, out);
      continue;
    }
    std::string name = name_of(p, l->loop);
    size_t mine = out.size();
    out.push_back({name, around, {}});
    around.push_back(name);
    collect(p, l->body, around, out);
    around.pop_back();
    for (size_t i = mine + 1; i < out.size(); ++i) out[mine].inside.push_back(out[i].name);
  }
}

class Generator {
 public:
  Generator(const ir::Program& p, const std::map<std::string, int64_t>& dims, Random& r) : p_(p), dims_(dims), r_(r) {
    std::vector<std::string> around;
    collect(p, p.body, around, loops_);
    ir::walk(p.body, [&](const ir::StmtRef& s) {
      if (const ir::Leaf* l = std::get_if<ir::Leaf>(&s->form)) {
        stages_.push_back(p.stage(l->stage).name);
        if (!l->reducer.empty()) reductions_.push_back(p.stage(l->stage).name);
      }
      return true;
    });
    for (const ir::Buffer& b : p.buffers) buffers_.push_back(b.name);
    for (const Site& s : loops_) owners_.push_back(s.name.substr(0, s.name.rfind('.')));
    ir::walk(p.body, [&](const ir::StmtRef& s) {
      if (const ir::Alloc* a = std::get_if<ir::Alloc>(&s->form))
        laid_out_.insert(laid_out_.end(), a->buffers.begin(), a->buffers.end());
      return true;
    });
    for (const ir::Parameter& q : p.parameters)
      if (q.buffer.known() && p.buffer(q.buffer).role == ir::Role::in) laid_out_.push_back(q.buffer);
  }

  StepCall run() {
    StepCall c;
    if (loops_.empty()) return step("inline", "s0");
    if (r_.chance(15))
      if (std::optional<StepCall> c = whole_range_step(p_, r_)) return *std::move(c);
    if (r_.chance(45))
      if (std::optional<StepCall> c = ready_step(p_, r_)) return *std::move(c);
    switch (r_.below(32)) {
      case 0:
      case 1: return split();
      case 2: return reorder();
      case 3: return with_by("vectorize");
      case 4: return step("vectorize", loop());
      case 5: return step("parallel", loop());
      case 6: return r_.chance(50) ? step("unroll", loop()) : with_by("unroll");
      case 7: return step("inline", stage());
      case 8:
      case 9: return compute_at();
      case 10:
      case 11: return rfactor();
      case 12: return cache();
      case 13: return with_by("peel");
      case 14: return step("nontemporal", stage());
      case 15: return prefetch();
      case 16: return pipeline();
      case 17:
      case 23:
      case 24: return part();
      case 18: return collapse();
      case 19:
      case 20: return layout();
      case 21: return bind();
      case 22: return replace();
      case 25: return specialize();
      case 26:
      case 29:
      case 30: return split(100);
      case 31: return step("nontemporal", stage());
      default: return fix();
    }
  }

 private:
  const std::string& loop() { return r_.pick(loops_).name; }
  std::string stage() { return stages_.empty() ? "s0" : r_.pick(stages_); }
  int64_t factor() { return r_.pick<int64_t>({1, 2, 3, 4, 5, 8, 16, r_.pick<int64_t>({6, 7, 12, 17, 32, 64})}); }
  std::string fresh(const char* prefix) { return prefix + std::to_string(r_.below(100)); }

  StepCall with_by(const char* name) { return with_by(name, loop()); }
  StepCall with_by(const char* name, const std::string& operand) {
    StepCall c = step(name, operand);
    c.with["by"].push_back(number(factor()));
    return c;
  }
  StepCall split(int tails = 60) {
    StepCall c = with_by("split");
    if (r_.chance(50)) c.with["into"] = {path(fresh("o")), path(fresh("i"))};
    if (r_.chance(tails)) c.with["with"] = {path(r_.pick({"peel", "peel", "shift", "shift", "shift"}))};
    return c;
  }
  static Term operation(const char* op, Term a, Term b) {
    Term t;
    t.kind = Term::Kind::binary;
    t.text = op;
    t.args = {std::move(a), std::move(b)};
    return t;
  }
  // Steps that make, join or move parts of a nest.
  StepCall part() {
    switch (r_.below(6)) {
      case 4: {
        StepCall c = step("store_at", stage());
        c.with["at"] = {path(r_.chance(50) ? loop() : stage())};
        return c;
      }
      case 5: return with_by("fold_storage", stage());
      case 0: return specialize();
      case 1: {
        StepCall c = step("fission", loop());
        c.with["after"] = {path(stage())};
        return c;
      }
      default: return fuse();
    }
  }
  // Mostly loops that stand one after the other, with one name and so often with one extent.
  StepCall fuse() {
    std::vector<std::pair<std::string, std::string>> near;
    for (size_t i = 0; i < loops_.size(); ++i)
      for (size_t j = i + 1; j < loops_.size(); ++j)
        if (loops_[i].around == loops_[j].around) {
          near.emplace_back(loops_[i].name, loops_[j].name);
          break;
        }
    StepCall c;
    c.name = "fuse";
    auto [first, second] = near.empty() || r_.chance(10) ? std::pair{loop(), loop()} : r_.pick(near);
    c.operands = {path(first), path(second)};
    if (r_.chance(60)) c.with["into"] = {path(fresh("f"))};
    return c;
  }
  StepCall specialize() {
    StepCall c = step("specialize", r_.chance(70) ? stage() : r_.pick(owners_));
    Term dim = path(r_.pick({"m", "n", "k"}));
    Term when;
    switch (r_.below(5)) {
      case 4:
        when = operation(r_.pick({"&&", "||"}), operation(r_.pick({"==", ">=", "<"}), dim, number(dims_.at(dim.text))),
                         operation("<", path(r_.pick({"m", "n", "k"})), number(1 + r_.below(12))));
        break;
      case 0: when = operation("==", operation("%", dim, number(factor())), number(0)); break;
      case 1: when = operation(">=", dim, number(r_.below(12))); break;
      case 2: when = operation("==", dim, number(dims_.at(dim.text))); break;
      default: when = operation("<", path(loop()), dim);
    }
    c.with["when"] = {when};
    return c;
  }
  StepCall reorder() {
    const Site& site = r_.pick(loops_);
    std::vector<std::string> names = site.inside;
    names.push_back(site.name);
    for (size_t i = names.size(); i-- > 1;) std::swap(names[i], names[r_.below(static_cast<int>(i) + 1)]);
    if (names.size() > 2 && r_.chance(50)) names.resize(2 + r_.below(static_cast<int>(names.size()) - 2));
    StepCall c;
    c.name = "reorder";
    for (const std::string& n : names) c.operands.push_back(path(n));
    return c;
  }
  void memory(StepCall& c) { c.with["in"] = {some_memory(r_)}; }
  StepCall compute_at() {
    StepCall c = step("compute_at", stage());
    c.with["at"].push_back(path(loop()));
    if (r_.chance(30)) memory(c);
    return c;
  }
  StepCall rfactor() {
    std::vector<std::string> of_reductions;
    for (const Site& s : loops_)
      for (const std::string& r : reductions_)
        if (s.name.compare(0, r.size() + 1, r + ".") == 0) of_reductions.push_back(s.name);
    StepCall c = step("rfactor", of_reductions.empty() ? loop() : r_.pick(of_reductions));
    if (r_.chance(60)) c.with["by"].push_back(number(factor()));
    if (r_.chance(40)) c.with["as"].push_back(path(fresh("p")));
    if (r_.chance(25)) c.with["with"] = {path("of")};
    return c;
  }
  StepCall cache() {
    StepCall c = step("cache", r_.pick(buffers_));
    if (r_.chance(30)) c.operands[0] = window(c.operands[0].text);
    if (const std::string word = conversion(c.operands[0]); !word.empty()) {
      Term under;
      under.kind = Term::Kind::call;
      under.text = word;
      under.args = {c.operands[0]};
      c.operands[0] = std::move(under);
    }
    memory(c);
    c.with["at"].push_back(path(loop()));
    if (r_.chance(50)) c.with["as"].push_back(path(fresh("c")));
    return c;
  }
  // What a read of the tensor stands under somewhere, often; or none.
  std::string conversion(const Term& operand) {
    const std::string tensor = operand.kind == Term::Kind::subscript ? operand.args[0].text : operand.text;
    std::vector<std::string> words;
    converted_loads(p_.body, [&](const ir::Load& load, ir::ScalarType to) {
      const ir::Buffer& b = p_.buffer(load.buffer);
      if (b.name != tensor) return;
      words.emplace_back(ir::scalar_type_name(to));
      if (ir::widened(b.type) == to) words.emplace_back("widen");
    });
    if (words.empty()) return r_.chance(3) ? "widen" : "";
    return r_.chance(60) ? r_.pick(words) : "";
  }
  // `t[q0 in lo .. hi, q1]`: of some dims the range is written, mostly one that holds what is read.
  Term window(const std::string& tensor) {
    Term t;
    t.kind = Term::Kind::subscript;
    t.args = {path(tensor)};
    size_t rank = 0;
    for (const ir::Buffer& b : p_.buffers)
      if (b.name == tensor) rank = b.box.size();
    for (size_t d = 0; d < rank; ++d) {
      const std::string name = "q" + std::to_string(d);
      if (r_.chance(40)) {
        t.args.push_back(path(name));
        continue;
      }
      Term range;
      range.kind = Term::Kind::range;
      range.bound = name;
      const Term dim = path(r_.pick({"m", "n", "k"}));
      range.args = {number(0), dim};
      if (r_.chance(40)) {
        const Term i = path(loop()), at = r_.chance(50) ? i : operation("*", number(factor()), i);
        range.args = {at, operation("+", at, number(factor()))};
      } else if (r_.chance(30)) {
        range.args[1] = number(factor());
      }
      t.args.push_back(range);
    }
    return t;
  }
  StepCall pipeline() {
    StepCall c = step("pipeline", loop());
    c.with["by"].push_back(number(r_.pick<int64_t>({2, 2, 3, 3, 4})));
    return c;
  }
  StepCall prefetch() {
    StepCall c = step("prefetch", r_.pick(buffers_));
    c.with["at"].push_back(path(loop()));
    c.with["by"].push_back(number(factor()));
    return c;
  }
  StepCall collapse() {
    const Site& site = r_.pick(loops_);
    StepCall c = step("collapse", site.name);
    c.operands.push_back(path(site.inside.empty() || r_.chance(10) ? loop() : site.inside[0]));
    if (r_.chance(50)) c.with["into"] = {path(fresh("z"))};
    return c;
  }
  // `layout t[a, b] to (a/4, b, a%4)`: one of the indices in blocks, or some order of them all.
  StepCall layout() {
    StepCall c;
    c.name = "layout";
    if (laid_out_.empty()) return step("layout", "s0");
    std::vector<ir::BufferId> inputs;
    for (ir::BufferId id : laid_out_)
      if (p_.buffer(id).role == ir::Role::in) inputs.push_back(id);
    const ir::Buffer& b = p_.buffer(r_.pick(inputs.empty() || r_.chance(50) ? laid_out_ : inputs));
    Term buffer, to;
    buffer.kind = Term::Kind::subscript;
    buffer.args = {path(b.name)};
    to.kind = Term::Kind::tuple;
    std::vector<Term> parts;
    for (size_t i = 0; i < b.box.size(); ++i) {
      const std::string name = "q" + std::to_string(i);
      buffer.args.push_back(path(name));
      parts.push_back(path(name));
    }
    for (size_t i = parts.size(); i-- > 1;) std::swap(parts[i], parts[r_.below(static_cast<int>(i) + 1)]);
    if (!parts.empty() && r_.chance(70)) {
      const size_t at = static_cast<size_t>(r_.below(static_cast<int>(parts.size())));
      const int64_t n = factor();
      const Term whole = parts[at];
      parts[at] = operation("/", whole, number(n));
      parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1 + r_.below(static_cast<int>(parts.size() - at)),
                   operation("%", whole, number(n)));
      if (r_.chance(60)) c.with["with"] = {number(0)};
    }
    to.args = parts;
    c.operands.push_back(buffer);
    c.with["to"] = {to};
    return c;
  }

  StepCall bind() {
    StepCall c = step("bind", loop());
    c.with["to"].push_back(path(r_.pick({"partition", "free", "vector"})));
    return c;
  }
  StepCall replace() {
    StepCall c = step("replace", loop());
    c.with["by"].push_back(path(r_.pick({"vnni_dot_512", "bf16_dot_256", "interleave_4", "interleave_2"})));
    return c;
  }
  StepCall fix() {
    StepCall c;
    c.name = "fix";
    Term equation;
    equation.kind = Term::Kind::binary;
    equation.text = "=";
    std::string dim = r_.pick({"m", "n", "k"});
    equation.args = {path(dim), number(dims_.at(dim))};
    c.operands.push_back(equation);
    return c;
  }

  const ir::Program& p_;
  const std::map<std::string, int64_t>& dims_;
  Random& r_;
  std::vector<Site> loops_;
  std::vector<std::string> stages_, reductions_, buffers_, owners_;
  std::vector<ir::BufferId> laid_out_;
};

std::string text_of(const std::vector<Term>& terms);

std::string text_of(const Term& t) {
  if (t.kind == Term::Kind::binary) return text_of(t.args[0]) + " " + t.text + " " + text_of(t.args[1]);
  if (t.kind == Term::Kind::integer) return std::to_string(t.integer);
  if (t.kind == Term::Kind::range) return t.bound + " in " + text_of(t.args[0]) + " .. " + text_of(t.args[1]);
  if (t.kind == Term::Kind::tuple) return "(" + text_of(t.args) + ")";
  if (t.kind == Term::Kind::subscript)
    return text_of(t.args[0]) + "[" + text_of({t.args.begin() + 1, t.args.end()}) + "]";
  return t.text;
}

std::string text_of(const std::vector<Term>& terms) {
  std::string text;
  for (const Term& t : terms) text += (text.empty() ? "" : ", ") + text_of(t);
  return text;
}

}  // namespace

ir::StepCall random_step(const ir::Program& program, const std::map<std::string, int64_t>& dims, Random& random) {
  return Generator(program, dims, random).run();
}

std::string text_of(const ir::StepCall& call) {
  std::string text = call.name + " " + text_of(call.operands);
  for (const char* word : {"by", "into", "in", "to", "at", "as", "with", "when", "after"})
    if (auto at = call.with.find(word); at != call.with.end())
      text += " " + std::string(word) + " " + text_of(at->second);
  return text;
}

}  // namespace heddle::fuzz
