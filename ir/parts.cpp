#include "ir/parts.h"

#include <algorithm>
#include <map>

#include "ir/prove.h"

namespace heddle::ir {

namespace {

class Copier {
 public:
  Copier(Program& p, std::string part, Substitution loops, Place place)
      : p_(p), part_(std::move(part)), map_(std::move(loops)), place_(std::move(place)) {}

  Body body(const Body& old) {
    Body out;
    for (const StmtRef& s : old)
      out.push_back(std::visit([&](const auto& form) { return make_stmt(stmt(form), s->place); }, s->form));
    return out;
  }

 private:
  SymbolId copy(SymbolId from, const std::string& owner) {
    Symbol s = p_.symbol(from);
    s.owner = owner;
    s.place = place_;
    return p_.add(std::move(s));
  }

  BufferId buffer(BufferId id) const {
    auto found = buffers_.find(id.value);
    return found == buffers_.end() ? id : found->second;
  }

  Expr put(const Expr& e, const Substitution& map) const {
    if (!e.known()) return e;
    Expr next = substitute(e, map);
    if (!buffers_.empty() && mentions_load(next))
      next = rewrite(next, [&](const Expr& node) {
        const Load* l = node.as<Load>();
        return l && buffer(l->buffer) != l->buffer ? load(node.type(), buffer(l->buffer), l->subs, l->otherwise) : node;
      });
    return tidy(next);
  }
  Expr put(const Expr& e) const { return put(e, map_); }

  For stmt(const For& old) {
    For l = old;
    l.lo = put(l.lo);
    l.hi = put(l.hi);
    l.loop = copy(old.loop, part_name(p_.symbol(old.loop).owner, part_));
    map_.emplace_back(old.loop, var(l.loop));
    for (Prefetch& f : l.prefetch) f.buffer = buffer(f.buffer);
    l.body = body(old.body);
    map_.pop_back();
    return l;
  }

  Alloc stmt(const Alloc& old) {
    Alloc a;
    for (BufferId id : old.buffers) {
      Buffer b = p_.buffer(id);
      b.name = part_name(b.name, part_);
      b.place = place_;
      for (BoxDim& d : b.box) d.lo = put(d.lo), d.hi = put(d.hi);
      if (b.layout) {
        // Names of its own, as a printed layout has.
        Substitution own;
        for (SymbolId& from : b.layout->from) {
          const SymbolId fresh = p_.add(Symbol(p_.symbol(from)));
          own.emplace_back(from, var(fresh));
          from = fresh;
        }
        for (Expr& to : b.layout->to) to = substitute(to, own);
      }
      a.buffers.push_back(p_.add(std::move(b)));
      buffers_[id.value] = a.buffers.back();
    }
    return a;
  }

  Window window(Window w) const {
    w.buffer = buffer(w.buffer);
    for (Range& r : w.ranges) r.lo = put(r.lo), r.hi = put(r.hi);
    return w;
  }

  Reduce stmt(const Reduce& old) {
    Reduce r = old;
    for (Window& w : r.windows) w = window(w);
    r.body = body(old.body);
    return r;
  }

  struct Row {
    StageId stage;
    Substitution axes;
  };
  // The row of a stage whose cells the copy has for itself; the same row where they are those of all parts.
  const Row& row_of(const Leaf& leaf) {
    auto [at, added] = stages_.try_emplace(leaf.stage.value);
    if (!added) return at->second;
    at->second.stage = leaf.stage;
    bool own = std::any_of(leaf.assigns.begin(), leaf.assigns.end(),
                           [&](const Assign& a) { return buffer(a.buffer) != a.buffer; });
    if (!own) return at->second;
    Stage s = p_.stage(leaf.stage);
    s.name = part_name(s.name, part_);
    Substitution axes;
    for (Axis& a : s.axes) {
      a.lo = put(a.lo, axes);
      a.hi = put(a.hi, axes);
      SymbolId next = copy(a.symbol, s.name);
      axes.emplace_back(a.symbol, var(next));
      a.symbol = next;
    }
    s.where = put(s.where, axes);
    for (BufferId& id : s.writes) id = buffer(id);
    at->second = {p_.add(std::move(s)), std::move(axes)};
    return at->second;
  }

  // Bodies keep their terms as they are: only symbols and buffers change.
  Expr renamed(const Expr& e, const Substitution& map) const {
    if (!e.known()) return e;
    return rewrite(substitute(e, map), [&](const Expr& node) {
      const Load* l = node.as<Load>();
      return l && buffer(l->buffer) != l->buffer ? load(node.type(), buffer(l->buffer), l->subs, l->otherwise) : node;
    });
  }

  Leaf stmt(const Leaf& old) {
    Leaf l = old;
    const Row& row = row_of(old);
    l.stage = row.stage;
    for (Expr& b : l.bindings) b = put(b);
    std::vector<Expr> parts = conjuncts(l.predicate);
    for (Expr& part : parts) part = put(part);
    l.predicate = conjoin(parts);
    for (Assign& a : l.assigns) {
      Substitution map = row.axes;
      for (Axis& x : a.over) {
        x.lo = renamed(x.lo, map);
        x.hi = renamed(x.hi, map);
        SymbolId next = copy(x.symbol, p_.symbol(x.symbol).owner);
        map.emplace_back(x.symbol, var(next));
        x.symbol = next;
      }
      a.buffer = buffer(a.buffer);
      for (Expr& e : a.subs) e = renamed(e, map);
      a.value = renamed(a.value, map);
    }
    return l;
  }

  Call stmt(const Call& old) {
    Call c = old;
    for (Window& w : c.windows) w = window(w);
    return c;
  }

  Check stmt(const Check& old) {
    Check c = old;
    c.condition = put(c.condition);
    for (Expr& e : c.coordinates) e = put(e);
    return c;
  }

  Program& p_;
  std::string part_;
  Substitution map_;
  Place place_;
  std::map<uint32_t, BufferId> buffers_;
  std::map<uint32_t, Row> stages_;
};

}  // namespace

std::string main_part(const std::string& name) { return name.substr(0, name.find('@')); }
std::string part_name(const std::string& name, const std::string& part) {
  return name + (name.find('@') == std::string::npos ? "@" : "_") + part;
}

std::string free_part(const Program& p, const std::vector<std::string>& owners, const std::string& part) {
  for (int i = 1;; ++i) {
    std::string name = i == 1 ? part : part + std::to_string(i);
    bool taken = false;
    for (const std::string& owner : owners) {
      std::string whole = part_name(owner, name);
      for (const Symbol& s : p.symbols) taken |= s.owner == whole;
      for (const Buffer& b : p.buffers) taken |= b.name == whole;
      for (const Stage& s : p.stages) taken |= s.name == whole;
    }
    if (!taken) return name;
  }
}

Part copy_part(Program& program, const Place& place, const Body& body, const std::string& part,
               const std::string& owner, Substitution loops) {
  std::vector<std::string> owners{owner};
  walk(body, [&](const StmtRef& s) {
    if (const For* l = std::get_if<For>(&s->form)) owners.push_back(program.symbol(l->loop).owner);
    if (const Alloc* a = std::get_if<Alloc>(&s->form))
      for (BufferId id : a->buffers) owners.push_back(program.buffer(id).name);
    return true;
  });
  Part out{free_part(program, owners, part), {}};
  out.body = Copier(program, out.name, std::move(loops), place).body(body);
  return out;
}

}  // namespace heddle::ir
