#include "backend/neuron/check.h"

#include <algorithm>
#include <list>
#include <map>

#include "backend/neuron/codes.h"
#include "backend/neuron/device_loops.h"
#include "ir/print.h"

namespace heddle::neuron {

using namespace ir;

namespace {

// A tile between two executions of its `ndarray`: memory is taken from the first to the last use.
struct Instance {
  TileId tile;
  int64_t first = -1, last = -1;
};

struct Box {
  int64_t start, count, step;
};

class Checker {
 public:
  Checker(const NkiKernel& k, const Core& core, const EmitOptions& options, std::string why_not)
      : k_(k), core_(core), options_(options), why_not_(std::move(why_not)), current_(k.tiles.size(), -1) {
    values_.resize(k.program.symbols.size());
  }

  Result<Usage> run() {
    block(k_.body);
    if (!failure_.empty()) return failure_;
    live();  // of as many instructions as the budget has
    if (!failure_.empty()) return failure_;
    if (time_ > options_.instructions)
      return Diagnostic(
                 codes::too_many_instructions, where_,
                 "`" + k_.name + "` unrolls to more than " + std::to_string(options_.instructions) + " instructions")
          .with_help(
              "larger tiles or more of the work bound to `partition` and `free`; or a larger budget by "
              "`instructions=`" +
              (why_not_.empty() ? "" : "; no loop on the device: " + why_not_));
    usage_.instructions = time_;
    return usage_;
  }

 private:
  int64_t value(const Expr& e) {
    if (std::optional<int64_t> v = evaluate(e, values_)) return *v;
    bug("the index `" + ir::print(k_.program, e) + "` is of a form that the text has not");
    return 0;
  }

  void bug(std::string what) { fail(codes::broken_text, std::move(what)); }
  void fail(const Code& code, std::string what, std::string help = {}) {
    if (!failure_.empty()) return;
    Diagnostic d(code, where_, std::move(what));
    d.help = std::move(help);
    failure_.push_back(std::move(d));
  }

  void block(const Block& nodes) {
    for (const Node& n : nodes) {
      if (!failure_.empty() || time_ > options_.instructions) return;
      where_ = n.place;
      if (auto* loop = std::get_if<Loop>(&n.form)) {
        int64_t lo = value(loop->lo), hi = value(loop->hi);
        if (loop->device_step) {
          on_device(*loop, lo, hi);
          continue;
        }
        for (int64_t i = lo; i < hi && failure_.empty() && time_ <= options_.instructions; ++i) {
          values_[loop->symbol.value] = i;
          block(loop->body);
        }
      } else if (auto* let = std::get_if<Let>(&n.form)) {
        values_[let->symbol.value] = value(let->value);
      } else if (auto* make = std::get_if<Make>(&n.form); make && again_) {
        continue;
      } else if (make) {
        current_[make->tile] = static_cast<int64_t>(instances_.size());
        instances_.resize(instances_.size() + std::max<int64_t>(1, k_.tiles[make->tile].list), {make->tile});
      } else if (auto* i = std::get_if<Instruction>(&n.form)) {
        instruction(*i);
        if (!again_) ++time_;
      }
    }
  }

  // A loop on the device: its body exists once, and what it uses from outside stays until it ends. Only addresses differ between iterations, and
  // they lie between the first and the last.
  void on_device(const Loop& loop, int64_t lo, int64_t hi) {
    if (hi <= lo) return;
    const size_t outside = instances_.size();
    const int64_t begin = time_;
    values_[loop.symbol.value] = lo;
    step_of_[loop.symbol.value] = loop.device_step;
    block(loop.body);
    for (size_t i = 0; i < outside; ++i)
      if (instances_[i].last >= begin) instances_[i].last = std::max(begin, time_ - 1);
    again_ = true;
    values_[loop.symbol.value] = hi - 1;
    block(loop.body);
    again_ = false;
  }

