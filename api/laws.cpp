#include "api/laws.h"

#include <cmath>
#include <cstring>
#include <sstream>

#include "api/impl.h"
#include "frontend/codes.h"
#include "ir/float_format.h"
#include "ir/integer.h"

namespace heddle::api {

namespace {

constexpr int most_trials = 24;
constexpr size_t trials_of_all = 960, most_reducers = 100;  // a text of many is answered soon, too
constexpr int64_t extent = 3;                               // of each axis of a field
constexpr int64_t elements = 11;

using Item = frontend::ast::ReducerItem;

// Values of one type, as memory has them.
struct Values {
  ir::ScalarType type;
  std::vector<int64_t> extents;
  std::vector<unsigned char> bytes;

  Values(ir::ScalarType t, std::vector<int64_t> e) : type(t), extents(std::move(e)) {
    int64_t n = ir::scalar_bytes(type);
    for (int64_t x : extents) n *= x;
    bytes.resize(static_cast<size_t>(n));
  }
  int64_t count() const { return static_cast<int64_t>(bytes.size()) / ir::scalar_bytes(type); }
  Buffer buffer() { return Buffer::dense(bytes.data(), type, extents); }
};

// xorshift64: the same states each time, so that a finding comes again.
class Draw {
 public:
  void fill(Values& v) {
    for (int64_t i = 0; i < v.count(); ++i) {
      unsigned char* at = v.bytes.data() + i * ir::scalar_bytes(v.type);
      if (ir::is_float(v.type)) {
        const uint64_t bits =
            ir::encode_float(v.type, 0.25 + std::ldexp(static_cast<double>(next() % (uint64_t{1} << 40)), -38));
        std::memcpy(at, &bits, static_cast<size_t>(ir::scalar_bytes(v.type)));
      } else if (v.type == ir::ScalarType::boolean) *at = next() % 2;
      else {
        const uint64_t small = next() % 6;
        std::memcpy(at, &small, static_cast<size_t>(ir::scalar_bytes(v.type)));
      }
    }
  }

