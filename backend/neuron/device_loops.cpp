// A loop on the device exists once: its number is a register, which may move addresses in HBM (`.ap(.., scalar_offset=..)`) and nothing else. So
// every count, bound and place on chip has to be the same in all of its iterations; the others, of ragged ends, stay loops of Python beside it.
// Iterations do not overlap there, so that the outermost loop that qualifies is taken.
#include "backend/neuron/device_loops.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "backend/neuron/codes.h"
#include "ir/print.h"
#include "ir/prove.h"
#include "ir/visit.h"

namespace heddle::neuron {

using namespace ir;

std::optional<int64_t> evaluate(const Expr& e, const std::vector<int64_t>& values) {
  if (const Constant* c = e.as<Constant>()) return c->integer;
  if (const Var* v = e.as<Var>()) return values[v->symbol.value];
  if (const Unary* u = e.as<Unary>(); u && u->op == UnaryOp::negate) {
    std::optional<int64_t> x = evaluate(u->value, values);
    return x ? std::optional(-*x) : x;
  }
  const Binary* b = e.as<Binary>();
  if (!b) return std::nullopt;
  std::optional<int64_t> left = evaluate(b->left, values), right = evaluate(b->right, values);
  if (!left || !right) return std::nullopt;
  const int64_t l = *left, r = *right;
  auto floor_div = [](int64_t x, int64_t y) { return y == 0 ? 0 : x / y - ((x % y != 0) && ((x < 0) != (y < 0))); };
  switch (b->op) {
    case BinaryOp::add: return l + r;
    case BinaryOp::sub: return l - r;
    case BinaryOp::mul: return l * r;
    case BinaryOp::div: return floor_div(l, r);
    case BinaryOp::mod: return r == 0 ? 0 : l - floor_div(l, r) * r;
    case BinaryOp::ceildiv: return -floor_div(-l, r);
    case BinaryOp::min: return std::min(l, r);
    case BinaryOp::max: return std::max(l, r);
    default: return std::nullopt;
  }
}

namespace {

// What a loop's body is made of, as far as it matters to run it on the device.
struct Parts {
  std::vector<const View*> moving;  // windows of arrays in HBM that DMA moves
  std::vector<const Pattern*> moving_patterns;
  std::set<TileId> made, written;
};

class DeviceLoops {
 public:
  DeviceLoops(NkiKernel& k, const EmitOptions& options) : k_(k), options_(options) {
    values_.resize(k.program.symbols.size());
  }

  Diagnostics run(std::string& why) {
    marked(k_.body);
    if (!failure_.empty() || options_.profile == Profile::basic) return failure_;
    if (cost(k_.body) > options_.instructions) shrink(k_.body);
    why = why_;
    return failure_;
  }

 private:
  bool on_chip(TileId t) const { return k_.tiles[t].space == Space::sbuf || k_.tiles[t].space == Space::psum; }
  std::string name_of(SymbolId s) const {
    const Symbol& symbol = k_.program.symbol(s);
    return symbol.owner.empty() ? symbol.name : symbol.owner + "." + symbol.name;
  }

  // Instructions once Python has unrolled its loops.
  int64_t cost(const Block& block) {
    constexpr int64_t enough = int64_t{1} << 40;
    int64_t total = 0;
    for (const Node& n : block) {
      if (total > enough) return total;
      if (auto* let = std::get_if<Let>(&n.form)) values_[let->symbol.value] = evaluate(let->value, values_).value_or(0);
      if (std::get_if<Instruction>(&n.form)) ++total;
      const Loop* loop = std::get_if<Loop>(&n.form);
      if (!loop) continue;
      const int64_t lo = evaluate(loop->lo, values_).value_or(0), hi = evaluate(loop->hi, values_).value_or(0);
      if (hi <= lo) continue;
      values_[loop->symbol.value] = lo;
      if (loop->device_step) {
        total += cost(loop->body);
      } else if (!shapes(loop->body, loop->symbol)) {
        const int64_t one = cost(loop->body);
        total += one > enough / (hi - lo) ? enough + 1 : one * (hi - lo);
      } else {
        for (int64_t i = lo; i < hi && total <= enough; ++i) {
          values_[loop->symbol.value] = i;
          total += cost(loop->body);
        }
      }
    }
    return total;
  }

