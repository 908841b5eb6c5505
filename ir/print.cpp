// Text of programs. The grammar reads back whatever stands here; precedences follow the grammar's ladder, so parentheses appear
// only where needed.
//
// Over 500 lines: one printer for the one text; its parts share the names and the precedence at hand.
#include "ir/print.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "ir/visit.h"
#include "support/result.h"

namespace heddle::ir {
namespace {

enum Level { level_if, level_or, level_and, level_compare, level_bit, level_add, level_mul, level_unary, level_atom };

struct BinaryRow {
  const char* text;
  Level level;
  bool function;
};
BinaryRow row_of(BinaryOp op) {
  switch (op) {
    case BinaryOp::add: return {"+", level_add, false};
    case BinaryOp::sub: return {"-", level_add, false};
    case BinaryOp::mul: return {"*", level_mul, false};
    case BinaryOp::div: return {"/", level_mul, false};
    case BinaryOp::mod: return {"%", level_mul, false};
    case BinaryOp::ceildiv: return {"ceildiv", level_atom, true};
    case BinaryOp::min: return {"min", level_atom, true};
    case BinaryOp::max: return {"max", level_atom, true};
    case BinaryOp::shift_left: return {"<<", level_bit, false};
    case BinaryOp::shift_right: return {">>", level_bit, false};
    case BinaryOp::bit_and: return {"&", level_bit, false};
    case BinaryOp::bit_or: return {"|", level_bit, false};
    case BinaryOp::bit_xor: return {"^", level_bit, false};
    case BinaryOp::eq: return {"==", level_compare, false};
    case BinaryOp::ne: return {"!=", level_compare, false};
    case BinaryOp::lt: return {"<", level_compare, false};
    case BinaryOp::le: return {"<=", level_compare, false};
    case BinaryOp::gt: return {">", level_compare, false};
    case BinaryOp::ge: return {">=", level_compare, false};
    case BinaryOp::logical_and: return {"&&", level_and, false};
    case BinaryOp::logical_or: return {"||", level_or, false};
  }
  return {"?", level_atom, false};
}

class Printer {
 public:
  Printer(const Program& program) : p_(program) {}

  std::string take() { return std::move(out_); }

  void whole() {
    out_ += "program " + p_.name + "(";
    for (size_t i = 0; i < p_.parameters.size(); ++i) {
      if (i) out_ += ", ";
      parameter(p_.parameters[i]);
    }
    out_ += ")";
    if (!p_.target.empty()) out_ += " on " + p_.target;
    allow();
    if (!p_.facts.empty()) out_ += " facts (" + list(p_.facts) + ")";
    out_ += " {\n";
    for (const DimDefinition& d : p_.dims)
      if (d.value.known()) line(1, "let " + name(d.dim) + " = " + expr(d.value));
    for (const Requirement& r : p_.requirements) line(1, "require " + expr(r.condition) + ", " + quoted(r.text));
    for (const Stage& s : p_.stages) stage(s);
    body(p_.body, 1);
    out_ += "}\n";
  }

  std::string expr(const Expr& e, Level outer = level_if) {
    auto [text, level] = shape(e);
    return level < outer ? "(" + text + ")" : text;
  }

  /// Where the reader knows the type from the other side: a literal stands bare.
  std::string beside(const Expr& e, Level outer = level_if) {
    const Constant* c = e.as<Constant>();
    if (!c || e.type() == ScalarType::boolean) return expr(e, outer);
    std::string text = literal(e, *c);
    return outer > level_unary && text[0] == '-' ? "(" + text + ")" : text;
  }

  void statement(const StmtRef& s, int indent) {
    std::visit(overloaded{
                   [&](const For& l) { loop(l, indent); },
                   [&](const Alloc& a) { alloc(a, indent); },
                   [&](const Reduce& r) { region(r, indent); },
                   [&](const Leaf& l) { leaf(l, indent); },
                   [&](const Call& c) {
                     std::string text;
                     for (const Window& w : c.windows) text += (text.empty() ? "" : ", ") + window(w, true);
                     line(indent, "call " + c.instr + "(" + text + ")");
                   },
                   [&](const Check& c) {
                     std::string at = c.coordinates.empty() ? "" : " at " + list(c.coordinates);
                     line(indent, "check " + expr(c.condition) + ", " + quoted(c.text) + at);
                   },
               },
               s->form);
  }

