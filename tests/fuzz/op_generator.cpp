#include "tests/fuzz/op_generator.h"

namespace heddle::fuzz {
namespace {

struct Tensor {
  std::string name;
  std::vector<std::string> dims;
};

class Generator {
 public:
  explicit Generator(Random& r) : r_(r) {}

  RandomOp run() {
    out_.type = r_.pick({ir::ScalarType::f32, ir::ScalarType::f32, ir::ScalarType::f32, ir::ScalarType::f64,
                         ir::ScalarType::i32, ir::ScalarType::bf16, ir::ScalarType::i8, ir::ScalarType::u8});
    for (const char* dim : {"m", "n", "k"})
      out_.dims[dim] = r_.pick<int64_t>({0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 19, 31, 33});
    std::string params;
    int inputs = 1 + r_.below(3);
    // Every symbol is defined by some input.
    std::vector<std::vector<std::string>> shapes = {{"m", "n", "k"}, {"m", "n"}, {"n", "k"}, {"n"}, {"m"}};
    for (int i = 0; i < inputs; ++i) {
      Tensor t{"x" + std::to_string(i), i == 0 ? shapes[0] : shapes[r_.below(5)]};
      params += (i ? ", " : "") + t.name + ": " + type() + dims(t);
      tensors_.push_back(t);
    }
    int stages = 1 + r_.below(4);
    std::string body;
    for (int i = 0; i < stages; ++i) body += "  " + stage("s" + std::to_string(i)) + "\n";
    const Tensor& last = tensors_.back();
    Tensor y{"y", last.dims};
    index_(y);
    body += "  y" + subs(vars_) + " = " + read(last, y) + "\n";
    out_.text = "op f(" + params + ") -> y: " + type() + dims(last) + " {\n" + body + "}\n";
    return out_;
  }

 private:
  std::string type() const { return std::string(ir::scalar_type_name(out_.type)); }

  static std::string dims(const Tensor& t) { return subs(t.dims); }
  static std::string subs(const std::vector<std::string>& parts) {
    if (parts.empty()) return "";
    std::string text = "[";
    for (const std::string& p : parts) text += (text.size() > 1 ? ", " : "") + p;
    return text + "]";
  }

  // Index names of a tensor's axes; `where_` remembers which dim each runs over.
  void index_(const Tensor& t) {
    vars_.clear(), where_.clear();
    for (size_t i = 0; i < t.dims.size(); ++i) {
      vars_.push_back(std::string(1, static_cast<char>('a' + i)) + "i");
      where_[vars_.back()] = t.dims[i];
    }
  }

  // A read of `t` at indices in scope that run over its dims; "" when one is missing.
  std::string read(const Tensor& t, const Tensor&) {
    std::vector<std::string> parts;
    bool shifted = false;
    for (const std::string& dim : t.dims) {
      std::string found;
      for (const auto& [v, d] : where_)
        if (d == dim && (found.empty() || r_.chance(30))) found = v;
      if (found.empty()) return "";
      if (r_.chance(12)) {
        found += r_.chance(50) ? " + " : " - ";
        found += std::to_string(1 + r_.below(2));
        shifted = true;
      }
      parts.push_back(found);
    }
    std::string text = t.name + subs(parts);
    return shifted ? "(" + text + " or " + literal() + ")" : text;
  }

  std::string literal() {
    if (!ir::is_float(out_.type)) return std::to_string(r_.below(5));
    return r_.pick({"0.0", "1.0", "0.5", "2.0"});
  }

  std::string leaf() {
    std::vector<std::string> known;
    for (const Tensor& t : tensors_)
      if (std::string text = read(t, t); !text.empty()) known.push_back(text);
    if (known.empty() || r_.chance(10)) return type() + "(" + literal() + ")";
    return r_.pick(known);
  }

  std::string expr(int depth) {
    if (depth == 0) return leaf();
    std::string a = expr(depth - 1), b = expr(r_.below(depth));
    switch (r_.below(ir::is_float(out_.type) ? 9 : 7)) {
      case 0: return "(" + a + " + " + b + ")";
      case 1: return "(" + a + " - " + b + ")";
      case 2: return "(" + a + " * " + b + ")";
      case 3: return "max(" + a + ", " + b + ")";
      case 4: return "min(" + a + ", " + b + ")";
      case 5: return "(if " + a + " < " + b + " then " + b + " else " + a + ")";
      case 6: return a;
      case 7: return std::string(r_.pick({"exp", "tanh", "sigmoid", "abs", "floor"})) + "(" + a + ")";
      default: return "(" + a + " / " + b + ")";
    }
  }

  std::string stage(const std::string& name) {
    static const std::vector<std::vector<std::string>> shapes = {{"m", "n"}, {"m"},      {"n"}, {"m", "n", "k"},
                                                                 {"n", "k"}, {"k", "m"}, {}};
    Tensor t{name, r_.pick(shapes)};
    bool reduces = r_.chance(50) || t.dims.empty();
    index_(t);
    std::vector<std::string> ranges;
    for (const std::string& v : vars_) ranges.push_back(v + " in 0 .. " + where_[v]);
    std::string left = name + subs(ranges);
    std::string text;
    if (reduces) {
      std::string binders;
      int count = 1 + (r_.chance(25) ? 1 : 0);
      for (int i = 0; i < count; ++i) {
        std::string v = i ? "qi" : "pi", dim = r_.pick({"m", "n", "k"});
        binders += (i ? ", " : "") + v + " in 0 .. " + dim;
        where_[v] = dim;
      }
      const char* reducer = r_.pick({"sum", "sum", "max", "min", "sum"});
      text = left + " = " + reducer + "[" + binders + "] " + expr(1 + r_.below(2));
    } else {
      text = left + " = " + expr(1 + r_.below(3));
    }
    tensors_.push_back(t);
    return text;
  }

  Random& r_;
  RandomOp out_;
  std::vector<Tensor> tensors_;
  std::vector<std::string> vars_;
  std::map<std::string, std::string> where_;
};

}  // namespace

RandomOp random_op(Random& random) { return Generator(random).run(); }

}  // namespace heddle::fuzz
