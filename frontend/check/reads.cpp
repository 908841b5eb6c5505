// What names and reads stand for inside an op. Reads are kept as accesses: whether they are inside is decided once the
// ranges of the equation are known.
#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/visit.h"

namespace heddle::frontend {

using ir::ScalarType;

std::optional<ScalarType> OpChecker::type_word(const std::string& word) const {
  auto generic = types_.find(word);
  return generic != types_.end() ? generic->second : ir::parse_scalar_type(word);
}

bool OpChecker::only_at_root(const std::string& name) const {
  return is_builtin_reducer(name) || module_.op(name) || module_.reducer(name);
}

bool OpChecker::is_tensor(const std::string& name) const {
  auto at = names_.find(name);
  return at != names_.end() && at->second.kind == Named::Kind::tensor;
}

std::vector<std::string> OpChecker::callables() const {
  std::vector<std::string> names;
  for (const auto& op : module_.ops) names.push_back(op->name());
  for (const auto& t : types_) names.push_back(t.first);
  return names;
}

ir::Expr OpChecker::read(const ast::Read& read, const Place& place, Hint) {
  const ast::Ref& ref = read.ref;
  if (ref.bare_name() && !read.otherwise) return bare_name(ref.path.first(), place);
  if (!ref.path.bare() && !ref.subscripted && !read.otherwise && !names_.count(ref.path.first()))
    if (ir::Expr let = module_let(ref.path.text()); let.known()) return let;
  auto named = names_.find(ref.path.first());
  if (named == names_.end()) {
    const std::string& name = ref.path.first();
    auto later = later_.find(name);
    if (in_body_ && later != later_.end())
      report(Diagnostic(codes::stage_order, place, "`" + name + "` is read before it is defined")
                 .label(later->second, "`" + name + "` is defined here")
                 .with_help("move its equation up; a recurrence is written as `scan`"));
    else if (only_at_root(name)) report(not_at_root(name, place));
    else report(unknown(name, ref.path.place));
    return {};
  }
  if (named->second.kind == Named::Kind::broken) return {};
  if (named->second.kind != Named::Kind::tensor) {
    report(Diagnostic(codes::wrong_rank, place, "`" + ref.path.first() + "` is no tensor")
               .label(named->second.place, "it is defined here"));
    return {};
  }
  return tensor_read(named->second.tensor, read, place);
}

ir::Expr OpChecker::bare_name(const std::string& name, const Place& place) {
  for (size_t i = 0; i < scope_.indices.size() && i < scope_.visible; ++i)
    if (scope_.indices[i].active && scope_.indices[i].name == name) return ir::var(scope_.indices[i].symbol);
  auto named = names_.find(name);
  if (named != names_.end()) {
    if (named->second.kind != Named::Kind::tensor) return named->second.value;
    ast::Read read;
    read.ref.path = ast::Path{{ast::Name{name, place}}, place};
    read.ref.place = place;
    return tensor_read(named->second.tensor, read, place);
  }
  if (ir::Expr let = module_let(name); let.known()) return let;
  if (makes_dims_) {
    ir::SymbolId symbol = frame_.add(ir::Symbol{name, ir::SymbolKind::dim, ScalarType::index, "", place});
    declare(name, {Named::Kind::dim, ir::var(symbol), -1, place});
    return ir::var(symbol);
  }
  auto later = later_.find(name);
  if (in_body_ && later != later_.end())
    report(Diagnostic(codes::stage_order, place, "`" + name + "` is read before it is defined")
               .label(later->second, "`" + name + "` is defined here")
               .with_help("move its equation up"));
  else if (packs_.count(name))
    report(Diagnostic(codes::wrong_rank, place, "`" + name + "` is a pack: write `..." + name + "` as a subscript"));
  else report(unknown(name, place));
  return {};
}

// A constant of the module or of an import, `nn.eps`.
ir::Expr OpChecker::module_let(const std::string& name) {
  if (auto let = module_.lets.find(name); let != module_.lets.end()) return ir::index_constant(let->second);
  auto let = module_.typed_lets.find(name);
  return let == module_.typed_lets.end() ? ir::Expr() : with_index(false, [&] { return value(*let->second); });
}

ir::Expr OpChecker::tensor_read(int tensor, const ast::Read& read, const Place& place) {
  const Tensor& t = tensors_[tensor];
  if (!in_body_) {
    report(Diagnostic(codes::wrong_operand, place,
                      "`" + t.name + "` is a tensor: shapes and requirements are made of dims, consts and scalars"));
    return {};
  }
  if (t.state == Tensor::State::broken) return {};
  const bool early = scan_.item && t.scan == scan_.block && !t.buffers.empty() && !t.reducer;
  if (t.state == Tensor::State::pending && !early) {
    bool itself = t.name == scope_.stage;
    Diagnostic d(codes::stage_order, place,
                 itself ? "`" + t.name + "` reads itself" : "`" + t.name + "` is read before it is defined");
    auto later = later_.find(t.name);
    if (!itself && later != later_.end()) d.labels.push_back({later->second, "`" + t.name + "` is defined here"});
    d.help = itself ? "a recurrence is written as `scan`" : "move its equation up";
    report(std::move(d));
    return {};
  }
  size_t field = 0;
  if (!field_of(t, read.ref, field, place)) return {};
  Access access;
  access.tensor = tensor;
  access.buffer = t.buffers[field];
  access.place = place;
  access.tried = read.otherwise != nullptr;
  access.finished = t.state == Tensor::State::readable;
  access.visible = scope_.visible;
  // Of `st.o[e]` the subscripts are the field's: the state has none of its own.
  const bool of_field = t.reducer && !read.ref.field && read.ref.subscripted;
  static const ast::Entries none;
  if (!subscripts(t, t.groups, of_field ? none : read.ref.subs, place, access)) return {};
  if (of_field || read.ref.field_subscripted)
    for (const ast::Entry& e : of_field ? read.ref.subs : read.ref.field_subs)
      if (!subscript(e, access)) return {};
  const ir::Buffer& buffer = frame_.buffer(access.buffer);
  if (access.subs.size() != buffer.box.size()) {
    report(Diagnostic(codes::wrong_rank, place,
                      "`" + t.name + "` takes " + std::to_string(buffer.box.size()) + " subscripts, not " +
                          std::to_string(access.subs.size()))
               .label(t.place, "`" + t.name + "` is defined here"));
    return {};
  }
  ScalarType type = buffer.type;
  ir::Expr otherwise;
  if (read.otherwise) {
    otherwise = under({}, [&] {
      return with_index(
          false, [&] { return value_of_type(*read.otherwise, type, "`" + excerpt(read.ref.place) + "`", t.place); });
    });
    if (!otherwise.known()) return {};
  }
  access.path = path();
  access.conditional = conditional();
  std::vector<ir::Expr> subs = access.subs;
  ir::BufferId id = access.buffer;
  scope_.accesses.push_back(std::move(access));
  return ir::load(type, id, std::move(subs), otherwise);
}

// `st[r].m`, or `st.m` of a state without axes.
bool OpChecker::field_of(const Tensor& t, const ast::Ref& ref, size_t& field, const Place& place) {
  std::string name = ref.field ? ref.field->text : ref.path.names.size() == 2 ? ref.path.last() : "";
  if (!t.reducer) {
    if (name.empty() && ref.path.bare()) return true;
    report(Diagnostic(codes::unknown_name, place, "`" + t.name + "` has no fields")
               .label(t.place, "`" + t.name + "` is defined here"));
    return false;
  }
  std::vector<std::string> known;
  for (size_t i = 0; i < t.reducer->fields.size(); ++i) {
    known.push_back(t.reducer->fields[i].name.text);
    if (known.back() == name) {
      field = i;
      return true;
    }
  }
  std::string near = nearest(name, known);
  Diagnostic d(codes::unknown_name, place,
               name.empty() ? "`" + t.name + "` is a state: read one of its fields"
                            : "the state `" + t.name + "` has no field `" + name + "`");
  d.help = !near.empty() ? "did you mean `" + near + "`?" : "its fields are those of `" + t.reducer->name.text + "`";
  report(std::move(d));
  return false;
}

bool OpChecker::subscripts(const Tensor& t, const std::vector<int>& groups, const ast::Entries& entries,
                           const Place& place, Access& access) {
  const ir::Buffer& buffer = frame_.buffer(access.buffer);
  size_t axes = groups.empty() ? buffer.box.size() - buffer.field_dims : groups.size();
  size_t axis = 0;
  for (const ast::Entry& e : entries) {
    if (e.kind == ast::Entry::Kind::pack) {
      auto pack = scope_.packs.find(e.pack.text);
      if (pack == scope_.packs.end()) {
        report(Diagnostic(codes::unknown_name, e.place, "`..." + e.pack.text + "` is not bound here")
                   .with_help("a pack of indices stands on the left side: `y[..." + e.pack.text + ", c]`"));
        return false;
      }
      for (int i : pack->second) {
        access.subs.push_back(ir::var(scope_.indices[i].symbol));
        access.sub_places.push_back(e.place);
        ++axis;
      }
      continue;
    }
    int parts = axis < groups.size() ? groups[axis] : 1;
    ++axis;
    const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr;
    if (!tuple && parts == 1) {
      if (!subscript(e, access)) return false;
      continue;
    }
    if (!tuple || static_cast<int>(tuple->entries.size()) != parts) {
      Diagnostic d(codes::wrong_rank, e.place,
                   tuple && parts == 1 ? "this dim of `" + t.name + "` is not composite"
                                       : "this dim of `" + t.name + "` is made of " + std::to_string(parts) + " parts");
      d.labels.push_back({t.place, "`" + t.name + "` is defined here"});
      if (parts > 1) d.help = "write one subscript for each part, such as `(r, q)`";
      report(std::move(d));
      return false;
    }
    for (const ast::Entry& part : tuple->entries)
      if (!subscript(part, access)) return false;
  }
  if (axis == axes) return true;
  report(Diagnostic(codes::wrong_rank, place,
                    "`" + t.name + "` takes " + std::to_string(axes) + (axes == 1 ? " subscript" : " subscripts") +
                        ", not " + std::to_string(axis))
             .label(t.place, "`" + t.name + "` is defined here"));
  return false;
}

bool OpChecker::subscript(const ast::Entry& e, Access& access) {
  if (e.kind != ast::Entry::Kind::value || !e.value || e.target || e.bound) {
    report(Diagnostic(codes::wrong_rank, e.place, "a subscript of a read is one index"));
    return false;
  }
  ir::Expr sub = index(*e.value);
  if (!sub.known()) return false;
  if (sub.type() != ScalarType::index) {
    report(Diagnostic(codes::wrong_operand, e.place, "a subscript is an integer, and this is `bool`"));
    return false;
  }
  access.subs.push_back(std::move(sub));
  access.sub_places.push_back(e.place);
  return true;
}

}  // namespace heddle::frontend
