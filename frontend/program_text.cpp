// Reading a printed program. Dims are found as in an op: from the shapes of the parameters and the lets. Stage rows
// stand before the body and may name buffers that it allocates, so buffers are declared first, their boxes when the
// body is read. One file, because one class: every part reads names in the same scopes.
#include "frontend/program_text.h"

#include <algorithm>
#include <map>

#include "frontend/check/literal.h"
#include "frontend/check/rows.h"
#include "frontend/check/shapes.h"
#include "frontend/check/typing.h"
#include "frontend/codes.h"
#include "frontend/parse.h"
#include "ir/verify.h"
#include "support/limits.h"

namespace heddle::frontend {
namespace {

using ir::ScalarType;

class ProgramReader : public Typing {
 public:
  ProgramReader(const ast::ProgramItem& item, const Module& context) : Typing(found_), item_(item), context_(context) {}

  Result<ir::Program> run() {
    p_.name = item_.name.text();
    if (item_.target) p_.target = item_.target->text;
    p_.reducers = ir::builtin_reducers();
    for (const ast::Name& a : item_.allow) allow(a);
    header();
    // From here on dims, scalars and parameters are declared.
    if (found_.empty()) declare_allocs(item_.body);
    if (found_.empty()) read_rows();
    if (found_.empty()) p_.body = body(item_.body);
    if (found_.empty()) found_ = ir::verify(p_);
    if (!found_.empty()) return std::move(found_);
    return std::move(p_);
  }

 private:
  // --- header --------------------------------------------------------------------------------------------------------

  void refuse(const Place& place, const std::string& message) {
    report(Diagnostic(codes::bad_program, place, message));
  }

  void allow(const ast::Name& a) {
    if (a.text == "reassociate") p_.allow.reassociate = true;
    else if (a.text == "flush_denormals") p_.allow.flush_denormals = true;
    else if (a.text == "contract") p_.allow.contract = true;
    else refuse(a.place, "there is no leave `" + a.text + "`");
  }

  void header() {
    for (const ast::Param& p : item_.params)
      if (!p.type.tensor && !p.memory) scalar(p);
    for (const ast::ProgramStmt& s : item_.body)
      if (const auto* let = std::get_if<ast::Let>(&s.form)) {
        ir::SymbolId id =
            p_.add(ir::Symbol{let->name.text, ir::SymbolKind::dim, ScalarType::index, "", let->name.place});
        value_name(let->name, ir::var(id));
        lets_.push_back({id, {}});
      }
    makes_dims_ = true;
    for (const ast::Param& p : item_.params) parameter(p);
    makes_dims_ = false;
    size_t next = 0;
    for (const ast::ProgramStmt& s : item_.body)
      if (const auto* let = std::get_if<ast::Let>(&s.form)) lets_[next++].value = index(*let->value);
    for (ir::SymbolId id : define_dims(p_, lets_)) {
      const ir::Symbol& s = p_.symbol(id);
      report(Diagnostic(codes::undefined_dim, s.place, "nothing defines the dim `" + s.name + "`")
                 .with_help("it stands in the shape of an `in` parameter, or in a `let`"));
    }
    for (const ast::ExprRef& f : item_.facts)
      if (ir::Expr c = condition(*f); c.known()) p_.facts.push_back(c);
    for (const ast::ProgramStmt& s : item_.body)
      if (const auto* r = std::get_if<ast::Require>(&s.form))
        if (ir::Expr c = condition(*r->condition); c.known()) p_.requirements.push_back({c, r->text, r->place});
  }

  void value_name(const ast::Name& name, const ir::Expr& value) {
    if (!values_.emplace(name.text, value).second)
      report(Diagnostic(codes::duplicate_name, name.place, "`" + name.text + "` is defined twice"));
  }

  void scalar(const ast::Param& p) {
    auto type = ir::parse_scalar_type(p.type.name.text);
    if (!type)
      return report(Diagnostic(codes::unknown_type, p.type.place, "there is no type `" + p.type.name.text + "`"));
    ir::SymbolId id = p_.add(ir::Symbol{p.name.text, ir::SymbolKind::scalar, *type, "", p.name.place});
    value_name(p.name, ir::var(id, *type));
  }

