// Where tiles on chip lie (plan.h), and whose memory each takes over.
#include <algorithm>
#include <map>
#include <optional>

#include "backend/neuron/simulator/plan.h"
#include "backend/neuron/simulator/refuse.h"

namespace heddle::neuron::sim {
namespace {

constexpr int64_t alignment = 32;

// How addresses are found. Rotation leaves a fresh tile what was free longest; where that leaves no gap that is long enough, the lowest address
// does, or, as all lifetimes are known, the largest tiles first.
enum class Order : uint8_t { rotation, lowest, largest_first };

// One memory, by bytes of a partition.
class Space {
 public:
  Space(int64_t bytes, bool rotates) : bytes_(bytes), rotates_(rotates) {}

  void release(int64_t begin) { live_.erase(begin); }

  // The first free block at or after the cursor, then from the start; -1 when no gap is long enough.
  int64_t take(int64_t size, uint32_t tensor) {
    int64_t at = rotates_ ? find(cursor_, bytes_, size) : -1;
    if (at < 0) at = find(0, bytes_, size);
    if (at >= 0) put(at, size, tensor);
    return at;
  }

  // A tensor that is alive in [begin, begin + size), or -1.
  int64_t holder(int64_t begin, int64_t size) const {
    for (const auto& [start, block] : live_)
      if (start < begin + size && begin < block.end) return block.tensor;
    return -1;
  }

  void put(int64_t begin, int64_t size, uint32_t tensor) {
    live_[begin] = {begin + size, tensor};
    cursor_ = begin + size;
  }

  // Who lay in [begin, begin + size) before, each once; from here on it is `tensor`.
  std::vector<uint32_t> succeed(int64_t begin, int64_t size, uint32_t tensor) {
    const int64_t end = begin + size;
    std::vector<uint32_t> before;
    auto it = past_.lower_bound(begin);
    if (it != past_.begin() && std::prev(it)->second.end > begin) --it;
    while (it != past_.end() && it->first < end) {
      auto [start, block] = *it;
      if (std::find(before.begin(), before.end(), block.tensor) == before.end()) before.push_back(block.tensor);
      it = past_.erase(it);
      if (start < begin) past_[start] = {begin, block.tensor};
      if (block.end > end) it = std::next(past_.insert_or_assign(end, Block{block.end, block.tensor}).first);
    }
    past_[begin] = {end, tensor};
    return before;
  }

  struct Block {
    int64_t end;
    uint32_t tensor;
  };
  const std::map<int64_t, Block>& live() const { return live_; }

 private:
  int64_t find(int64_t from, int64_t to, int64_t size) const {
    auto it = live_.upper_bound(from);
    int64_t at = from;
    if (it != live_.begin()) at = std::max(at, std::prev(it)->second.end);
    for (; it != live_.end() && it->first < to; ++it) {
      if (it->first - at >= size) return at;
      at = std::max(at, it->second.end);
    }
    return to - at >= size ? at : -1;
  }

  int64_t bytes_, cursor_ = 0;
  bool rotates_;
  std::map<int64_t, Block> live_, past_;
};

struct Refusal {
  RuleId rule;
  Diagnostic what;
};

class Planner {
 public:
  Planner(Trace& trace, const Machine& machine, Order order)
      : trace_(trace),
        machine_(machine),
        order_(order),
        sbuf_(machine.sbuf_bytes, order == Order::rotation),
        psum_(psum_banks * psum_bank_bytes, true) {}

  /// None where a tile found no room; `why` is then set.
  std::optional<MemoryPlan> run(std::optional<Refusal>& why) {
    plan_.follows.resize(trace_.tensors.size());
    mark_uses();
    if (order_ == Order::largest_first) arrange();
    std::vector<std::vector<uint32_t>> born(trace_.instructions.size()), dies(trace_.instructions.size());
    for (uint32_t t = 0; t < trace_.tensors.size(); ++t) {
      const Tensor& tensor = trace_.tensors[t];
      if (!on_chip(tensor.memory) || tensor.first_use < 0) continue;
      born[tensor.first_use].push_back(t);
      dies[tensor.last_use].push_back(t);
    }
    for (size_t i = 0; i < trace_.instructions.size(); ++i) {
      // A tile that an instruction reads for the last time may not hold its result: it is still being read.
      for (uint32_t t : born[i])
        if (!place(t, trace_.place(trace_.instructions[i]), why)) return std::nullopt;
      for (uint32_t t : dies[i]) free(t);
    }
    return std::move(plan_);
  }

 private:
  void mark_uses() {
    for (size_t i = 0; i < trace_.instructions.size(); ++i) {
      auto use = [&](uint32_t t) {
        Tensor& tensor = trace_.tensors[t];
        if (tensor.first_use < 0) tensor.first_use = static_cast<int32_t>(i);
        tensor.last_use = static_cast<int32_t>(i);
      };
      for (const auto* views : {&trace_.instructions[i].in, &trace_.instructions[i].out})
        for (const View& v : *views) {
          use(v.tensor);
          if (v.rows_from >= 0) use(trace_.indirect[v.rows_from].index.tensor);
        }
    }
  }

