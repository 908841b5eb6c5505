// Rows of reducers, instructions and layouts. One file for the three readers: they share the typing of local names, and each form of
// line is read beside the others that it must agree with.
#include "frontend/check/rows.h"

#include <map>

#include "frontend/check/literal.h"
#include "frontend/check/typing.h"
#include "frontend/codes.h"
#include "ir/visit.h"

namespace heddle::frontend {
namespace {

using ir::ScalarType;

// Names of locals only: what all three kinds of row share.
class LocalTyping : public Typing {
 public:
  LocalTyping(ir::Program& program, Diagnostics& out) : Typing(out), p_(program) {}

  ir::SymbolId local(const std::string& name, ScalarType type, const Place& place,
                     ir::SymbolKind kind = ir::SymbolKind::local, const std::string& owner = "") {
    ir::SymbolId id = p_.add(ir::Symbol{name, kind, type, owner, place});
    locals_[name] = ir::var(id, type);
    return id;
  }

 protected:
  ir::Expr read(const ast::Read& read, const Place& place, Hint) override {
    if (read.ref.bare_name() && !read.otherwise)
      if (auto l = locals_.find(read.ref.path.first()); l != locals_.end()) return l->second;
    return other(read, place);
  }
  virtual ir::Expr other(const ast::Read& read, const Place& place) {
    report(Diagnostic(codes::unknown_name, place, "there is no `" + read.ref.path.text() + "` here"));
    return {};
  }
  bool allows_index_conversion() const override { return true; }

  ir::Program& p_;
  std::map<std::string, ir::Expr> locals_;
};

// ---------------------------------------------------------------------------------------------------------------------

class ReducerReader : public LocalTyping {
 public:
  ReducerReader(const ast::ReducerItem& item, ir::Program& program, const ExtentOf& extent_of, const TypeChoice& types,
                Diagnostics& out)
      : LocalTyping(program, out), item_(item), extent_of_(extent_of), types_(types), found_(out) {}

  ir::Reducer run() {
    row_.name = item_.name.text;
    row_.commutes = item_.commutes;
    row_.exact = item_.exactly;
    row_.place = item_.name.place;
    for (const ast::Param& p : item_.fields) field(p);
    if (!found_.empty()) return row_;
    block(item_.identity, row_.identity, false);
    block(item_.combine, row_.combine, true);
    if (item_.whole && found_.empty()) whole(*item_.whole);
    return row_;
  }

 private:
  void field(const ast::Param& p) {
    ir::ReducerField f;
    f.name = p.name.text;
    auto type = type_word(p.type.name.text);
    if (!type) report(Diagnostic(codes::unknown_type, p.type.place, "there is no type `" + p.type.name.text + "`"));
    f.type = type.value_or(ScalarType::f32);
    for (const ast::Entry& d : p.type.dims) {
      ir::Expr extent = dim(d);
      if (extent.known()) f.extents.push_back(extent);
      else if (found_.empty()) report(Diagnostic(codes::bad_reducer, d.place, "an axis of a field is a dim"));
    }
    for (const ir::ReducerField& other : row_.fields)
      if (other.name == f.name)
        report(Diagnostic(codes::duplicate_name, p.name.place, "the field `" + f.name + "` is named twice"));
    row_.fields.push_back(std::move(f));
  }

  ir::Expr dim(const ast::Entry& d) {
    if (d.kind != ast::Entry::Kind::value || !d.value || d.value->as<ast::Tuple>()) return {};
    in_shape_ = true;
    ir::Expr extent = index(*d.value);
    in_shape_ = false;
    return extent;
  }

  int field_named(const std::string& name) const {
    for (size_t i = 0; i < row_.fields.size(); ++i)
      if (row_.fields[i].name == name) return static_cast<int>(i);
    return -1;
  }