  void parameter(const ast::Param& p) {
    ir::Parameter q;
    if (!p.type.tensor && !p.memory) {
      auto known = values_.find(p.name.text);
      if (known == values_.end()) return;
      const auto* v = known->second.as<ir::Var>();
      q.scalar = v->symbol;
      if (p.default_value)
        q.default_value = value_of_type(*p.default_value, known->second.type(), "`" + p.name.text + "`", p.name.place);
      p_.parameters.push_back(std::move(q));
      return;
    }
    ir::Buffer b = buffer_row(p.name.text, p.type, p.name.place);
    b.role = p.direction == ast::Direction::out     ? ir::Role::out
             : p.direction == ast::Direction::inout ? ir::Role::inout
                                                    : ir::Role::in;
    if (p.memory) b.memory = memory(*p.memory);
    for (const ast::Entry& d : p.type.dims) param_dim(d, b);
    if (std::all_of(b.groups.begin(), b.groups.end(), [](int g) { return g == 1; })) b.groups.clear();
    if (p.layout) b.layout = layout(*p.layout);
    if (p.pad) b.pad = value_of_type(*p.pad, b.type, "`" + b.name + "`", {});
    q.buffer = declare_buffer(std::move(b));
    p_.parameters.push_back(std::move(q));
  }

  void param_dim(const ast::Entry& d, ir::Buffer& b) {
    auto one = [&](const ast::Entry& e) {
      if (e.kind != ast::Entry::Kind::value || !e.value || e.target)
        return refuse(e.place, "a dim of a parameter is an expression");
      ir::Expr hi = index(*e.value);
      b.box.push_back({"", ir::index_constant(0), hi.known() ? hi : ir::index_constant(1)});
    };
    const auto* tuple = d.value ? d.value->as<ast::Tuple>() : nullptr;
    if (!tuple) one(d);
    else
      for (const ast::Entry& part : tuple->entries) one(part);
    b.groups.push_back(tuple ? static_cast<int>(tuple->entries.size()) : 1);
  }

  ir::Buffer buffer_row(const std::string& name, const ast::Type& type, const Place& place) {
    ir::Buffer b;
    b.name = name;
    b.place = place;
    auto scalar = ir::parse_scalar_type(type.name.text);
    if (!scalar) report(Diagnostic(codes::unknown_type, type.name.place, "there is no type `" + type.name.text + "`"));
    b.type = scalar.value_or(ScalarType::f32);
    return b;
  }

  ir::Memory memory(const ast::Name& name) {
    auto memory = ir::parse_memory(name.text);
    if (!memory)
      refuse(name.place, "there is no memory `" + name.text + "`: they are dram, l2, l1, registers, tile, sbuf, psum");
    return memory.value_or(ir::Memory::dram);
  }

  std::optional<ir::Layout> layout(const ast::LayoutMap& map) {
    Result<ir::Layout> row = layout_row(map, p_);
    if (row.ok()) return std::move(*row);
    report_all(row.errors());
    return std::nullopt;
  }

  ir::BufferId declare_buffer(ir::Buffer b) {
    Place place = b.place;
    std::string name = b.name;
    ir::BufferId id = p_.add(std::move(b));
    if (!buffers_.emplace(name, std::vector<ir::BufferId>{id}).second)
      report(Diagnostic(codes::duplicate_name, place, "`" + name + "` is defined twice"));
    return id;
  }

  // --- buffers and stage rows ----------------------------------------------------------------------------------------

  void declare_allocs(const ast::ProgramBody& body) {
    for (const ast::ProgramStmt& s : body) {
      if (const auto* a = std::get_if<ast::Alloc>(&s.form)) declare_alloc(*a);
      if (const auto* l = std::get_if<ast::For>(&s.form)) declare_allocs(l->body);
      if (const auto* r = std::get_if<ast::ReduceRegion>(&s.form)) declare_allocs(r->body);
    }
  }