  // The largest tiles in SBUF first, each at the lowest address that nobody has who lives at the same time.
  void arrange() {
    std::vector<uint32_t> tiles;
    for (uint32_t t = 0; t < trace_.tensors.size(); ++t)
      if (trace_.tensors[t].memory == Memory::sbuf && trace_.tensors[t].first_use >= 0) tiles.push_back(t);
    if (tiles.size() > most_arranged) return;
    std::sort(tiles.begin(), tiles.end(), [&](uint32_t a, uint32_t b) {
      const Tensor &x = trace_.tensors[a], &y = trace_.tensors[b];
      if ((x.fixed_address >= 0) != (y.fixed_address >= 0)) return x.fixed_address >= 0;
      return bytes(x) != bytes(y) ? bytes(x) > bytes(y) : a < b;
    });
    for (size_t n = 0; n < tiles.size(); ++n) {
      const Tensor& t = trace_.tensors[tiles[n]];
      std::vector<std::pair<int64_t, int64_t>> taken;
      for (size_t m = 0; m < n; ++m) {
        const Tensor& other = trace_.tensors[tiles[m]];
        if (other.first_use <= t.last_use && t.first_use <= other.last_use)
          taken.emplace_back(arranged_[tiles[m]], arranged_[tiles[m]] + bytes(other));
      }
      std::sort(taken.begin(), taken.end());
      int64_t at = 0;
      for (const auto& [begin, end] : taken) {
        if (begin - at >= bytes(t)) break;
        at = std::max(at, end);
      }
      arranged_[tiles[n]] = t.fixed_address >= 0 ? t.fixed_address : at;
    }
  }

  Space& space(const Tensor& t) { return t.memory == Memory::psum ? psum_ : sbuf_; }
  int64_t bytes(const Tensor& t) const {
    if (t.memory == Memory::psum) return psum_bank_bytes;
    return std::min(machine_.sbuf_bytes, (t.row_bytes() + alignment - 1) / alignment * alignment);
  }

  bool place(uint32_t index, const Place& use, std::optional<Refusal>& why) {
    Tensor& t = trace_.tensors[index];
    Space& where = space(t);
    const int64_t size = bytes(t);
    if (t.fixed_address >= 0) {
      if (int64_t other = where.holder(t.fixed_address, size); other >= 0)
        refuse_rule(RuleId::overlap,
                    Diagnostic(codes::nki_capacity, t.place,
                               "`" + t.name + "` lies over `" + trace_.tensors[other].name + "`, which is alive")
                        .label(trace_.tensors[other].place, "allocated here"));
      t.address = t.fixed_address;
      where.put(t.address, size, index);
    } else if (auto at = arranged_.find(index); at != arranged_.end()) {
      t.address = at->second + size <= machine_.sbuf_bytes ? at->second : -1;
      if (t.address >= 0) where.put(t.address, size, index);
    } else {
      t.address = where.take(size, index);
    }
    if (t.address < 0) {
      why = overflow(index, size, use);
      return false;
    }
    plan_.follows[index] = where.succeed(t.address, size, index);
    if (t.memory == Memory::psum) plan_.psum_peak = std::max(plan_.psum_peak, static_cast<int>(where.live().size()));
    else plan_.sbuf_peak = std::max(plan_.sbuf_peak, live_sbuf_ += size);
    return true;
  }

  void free(uint32_t index) {
    const Tensor& t = trace_.tensors[index];
    space(t).release(t.address);
    if (t.memory == Memory::sbuf) live_sbuf_ -= bytes(t);
  }

  Refusal overflow(uint32_t index, int64_t size, const Place& use) {
    const Tensor& t = trace_.tensors[index];
    const bool psum = t.memory == Memory::psum;
    // The live buffers, largest first, those of one line together.
    std::map<std::string, std::pair<int64_t, int64_t>> groups;
    for (const auto& [start, block] : space(t).live()) {
      auto& group = groups[trace_.tensors[block.tensor].name];
      group.first += block.end - start;
      ++group.second;
    }
    std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>> order(groups.begin(), groups.end());
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.first > b.second.first; });
    std::string list;
    for (size_t i = 0; i < order.size() && i < 12; ++i)
      list += (i ? ", " : "") + std::to_string(order[i].second.second) + " of `" + order[i].first + "` (" +
              std::to_string(order[i].second.first) + " bytes)";
    std::string has = psum ? "PSUM has 8 banks of 2048 bytes"
                           : "SBUF of " + std::string(machine_.name) + " has " + std::to_string(machine_.sbuf_bytes) +
                                 " bytes of a partition, of which " + std::to_string(live_sbuf_) + " are in use";
    return {psum ? RuleId::psum_banks : RuleId::sbuf_capacity,
            Diagnostic(codes::nki_capacity, t.place,
                       "no room for `" + t.name + "` of " + std::to_string(size) + " bytes of a partition: " + has +
                           "; alive are " + list)
                .label(use, "first used here")};
  }

  static constexpr size_t most_arranged = 4000;  // tiles are compared with each other

  Trace& trace_;
  const Machine& machine_;
  const Order order_;
  Space sbuf_, psum_;
  std::map<uint32_t, int64_t> arranged_;
  MemoryPlan plan_;
  int64_t live_sbuf_ = 0;
};

}  // namespace

MemoryPlan plan_memory(Trace& trace, const Machine& machine) {
  std::optional<Refusal> first;
  for (Order order : {Order::rotation, Order::lowest, Order::largest_first}) {
    std::optional<Refusal> why;
    if (std::optional<MemoryPlan> plan = Planner(trace, machine, order).run(why)) return std::move(*plan);
    if (!first) first = std::move(why);
    if (first->rule == RuleId::psum_banks) break;
  }
  refuse_rule(first->rule, std::move(first->what));
}

}  // namespace heddle::neuron::sim