  void instr(const Instr& i) {
    out_ += "instr " + i.name + "(";
    for (size_t n = 0; n < i.operands.size(); ++n) {
      const InstrOperand& o = i.operands[n];
      if (n) out_ += ", ";
      if (o.inout) out_ += "inout ";
      out_ += o.name + ": " + std::string(scalar_type_name(o.type)) + "[";
      for (size_t d = 0; d < o.dims.size(); ++d) {
        if (d) out_ += ", ";
        out_ += name(o.dims[d]);
        if (o.max_extents[d]) out_ += " <= " + std::to_string(o.max_extents[d]);
      }
      out_ += "] in " + std::string(memory_name(o.memory));
      if (o.layout) out_ += layout(*o.layout);
    }
    out_ += ")";
    for (size_t n = 0; n < i.numerics.size(); ++n) out_ += (n ? ", " : " numerics ") + i.numerics[n];
    out_ += " {\n";
    instr_ = &i;
    for (const InstrLine& l : i.lines) {
      out_ += "  " + i.operands[l.operand].name + "[";
      out_ += list(l.subs) + "] " + l.reducer + "= " + beside(l.value) + "\n";
    }
    instr_ = nullptr;
    out_ += "}\n";
  }

  void reducer(const Reducer& r) {
    out_ += "reducer " + r.name + "(";
    for (size_t i = 0; i < r.fields.size(); ++i) {
      const ReducerField& f = r.fields[i];
      out_ += (i ? ", " : "") + f.name + ": " + std::string(scalar_type_name(f.type));
      if (!f.extents.empty()) out_ += "[" + list(f.extents) + "]";
    }
    out_ += ")";
    if (r.commutes) out_ += r.exact ? " commutes exactly" : " commutes";
    out_ += " {\n";
    reducer_ = &r;
    out_ += "  identity {\n";
    for (const ReducerLine& l : r.identity) line(2, reducer_line(l));
    out_ += "  }\n  combine(a, b) {\n";
    for (const ReducerLine& l : r.combine) line(2, reducer_line(l));
    out_ += "  }\n";
    if (!r.whole.empty()) {
      out_ += "  of[" + r.whole_index + "] " + r.whole_elements + " {\n";
      for (const ReducerLine& l : r.whole) line(2, reducer_line(l));
      out_ += "  }\n";
    }
    out_ += "}\n";
    reducer_ = nullptr;
  }

 private:
  void line(int indent, const std::string& text) { out_ += std::string(2 * indent, ' ') + text + "\n"; }

  const std::string& name(SymbolId id) const { return p_.symbol(id).name; }

  static std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      if (c == '\n') {
        out += "\\n";
        continue;
      }
      out += c;
    }
    return out + "\"";
  }

  std::string list(const std::vector<Expr>& parts) {
    std::string text;
    for (const Expr& e : parts) text += (text.empty() ? "" : ", ") + expr(e);
    return text;
  }

  // A loop prints bare unless a nearer loop of the same name hides it.
  std::string symbol(SymbolId id) {
    const Symbol& s = p_.symbol(id);
    if (s.kind != SymbolKind::loop || in_leaf_body_) return s.name;
    for (auto l = loops_.rbegin(); l != loops_.rend(); ++l) {
      if (*l == id) return s.name;
      if (p_.symbol(*l).name == s.name) break;
    }
    return s.owner + "." + s.name;
  }

  std::string subscripts(const std::vector<std::string>& texts, const std::vector<int>& groups) {
    std::string out;
    size_t next = 0;
    auto one = [&](const std::string& t) { out += (out.empty() ? "" : ", ") + t; };
    if (groups.empty()) {
      for (const std::string& t : texts) one(t);
      return out;
    }
    for (int g : groups) {
      if (g == 1) {
        one(texts[next++]);
        continue;
      }
      std::string inside;
      for (int i = 0; i < g; ++i) inside += (i ? ", " : "") + texts[next++];
      one("(" + inside + ")");
    }
    return out;
  }

