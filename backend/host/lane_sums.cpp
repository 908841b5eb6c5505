#include "backend/host/lane_sums.h"

#include <algorithm>
#include <vector>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>

namespace heddle::host {
namespace {

using llvm::Value;

// A vector whose lanes are partial sums: `blocks[i]` is the sum that its i-th block of `width` lanes belongs to.
struct Partial {
  Value* lanes = nullptr;
  int width = 0;
  std::vector<size_t> blocks;
};

// Lanes of x and y side by side, as one shuffle of two registers counts them: in blocks that are wider than the machine shuffles within,
// those of x come first; narrower ones take turns in each 128 bits.
struct Side {
  std::vector<int> low, high;
  std::vector<size_t> blocks;
};

Side side_by_side(const Partial& x, const Partial* y, int shuffled) {
  const int half = x.width / 2, all = x.width * static_cast<int>(x.blocks.size());
  Side out;
  auto block = [&](const Partial& from, size_t i, int base) {
    const int first = base + static_cast<int>(i) * x.width;
    for (int lane = 0; lane < half; ++lane) {
      out.low.push_back(first + lane);
      out.high.push_back(first + half + lane);
    }
    out.blocks.push_back(from.blocks[i]);
  };
  const size_t count = x.blocks.size();
  const size_t run =
      x.width <= shuffled ? static_cast<size_t>(shuffled / x.width) : count;  // what one vector gives in a row
  for (size_t at = 0; at < count; at += run) {
    const size_t end = std::min(at + run, count);
    for (size_t i = at; i < end; ++i) block(x, i, 0);
    for (size_t i = at; y && i < end; ++i) block(*y, i, all);
  }
  return out;
}

Partial add_halves(llvm::IRBuilder<>& b, const Partial& x, const Partial* y, int shuffled) {
  const Side side = side_by_side(x, y, shuffled);
  Value* other = y ? y->lanes : llvm::PoisonValue::get(x.lanes->getType());
  Value* low = b.CreateShuffleVector(x.lanes, other, side.low);
  Value* high = b.CreateShuffleVector(x.lanes, other, side.high);
  return {b.CreateFAdd(low, high), x.width / 2, side.blocks};
}

// The sums of `calls`, a power of two of them that have one type, computed before the first.
void sum_together(const std::vector<llvm::IntrinsicInst*>& calls) {
  llvm::IRBuilder<> b(calls[0]);
  llvm::FastMathFlags flags = calls[0]->getFastMathFlags();
  flags.setAllowReassoc(false);
  b.setFastMathFlags(flags);
  const auto* type = llvm::cast<llvm::FixedVectorType>(calls[0]->getArgOperand(1)->getType());
  const int width = static_cast<int>(type->getNumElements());
  const int shuffled = 128 / static_cast<int>(type->getScalarSizeInBits());
  std::vector<Partial> partial;
  for (size_t i = 0; i < calls.size(); ++i) partial.push_back({calls[i]->getArgOperand(1), width, {i}});
  while (partial[0].width > 1) {
    std::vector<Partial> next;
    for (size_t i = 0; i < partial.size(); i += 2)
      next.push_back(add_halves(b, partial[i], i + 1 < partial.size() ? &partial[i + 1] : nullptr, shuffled));
    partial = std::move(next);
  }
  for (const Partial& p : partial)
    for (size_t lane = 0; lane < p.blocks.size(); ++lane) {
      llvm::IntrinsicInst* call = calls[p.blocks[lane]];
      Value* sum = b.CreateExtractElement(p.lanes, lane);
      const auto* start = llvm::dyn_cast<llvm::ConstantFP>(call->getArgOperand(0));
      if (!start || !start->isZero() || !start->isNegative()) {
        llvm::IRBuilder<> after(call);
        after.setFastMathFlags(flags);
        sum = after.CreateFAdd(call->getArgOperand(0), sum);
      }
      call->replaceAllUsesWith(sum);
    }
  for (llvm::IntrinsicInst* call : calls) call->eraseFromParent();
}

bool ready_before(const llvm::IntrinsicInst& call, const llvm::Instruction& first) {
  const auto* made = llvm::dyn_cast<llvm::Instruction>(call.getArgOperand(1));
  return !made || made->getParent() != first.getParent() || made->comesBefore(&first);
}

}  // namespace

void lane_sums(llvm::Module& module) {
  constexpr size_t most = 16;
  for (llvm::Function& f : module)
    for (llvm::BasicBlock& block : f) {
      std::vector<llvm::IntrinsicInst*> open;
      for (llvm::Instruction& i : block)
        if (auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
            call && call->getIntrinsicID() == llvm::Intrinsic::vector_reduce_fadd)
          open.push_back(call);
      while (!open.empty()) {
        std::vector<llvm::IntrinsicInst*> group;
        for (llvm::IntrinsicInst* call : open)
          if (group.size() < most && call->getArgOperand(1)->getType() == open[0]->getArgOperand(1)->getType() &&
              ready_before(*call, *open[0]))
            group.push_back(call);
        while ((group.size() & (group.size() - 1)) != 0) group.pop_back();
        std::erase_if(open,
                      [&](llvm::IntrinsicInst* c) { return std::find(group.begin(), group.end(), c) != group.end(); });
        sum_together(group);
      }
    }
}

}  // namespace heddle::host
