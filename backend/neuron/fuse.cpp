// What need not be done, or not apart.
//
// A load of what the same body has just stored or loaded takes the tile that it lies in.
//
// Two instructions that are one: a product, sum or cut by a number or column whose result only the next instruction takes becomes part of that one,
// as the second operator of tensor_scalar, the first of scalar_tensor_tensor, or the scale of an activation. All compute in f32 between the
// two and round once, so that nothing changes but the time.
#include "backend/neuron/fuse.h"

#include <algorithm>
#include <set>

#include "ir/prove.h"

namespace heddle::neuron {

using namespace ir;

namespace {

constexpr int farthest = 8;  // instructions that may stand between the two

const View* view_of(const Instruction& i, std::string_view keyword) {
  for (const Argument& a : i.arguments)
    if (a.keyword == keyword) return std::get_if<View>(&a.value);
  return nullptr;
}
const std::string* text_of(const Instruction& i, std::string_view keyword) {
  for (const Argument& a : i.arguments)
    if (a.keyword == keyword) return std::get_if<std::string>(&a.value);
  return nullptr;
}
bool has(const Instruction& i, std::string_view keyword) {
  return std::any_of(i.arguments.begin(), i.arguments.end(), [&](const Argument& a) { return a.keyword == keyword; });
}

// Tiles that an instruction names: `f(tile, whether it is written)`.
template <class F>
void tiles(const Instruction& i, F f) {
  for (const Argument& a : i.arguments) {
    const bool written = a.keyword == "dst" || a.keyword == "reduce_res";
    if (auto* v = std::get_if<View>(&a.value)) f(v->tile, written);
    if (auto* p = std::get_if<Pattern>(&a.value)) {
      f(p->tile, written);
      if (p->rows) f(p->rows->tile, false);
    }
  }
}

bool names(const Instruction& i, TileId tile) {
  bool any = false;
  tiles(i, [&](TileId t, bool) { any |= t == tile; });
  return any;
}
bool names(const Node& n, TileId tile) {
  if (auto* loop = std::get_if<Loop>(&n.form))
    return std::any_of(loop->body.begin(), loop->body.end(), [&](const Node& inner) { return names(inner, tile); });
  const Instruction* i = std::get_if<Instruction>(&n.form);
  return i && names(*i, tile);
}

class Fuser {
 public:
  explicit Fuser(NkiKernel& k) : k_(k) {}

  void run() {
    for (int round = 0; round < 2; ++round) {  // what is one instruction leaves the tile that it reads as it was
      loads(k_.body);
      block(k_.body);
    }
    std::set<TileId> named;
    find_named(k_.body, named);
    drop_makes(k_.body, named);
  }

 private:
  // Loads of windows that a tile made in the body already holds.
  void loads(Block& nodes) {
    for (Node& n : nodes)
      if (auto* loop = std::get_if<Loop>(&n.form)) loads(loop->body);
    for (size_t later = 0; later < nodes.size(); ++later) {
      const Instruction* load = std::get_if<Instruction>(&nodes[later].form);
      const View* to = load && load->name == "dma_copy" ? view_of(*load, "dst") : nullptr;
      const View* from = to ? view_of(*load, "src") : nullptr;
      if (!from || !in_sbuf(*to) || in_sbuf(*from)) continue;
      for (size_t first = later; first-- > 0;) {
        const Instruction* i = std::get_if<Instruction>(&nodes[first].form);
        if (std::get_if<Loop>(&nodes[first].form) && names(nodes[first], from->tile)) break;
        if (!i) continue;
        const View *dst = view_of(*i, "dst"), *src = view_of(*i, "src");
        if (i->name == "dma_copy" && dst && src) {
          const View* holds = same(*src, *from) && in_sbuf(*dst)   ? dst
                              : same(*dst, *from) && in_sbuf(*src) ? src
                                                                   : nullptr;
          if (holds && holds->tile != to->tile && replaced(nodes, first, later, *holds, *to)) {
            nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(later));
            --later;
            break;
          }
        }
        bool changes = false;
        tiles(*i, [&](TileId t, bool written) { changes |= written && t == from->tile; });
        if (changes) break;
      }
    }
  }

  bool in_sbuf(const View& v) const { return k_.tiles[v.tile].space == Space::sbuf; }