  // A name that is allocated again stands for the same row: copies of a nest share it.
  void declare_alloc(const ast::Alloc& a) {
    std::string name = a.name.text();
    if (auto known = buffers_.find(name); known != buffers_.end()) {
      bool parameter = p_.buffer(known->second[0]).role != ir::Role::temporary;
      if (parameter) report(Diagnostic(codes::duplicate_name, a.name.place, "`" + name + "` is a parameter"));
      return;
    }
    if (ir::parse_scalar_type(a.type.name.text)) {
      ir::Buffer b = buffer_row(name, a.type, a.name.place);
      buffers_[name] = {p_.add(std::move(b))};
      return;
    }
    const ir::Reducer* reducer = reducer_named(a.type.name);
    if (!reducer) return;
    if (reducer->fields.empty()) {
      report(Diagnostic(codes::unknown_name, a.type.name.place,
                        "`" + a.type.name.text + "` is no element type, and its state has no fields")
                 .with_help("a built-in reducer combines into a buffer of an element type, such as `f32`"));
      return;
    }
    std::vector<ir::BufferId> fields;
    std::vector<ir::ReducerField> rows = reducer->fields;
    for (const ir::ReducerField& f : rows) {
      ir::Buffer b;
      b.name = name;
      b.field = f.name;
      b.field_dims = static_cast<int>(f.extents.size());
      b.type = f.type;
      b.place = a.name.place;
      fields.push_back(p_.add(std::move(b)));
    }
    buffers_[name] = std::move(fields);
  }

  // Its row, added to the program on first use.
  const ir::Reducer* reducer_named(const ast::Name& name) {
    if (const ir::Reducer* known = p_.reducer(name.text)) return known;
    const ast::ReducerItem* item = context_.reducer(name.text);
    if (!item) {
      report(Diagnostic(codes::unknown_name, name.place, "there is no reducer `" + name.text + "`")
                 .with_help("a reducer of your own stands before the program in the same text"));
      return nullptr;
    }
    Result<ir::Reducer> row = reducer_row(*item, p_, [&](const std::string& dim) {
      auto v = values_.find(dim);
      return v != values_.end() && v->second.type() == ScalarType::index ? v->second : ir::Expr();
    });
    if (!row.ok()) {
      report_all(row.errors());
      return nullptr;
    }
    p_.reducers.push_back(std::move(*row));
    return &p_.reducers.back();
  }

  void read_rows() {
    for (const ast::ProgramStmt& s : item_.body)
      if (const auto* row = std::get_if<ast::StageRow>(&s.form)) stage_row(*row);
  }

  void stage_row(const ast::StageRow& row) {
    ir::Stage stage;
    stage.name = row.name.text();
    stage.place = row.place;
    if (stages_.count(stage.name))
      return report(
          Diagnostic(codes::duplicate_name, row.name.place, "the stage `" + stage.name + "` is defined twice"));
    axes_.clear();
    in_leaf_ = true;
    for (const ast::StageRow::Axis& a : row.axes) {
      ir::Axis axis;
      axis.cls = axis_class(a);
      axis.lo = index(*a.lo);
      axis.hi = index(*a.hi);
      axis.symbol = p_.add(ir::Symbol{a.name.text, ir::SymbolKind::axis, ScalarType::index, stage.name, a.name.place});
      if (!axis.lo.known() || !axis.hi.known()) continue;
      axes_.push_back({a.name.text, axis.symbol});
      stage.axes.push_back(std::move(axis));
    }
    if (row.condition) stage.where = condition(*row.condition);
    in_leaf_ = false;
    if (row.reducer) {
      if (!reducer_named(*row.reducer)) return;
      stage.reducer = row.reducer->text;
    }
    for (const ast::Ref& w : row.writes) written(w, stage);
    if (row.writes.empty())
      if (auto own = buffers_.find(stage.name); own != buffers_.end()) stage.writes = own->second;
    for (const ast::Name& flag : row.flags) {
      if (flag.text == "impure") stage.pure = false;
      else refuse(flag.place, "a stage may be `impure`, not `" + flag.text + "`");
    }
    std::string name = stage.name;
    stages_[name] = p_.add(std::move(stage));
  }

  ir::AxisClass axis_class(const ast::StageRow::Axis& a) {
    static constexpr const char* words[] = {"map", "reduce", "scan", "scan_reverse", "scatter"};
    for (int i = 0; i < 5; ++i)
      if (a.cls == words[i]) return static_cast<ir::AxisClass>(i);
    refuse(a.place, "an axis is `map`, `reduce`, `scan`, `scan_reverse` or `scatter`, not `" + a.cls + "`");
    return ir::AxisClass::map;
  }

  void written(const ast::Ref& w, ir::Stage& stage) {
    std::string name = w.path.text(), field;
    auto known = buffers_.find(name);
    if (known == buffers_.end() && w.path.names.size() > 1) {
      field = w.path.last();
      known = buffers_.find(name.substr(0, name.size() - field.size() - 1));
    }
    if (known == buffers_.end())
      return report(Diagnostic(codes::unknown_name, w.place, "there is no buffer `" + name + "`"));
    for (ir::BufferId id : known->second)
      if (field.empty() || p_.buffer(id).field == field) stage.writes.push_back(id);
  }

