#include "tests/fuzz/common/ready_steps.h"

#include <algorithm>
#include <map>

#include "ir/prove.h"
#include "ir/visit.h"
#include "tests/fuzz/common/terms.h"

namespace heddle::fuzz {
namespace {

using ir::StepCall;

struct Place {
  const ir::For* loop;
  std::string name;
  std::vector<std::string> around;  // loops outside of it, outermost first
};

struct Allocated {
  ir::BufferId buffer;
  std::vector<std::string> around;
  bool before_loop;  // the next statement is a serial loop
};

class Ready {
 public:
  Ready(const ir::Program& p, Random& r) : p_(p), r_(r) {
    std::vector<std::string> around;
    collect(p.body, around);
  }

  std::optional<StepCall> only_whole_range() { return whole_range() ? std::optional(call_) : std::nullopt; }

  std::optional<StepCall> run() {
    using Kind = bool (Ready::*)();
    // Those that seldom apply stand here more often.
    static constexpr Kind kinds[] = {
        &Ready::fission,      &Ready::fission,      &Ready::fission,     &Ready::store_at,    &Ready::store_at,
        &Ready::fold_storage, &Ready::fold_storage, &Ready::collapse,    &Ready::collapse,    &Ready::pipeline,
        &Ready::pipeline,     &Ready::pipeline,     &Ready::prefetch,    &Ready::exact_split, &Ready::exact_split,
        &Ready::compute_at,   &Ready::cache,        &Ready::fuse,        &Ready::inline_into, &Ready::vectorize,
        &Ready::whole_range,  &Ready::whole_range,  &Ready::accumulate,  &Ready::partial,     &Ready::write_back,
        &Ready::write_back,   &Ready::fission,      &Ready::fission,     &Ready::pipeline,    &Ready::pipeline,
        &Ready::whole_range,  &Ready::whole_range,  &Ready::whole_range, &Ready::store_at,    &Ready::fold_storage,
        &Ready::fission,      &Ready::state_back,   &Ready::state_back,  &Ready::state_back,  &Ready::offset,
        &Ready::offset,       &Ready::converted,    &Ready::converted,   &Ready::converted};
    std::vector<Kind> left(std::begin(kinds), std::end(kinds));
    while (!left.empty()) {
      const size_t at = static_cast<size_t>(r_.below(static_cast<int>(left.size())));
      if ((this->*left[at])()) return call_;
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return std::nullopt;
  }

 private:
  static const ir::For* loop_of(const ir::StmtRef& s) { return std::get_if<ir::For>(&s->form); }

  void collect(const ir::Body& body, std::vector<std::string>& around) {
    for (size_t i = 0; i < body.size(); ++i) {
      if (const auto* a = std::get_if<ir::Alloc>(&body[i]->form)) {
        const ir::For* next = i + 1 < body.size() ? loop_of(body[i + 1]) : nullptr;
        for (ir::BufferId b : a->buffers) allocated_.push_back({b, around, next && next->kind == ir::LoopKind::serial});
      }
      const ir::For* l = loop_of(body[i]);
      if (!l) {
        collect(ir::children(body[i]), around);
        continue;
      }
      loops_.push_back({l, name_of(p_, l->loop), around});
      around.push_back(name_of(p_, l->loop));
      collect(l->body, around);
      around.pop_back();
    }
  }

  // Stages computed in a statement.
  std::vector<std::string> stages(const ir::Body& body) const {
    std::vector<std::string> out;
    ir::walk(body, [&](const ir::StmtRef& s) {
      if (const auto* l = std::get_if<ir::Leaf>(&s->form)) out.push_back(p_.stage(l->stage).name);
      return true;
    });
    return out;
  }
  // Calls `f` with each load of a leaf in the body, with its subscripts over loops.
  void loads(const ir::Body& body, const std::function<void(const ir::Load&, const ir::Leaf&)>& f) const {
    ir::walk(body, [&](const ir::StmtRef& s) {
      const auto* l = std::get_if<ir::Leaf>(&s->form);
      if (!l) return true;
      for (const ir::Assign& a : l->assigns)
        ir::walk(a.value, [&](const ir::Expr& e) {
          if (const auto* load = e.as<ir::Load>()) f(*load, *l);
          return true;
        });
      return true;
    });
  }

  bool give(StepCall c) {
    call_ = std::move(c);
    return true;
  }
  // Names of a loop or of the stage whose nest stands outermost.
  std::string spot(const std::vector<std::string>& around, size_t at) const {
    return at > 0 ? around[at - 1] : around[0].substr(0, around[0].rfind('.'));
  }
  void memory(StepCall& c, int percent) {
    if (r_.chance(percent)) c.with["in"] = {some_memory(r_)};
  }

  // Loops that stand one after the other and run over the same range.
  bool fuse() {
    std::vector<std::pair<std::string, std::string>> pairs;
    auto look = [&](const ir::Body& body) {
      for (size_t i = 0; i < body.size(); ++i)
        for (size_t j = i + 1; j < body.size(); ++j) {
          const ir::For *a = loop_of(body[i]), *b = loop_of(body[j]);
          if (a && b && ir::equal(a->lo, b->lo) && ir::equal(a->hi, b->hi))
            pairs.emplace_back(name_of(p_, a->loop), name_of(p_, b->loop));
          if (a && b) break;
        }
    };
    look(p_.body);
    for (const Place& l : loops_) look(l.loop->body);
    if (pairs.empty()) return false;
    const auto& [first, second] = r_.pick(pairs);
    StepCall c = step("fuse", first);
    c.operands.push_back(path(second));
    if (r_.chance(60)) c.with["into"] = {path("f" + std::to_string(r_.below(100)))};
    return give(c);
  }

  // A temporary that is no reduction.
  bool inline_into() {
    std::vector<std::string> plain;
    ir::walk(p_.body, [&](const ir::StmtRef& s) {
      const auto* l = std::get_if<ir::Leaf>(&s->form);
      if (l && l->reducer.empty() && p_.buffer(l->assigns[0].buffer).role == ir::Role::temporary)
        plain.push_back(p_.stage(l->stage).name);
      return true;
    });
    return !plain.empty() && r_.chance(30) && give(step("inline", r_.pick(plain)));
  }

  // An innermost loop, split on the way where it has no constant extent.
  bool vectorize() {
    std::vector<const Place*> inner;
    for (const Place& l : loops_)
      if (l.loop->kind == ir::LoopKind::serial &&
          std::all_of(l.loop->body.begin(), l.loop->body.end(),
                      [](const ir::StmtRef& s) { return std::holds_alternative<ir::Leaf>(s->form); }))
        inner.push_back(&l);
    if (inner.empty()) return false;
    const Place& l = *r_.pick(inner);
    StepCall c = step("vectorize", l.name);
    if (!ir::constant_value(l.loop->hi) || r_.chance(50)) c.with["by"] = {number(r_.pick<int64_t>({2, 3, 4, 8, 16}))};
    return give(c);
  }

  bool fission() {
    std::vector<std::pair<std::string, std::string>> cuts;
    for (const Place& l : loops_) {
      const ir::Body& body = l.loop->body;
      for (size_t i = 0; i + 1 < body.size(); ++i)
        for (const std::string& s : stages({body[i]})) cuts.emplace_back(l.name, s);
    }
    if (cuts.empty()) return false;
    const auto& [loop, after] = r_.pick(cuts);
    StepCall c = step("fission", loop);
    c.with["after"] = {path(after)};
    return give(c);
  }

  bool store_at() {
    std::vector<const Allocated*> inside;
    for (const Allocated& a : allocated_)
      if (!a.around.empty()) inside.push_back(&a);
    if (inside.empty()) return false;
    const Allocated& a = *r_.pick(inside);
    StepCall c = step("store_at", p_.buffer(a.buffer).name);
    c.with["at"] = {path(spot(a.around, static_cast<size_t>(r_.below(static_cast<int>(a.around.size())))))};
    memory(c, 20);
    return give(c);
  }

  bool fold_storage() {
    std::vector<std::string> outside;
    for (const Allocated& a : allocated_)
      if (a.before_loop) outside.push_back(p_.buffer(a.buffer).name);
    if (outside.empty()) return false;
    StepCall c = step("fold_storage", r_.pick(outside));
    c.with["by"] = {number(1 + r_.below(6))};
    return give(c);
  }

  bool collapse() {
    std::vector<std::pair<std::string, std::string>> nests;
    for (const Place& l : loops_) {
      const ir::For* inner = l.loop->body.size() == 1 ? loop_of(l.loop->body[0]) : nullptr;
      if (inner && ir::constant_value(inner->lo) && ir::constant_value(inner->hi))
        nests.emplace_back(l.name, name_of(p_, inner->loop));
    }
    if (nests.empty()) return false;
    const auto& [outer, inner] = r_.pick(nests);
    StepCall c = step("collapse", outer);
    c.operands.push_back(path(inner));
    if (r_.chance(50)) c.with["into"] = {path("z" + std::to_string(r_.below(100)))};
    return give(c);
  }

  bool pipeline() {
    std::vector<std::string> holding;
    for (const Place& l : loops_) {
      const ir::Body& b = l.loop->body;
      const bool allocates = std::any_of(
          b.begin(), b.end(), [](const ir::StmtRef& s) { return std::holds_alternative<ir::Alloc>(s->form); });
      if (allocates && b.size() > 2 && l.loop->kind == ir::LoopKind::serial) holding.push_back(l.name);
    }
    if (holding.empty()) return false;
    StepCall c = step("pipeline", r_.pick(holding));
    c.with["by"] = {number(2 + r_.below(2))};
    return give(c);
  }

  bool prefetch() {
    std::vector<std::pair<std::string, std::string>> moving;
    for (const Place& l : loops_)
      if (l.loop->kind == ir::LoopKind::serial)
        loads(l.loop->body, [&](const ir::Load& load, const ir::Leaf& leaf) {
          const ir::Stage& stage = p_.stage(leaf.stage);
          for (const ir::Expr& sub : load.subs)
            for (size_t i = 0; i < stage.axes.size(); ++i)
              if (ir::mentions(sub, stage.axes[i].symbol) && ir::mentions(leaf.bindings[i], l.loop->loop))
                moving.emplace_back(l.name, p_.buffer(load.buffer).name);
        });
    if (moving.empty()) return false;
    const auto& [loop, tensor] = r_.pick(moving);
    StepCall c = step("prefetch", tensor);
    c.with["at"] = {path(loop)};
    c.with["by"] = {number(1 + r_.below(8))};
    return give(c);
  }

  bool exact_split() {
    std::vector<std::pair<std::string, int64_t>> even;
    for (const Place& l : loops_) {
      const int64_t *lo = ir::constant_value(l.loop->lo), *hi = ir::constant_value(l.loop->hi);
      if (!lo || !hi || l.loop->kind != ir::LoopKind::serial) continue;
      for (int64_t n = 1; n <= 16 && n <= *hi - *lo; ++n)
        if ((*hi - *lo) % n == 0) even.emplace_back(l.name, n);
    }
    if (even.empty()) return false;
    const auto& [loop, by] = r_.pick(even);
    StepCall c = step("split", loop);
    c.with["by"] = {number(by)};
    c.with["with"] = {path("exact")};
    return give(c);
  }

  // A stage, at a loop of one that reads it.
  bool compute_at() {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const Place& l : loops_)
      loads(l.loop->body, [&](const ir::Load& load, const ir::Leaf& leaf) {
        const ir::Buffer& b = p_.buffer(load.buffer);
        if (b.role == ir::Role::temporary && b.name != p_.stage(leaf.stage).name) pairs.emplace_back(b.name, l.name);
      });
    if (pairs.empty()) return false;
    const auto& [stage, at] = r_.pick(pairs);
    StepCall c = step("compute_at", stage);
    c.with["at"] = {path(at)};
    memory(c, 50);
    return give(c);
  }