  // The elements that a pattern takes of each partition, after its addresses are held against the array's size.
  std::vector<Box> box(const Pattern& p) {
    const Tile& t = k_.tiles[p.tile];
    int64_t elements = 1, first = value(p.offset), last = first;
    for (int64_t d : t.shape) elements *= d;
    std::vector<Box> out;
    for (size_t d = 0; d < p.dims.size(); ++d) {
      const int64_t step = p.dims[d].first, count = value(p.dims[d].second);
      if (count < 1 || step < 0) bug("`" + t.name + "` by a pattern of nothing");
      if (d > 0 || !p.rows) last += step * (count - 1);
      out.push_back({0, count, 1});
    }
    if (p.loop.known()) {
      const int64_t moved = values_[p.loop.value] * step_of_[p.loop.value] * p.columns;
      first += moved, last += moved;
    }
    if (p.columns < 1 || elements % p.columns || first < 0 || last >= elements || (p.rows && last - first >= p.columns))
      bug("`" + t.name + "` is reached outside: " + std::to_string(first) + " to " + std::to_string(last) + " of " +
          std::to_string(elements));
    if (p.rows && box(*p.rows)[1].count != 1) bug("rows of `" + t.name + "` by more than one index");
    return out;
  }

  std::vector<Box> box(const View& v) {
    const Tile& t = k_.tiles[v.tile];
    std::vector<Box> out;
    if (v.axes.size() != t.shape.size()) bug("`" + t.name + "` has another number of axes");
    for (size_t i = 0; i < v.axes.size() && i < t.shape.size(); ++i) {
      int64_t start = value(v.axes[i].start), count = v.axes[i].point ? 1 : value(v.axes[i].count),
              step = v.axes[i].step;
      if (start < 0 || count < 1 || step < 1 || start + (count - 1) * step >= t.shape[i])
        bug("`" + t.name + "` is reached outside: " + std::to_string(count) + " from " + std::to_string(start) +
            " of " + std::to_string(t.shape[i]) + " in axis " + std::to_string(i));
      out.push_back({start, count, step});
    }
    if (t.space == Space::sbuf || t.space == Space::psum) {
      if (current_[v.tile] < 0) return bug("`" + t.name + "` is used before it is made"), out;
      int64_t which = v.which.known() ? value(v.which) : 0;
      if (v.which.known() != (t.list > 0) || which < 0 || which >= std::max<int64_t>(1, t.list))
        return bug("`" + t.name + "` is no list of more than " + std::to_string(which) + " tiles"), out;
      Instance& instance = instances_[current_[v.tile] + which];
      if (again_) return out;
      if (instance.first < 0) instance.first = time_;
      instance.last = time_;
    }
    return out;
  }

  void starts_well(const Tile& t, const Box& rows) {
    if (rows.step != 1) bug("`" + t.name + "` with a stride over partitions");
    bool legal = rows.count > 64 ? rows.start == 0 : rows.count > 32 ? rows.start % 64 == 0 : rows.start % 32 == 0;
    if (!legal)
      fail(codes::start_partition,
           "`" + t.name + "` is used from partition " + std::to_string(rows.start) + " on, " +
               std::to_string(rows.count) + " of them",
           "split the loop over partitions by 32, 64 or 128, or keep " + t.role + " with another dim over partitions");
  }