  // --- statements ----------------------------------------------------------------------------------------------------

  ir::Body body(const ast::ProgramBody& statements) {
    ir::Body out;
    size_t loops = loops_.size();
    for (const ast::ProgramStmt& s : statements) {
      if (found_.size() >= limits::diagnostics) break;
      if (++statements_ > limits::program_nodes) {
        if (statements_ == limits::program_nodes + 1)
          report(Diagnostic(codes::too_large, s.place(),
                            "a program has at most " + std::to_string(limits::program_nodes) + " statements"));
        break;
      }
      std::visit([&](const auto& form) { statement(form, out); }, s.form);
    }
    loops_.resize(loops);
    return out;
  }

  void statement(const ast::Let& l, ir::Body&) { top_level(l.place, "`let`"); }
  void statement(const ast::Require& r, ir::Body&) { top_level(r.place, "`require`"); }
  void statement(const ast::StageRow& r, ir::Body&) { top_level(r.place, "a stage row"); }
  void top_level(const Place& place, const std::string& what) {
    if (!loops_.empty() || depth_ > 0) refuse(place, what + " stands at the top of a program");
  }

  // Loop identity is (stage, name): a loop that occurs again in a copy of its nest is the same symbol.
  ir::SymbolId loop_symbol(const ast::Path& path, std::string& owner) {
    std::string whole = path.text();
    owner = path.bare() ? "" : whole.substr(0, whole.size() - path.last().size() - 1);
    auto [at, added] = loop_ids_.try_emplace(whole);
    if (added) at->second = p_.add(ir::Symbol{path.last(), ir::SymbolKind::loop, ScalarType::index, owner, path.place});
    return at->second;
  }

  void statement(const ast::For& l, ir::Body& out) {
    ir::For f;
    f.lo = index(*l.lo);
    f.hi = index(*l.hi);
    if (l.kind == "parallel") f.kind = ir::LoopKind::parallel;
    else if (l.kind == "vector") f.kind = ir::LoopKind::vector;
    else if (l.kind == "unrolled") f.kind = ir::LoopKind::unrolled;
    else if (l.kind == "pipelined") f.kind = ir::LoopKind::pipelined;
    else if (l.kind == "on") f.kind = ir::LoopKind::bound;
    else if (!l.kind.empty() && l.kind != "prefetch") refuse(l.place, "there is no kind of loop `" + l.kind + "`");
    if (l.axis) f.axis = l.axis->text;
    if (l.stages) f.stages = static_cast<int>(small(*l.stages));
    if (l.stage_of) f.stage_of = stage_numbers(*l.stage_of);
    std::string owner;
    f.loop = loop_symbol(l.loop, owner);
    if (!f.lo.known() || !f.hi.known()) return;
    for (const auto& [tensor, ahead] : l.prefetch) prefetch(*tensor, *ahead, f);
    loops_.push_back({l.loop.last(), owner, f.loop});
    f.body = body(l.body);
    loops_.pop_back();
    out.push_back(ir::make_stmt(std::move(f), l.place));
  }

  std::vector<int> stage_numbers(const ast::Expr& e) {
    std::vector<int> out;
    const auto* tuple = e.as<ast::Tuple>();
    if (!tuple) out.push_back(static_cast<int>(small(e)));  // `(0)` reads as `0`
    for (size_t i = 0; tuple && i < tuple->entries.size(); ++i) {
      const ast::Entry& one = tuple->entries[i];
      if (one.value && !one.hi) out.push_back(static_cast<int>(small(*one.value)));
      else refuse(one.place, "a stage is a small integer");
    }
    return out;
  }

  void prefetch(const ast::Expr& tensor, const ast::Expr& ahead, ir::For& f) {
    const auto* read = tensor.as<ast::Read>();
    const ast::Ref* ref = read ? &read->ref : nullptr;
    if (!ref || ref->subscripted || ref->field || read->otherwise)
      return refuse(tensor.place, "a tensor is asked for by its name, as in `prefetch x by 4`");
    const std::vector<ir::BufferId>* ids = buffers_of(*ref);
    if (!ids) return;
    if (ids->size() != 1 || !p_.buffer((*ids)[0]).field.empty())
      return refuse(tensor.place, "`" + ref->path.text() + "` has several fields; a plain tensor is asked for");
    f.prefetch.push_back({(*ids)[0], small(ahead)});
  }