  // What reads `to` after `later`, up to where it is written anew, reads `from` instead, which was whole at `first`; false where that cannot be.
  bool replaced(Block& nodes, size_t first, size_t later, const View& from, const View& to) {
    const Tile &a = k_.tiles[from.tile], &b = k_.tiles[to.tile];
    if (a.type != b.type || from.axes.size() != 2 || !same(from.axes[0].start, to.axes[0].start)) return false;
    for (size_t d : {0, 1})  // a row may have been loaded as a column
      if (!same(from.axes[d].count, to.axes[d].count)) return false;
    bool made_here = false;
    for (size_t n = 0; n < later; ++n) {
      const Make* make = std::get_if<Make>(&nodes[n].form);
      made_here |= make && make->tile == to.tile;
      if (make && n > first && make->tile == from.tile) return false;
    }
    if (!made_here || to.which.known()) return false;
    auto writes = [&](const Instruction& i, TileId tile) {
      bool any = false;
      tiles(i, [&](TileId t, bool written) { any |= written && t == tile; });
      return any;
    };
    for (size_t n = first + 1; n < later; ++n) {
      if (const Instruction* i = std::get_if<Instruction>(&nodes[n].form); i && writes(*i, from.tile)) return false;
      if (std::get_if<Loop>(&nodes[n].form) && (names(nodes[n], from.tile) || names(nodes[n], to.tile))) return false;
    }
    std::vector<View*> reads;
    for (size_t n = later + 1; n < nodes.size(); ++n) {
      if (std::get_if<Loop>(&nodes[n].form) && names(nodes[n], to.tile)) return false;
      Instruction* i = std::get_if<Instruction>(&nodes[n].form);
      if (!i || (!names(*i, to.tile) && !writes(*i, from.tile))) continue;
      View* written = nullptr;
      for (Argument& x : i->arguments) {
        View* v = std::get_if<View>(&x.value);
        if (const Pattern* p = std::get_if<Pattern>(&x.value); p && p->rows && p->rows->tile == to.tile) return false;
        if (!v || v->tile != to.tile) continue;
        if (!same(*v, to)) return false;
        if (x.keyword == "dst") written = v;
        else reads.push_back(v);
      }
      // In place, or over: from here on the tile is its own. Of one that is only added to, the old elements count.
      if (written && (i->name == "tensor_copy_predicated" || i->name == "nc_matmul")) return false;
      if (written) break;
      if (!writes(*i, from.tile)) continue;
      for (size_t rest = n + 1; rest < nodes.size(); ++rest)
        if (names(nodes[rest], to.tile)) return false;
      break;
    }
    for (View* v : reads) *v = from;
    return true;
  }

  void find_named(const Block& nodes, std::set<TileId>& named) {
    for (const Node& n : nodes) {
      if (auto* loop = std::get_if<Loop>(&n.form)) find_named(loop->body, named);
      if (auto* i = std::get_if<Instruction>(&n.form)) tiles(*i, [&](TileId t, bool) { named.insert(t); });
    }
  }
  void drop_makes(Block& nodes, const std::set<TileId>& named) {
    for (Node& n : nodes)
      if (auto* loop = std::get_if<Loop>(&n.form)) drop_makes(loop->body, named);
    std::erase_if(nodes, [&](const Node& n) {
      const Make* make = std::get_if<Make>(&n.form);
      return make && k_.tiles[make->tile].space == Space::sbuf && !named.count(make->tile);
    });
  }

  void block(Block& nodes) {
    for (Node& n : nodes)
      if (auto* loop = std::get_if<Loop>(&n.form)) block(loop->body);
    for (size_t later = 0; later < nodes.size(); ++later) {
      const Instruction* b = std::get_if<Instruction>(&nodes[later].form);
      if (!b || (b->name != "tensor_scalar" && b->name != "tensor_tensor" && b->name != "activation")) continue;
      int left = farthest;
      for (size_t first = later; first-- > 0 && left > 0;) {
        if (std::get_if<Loop>(&nodes[first].form)) break;
        const Instruction* a = std::get_if<Instruction>(&nodes[first].form);
        if (!a) continue;
        --left;
        std::optional<Instruction> one = fused(nodes, first, later, *a, *b);
        if (!one) continue;
        nodes[later].form = std::move(*one);
        nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(first));
        later -= 2;  // what has become one may become one with a third
        break;
      }
    }
  }