  void instruction(const Instruction& i) {
    std::map<std::string, std::pair<const View*, std::vector<Box>>> views;
    std::list<View> patterns;
    std::string engine;
    for (const Argument& a : i.arguments) {
      if (auto* v = std::get_if<View>(&a.value)) views[a.keyword] = {v, box(*v)};
      else if (auto* p = std::get_if<Pattern>(&a.value))
        views[a.keyword] = {&patterns.emplace_back(View{p->tile, {}}), box(*p)};
      else if (a.keyword == "engine") engine = std::get<std::string>(a.value);
    }
    if (!failure_.empty()) return;
    auto tile = [&](const std::string& name) -> const Tile& { return k_.tiles[views[name].first->tile]; };
    auto space = [&](const std::string& name) { return tile(name).space; };
    auto count = [&](const std::string& name) {
      int64_t n = 1;
      for (const Box& b : views[name].second) n *= b.count;
      return n;
    };
    if (i.name == "dma_copy") {
      if (space("dst") == Space::psum || space("src") == Space::psum) bug("DMA of PSUM");
      if (count("dst") != count("src"))
        bug("DMA of " + std::to_string(count("src")) + " elements to " + std::to_string(count("dst")));
      if (tile("dst").type != tile("src").type) bug("DMA between types");
      for (auto& [name, view] : views)
        if (k_.tiles[view.first->tile].space == Space::sbuf) starts_well(k_.tiles[view.first->tile], view.second[0]);
      return;
    }
    if (i.name == "dma_transpose") {
      auto &s = views["src"].second, &d = views["dst"].second;
      std::vector<int64_t> from;
      for (size_t n = 0; n < s.size(); ++n)
        if (!views["src"].first->axes[n].point) from.push_back(s[n].count);
      if (from.size() != 2 || from[0] != d[1].count || from[1] != d[0].count || from[1] > 128 ||
          space("dst") != Space::sbuf || tile("src").type != tile("dst").type)
        bug("a transpose by DMA of what does not fit");
      starts_well(tile("dst"), d[0]);
      return;
    }
    for (auto& [name, view] : views) {
      const Tile& t = k_.tiles[view.first->tile];
      if (t.space != Space::sbuf && t.space != Space::psum) return bug("an engine reads `" + t.name + "` in HBM");
      starts_well(t, view.second[0]);
      if (engine.ends_with("gpsimd") && t.space == Space::psum)
        fail(codes::engine_reach, "`" + t.name + "` is in PSUM, which GpSimd cannot reach",
             "copy it to SBUF by another engine first");
    }
    if (i.name == "nc_matmul") {
      auto &s = views["stationary"].second, &m = views["moving"].second, &d = views["dst"].second;
      if (space("stationary") != Space::sbuf || space("moving") != Space::sbuf || space("dst") != Space::psum)
        fail(codes::engine_reach, "the PE array multiplies tiles in SBUF and writes PSUM; `" + tile("dst").name +
                                      "`, `" + tile("stationary").name + "` and `" + tile("moving").name +
                                      "` are elsewhere");
      if (s[0].count != m[0].count || s[1].count != d[0].count || m[1].count != d[1].count)
        bug("a product of tiles that do not fit");
      if (s[1].count > 128 || m[1].count > 512) bug("a product larger than the PE array takes");
      if (tile("stationary").type != tile("moving").type || tile("dst").type != ScalarType::f32)
        bug("a product of types that do not pair");
      return;
    }
    if (i.name == "nc_transpose") {
      auto &s = views["data"].second, &d = views["dst"].second;
      if (s[0].count != d[1].count || s[1].count != d[0].count || s[0].count > 128 || s[1].count > 128)
        bug("a transpose of tiles that do not fit");
      if (space("data") != Space::sbuf || space("dst") != Space::psum || tile("data").type != tile("dst").type)
        bug("a transpose between the wrong memories or types");
      return;
    }
    auto& d = views["dst"].second;
    if (i.name == "bn_stats" || i.name == "bn_aggr") {
      auto& data = views["data"].second;
      if (data[0].count != d[0].count ||
          (i.name == "bn_stats" ? d[1].count != 6 || data[1].count > 512 : d[1].count != 2 || data[1].count % 3 != 0))
        bug("`" + i.name + "` of tiles that do not fit");
      return;
    }
    if (i.name == "nc_n_gather") {
      auto &data = views["data"].second, &indices = views["indices"].second;
      if (data[0].count != d[0].count || indices[0].count != d[0].count || indices[1].count != d[1].count ||
          tile("data").type != tile("dst").type || tile("indices").type != ScalarType::u32)
        bug("`" + i.name + "` of tiles that do not fit");
      for (const char* name : {"dst", "data", "indices"})
        if (space(name) != Space::sbuf) bug("`" + i.name + "` beyond SBUF");
      return;
    }
    for (auto& [name, view] : views) {
      bool column = (name.starts_with("operand") && !(i.name == "scalar_tensor_tensor" && name == "operand1")) ||
                    name == "bias" || name == "scale" || name == "reduce_res" ||
                    (i.name == "tensor_reduce" && name == "dst");
      if (view.second[0].count != d[0].count)
        bug("`" + i.name + "` of " + std::to_string(view.second[0].count) + " and " + std::to_string(d[0].count) +
            " partitions");
      if (column ? view.second[1].count != 1 : i.name != "tensor_reduce" && view.second[1].count != d[1].count)
        bug("`" + i.name + "` of tiles that do not fit");
    }
    if (i.name == "tensor_tensor" && space("data1") == Space::psum && space("data2") == Space::psum)
      bug("both operands in PSUM");
  }