  int64_t small(const ast::Expr& e) {
    const auto* literal = e.as<ast::Literal>();
    auto value = literal ? integer_literal(*literal) : std::nullopt;
    if (value && *value >= 0 && *value < 1'000'000) return *value;
    refuse(e.place, "a small integer stands here");
    return 1;
  }

  void statement(const ast::Alloc& a, ir::Body& out) {
    std::vector<ir::BoxDim> box;
    for (const ast::Entry& d : a.type.dims) {
      if (d.kind != ast::Entry::Kind::range || d.max) {
        refuse(d.place, "a dim of an alloc is a range such as `i in 0 .. 4`");
        return;
      }
      ir::Expr lo = index(*d.value), hi = index(*d.hi);
      if (!lo.known() || !hi.known()) return;
      box.push_back({d.bound ? d.bound->text : "", lo, hi});
    }
    ir::Alloc alloc;
    alloc.buffers = buffers_[a.name.text()];
    for (ir::BufferId id : alloc.buffers) {
      ir::Buffer& b = p_.buffers[id.value];
      b.box = box;
      if (!b.field.empty()) append_field_dims(a, b);
      b.memory = memory(a.memory);
      if (a.layout) b.layout = layout(*a.layout);
      if (b.layout) append_field_dims(*b.layout, b.field_dims);
      if (a.pad) b.pad = value_of_type(*a.pad, b.type, "`" + b.name + "`", {});
      if (a.copies) b.copies = static_cast<int>(small(*a.copies));
    }
    out.push_back(ir::make_stmt(std::move(alloc), a.place));
  }

  // Dims of the field itself lie as they are.
  void append_field_dims(ir::Layout& layout, int count) {
    for (int i = 0; i < count; ++i) {
      layout.from.push_back(p_.add(ir::Symbol{"f" + std::to_string(i), ir::SymbolKind::local, ir::ScalarType::index}));
      layout.to.push_back(ir::var(layout.from.back()));
    }
  }

  void append_field_dims(const ast::Alloc& a, ir::Buffer& b) {
    const ir::Reducer* reducer = p_.reducer(a.type.name.text);
    if (!reducer) return;
    for (const ir::ReducerField& f : reducer->fields)
      if (f.name == b.field)
        for (const ir::Expr& extent : f.extents) b.box.push_back({"", ir::index_constant(0), extent});
  }

  const std::vector<ir::BufferId>* buffers_of(const ast::Ref& ref) {
    auto known = buffers_.find(ref.path.text());
    if (known != buffers_.end()) return &known->second;
    std::vector<std::string> names;
    for (const auto& b : buffers_) names.push_back(b.first);
    std::string near = nearest(ref.path.text(), names);
    report(Diagnostic(codes::unknown_name, ref.path.place, "there is no buffer `" + ref.path.text() + "`")
               .with_help(near.empty() ? "" : "did you mean `" + near + "`?"));
    return nullptr;
  }

  // `acc[i, 0 .. 16]`; of a state all fields, with their whole own axes.
  // In a call, a single index is no dim of the instruction's operand.
  bool windows(const ast::Ref& ref, std::vector<ir::Window>& out, bool of_call = false) {
    const std::vector<ir::BufferId>* ids = buffers_of(ref);
    if (!ids) return false;
    std::vector<ir::Range> ranges;
    if (!window_ranges(ref.subs, ranges)) return false;
    if (!of_call)
      for (ir::Range& r : ranges) r.point = false;
    for (ir::BufferId id : *ids) {
      const ir::Buffer& b = p_.buffer(id);
      if (ref.field && b.field != ref.field->text) continue;
      ir::Window w{id, ranges};
      if (ref.field_subscripted && !window_ranges(ref.field_subs, w.ranges)) return false;
      if (!of_call)
        for (ir::Range& r : w.ranges) r.point = false;
      if (!ref.field_subscripted)
        for (size_t i = b.box.size() - std::min<size_t>(b.field_dims, b.box.size()); i < b.box.size(); ++i)
          w.ranges.push_back({b.box[i].lo, b.box[i].hi});
      out.push_back(std::move(w));
    }
    return true;
  }

