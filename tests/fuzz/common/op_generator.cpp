// How an op comes about: inputs first, then stages, each of a kind (a row of `kinds`) that reads what stands before it, then results.
// A kind that does not fit the op's element type or what there is to read gives way to another one.
// Over 500 lines, as it is one table of kinds with a function for each.
#include "tests/fuzz/common/op_generator.h"

#include <algorithm>
#include <optional>

#include "tests/fuzz/common/known_ops.h"
#include "tests/fuzz/common/reducer_texts.h"

namespace heddle::fuzz {
namespace {

struct Tensor {
  std::string name;
  std::vector<std::string> dims;  // "m", or a sum such as "m + n"
  bool composite = false;         // the first two dims are one axis
};

std::string listed(const std::vector<std::string>& parts, bool composite = false) {
  if (parts.empty()) return "";
  std::string text = composite ? "[(" : "[";
  for (size_t i = 0; i < parts.size(); ++i) text += (i ? ", " : "") + parts[i] + (composite && i == 1 ? ")" : "");
  return text + "]";
}

class Generator {
 public:
  explicit Generator(Random& r) : r_(r) {}

  RandomOp run() {
    using ir::ScalarType;
    const Product* product = r_.chance(20) ? &products[r_.below(7)] : nullptr;
    type_ = r_.pick({ScalarType::f32,    ScalarType::f32,    ScalarType::f32,    ScalarType::f64, ScalarType::f64,
                     ScalarType::f64,    ScalarType::f64,    ScalarType::f64,    ScalarType::i32, ScalarType::i32,
                     ScalarType::bf16,   ScalarType::bf16,   ScalarType::f16,    ScalarType::f16, ScalarType::f8e4m3fn,
                     ScalarType::f8e4m3, ScalarType::f8e5m2, ScalarType::f8e5m2, ScalarType::i8,  ScalarType::u8,
                     ScalarType::i16,    ScalarType::u16,    ScalarType::i64,    ScalarType::u64, ScalarType::u32});
    // One dim is wide at most: the interpreter runs every state.
    for (const char* dim : {"m", "n", "k"}) out_.dims[dim] = r_.pick<int64_t>({0, 1, 2, 3, 4, 5, 7, 8, 9});
    if (r_.chance(70)) out_.dims[r_.pick({"m", "n", "k"})] = r_.pick<int64_t>({13, 16, 17, 19, 31, 33, 65});
    if (product && r_.chance(40)) type_ = product->c[0] == 'f' ? ScalarType::f32 : ScalarType::i32;
    const int bytes = ir::scalar_bytes(type_);
    if (type_ == ScalarType::f64) has("f64");
    else if (floats() && bytes < 4) has(bytes == 2 ? "half" : "f8");
    else if (!floats() && bytes < 4) has("small integers");
    else if (!floats() && type_ != ScalarType::i32) has("wide integers");
    inputs();
    if (product) multiply(*product);
    aims_at_ranges_ = r_.chance(35);
    if (aims_at_ranges_) state("r");
    const int stages = 1 + r_.below(4);
    const int at = narrow_ ? r_.below(stages + 1) : -1;
    for (int i = 0; i < stages; ++i) {
      if (i == at) converts();
      stage("s" + std::to_string(i));
    }
    if (at == stages) converts();
    results();
    if (r_.chance(15)) {
      // A step of the text; what it makes is private.
      const std::string name = tensors_.back().name == "py" ? "py" : "y";
      out_.schedule_items += "step halves(l: loop, n: int) {\n  split l by n into o, i\n  unroll i\n}\n";
      out_.schedule += "halves " + name + ".ai, " + std::to_string(1 + r_.below(4)) + "\n";
    }
    facts();
    std::string params, dims;
    for (const std::string& p : params_) params += (params.empty() ? "" : ", ") + p;
    std::string outputs = outputs_.size() == 1 ? outputs_[0] : "(";
    if (outputs_.size() > 1)
      for (size_t i = 0; i < outputs_.size(); ++i)
        outputs += (i ? ", " : "") + outputs_[i] + (i + 1 == outputs_.size() ? ")" : "");
    out_.text = reducers_ + helpers_ + "op f(" + params + ")" + (outputs_.empty() ? "" : " -> " + outputs) + " {\n" +
                requires_ + body_ + "}\n";
    return out_;
  }

 private:
  struct Product {
    const char *a, *b, *c, *dot, *pack;
    int k, lanes;
  };
  static constexpr Product products[] = {{"i8", "i8", "i32", "vnni_dot_256", "interleave_4", 4, 8},
                                         {"i8", "i8", "i32", "vnni_dot_512", "interleave_4", 4, 16},
                                         {"u8", "i8", "i32", "vnni_dot_512", "interleave_4", 4, 16},
                                         {"u8", "i8", "i32", "vnni_dot_256", "interleave_4", 4, 8},
                                         {"i8", "i8", "i32", "vnni_dot_512", "interleave_4", 4, 16},
                                         {"bf16", "bf16", "f32", "bf16_dot_512", "interleave_2", 2, 16},
                                         {"bf16", "bf16", "f32", "bf16_dot_256", "interleave_2", 2, 8}};

