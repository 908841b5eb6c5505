// Structural hash and equality up to names: both programs are written as words in which symbols, buffers and stages are numbered
// in the order of their first use, and the words are compared.
#include <bit>
#include <unordered_map>

#include "ir/print.h"
#include "ir/visit.h"
#include "support/result.h"

namespace heddle::ir {
namespace {

class Key {
 public:
  explicit Key(const Program& p) : p_(p) {
    text(p.target);
    word(p.allow.reassociate | p.allow.flush_denormals << 1 | p.allow.contract << 2);
    for (const Parameter& q : p.parameters) parameter(q);
    // Dims that arguments bind, then computed ones: the order among the two kinds says nothing.
    for (bool computed : {false, true})
      for (const DimDefinition& d : p.dims)
        if (d.value.known() == computed) word(symbol(d.dim)), expr(d.value);
    for (const Expr& f : p.facts) expr(f);
    for (const Requirement& r : p.requirements) expr(r.condition), text(r.text);
    body(p.body);
  }
  std::vector<uint64_t> take() { return std::move(words_); }

 private:
  void word(uint64_t w) { words_.push_back(w); }
  void text(const std::string& s) {
    word(s.size());
    for (unsigned char c : s) word(c);
  }

  static uint64_t number(std::unordered_map<uint32_t, uint64_t>& seen, uint32_t id) {
    return seen.try_emplace(id, seen.size()).first->second;
  }
  uint64_t symbol(SymbolId id) { return number(symbols_, id.value); }
  uint64_t buffer(BufferId id) { return number(buffers_, id.value); }

  void exprs(const std::vector<Expr>& list) {
    word(list.size());
    for (const Expr& e : list) expr(e);
  }

  void expr(const Expr& e) {
    if (!e.known()) return word(~0ull);
    word(static_cast<uint64_t>(e.type()) << 8 | e->form.index());
    std::visit(overloaded{
                   [&](const Constant& c) { word(c.integer), word(std::bit_cast<uint64_t>(c.real)); },
                   [&](const Var& v) { word(symbol(v.symbol)); },
                   [&](const Load& l) { word(buffer(l.buffer)), exprs(l.subs), expr(l.otherwise); },
                   [&](const StateField& s) { word(s.side), word(s.field), exprs(s.subs); },
                   [&](const Unary& u) { word(static_cast<uint64_t>(u.op)), expr(u.value); },
                   [&](const Binary& b) { word(static_cast<uint64_t>(b.op)), expr(b.left), expr(b.right); },
                   [&](const Select& s) { expr(s.condition), expr(s.yes), expr(s.no); },
                   [&](const MathCall& c) { text(c.function), exprs(c.args); },
                   [&](const Convert& c) { word(static_cast<uint64_t>(c.mode)), expr(c.value); },
               },
               e->form);
  }

  void buffer_row(BufferId id) {
    const Buffer& b = p_.buffer(id);
    word(buffer(id));
    word(static_cast<uint64_t>(b.type)), word(b.field_dims), word(static_cast<uint64_t>(b.memory));
    word(static_cast<uint64_t>(b.role)), word(b.copies), expr(b.pad);
    for (const BoxDim& d : b.box) expr(d.lo), expr(d.hi);
    for (int g : b.groups) word(g);
    if (b.layout) {
      for (SymbolId s : b.layout->from) word(symbol(s));
      exprs(b.layout->to);
    }
  }

  void parameter(const Parameter& q) {
    if (q.buffer.known()) buffer_row(q.buffer);
    else word(symbol(q.scalar)), word(static_cast<uint64_t>(p_.symbol(q.scalar).type)), expr(q.default_value);
  }

  void axes(const std::vector<Axis>& list) {
    word(list.size());
    for (const Axis& a : list) word(symbol(a.symbol)), word(static_cast<uint64_t>(a.cls)), expr(a.lo), expr(a.hi);
  }

  void windows(const std::vector<Window>& list) {
    word(list.size());
    for (const Window& w : list) {
      word(buffer(w.buffer));
      for (const Range& r : w.ranges) expr(r.lo), expr(r.hi), word(r.max_extent), word(r.point);
    }
  }

  void reducer(const std::string& name) {
    const Reducer* r = name.empty() ? nullptr : p_.reducer(name);
    if (!r) return word(0);
    word(static_cast<uint64_t>(r->builtin) + 1);
    if (r->builtin != BuiltinReducer::none || !reducers_.try_emplace(name, reducers_.size()).second) return;
    for (const ReducerField& f : r->fields) word(static_cast<uint64_t>(f.type)), exprs(f.extents);
    for (const auto* block : {&r->identity, &r->combine, &r->whole})
      for (const ReducerLine& l : *block) {
        word(l.field);
        if (l.field < 0) word(symbol(l.local));
        for (SymbolId s : l.axes) word(symbol(s));
        expr(l.value);
        text(l.reducer);
        word(l.each);
      }
  }

  void body(const Body& statements) {
    word(statements.size());
    for (const StmtRef& s : statements) {
      word(s->form.index());
      std::visit([&](const auto& form) { stmt(form); }, s->form);
    }
  }
  void stmt(const For& l) {
    word(symbol(l.loop)), expr(l.lo), expr(l.hi), word(static_cast<uint64_t>(l.kind)), text(l.axis), word(l.stages);
    word(l.stage_of.size());
    for (int s : l.stage_of) word(s);
    word(l.prefetch.size());
    for (const Prefetch& f : l.prefetch) word(buffer(f.buffer)), word(f.ahead);
    body(l.body);
  }
  void stmt(const Alloc& a) {
    for (BufferId b : a.buffers) buffer_row(b);
  }
  void stmt(const Reduce& r) {
    windows(r.windows), reducer(r.reducer), word(r.reassociated);
    body(r.body);
  }
  void stmt(const Leaf& l) {
    const Stage& row = p_.stage(l.stage);
    axes(row.axes);
    expr(row.where), exprs(l.bindings), expr(l.predicate), reducer(l.reducer), word(l.recomputed | l.nontemporal << 1);
    for (const Assign& a : l.assigns) {
      word(buffer(a.buffer)), word(static_cast<uint64_t>(a.kind));
      exprs(a.subs), axes(a.over), expr(a.value);
    }
  }
  void stmt(const Call& c) { text(c.instr), windows(c.windows); }
  void stmt(const Check& c) { expr(c.condition), text(c.text), exprs(c.coordinates); }

  const Program& p_;
  std::unordered_map<uint32_t, uint64_t> symbols_, buffers_;
  std::unordered_map<std::string, uint64_t> reducers_;
  std::vector<uint64_t> words_;
};

}  // namespace

uint64_t structural_hash(const Program& program) {
  uint64_t h = 0xCBF29CE484222325ull;
  for (uint64_t w : Key(program).take()) h = (h ^ w) * 0x100000001B3ull, h ^= h >> 29;
  return h;
}

bool equal_up_to_names(const Program& a, const Program& b) { return Key(a).take() == Key(b).take(); }

}  // namespace heddle::ir