  bool window_ranges(const ast::Entries& entries, std::vector<ir::Range>& ranges) {
    for (const ast::Entry& e : entries) {
      if (const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr) {
        if (!window_ranges(tuple->entries, ranges)) return false;
        continue;
      }
      if (!e.value) {
        refuse(e.place, "a window is made of indices and ranges");
        return false;
      }
      ir::Range r;
      r.lo = index(*e.value);
      r.hi = e.hi ? index(*e.hi) : r.lo.known() ? r.lo + 1 : ir::Expr();
      r.point = !e.hi;
      if (e.max) r.max_extent = small(*e.max);
      if (!r.lo.known() || !r.hi.known()) return false;
      ranges.push_back(std::move(r));
    }
    return true;
  }

  void statement(const ast::ReduceRegion& r, ir::Body& out) {
    ir::Reduce region;
    region.reassociated = r.reassociated;
    region.reducer = r.reducer.text;
    bool ok = reducer_named(r.reducer) != nullptr;
    for (const ast::Ref& w : r.windows) ok = windows(w, region.windows) && ok;
    if (!ok) return;
    ++depth_;
    region.body = body(r.body);
    --depth_;
    out.push_back(ir::make_stmt(std::move(region), r.place));
  }

  void statement(const ast::CallInstr& c, ir::Body& out) {
    ir::Call call;
    call.instr = c.instr.text();
    if (!p_.instr(call.instr)) {
      const ast::InstrItem* item = context_.instr(call.instr);
      if (!item)
        return report(Diagnostic(codes::unknown_name, c.instr.place, "there is no instruction `" + call.instr + "`")
                          .with_help("an `instr` stands before the program in the same text"));
      Result<ir::Instr> row = instr_row(*item, p_);
      if (!row.ok()) return report_all(row.errors());
      p_.instrs.push_back(std::move(*row));
    }
    for (const ast::Ref& w : c.windows)
      if (!windows(w, call.windows, true)) return;
    out.push_back(ir::make_stmt(std::move(call), c.place));
  }

  void statement(const ast::Check& c, ir::Body& out) {
    ir::Check check;
    check.condition = condition(*c.condition);
    check.text = c.text;
    for (const ast::ExprRef& e : c.coordinates) check.coordinates.push_back(value(*e));
    bool known = check.condition.known() &&
                 std::all_of(check.coordinates.begin(), check.coordinates.end(), [](auto& e) { return e.known(); });
    if (known) out.push_back(ir::make_stmt(std::move(check), c.place));
  }

  void statement(const ast::Leaf& l, ir::Body& out) {
    auto stage = stages_.find(l.stage.text());
    if (stage == stages_.end())
      return report(
          Diagnostic(codes::unknown_name, l.stage.place, "there is no stage `" + l.stage.text() + "`")
              .with_help("each stage has a row such as `stage y(map i in 0 .. n)` at the top of the program"));
    ir::Leaf leaf;
    leaf.stage = stage->second;
    leaf.recomputed = l.recomputed;
    leaf.nontemporal = l.nontemporal;
    leaf.bindings.resize(p_.stage(leaf.stage).axes.size());
    for (const ast::Leaf::Binding& b : l.bindings) binding(b, leaf);
    for (const ir::Expr& b : leaf.bindings)
      if (!b.known() && found_.empty())
        return refuse(l.place, "the leaf of `" + l.stage.text() + "` does not bind each axis");
    if (l.condition) leaf.predicate = condition(*l.condition);
    axes_.clear();
    for (const ir::Axis& a : p_.stage(leaf.stage).axes) axes_.push_back({p_.symbol(a.symbol).name, a.symbol});
    in_leaf_ = true;
    for (const ast::Equation& eq : l.assigns) assign(eq, leaf);
    in_leaf_ = false;
    axes_.clear();
    out.push_back(ir::make_stmt(std::move(leaf), l.place));
  }

  void binding(const ast::Leaf::Binding& b, ir::Leaf& leaf) {
    const ir::Stage& row = p_.stage(leaf.stage);
    for (size_t i = 0; i < row.axes.size(); ++i)
      if (p_.symbol(row.axes[i].symbol).name == b.axis.text) {
        leaf.bindings[i] = index(*b.value);
        return;
      }
    report(Diagnostic(codes::unknown_name, b.axis.place,
                      "the stage `" + row.name + "` has no axis `" + b.axis.text + "`"));
  }