  // A product of matrices with the lines of a schedule that makes dot products of it, here and there bent.
  void multiply(const Product& row) {
    has("product");
    for (const char* dim : {"m", "n", "k"})
      out_.dims[dim] = r_.pick<int64_t>({0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 33});
    const std::string c = row.c, k = std::to_string(row.k);
    const std::string left = c + "(u0[ai, pi])", right = c + "(u1[pi, bi])";
    params_.push_back(std::string("u0: ") + row.a + "[m, k]");
    params_.push_back(std::string("u1: ") + row.b + "[k, n]");
    this->line("p[ai, bi] = sum[pi] " + (r_.chance(50) ? left + " * " + right : right + " * " + left));
    const bool same = c == type();
    this->line("py[ai, bi] = " + (same ? "" : type() + "(") + "p[ai, bi]" + (r_.chance(30) ? " + " + c + "(1)" : "") +
               (same ? "" : ")"));
    define("py", {"m", "n"});
    if (r_.chance(20)) return;  // steps at random alone
    std::vector<std::string> lines;
    auto line = [&](const std::string& text, int percent = 100) {
      if (r_.chance(percent)) lines.push_back(text);
    };
    const std::string width = std::to_string(row.lanes * (1 + r_.below(3))), high = std::to_string(1 + r_.below(4));
    std::string from = "u0";
    if (row.a[0] == 'i') line("offset p.u0 by 128 as xu, su"), from = "xu";
    line("split py.bi by " + width + " into jo, jj");
    line("split py.ai by " + high + " into io, ii");
    line("reorder py.jo, py.io, py.ii, py.jj");
    line("compute_at p at py.io in registers", 96);
    line("split p.pi by " + k + " into po, pj");
    line("split p.bi by " + std::to_string(row.lanes) + " into jv, ji");
    line("reorder p.po, p.ai, p.jv, p.ji, p.pj");
    const std::string panel_at = r_.pick({"py.jo", "py.io"});
    line("cache u1 in l2 at " + panel_at + " as panel", 96);
    if (from == "u0") line("cache u0 in l1 at py.io as strip", 90);
    line("layout panel[pi, bi] to (pi/" + k + ", bi, pi%" + k + ") with 0", 96);
    if (r_.chance(60)) {
      line("split panel.pi by " + k + " into po, pj");
      line("split panel.bi by 16 into jo, ji");
      line("reorder panel.po, panel.jo, panel.pj, panel.ji");
      line(std::string("replace panel.pj by ") + row.pack);
    }
    line(std::string("replace p.ji by ") + row.dot);
    line("unroll p.ai, p.jv", 70);
    line("vectorize py.jj by 16", 50);
    line("parallel py.jo", 40);
    for (const std::string& l : lines) out_.schedule += l + "\n";
    out_.long_schedule = true;
  }

  std::string type() const { return std::string(ir::scalar_type_name(type_)); }
  bool floats() const { return ir::is_float(type_); }
  void has(const char* construct) { out_.constructs.insert(construct); }
  void line(const std::string& text) { body_ += "  " + text + "\n"; }
  std::string literal() { return floats() ? r_.pick({"0.0", "1.0", "0.5", "2.0"}) : std::to_string(r_.below(5)); }

  // --- inputs --------------------------------------------------------------------------------------------------------

  // Every symbol is defined by the first one.
  void inputs() {
    static const std::vector<std::vector<std::string>> shapes = {{"m", "n", "k"}, {"m", "n"}, {"n", "k"},
                                                                 {"n"},           {"m"},      {"k", "n"}};
    const int count = 1 + r_.below(3);
    for (int i = 0; i < count; ++i) {
      Tensor t{"x" + std::to_string(i), i == 0 ? shapes[0] : r_.pick(shapes)};
      if (i > 0 && t.dims.size() > 1 && r_.chance(20)) t.composite = true, has("composite");
      params_.push_back(t.name + ": " + type() + listed(t.dims, t.composite));
      tensors_.push_back(t);
    }
    if (r_.chance(35)) {
      // Read under a conversion only: a copy of what that gives can stand for it.
      const char* other = floats() ? r_.pick({"bf16", "f16", "i8", "f8e5m2"}) : r_.pick({"i8", "u8", "i16"});
      if (other != type()) {
        narrow_ = Tensor{"v", r_.pick<std::vector<std::string>>({{"m"}, {"n"}, {"k"}, {"m", "n"}, {"n", "k"}})};
        params_.push_back("v: " + std::string(other) + listed(narrow_->dims));
      }
    }
    if (r_.chance(15)) {
      params_.push_back("alpha: " + type());
      has("scalar");
      scalar_ = "alpha";
    }
    if (r_.chance(12)) {
      // Read by stages before its cells get new values.
      params_.push_back("inout w: " + type() + "[m, n]");
      tensors_.push_back({"w", {"m", "n"}});
      updated_ = true;
      has("update");
    }
    if (r_.chance(12)) {
      params_.push_back("org: i64");
      has("scalar");
      place_ = true;
    }
    if (r_.chance(15)) {
      params_.push_back("const stride: int = " + std::to_string(1 + r_.below(3)));
      has("const");
      stride_ = true;
    }
  }