  std::string buffer_access(BufferId id, const std::vector<std::string>& texts) {
    if (instr_) {
      std::string all;
      for (const std::string& t : texts) all += (all.empty() ? "" : ", ") + t;
      return instr_->operands[id.value].name + "[" + all + "]";
    }
    const Buffer& b = p_.buffer(id);
    if (b.field.empty()) return texts.empty() ? b.name : b.name + "[" + subscripts(texts, b.groups) + "]";
    size_t own = texts.size() - b.field_dims;
    std::vector<std::string> head(texts.begin(), texts.begin() + own), tail(texts.begin() + own, texts.end());
    std::string out = b.name;
    if (!head.empty()) out += "[" + subscripts(head, {}) + "]";
    out += "." + b.field;
    if (!tail.empty()) out += "[" + subscripts(tail, {}) + "]";
    return out;
  }

  std::vector<std::string> texts(const std::vector<Expr>& parts) {
    std::vector<std::string> out;
    for (const Expr& e : parts) out.push_back(expr(e));
    return out;
  }

  // The shortest text that reads back to the same number of the type.
  static std::string real(double v, ScalarType type) {
    if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
    if (std::isnan(v)) return "nan";
    char buffer[40];
    auto end = type == ScalarType::f64 ? std::to_chars(buffer, buffer + sizeof buffer, v).ptr
                                       : std::to_chars(buffer, buffer + sizeof buffer, static_cast<float>(v)).ptr;
    std::string text(buffer, end);
    if (text.find_first_of(".e") == std::string::npos) return text + ".0";
    size_t e = text.find('e');  // a float has a digit on both sides of its dot
    if (e != std::string::npos && text.find('.') == std::string::npos) text.insert(e, ".0");
    return text;
  }

  // A literal takes the type of its other side; alone it is printed with its type, so that reading back cannot guess wrong.
  static std::string literal(const Expr& e, const Constant& c) {
    if (e.type() == ScalarType::u64) return std::to_string(static_cast<uint64_t>(c.integer));
    return is_float(e.type()) ? real(c.real, e.type()) : std::to_string(c.integer);
  }

  std::pair<std::string, Level> constant(const Expr& e, const Constant& c) {
    if (e.type() == ScalarType::boolean) return {c.integer ? "true" : "false", level_atom};
    std::string text = literal(e, c);
    if (e.type() == ScalarType::index) return {text, text[0] == '-' ? level_unary : level_atom};
    return {std::string(scalar_type_name(e.type())) + "(" + text + ")", level_atom};
  }

  std::pair<std::string, Level> shape(const Expr& e) {
    return std::visit(
        overloaded{
            [&](const Constant& c) { return constant(e, c); },
            [&](const Var& v) {
              std::string text = symbol(v.symbol);
              if (reducer_)
                for (const ReducerLine& l : reducer_->whole)
                  if (l.each && l.local == v.symbol) text += "[" + reducer_->whole_index + "]";
              return std::pair(text, level_atom);
            },
            [&](const Load& l) {
              std::string text = buffer_access(l.buffer, texts(l.subs));
              if (!l.otherwise.known()) return std::pair(text, level_atom);
              return std::pair(text + " or " + beside(l.otherwise, level_unary), level_unary);
            },
            [&](const StateField& s) {
              static const char* sides[] = {"a.", "b.", ""};
              std::string side =
                  s.side < 3 ? sides[s.side] : reducer_->whole_elements + "[" + reducer_->whole_index + "].";
              std::string text = side + reducer_->fields[s.field].name;
              if (!s.subs.empty()) text += "[" + list(s.subs) + "]";
              return std::pair(text, level_atom);
            },
            [&](const Unary& u) {
              const char* op = u.op == UnaryOp::negate ? "-" : u.op == UnaryOp::logical_not ? "!" : "~";
              return std::pair(op + expr(u.value, level_atom), level_unary);
            },
            [&](const Binary& b) {
              BinaryRow row = row_of(b.op);
              if (row.function)
                return std::pair(std::string(row.text) + "(" + expr(b.left) + ", " + expr(b.right) + ")", level_atom);
              // Comparisons do not chain; everything else groups to the left.
              Level left = row.level == level_compare ? level_bit : row.level;
              Level right = static_cast<Level>(row.level + 1);
              if (is_bitwise(b.op))
                left = level_unary, right = level_unary;  // no precedence among bit operations is relied on
              bool literals = b.left.as<Constant>() && b.right.as<Constant>();
              std::string text = literals ? expr(b.left, left) : beside(b.left, left);
              bool tight = e.type() == ScalarType::index && row.level == level_mul;
              const char* gap = tight ? "" : " ";
              return std::pair(text + gap + row.text + gap + beside(b.right, right), row.level);
            },
            [&](const Select& s) {
              std::string yes = s.no.as<Constant>() ? expr(s.yes, level_or) : beside(s.yes, level_or);
              std::string no = s.yes.as<Constant>() && s.no.as<Constant>() ? expr(s.no) : beside(s.no);
              return std::pair("if " + expr(s.condition, level_or) + " then " + yes + " else " + no, level_if);
            },
            [&](const MathCall& c) { return std::pair(c.function + "(" + list(c.args) + ")", level_atom); },
            [&](const Convert& c) {
              std::string type(scalar_type_name(e.type()));
              if (c.mode == ConvertMode::saturate)
                return std::pair("saturate(" + type + ", " + expr(c.value) + ")", level_atom);
              return std::pair(type + "(" + expr(c.value) + ")", level_atom);
            },
        },
        e->form);
  }

