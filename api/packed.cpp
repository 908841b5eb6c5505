// Packed operands: made once by Kernel::pack, or for one call when an array comes as it is.
#include <cstdlib>

#include "api/codes.h"
#include "api/impl.h"
#include "jit/codes.h"

namespace heddle {
namespace api {

namespace {

// Rows of an array below which one thread packs alone.
constexpr int64_t fewest_rows = 64;

struct Job {
  const std::function<void(int64_t, int64_t)>& work;
  static int64_t run(host::Context*, void* self, int64_t, int64_t begin, int64_t end) {
    static_cast<Job*>(self)->work(begin, end);
    return host::status_ok;
  }
};

jit::Packing::Split over_threads(int threads) {
  return [threads](int64_t n, const std::function<void(int64_t, int64_t)>& work) {
    if (n < fewest_rows || threads < 2) return work(0, n);
    Job job{work};
    host::Context context{};
    context.pool = &session().pool;
    context.threads = threads;
    jit::ThreadPool::parallel_for(&context, Job::run, &job, n);
  };
}

}  // namespace

PackedImpl::~PackedImpl() { std::free(data); }

bool KernelImpl::pack_operands(const jit::ArrayArg* arrays, uint64_t* words, int threads_wanted,
                               std::vector<Arenas::Block>& held) {
  const int count = threads_wanted > 0 ? threads_wanted : threads > 0 ? threads : session().threads();
  for (int i = 0; i < plan.array_count(); ++i) {
    const jit::CallPlan::ArrayRow& row = plan.arrays()[i];
    if (!row.packing || arrays[i].packed) continue;
    int64_t bytes = 0;
    if (!row.packing->elements(arrays[i].extents, bytes) ||
        __builtin_mul_overflow(bytes, ir::scalar_bytes(row.type), &bytes))
      return false;
    if (bytes == 0) continue;
    held.push_back(session().arenas.take(static_cast<size_t>(bytes)));
    if (!held.back().data) return false;
    row.packing->pack(arrays[i], held.back().data, over_threads(count));
    words[row.word] = reinterpret_cast<uint64_t>(held.back().data);
  }
  return true;
}

Result<std::shared_ptr<const PackedImpl>> KernelImpl::pack(const std::string& parameter, const jit::ArrayArg& array) {
  const jit::CallPlan::ArrayRow* row = nullptr;
  std::string packs;
  for (const jit::CallPlan::ArrayRow& r : plan.arrays()) {
    if (r.name == parameter) row = &r;
    if (r.packing) packs += (packs.empty() ? "`" : ", `") + r.name + "`";
  }
  if (!row || !row->packing)
    return Diagnostic(
               jit::codes::wrong_packing, {},
               (row ? "the parameter `" + parameter + "` of this kernel has no layout: it takes arrays as they are"
                    : "this kernel has no parameter `" + parameter + "`"))
        .with_help(packs.empty() ? "a schedule gives an input a layout by `layout " + parameter + "[i, j] to ..`"
                                 : "this kernel packs " + packs);
  std::vector<jit::ArrayArg> alone(static_cast<size_t>(plan.array_count()));
  const int index = static_cast<int>(row - plan.arrays().data());
  alone[static_cast<size_t>(index)] = array;
  auto wrong = [&](jit::CallError error) { return plan.explain(error, alone.data()); };
  if (array.packed) return wrong({jit::CallError::packed_apart, index, -1, -1, 0, 0});
  if (array.type != row->type)
    return wrong(
        {jit::CallError::type, index, -1, -1, static_cast<int64_t>(array.type), static_cast<int64_t>(row->type)});
  if (array.rank != static_cast<int>(row->axes.size()))
    return wrong({jit::CallError::rank, index, -1, -1, array.rank, static_cast<int64_t>(row->axes.size())});
  int64_t elements = 1;
  for (int axis = 0; axis < array.rank; ++axis) {
    int64_t fixed = 0;
    if (row->axes[static_cast<size_t>(axis)].is_constant(fixed) && array.extents[axis] != fixed)
      return wrong({jit::CallError::extent, index, axis, -1, array.extents[axis], fixed});
    elements *= array.extents[axis] > 0;
  }
  if (elements && !array.data) return wrong({jit::CallError::null_data, index, -1, -1, 0, 0});
  auto made = std::make_shared<PackedImpl>();
  made->text = row->packing->text();
  made->type = row->type;
  made->extents.assign(array.extents, array.extents + array.rank);
  made->strides.assign(static_cast<size_t>(array.rank), 1);
  for (int axis = array.rank; axis-- > 1;)
    made->strides[static_cast<size_t>(axis) - 1] = made->strides[static_cast<size_t>(axis)] * array.extents[axis];
  const Diagnostic no_memory(jit::codes::no_memory, {}, "the packed `" + parameter + "` does not fit in memory");
  if (!row->packing->elements(array.extents, made->bytes) ||
      __builtin_mul_overflow(made->bytes, ir::scalar_bytes(row->type), &made->bytes) || made->bytes > INT64_MAX - 64)
    return no_memory;
  made->data = static_cast<unsigned char*>(std::aligned_alloc(64, static_cast<size_t>((made->bytes + 127) / 64 * 64)));
  if (!made->data) return no_memory;
  if (made->bytes > 0) row->packing->pack(array, made->data, over_threads(threads > 0 ? threads : session().threads()));
  return std::shared_ptr<const PackedImpl>(std::move(made));
}

}  // namespace api

Buffer Packed::buffer() const { return {impl_->data, impl_->type, impl_->extents, impl_->strides, true, impl_}; }
const std::string& Packed::layout() const { return impl_->text; }
const std::vector<int64_t>& Packed::extents() const { return impl_->extents; }
int64_t Packed::bytes() const { return impl_->bytes; }

}  // namespace heddle