  // An integer input over `dim`, made when a stage first needs it.
  std::string data(const std::string& name, const std::string& extent, Fill fill) {
    if (out_.fills.emplace(name, fill).second) params_.push_back(name + ": i64[" + extent + "]");
    return name;
  }

  // What proofs may rely on, true of the extents that there are.
  void facts() {
    while (r_.chance(25)) {
      const std::string dim = r_.pick({"m", "n", "k"});
      const int64_t n = out_.dims[dim];
      std::string fact = dim + " >= " + std::to_string(r_.below(static_cast<int>(n) + 1));
      const int64_t by = 2 + r_.below(7);
      if (n % by == 0 && r_.chance(70)) fact = dim + " % " + std::to_string(by) + " == 0";
      else if (r_.chance(20)) fact = dim + " <= " + std::to_string(n + r_.below(4));
      requires_ = "  require " + fact + ", \"as it is\"\n" + requires_;
    }
  }

  void at_least_one(const std::string& dim) {
    if (out_.dims[dim] < 1) out_.dims[dim] = 1 + r_.below(5);
  }

  // --- reads ---------------------------------------------------------------------------------------------------------

  // Index names of a tensor's axes; `where_` remembers which dim each runs over.
  std::vector<std::string> indices(const std::vector<std::string>& dims) {
    std::vector<std::string> vars;
    where_.clear();
    for (size_t i = 0; i < dims.size(); ++i) {
      vars.push_back(std::string(1, static_cast<char>('a' + i)) + "i");
      where_[vars.back()] = dims[i];
    }
    return vars;
  }
  static std::string left(const std::string& name, const std::vector<std::string>& vars,
                          const std::vector<std::string>& dims) {
    std::vector<std::string> ranges;
    for (size_t i = 0; i < vars.size(); ++i) ranges.push_back(vars[i] + " in 0 .. " + dims[i]);
    return name + listed(ranges);
  }

  // A read of `t` at indices in scope that run over its dims; "" when one is missing.
  std::string read(const Tensor& t) {
    std::vector<std::string> parts;
    bool tried = false;
    for (const std::string& dim : t.dims) {
      std::string found;
      for (const auto& [v, d] : where_)
        if (d == dim && (found.empty() || r_.chance(30))) found = v;
      if (dim == "n" && r_.chance(15) && where_.count("ai") && where_["ai"] == "m") {
        at_least_one("n");
        found = data("id", "m", {Fill::Kind::index, "n"}) + "[ai]";
        has("gather");
      } else if (found.empty()) {
        return "";
      } else if (r_.chance(12)) {
        if (stride_ && r_.chance(50)) found += "*stride";
        found += (r_.chance(50) ? " + " : " - ") + (place_ && r_.chance(30) ? "org" : std::to_string(1 + r_.below(2)));
        tried = true;
      } else if (r_.chance(4)) {
        found = r_.chance(60) ? "(" + dim + ") - 1 - " + found : found + "/" + std::to_string(2 + r_.below(3));
      } else if (r_.chance(3)) {
        const std::string by = std::to_string(2 + r_.below(3));
        found = r_.chance(50) ? found + "%" + by : by + "*" + found;
        tried = true;
      }
      parts.push_back(found);
    }
    if (tried) has("or");
    const std::string text = t.name + listed(parts, t.composite);
    return tried ? "(" + text + " or " + (narrow_ && t.name == narrow_->name ? "0" : literal()) + ")" : text;
  }

  // The input of another type, as this one.
  std::string converted() {
    const std::string text = read(*narrow_);
    return text.empty() ? "" : type() + "(" + text + ")";
  }

  // A stage that reads it: as it is, or reduced beside something else.
  void converts() {
    std::vector<std::string> dims = narrow_->dims;
    has("cast");
    if (dims.size() == 2 && r_.chance(60)) {
      where_ = {{"ai", dims[0]}, {"pi", dims[1]}};
      const std::string wide = type() + "(v[ai, pi])", value = expr(1);
      line("sv[ai in 0 .. " + dims[0] + "] = " + reducer() + "[pi in 0 .. " + dims[1] + "] " + wide + " * " + value);
      return define("sv", {dims[0]});
    }
    const std::vector<std::string> vars = indices(dims);
    const std::string wide = type() + "(v" + listed(vars) + ")", value = expr(1);
    line(left("sv", vars, dims) + " = " + wide + r_.pick({" + ", " - ", " * "}) + value);
    define("sv", dims);
  }