  static bool is_bitwise(BinaryOp op) { return op >= BinaryOp::shift_left && op <= BinaryOp::bit_xor; }

  void parameter(const Parameter& q) {
    if (q.scalar.known()) {
      out_ += name(q.scalar) + ": " + std::string(scalar_type_name(p_.symbol(q.scalar).type));
      if (q.default_value.known()) out_ += " = " + beside(q.default_value);
      return;
    }
    const Buffer& b = p_.buffer(q.buffer);
    out_ += b.role == Role::in ? "in " : b.role == Role::out ? "out " : "inout ";
    out_ += b.name + ": " + std::string(scalar_type_name(b.type));
    std::vector<std::string> dims;
    for (const BoxDim& d : b.box) dims.push_back(expr(d.hi));
    if (!dims.empty()) out_ += "[" + subscripts(dims, b.groups) + "]";
    out_ += std::string(" in ") + memory_name(b.memory);
    buffer_tail(b);
  }

  void allow() {
    std::string words;
    auto word = [&](bool on, const char* text) {
      if (on) words += (words.empty() ? " allow " : ", ") + std::string(text);
    };
    word(p_.allow.reassociate, "reassociate");
    word(p_.allow.flush_denormals, "flush_denormals");
    word(p_.allow.contract, "contract");
    out_ += words;
  }

  std::string range(const Expr& lo, const Expr& hi) { return expr(lo, level_add) + " .. " + expr(hi, level_add); }

  void stage(const Stage& s) {
    std::string axes;
    for (const Axis& a : s.axes) {
      static const char* words[] = {"map", "reduce", "scan", "scan_reverse", "scatter"};
      axes += (axes.empty() ? "" : ", ") + std::string(words[static_cast<int>(a.cls)]) + " " + name(a.symbol) + " in " +
              range(a.lo, a.hi);
    }
    std::string text = "stage " + s.name + "(" + axes + ")";
    if (!s.reducer.empty()) text += " by " + s.reducer;
    // Buffers named as the stage go without saying.
    std::string into;
    bool own = true;
    for (BufferId id : s.writes) {
      const Buffer& b = p_.buffer(id);
      own &= b.name == s.name;
      into += (into.empty() ? "" : ", ") + b.name + (b.field.empty() ? "" : "." + b.field);
    }
    if (!own) text += " into " + into;
    if (s.where.known()) text += " where " + expr(s.where);
    if (!s.pure) text += " impure";
    line(1, text);
  }

  // `own`: trailing dims that belong to the field of a state; they lie as they are.
  std::string layout(const Layout& l, int own = 0) {
    std::string from, to;
    for (size_t i = 0; i + own < l.from.size(); ++i) from += (from.empty() ? "" : ", ") + name(l.from[i]);
    for (size_t i = 0; i + own < l.to.size(); ++i) to += (to.empty() ? "" : ", ") + expr(l.to[i]);
    return " layout(" + from + ") -> (" + to + ")";
  }

  void buffer_tail(const Buffer& b) {
    if (b.layout) out_ += layout(*b.layout, b.field_dims);
    if (b.pad.known()) out_ += " pad " + beside(b.pad, level_unary);
    if (b.copies != 1) out_ += " copies " + std::to_string(b.copies);
  }

