// Where tiles on chip lie (plan.h), and whose memory each takes over.
#include <algorithm>
#include <map>

#include "backend/neuron/simulator/plan.h"
#include "backend/neuron/simulator/refuse.h"

namespace heddle::neuron::sim {
namespace {

constexpr int64_t alignment = 32;

// One memory, by bytes of a partition. Blocks are handed out behind the last one, in rotation.
class Space {
 public:
  explicit Space(int64_t bytes) : bytes_(bytes) {}

  void release(int64_t begin) { live_.erase(begin); }

  // The first free block at or after the cursor, then from the start; -1 when no gap is long enough.
  int64_t take(int64_t size, uint32_t tensor) {
    int64_t at = find(cursor_, bytes_, size);
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
  std::map<int64_t, Block> live_, past_;
};

class Planner {
 public:
  Planner(Trace& trace, const Machine& machine)
      : trace_(trace), machine_(machine), sbuf_(machine.sbuf_bytes), psum_(psum_banks * psum_bank_bytes) {}

  MemoryPlan run() {
    plan_.follows.resize(trace_.tensors.size());
    mark_uses();
    std::vector<std::vector<uint32_t>> born(trace_.instructions.size()), dies(trace_.instructions.size());
    for (uint32_t t = 0; t < trace_.tensors.size(); ++t) {
      const Tensor& tensor = trace_.tensors[t];
      if (!on_chip(tensor.memory) || tensor.first_use < 0) continue;
      born[tensor.first_use].push_back(t);
      dies[tensor.last_use].push_back(t);
    }
    for (size_t i = 0; i < trace_.instructions.size(); ++i) {
      // A tile that an instruction reads for the last time may not hold its result: it is still being read.
      for (uint32_t t : born[i]) place(t, trace_.place(trace_.instructions[i]));
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

  Space& space(const Tensor& t) { return t.memory == Memory::psum ? psum_ : sbuf_; }
  int64_t bytes(const Tensor& t) const {
    if (t.memory == Memory::psum) return psum_bank_bytes;
    return std::min(machine_.sbuf_bytes, (t.row_bytes() + alignment - 1) / alignment * alignment);
  }

  void place(uint32_t index, const Place& use) {
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
    } else {
      t.address = where.take(size, index);
    }
    if (t.address < 0) overflow(index, size, use);
    plan_.follows[index] = where.succeed(t.address, size, index);
    if (t.memory == Memory::psum) plan_.psum_peak = std::max(plan_.psum_peak, static_cast<int>(where.live().size()));
    else plan_.sbuf_peak = std::max(plan_.sbuf_peak, live_sbuf_ += size);
  }

  void free(uint32_t index) {
    const Tensor& t = trace_.tensors[index];
    space(t).release(t.address);
    if (t.memory == Memory::sbuf) live_sbuf_ -= bytes(t);
  }

  [[noreturn]] void overflow(uint32_t index, int64_t size, const Place& use) {
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
    refuse_rule(psum ? RuleId::psum_banks : RuleId::sbuf_capacity,
                Diagnostic(codes::nki_capacity, t.place,
                           "no room for `" + t.name + "` of " + std::to_string(size) + " bytes of a partition: " + has +
                               "; alive are " + list)
                    .label(use, "first used here"));
  }

  Trace& trace_;
  const Machine& machine_;
  Space sbuf_, psum_;
  MemoryPlan plan_;
  int64_t live_sbuf_ = 0;
};

}  // namespace

MemoryPlan plan_memory(Trace& trace, const Machine& machine) { return Planner(trace, machine).run(); }

}  // namespace heddle::neuron::sim