  std::string leaf() {
    if (narrow_ && r_.chance(50))
      if (std::string text = converted(); !text.empty()) {
        has("cast");
        return text;
      }
    std::vector<std::string> known;
    for (const Tensor& t : tensors_)
      if (std::string text = read(t); !text.empty()) known.push_back(text);
    if (!scalar_.empty() && r_.chance(15)) return scalar_;
    if (known.empty() || r_.chance(10)) return type() + "(" + literal() + ")";
    return r_.pick(known);
  }

  std::string expr(int depth) {
    if (depth == 0) return leaf();
    const std::string a = expr(depth - 1), b = expr(r_.below(depth));
    switch (r_.below(11)) {
      case 0: return "(" + a + " + " + b + ")";
      case 1: return "(" + a + " - " + b + ")";
      case 2: return "(" + a + " * " + b + ")";
      case 3: return "max(" + a + ", " + b + ")";
      case 4: return "min(" + a + ", " + b + ")";
      case 5: has("if"); return "(if " + a + " < " + b + " then " + b + " else " + a + ")";
      case 6: return a;
      case 7:
        if (r_.chance(30)) {
          has("saturate");
          return type() + "(saturate(i8, " + a + "))";
        }
        has("cast");
        return floats() ? type() + "(i32(" + a + "))" : type() + "(f32(" + a + "))";
      case 8: return "(" + a + " / " + b + ")";
      default:
        if (!where_.empty() && r_.chance(20)) {
          has("random");
          return "(" + type() + "(random_bits(u64(7), u64(" + where_.begin()->first + ")) >> 56) + " + a + ")";
        }
        has("math");
        if (floats())
          return std::string(
                     r_.pick({"exp", "tanh", "sigmoid", "abs", "floor", "log", "sqrt", "erf", "sin", "round_even"})) +
                 "(" + a + ")";
        return "(" + a + " " + r_.pick({"&", "|", "^", "<<", ">>", "%"}) + " " + b + ")";
    }
  }

  // --- stages --------------------------------------------------------------------------------------------------------

  using Kind = bool (Generator::*)(const std::string& name);

  void stage(const std::string& name) {
    struct Row {
      Kind kind;
      int weight;
    };
    static const Row kinds[] = {
        {&Generator::map, 9},        {&Generator::reduction, 8}, {&Generator::extremum, 3},
        {&Generator::quantifier, 3}, {&Generator::triangle, 3},  {&Generator::conditional, 8},
        {&Generator::data_range, 3}, {&Generator::state, 13},    {&Generator::concat, 15},
        {&Generator::prefix, 7},     {&Generator::scan, 5},      {&Generator::called, 20},
        {&Generator::typed, 9},      {&Generator::pooled, 3},    {&Generator::attention, 3},
    };
    int total = 0;
    for (const Row& row : kinds) total += row.weight;
    for (;;) {
      int at = r_.below(total);
      for (const Row& row : kinds) {
        if ((at -= row.weight) >= 0) continue;
        if ((this->*row.kind)(name)) return;
        break;
      }
    }
  }

  std::vector<std::string> shape() {
    static const std::vector<std::vector<std::string>> shapes = {{"m", "n"}, {"m"},      {"n"}, {"m", "n", "k"},
                                                                 {"n", "k"}, {"k", "m"}, {}};
    return r_.pick(shapes);
  }
  const char* reducer() { return r_.pick({"sum", "sum", "max", "min", "sum", "prod"}); }
  void define(const std::string& name, const std::vector<std::string>& dims) {
    tensors_.push_back({name, dims, false});
  }

  // A block of one to three stages; each reads some of them a step back, those above also at the same step.
  bool scan(const std::string& name) {
    const std::string dim = r_.pick({"m", "n"});
    const bool reverse = r_.chance(40);
    std::vector<Tensor> block;
    for (int i = 1 + r_.below(3); i > 0; --i) {
      Tensor t{name + std::string(1, static_cast<char>('a' + block.size())), {dim}};
      if (r_.chance(70)) t.dims.insert(t.dims.begin() + r_.below(2), dim == "m" ? "n" : "m");
      block.push_back(t);
    }
    has("scan");
    std::string text = std::string("scan ti ") + (reverse ? "reverse " : "") + "{";
    for (size_t i = 0; i < block.size(); ++i) {
      std::vector<std::string> vars = indices(block[i].dims);
      where_.clear();
      for (size_t d = 0; d < vars.size(); ++d) {
        if (block[i].dims[d] == dim) vars[d] = "ti";
        where_[vars[d]] = block[i].dims[d];
      }
      std::string right;
      if (r_.chance(30)) {
        const std::string over = r_.pick({"m", "n", "k"});
        right = std::string(r_.pick({"sum", "max", "min"})) + "[pi in 0 .. " + over + "] ";
        where_["pi"] = over;
      }
      std::string value = expr(1 + r_.below(2));
      for (int reads = 1 + r_.below(2); reads > 0; --reads) {
        const size_t k = static_cast<size_t>(r_.below(static_cast<int>(block.size())));
        value = "(" + value + r_.pick({" + ", " - ", " * "}) + step_back(block[k], dim, reverse, k < i) + ")";
      }
      text += (i ? "; " : " ") + left(block[i].name, vars, block[i].dims) + " = " + right + value;
    }
    line(text + " }");
    tensors_.insert(tensors_.end(), block.begin(), block.end());
    return true;
  }