  // Whether how often something runs in the block depends on the symbol.
  bool shapes(const Block& block, SymbolId symbol) {
    std::set<uint32_t> names = {symbol.value};
    auto meets = [&](const Expr& e) {
      bool any = false;
      walk(e, [&](const Expr& part) {
        if (const Var* v = part.as<Var>()) any |= names.count(v->symbol.value) > 0;
        return !any;
      });
      return any;
    };
    std::function<bool(const Block&)> visit = [&](const Block& nodes) {
      for (const Node& n : nodes) {
        if (auto* let = std::get_if<Let>(&n.form); let && meets(let->value)) names.insert(let->symbol.value);
        const Loop* loop = std::get_if<Loop>(&n.form);
        if (loop && (meets(loop->lo) || meets(loop->hi) || visit(loop->body))) return true;
      }
      return false;
    };
    return visit(block);
  }

  void take(const Block& block, Parts& parts) {
    for (const Node& n : block) {
      if (auto* loop = std::get_if<Loop>(&n.form)) take(loop->body, parts);
      if (auto* make = std::get_if<Make>(&n.form)) parts.made.insert(make->tile);
      const Instruction* i = std::get_if<Instruction>(&n.form);
      for (size_t a = 0; i && a < i->arguments.size(); ++a) {
        const Argument& argument = i->arguments[a];
        const View* v = std::get_if<View>(&argument.value);
        const Pattern* p = std::get_if<Pattern>(&argument.value);
        if (v && (argument.keyword == "dst" || argument.keyword == "reduce_res")) parts.written.insert(v->tile);
        if (v && moves_by_dma(*i, *v)) parts.moving.push_back(v);
        if (p && plain(*p)) parts.moving_patterns.push_back(p);
      }
    }
  }

  bool moves_by_dma(const Instruction& i, const View& v) const { return i.name == "dma_copy" && !on_chip(v.tile); }
  static bool plain(const Pattern& p) { return !p.rows && !p.loop.known(); }

  // Every expression of an instruction that no register can be part of, mapped by `f`.
  template <class F>
  void map(View& v, bool starts, F f) {
    if (v.which.known()) v.which = f(v.which);
    for (Slice& x : v.axes) {
      if (starts) x.start = f(x.start);
      if (x.count.known()) x.count = f(x.count);
    }
  }
  template <class F>
  void map(Instruction& i, F f) {
    for (Argument& a : i.arguments) {
      if (auto* text = std::get_if<std::string>(&a.value)) {
        std::string made;
        for (size_t c = 0; c < text->size(); ++c) {
          if ((*text)[c] != '@') {
            made += (*text)[c];
            continue;
          }
          const size_t end = text->find('@', c + 1);
          const Expr before = k_.index_texts[std::stoul(text->substr(c + 1, end - c - 1))], after = f(before);
          made += text->substr(c, end - c);
          if (!same(before, after)) {
            k_.index_texts.push_back(after);
            made.resize(made.size() - (end - c));
            made += "@" + std::to_string(k_.index_texts.size() - 1);
          }
          made += "@";
          c = end;
        }
        *text = made;
      } else if (auto* v = std::get_if<View>(&a.value)) {
        map(*v, !moves_by_dma(i, *v), f);
      } else if (auto* p = std::get_if<Pattern>(&a.value)) {
        if (!plain(*p)) p->offset = f(p->offset);
        for (auto& [step, size] : p->dims) size = f(size);
        if (p->rows) map(*p->rows, true, f);
      }
    }
  }

  // The body as it is in all iterations that `facts` allows, free of `s` but for addresses in HBM; an expression that differs between them is
  // left in `odd_`. Loops that do not run there are gone.
  Block settled(const Block& block, SymbolId s, const Facts& facts) {
    Block out;
    auto settle = [&](const Expr& e) {
      if (!mentions(e, s)) return e;
      Expr now = simplify(e, facts);
      if (mentions(now, s) && !odd_.known()) odd_ = e;
      return now;
    };
    for (const Node& n : block) {
      if (odd_.known()) break;
      Node copy = n;
      if (auto* loop = std::get_if<Loop>(&copy.form)) {
        loop->lo = settle(loop->lo);
        loop->hi = settle(loop->hi);
        if (odd_.known() || prove(facts, less_equal(loop->hi, loop->lo))) continue;
        Facts inside = facts;
        inside.add_range(loop->symbol, loop->lo, loop->hi);
        loop->body = settled(loop->body, s, inside);
      } else if (auto* let = std::get_if<Let>(&copy.form)) {
        let->value = settle(let->value);
      } else if (auto* i = std::get_if<Instruction>(&copy.form)) {
        map(*i, settle);
      }
      out.push_back(std::move(copy));
    }
    return out;
  }