  // Memory that is taken at the same time. A tile is live from its first to its last instruction.
  void live() {
    struct Event {
      int64_t time;
      bool begin;
      size_t instance;
    };
    std::vector<Event> events;
    for (size_t i = 0; i < instances_.size(); ++i)
      if (instances_[i].first >= 0) {
        events.push_back({instances_[i].first, true, i});
        events.push_back({instances_[i].last + 1, false, i});
      }
    std::sort(events.begin(), events.end(),
              [](const Event& a, const Event& b) { return a.time != b.time ? a.time < b.time : a.begin < b.begin; });
    int64_t sbuf = 0;
    int banks = 0;
    std::map<size_t, int64_t> alive;
    std::map<size_t, int64_t> worst, worst_psum;
    for (const Event& e : events) {
      const Tile& t = k_.tiles[instances_[e.instance].tile];
      int64_t bytes = t.shape[1] * type_bytes(t.type);
      bool psum = t.space == Space::psum;
      int64_t taken = psum ? (bytes + core_.psum_bank_bytes - 1) / core_.psum_bank_bytes : bytes;
      int64_t sign = e.begin ? 1 : -1;
      if (psum) banks += static_cast<int>(sign * taken);
      else sbuf += sign * taken;
      if (e.begin) alive[e.instance] = taken;
      else alive.erase(e.instance);
      if (sbuf > usage_.sbuf_bytes) usage_.sbuf_bytes = sbuf, worst = alive;
      if (banks > usage_.psum_banks) usage_.psum_banks = banks, worst_psum = alive;
    }
    auto list = [&](const std::map<size_t, int64_t>& instances, bool psum, const char* unit) {
      std::map<std::string, std::pair<int64_t, int64_t>> by_role;  // bytes, tiles
      for (const auto& [i, taken] : instances) {
        const Tile& t = k_.tiles[instances_[i].tile];
        if ((t.space == Space::psum) != psum) continue;
        auto& row = by_role[t.role];
        row.first += taken;
        row.second += 1;
      }
      std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>> rows(by_role.begin(), by_role.end());
      std::sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.second.first > b.second.first; });
      std::string out;
      for (auto& [role, row] : rows)
        out += (out.empty() ? "" : ", ") + role + " " + std::to_string(row.first) + unit +
               (row.second > 1 ? " in " + std::to_string(row.second) + " tiles" : "");
      return out;
    };
    auto blame = [&](const std::map<size_t, int64_t>& instances, bool psum) {
      int64_t most = -1;
      for (const auto& [i, taken] : instances) {
        const Tile& t = k_.tiles[instances_[i].tile];
        if ((t.space == Space::psum) == psum && taken > most) most = taken, where_ = t.place;
      }
    };
    if (usage_.sbuf_bytes > core_.sbuf_bytes) {
      blame(worst, false);
      fail(codes::over_sbuf,
           "`" + k_.name + "` needs " + std::to_string(usage_.sbuf_bytes) + " bytes of each SBUF partition at once, `" +
               std::string(core_.name) + "` has " + std::to_string(core_.sbuf_bytes),
           "live at that moment: " + list(worst, false, " bytes"));
    } else if (usage_.psum_banks > core_.psum_banks) {
      blame(worst_psum, true);
      fail(codes::over_psum,
           "`" + k_.name + "` needs " + std::to_string(usage_.psum_banks) + " PSUM banks at once, there are " +
               std::to_string(core_.psum_banks),
           "live at that moment: " + list(worst_psum, true, " banks"));
    }
  }

  const NkiKernel& k_;
  const Core& core_;
  const EmitOptions& options_;
  const std::string why_not_;
  std::vector<int64_t> values_;
  std::vector<int64_t> current_;
  std::vector<Instance> instances_;
  bool again_ = false;  // the last iteration of a loop on the device: addresses alone count
  std::map<uint32_t, int64_t> step_of_;
  int64_t time_ = 0;
  Usage usage_;
  Place where_;
  Diagnostics failure_;
};

}  // namespace

Result<Usage> check(const NkiKernel& kernel, const Core& core, const EmitOptions& options, std::string why_not) {
  return Checker(kernel, core, options, std::move(why_not)).run();
}

}  // namespace heddle::neuron