  // `(s0a[ti - 1, bi] or 0.0)`; what is finished at this step may also be read there.
  std::string step_back(const Tensor& t, const std::string& dim, bool reverse, bool finished) {
    std::vector<std::string> parts;
    for (const std::string& d : t.dims) {
      std::string found = d == dim ? "ti" : "";
      for (const auto& [v, over] : where_)
        if (found.empty() && over == d) found = v;
      if (found.empty()) return literal();
      const int back = finished ? r_.below(2) : 1 + (r_.chance(15) ? 1 : 0);
      if (d == dim && back > 0) found += (reverse ? " + " : " - ") + std::to_string(back);
      parts.push_back(found);
    }
    return "(" + t.name + listed(parts) + " or " + literal() + ")";
  }

  // A call of an op of two or three stages on a tensor of two dims; the op is written once. It may call another, have a pack of dims, and
  // a schedule that is applied.
  bool called(const std::string& name) {
    std::vector<Tensor> known;
    for (const Tensor& t : tensors_)
      if (t.dims.size() == 2 && !t.composite && t.name != "w") known.push_back(t);
    if (known.empty()) return false;
    has("call");
    if (helpers_.empty()) {
      packed_ = r_.chance(50);
      nested_ = !packed_ && r_.chance(75);
      const std::string rows = packed_ ? "...r" : "i", dims = packed_ ? "[...r, b]" : "[a, b]";
      if (nested_)
        helpers_ = "op h(v: " + type() + "[a]) -> w: " + type() + "[a] {\n  w[i] = (v[i - " +
                   std::to_string(r_.below(2)) + "] or " + literal() + ") " + r_.pick({"-", "+", "*"}) + " v[i]\n}\n";
      helpers_ += "op g(v: " + type() + dims + ") -> w: " + type() + dims + " {\n  top[" + rows +
                  "] = " + r_.pick({"max", "min", "sum"}) + "[j] v[" + rows + ", j]\n" +
                  (nested_ ? "  u = h(top)\n" : "") + "  w[" + rows + ", j] = v[" + rows + ", j] " +
                  r_.pick({"-", "+", "*"}) + " " +
                  (packed_ ? "top[...r]"
                           : std::string(nested_ ? "(u" : "(top") + "[i - " + std::to_string(r_.below(2)) + "] or " +
                                 literal() + ")") +
                  "\n}\n";
    }
    if (packed_) has("pack");
    if (nested_) has("nested call");
    const Tensor from = r_.pick(known);
    line(name + " = g(" + from.name + ")");
    define(name, from.dims);
    if (out_.schedule_items.empty() && r_.chance(50)) {
      out_.schedule_items = "schedule g.t on cpu {\n" +
                            std::string(r_.chance(20) ? "  rfactor top.j by 4 as tops\n" : "") +
                            (!packed_ && r_.chance(30) ? "  compute_at top at w.i\n" : "") +
                            (!packed_ && r_.chance(50) ? "  split w.i by 3 into io, ii\n" : "") +
                            (r_.chance(50) ? "  vectorize w.j by 8\n" : "  unroll w.j by 2\n") + "}\n";
      out_.schedule = "apply g.t to " + name + "\n" + out_.schedule;
    }
    return true;
  }

  bool map(const std::string& name) {
    const std::vector<std::string> dims = shape(), vars = indices(dims);
    if (dims.empty()) return false;
    has("map");
    line(left(name, vars, dims) + " = " + expr(1 + r_.below(3)));
    define(name, dims);
    return true;
  }

  bool reduction(const std::string& name) {
    const std::vector<std::string> dims = shape(), vars = indices(dims);
    std::string binders;
    const int count = 1 + (r_.chance(45) ? 1 : 0);
    for (int i = 0; i < count; ++i) {
      const std::string v = i ? "qi" : "pi", dim = r_.pick({"m", "n", "k"});
      binders += (i ? ", " : "") + v + " in 0 .. " + dim;
      where_[v] = dim;
    }
    has(count == 2 ? "two_axes" : "reduction");
    line(left(name, vars, dims) + " = " + reducer() + "[" + binders + "] " + expr(1 + r_.below(2)));
    define(name, dims);
    return true;
  }