  std::optional<Instruction> fused(const Block& nodes, size_t first, size_t later, const Instruction& a,
                                   const Instruction& b) {
    const View* made = view_of(a, "dst");
    if (a.name != "tensor_scalar" || !made || has(a, "engine") || has(b, "engine") || made->which.known())
      return std::nullopt;
    const Tile& tile = k_.tiles[made->tile];
    if (tile.type != ScalarType::f32 || tile.space != Space::sbuf) return std::nullopt;
    std::optional<Instruction> one = combined(a, b, *made);
    if (!one) return std::nullopt;
    // Nothing between changes what the first one reads, or has to do with its result; and nobody takes that afterwards.
    std::set<TileId> read;
    tiles(a, [&](TileId t, bool written) {
      if (!written) read.insert(t);
    });
    for (size_t n = first + 1; n < later; ++n) {
      const Instruction* i = std::get_if<Instruction>(&nodes[n].form);
      if (auto* make = std::get_if<Make>(&nodes[n].form); make && (read.count(make->tile) || make->tile == made->tile))
        return std::nullopt;
      if (!i) continue;
      bool disturbs = names(*i, made->tile);
      tiles(*i, [&](TileId t, bool written) { disturbs |= written && read.count(t) > 0; });
      if (disturbs) return std::nullopt;
    }
    if (const View* to = view_of(b, "dst"); to && same(*to, *made)) return one;
    const bool own = std::any_of(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(first), [&](const Node& n) {
      const Make* make = std::get_if<Make>(&n.form);
      return make && make->tile == made->tile;
    });
    for (size_t n = later + 1; own && n < nodes.size(); ++n)
      if (names(nodes[n], made->tile)) return std::nullopt;
    return own ? one : std::nullopt;
  }

  // The two as one, where there is an instruction for it.
  std::optional<Instruction> combined(const Instruction& a, const Instruction& b, const View& made) {
    const View* data = view_of(a, "data");
    const std::string* op = text_of(a, "op0");
    if (!data || !op || has(a, "reverse0")) return std::nullopt;
    const Argument& operand = *std::find_if(a.arguments.begin(), a.arguments.end(),
                                            [](const Argument& x) { return x.keyword == "operand0"; });
    auto takes = [&](std::string_view keyword) {
      const View* v = view_of(b, keyword);
      return v && same(*v, made);
    };
    auto elsewhere = [&](std::string_view keyword) {
      const View* v = view_of(b, keyword);
      return !v || v->tile != made.tile;
    };
    if (b.name == "activation") {
      if (*op != "nl.multiply" || has(a, "op1") || has(b, "scale") || !takes("data") || !elsewhere("bias"))
        return std::nullopt;
      Instruction one = b;
      for (Argument& x : one.arguments)
        if (x.keyword == "data") x.value = *data;
      one.arguments.push_back({"scale", operand.value});
      return one;
    }
    if (has(a, "op1")) return std::nullopt;
    if (b.name == "tensor_scalar") {
      if (has(b, "op1") || has(b, "reverse0") || !takes("data") || !elsewhere("operand0")) return std::nullopt;
      Instruction one{b.name, {b.arguments[0], {"data", *data}, {"op0", *op}, operand}};
      for (const Argument& x : b.arguments) {
        if (x.keyword == "op0") one.arguments.push_back({"op1", x.value});
        if (x.keyword == "operand0") one.arguments.push_back({"operand1", x.value});
      }
      return one;
    }
    const bool left = takes("data1"), right = takes("data2");
    if (left == right) return std::nullopt;
    const View* other = view_of(b, left ? "data2" : "data1");
    const std::string* second = text_of(b, "op");
    static const std::set<std::string> known = {"nl.add", "nl.subtract", "nl.multiply", "nl.maximum", "nl.minimum"};
    if (!other || other->tile == made.tile || !second || !known.count(*second)) return std::nullopt;
    if (k_.tiles[data->tile].space == Space::psum && k_.tiles[other->tile].space == Space::psum) return std::nullopt;
    Instruction one{
        "scalar_tensor_tensor",
        {{"dst", *view_of(b, "dst")}, {"data", *data}, {"op0", *op}, operand, {"op1", *second}, {"operand1", *other}}};
    if (right && *second == "nl.subtract") one.arguments.push_back({"reverse1", std::string("True")});
    return one;
  }

  NkiKernel& k_;
};

}  // namespace

void fuse(NkiKernel& kernel) { Fuser(kernel).run(); }

}  // namespace heddle::neuron
