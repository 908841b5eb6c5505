// Which instructions wait for which: those that touch the same elements, where one of them writes.
#include <algorithm>
#include <map>

#include "backend/neuron/simulator/plan.h"

namespace heddle::neuron::sim {
namespace {

struct Access {
  uint32_t instruction;
  bool write;
  const View* view;
  int64_t first, limit;
};

// Whether two windows of one tensor may share an element. Steps inside a box are not looked at: the answer may be a false yes.
bool meet(const Tensor& tensor, const Access& a, const Access& b) {
  if (a.first >= b.limit || b.first >= a.limit) {
    if (a.view->rows_from < 0 && b.view->rows_from < 0) return false;
  }
  if (a.view->rows_from >= 0 || b.view->rows_from >= 0) return true;
  if (!a.view->boxed || !b.view->boxed) {
    if (!on_chip(tensor.memory)) return true;
    // On chip an access takes whole partitions' rows of a free range: compare partitions and the range in a row.
    int64_t row = tensor.row;
    auto rows = [row](const Access& x) {
      int64_t p = x.view->offset / row, n = x.view->size[0];
      View one = *x.view;
      one.size[0] = 1;
      return std::array<int64_t, 4>{p, p + n, one.first() - p * row, one.limit() - p * row};
    };
    auto x = rows(a), y = rows(b);
    return x[0] < y[1] && y[0] < x[1] && x[2] < y[3] && y[2] < x[3];
  }
  for (size_t d = 0; d < tensor.shape.size(); ++d)
    if (a.view->lo[d] >= b.view->hi[d] || b.view->lo[d] >= a.view->hi[d]) return false;
  return true;
}

// Whether `a` writes every element that `b` touches.
bool covers(const Tensor& tensor, const Access& a, const Access& b) {
  if (!a.write || !a.view->boxed || a.view->rows_from >= 0 || b.view->rows_from >= 0) return false;
  int64_t box = 1;
  for (size_t d = 0; d < tensor.shape.size(); ++d) box *= a.view->hi[d] - a.view->lo[d];
  if (box != a.view->elements()) return false;  // a step leaves holes
  if (box == tensor.elements) return true;
  if (!b.view->boxed) return false;
  for (size_t d = 0; d < tensor.shape.size(); ++d)
    if (b.view->lo[d] < a.view->lo[d] || b.view->hi[d] > a.view->hi[d]) return false;
  return true;
}

}  // namespace

Dependences::Dependences(const Trace& trace, const MemoryPlan& plan, Grain grain) {
  std::vector<std::vector<Access>> past(trace.tensors.size());
  std::vector<Dependence> mine;
  starts_.push_back(0);
  for (size_t i = 0; i < trace.instructions.size(); ++i) {
    const Instruction& instruction = trace.instructions[i];
    mine.clear();
    auto add = [&](uint32_t on, bool earlier_writes, bool writes) {
      if (on == i) return;
      mine.push_back({on, !writes          ? DependenceKind::read_after_write
                          : earlier_writes ? DependenceKind::write_after_write
                                           : DependenceKind::write_after_read});
    };
    auto look = [&](const View& v, bool write) {
      const Tensor& tensor = trace.tensors[v.tensor];
      if (tensor.memory == Memory::parameter) return;
      const bool whole = grain == Grain::tile && on_chip(tensor.memory);
      Access now{static_cast<uint32_t>(i), write, &v, v.first(), v.limit()};
      for (const Access& old : past[v.tensor])
        if ((write || old.write) && (whole || meet(tensor, old, now))) add(old.instruction, old.write, write);
      if (write)
        for (uint32_t dead : plan.follows[v.tensor])
          for (const Access& old : past[dead]) add(old.instruction, old.write, true);
    };
    auto record = [&](const View& v, bool write) {
      const Tensor& tensor = trace.tensors[v.tensor];
      if (tensor.memory == Memory::parameter) return;
      std::vector<Access>& list = past[v.tensor];
      Access now{static_cast<uint32_t>(i), write, &v, v.first(), v.limit()};
      const bool whole = grain == Grain::tile && on_chip(tensor.memory);
      if (write)  // what this write waited for is implied by waiting for it
        std::erase_if(list,
                      [&](const Access& old) { return old.instruction != i && (whole || covers(tensor, now, old)); });
      list.push_back(now);
    };
    auto each = [&](auto&& f) {
      for (const View& v : instruction.in) f(v, false);
      for (const auto* views : {&instruction.in, &instruction.out})
        for (const View& v : *views)
          if (v.rows_from >= 0) f(trace.indirect[v.rows_from].index, false);
      for (const View& v : instruction.out) f(v, true);
    };
    each(look);
    each(record);
    std::sort(mine.begin(), mine.end(),
              [](const Dependence& a, const Dependence& b) { return a.on != b.on ? a.on < b.on : a.kind < b.kind; });
    mine.erase(
        std::unique(mine.begin(), mine.end(), [](const Dependence& a, const Dependence& b) { return a.on == b.on; }),
        mine.end());
    edges_.insert(edges_.end(), mine.begin(), mine.end());
    starts_.push_back(edges_.size());
  }
}

std::vector<uint8_t> assign_streams(const Trace& trace) {
  std::vector<uint8_t> out;
  std::map<std::pair<uint32_t, bool>, uint8_t> queues;  // one for each tensor in HBM and direction
  for (const Instruction& i : trace.instructions) {
    if (i.engine != Engine::dma) {
      out.push_back(static_cast<uint8_t>(i.engine));
      continue;
    }
    const bool store = !on_chip(trace.tensors[i.out[0].tensor].memory);
    uint32_t tensor = store ? i.out[0].tensor : i.in[0].tensor;
    if (on_chip(trace.tensors[tensor].memory)) tensor = UINT32_MAX;  // SBUF to SBUF
    auto [at, fresh] = queues.try_emplace({tensor, store}, static_cast<uint8_t>(5 + queues.size() % dma_queues));
    out.push_back(at->second);
  }
  return out;
}

}  // namespace heddle::neuron::sim