  bool extremum(const std::string& name) {
    const std::vector<std::string> dims = shape(), vars = indices(dims);
    const std::string over = r_.pick({"n", "k"});
    at_least_one(over);
    if (requires_.find("require " + over) == std::string::npos)
      requires_ += "  require " + over + " >= 1, \"not empty\"\n";
    where_["pi"] = over;
    has("argmax");
    line(left(name + "p", vars, dims) + " = " + r_.pick({"argmax", "argmin"}) + "[pi in 0 .. " + over + "] " + expr(1));
    line(left(name, vars, dims) + " = " + type() + "(" + name + "p" + listed(vars) + ")");
    define(name, dims);
    return true;
  }

  bool quantifier(const std::string& name) {
    const std::vector<std::string> dims = shape(), vars = indices(dims);
    where_["pi"] = "k";
    has("any");
    line(left(name + "b", vars, dims) + " = " + r_.pick({"any", "all"}) + "[pi in 0 .. k] " + expr(1) + " < " +
         expr(1));
    where_.erase("pi");
    line(left(name, vars, dims) + " = if " + name + "b" + listed(vars) + " then " + expr(1) + " else " + expr(1));
    define(name, dims);
    return true;
  }

  // A range that depends on an index around it: causal, banded.
  bool triangle(const std::string& name) {
    const std::vector<std::string> dims = r_.pick<std::vector<std::string>>({{"m"}, {"m", "n"}}), vars = indices(dims);
    where_["pi"] = "k";
    has("triangle");
    const std::string range = r_.chance(50) ? "0 .. min(ai + 1, k)" : "max(0, min(ai - 2, k)) .. min(ai + 2, k)";
    line(left(name, vars, dims) + " = " + reducer() + "[pi in " + range + "] " + expr(1));
    define(name, dims);
    return true;
  }

  bool conditional(const std::string& name) {
    const std::vector<std::string> dims = r_.pick<std::vector<std::string>>({{"m"}, {"m", "n"}}), vars = indices(dims);
    where_["pi"] = "k";
    std::string where = "pi <= ai";
    if (r_.chance(50)) where = "pi < " + data("len", "m", {Fill::Kind::length, "k"}) + "[ai]", has("where_data");
    else has("where");
    if (place_ && r_.chance(50)) where += r_.pick({" && pi != org", " && (pi < org || ai > 2)", " && org <= pi + ai"});
    else if (r_.chance(30)) where += r_.pick({" && pi % 2 == 0", " || pi > 3", " && pi + ai < m", " && !(pi == 1)"});
    // Cells without terms.
    if (r_.chance(15)) where = out_.fills.count("len") ? "i64(ai) < len[ai]" : "ai % 3 != 1";
    line(left(name, vars, dims) + " = " + reducer() + "[pi in 0 .. k where " + where + "] " + expr(1));
    define(name, dims);
    return true;
  }

  bool data_range(const std::string& name) {
    const std::vector<std::string> dims = {"m"}, vars = indices(dims);
    where_["pi"] = "k";
    data("off", "m + 1", {Fill::Kind::offsets, "k"});
    has("data_range");
    if (params_.end() == std::find(params_.begin(), params_.end(), "val: " + type() + "[k]"))
      params_.push_back("val: " + type() + "[k]");
    line(left(name, vars, dims) + " = " + reducer() + "[pi in off[ai] .. off[ai + 1]] (" + expr(1) + " * val[pi])");
    define(name, dims);
    return true;
  }

  // A reducer of the text: with fields of one or several cells, or with a form for whole ranges.
  bool state(const std::string& name) {
    static constexpr const char* constructs[] = {"state", "state_of_cells", "whole_range"};
    const std::vector<std::string> dims = r_.pick<std::vector<std::string>>({{"m"}, {"n"}, {"m", "n"}}),
                                   vars = indices(dims);
    where_["pi"] = "k";
    const int row = aims_at_ranges_ ? 2 : r_.pick({0, 0, 1, 1, 2, 2});
    if (reducers_.find(reducer_texts[row]) == std::string::npos) reducers_ += reducer_texts[row];
    has(constructs[row]);
    const bool plain = type_ == ir::ScalarType::f32;
    // Sums of large whole numbers in f32 differ with their order by more than whole numbers may, and squares leave f32 in some orders.
    const bool wide = !floats() && ir::scalar_bytes(type_) >= 4;
    const std::string from = plain  ? ""
                             : wide ? "f32(saturate(i16, "
                                    : "f32(",
                      back = plain ? "" : type() + "(", end = plain ? "" : ")";
    const std::string closed = wide ? "))" : end;
    const std::string first = from + expr(1) + closed, second = from + expr(1) + closed, t = name + "t",
                      at = t + listed(vars);
    const std::string head = left(t, vars, dims) + " = ";
    std::string result = at;
    if (row == 0) {
      line(head + "moments[pi in 0 .. k] (n = 1, mean = " + first + ", m2 = 0)");
      result += ".m2 + " + at + ".mean";
    } else if (row == 1) {
      line(head + "mixed[pi in 0 .. k] (top = " + first + ", o[e in 0 .. 4] = " + second + ")");
      result += ".top + " + at + ".o[" + std::to_string(r_.below(4)) + "]";
    } else {
      line(head + "online[pi in 0 .. k] (m = " + first + ", l = 1)");
      result += ".l";
    }
    line(left(name, vars, dims) + " = " + back + result + end);
    define(name, dims);
    return true;
  }