 private:
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ >> 11;
  }
  uint64_t state_ = 0x9E3779B97F4A7C15;
};

// The type of a field; for a generic one a type of its class.
std::string type_of(const Item& r, const frontend::ast::Param& field) {
  for (const auto& g : r.generics)
    if (g.name.text == field.type.name.text) return g.cls.text == "int" ? "i32" : "f32";
  return field.type.name.text;
}

std::string axes_of(const frontend::ast::Param& field, bool names) {
  std::string out;
  for (size_t k = 0; k < field.type.dims.size(); ++k)
    out += ", " + (names ? "e" + std::to_string(k) + "_" : std::string(field.type.dims[k].place.text()));
  return out;
}

std::string own_axes(const frontend::ast::Param& field) {
  std::string axes = axes_of(field, true);
  return axes.empty() ? "" : "[" + axes.substr(2) + "]";
}

// `name[u_] = R[binders] (m = .., o[e0_] = ..)`, the element by `value(field)`.
template <class F>
std::string state(const Item& r, const std::string& name, const std::string& binders, F value) {
  std::string fields;
  for (const auto& f : r.fields) fields += (fields.empty() ? "" : ", ") + f.name.text + own_axes(f) + " = " + value(f);
  return "  " + name + "[u_ in 0 .. 1] = " + r.name.text + "[" + binders + "] (" + fields + ")\n";
}

std::string signature(const Item& r, const char* rows, const std::vector<std::string>& states) {
  std::string in, out;
  for (const auto& f : r.fields) {
    in +=
        (in.empty() ? "" : ", ") + ("in_" + f.name.text) + ": " + type_of(r, f) + "[" + rows + axes_of(f, false) + "]";
    for (const std::string& s : states)
      out += (out.empty() ? "" : ", ") + s + "_" + f.name.text + ": " + type_of(r, f) + "[1" + axes_of(f, false) + "]";
  }
  return "(" + in + ") -> (" + out + ")";
}

std::string results(const Item& r, const std::vector<std::string>& states) {
  std::string out;
  for (const auto& f : r.fields)
    for (const std::string& s : states)
      out += "  " + s + "_" + f.name.text + "[u_" + axes_of(f, true) + "] = " + s + "s_[u_]." + f.name.text +
             own_axes(f) + "\n";
  return out;
}

// Three states in all the ways that the laws speak of.
std::string laws_text(const Item& r) {
  auto at = [](const frontend::ast::Param& f, const std::string& i) {
    return "in_" + f.name.text + "[" + i + axes_of(f, true) + "]";
  };
  auto of = [](const frontend::ast::Param& f, const std::string& s) {
    return s + "s_[u_]." + f.name.text + own_axes(f);
  };
  const std::vector<std::string> states = {"abc", "a_bc", "bac", "ae", "a"};
  std::string body = state(r, "abcs_", "j_ in 0 .. 3", [&](const auto& f) { return at(f, "j_"); });
  body += state(r, "bcs_", "j_ in 1 .. 3", [&](const auto& f) { return at(f, "j_"); });
  body += state(r, "es_", "j_ in 0 .. 0", [&](const auto& f) { return at(f, "0"); });
  body += state(r, "a_bcs_", "j_ in 0 .. 2",
                [&](const auto& f) { return "if j_ == 0 then " + at(f, "0") + " else " + of(f, "bc"); });
  body += state(r, "bacs_", "j_ in 0 .. 3", [&](const auto& f) {
    return "if j_ == 0 then " + at(f, "1") + " else if j_ == 1 then " + at(f, "0") + " else " + at(f, "2");
  });
  body += state(r, "aes_", "j_ in 0 .. 2",
                [&](const auto& f) { return "if j_ == 0 then " + at(f, "0") + " else " + of(f, "e"); });
  body += state(r, "as_", "j_ in 0 .. 1", [&](const auto& f) { return at(f, "0"); });
  return "op laws_" + signature(r, "3", states) + " {\n" + body + results(r, states) + "}\n";
}

// A range in blocks, one of them cut and one empty.
std::string form_text(const Item& r) {
  std::string body = state(r, "xs_", "j_ in 0 .. " + std::to_string(elements) + " where j_ < 6",
                           [&](const auto& f) { return "in_" + f.name.text + "[j_" + axes_of(f, true) + "]"; });
  return "op form_" + signature(r, std::to_string(elements).c_str(), {"x"}) + " {\n" + body + results(r, {"x"}) +
         "}\nschedule form_.of_ on cpu allow reassociate {\n  split xs_.j_ by 4 into jo_, ji_\n  rfactor xs_.jo_ as "
         "blk_ with of\n}\n";
}

struct Trial {
  const Item& item;
  std::vector<Values> in, out;
  CompileOptions options;

