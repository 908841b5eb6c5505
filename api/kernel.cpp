// A compiled kernel: binding a call, running it, and compiling another variant when an array has another inner stride.
#include <chrono>

#include "api/impl.h"
#include "backend/host/target.h"
#include "jit/codes.h"

namespace heddle::api {

using jit::CallError;

// Bytes of temporaries for one thread: beyond is a shape that nobody means.
constexpr int64_t largest_arena = int64_t{1} << 46;

Result<const Variant*> KernelImpl::variant(uint64_t strided) {
  if (foreign) return host::target_named(target.name).errors();
  if (strided == 0)
    if (const Variant* v = dense_.load(std::memory_order_acquire)) return v;
  std::lock_guard lock(mutex_);
  if (auto at = variants_.find(strided); at != variants_.end()) return const_cast<const Variant*>(at->second.get());
  return make_variant(strided);
}

// Under the lock: from disk, or compiled.
Result<const Variant*> KernelImpl::make_variant(uint64_t strided) {
  const auto start = std::chrono::steady_clock::now();
  if (std::optional<Variant> stored = find_code(*this, strided)) {
    times.cache += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    return adopt(strided, std::move(*stored));
  }
  Result<ir::Program> whole = program();
  if (!whole) return whole.errors();
  std::vector<host::ArgTraits> traits(plan.array_count());
  for (size_t i = 0; i < traits.size(); ++i) traits[i].unit_inner_stride = !(strided >> i & 1);
  host::CompileOptions options;
  options.zero_registers = printed;
  Result<host::Compiled> compiled = host::compile(*whole, target, traits, options);
  if (!compiled) return compiled.errors();
  Result<std::shared_ptr<jit::LoadedKernel>> loaded = session().engine.load(compiled->object);
  if (!loaded) return loaded.errors();
  times.lower += compiled->lower_ms;
  times.llvm += compiled->llvm_ms;
  std::vector<std::string> checks;
  for (const ir::Check& c : compiled->checks) checks.push_back(c.text);
  store_code(*this, strided, compiled->object, checks);
  return keep(strided, {*loaded, std::move(checks)});
}

const Variant* KernelImpl::keep(uint64_t strided, Variant variant) {
  auto& at = variants_[strided];
  at = std::make_unique<Variant>(std::move(variant));
  if (strided == 0) dense_.store(at.get(), std::memory_order_release);
  return at.get();
}

const Variant* KernelImpl::adopt(uint64_t strided, Variant variant) {
  cached = true;
  return keep(strided, std::move(variant));
}

Result<ir::Program> KernelImpl::program() {
  std::lock_guard lock(program_mutex_);
  if (!program_) {
    Result<ir::Program> made = remake();
    if (!made) return made.errors();
    program_ = std::move(*made);
  }
  return *program_;
}

CallError KernelImpl::run(const jit::ArrayArg* arrays, const jit::ScalarArg* scalars, host::CheckReport& report,
                          int threads_wanted) {
  constexpr int stack_words = 256;
  uint64_t word_space[stack_words];
  int64_t dim_space[stack_words];
  std::vector<uint64_t> more_words;
  std::vector<int64_t> more_dims;
  uint64_t* words = word_space;
  int64_t* dims = dim_space;
  if (plan.words() > stack_words) more_words.resize(plan.words()), words = more_words.data();
  if (plan.dim_count() > stack_words) more_dims.resize(plan.dim_count()), dims = more_dims.data();

  uint64_t strided = 0;
  if (CallError e = plan.bind(arrays, scalars, dims, words, strided); e.kind) return e;
  Result<const Variant*> found = variant(strided);
  if (!found) {
    std::lock_guard lock(mutex_);
    compile_error_ = found.errors();
    return {CallError::check, -2, -1, -1, 0, 0};
  }
  const Variant& code = **found;

  Session& s = session();
  struct Held {
    Arenas& arenas;
    std::vector<Arenas::Block> blocks;
    ~Held() {
      for (Arenas::Block& b : blocks) arenas.give(b);
    }
  } held{s.arenas, {}};
  if (plan.packs() && !pack_operands(arrays, words, threads_wanted, held.blocks))
    return {CallError::check, -3, -1, -1, 0, 0};
  host::Context context{};
  context.parallel_for = jit::ThreadPool::parallel_for;
  context.pool = &s.pool;
  const int asked = threads_wanted > 0 ? threads_wanted : threads > 0 ? threads : s.threads();
  context.threads = std::min(asked, jit::ThreadPool::most_threads);
  context.shared_from = host::worth_sharing;
  Arenas::Block arena;
  int64_t each = code.code->arena()(words);
  if (each != 0) {
    int64_t bytes;
    context.arena_stride = each < 0 || each > largest_arena ? 0 : (each + 63) / 64 * 64;
    if (context.arena_stride > 0 && !__builtin_mul_overflow(context.arena_stride, context.threads, &bytes))
      arena = s.arenas.take(bytes);
    if (!arena.data) return {CallError::check, -3, -1, -1, 0, 0};
    context.arena = arena.data;
  }
  int64_t status = code.code->kernel()(&context, words);
  s.arenas.give(arena);
  if (status == host::status_ok) return {};
  report = context.report;
  return {CallError::check, -1, -1, static_cast<int>(report.check), 0, 0};
}

Diagnostic KernelImpl::explain(const CallError& e, const jit::ArrayArg* arrays, const host::CheckReport& report) const {
  if (e.kind != CallError::check) return plan.explain(e, arrays);
  if (e.argument == -2) return compile_error_.front();
  if (e.argument == -3)
    return Diagnostic(jit::codes::no_memory, {}, "the temporaries of `" + name + "` do not fit in memory");
  std::string text = "a check on data failed";
  const Variant* v = dense_.load();
  if (v && report.check >= 0 && report.check < static_cast<int64_t>(v->checks.size())) text = v->checks[report.check];
  return plan.explain_check(text, report);
}

}  // namespace heddle::api