  // Windows in HBM go by the loop's register, which counts from the first iteration's window on.
  void address(Block& block, SymbolId s, int64_t step, int64_t first) {
    for (Node& n : block) {
      if (auto* loop = std::get_if<Loop>(&n.form)) address(loop->body, s, step, first);
      Instruction* i = std::get_if<Instruction>(&n.form);
      for (size_t a = 0; i && a < i->arguments.size(); ++a) {
        auto& value = i->arguments[a].value;
        if (auto* v = std::get_if<View>(&value)) {
          if (moves_by_dma(*i, *v) && stride_of(*v, s)) value = moved(*v, s, step, first);
        } else if (auto* p = std::get_if<Pattern>(&value); p && plain(*p)) {
          AffineIn moves = affine_in(p->offset, s);
          if (moves.coefficient == 0) continue;
          p->columns = moves.coefficient / step;
          p->loop = s;
          p->offset = simplify(substitute(p->offset, {{s, index_constant(first)}}));
        }
      }
    }
  }

  // Elements that the window moves on by from one iteration to the next.
  int64_t stride_of(const View& v, SymbolId s) const {
    const std::vector<int64_t>& shape = k_.tiles[v.tile].shape;
    int64_t stride = 1, by = 0;
    for (size_t d = shape.size(); d-- > 0; stride *= shape[d]) by += affine_in(v.axes[d].start, s).coefficient * stride;
    return by;
  }
  Pattern moved(const View& v, SymbolId s, int64_t step, int64_t first) const {
    const std::vector<int64_t>& shape = k_.tiles[v.tile].shape;
    Pattern p;
    p.tile = v.tile;
    p.columns = stride_of(v, s) / step;
    p.loop = s;
    p.offset = index_constant(0);
    int64_t stride = 1;
    for (size_t d = shape.size(); d-- > 0; stride *= shape[d]) {
      p.offset = p.offset + substitute(v.axes[d].start, {{s, index_constant(first)}}) * stride;
      if (!v.axes[d].point) p.dims.insert(p.dims.begin(), {v.axes[d].step * stride, v.axes[d].count});
    }
    if (p.dims.empty()) p.dims = {{1, index_constant(1)}};
    p.offset = simplify(p.offset);
    return p;
  }

  // The loop as loops around one that runs on the device; or why not.
  std::string attempt(const Loop& loop, const Place& place, Block& out) {
    const std::string own = "`" + name_of(loop.symbol) + "`";
    const int64_t *lo = constant_value(loop.lo), *hi = constant_value(loop.hi);
    if (!lo || !hi) return "the bounds of " + own + " depend on other loops";
    Parts parts;
    take(loop.body, parts);
    if (contains_device_loop(loop.body)) return own + " has such a loop inside";
    for (TileId t : parts.written)
      if (k_.tiles[t].space == Space::psum && !parts.made.count(t))
        return "the sums in `" + k_.tiles[t].name + "` go on from one iteration of " + own + " to the next";
    int64_t step = 0;
    for (const View* v : parts.moving)
      for (const Slice& x : v->axes) {
        if (!mentions(x.start, loop.symbol)) continue;
        AffineIn a = affine_in(x.start, loop.symbol);
        if (!a.ok || a.coefficient <= 0) return "`" + k_.tiles[v->tile].name + "` is no forward walk along " + own;
        step = std::gcd(step, a.coefficient);
      }
    for (const Pattern* p : parts.moving_patterns) {
      AffineIn a = affine_in(p->offset, loop.symbol);
      if (!a.ok || a.coefficient < 0) return "`" + k_.tiles[p->tile].name + "` is no forward walk along " + own;
      step = std::gcd(step, a.coefficient);
    }
    if (step == 0) step = 1;
    auto fits = [&](TileId t, int64_t by) {
      int64_t elements = 1;
      for (int64_t d : k_.tiles[t].shape) elements *= d;
      return by == 0 || elements % (by / step) == 0;
    };
    for (const View* v : parts.moving)
      if (!fits(v->tile, stride_of(*v, loop.symbol)))
        return "`" + k_.tiles[v->tile].name + "` is no matrix of rows as wide as " + own + " steps";
    for (const Pattern* p : parts.moving_patterns)
      if (!fits(p->tile, affine_in(p->offset, loop.symbol).coefficient))
        return "`" + k_.tiles[p->tile].name + "` is no matrix of rows as wide as " + own + " steps";
    // The longest stretch of iterations from the first on, or from the second, that are the same but for addresses.
    Block body;
    int64_t begin = *lo, end = *lo;
    std::string differs;
    for (int64_t from : {*lo, *lo + 1}) {
      int64_t good = from, bad = *hi + 1;  // ends of stretches
      for (int64_t to = *hi; good + 1 < bad; to = good + (bad - good) / 2) {
        Facts facts;
        facts.add_range(loop.symbol, index_constant(from), index_constant(to));
        odd_ = {};
        Block made = settled(loop.body, loop.symbol, facts);
        if (odd_.known()) {
          bad = to;
          differs = "`" + ir::print(k_.program, odd_) + "` differs between iterations of " + own;
          continue;
        }
        good = to;
        if (to - from > end - begin) begin = from, end = to, body = std::move(made);
      }
      if (end - begin >= 2) break;
    }
    if (end - begin < 2) return differs.empty() ? own + " has no two iterations" : differs;
    address(body, loop.symbol, step, begin);
    auto beside = [&](int64_t from, int64_t to) {
      if (from < to) out.push_back({Loop{loop.symbol, index_constant(from), index_constant(to), loop.body}, place});
    };
    beside(*lo, begin);
    out.push_back({Remark{"on the device: " + std::to_string(end - begin) + " iterations of one body"}, place});
    Loop device{loop.symbol, index_constant(0), index_constant(end - begin), {}};
    device.device_step = step;
    device.body = std::move(body);
    out.push_back({std::move(device), place});
    beside(end, *hi);
    return {};
  }