  // A tensor, at a loop in which it is read or written.
  bool cache() {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const Place& l : loops_) {
      loads(l.loop->body,
            [&](const ir::Load& load, const ir::Leaf&) { pairs.emplace_back(p_.buffer(load.buffer).name, l.name); });
      for (const std::string& s : stages(l.loop->body)) pairs.emplace_back(s, l.name);
    }
    if (pairs.empty()) return false;
    const auto& [tensor, at] = r_.pick(pairs);
    StepCall c = step("cache", tensor);
    memory(c, 100);
    c.with["at"] = {path(at)};
    if (r_.chance(50)) c.with["as"] = {path("c" + std::to_string(r_.below(100)))};
    return give(c);
  }

  // A tensor as one conversion gives it, at a loop in which it is read under that alone.
  bool converted() {
    struct Read {
      std::string tensor, at;
      ir::ScalarType from, to;
    };
    std::vector<Read> reads;
    for (const Place& l : loops_) {
      std::map<uint32_t, int> all;
      std::map<std::pair<uint32_t, ir::ScalarType>, int> under;
      loads(l.loop->body, [&](const ir::Load& load, const ir::Leaf&) { ++all[load.buffer.value]; });
      converted_loads(l.loop->body, [&](const ir::Load& load, ir::ScalarType to) {
        if (to != ir::ScalarType::index) ++under[{load.buffer.value, to}];
      });
      for (const auto& [key, count] : under) {
        const ir::Buffer& b = p_.buffers[key.first];
        if (count == all[key.first] && b.field.empty()) reads.push_back({b.name, l.name, b.type, key.second});
      }
    }
    if (reads.empty()) return false;
    const Read& read = r_.pick(reads);
    ir::Term under;
    under.kind = ir::Term::Kind::call;
    under.text =
        ir::widened(read.from) == read.to && r_.chance(50) ? "widen" : std::string(ir::scalar_type_name(read.to));
    under.args = {path(read.tensor)};
    StepCall c = step("cache", read.tensor);
    c.operands[0] = std::move(under);
    memory(c, 100);
    c.with["at"] = {path(read.at)};
    if (r_.chance(50)) c.with["as"] = {path("c" + std::to_string(r_.below(100)))};
    return give(c);
  }