  void block(const ast::Block& block, std::vector<ir::ReducerLine>& lines, bool combine) {
    locals_.clear();
    combine_ = combine;
    done_.assign(row_.fields.size(), false);
    for (const ast::Stmt& s : block) {
      const auto* eq = std::get_if<ast::Equation>(&s.form);
      if (!eq || eq->left.size() != 1 || eq->right.reduction || eq->kind != ast::AssignKind::define) {
        report(
            Diagnostic(codes::bad_reducer, s.place(), "a block of a reducer holds lines such as `m = max(a.m, b.m)`"));
        continue;
      }
      line(*eq, lines);
    }
    for (size_t i = 0; i < done_.size(); ++i)
      if (!done_[i] && found_.empty())
        report(Diagnostic(codes::bad_reducer, item_.name.place,
                          std::string("`") + (combine ? "combine" : "identity") + "` of `" + row_.name +
                              "` does not define `" + row_.fields[i].name + "`"));
  }

  // `of[j] x { m = max[j] x[j].m; w[j] = exp(x[j].m - m); .. }`
  void whole(const ast::ReducerItem::WholeRange& form) {
    row_.whole_index = form.index.text;
    row_.whole_elements = form.elements.text;
    form_ = &form;
    locals_.clear();
    each_.clear();
    combine_ = false;
    done_.assign(row_.fields.size(), false);
    for (const ast::Stmt& s : form.body) {
      const auto* eq = std::get_if<ast::Equation>(&s.form);
      if (eq && eq->left.size() == 1 && eq->kind == ast::AssignKind::define) whole_line(*eq);
      else
        report(Diagnostic(codes::bad_reducer, s.place(),
                          "a whole-range form holds lines such as `m = max[" + form.index.text + "] " +
                              form.elements.text + "[" + form.index.text + "].m`"));
    }
    for (size_t i = 0; i < done_.size(); ++i)
      if (!done_[i] && found_.empty())
        report(Diagnostic(codes::bad_reducer, form.place,
                          "the whole-range form of `" + row_.name + "` does not define `" + row_.fields[i].name + "`"));
    form_ = nullptr;
  }

  bool is_index(const ast::Entries& subs) const {
    const std::string* name = subs.size() == 1 && subs[0].value ? subs[0].value->as_name() : nullptr;
    return name && *name == form_->index.text && subs[0].kind == ast::Entry::Kind::value;
  }

  void whole_line(const ast::Equation& eq) {
    const ast::Ref& left = eq.left[0];
    const std::string name = left.path.text();
    ir::ReducerLine l;
    l.field = field_named(name);
    if (l.field >= 0 && done_[l.field])
      return report(Diagnostic(codes::written_twice, left.place, "the field `" + name + "` is written twice"));
    if (l.field < 0 && (locals_.count(name) || each_.count(name) || name == form_->elements.text))
      return report(Diagnostic(codes::duplicate_name, left.place, "`" + name + "` is defined twice"));
    std::map<std::string, ir::Expr> outer = locals_;
    l.each = l.field < 0 && left.subscripted;
    if (l.each && !is_index(left.subs))
      return report(Diagnostic(codes::bad_reducer, left.place,
                               "`" + name + "` is no field, so it has no axis but `" + form_->index.text + "`"));
    if (l.field >= 0) {
      for (const ast::Entry& e : left.subs) {
        const std::string* axis = e.value ? e.value->as_name() : nullptr;
        if (!axis || *axis == form_->index.text)
          return report(Diagnostic(codes::bad_reducer, e.place, "an axis of a field is a bare index of its own"));
        l.axes.push_back(local(*axis, ScalarType::index, e.place));
      }
      if (size_t rank = row_.fields[l.field].extents.size(); l.axes.size() != rank)
        return report(
            Diagnostic(codes::wrong_rank, left.place, "`" + name + "` has " + std::to_string(rank) + " axes"));
    }
    axes_ = l.axes;
    axis_field_ = l.field;
    const ast::Expr* body = eq.right.value.get();
    if (eq.right.reduction) {
      const ast::Reduction& r = *eq.right.reduction;
      l.reducer = r.reducer.text();
      if (!is_builtin_reducer(l.reducer) || l.reducer == "argmax" || l.reducer == "argmin" || !r.body || r.condition ||
          !is_index(r.binders))
        return report(
            Diagnostic(codes::bad_reducer, r.place, "the elements of a range are reduced over all of it")
                .with_help("write `sum[" + form_->index.text + "] ..`; the reducers are `sum prod max min any all`"));
      if (l.each)
        return report(Diagnostic(codes::bad_reducer, r.place,
                                 "`" + name + "` has a value for each element, and a reduction one"));
      body = r.body.get();
    }
    in_elements_ = l.each || !l.reducer.empty();
    if (l.field >= 0) l.value = value_of_type(*body, row_.fields[l.field].type, "`" + name + "`", {});
    else l.value = value(*body);
    in_elements_ = false;
    locals_ = std::move(outer);
    if (!l.value.known()) return;
    bool logic = l.reducer == "any" || l.reducer == "all";
    if (!l.reducer.empty() && logic != (l.value.type() == ScalarType::boolean))
      return report(Diagnostic(codes::wrong_operand, body->place, "`" + l.reducer + "` does not reduce this"));
    if (l.field >= 0) done_[l.field] = true;
    else {
      l.local = local(name, l.value.type(), left.place);
      if (l.each) {
        each_[name] = locals_[name];
        locals_.erase(name);
      }
    }
    row_.whole.push_back(std::move(l));
  }

