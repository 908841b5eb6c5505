// Masked loads and stores of lanes in a row. On targets without mask registers they are made of pieces of the register's width,
// and a piece whose lanes are all off is left out: LLVM 22's x86 backend splits a wider one itself, and then takes the constant
// zero mask of a half for a mask of which only the sign counts, and that for one which is on, and reads past the end.
#include <llvm/Analysis/VectorUtils.h>
#include <llvm/IR/PatternMatch.h>

#include "backend/host/emitter.h"

namespace heddle::host {

using llvm::Value;

namespace {

llvm::SmallVector<int> row(int first, int count) {
  llvm::SmallVector<int> out;
  for (int i = 0; i < count; ++i) out.push_back(first + i);
  return out;
}

// Lanes of a mask; what constants say of them shows.
Value* part_of(llvm::IRBuilder<>& b, Value* mask, int first, int count) {
  using namespace llvm::PatternMatch;
  Value *left = nullptr, *right = nullptr;
  if (!match(mask, m_And(m_Value(left), m_Value(right)))) return b.CreateShuffleVector(mask, row(first, count));
  left = part_of(b, left, first, count);
  right = part_of(b, right, first, count);
  if (match(left, m_Zero()) || match(right, m_AllOnes())) return left;
  if (match(right, m_Zero()) || match(left, m_AllOnes())) return right;
  return b.CreateAnd(left, right);
}

}  // namespace

int Emitter::masked_width(llvm::Type* element) const {
  const int bytes = static_cast<int>(element->getScalarSizeInBits() + 7) / 8;
  return target_.vector_bytes == 64 ? arith_.width : std::min(arith_.width, std::max(1, target_.vector_bytes / bytes));
}

Value* Emitter::masked_load(llvm::Type* element, Value* pointer, llvm::Align align, const Storage& where) {
  const int width = masked_width(element);
  llvm::SmallVector<Value*> parts;
  for (int at = 0; at < arith_.width; at += width) {
    const int count = std::min(width, arith_.width - at);
    llvm::Type* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(count));
    Value* mask = part_of(b_, mask_, at, count);
    Value* zero = llvm::Constant::getNullValue(type);
    if (llvm::PatternMatch::match(mask, llvm::PatternMatch::m_Zero())) {
      parts.push_back(zero);
      continue;
    }
    Value* from = at ? b_.CreateConstGEP1_64(element, pointer, static_cast<uint64_t>(at)) : pointer;
    parts.push_back(tagged(b_.CreateMaskedLoad(type, from, align, mask, zero), where));
  }
  return parts.size() == 1 ? parts[0] : llvm::concatenateVectors(b_, parts);
}

void Emitter::masked_store(Value* lanes, llvm::Type* element, Value* pointer, llvm::Align align, const Storage& where) {
  const int width = masked_width(element);
  for (int at = 0; at < arith_.width; at += width) {
    const int count = std::min(width, arith_.width - at);
    Value* mask = part_of(b_, mask_, at, count);
    if (llvm::PatternMatch::match(mask, llvm::PatternMatch::m_Zero())) continue;
    Value* part = count == arith_.width ? lanes : b_.CreateShuffleVector(lanes, row(at, count));
    Value* to = at ? b_.CreateConstGEP1_64(element, pointer, static_cast<uint64_t>(at)) : pointer;
    auto masked = [&] { tagged(b_.CreateMaskedStore(part, to, align, mask), where); };
    if (target_.has_masks || llvm::isa<llvm::Constant>(mask)) {
      masked();
      continue;
    }
    // Without mask registers a masked store may take as long as ten others: most find all of their lanes on.
    either(b_.CreateAndReduce(mask), [&] { tagged(b_.CreateAlignedStore(part, to, align), where); }, masked);
  }
}

}  // namespace heddle::host