  void assign(const ast::Equation& eq, ir::Leaf& leaf) {
    if (eq.left.size() != 1 || eq.right.reduction || !eq.right.value)
      return refuse(eq.place, "a leaf holds assignments of values");
    const ast::Ref& left = eq.left[0];
    const std::vector<ir::BufferId>* ids = buffers_of(left);
    if (!ids) return;
    ir::AssignKind kind = eq.kind == ast::AssignKind::define    ? ir::AssignKind::define
                          : eq.kind == ast::AssignKind::combine ? ir::AssignKind::combine
                                                                : ir::AssignKind::update;
    if (kind == ir::AssignKind::combine) {
      if (!reducer_named(eq.reducer)) return;
      leaf.reducer = eq.reducer.text;
    }
    std::vector<ir::Expr> subs;
    if (!subscripts(left.subs, subs)) return;
    if (!p_.buffer((*ids)[0]).field.empty()) return state(eq, *ids, kind, subs, leaf);
    ir::Assign a;
    a.buffer = (*ids)[0];
    a.subs = std::move(subs);
    a.kind = kind;
    a.value = value_of_type(*eq.right.value, p_.buffer(a.buffer).type, "`" + left.path.text() + "`", {});
    if (a.value.known()) leaf.assigns.push_back(std::move(a));
  }

  // `st[r] online= (m = .., o[e in 0 .. d] = ..)`
  void state(const ast::Equation& eq, const std::vector<ir::BufferId>& ids, ir::AssignKind kind,
             const std::vector<ir::Expr>& subs, ir::Leaf& leaf) {
    const auto* tuple = eq.right.value->as<ast::Tuple>();
    if (!tuple) return refuse(eq.right.value->place, "a state gets a value for each of its fields: `(m = .., l = ..)`");
    for (const ast::Entry& e : tuple->entries) {
      auto id = e.target && e.value
                    ? std::find_if(ids.begin(), ids.end(),
                                   [&](ir::BufferId b) { return p_.buffer(b).field == e.target->path.text(); })
                    : ids.end();
      if (id == ids.end()) return refuse(e.place, "this names no field of `" + eq.left[0].path.text() + "`");
      ir::Assign a;
      a.buffer = *id;
      a.subs = subs;
      a.kind = kind;
      size_t axes = axes_.size();
      for (const ast::Entry& x : e.target->subs) {
        if (x.kind != ast::Entry::Kind::range || !x.bound)
          return refuse(x.place, "an axis of a field is written `e in 0 .. d`");
        ir::Axis axis;
        axis.lo = index(*x.value);
        axis.hi = index(*x.hi);
        axis.symbol = p_.add(ir::Symbol{x.bound->text, ir::SymbolKind::axis, ScalarType::index,
                                        p_.stage(leaf.stage).name, x.bound->place});
        a.subs.push_back(ir::var(axis.symbol));
        axes_.push_back({x.bound->text, axis.symbol});
        a.over.push_back(std::move(axis));
      }
      a.value = value_of_type(*e.value, p_.buffer(a.buffer).type, "`" + e.target->path.text() + "`", {});
      axes_.resize(axes);
      if (a.value.known()) leaf.assigns.push_back(std::move(a));
    }
  }

  // --- expressions ---------------------------------------------------------------------------------------------------

  bool subscripts(const ast::Entries& entries, std::vector<ir::Expr>& subs) {
    for (const ast::Entry& e : entries) {
      if (const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr) {
        if (!subscripts(tuple->entries, subs)) return false;
        continue;
      }
      if (e.kind != ast::Entry::Kind::value || !e.value) {
        refuse(e.place, "a subscript is one index");
        return false;
      }
      ir::Expr sub = index(*e.value);
      if (!sub.known()) return false;
      subs.push_back(std::move(sub));
    }
    return true;
  }

