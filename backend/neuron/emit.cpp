#include "backend/neuron/emit.h"

#include "backend/neuron/check.h"
#include "backend/neuron/codes.h"
#include "backend/neuron/device_loops.h"
#include "backend/neuron/fuse.h"
#include "backend/neuron/lowering.h"
#include "backend/neuron/print.h"

namespace heddle::neuron {

Result<Profile> profile_named(const std::string& name) {
  if (name.empty() || name == "full") return Profile::full;
  if (name == "basic") return Profile::basic;
  return Diagnostic(codes::wrong_profile, {}, "`" + name + "` is no profile of NKI text")
      .with_help("profiles: `full`, `basic`");
}

Result<NkiKernel> lower(const ir::Program& program, const Core& core, const EmitOptions& options) {
  return Lowering(program, core, options).run();
}

Result<Emission> emit(const ir::Program& program, const Core& core, const EmitOptions& options) {
  Result<NkiKernel> kernel = lower(program, core, options);
  if (!kernel) return kernel.errors();
  auto finish = [&](NkiKernel made) -> Result<Emission> {
    std::string why_not;
    if (Diagnostics failed = loops_to_device(made, options, why_not); !failed.empty()) return failed;
    Result<Usage> usage = check(made, core, options, why_not);
    if (!usage) return usage.errors();
    Emission out;
    out.text = print(made);
    out.tables = std::move(made.tables);
    out.instructions = usage->instructions;
    out.sbuf_bytes = usage->sbuf_bytes;
    out.psum_banks = usage->psum_banks;
    return out;
  };
  if (options.profile == Profile::full) {
    NkiKernel fused = *kernel;
    fuse(fused);
    Result<Emission> out = finish(std::move(fused));
    // A tile that spares a load lives longer: where that is too much, each load stays.
    if (out || out.errors().front().code != codes::over_sbuf.id) return out;
  }
  return finish(std::move(*kernel));
}

}  // namespace heddle::neuron