  Trial(const Item& r, int64_t rows, size_t states) : item(r) {
    for (const auto& f : r.fields) {
      const ir::ScalarType type = ir::parse_scalar_type(type_of(r, f)).value_or(ir::ScalarType::f32);
      std::vector<int64_t> extents{rows};
      for (size_t k = 0; k < f.type.dims.size(); ++k) extents.push_back(extent_of(f.type.dims[k]));
      in.emplace_back(type, extents);
      options.arrays.push_back({type, extents});
      extents[0] = 1;
      for (size_t s = 0; s < states; ++s) out.emplace_back(type, extents);
    }
    options.schedule = "";
  }
  static int64_t extent_of(const frontend::ast::Entry& dim) {
    const auto* l = dim.value ? dim.value->as<frontend::ast::Literal>() : nullptr;
    return l ? std::strtoll(l->text.c_str(), nullptr, 10) : extent;
  }
  std::vector<Buffer> buffers() {
    std::vector<Buffer> all;
    for (Values& v : in) all.push_back(v.buffer());
    for (Values& v : out) all.push_back(v.buffer());
    return all;
  }
};

Diagnostic broken(const Item& r, const std::string& law, size_t field, double one, double other,
                  const std::string& ways) {
  std::ostringstream numbers;
  numbers.precision(7);
  numbers << "`" << r.fields[field].name.text << "` is " << one << " by one and " << other << " by the other";
  Diagnostic d(frontend::codes::broken_law, r.name.place, "the reducer `" + r.name.text + "` " + law + ": " + ways);
  d.labels.push_back({r.fields[field].name.place, numbers.str()});
  d.help = "steps that change the order of terms rely on it";
  return d;
}

// A state that is surely finite one way, and not the other way, is another one, though nothing is claimed about the other: the states that
// are drawn are small.
bool apart(const Op::Bounded& x, const Op::Bounded& y, size_t i) {
  if (std::isfinite(x.value[i]) != std::isfinite(y.value[i]))
    return std::isfinite(std::isfinite(x.value[i]) ? x.bound[i] : y.bound[i]);
  const double d = std::fabs(x.value[i] - y.value[i]), most = x.bound[i] + y.bound[i];
  return std::isfinite(d)
             ? !(d <= most + 1e-12 * std::fabs(x.value[i]))
             : std::isfinite(most) && x.value[i] != y.value[i] && !(std::isnan(x.value[i]) && std::isnan(y.value[i]));
}

std::optional<Diagnostic> try_orders(const Module& module, const Item& r, int trials) {
  Result<Module> with = module.extend(laws_text(r), "<laws>");
  if (!with) return std::nullopt;  // a shape that this does not write, such as a field that is named like a word
  Result<Op> op = with->op("laws_");
  if (!op) return std::nullopt;
  Trial t(r, 3, 5);
  Draw draw;
  const bool exact = r.exactly;
  for (int n = 0; n < trials; ++n) {
    for (Values& v : t.in) draw.fill(v);
    Result<std::vector<Op::Bounded>> found = op->reference(t.options, t.buffers());
    Result<Done> typed = op->interpret(t.options, t.buffers());
    if (!found || !typed) return std::nullopt;
    for (size_t f = 0; f < r.fields.size(); ++f) {
      const Op::Bounded *abc = &(*found)[f * 5], *a_bc = abc + 1, *bac = abc + 2, *ae = abc + 3, *a = abc + 4;
      for (size_t i = 0; i < abc->value.size(); ++i) {
        if (apart(*ae, *a, i))
          return broken(r, "has another identity", f, ae->value[i], a->value[i], "combine(a, identity) and a differ");
        if (apart(*abc, *a_bc, i))
          return broken(r, "is not associative", f, abc->value[i], a_bc->value[i],
                        "combine(combine(a, b), c) and combine(a, combine(b, c)) differ");
        if (r.commutes && apart(*abc, *bac, i))
          return broken(r, "does not commute, and is declared so", f, abc->value[i], bac->value[i],
                        "combine(a, b) and combine(b, a) differ");
      }
      if (exact && (t.out[f * 5].bytes != t.out[f * 5 + 1].bytes || t.out[f * 5].bytes != t.out[f * 5 + 2].bytes))
        return broken(r, "is declared `commutes exactly`, and rounds", f, abc->value[0], a_bc->value[0],
                      "orders of three states give other bits");
    }
  }
  return std::nullopt;
}

std::optional<Diagnostic> try_form(const Module& module, const Item& r, int trials) {
  Result<Module> with = module.extend(form_text(r), "<laws>");
  if (!with) return std::nullopt;
  Result<Op> op = with->op("form_");
  if (!op) return std::nullopt;
  Trial t(r, elements, 1);
  Draw draw;
  for (int n = 0; n < trials; ++n) {
    for (Values& v : t.in) draw.fill(v);
    CompileOptions blocks = t.options;
    blocks.schedule = "of_";
    Result<std::vector<Op::Bounded>> one = op->reference(t.options, t.buffers()),
                                     whole = op->reference(blocks, t.buffers());
    if (!one || !whole) return std::nullopt;
    for (size_t f = 0; f < r.fields.size(); ++f)
      for (size_t i = 0; i < (*one)[f].value.size(); ++i)
        if (apart((*one)[f], (*whole)[f], i))
          return broken(r, "has a form `of` that gives something else", f, (*one)[f].value[i], (*whole)[f].value[i],
                        "a range as a whole and one element after the other differ");
  }
  return std::nullopt;
}

}  // namespace

Diagnostics try_laws(const Module& module) {
  Diagnostics found;
  const auto& reducers = module.impl()->module().reducers;
  const size_t count = std::min(reducers.size(), most_reducers);
  for (size_t i = 0; i < count; ++i) {
    const auto& r = reducers[i];
    const int trials = static_cast<int>(std::min<size_t>(most_trials, trials_of_all / count));
    std::optional<Diagnostic> d = try_orders(module, *r, trials);
    if (!d && r->whole) d = try_form(module, *r, trials);
    if (d) found.push_back(*std::move(d));
  }
  return found;
}

}  // namespace heddle::api