  ir::Expr read(const ast::Read& read, const Place& place, Hint) override {
    const ast::Ref& ref = read.ref;
    if (!ref.subscripted && !read.otherwise)
      if (ir::Expr e = symbol(ref.path); e.known()) return e;
    auto known = buffers_.find(ref.path.text());
    std::string field = ref.field ? ref.field->text : "";
    if (known == buffers_.end() && !ref.path.bare()) {  // `st.m` of a state without axes
      std::string whole = ref.path.text();
      field = ref.path.last();
      known = buffers_.find(whole.substr(0, whole.size() - field.size() - 1));
    }
    if (known == buffers_.end()) {
      if (makes_dims_ && ref.bare_name()) return new_dim(ref.path.first(), place);
      unknown(ref, place);
      return {};
    }
    for (ir::BufferId id : known->second) {
      const ir::Buffer& b = p_.buffer(id);
      if (b.field != field) continue;
      return element(id, b.type, read);
    }
    refuse(place, "`" + ref.path.text() + "` has no field `" + field + "`");
    return {};
  }

  ir::Expr element(ir::BufferId id, ScalarType type, const ast::Read& read) {
    std::vector<ir::Expr> subs;
    if (!subscripts(read.ref.subs, subs) || !subscripts(read.ref.field_subs, subs)) return {};
    ir::Expr otherwise;
    if (read.otherwise) {
      otherwise =
          with_index(false, [&] { return value_of_type(*read.otherwise, type, "`" + p_.buffer(id).name + "`", {}); });
      if (!otherwise.known()) return {};
    }
    return ir::load(type, id, std::move(subs), otherwise);
  }

  // Inside a leaf the stage's axes come first; a bare loop name is the nearest loop, `y.ro` the nearest of that stage.
  ir::Expr symbol(const ast::Path& path) {
    if (path.bare()) {
      if (in_leaf_)
        for (auto a = axes_.rbegin(); a != axes_.rend(); ++a)
          if (a->first == path.first()) return ir::var(a->second);
      for (auto l = loops_.rbegin(); l != loops_.rend(); ++l)
        if (l->name == path.first()) return ir::var(l->id);
      auto v = values_.find(path.first());
      return v == values_.end() ? ir::Expr() : v->second;
    }
    std::string whole = path.text();
    for (auto l = loops_.rbegin(); l != loops_.rend(); ++l)
      if (l->owner.size() + 1 + l->name.size() == whole.size() && whole == l->owner + "." + l->name)
        return ir::var(l->id);
    return {};
  }

  ir::Expr new_dim(const std::string& name, const Place& place) {
    ir::SymbolId id = p_.add(ir::Symbol{name, ir::SymbolKind::dim, ScalarType::index, "", place});
    return values_[name] = ir::var(id);
  }

  void unknown(const ast::Ref& ref, const Place& place) {
    std::vector<std::string> known;
    for (const auto& b : buffers_) known.push_back(b.first);
    for (const auto& v : values_) known.push_back(v.first);
    for (const Loop& l : loops_) known.push_back(l.name);
    for (const auto& a : axes_) known.push_back(a.first);
    std::string near = nearest(ref.path.text(), known);
    report(Diagnostic(codes::unknown_name, place, "there is no `" + ref.path.text() + "` here")
               .with_help(near.empty() ? "" : "did you mean `" + near + "`?"));
  }

  bool allows_index_conversion() const override { return true; }

  struct Loop {
    std::string name, owner;
    ir::SymbolId id;
  };

  const ast::ProgramItem& item_;
  const Module& context_;
  ir::Program p_;
  Diagnostics found_;
  std::map<std::string, ir::Expr> values_;                    // dims and scalars
  std::map<std::string, std::vector<ir::BufferId>> buffers_;  // one, or the fields of a state
  std::map<std::string, ir::StageId> stages_;
  std::map<std::string, ir::SymbolId> loop_ids_;
  std::vector<LetDim> lets_;
  std::vector<Loop> loops_;                                 // around the statement at hand
  std::vector<std::pair<std::string, ir::SymbolId>> axes_;  // of the leaf at hand
  bool in_leaf_ = false, makes_dims_ = false;
  int depth_ = 0;
  int64_t statements_ = 0;
};

}  // namespace

Result<ir::Program> read_program(const ast::ProgramItem& item, const Module& context) {
  return ProgramReader(item, context).run();
}

Result<ir::Program> read_program(const SourceRef& source) {
  Result<Module> module = read_module(source);
  if (!module.ok()) return module.errors();
  if (module->programs.size() != 1)
    return Diagnostic(codes::bad_program, Place{source, 0, 0},
                      module->programs.empty() ? "the text has no program" : "the text has more than one program");
  return read_program(*module->programs[0], *module);
}

}  // namespace heddle::frontend