  // `x[j].m`, `w[j]`
  bool element(const ast::Read& read, const Place& place, ir::Expr& out) {
    const ast::Ref& ref = read.ref;
    if (!form_ || !ref.path.bare() || read.otherwise) return false;
    const std::string& name = ref.path.first();
    auto each = each_.find(name);
    if (name != form_->elements.text && each == each_.end()) return false;
    if (!is_index(ref.subs) || !in_elements_) {
      report(Diagnostic(codes::bad_reducer, place,
                        "`" + name + "` is read at `" + form_->index.text +
                            "` alone, in a reduction over it or for each element")
                 .with_help("such as `sum[" + form_->index.text + "] " + name + "[" + form_->index.text + "]..`"));
      return true;
    }
    if (each != each_.end() && !ref.field) return out = each->second, true;
    int field = ref.field ? field_named(ref.field->text) : -1;
    if (each != each_.end() || field < 0) {
      report(Diagnostic(codes::unknown_name, place, "`" + name + "[" + form_->index.text + "]` is read by field"));
      return true;
    }
    ir::StateField s{3, field, {}};
    for (const ast::Entry& e : ref.field_subs) {
      ir::Expr sub = e.value ? index(*e.value) : ir::Expr();
      if (!sub.known()) return true;
      s.subs.push_back(sub);
    }
    const ir::ReducerField& row = row_.fields[field];
    if (s.subs.size() != row.extents.size() || !inside(s, row)) {
      report(Diagnostic(codes::read_outside, place, "a field is read at the axes of the field that the line defines")
                 .with_help("such as `o[e] = sum[j] x[j].o[e]`"));
      return true;
    }
    out = ir::make_expr(row.type, std::move(s));
    return true;
  }

  void line(const ast::Equation& eq, std::vector<ir::ReducerLine>& lines) {
    const ast::Ref& left = eq.left[0];
    std::string name = left.path.text();
    ir::ReducerLine l;
    l.field = field_named(name);
    if (l.field >= 0 && done_[l.field]) {
      report(Diagnostic(codes::written_twice, left.place, "the field `" + name + "` is written twice"));
      return;
    }
    std::map<std::string, ir::Expr> outer = locals_;
    for (const ast::Entry& e : left.subs) {
      const std::string* axis = e.value ? e.value->as_name() : nullptr;
      if (!axis) {
        report(Diagnostic(codes::bad_reducer, e.place, "an axis of a field is a bare index"));
        return;
      }
      l.axes.push_back(local(*axis, ScalarType::index, e.place));
    }
    size_t rank = l.field >= 0 ? row_.fields[l.field].extents.size() : 0;
    if (l.axes.size() != rank) {
      report(Diagnostic(codes::wrong_rank, left.place, "`" + name + "` has " + std::to_string(rank) + " axes"));
      return;
    }
    axes_ = l.axes;
    axis_field_ = l.field;
    if (l.field >= 0) l.value = value_of_type(*eq.right.value, row_.fields[l.field].type, "`" + name + "`", {});
    else l.value = value(*eq.right.value);
    locals_ = std::move(outer);
    if (!l.value.known()) return;
    if (l.field >= 0) done_[l.field] = true;
    else if (locals_.count(name))
      report(Diagnostic(codes::duplicate_name, left.place, "`" + name + "` is defined twice"));
    else l.local = local(name, l.value.type(), left.place);
    lines.push_back(std::move(l));
  }