  // A stage of another type, and what it comes back to: booleans, accumulators, narrow stores.
  bool typed(const std::string& name) {
    const std::vector<std::string> dims = shape(), vars = indices(dims);
    const std::string t = name + "v", at = t + listed(vars);
    if (r_.chance(30)) {
      std::string value = expr(1) + r_.pick({" < ", " == ", " >= "}) + expr(1);
      if (r_.chance(50))
        value = "(" + value + ")" + r_.pick({" && ", " || "}) + "!(" + expr(1) + " != " + expr(1) + ")";
      line(left(t, vars, dims) + " = " + value);
      line(left(name, vars, dims) + " = if " + at + " then " + expr(1) + " else " + expr(1));
    } else {
      const std::string other =
          r_.pick({"f64", "f32", "f16", "bf16", "f8e4m3fn", "f8e5m2", "i8", "i16", "i32", "u8", "u16", "u32"});
      const std::string into = !floats() || r_.chance(60) ? other + "(" : "saturate(" + other + ", ";
      std::string binder, closed;
      if (r_.chance(40)) {
        where_["pi"] = r_.pick({"m", "n", "k"});
        binder = std::string(r_.pick({"sum", "max", "min"})) + "[pi in 0 .. " + where_["pi"] + "] ";
      }
      const std::string value = expr(1 + r_.below(2));
      has("cast");
      line(left(t, vars, dims) + " = " + binder + into + value + ")");
      where_.erase("pi");
      const std::string back = r_.chance(20) ? type() + "(" + at + " + " + other + "(1))" : type() + "(" + at + ")";
      line(left(name, vars, dims) + " = " + back + r_.pick({" + ", " - ", " * "}) + expr(1));
    }
    define(name, dims);
    return true;
  }

  // Blocks of a dim, each reduced to one cell.
  bool pooled(const std::string& name) {
    const int by = 2 + r_.below(2);
    const std::string h = name + "h", size = std::to_string(by);
    std::vector<const Tensor*> rows;
    for (const Tensor& t : tensors_)
      if (!t.dims.empty() && t.dims[0] == "m" && !t.composite) rows.push_back(&t);
    if (rows.empty()) return false;
    const Tensor t = *r_.pick(rows);
    std::vector<std::string> dims = t.dims, vars = indices(dims), reads = vars;
    dims[0] = h;
    reads[0] = size + "*ai + pi";
    has("let");
    requires_ += "  let " + h + " = m / " + size + "\n";
    line(left(name, vars, dims) + " = " + reducer() + "[pi in 0 .. " + size + "] " + t.name + listed(reads));
    define(name, dims);
    return true;
  }

  // A running maximum with sums of rows: cells along a dim in a state, with a form for whole ranges.
  bool attention(const std::string& name) {
    const std::vector<std::string> vars = indices({"m", "n"});
    if (!floats()) return false;
    if (reducers_.find(reducer_texts[3]) == std::string::npos) reducers_ += reducer_texts[3];
    has("state_of_cells"), has("whole_range");
    const std::string t = name + "t", where = r_.chance(50) ? " where pi <= ai" : "";
    where_ = {{"ai", "m"}, {"pi", "k"}};
    const std::string m = "f32(" + expr(1) + ")";
    where_ = {{"ai", "m"}, {"pi", "k"}, {"ei", "n"}};
    const std::string o = "f32(" + expr(1) + ")";
    line(t + "[ai in 0 .. m] = rows[pi in 0 .. k" + where + "] (m = " + m + ", l = 1, o[ei in 0 .. n] = " + o + ")");
    line(left(name, vars, {"m", "n"}) + " = if " + t + "[ai].l > 0 then " + type() + "(" + t + "[ai].o[bi] / " + t +
         "[ai].l) else " + type() + "(0)");
    define(name, {"m", "n"});
    return true;
  }

  bool concat(const std::string& name) {
    where_ = {{"ai", "m"}};
    const std::string first = expr(1);
    std::vector<const Tensor*> rows;
    for (const Tensor& t : tensors_)
      if (t.dims == std::vector<std::string>{"n"}) rows.push_back(&t);
    if (rows.empty()) return false;
    // `first` reads over `ai in 0 .. m`; past that the row is read from its start.
    has("concat");
    line(name + "[ai in 0 .. m + n] = if ai < m then " + first + " else " + r_.pick(rows)->name + "[ai - m]");
    define(name, {"m + n"});
    return true;
  }

