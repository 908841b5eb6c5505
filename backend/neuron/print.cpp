#include "backend/neuron/print.h"

#include <map>
#include <set>

#include "ir/prove.h"

namespace heddle::neuron {

using namespace ir;

const std::set<std::string>& words_of_python() {
  static const std::set<std::string> words = {
      "nki",    "nl",    "nisa",     "min",  "max",   "range",  "and",      "as",     "assert",  "async", "await",
      "break",  "class", "continue", "def",  "del",   "elif",   "else",     "except", "finally", "for",   "from",
      "global", "if",    "import",   "in",   "is",    "lambda", "nonlocal", "not",    "or",      "pass",  "raise",
      "return", "try",   "while",    "with", "yield", "None",   "True",     "False"};
  return words;
}

namespace {

class Printer {
 public:
  explicit Printer(const NkiKernel& k) : k_(k), taken_(words_of_python()) {
    for (const Tile& t : k.tiles) taken_.insert(t.name);
    for (const std::string& s : k.scalars) taken_.insert(s);
  }

  std::string run() {
    for (size_t i = 0; i < k_.tables.size(); ++i) {
      out_ += "# table " + k_.tables[i].name + " float32 (";
      for (int64_t d : k_.tables[i].shape) out_ += std::to_string(d) + ",";
      if (k_.tables[i].shape.size() > 1) out_.pop_back();
      out_ += ")\n";
    }
    for (const std::string& line : k_.header) out_ += "# " + line + "\n";
    out_ += "import nki\nimport nki.isa as nisa\nimport nki.language as nl\n\n\n@nki.jit\ndef " + k_.name + "(";
    std::string args;
    for (TileId t : k_.inputs) args += (args.empty() ? "" : ", ") + k_.tiles[t].name;
    for (const std::string& s : k_.scalars) args += (args.empty() ? "" : ", ") + s;
    for (TileId t : k_.table_tiles) args += (args.empty() ? "" : ", ") + k_.tiles[t].name;
    out_ += args + "):\n";
    for (TileId t : k_.outputs) make(t, 1);
    block(k_.body, 1);
    std::string results;
    for (TileId t : k_.outputs) results += (results.empty() ? "" : ", ") + k_.tiles[t].name;
    out_ += "    return " + results + "\n";
    return out_;
  }

 private:
  void indent(int depth) { out_.append(4 * depth, ' '); }

  void make(TileId id, int depth) {
    const Tile& t = k_.tiles[id];
    indent(depth);
    out_ += t.name + " = ";
    if (t.list) {
      out_ += "[]\n";
      indent(depth);
      out_ += "for _ in range(" + std::to_string(t.list) + "):\n";
      indent(depth + 1);
      out_ += t.name + ".append(";
    }
    out_ += "nl.ndarray((";
    for (int64_t d : t.shape) out_ += std::to_string(d) + ", ";
    out_.resize(out_.size() - (t.shape.size() > 1 ? 2 : 1));
    out_ += "), dtype=nl." + std::string(type_name(t.type)) + ", buffer=nl.";
    out_ += t.space == Space::output ? "shared_hbm"
            : t.space == Space::hbm  ? "hbm"
            : t.space == Space::psum ? "psum"
                                     : "sbuf";
    out_ += t.list ? "))\n" : ")\n";
  }

  const std::string& name(SymbolId id) {
    auto [at, is_new] = names_.try_emplace(id.value);
    if (!is_new) return at->second;
    const Symbol& s = k_.program.symbol(id);
    std::string base;
    for (char c : s.name) base += (std::isalnum(static_cast<unsigned char>(c)) ? c : '_');
    std::string wanted = base;
    if (taken_.count(wanted) && !s.owner.empty()) {
      std::string owner;
      for (char c : s.owner) owner += (std::isalnum(static_cast<unsigned char>(c)) ? c : '_');
      wanted = owner + "_" + base;
    }
    return at->second = fresh(wanted, base);
  }

  std::string fresh(std::string wanted, std::string base = {}) {
    if (base.empty()) base = wanted;
    for (int n = 1; taken_.count(wanted); ++n) wanted = base + "_" + std::to_string(n);
    taken_.insert(wanted);
    return wanted;
  }

  // Precedence: 0 sum, 1 product, 2 atom.
  std::string text(const Expr& e, int level = 0) {
    auto wrap = [&](int own, std::string s) { return own < level ? "(" + s + ")" : s; };
    if (const int64_t* c = constant_value(e)) return *c < 0 ? wrap(0, std::to_string(*c)) : std::to_string(*c);
    if (const Var* v = e.as<Var>()) return name(v->symbol);
    if (const Unary* u = e.as<Unary>()) return wrap(0, "-" + text(u->value, 2));
    const Binary* b = e.as<Binary>();
    if (!b) return "0";  // the lowering makes no other form
    switch (b->op) {
      case BinaryOp::add: {
        if (const int64_t* c = constant_value(b->right); c && *c < 0)
          return wrap(0, text(b->left, 0) + " - " + std::to_string(-*c));
        return wrap(0, text(b->left, 0) + " + " + text(b->right, 1));
      }
      case BinaryOp::sub: return wrap(0, text(b->left, 0) + " - " + text(b->right, 1));
      case BinaryOp::mul: return wrap(1, text(b->left, 1) + "*" + text(b->right, 2));
      case BinaryOp::div: return wrap(1, text(b->left, 1) + "//" + text(b->right, 2));
      case BinaryOp::mod: return wrap(1, text(b->left, 1) + "%" + text(b->right, 2));
      case BinaryOp::ceildiv:
        return wrap(1, "(" + text(b->left, 0) + " + " + text(b->right - 1, 1) + ")//" + text(b->right, 2));
      case BinaryOp::min: return "min(" + text(b->left) + ", " + text(b->right) + ")";
      case BinaryOp::max: return "max(" + text(b->left) + ", " + text(b->right) + ")";
      default: return "0";
    }
  }