  // `a.m`, `b.o[e]`, or `m`: a field that an earlier line of the block defines.
  ir::Expr other(const ast::Read& read, const Place& place) override {
    const ast::Path& path = read.ref.path;
    bool bare = path.bare();
    if (in_shape_) {
      ir::Expr extent = read.ref.bare_name() && !read.otherwise ? extent_of_(path.first()) : ir::Expr();
      if (!extent.known())
        report(Diagnostic(codes::unknown_name, place, "`" + path.text() + "` is no dim here")
                   .with_help("the axes of a field are dims of the op or program that uses the reducer"));
      return extent;
    }
    if (ir::Expr out; element(read, place, out)) return out;
    int side = bare ? 2 : path.first() == item_.left.text ? 0 : path.first() == item_.right.text ? 1 : -1;
    if (!combine_ && side < 2) side = -1;
    int field = bare ? field_named(path.first()) : path.names.size() == 2 ? field_named(path.last()) : -1;
    if (side < 0 || field < 0 || read.otherwise || read.ref.field || (bare && !done_[field])) {
      std::string what =
          side < 2 && combine_ ? " (the states are `" + item_.left.text + "` and `" + item_.right.text + "`)" : "";
      report(Diagnostic(codes::unknown_name, place, "there is no `" + path.text() + "` here" + what));
      return {};
    }
    ir::StateField s{side, field, {}};
    for (const ast::Entry& e : read.ref.subs) {
      ir::Expr sub = e.value ? index(*e.value) : ir::Expr();
      if (!sub.known()) return {};
      s.subs.push_back(sub);
    }
    const ir::ReducerField& row = row_.fields[field];
    if (s.subs.size() != row.extents.size()) {
      report(Diagnostic(codes::wrong_rank, place,
                        "`" + row.name + "` has " + std::to_string(row.extents.size()) + " axes"));
      return {};
    }
    if (!inside(s, row)) {
      report(Diagnostic(codes::read_outside, place, "a field is read at the axes of the field that the line defines")
                 .with_help("such as `o[e] = a.o[e] + b.o[e]`"));
      return {};
    }
    return ir::make_expr(row.type, std::move(s));
  }

  std::optional<ScalarType> type_word(const std::string& word) const override {
    auto generic = types_.find(word);
    return generic != types_.end() ? generic->second : ir::parse_scalar_type(word);
  }

  // Axis by axis the line's own index, whose extent is the same: nothing is read outside.
  bool inside(const ir::StateField& s, const ir::ReducerField& row) const {
    for (size_t i = 0; i < s.subs.size(); ++i) {
      const auto* v = s.subs[i].as<ir::Var>();
      bool own = false;
      for (size_t k = 0; v && k < axes_.size(); ++k)
        own |= axes_[k] == v->symbol && ir::same(row_.fields[axis_field_].extents[k], row.extents[i]);
      if (!own) return false;
    }
    return true;
  }

  const ast::ReducerItem& item_;
  const ExtentOf& extent_of_;
  const TypeChoice& types_;
  Diagnostics& found_;
  ir::Reducer row_;
  std::vector<bool> done_;
  std::vector<ir::SymbolId> axes_;
  int axis_field_ = -1;
  bool combine_ = false;
  bool in_shape_ = false;
  const ast::ReducerItem::WholeRange* form_ = nullptr;  ///< while it is read
  std::map<std::string, ir::Expr> each_;                ///< its locals with a value for each element
  bool in_elements_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------

class InstrReader : public LocalTyping {
 public:
  InstrReader(const ast::InstrItem& item, ir::Program& program, Diagnostics& out)
      : LocalTyping(program, out), item_(item), found_(out) {}