  void alloc(const Alloc& a, int indent) {
    const Buffer& b = p_.buffer(a.buffers.front());
    std::string reducer = b.field.empty() ? "" : reducer_of(a.buffers);
    out_ += std::string(2 * indent, ' ') + "alloc " + b.name + ": ";
    out_ += b.field.empty() ? std::string(scalar_type_name(b.type)) : reducer;
    std::string dims;
    for (size_t i = 0; i + b.field_dims < b.box.size(); ++i) {
      const BoxDim& d = b.box[i];
      dims += (dims.empty() ? "" : ", ") + (d.name.empty() ? "" : d.name + " in ") + range(d.lo, d.hi);
    }
    if (!dims.empty()) out_ += "[" + dims + "]";
    out_ += std::string(" in ") + memory_name(b.memory);
    buffer_tail(b);
    out_ += "\n";
  }

  // The reducer whose state the buffers are: that of the stage that reduces into them, or where the state comes from a copy one that has
  // these fields.
  std::string reducer_of(const std::vector<BufferId>& fields) {
    for (const Stage& s : p_.stages)
      if (!s.reducer.empty() && std::find(s.writes.begin(), s.writes.end(), fields[0]) != s.writes.end())
        return s.reducer;
    for (const Reducer& r : p_.reducers) {
      bool fits = r.fields.size() == fields.size();
      for (size_t f = 0; fits && f < fields.size(); ++f) {
        const Buffer& b = p_.buffer(fields[f]);
        const ReducerField& row = r.fields[f];
        fits = b.field == row.name && b.type == row.type && b.field_dims == static_cast<int>(row.extents.size());
        for (size_t k = 0; fits && k < row.extents.size(); ++k)
          fits = same(b.box[b.box.size() - row.extents.size() + k].hi, row.extents[k]);
      }
      if (fits) return r.name;
    }
    return "?";
  }

  // A single coordinate `e .. e + 1` prints as `e`; of a call, only one that is no dim of the operand.
  std::string window(const Window& w, bool of_call = false) {
    std::vector<std::string> parts;
    for (const Range& r : w.ranges) {
      if (of_call ? r.point : same(simplified_one(r), r.hi)) parts.push_back(expr(r.lo));
      else parts.push_back(range(r.lo, r.hi) + (r.max_extent ? " <= " + std::to_string(r.max_extent) : ""));
    }
    return buffer_access(w.buffer, parts);
  }
  static Expr simplified_one(const Range& r) { return r.lo + 1; }

  static std::string stages(const For& l) {
    std::string text;
    for (int s : l.stage_of) text += (text.empty() ? "" : ", ") + std::to_string(s);
    return text.empty() ? "" : " at (" + text + ")";
  }

  void loop(const For& l, int indent) {
    const Symbol& s = p_.symbol(l.loop);
    std::string text = "for " + s.owner + "." + s.name + " in " + range(l.lo, l.hi);
    switch (l.kind) {
      case LoopKind::serial: break;
      case LoopKind::parallel: text += " parallel"; break;
      case LoopKind::vector: text += " vector"; break;
      case LoopKind::unrolled: text += " unrolled"; break;
      case LoopKind::pipelined: text += " pipelined " + std::to_string(l.stages) + stages(l); break;
      case LoopKind::bound: text += " on " + l.axis; break;
    }
    for (size_t i = 0; i < l.prefetch.size(); ++i)
      text += (i ? ", " : " prefetch ") + p_.buffer(l.prefetch[i].buffer).name + " by " +
              std::to_string(l.prefetch[i].ahead);
    line(indent, text + " {");
    loops_.push_back(l.loop);
    body(l.body, indent + 1);
    loops_.pop_back();
    line(indent, "}");
  }

  void region(const Reduce& r, int indent) {
    std::string text = "reduce ";
    const Window& first = r.windows.front();
    if (!instr_ && !p_.buffer(first.buffer).field.empty()) {
      // A user reducer's state: the stage's own coordinates once, whole field axes implied.
      const Buffer& b = p_.buffer(first.buffer);
      std::vector<std::string> parts;
      for (size_t i = 0; i + b.field_dims < first.ranges.size(); ++i) {
        const Range& range_i = first.ranges[i];
        parts.push_back(same(range_i.lo + 1, range_i.hi) ? expr(range_i.lo) : range(range_i.lo, range_i.hi));
      }
      text += b.name;
      if (!parts.empty()) text += "[" + subscripts(parts, {}) + "]";
    } else {
      for (size_t i = 0; i < r.windows.size(); ++i) text += (i ? ", " : "") + window(r.windows[i]);
    }
    line(indent, text + " by " + r.reducer + (r.reassociated ? " reassociated" : "") + " {");
    body(r.body, indent + 1);
    line(indent, "}");
  }