  static bool contains_device_loop(const Block& block) {
    return std::any_of(block.begin(), block.end(), [](const Node& n) {
      const Loop* loop = std::get_if<Loop>(&n.form);
      return loop && (loop->device_step || contains_device_loop(loop->body));
    });
  }

  void replace(Block& block, size_t at, Block by) {
    block.erase(block.begin() + static_cast<std::ptrdiff_t>(at));
    block.insert(block.begin() + static_cast<std::ptrdiff_t>(at), std::make_move_iterator(by.begin()),
                 std::make_move_iterator(by.end()));
  }

  // Loops that the schedule binds to the device.
  void marked(Block& block) {
    for (size_t n = 0; n < block.size() && failure_.empty(); ++n) {
      Loop* loop = std::get_if<Loop>(&block[n].form);
      if (!loop || loop->device_step) continue;
      if (!loop->to_device || options_.profile == Profile::basic) {
        marked(loop->body);
        continue;
      }
      // Two iterations, the last of them ragged perhaps, are no loop worth it.
      const std::optional<int64_t> lo = evaluate(loop->lo, values_), hi = evaluate(loop->hi, values_);
      if (constant_value(loop->lo) && constant_value(loop->hi) && *hi - *lo <= 2) continue;
      Block made;
      if (std::string why = attempt(*loop, block[n].place, made); !why.empty()) {
        failure_.push_back(
            Diagnostic(codes::no_form, block[n].place,
                       "`" + name_of(loop->symbol) + "` cannot run on the device: " + why)
                .with_help("its number may move what is read from HBM and written to it, and nothing else"));
        return;
      }
      const size_t more = made.size();
      replace(block, n, std::move(made));
      n += more - 1;
    }
  }

  void shrink(Block& block) {
    for (;;) {
      // The loop that costs most of those not tried.
      Loop* loop = nullptr;
      size_t at = 0;
      int64_t most = 0;
      cost(k_.body);  // the loops around have values
      for (size_t n = 0; n < block.size(); ++n) {
        Loop* l = std::get_if<Loop>(&block[n].form);
        if (!l || l->device_step || tried_.count(l->symbol.value)) continue;
        Block alone = {block[n]};
        if (const int64_t c = cost(alone); c > most) most = c, loop = l, at = n;
      }
      if (!loop) return;
      tried_.insert(loop->symbol.value);
      Block made;
      std::string why = attempt(*loop, block[at].place, made);
      if (why.empty()) {
        replace(block, at, std::move(made));
      } else {
        if (why_.empty()) why_ = why;
        shrink(loop->body);
      }
      if (cost(k_.body) <= options_.instructions) return;
    }
  }

  NkiKernel& k_;
  const EmitOptions& options_;
  std::vector<int64_t> values_;
  std::set<uint32_t> tried_;
  std::string why_;
  Expr odd_;
  Diagnostics failure_;
};

}  // namespace

Diagnostics loops_to_device(NkiKernel& kernel, const EmitOptions& options, std::string& why) {
  return DeviceLoops(kernel, options).run(why);
}

}  // namespace heddle::neuron