  ir::Instr run() {
    row_.name = item_.name.text;
    row_.place = item_.name.place;
    for (const ast::Param& p : item_.params) operand(p);
    for (const ast::InstrItem::Numeric& n : item_.numerics) {
      std::string text = n.word.text;
      if (n.lo) text += " " + std::string(n.lo->place.text());
      if (n.hi) text += " .. " + std::string(n.hi->place.text());
      row_.numerics.push_back(std::move(text));
    }
    if (found_.empty())
      for (const ast::Stmt& s : item_.body) {
        const auto* eq = std::get_if<ast::Equation>(&s.form);
        if (eq && eq->left.size() == 1 && eq->right.value && eq->kind != ast::AssignKind::update) line(*eq);
        else
          report(Diagnostic(codes::bad_instr, s.place(),
                            "an instruction holds lines such as `c[i, j] sum= widen(a[i, p]) * widen(b[p, j])`"));
      }
    if (found_.empty() && row_.lines.empty())
      report(Diagnostic(codes::bad_instr, item_.name.place, "`" + row_.name + "` computes nothing"));
    return std::move(row_);
  }

 private:
  void operand(const ast::Param& p) {
    ir::InstrOperand o;
    o.name = p.name.text;
    o.inout = p.direction == ast::Direction::inout;
    auto type = ir::parse_scalar_type(p.type.name.text);
    if (!type || !p.type.tensor)
      report(Diagnostic(codes::bad_instr, p.type.place, "an operand is a tensor such as `bf16[m, k <= 32]`"));
    o.type = type.value_or(ScalarType::f32);
    auto memory = p.memory ? ir::parse_memory(p.memory->text) : std::nullopt;
    if (!memory)
      report(Diagnostic(codes::bad_instr, p.memory ? p.memory->place : p.place,
                        "an operand says its memory: `in registers`, `in tile`, ..."));
    o.memory = memory.value_or(ir::Memory::registers);
    for (const ast::Entry& d : p.type.dims) {
      const std::string* name = d.kind == ast::Entry::Kind::value && d.value ? d.value->as_name() : nullptr;
      if (!name) {
        report(Diagnostic(codes::bad_instr, d.place,
                          "a dim of an operand is a name, with `<=` and its largest extent where it is limited"));
        continue;
      }
      auto known = locals_.find(*name);
      o.dims.push_back(known != locals_.end() ? known->second.as<ir::Var>()->symbol
                                              : local(*name, ScalarType::index, d.place));
      o.max_extents.push_back(d.max ? limit(*d.max) : 0);
    }
    if (p.layout) {
      auto layout = layout_row(*p.layout, p_);
      if (layout.ok()) o.layout = std::move(*layout);
      else report_all(layout.errors());
    }
    row_.operands.push_back(std::move(o));
  }

  int64_t limit(const ast::Expr& e) {
    const auto* literal = e.as<ast::Literal>();
    auto value = literal ? integer_literal(*literal) : std::nullopt;
    if (value && *value > 0) return *value;
    report(Diagnostic(codes::bad_instr, e.place, "a largest extent is a positive integer"));
    return 1;
  }

  int operand_named(const std::string& name) const {
    for (size_t i = 0; i < row_.operands.size(); ++i)
      if (row_.operands[i].name == name) return static_cast<int>(i);
    return -1;
  }

  void line(const ast::Equation& eq) {
    const ast::Ref& left = eq.left[0];
    ir::InstrLine l;
    l.operand = operand_named(left.path.text());
    if (l.operand < 0 || left.field) {
      report(Diagnostic(codes::unknown_name, left.place, "`" + left.path.text() + "` is no operand"));
      return;
    }
    l.reducer = eq.reducer.text;
    if (!l.reducer.empty() && !is_builtin_reducer(l.reducer)) {
      report(Diagnostic(codes::unknown_name, eq.reducer.place, "there is no reducer `" + l.reducer + "`"));
      return;
    }
    std::map<std::string, ir::Expr> dims = std::move(locals_);
    locals_.clear();
    axes_.clear();
    current_ = ir::AxisClass::map;
    bool ok = operand_subs(left, l.operand, l.subs);
    current_ = ir::AxisClass::reduce;
    if (ok) l.value = value_of_type(*eq.right.value, row_.operands[l.operand].type, "`" + left.path.text() + "`", {});
    locals_ = std::move(dims);
    l.axes = std::move(axes_);
    if (l.value.known()) row_.lines.push_back(std::move(l));
  }