  // Loops inside of regions, with the stages that are reduced there: by a reducer of the text with a form for whole ranges, or by any.
  std::vector<std::pair<std::string, std::string>> open_loops(bool whole_form) const {
    std::vector<std::pair<std::string, std::string>> out;
    ir::walk(p_.body, [&](const ir::StmtRef& s) {
      const auto* region = std::get_if<ir::Reduce>(&s->form);
      if (!region) return true;
      const ir::Reducer* reducer = p_.reducer(region->reducer);
      if (whole_form && (!reducer || reducer->whole.empty())) return true;
      const std::string name = p_.buffer(region->windows[0].buffer).name;
      ir::walk(region->body, [&](const ir::StmtRef& below) {
        if (const ir::For* l = loop_of(below)) out.emplace_back(name, name_of(p_, l->loop));
        return true;
      });
      return true;
    });
    return out;
  }

  bool whole_range() { return partial_results(true); }
  bool partial() { return partial_results(false); }

  bool partial_results(bool whole_form) {
    const auto pairs = open_loops(whole_form);
    if (pairs.empty()) return false;
    StepCall c = step("rfactor", r_.pick(pairs).second);
    if (r_.chance(60)) c.with["by"] = {number(1 + r_.below(8))};
    if (whole_form) c.with["with"] = {path("of")};
    return give(c);
  }