  bool prefix(const std::string& name) {
    std::vector<const Tensor*> rows;
    for (const Tensor& t : tensors_)
      if (t.dims.size() == 2 && !t.composite) rows.push_back(&t);
    if (rows.empty()) return false;
    const Tensor t = *r_.pick(rows);
    has("prefix");
    line(left(name, {"ai", "bi"}, t.dims) + " = " + reducer() + "[pi in 0 .. bi + 1] " + t.name + "[ai, pi]");
    define(name, t.dims);
    return true;
  }

  // --- results -------------------------------------------------------------------------------------------------------

  void results() {
    const Tensor last = tensors_.back();
    if (r_.chance(15) && !last.dims.empty()) {
      // A shape that a `let` defines, read with a stride.
      has("let");
      std::vector<std::string> dims = last.dims, vars = indices(dims), reads = vars;
      requires_ += "  let h = (" + dims[0] + " + 1) / 2\n";
      reads[0] = "2*ai";
      dims[0] = "h";
      outputs_.push_back("y: " + type() + listed(dims));
      line("y" + listed(vars) + " = (" + last.name + listed(reads) + " or " + literal() + ")");
    } else {
      const std::vector<std::string> vars = indices(last.dims);
      const bool composite = last.dims.size() > 1 && r_.chance(15);
      if (composite) has("composite");
      wrote_composite_ = composite;
      outputs_.push_back("y: " + type() + (last.dims.empty() ? "[]" : listed(last.dims, composite)));
      std::string value = read(last);
      line("y" + listed(vars, composite) + " = " + (value.empty() ? last.name + listed(vars) : value));
    }
    if (r_.chance(40) && out_.constructs.count("let") == 0)
      define("y", last.dims), tensors_.back().composite = wrote_composite_;
    if (r_.chance(20)) {
      const Tensor t = r_.pick(tensors_);
      const std::vector<std::string> vars = indices(t.dims);
      has("results");
      outputs_.push_back("z: " + type() + (t.dims.empty() ? "[]" : listed(t.dims)));
      line("z" + listed(vars) + " = " + (t.composite ? t.name + listed(vars, true) : expr(1)));
    }
    if (r_.chance(12)) {
      at_least_one("n");
      has("scatter");
      data("id", "m", {Fill::Kind::index, "n"});
      where_ = {{"ai", "m"}, {"bi", "k"}};
      const std::string value = expr(1);
      outputs_.push_back("g: " + type() + "[n, k]");
      line("g[id[ai], bi] = " + std::string(reducer()) + "[ai in 0 .. m] " + value);
    }
    if (r_.chance(8)) {
      has("scatter");
      where_ = {{"ai", "m"}, {"bi", "k"}};
      const std::string value = expr(1);
      outputs_.push_back("gc: " + type() + "[m + k]");
      line("gc[ai + bi] = " + std::string(reducer()) + "[ai in 0 .. m, bi in 0 .. k] " + value);
      if (r_.chance(50)) {
        outputs_.push_back("gd: " + type() + "[m + k]");
        line("gd[ai] = gc[ai] + (gc[ai - 1] or " + literal() + ")");
      }
    }
    if (updated_) {
      where_ = {{"ai", "m"}, {"bi", "n"}};
      std::erase_if(tensors_, [](const Tensor& t) { return t.name == "w"; });
      line("w[ai, bi] <- " + std::string(r_.chance(50) ? "w[ai, bi] + " : "") + expr(1));
    } else if (r_.chance(12)) {
      has("update");
      where_ = {{"ai", "m"}, {"bi", "n"}};
      const std::string value = expr(1);
      params_.push_back("inout w: " + type() + "[m, n]");
      line("w[ai, bi] <- w[ai, bi] + " + value);
    }
    if (r_.chance(20)) {
      // A row is written from a place on that data gives.
      at_least_one("n");
      has("update at data");
      data("pos", "m", {Fill::Kind::index, "n"});
      where_ = {{"ai", "m"}, {"bi", "k"}};
      const std::string value = expr(1);
      params_.push_back("inout c: " + type() + "[m, n + k]");
      line("c[ai, pos[ai] + bi] <- x0[ai, pos[ai], bi] + " + value);
    }
  }

  Random& r_;
  RandomOp out_;
  ir::ScalarType type_ = ir::ScalarType::f32;
  std::vector<std::string> params_, outputs_;
  std::string helpers_;  // the ops that `f` calls
  bool packed_ = false, nested_ = false;
  bool updated_ = false;          // `w` is an input until the end
  bool place_ = false;            // there is a run-time index `org`
  bool wrote_composite_ = false;  // `y` is
  bool aims_at_ranges_ = false;   // states have a form for whole ranges
  std::string reducers_, requires_, body_, scalar_;
  bool stride_ = false;
  std::vector<Tensor> tensors_;
  std::optional<Tensor> narrow_;  // of another type
  std::map<std::string, std::string> where_;
};

}  // namespace

RandomOp random_op(Random& random) { return random.chance(12) ? known_op(random) : Generator(random).run(); }

}  // namespace heddle::fuzz