  std::string text(const View& v) {
    std::string out = k_.tiles[v.tile].name + "[";
    if (v.which.known()) out += text(v.which) + "][";
    for (size_t i = 0; i < v.axes.size(); ++i) {
      const Slice& s = v.axes[i];
      if (i) out += ", ";
      if (s.point) {
        out += text(s.start);
        continue;
      }
      // The last element taken stands before the end: count elements, `step` apart.
      Expr end = s.step == 1 ? s.start + s.count : s.start + (s.count - 1) * s.step + 1;
      out += text(s.start) + ":" + text(end);
      if (s.step != 1) out += ":" + std::to_string(s.step);
    }
    return out + "]";
  }

  std::string text(const Pattern& p) {
    const Tile& t = k_.tiles[p.tile];
    std::string out = t.name;
    int64_t elements = 1;
    for (int64_t d : t.shape) elements *= d;
    const bool dynamic = p.rows || p.loop.known();
    if (dynamic && (t.shape.size() != 2 || t.shape[1] != p.columns))
      out += ".reshape((" + std::to_string(elements / p.columns) + ", " + std::to_string(p.columns) + "))";
    out += ".ap(pattern=[";
    for (size_t i = 0; i < p.dims.size(); ++i)
      out += (i ? ", [" : "[") + std::to_string(p.dims[i].first) + ", " + text(p.dims[i].second) + "]";
    out += "], offset=" + text(p.offset);
    if (dynamic)
      out += (p.rows ? ", vector_offset=" + text(*p.rows) : ", scalar_offset=" + name(p.loop)) + ", indirect_dim=0";
    return out + ")";
  }

  // `@3@` is the fourth index that is used as a number.
  std::string number(const std::string& raw) {
    std::string out;
    for (size_t i = 0; i < raw.size();) {
      size_t end = raw[i] == '@' ? raw.find('@', i + 1) : std::string::npos;
      if (end == std::string::npos) {
        out += raw[i++];
        continue;
      }
      out += text(k_.index_texts[std::stoul(raw.substr(i + 1, end - i - 1))], 2);
      i = end + 1;
    }
    return out;
  }

  void block(const Block& nodes, int depth) {
    for (const Node& n : nodes) {
      if (auto* loop = std::get_if<Loop>(&n.form)) {
        indent(depth);
        if (loop->device_step) {
          const std::string step = std::to_string(loop->device_step), each = fresh("each_" + name(loop->symbol));
          out_ += "def " + each + "(" + name(loop->symbol) + "):\n";
          block(loop->body, depth + 1);
          indent(depth);
          out_ += "nl.fori_loop(" + text(simplify(loop->lo * loop->device_step)) + ", " +
                  text(simplify(loop->hi * loop->device_step)) + ", " + each + ", " + step + ")\n";
          continue;
        }
        out_ += "for " + name(loop->symbol) + " in range(" + text(loop->lo) + ", " + text(loop->hi) + "):\n";
        block(loop->body, depth + 1);
      } else if (auto* let = std::get_if<Let>(&n.form)) {
        indent(depth);
        out_ += name(let->symbol) + " = " + text(let->value) + "\n";
      } else if (auto* m = std::get_if<Make>(&n.form)) {
        make(m->tile, depth);
      } else if (auto* r = std::get_if<Remark>(&n.form)) {
        indent(depth);
        out_ += "# " + r->text + "\n";
      } else {
        const Instruction& i = std::get<Instruction>(n.form);
        indent(depth);
        out_ += "nisa." + i.name + "(";
        for (size_t a = 0; a < i.arguments.size(); ++a) {
          if (a) out_ += ", ";
          out_ += i.arguments[a].keyword + "=";
          if (auto* view = std::get_if<View>(&i.arguments[a].value)) out_ += text(*view);
          else if (auto* pattern = std::get_if<Pattern>(&i.arguments[a].value)) out_ += text(*pattern);
          else out_ += number(std::get<std::string>(i.arguments[a].value));
        }
        out_ += ")\n";
      }
    }
  }

  const NkiKernel& k_;
  std::string out_;
  std::map<uint32_t, std::string> names_;
  std::set<std::string> taken_;
};

}  // namespace

std::string print(const NkiKernel& kernel) { return Printer(kernel).run(); }

}  // namespace heddle::neuron