  // What a loop writes, made in a copy.
  bool write_back() {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const Place& l : loops_)
      for (const std::string& s : stages(l.loop->body)) pairs.emplace_back(s, l.name);
    if (pairs.empty()) return false;
    const auto& [stage, at] = r_.pick(pairs);
    StepCall c = step("cache", stage);
    memory(c, 100);
    c.with["at"] = {path(at)};
    return give(c);
  }

  // A state of several fields that a loop makes, all of it in a copy.
  bool state_back() {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const Place& l : loops_)
      ir::walk(l.loop->body, [&](const ir::StmtRef& s) {
        const auto* region = std::get_if<ir::Reduce>(&s->form);
        if (region && region->windows.size() > 1) pairs.emplace_back(p_.buffer(region->windows[0].buffer).name, l.name);
        return true;
      });
    if (pairs.empty()) return false;
    const auto& [state, at] = r_.pick(pairs);
    StepCall c = step("cache", state);
    memory(c, 100);
    c.with["at"] = {path(at)};
    return give(c);
  }

  // A sum of products of small integers, one of which is made unsigned.
  bool offset() {
    std::vector<std::string> factors;
    ir::walk(p_.body, [&](const ir::StmtRef& s) {
      const auto* leaf = std::get_if<ir::Leaf>(&s->form);
      if (!leaf || leaf->assigns[0].kind != ir::AssignKind::combine) return true;
      ir::walk(leaf->assigns[0].value, [&](const ir::Expr& e) {
        const auto* load = e.as<ir::Load>();
        if (load && e.type() == ir::ScalarType::i8)
          factors.push_back(p_.stage(leaf->stage).name + "." + p_.buffer(load->buffer).name);
        return true;
      });
      return true;
    });
    if (factors.empty()) return false;
    StepCall c = step("offset", r_.pick(factors));
    c.with["by"] = {number(r_.chance(90) ? 128 : r_.below(130))};
    return give(c);
  }

  bool accumulate() {
    const auto pairs = open_loops(false);
    if (pairs.empty()) return false;
    const auto& [stage, at] = r_.pick(pairs);
    StepCall c = step("cache", stage);
    memory(c, 100);
    c.with["at"] = {path(at)};
    return give(c);
  }

  const ir::Program& p_;
  Random& r_;
  std::vector<Place> loops_;
  std::vector<Allocated> allocated_;
  StepCall call_;
};

}  // namespace

std::optional<StepCall> whole_range_step(const ir::Program& program, Random& random) {
  return Ready(program, random).only_whole_range();
}
std::optional<StepCall> ready_step(const ir::Program& program, Random& random) { return Ready(program, random).run(); }

}  // namespace heddle::fuzz