  // Every bare subscript is an axis that runs over the operand's dim.
  bool operand_subs(const ast::Ref& ref, int operand, std::vector<ir::Expr>& subs) {
    const ir::InstrOperand o = row_.operands[operand];
    if (ref.subs.size() != o.dims.size()) {
      report(Diagnostic(codes::wrong_rank, ref.place,
                        "`" + o.name + "` takes " + std::to_string(o.dims.size()) + " subscripts"));
      return false;
    }
    for (size_t i = 0; i < ref.subs.size(); ++i) {
      const ast::Entry& e = ref.subs[i];
      const std::string* name = e.kind == ast::Entry::Kind::value && e.value ? e.value->as_name() : nullptr;
      if (!name) {
        report(Diagnostic(codes::bad_instr, e.place, "a subscript of an instruction is a bare index"));
        return false;
      }
      ir::Expr hi = ir::var(o.dims[i]);
      auto known = locals_.find(*name);
      if (known == locals_.end()) {
        ir::SymbolId axis = local(*name, ScalarType::index, e.place, ir::SymbolKind::axis, row_.name);
        axes_.push_back({axis, current_, ir::index_constant(0), hi});
      } else if (!ir::same(range_of(known->second), hi)) {
        report(Diagnostic(codes::range_conflict, e.place, "`" + *name + "` runs over two dims of the operands"));
        return false;
      }
      subs.push_back(locals_[*name]);
    }
    return true;
  }

  ir::Expr range_of(const ir::Expr& axis) const {
    for (const ir::Axis& a : axes_)
      if (a.symbol == axis.as<ir::Var>()->symbol) return a.hi;
    return {};
  }

  ir::Expr other(const ast::Read& read, const Place& place) override {
    int operand = operand_named(read.ref.path.text());
    if (operand < 0 || read.otherwise || read.ref.field) {
      report(Diagnostic(codes::unknown_name, place, "`" + read.ref.path.text() + "` is no operand"));
      return {};
    }
    std::vector<ir::Expr> subs;
    if (!operand_subs(read.ref, operand, subs)) return {};
    return ir::load(row_.operands[operand].type, ir::BufferId{static_cast<uint32_t>(operand)}, std::move(subs));
  }

  const ast::InstrItem& item_;
  Diagnostics& found_;
  ir::Instr row_;
  std::vector<ir::Axis> axes_;
  ir::AxisClass current_ = ir::AxisClass::map;
};

class LayoutReader : public LocalTyping {
 public:
  LayoutReader(ir::Program& program, Diagnostics& out) : LocalTyping(program, out) {}
  ir::Layout run(const ast::LayoutMap& map) {
    ir::Layout out;
    for (const ast::Name& n : map.from) out.from.push_back(local(n.text, ScalarType::index, n.place));
    for (const ast::ExprRef& e : map.to)
      if (ir::Expr to = index(*e); to.known()) out.to.push_back(to);
    return out;
  }
};

}  // namespace

Result<ir::Reducer> reducer_row(const ast::ReducerItem& item, ir::Program& program, const ExtentOf& extent_of,
                                const TypeChoice& types) {
  Diagnostics found;
  ir::Reducer row = ReducerReader(item, program, extent_of, types, found).run();
  if (!found.empty()) return std::move(found);
  return row;
}

Result<ir::Instr> instr_row(const ast::InstrItem& item, ir::Program& program) {
  Diagnostics found;
  ir::Instr row = InstrReader(item, program, found).run();
  if (!found.empty()) return std::move(found);
  return row;
}

Result<ir::Layout> layout_row(const ast::LayoutMap& map, ir::Program& program) {
  Diagnostics found;
  ir::Layout row = LayoutReader(program, found).run(map);
  if (!found.empty()) return std::move(found);
  return row;
}

}  // namespace heddle::frontend