  void leaf(const Leaf& l, int indent) {
    const Stage& s = p_.stage(l.stage);
    std::string text = "at " + s.name + "(";
    for (size_t i = 0; i < l.bindings.size(); ++i)
      text += (i ? ", " : "") + name(s.axes[i].symbol) + " = " + expr(l.bindings[i]);
    text += ")";
    if (l.predicate.known()) text += " where " + expr(l.predicate);
    if (l.recomputed) text += " recomputed";
    if (l.nontemporal) text += " nontemporal";
    in_leaf_body_ = true;
    text += " { ";
    if (!l.assigns.empty() && !p_.buffer(l.assigns[0].buffer).field.empty()) text += state_assign(l);
    else
      for (size_t i = 0; i < l.assigns.size(); ++i) text += (i ? "; " : "") + assign(l, l.assigns[i]);
    in_leaf_body_ = false;
    line(indent, text + " }");
  }

  static std::string operation(const Leaf& l, const Assign& a) {
    return a.kind == AssignKind::define ? " = " : a.kind == AssignKind::update ? " <- " : " " + l.reducer + "= ";
  }

  std::string assign(const Leaf& l, const Assign& a) {
    return buffer_access(a.buffer, texts(a.subs)) + operation(l, a) + beside(a.value);
  }

  // `st[r] online= (m = .., l = 1, o[e in 0 .. d] = ..)`
  std::string state_assign(const Leaf& l) {
    const Assign& first = l.assigns[0];
    const Buffer& b = p_.buffer(first.buffer);
    std::string head = b.name, fields;
    std::vector<std::string> own;
    for (size_t i = 0; i + b.field_dims < first.subs.size(); ++i) own.push_back(expr(first.subs[i]));
    if (!own.empty()) head += "[" + subscripts(own, {}) + "]";
    for (const Assign& a : l.assigns) {
      fields += (fields.empty() ? "" : ", ") + p_.buffer(a.buffer).field;
      std::string over;
      for (const Axis& x : a.over) over += (over.empty() ? "" : ", ") + name(x.symbol) + " in " + range(x.lo, x.hi);
      if (!over.empty()) fields += "[" + over + "]";
      fields += " = " + beside(a.value);
    }
    return head + operation(l, first) + "(" + fields + ")";
  }

  std::string reducer_line(const ReducerLine& l) {
    std::string text = l.field >= 0 ? reducer_->fields[l.field].name : name(l.local);
    if (!l.axes.empty()) {
      text += "[";
      for (size_t i = 0; i < l.axes.size(); ++i) text += (i ? ", " : "") + name(l.axes[i]);
      text += "]";
    }
    if (l.each) text += "[" + reducer_->whole_index + "]";
    if (l.reducer.empty()) return text + " = " + beside(l.value);
    std::string value = expr(l.value);
    if (value[0] == '-') value = "(" + value + ")";
    return text + " = " + l.reducer + "[" + reducer_->whole_index + "] " + value;
  }

  void body(const Body& statements, int indent) {
    for (const StmtRef& s : statements) statement(s, indent);
  }

  const Program& p_;
  const Instr* instr_ = nullptr;
  const Reducer* reducer_ = nullptr;
  std::vector<SymbolId> loops_;
  bool in_leaf_body_ = false;
  std::string out_;
};

}  // namespace

std::string print(const Program& program) {
  Printer printer(program);
  for (const Reducer& r : program.reducers)
    if (r.builtin == BuiltinReducer::none) printer.reducer(r);
  for (const Instr& i : program.instrs) printer.instr(i);
  printer.whole();
  return printer.take();
}

std::string print(const Program& program, const Expr& e) { return e.known() ? Printer(program).expr(e) : "none"; }

std::string print(const Program& program, const StmtRef& s, int indent) {
  Printer printer(program);
  printer.statement(s, indent);
  return printer.take();
}

std::string print_instr(const Instr& instr, const Program& program) {
  Printer printer(program);
  printer.instr(instr);
  return printer.take();
}

}  // namespace heddle::ir
